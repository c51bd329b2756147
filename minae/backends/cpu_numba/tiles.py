"""Tiles of matrix products, whose sums stay in registers: whole ones, and of rows in a list.

Intrinsics, as those of `vectors.py`: `generate` writes LLVM instructions in place of a call.
"""

# mypy: allow-untyped-calls

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils

from minae.backends.cpu_numba.jit import intrinsic
from minae.backends.cpu_numba.vectors import CONTRACT, OUTPUTS, Matrix, int64
from minae.backends.spec import STRIP

TILE = OUTPUTS  # rows of a matrix product whose sums, two vectors each, stay in registers


def _product_tile(adds: bool) -> Any:
    """The intrinsic `product_tile`, or `add_product_tile` which adds to what is there."""

    @intrinsic
    def product_tile(typing_context: Any, a: Any, b: Any, i: Any, j: Any, out: Any) -> Any:
        """out[i + r, j + l] = Σ_q a[i + r, q] b[q, j + l] for 0 <= r < TILE, 0 <= l < 2 · lanes.

        a (M, Q): any strides;  b (Q, R), out (M, R): rows contiguous.
        """

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            a_value, b_value, i, j, out_value = arguments
            left = Matrix(context, builder, a, a_value)
            right = Matrix(context, builder, b, b_value)
            target = Matrix(context, builder, out, out_value)
            rows = [builder.add(i, int64(r)) for r in range(TILE)]
            starts = [left.place(row, int64(0)) for row in rows]

            def factors(q: Any) -> list[Any]:
                step = builder.mul(q, left.strides[1])
                return [cgutils.pointer_add(builder, start, step) for start in starts]

            _multiply(
                builder,
                left.shape[1],
                factors,
                lambda q: right.place(q, j),
                right,
                [target.place(row, j) for row in rows],
                adds,
            )
            return context.get_dummy_value()

        return types.void(a, b, types.intp, types.intp, out), generate

    return product_tile


def _multiply(
    builder: Any, count: Any, factors: Any, numbers: Any, matrix: Matrix, sums: Any, adds: bool
) -> None:
    """Two vectors at each of the places `sums` = (or +=) Σ_{q < count} factor · two vectors.

    factors(q): the places of a factor for each sum;  numbers(q): the place of the two vectors in a
    matrix. They stay in registers: a step takes two loads of vectors and one of each factor for two
    multiply-adds a factor.
    """
    zeros = ir.Constant(matrix.vector, [0.0] * matrix.lanes)
    first_lane = ir.Constant(ir.VectorType(ir.IntType(32), matrix.lanes), None)
    totals = [[cgutils.alloca_once(builder, matrix.vector) for _ in range(2)] for _ in sums]
    for total in totals:
        for v in range(2):
            builder.store(zeros, total[v])
    with cgutils.for_range(builder, count) as loop:
        row = numbers(loop.index)
        vectors = [matrix.load(row, v) for v in range(2)]
        for place, total in zip(factors(loop.index), totals, strict=True):
            lane = builder.insert_element(
                zeros, builder.load(place), ir.Constant(ir.IntType(32), 0)
            )
            factor = builder.shuffle_vector(lane, lane, first_lane)
            for v in range(2):
                product = builder.fmul(vectors[v], factor, flags=CONTRACT)
                so_far = builder.load(total[v])
                builder.store(builder.fadd(so_far, product, flags=CONTRACT), total[v])
    found = [[builder.load(total[v]) for v in range(2)] for total in totals]
    if adds:  # all are read before one is written: a place given twice is added to once
        before = [[matrix.load(place, v) for v in range(2)] for place in sums]
        found = [
            [builder.fadd(*pair) for pair in zip(*two, strict=True)]
            for two in zip(before, found, strict=True)
        ]
    for place, vectors in zip(sums, found, strict=True):
        for v in range(2):
            matrix.store(vectors[v], place, v)


product_tile, add_product_tile = _product_tile(False), _product_tile(True)


def _number_at(context: Any, builder: Any, x: Any, pixels: Any, pixels_value: Any) -> Any:
    """The function from the place of one of x's elements to that of the number it stands for: a
    byte for the one of this place in the list `pixels`, a number for itself."""
    if x.dtype != types.uint8:
        return lambda place: place
    numbers = context.make_array(pixels)(context, builder, pixels_value).data

    def looked_up(place: Any) -> Any:
        return builder.gep(numbers, [builder.zext(builder.load(place), ir.IntType(64))])

    return looked_up


@intrinsic
def add_strip_to_rows(
    typing_context: Any, x: Any, pixels: Any, b: Any, rows: Any, i: Any, d: Any, j: Any, out: Any
) -> Any:
    """out[n, j + l] += Σ_{q < STRIP} x[n, d + q] b[d + q, j + l] for n in rows[i : i + TILE],
    0 <= l < 2 · lanes. rows: int64. A row may be named twice, and is added to once.
    In place of x[n, d + q] pixels[x[n, d + q]] where x holds bytes, in both functions."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x_value, pixels_value, b_value, rows_value, i, d, j, out_value = arguments
        left = Matrix(context, builder, x, x_value)
        number_at = _number_at(context, builder, x, pixels, pixels_value)
        right = Matrix(context, builder, b, b_value)
        target = Matrix(context, builder, out, out_value)
        names = context.make_array(rows)(context, builder, rows_value).data
        named = [
            builder.sext(
                builder.load(builder.gep(names, [builder.add(i, int64(r))])), ir.IntType(64)
            )
            for r in range(TILE)
        ]
        starts = [left.place(n, d) for n in named]
        _multiply(
            builder,
            int64(STRIP),
            lambda q: [number_at(builder.gep(start, [q])) for start in starts],
            lambda q: right.place(builder.add(d, q), j),
            right,
            [target.place(n, j) for n in named],
            True,
        )
        return context.get_dummy_value()

    integer = types.intp
    return types.void(x, pixels, b, rows, integer, integer, integer, out), generate


@intrinsic
def add_rows_to_strip(
    typing_context: Any,
    x: Any,
    pixels: Any,
    dy: Any,
    rows: Any,
    count: Any,
    d: Any,
    j: Any,
    out: Any,
) -> Any:
    """out[d + r, j + l] += Σ_{n in rows[:count]} x[n, d + r] dy[n, j + l] for 0 <= r < TILE,
    0 <= l < 2 · lanes."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x_value, pixels_value, dy_value, rows_value, count, d, j, out_value = arguments
        left = Matrix(context, builder, x, x_value)
        number_at = _number_at(context, builder, x, pixels, pixels_value)
        right = Matrix(context, builder, dy, dy_value)
        target = Matrix(context, builder, out, out_value)
        names = context.make_array(rows)(context, builder, rows_value).data

        def n(i: Any) -> Any:
            return builder.load(builder.gep(names, [i]))

        def factors(i: Any) -> list[Any]:
            start = left.place(n(i), d)
            return [number_at(builder.gep(start, [int64(r)])) for r in range(TILE)]

        _multiply(
            builder,
            count,
            factors,
            lambda i: right.place(n(i), j),
            right,
            [target.place(builder.add(d, int64(r)), j) for r in range(TILE)],
            True,
        )
        return context.get_dummy_value()

    integer = types.intp
    return types.void(x, pixels, dy, rows, integer, integer, integer, out), generate
