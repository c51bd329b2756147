"""Loops that are to become vectors do: a branch, a call or a possible overlap of two arrays in a
loop is enough for the compiler to take its numbers one by one, and only a clock would show it."""

import platform
import re
import sys

import numpy as np
import pytest
from llvmlite import binding
from numba.core.caching import NullCache

from minae.backends import get_backend
from minae.backends.cpu_numba.dense import tiled_matmul
from minae.backends.cpu_numba.jit import Kernel, noted_kernels
from minae.backends.cpu_numba.output_layer import output_layer
from minae.backends.cpu_numba.vectors import LANES

pytestmark = pytest.mark.skipif(
    not binding.get_host_cpu_features().get("avx2", False), reason="vectors are shorter here"
)
N, D, K = 64, 64, 32
OPS = get_backend("numba")


def of(*shape):
    return np.ones(shape, np.float32)


def adam():
    w, dw, m, v = (of(D) for _ in range(4))
    OPS.adam(w, dw, m, v, np.zeros(1, np.int64), np.ones(1), 0.9, 0.999, 1e-8, 0.0)


def gather():
    rows = np.arange(N)
    OPS.gather(np.ones((N, D), np.uint8), rows, scale=1 / 255, shift=0.0, out=of(N, D))


def loss(name):
    gradient = {"bce_with_logits": "dlogits", "mse": "dy"}[name]
    getattr(OPS, name)(of(N, D), of(N, D), 1.0, value=of(1), **{gradient: of(N, D)})


def forward(activation):
    y = of(N, D)
    OPS.bias_activation_forward(y, of(D), activation, 0.1, out=y)


def backward(activation):
    dy = of(N, D)
    OPS.bias_activation_backward(dy, of(N, D), activation, 0.1, dx=dy, db=of(D))


def outputs(loss, activation):
    found = {"value": of(1), "dx": of(N, K), "dw": of(D, K), "db": of(D)}
    output_layer(of(N, K), of(D, K), of(D), activation, loss, of(N, D), 1.0, **found)


def product():
    tiled_matmul(of(N, K), False, of(K, D), False, of(N, D))


@pytest.mark.parametrize(
    ("call", "arguments", "operation"),
    [
        (adam, (), "sqrt"),
        (gather, (), "uitofp"),
        (forward, ("leaky_relu",), "fadd"),
        (forward, ("sigmoid",), "fdiv"),
        (forward, ("tanh",), "fdiv"),
        (forward, ("softplus",), "fmul"),
        (backward, ("leaky_relu",), "fmul"),
        (backward, ("sigmoid",), "fmul"),
        (backward, ("tanh",), "fmul"),
        (loss, ("bce_with_logits",), "fdiv"),
        (loss, ("mse",), "fsub"),
        (outputs, ("bce_with_logits", "identity"), "fdiv"),
        (outputs, ("mse", "sigmoid"), "fdiv"),
        (outputs, ("mse", "tanh"), "fdiv"),
    ],
)
def test_loops_are_vectors_of_the_whole_width(call, arguments, operation):
    (code,) = compiled_anew(call, *arguments).inspect_llvm().values()
    assert re.search(rf"{operation}.*<{LANES} x (float|i8)>", code)


def compiled_anew(call, *arguments):
    """The first kernel of a call; of what is kept on disk, the code cannot be seen."""
    with noted_kernels() as noted:
        call(*arguments)
    bound = noted.called[0]
    anew = Kernel(bound.kernel._make).compiled
    anew._cache = NullCache()
    anew(bound.place, *bound.arguments)
    return anew


@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="reads its assembler"
)
@pytest.mark.parametrize(("call", "arguments"), [(product, ()), (outputs, ("mse", "identity"))])
def test_tiles_step_to_no_row_by_way_of_another(call, arguments):
    """Eight additions in a row take as long as the multiply-adds of a tile's step."""
    (code,) = compiled_anew(call, *arguments).inspect_asm().values()
    loops = [
        block
        for block in re.split(r"\n(?=\.LBB)", code)
        if len(re.findall(r"vfmadd\d+ps", block)) >= 8
    ]
    steps = [re.search(r"\.LBB\w+:(.*?\n\tj\w+)", loop, re.S) for loop in loops]
    additions = [len(re.findall(r"\t(?:add|lea)q", step[1])) for step in steps if step]
    assert additions and max(additions) <= 3
