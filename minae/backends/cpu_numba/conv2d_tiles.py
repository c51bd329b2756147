"""Tiles of convolutions, whose sums stay in registers: rows of channels, and taps.

Intrinsics, as those of `vectors.py`: `generate` writes LLVM instructions in place of a call.
"""

# mypy: allow-untyped-calls

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils

from minae.backends.cpu_numba.compiler import AVX512, intrinsic
from minae.backends.cpu_numba.vectors import (
    CONTRACT,
    OUTPUTS,
    Matrix,
    in_all_lanes,
    int64,
    shuffled,
)


def _add_weighted_rows(rows: int, vectors: int) -> Any:
    """The intrinsic `add_weighted_rows` for a number of rows, and of vectors in each."""

    @intrinsic
    def add_weighted_rows(
        typing_context: Any,
        x: Any,
        p: Any,
        q: Any,
        w: Any,
        y: Any,
        a: Any,
        count: Any,
        k: Any,
    ) -> Any:
        """y[a + i, k + j] += Σ_{t < count} x[p[a + i] + q[t]] w[t, k + j]
        for 0 <= i < rows, 0 <= j < vectors · lanes. x, p and q have one axis.

        The sums stay in registers: a term costs `vectors` loads of w and `rows` numbers of x, each
        spread over a vector as it is loaded, for rows · vectors multiply-adds.
        """

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            numbers, places, offsets = (
                context.make_array(kind)(context, builder, value).data
                for kind, value in zip((x, p, q), arguments[:3], strict=True)
            )
            weights = Matrix(context, builder, w, arguments[3])
            target = Matrix(context, builder, y, arguments[4])
            a, count, k = arguments[5:]
            row_numbers = [builder.add(a, int64(i)) for i in range(rows)]
            reads = [builder.load(builder.gep(places, [row])) for row in row_numbers]
            outputs = [target.place(row, k) for row in row_numbers]
            sums = [
                [cgutils.alloca_once_value(builder, target.load(row, v)) for v in range(vectors)]
                for row in outputs
            ]
            with cgutils.for_range(builder, count) as loop:
                start = builder.gep(numbers, [builder.load(builder.gep(offsets, [loop.index]))])
                weight_row = weights.place(loop.index, k)
                weight = [weights.load(weight_row, v) for v in range(vectors)]
                for read, row in zip(reads, sums, strict=True):
                    number = builder.load(builder.gep(start, [read]))
                    factor = in_all_lanes(builder, number, target.lanes)
                    for v in range(vectors):
                        product = builder.fmul(weight[v], factor, flags=CONTRACT)
                        total = builder.load(row[v])
                        builder.store(builder.fadd(total, product, flags=CONTRACT), row[v])
            for output, row in zip(outputs, sums, strict=True):
                for v in range(vectors):
                    target.store(builder.load(row[v]), output, v)
            return context.get_dummy_value()

        integer = types.intp
        return types.void(x, p, q, w, y, integer, integer, integer), generate

    return add_weighted_rows


# Nine rows of two vectors, which with their factors fill 21 of 32 registers: with eleven, and with
# eight where it compiles for Zen 5, the compiler, which loads ahead, keeps sums in memory. Four,
# seven and nine make every number of rows but 1, 2, 3, 5, 6 and 10. Of 16 registers four rows fill
# 11 (not measured).
MANY_ROWS, SOME_ROWS, FEW_ROWS = (9, 7, 4) if AVX512 else (4, 3, 2)
add_many_wide_rows, add_some_wide_rows, add_few_wide_rows = (
    _add_weighted_rows(rows, 2) for rows in (MANY_ROWS, SOME_ROWS, FEW_ROWS)
)
add_many_narrow_rows, add_some_narrow_rows, add_few_narrow_rows = (
    _add_weighted_rows(rows, 1) for rows in (MANY_ROWS, SOME_ROWS, FEW_ROWS)
)


def _sums_of_taps(outputs: int, vectors: int) -> Any:
    """The intrinsic `sums_of_taps` for a number of outputs, and of vectors in each."""

    @intrinsic
    def sums_of_taps(
        typing_context: Any,
        x: Any,
        w: Any,
        taps: Any,
        count: Any,
        C: Any,
        L: Any,
        n: Any,
        k: Any,
        rows: Any,
        y: Any,
    ) -> Any:
        """y[rows[k + o], n + i] = Σ over t < count, c < C of
        w[taps[1, t]·C + c, k + o] x[c·L + taps[0, t], n + i]
        for 0 <= o < outputs, 0 <= i < vectors · lanes.

        The sums stay in registers: a term costs `vectors` loads of x and `outputs` of w for
        outputs · vectors multiply-adds.
        """

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            x_value, w_value, taps_value, count, C, L, n, k, rows_value, y_value = arguments
            source = Matrix(context, builder, x, x_value)
            weights = Matrix(context, builder, w, w_value)
            tap_list = Matrix(context, builder, taps, taps_value)
            target = Matrix(context, builder, y, y_value)
            row_numbers = context.make_array(rows)(context, builder, rows_value).data
            zeros = ir.Constant(source.vector, [0.0] * source.lanes)
            first_lane = ir.Constant(ir.VectorType(ir.IntType(32), source.lanes), None)
            sums = [
                [cgutils.alloca_once(builder, source.vector) for _ in range(vectors)]
                for _ in range(outputs)
            ]
            for o in range(outputs):
                for v in range(vectors):
                    builder.store(zeros, sums[o][v])
            with (
                cgutils.for_range(builder, count) as tap,
                cgutils.for_range(builder, C) as channel,
            ):
                x_place = builder.load(tap_list.place(int64(0), tap.index))
                w_place = builder.load(tap_list.place(int64(1), tap.index))
                x_row = builder.add(builder.mul(channel.index, L), x_place)
                w_row = builder.add(builder.mul(w_place, C), channel.index)
                read = source.place(x_row, n)
                numbers = [source.load(read, v) for v in range(vectors)]
                for o in range(outputs):
                    weight = builder.load(weights.place(w_row, builder.add(k, int64(o))))
                    lane = builder.insert_element(zeros, weight, ir.Constant(ir.IntType(32), 0))
                    factor = builder.shuffle_vector(lane, lane, first_lane)
                    for v in range(vectors):
                        product = builder.fmul(numbers[v], factor, flags=CONTRACT)
                        total = builder.load(sums[o][v])
                        builder.store(builder.fadd(total, product, flags=CONTRACT), sums[o][v])
            for o in range(outputs):
                row = builder.load(builder.gep(row_numbers, [builder.add(k, int64(o))]))
                output = target.place(row, n)
                for v in range(vectors):
                    target.store(builder.load(sums[o][v]), output, v)
            return context.get_dummy_value()

        integers = [types.intp] * 5
        return types.void(x, w, taps, *integers, rows, y), generate

    return sums_of_taps


