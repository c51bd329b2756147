"""Scratch of which each part, and so each thread, has its own, a page apart from the others'.

A processor also fetches what follows the lines that it is asked for, up to the end of a page. If
that is another thread's scratch, it takes these lines from the core that is writing them. On an
Intel Xeon the two parts of a convolution took 1.13 times as long at the same time as one after the
other, and 1.04 times with a page between them (bench/README.md).
"""

# mypy: allow-untyped-calls

from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import types
from numba.core import cgutils

from minae.backends.cpu_numba.arrays import scratch
from minae.backends.cpu_numba.compiler import intrinsic
from minae.backends.cpu_numba.vectors import int64
from minae.backends.spec import Array

_PAGE = 4096  # bytes of the smallest page


def scratch_of_parts(slot: str, parts: int, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    """Scratch in which `part_of` finds an array of this shape for each part.

    For a shape (n, ...) it is (parts, n + spare, ...), spare the fewest rows that fill a page:
    contiguous, so that a kernel is compiled for one type whatever the number of parts.
    """
    n, *rest = shape
    row_bytes = prod(rest) * np.dtype(dtype).itemsize
    return scratch(slot, (parts, n + -(-_PAGE // row_bytes), *rest), dtype)


@intrinsic
def part_of(typing_context: Any, x: Any, part: Any) -> Any:
    """The array of one part, (n, ...), for x of `scratch_of_parts`, whose spare rows are counted
    again. A slice, x[part, :n], would take the compiler longer."""
    if x.layout != "C" or x.ndim < 2:
        return None  # such an array is not of `scratch_of_parts`
    array_type = types.Array(x.dtype, x.ndim - 1, "C")

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        parts = context.make_array(x)(context, builder, arguments[0])
        rows, *rest = cgutils.unpack_tuple(builder, parts.shape)[1:]
        step, *strides = cgutils.unpack_tuple(builder, parts.strides)
        row_bytes = strides[0]
        spare = builder.udiv(builder.add(row_bytes, int64(_PAGE - 1)), row_bytes)
        array = context.make_array(array_type)(context, builder)
        first = builder.mul(arguments[1], step)
        context.populate_array(
            array,
            data=cgutils.pointer_add(builder, parts.data, first),
            shape=[builder.sub(rows, spare), *rest],
            strides=strides,
            itemsize=parts.itemsize,
            meminfo=None,
        )
        return array._getvalue()

    return array_type(x, types.intp), generate
