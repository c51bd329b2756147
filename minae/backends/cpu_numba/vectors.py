"""What loops cannot tell the compiler: which rows are contiguous, and what stays in registers.

Each function here is an intrinsic: where a kernel calls it, `generate` writes LLVM instructions in
place of the call. `builder.add(a, b)` is not a sum, it emits the instruction for one; a Python loop
in `generate` emits its body again and again, so it costs no branch.
"""

# mypy: allow-untyped-calls

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils

from minae.backends.cpu_numba.arrays import contiguous
from minae.backends.cpu_numba.compiler import AVX512, VECTOR_BYTES, intrinsic
from minae.backends.spec import Array

OUTPUTS = 8 if AVX512 else 4  # their sums, two vectors each, fill half of 32 or 16 registers
LANES = VECTOR_BYTES // 4  # float32 numbers in a vector
_LINE = 64  # bytes that are fetched into the cache together
CONTRACT = ("contract",)  # a product and a sum may be one instruction
RUN = 2 * LANES  # numbers in two vectors of float32, in four of float64


def contiguous_rows(slot: str, x: Array) -> Array:
    """x (N, Z) itself if each of its rows is contiguous, else a copy of it in scratch."""
    return x if x.strides[1] == x.itemsize else contiguous(slot, x)


def int64(value: int) -> Any:
    return ir.Constant(ir.IntType(64), value)


class Matrix:
    """A 2-d array with contiguous rows as `generate` sees it: its methods emit instructions."""

    def __init__(self, context: Any, builder: Any, array_type: Any, value: Any) -> None:
        self.builder = builder
        self.array = context.make_array(array_type)(context, builder, value)
        self.strides = cgutils.unpack_tuple(builder, self.array.strides, 2)
        self.shape = cgutils.unpack_tuple(builder, self.array.shape, 2)
        self.lanes = VECTOR_BYTES // (array_type.dtype.bitwidth // 8)
        self.vector = ir.VectorType(context.get_data_type(array_type.dtype), self.lanes)

    def place(self, row: Any, column: Any) -> Any:
        """Pointer to the number in this row and column."""
        offset = self.builder.mul(row, self.strides[0])
        return self.builder.gep(
            cgutils.pointer_add(self.builder, self.array.data, offset), [column]
        )

    def vector_at(self, place: Any, v: int) -> Any:
        """Pointer to the v-th vector from a place on."""
        start = self.builder.gep(place, [int64(v * self.lanes)])
        return self.builder.bitcast(start, self.vector.as_pointer())

    def load(self, place: Any, v: int = 0) -> Any:
        return self.builder.load(self.vector_at(place, v), align=4)

    def store(self, numbers: Any, place: Any, v: int = 0) -> None:
        self.builder.store(numbers, self.vector_at(place, v), align=4)


@intrinsic
def row_of(typing_context: Any, x: Any, n: Any) -> Any:
    """x[n] for x (N, Z) with contiguous rows, and declared contiguous.

    Half of a (N, 2Z) array has the type of an array with any strides, and loops over such are not
    vectorized; a row of it is contiguous, which only the caller knows.
    """
    row_type = types.Array(x.dtype, 1, "C", readonly=not x.mutable)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        matrix = Matrix(context, builder, x, arguments[0])
        row = context.make_array(row_type)(context, builder)
        context.populate_array(
            row,
            data=matrix.place(arguments[1], int64(0)),
            shape=matrix.shape[1:],
            strides=matrix.strides[1:],
            itemsize=matrix.array.itemsize,
            meminfo=None,
        )
        return row._getvalue()

    return row_type(x, types.intp), generate


@intrinsic
def prefetch(typing_context: Any, x: Any, first: Any, end: Any) -> Any:
    """Ask for x[first:end] of a 1-d array, to have it in the second cache when it is read some µs
    later: the first is full of what is in use."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        numbers = context.make_array(x)(context, builder, arguments[0]).data
        flag = ir.IntType(32)
        line = ir.IntType(8).as_pointer()
        function = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [line, flag, flag, flag]),
            "llvm.prefetch.p0i8",
        )
        for_reading, keep, data = (ir.Constant(flag, value) for value in (0, 2, 1))
        step = int64(max(1, _LINE * 8 // x.dtype.bitwidth))
        with cgutils.for_range_slice(builder, arguments[1], arguments[2], step) as (i, _):
            place = builder.bitcast(builder.gep(numbers, [i]), line)
            builder.call(function, [place, for_reading, keep, data])
        return context.get_dummy_value()

    return types.void(x, types.intp, types.intp), generate


@intrinsic
def transpose_tile(typing_context: Any, x: Any, r: Any, s: Any, y: Any) -> Any:
    """y[s + j, r + i] = x[r + i, s + j] for 0 <= i, j < n, n the lanes of a vector."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source = Matrix(context, builder, x, arguments[0])
        target = Matrix(context, builder, y, arguments[3])
        r, s = arguments[1:3]
        n = source.lanes
        rows = [source.load(source.place(builder.add(r, int64(i)), s)) for i in range(n)]
        for j, row in enumerate(_transposed(builder, rows)):
            target.store(row, target.place(builder.add(s, int64(j)), r))
        return context.get_dummy_value()

    return types.void(x, types.intp, types.intp, y), generate


