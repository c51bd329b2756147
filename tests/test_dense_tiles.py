"""Products in tiles: every side, every place of both matrices, whichever threads take them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minae.backends import get_backend
from minae.backends.cpu_numba import dense, pool, threads
from minae.backends.cpu_numba.blas import products
from minae.backends.cpu_numba.compiler import VECTOR_BYTES
from minae.backends.cpu_numba.dense import tiled_matmul, tiles_pay
from minae.backends.cpu_numba.tiles import TILE

OPS = get_backend("numba")
DTYPES = {np.float32: 1e-5, np.float64: 1e-14}  # and the error of a product, for each term


@pytest.fixture(params=[1, 2, 3])
def parts(request, monkeypatch):
    """So many parts, however small."""
    before = pool._pool.threads
    pool.resize(request.param)
    monkeypatch.setattr(threads, "_most_parts", request.param)
    monkeypatch.setattr(threads, "_LEAST", 1)
    yield request.param
    pool.resize(before)


def drawn(seed, *shape, dtype):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def check(M, R, Q, a_turned, b_turned, dtype):
    a = drawn(M, *((Q, M) if a_turned else (M, Q)), dtype=dtype)
    b = drawn(R, *((R, Q) if b_turned else (Q, R)), dtype=dtype)
    guarded = np.full((M + 2, R), np.nan, dtype)
    out = guarded[1:-1]
    tiled_matmul(a, a_turned, b, b_turned, out)
    wanted = (a.T if a_turned else a).astype(float) @ (b.T if b_turned else b).astype(float)
    np.testing.assert_allclose(out, wanted, rtol=0, atol=DTYPES[dtype] * Q)
    assert np.isnan(guarded[[0, -1]]).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("a_turned", [False, True])
@pytest.mark.parametrize("b_turned", [False, True])
def test_whole_and_broken_tiles(parts, a_turned, b_turned, dtype):
    pair = 2 * VECTOR_BYTES // np.dtype(dtype).itemsize
    for M in (TILE, TILE + 1, 3 * TILE - 1, 5 * TILE):
        for R in (pair, pair + 1, 3 * pair - 1, 4 * pair):
            check(M, R, 7, a_turned, b_turned, dtype)
    check(2 * TILE, 2 * pair, 1, a_turned, b_turned, dtype)


@settings(deadline=None, derandomize=True)  # the first one compiles a kernel
@given(
    M=st.integers(TILE, 70),
    R=st.integers(2 * VECTOR_BYTES // 4, 140),
    Q=st.integers(1, 40),
    a_turned=st.booleans(),
    b_turned=st.booleans(),
)
def test_any_shape(M, R, Q, a_turned, b_turned):
    check(M, R, Q, a_turned, b_turned, np.float32)


by_the_rule = pytest.mark.skipif(
    VECTOR_BYTES != 64 or products() is None, reason="tiles are taken beside OpenBLAS with AVX-512"
)


@by_the_rule
def test_what_the_operation_takes_in_tiles(monkeypatch):
    """A layer's product and both of its gradients, of transposed views as well."""
    N, D, K = 48, 64, 96
    taken = []
    monkeypatch.setattr(
        dense, "tiled_matmul", lambda *given: taken.append(given) or tiled_matmul(*given)
    )
    x, w, dy = (drawn(sum(shape), *shape, dtype=np.float32) for shape in ((N, D), (K, D), (N, K)))
    for a, b, turned in [
        (x, w, {"transpose_b": True}),
        (x, w.T, {}),
        (dy, x, {"transpose_a": True}),
        (dy.T, x, {}),
        (dy, w, {}),
        (np.asfortranarray(dy), w, {}),
    ]:
        A = a.T if "transpose_a" in turned else a
        B = b.T if "transpose_b" in turned else b
        out = np.empty((A.shape[0], B.shape[1]), np.float32)
        OPS.matmul(a, b, out=out, **turned)
        np.testing.assert_allclose(out, A.astype(float) @ B, rtol=0, atol=1e-4)
    assert len(taken) == 6


@by_the_rule
@pytest.mark.parametrize(
    ("M", "R", "Q", "turned", "pay"),
    [
        (2 * TILE, 64, 64, (False, True), True),
        (2 * TILE - 1, 64, 64, (False, True), False),  # few rows
        (256, 32, 64, (False, True), True),
        (256, 31, 64, (False, True), False),  # less than two vectors
        (256, 48, 64, (False, True), True),
        (256, 47, 64, (False, True), False),  # much of the last two without columns
        (256, 64, 2048, (False, True), True),
        (256, 64, 2049, (False, True), False),  # many terms
        (4096, 64, 128, (False, True), True),
        (4097, 64, 128, (False, True), False),  # a large matrix, read twice
        (8000, 32, 128, (False, True), True),
        (256, 64, 256, (True, False), True),
        (257, 64, 256, (True, False), False),  # columns in many pages, read twice
        (1568, 32, 256, (True, False), True),
        (256, 1792, 256, (False, False), True),
        (256, 1792, 257, (False, False), False),  # columns in many pages
        (256, 1792, 257, (False, True), True),
    ],
)
def test_which_products_are_taken_in_tiles(M, R, Q, turned, pay):
    assert tiles_pay(M, R, Q, *turned, np.empty((M, R), np.float32)) is pay