sums_of_taps = _sums_of_taps(OUTPUTS, 2)
MANY = 4  # vectors of a single output, a whole chunk: with two, sums wait for one another
sum_of_taps, long_sum_of_taps = _sums_of_taps(1, 2), _sums_of_taps(1, MANY)
"""`sums_of_taps` for a single output, of two and of many vectors."""

TOGETHER = 4  # taps, and outputs, whose products `add_products` keeps in registers


@intrinsic
def add_products(
    typing_context: Any,
    x: Any,
    dy: Any,
    taps: Any,
    t: Any,
    first: Any,
    step: Any,
    end: Any,
    k: Any,
    dw: Any,
) -> Any:
    """dw[taps[1, t + i], k + o] += Σ_n x[taps[0, t + i], n] dy[first + o·step, n]
    for 0 <= i, o < TOGETHER, over 0 <= n < end, a number of whole vectors.

    A vector read is used TOGETHER times. The sums' lanes are added across sums, not
    within each: halves of two vectors make one vector, and so on until a vector holds as many
    sums as it has lanes. Sum by sum this took as long as the products themselves.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x_value, dy_value, taps_value, t, first, step, end, k, dw_value = arguments
        source = Matrix(context, builder, x, x_value)
        gradient = Matrix(context, builder, dy, dy_value)
        tap_list = Matrix(context, builder, taps, taps_value)
        target = Matrix(context, builder, dw, dw_value)
        lanes = source.lanes
        places = [builder.add(t, int64(i)) for i in range(TOGETHER)]
        reads = [
            source.place(builder.load(tap_list.place(int64(0), place)), int64(0))
            for place in places
        ] + [
            gradient.place(builder.add(first, builder.mul(step, int64(o))), int64(0))
            for o in range(TOGETHER)
        ]
        zeros = ir.Constant(source.vector, [0.0] * lanes)
        sums = [cgutils.alloca_once(builder, source.vector) for _ in places * TOGETHER]
        for total in sums:
            builder.store(zeros, total)
        with cgutils.for_range_slice(builder, int64(0), end, int64(lanes)) as (n, _):
            numbers = [source.load(builder.gep(read, [n])) for read in reads]
            pairs = [(p, q) for p in numbers[:TOGETHER] for q in numbers[TOGETHER:]]
            for total, (p, q) in zip(sums, pairs, strict=True):
                product = builder.fmul(p, q, flags=CONTRACT)
                sum_so_far = builder.load(total)
                builder.store(builder.fadd(sum_so_far, product, flags=CONTRACT), total)
        totals = [builder.load(total) for total in sums]
        row = ir.VectorType(source.vector.element, TOGETHER)
        for i in range(0, len(totals), lanes):
            added = _added_lanes(builder, totals[i : i + lanes])
            for j in range(0, lanes, TOGETHER):
                place = places[(i + j) // TOGETHER]
                w_row = builder.load(tap_list.place(int64(1), place))
                pointer = builder.bitcast(target.place(w_row, k), row.as_pointer())
                part = shuffled(builder, added, added, range(j, j + TOGETHER))
                before = builder.load(pointer, align=4)
                builder.store(builder.fadd(before, part), pointer, align=4)
        return context.get_dummy_value()

    integer = types.intp
    return (
        types.void(x, dy, taps, integer, integer, integer, integer, integer, dw),
        generate,
    )


def _added_lanes(builder: Any, vectors: list[Any]) -> Any:
    """A vector whose lane l is the sum of the lanes of vectors[l]; as many vectors as lanes."""
    lanes = len(vectors)
    half = lanes // 2
    while half:
        low = [i for i in range(2 * lanes) if i // half % 2 == 0]  # of every 2·half lanes the first
        # and of the two vectors in turn
        order = sorted(low, key=lambda i: (i % lanes // (2 * half), i // lanes, i % half))
        vectors = [
            builder.fadd(
                shuffled(builder, p, q, order), shuffled(builder, p, q, [i + half for i in order])
            )
            for p, q in zip(vectors[: len(vectors) // 2], vectors[len(vectors) // 2 :], strict=True)
        ]
        half //= 2
    return vectors[0]