@intrinsic
def transpose_edge(
    typing_context: Any, x: Any, r: Any, s: Any, rows: Any, columns: Any, y: Any
) -> Any:
    """`transpose_tile` for 0 <= i < min(rows, n), 0 <= j < min(columns, n).

    Where rows are missing the last one is read again, and stored again, the right one last.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source = Matrix(context, builder, x, arguments[0])
        r, s, rows, columns = arguments[1:5]
        target = Matrix(context, builder, y, arguments[5])
        n = source.lanes

        def within(i: int, count: Any) -> Any:
            exists = builder.icmp_signed("<", int64(i), count)
            return builder.select(exists, int64(i), builder.sub(count, int64(1)))

        mask = _lanes_below(builder, source.vector, columns)
        numbers = [
            _masked_load(
                builder, source.vector, source.place(builder.add(r, within(i, rows)), s), mask
            )
            for i in range(n)
        ]
        mask = _lanes_below(builder, source.vector, rows)
        for j, row in reversed([*enumerate(_transposed(builder, numbers))]):
            place = target.place(builder.add(s, within(j, columns)), r)
            _masked_store(builder, row, place, mask)
        return context.get_dummy_value()

    integer = types.intp
    return types.void(x, integer, integer, integer, integer, y), generate


def _transposed(builder: Any, rows: list[Any]) -> list[Any]:
    """The columns of as many rows as they have lanes.

    A round interleaves row i with row i + n/2, for every i < n/2, into two rows. It rotates the
    bits of (i, j), the place of a number, by one; after log₂ n rounds i and j have changed places.
    """
    n = len(rows)
    interleaved = [k // 2 + k % 2 * n for k in range(2 * n)]
    for _ in range(n.bit_length() - 1):
        rows = [
            _lanes(builder, rows[i], rows[i + n // 2], half)
            for i in range(n // 2)
            for half in (interleaved[:n], interleaved[n:])
        ]
    return rows


@intrinsic
def copy_numbers(typing_context: Any, x: Any, i: Any, count: Any, y: Any, j: Any) -> Any:
    """y[j : j + count] = x[i : i + count] of 1-d arrays, a vector at a time, the last one masked:
    of few numbers, a loop would take most one by one."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x_value, i, count, y_value, j = arguments
        source = context.make_array(x)(context, builder, x_value).data
        target = context.make_array(y)(context, builder, y_value).data
        vector = _vector_of(context, x)
        with cgutils.for_range_slice(builder, int64(0), count, int64(vector.count)) as (n, _):
            mask = _lanes_below(builder, vector, builder.sub(count, n))
            numbers = _masked_load(builder, vector, builder.gep(source, [builder.add(i, n)]), mask)
            _masked_store(builder, numbers, builder.gep(target, [builder.add(j, n)]), mask)
        return context.get_dummy_value()

    return types.void(x, types.intp, types.intp, y, types.intp), generate


@intrinsic
def list_with_bit(typing_context: Any, words: Any, bit: Any, count: Any, numbers: Any) -> Any:
    """numbers[i] = the i-th n < count for which words[n] has the bit; returns how many there are.
    Eight words at a time, by an instruction of AVX-512: words and numbers must have room for
    whole eights. words: 64 bits; numbers: int64; both contiguous."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        words_value, bit, count, numbers_value = arguments
        source = context.make_array(words)(context, builder, words_value).data
        target = context.make_array(numbers)(context, builder, numbers_value).data
        integer, lanes = int64(0).type, 8
        vector, mask = ir.VectorType(integer, lanes), ir.VectorType(ir.IntType(1), lanes)
        wanted = in_all_lanes(builder, builder.shl(int64(1), bit), lanes)
        places = ir.Constant(vector, [*range(lanes)])
        compress = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(vector, [vector, vector, mask]),
            "llvm.x86.avx512.mask.compress.v8i64",
        )
        found = cgutils.alloca_once_value(builder, int64(0))
        with cgutils.for_range_slice(builder, int64(0), count, int64(lanes)) as (n, _):
            word = builder.bitcast(builder.gep(source, [n]), vector.as_pointer())
            bits = builder.and_(builder.load(word, align=8), wanted)
            below = _lanes_below(builder, vector, builder.sub(count, n))
            has = builder.and_(builder.icmp_signed("!=", bits, ir.Constant(vector, None)), below)
            ns = builder.add(places, in_all_lanes(builder, n, lanes))
            packed = builder.call(compress, [ns, ir.Constant(vector, None), has])
            so_far = builder.load(found)
            place = builder.bitcast(builder.gep(target, [so_far]), vector.as_pointer())
            builder.store(packed, place, align=8)
            more = builder.ctpop(builder.bitcast(has, ir.IntType(lanes)))
            builder.store(builder.add(so_far, builder.zext(more, integer)), found)
        return builder.load(found)

    return types.intp(words, types.intp, types.intp, numbers), generate


def _lanes_below(builder: Any, vector: Any, count: Any) -> Any:
    """The mask of a vector's lanes with a number below `count`."""
    lane = ir.Constant(ir.VectorType(int64(0).type, vector.count), [*range(vector.count)])
    return builder.icmp_signed("<", lane, in_all_lanes(builder, count, vector.count))


