"""Scratch of which each part, and so each thread, has its own, a page apart from the others'.

A processor fetches what lies behind the lines that it is asked for, up to the end of a page. Where
the scratch of one thread follows that of another, it so takes lines from the other core, which
writes them again at once. On an Intel Xeon a convolution's two parts took 1.13 times as long beside
each other as alone, and 1.03 times a page apart (bench/README.md).
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

_PAGE = 4096  # bytes


def scratch_of_parts(slot: str, parts: int, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    """Scratch in which `part_of` finds an array of this shape for each part.

    For a shape (n, ...) it is (parts, n + spare, ...), with the fewest spare rows that fill a page.
    """
    n, *rest = shape
    spare = -(-_PAGE // (prod(rest) * np.dtype(dtype).itemsize))
    return scratch(slot, (parts, n + spare, *rest), dtype)


@intrinsic
def part_of(typing_context: Any, x: Any, part: Any) -> Any:
    """The array of one part, x[part, :n]: put together here, it takes the compiler less time."""
    array_type = types.Array(x.dtype, x.ndim - 1, "C")

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        parts = context.make_array(x)(context, builder, arguments[0])
        rows, *rest = cgutils.unpack_tuple(builder, parts.shape)[1:]
        step, *strides = cgutils.unpack_tuple(builder, parts.strides)
        spare = builder.udiv(builder.add(strides[0], int64(_PAGE - 1)), strides[0])
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
