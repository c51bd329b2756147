"""Tiles of matrix products, whose sums stay in registers: whole ones, and of rows in a list.

Intrinsics, as those of `vectors.py`: `generate` writes LLVM instructions in place of a call.
"""

# mypy: allow-untyped-calls

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils

from minae.backends.cpu_numba.compiler import intrinsic
from minae.backends.cpu_numba.vectors import (
    CONTRACT,
    OUTPUTS,
    Matrix,
    in_all_lanes,
    int64,
    unrelated,
)
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
            starts = unrelated(builder, [left.place(row, int64(0)) for row in rows])

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


@intrinsic
def strided_product_tile(
    typing_context: Any,
    a: Any,
    first: Any,
    down: Any,
    along: Any,
    count: Any,
    b: Any,
    j: Any,
    out: Any,
    i: Any,
    k: Any,
) -> Any:
    """out[i + r, k + l] = Σ_{q < count} a[first + r·down + q·along] b[q, j + l] for 0 <= r < TILE,
    0 <= l < 2 · lanes.

    a: all numbers of a matrix, one axis, such that a matrix and its transpose are of one type.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        a_value, first, down, along, count, b_value, j, out_value, i, k = arguments
        numbers = context.make_array(a)(context, builder, a_value).data
        right = Matrix(context, builder, b, b_value)
        target = Matrix(context, builder, out, out_value)
        rows = [builder.add(first, builder.mul(int64(r), down)) for r in range(TILE)]
        starts = unrelated(builder, [builder.gep(numbers, [row]) for row in rows])

        def factors(q: Any) -> list[Any]:
            step = builder.mul(q, along)
            return [builder.gep(start, [step]) for start in starts]

        _multiply(
            builder,
            count,
            factors,
            lambda q: right.place(q, j),
            right,
            [target.place(builder.add(i, int64(r)), k) for r in range(TILE)],
            False,
        )
        return context.get_dummy_value()

    integer = types.intp
    integers = (integer, integer, integer, integer)
    return types.void(a, *integers, b, integer, out, integer, integer), generate


@intrinsic
def take_strip(typing_context: Any, x: Any, n: Any, d: Any, scale: Any, strip: Any, i: Any) -> Any:
    """strip[i, q] = scale · x[n, d + q] for 0 <= q < STRIP, x in bytes or in numbers."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x_value, n, d, scale_value, strip_value, i = arguments
        source = Matrix(context, builder, x, x_value).place(n, d)
        target = Matrix(context, builder, strip, strip_value).place(i, int64(0))
        numbers = ir.VectorType(target.type.pointee, STRIP)
        found = ir.VectorType(source.type.pointee, STRIP)
        taken = builder.load(builder.bitcast(source, found.as_pointer()), align=1)
        if x.dtype == types.uint8:
            taken = builder.uitofp(taken, numbers)
        factor = in_all_lanes(builder, scale_value, STRIP)
        place = builder.bitcast(target, numbers.as_pointer())
        builder.store(builder.fmul(taken, factor), place, align=4)
        return context.get_dummy_value()

    integer = types.intp
    return types.void(x, integer, integer, scale, strip, integer), generate


@intrinsic
def add_strip_to_rows(
    typing_context: Any, x: Any, b: Any, rows: Any, i: Any, d: Any, j: Any, out: Any
) -> Any:
    """out[rows[i + r], j + l] += Σ_{q < STRIP} x[i + r, q] b[d + q, j + l] for 0 <= r < TILE,
    0 <= l < 2 · lanes. rows: int64. A row of out may be named twice, and is added to once."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x_value, b_value, rows_value, i, d, j, out_value = arguments
        left = Matrix(context, builder, x, x_value)
        right = Matrix(context, builder, b, b_value)
        target = Matrix(context, builder, out, out_value)
        names = context.make_array(rows)(context, builder, rows_value).data
        places = [builder.add(i, int64(r)) for r in range(TILE)]
        starts = unrelated(builder, [left.place(place, int64(0)) for place in places])
        named = [builder.load(builder.gep(names, [place])) for place in places]
        _multiply(
            builder,
            int64(STRIP),
            lambda q: [builder.gep(start, [q]) for start in starts],
            lambda q: right.place(builder.add(d, q), j),
            right,
            [target.place(n, j) for n in named],
            True,
        )
        return context.get_dummy_value()

    integer = types.intp
    return types.void(x, b, rows, integer, integer, integer, out), generate


@intrinsic
def add_rows_to_strip(
    typing_context: Any, x: Any, dy: Any, rows: Any, count: Any, d: Any, j: Any, out: Any
) -> Any:
    """out[d + r, j + l] += Σ_{i < count} x[i, r] dy[rows[i], j + l] for 0 <= r < STRIP,
    0 <= l < 2 · lanes, TILE of them at a time."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x_value, dy_value, rows_value, count, d, j, out_value = arguments
        left = Matrix(context, builder, x, x_value)
        right = Matrix(context, builder, dy, dy_value)
        target = Matrix(context, builder, out, out_value)
        names = context.make_array(rows)(context, builder, rows_value).data
        for first in range(0, STRIP, TILE):
            tile = range(first, first + TILE)

            def factors(i: Any, tile: Any = tile) -> list[Any]:
                return [left.place(i, int64(r)) for r in tile]

            _multiply(
                builder,
                count,
                factors,
                lambda i: right.place(builder.load(builder.gep(names, [i])), j),
                right,
                [target.place(builder.add(d, int64(r)), j) for r in tile],
                True,
            )
        return context.get_dummy_value()

    integer = types.intp
    return types.void(x, dy, rows, integer, integer, integer, out), generate
