"""The output layer of a training step as one kernel: forward, loss and backward.

y = f(x wᵀ + b), the loss between y and t, and the gradients by x, w and b are six operations, each
one to three passes over arrays of the output's size, the largest of a step. Here they are taken in
blocks of 64 samples and 64 outputs, which stay in the first cache:

    a   = x wᵀ                       a product
    da  = ∂loss/∂a, by a + b and t   in place of a; the loss and db on the way
    dx += da w,  dw += daᵀ x         two products more

Saved: y, dy and da are not written, t is read once, and two kernels are launched in place of six.
Plain form: the six calls of `fusion.plain_calls`, as `layers/dense.py` and `losses.py` make them.
Derivations: `reference/dense.py`, `reference/activations.py`, `reference/losses.py`.
"""

import numpy as np

from minae.backends.cpu_numba.arrays import scratch
from minae.backends.cpu_numba.compiler import VECTOR_BYTES, Function
from minae.backends.cpu_numba.jit import (
    Kernel,
    elementwise,
    inlined,
    threaded,
    threaded_reduction,
)
from minae.backends.cpu_numba.losses import add_totals
from minae.backends.cpu_numba.sample_last import transpose
from minae.backends.cpu_numba.scratch_of_parts import part_of, scratch_of_parts
from minae.backends.cpu_numba.threads import parts, share
from minae.backends.cpu_numba.tiles import TILE, add_product_tile, product_tile
from minae.backends.cpu_numba.vector_math import Float, decay, log1p, sigmoid, tanh
from minae.backends.cpu_numba.vectors import LANES, RUN, prefetch
from minae.backends.spec import Array

_BLOCK = 64  # samples, and outputs, of a block
_AHEAD = 8  # rows of t that are asked for early: some lie in another core's cache
# What belongs to a block's outputs, each a line of _BLOCK numbers: their bias; of the block's
# samples the loss, Σ linear + log of the odds' product, here less 1, and db.
_BIAS, _LINEAR, _ODDS, _DB, _LINES = (i * _BLOCK for i in range(5))