def unrelated(builder: Any, pointers: list[Any]) -> list[Any]:
    """The same pointers, but how they lie to one another is hidden from the compiler. Where it
    knows, it steps from each to the next, and eight additions in a row take as long as the sixteen
    multiply-adds between them."""
    kind = ir.FunctionType(pointers[0].type, [pointers[0].type])
    # no instruction, whose result lies in the register of its argument
    hidden = ir.InlineAsm(kind, "", "=r,0", False)
    return [builder.call(hidden, [pointer]) for pointer in pointers]


def in_all_lanes(builder: Any, value: Any, count: int) -> Any:
    """The vector with a value in each of so many lanes."""
    vector, number = ir.VectorType(value.type, count), ir.IntType(32)
    lane = builder.insert_element(ir.Constant(vector, None), value, ir.Constant(number, 0))
    return builder.shuffle_vector(lane, lane, ir.Constant(ir.VectorType(number, count), None))


def _masked_load(builder: Any, vector: Any, place: Any, mask: Any) -> Any:
    """The vector at a place in the lanes of the mask, zeros in the others, which are not read."""
    pointer = builder.bitcast(place, vector.as_pointer())
    bytes_apart = ir.Constant(ir.IntType(32), 4)
    zeros = ir.Constant(vector, None)
    return _call(builder, "llvm.masked.load", vector, [pointer, bytes_apart, mask, zeros])


def _masked_store(builder: Any, numbers: Any, place: Any, mask: Any) -> None:
    """The lanes of the mask go to a place; the others are not written."""
    pointer = builder.bitcast(place, numbers.type.as_pointer())
    bytes_apart = ir.Constant(ir.IntType(32), 4)
    _call(builder, "llvm.masked.store", ir.VoidType(), [numbers, pointer, bytes_apart, mask])


def _call(builder: Any, name: str, result: Any, arguments: list[Any]) -> Any:
    """What LLVM's own function gives, of those that are there for each type of vector."""
    pointer = next(value.type for value in arguments if value.type.is_pointer)
    vector = pointer.pointee
    element = str(vector.element).replace("float", "f32").replace("double", "f64")
    of = f"v{vector.count}{element}"
    function = cgutils.get_or_insert_function(
        builder.module,
        ir.FunctionType(result, [value.type for value in arguments]),
        f"{name}.{of}.p0{of}",
    )
    return builder.call(function, arguments)


def _vector_of(context: Any, array: Any) -> Any:
    """The type of a vector of an array's numbers."""
    return ir.VectorType(
        context.get_data_type(array.dtype), VECTOR_BYTES * 8 // array.dtype.bitwidth
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
                part = _lanes(builder, added, added, range(j, j + TOGETHER))
                before = builder.load(pointer, align=4)
                builder.store(builder.fadd(before, part), pointer, align=4)
        return context.get_dummy_value()

    integer = types.intp
    return (
        types.void(x, dy, taps, integer, integer, integer, integer, integer, dw),
        generate,
    )


def _lanes(builder: Any, a: Any, b: Any, places: Any) -> Any:
    """The vector of these lanes of a and, from a's number of lanes on, b."""
    mask = [*places]
    vector = ir.VectorType(ir.IntType(32), len(mask))
    return builder.shuffle_vector(a, b, ir.Constant(vector, mask))


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
                _lanes(builder, p, q, order), _lanes(builder, p, q, [i + half for i in order])
            )
            for p, q in zip(vectors[: len(vectors) // 2], vectors[len(vectors) // 2 :], strict=True)
        ]
        half //= 2
    return vectors[0]
