"""What loops cannot tell the compiler: which rows are contiguous, and what is done with vectors.

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
            shuffled(builder, rows[i], rows[i + n // 2], half)
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


def shuffled(builder: Any, a: Any, b: Any, places: Any) -> Any:
    """The vector of these lanes of a and, from a's number of lanes on, b."""
    mask = [*places]
    vector = ir.VectorType(ir.IntType(32), len(mask))
    return builder.shuffle_vector(a, b, ir.Constant(vector, mask))