def output_layer(
    x: Array,
    w: Array,
    b: Array | None,
    activation: str,
    loss: str,
    t: Array,
    scale: float,
    *,
    value: Array,
    dx: Array,
    dw: Array,
    db: Array | None,
    t_scale: float = 1.0,
) -> None:
    """value = scale · Σ loss(f(x wᵀ + b), t_scale · t), and its gradients dx, dw, db.

    x, dx: (N, K);  w, dw: (D, K);  b, db: (D,);  t: (N, D), of x's dtype or bytes;  all contiguous.
    (loss, activation) is one of `KERNELS`. Each thread takes a part of the outputs; its dx is added
    to the others'. The loss and db are summed over the blocks of samples in float64.
    """
    (N, K), D = x.shape, len(w)
    pair = 2 * VECTOR_BYTES // int(x.itemsize)
    width = -(-K // pair) * pair  # whole pairs of vectors
    count = parts(-(-D // LANES), t.size)
    height = -(-N // _BLOCK) * _BLOCK
    number = x.dtype.type
    numbers = height * width + 3 * _BLOCK * width + _BLOCK * _BLOCK + _LINES
    space = scratch_of_parts("output_layer.space", count, (numbers,), x.dtype)
    t_rows = scratch_of_parts("output_layer.t", count, (_BLOCK,), t.dtype)
    dx_of_parts = scratch_of_parts("output_layer.dx", count, (height, width), x.dtype)
    totals = scratch("output_layer.totals", (count,), np.float64)
    totals_db = scratch_of_parts("output_layer.totals_db", count, (_BLOCK,), np.float64)
    kernel = KERNELS[loss, activation]
    kernel(
        *(count, x, w, b, t, number(t_scale), number(scale)),
        *(t_rows, space, totals, totals_db, dx_of_parts, dw, db),
    )
    _add_parts(parts(N, count * height * width), dx_of_parts, dx)
    add_totals(totals, float(scale), value)


def _kernel(of: Function) -> Kernel:
    """The kernel of the name of `of`, a loss and its gradient by the pre-activation; see below."""
    at = inlined(of)

    @inlined
    def to_gradient(a: Array, t: Array, t_scale: Float, lines: Array, scale: Float) -> None:
        """a (_BLOCK,) = scale · ∂loss/∂(a + b), and the sums of `lines`, for one sample.

        The sums of a block lie in one array, at places that are constants: of arrays the compiler
        would have to ask, at each row, whether they overlap, and it asks about a few only.
        """
        for o in range(_BLOCK):
            linear, odds, gradient = at(a[o] + lines[_BIAS + o], t_scale * type(t_scale)(t[o]))
            before = lines[_ODDS + o]
            lines[_LINEAR + o] += linear
            lines[_ODDS + o] = before + (odds + before * odds)
            lines[_DB + o] += scale * gradient
            a[o] = scale * gradient

    def kernel(
        part: int,
        parts: int,
        x: Array,
        w: Array,
        b: Array | None,
        t: Array,
        t_scale: float,
        scale: float,
        t_rows: Array,
        space: Array,
        totals: Array,
        totals_db: Array,
        dx_of_parts: Array,
        dw: Array,
        db: Array | None,
    ) -> None:
        (N, K), D = x.shape, len(w)
        dx, numbers = part_of(dx_of_parts, part), part_of(space, part)
        t_row, total_db = part_of(t_rows, part), part_of(totals_db, part)
        total = 0.0
        height, width = dx.shape
        size = _BLOCK * width
        numbers[:] = 0
        lines, rest = numbers[:_LINES], numbers[_LINES:]
        a = rest[: _BLOCK * _BLOCK].reshape(_BLOCK, _BLOCK)
        rest = rest[_BLOCK * _BLOCK :]
        w_block = rest[:size].reshape(_BLOCK, width)  # (outputs, K), zeros beyond K
        w_turned = rest[size : 2 * size].reshape(width, _BLOCK)  # (K, outputs)
        dw_block = rest[2 * size : 3 * size].reshape(_BLOCK, width)  # (outputs, K)
        x_padded = rest[3 * size :].reshape(height, width)  # zeros beyond K and N
        for n in range(N):
            _copy(x[n], x_padded[n])
        for n in range(height):
            _clear(dx[n])
        first, end = share(part, parts, (D + LANES - 1) // LANES)  # in vectors
        first, end = first * LANES, min(end * LANES, D)
        for d in range(first, end, _BLOCK):
            outputs = min(_BLOCK, end - d)
            whole = (outputs + RUN - 1) // RUN * RUN
            tiles = (outputs + TILE - 1) // TILE * TILE
            for o in range(outputs):
                _copy(w[d + o], w_block[o])
                _clear(dw_block[o])
            transpose(w[d : d + outputs], w_turned[:K])
            _clear(lines)
            _clear(total_db)
            if b is not None:
                _copy(b[d : d + outputs], lines)
            for n in range(0, N, _BLOCK):
                samples = min(_BLOCK, N - n)
                rows = (samples + TILE - 1) // TILE * TILE
                _product(x_padded[n : n + rows, :K], w_turned[:K], a[:rows, :whole])
                for i in range(samples):
                    ahead = t[min(n + i + _AHEAD, N - 1)]
                    prefetch(ahead, d, d + outputs)
                    prefetch(ahead, d + outputs - 1, d + outputs)  # it may lie in one line more
                    row = t[n + i, d : d + outputs]
                    if outputs < _BLOCK:
                        _copy(row, t_row)
                        row = t_row
                    to_gradient(a[i], row, t_scale, lines, scale)
                for i in range(samples, rows):
                    _clear(a[i])
                for o in range(outputs):
                    total += lines[_LINEAR + o]
                    total += log1p(lines[_ODDS + o])
                for o in range(outputs):
                    total_db[o] += lines[_DB + o]
                _clear(lines[_LINEAR:])
                _add_product(a[:rows, :outputs], w_block, dx[n : n + rows])
                _add_product(a[:samples, :tiles].T, x_padded[n : n + samples], dw_block[:tiles])
            for o in range(outputs):
                _copy(dw_block[o, :K], dw[d + o])
            if db is not None:
                _copy(total_db[:outputs], db[d : d + outputs])
        totals[part] = total

    return threaded_reduction(kernel, of=of)


# A loss of one output as (linear, odds, gradient): it is linear + log(1 + odds), 0 <= odds <= 1,
# with the gradient by the pre-activation a. The logarithm is taken of the product of 64 samples'
# (1 + odds), at most 2⁶⁴: one logarithm in place of 64.
@_kernel
def _bce_with_logits(a: Float, t: Float) -> tuple[Float, Float, Float]:
    """softplus(a) - a t, with softplus(a) = max(a, 0) + log(1 + e^-|a|); σ(a) - t."""
    zero, one = type(a)(0), type(a)(1)
    odds = decay(a)
    y = one / (one + odds)
    return (a if a > zero else zero) - a * t, odds, (odds * y if a < zero else y) - t


@_kernel
def _mse_of_identity(a: Float, t: Float) -> tuple[Float, Float, Float]:
    """(a - t)²; 2 (a - t)."""
    e = a - t
    return e * e, type(a)(0), e + e


@_kernel
def _mse_of_sigmoid(a: Float, t: Float) -> tuple[Float, Float, Float]:
    """(y - t)², y = σ(a); 2 (y - t) y (1 - y)."""
    y = sigmoid(a)
    e = y - t
    return e * e, type(a)(0), (e + e) * (y * (type(a)(1) - y))


@_kernel
def _mse_of_tanh(a: Float, t: Float) -> tuple[Float, Float, Float]:
    """(y - t)², y = tanh a; 2 (y - t) (1 - y²)."""
    y = tanh(a)
    e = y - t
    return e * e, type(a)(0), (e + e) * (type(a)(1) - y * y)


KERNELS = {
    ("bce_with_logits", "identity"): _bce_with_logits,
    ("mse", "identity"): _mse_of_identity,
    ("mse", "sigmoid"): _mse_of_sigmoid,
    ("mse", "tanh"): _mse_of_tanh,
}


@threaded
def _add_parts(part: int, parts: int, dx_of_parts: Array, dx: Array) -> None:
    """dx (N, K) = Σ dx_of_parts (parts, height and more, width), in their order."""
    first, end = share(part, parts, len(dx))
    for n in range(first, end):
        _copy(dx_of_parts[0, n, : dx.shape[1]], dx[n])
        for other in dx_of_parts[1:]:
            for k in range(dx.shape[1]):
                dx[n, k] += other[n, k]


@elementwise
def _product(a: Array, b: Array, out: Array) -> None:
    """out (M, R) = a (M, Q) b (Q, R), M in whole tiles and R in whole pairs of vectors."""
    for j in range(0, out.shape[1], 2 * VECTOR_BYTES // out.itemsize):
        for i in range(0, len(out), TILE):
            product_tile(a, b, i, j, out)


@elementwise
def _add_product(a: Array, b: Array, out: Array) -> None:
    """out += a b, likewise."""
    for j in range(0, out.shape[1], 2 * VECTOR_BYTES // out.itemsize):
        for i in range(0, len(out), TILE):
            add_product_tile(a, b, i, j, out)


@elementwise
def _copy(x: Array, out: Array) -> None:
    """out[: len(x)] = x."""
    for i in range(len(x)):
        out[i] = x[i]


@elementwise
def _clear(x: Array) -> None:
    for i in range(len(x)):
        x[i] = 0
