"""Which calls of a step one kernel can do: those of its output layer, and a convolution with the
bias and activation, or f' and the bias gradient, that follow it. And which batches need not become
numbers: what reads them scales bytes.

A fused kernel leaves out arrays that lay between the calls it replaces, and bytes the numbers that
they stand for. They may do so only where no other call of the step looks at those arrays.
"""

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np

from minae.backends.cpu_numba import conv2d
from minae.backends.cpu_numba.activations import bias_activation_backward, bias_activation_forward
from minae.backends.cpu_numba.arrays import empty
from minae.backends.cpu_numba.dense import matmul
from minae.backends.cpu_numba.epilogue import activated, differentiated
from minae.backends.cpu_numba.gather import gather, gather_bytes
from minae.backends.cpu_numba.losses import bce_with_logits, mse
from minae.backends.cpu_numba.output_layer import KERNELS, output_layer
from minae.backends.cpu_numba.sparse import (
    scaled_sparse_matmul,
    scaled_sparse_weight_gradient,
    sparse_matmul,
    sparse_weight_gradient,
)
from minae.backends.spec import STRIP, Array

Call: TypeAlias = tuple[Callable[..., None], dict[str, Any]]  # an operation, arguments by name

_LOSSES: dict[Callable[..., None], tuple[str, str]] = {  # the names of y and dy
    bce_with_logits: ("logits", "dlogits"),
    mse: ("y", "dy"),
}
_MOVED = ("x", "w", "b", "t", "dx", "dw", "db")  # what is read or written before its turn

# Microseconds of the six operations and of the one kernel, for D = 784 outputs of N samples and K
# features, float32, two threads, beside OpenBLAS with vectors of 512 bits
# (`python -m bench.cpu --choices` prints them anew):
#   K           32           128           256           400           1000
#   N = 32      51   34     116   77     182   131     321   249      636   613
#   N = 256    220  170     516  473    1031   872    1310  1275     3799  4214
#   N = 4096  3856 2160    8008 6287   14999 13692   21122 24635
# A block's weights are read anew for each 64 samples: with many they leave the second cache.
_FEATURES, _FEATURES_OF_FEW, _FEW = 256, 512, 256


_CONVOLUTIONS = {
    conv2d.conv2d_forward: conv2d.forward,
    conv2d.conv2d_input_gradient: conv2d.input_gradient,
}


# What reads pixels as they are or, scaled by a factor, as bytes: what takes bytes, and the names of
# the pixels and of the factor.
_OF_BYTES: dict[Callable[..., None], tuple[Callable[..., None], str, str]] = {
    sparse_matmul: (scaled_sparse_matmul, "x", "scale"),
    sparse_weight_gradient: (scaled_sparse_weight_gradient, "x", "scale"),
    output_layer: (output_layer, "t", "t_scale"),
}


def fused(calls: list[Call]) -> list[Call]:
    """The calls of a step, some replaced by fewer that do the same, or by less work."""
    return _with_epilogues(_with_bytes(_with_output_layer(calls)))


def _with_bytes(calls: list[Call]) -> list[Call]:
    """The calls of a step, its batch left as bytes if all that read it can scale them.

    A batch of 256 is 0.8 MB as numbers, written once and read three times, and 0.2 MB as bytes,
    which stay in the second cache beside M1's weights: the same time, and a few per cent less where
    the cores share no third cache. At 4096, where no cache holds the numbers, a tenth less.
    """
    start = next((i for i, (function, _) in enumerate(calls) if function is gather), None)
    if start is None:
        return calls
    gathered = calls[start][1]
    source, pixels = gathered["source"], gathered["out"]
    if source.dtype != np.uint8 or gathered["shift"] != 0 or _seen((pixels,), calls[:start]):
        return calls
    taken, after = empty(pixels.shape, np.uint8), calls[start + 1 :]
    found = [_of_bytes(call, pixels, gathered["scale"], taken) for call in after]
    left = [call for call in found if call is not None]
    if len(left) < len(after) or not _seen((pixels,), after):
        return calls
    rows = {"source": source, "indices": gathered["indices"], "out": taken}
    return [*calls[:start], (gather_bytes, rows), *left]


def _of_bytes(call: Call, pixels: Array, scale: float, taken: Array) -> Call | None:
    """What a call does, by way of the bytes if it reads the pixels; None if it cannot."""
    if not _seen((pixels,), [call]):
        return call
    function, named = call
    if function not in _OF_BYTES or (function is not output_layer and pixels.shape[1] % STRIP):
        return None
    of_bytes, name, factor = _OF_BYTES[function]
    others = {key: value for key, value in named.items() if key != name}
    if not _alike(named[name], pixels) or _seen((pixels,), [(function, others)]):
        return None
    return of_bytes, {**others, name: taken, factor: scale}


def _alike(x: Array, y: Array) -> bool:
    """Whether two arrays are the same numbers at the same places."""
    return x.dtype == y.dtype and x.__array_interface__ == y.__array_interface__


def _with_output_layer(calls: list[Call]) -> list[Call]:
    """The calls of a step, its output layer's six replaced by one of `output_layer`.

    Three and three follow each other; what stands between, a KL divergence, say, comes after the
    one, and may be given none of its arrays but the loss.
    """
    for start in range(len(calls)):
        back = [i for i in range(start + 3, len(calls)) if calls[i][0] is bias_activation_backward]
        if not back:
            break
        six = calls[start : start + 3] + calls[back[0] : back[0] + 3]
        between, after = calls[start + 3 : back[0]], calls[back[0] + 3 :]
        arguments = _output_layer(six)
        if (
            arguments is not None
            and not _seen(_left_out(six), calls[:start] + between + after)
            and not _seen(tuple(arguments[name] for name in _MOVED), between)
        ):
            return [*calls[:start], (output_layer, arguments), *between, *after]
    return calls


def plain_calls(
    x: Array,
    w: Array,
    b: Array | None,
    activation: str,
    slope: float,
    loss: Callable[..., None],
    t: Array,
    scale: float,
    *,
    y: Array,
    value: Array,
    dy: Array,
    da: Array,
    dx: Array,
    dw: Array,
    db: Array | None,
) -> list[Call]:
    """What `output_layer` does, as the layer and the loss call it."""
    given, gradient = _LOSSES[loss]
    return [
        (matmul, {"a": x, "b": w, "out": y, "transpose_a": False, "transpose_b": True}),
        (
            bias_activation_forward,
            {"x": y, "b": b, "activation": activation, "slope": slope, "out": y},
        ),
        (loss, {given: y, "t": t, "scale": scale, "value": value, gradient: dy}),
        (
            bias_activation_backward,
            {"dy": dy, "y": y, "activation": activation, "slope": slope, "dx": da, "db": db},
        ),
        (matmul, {"a": da, "b": x, "out": dw, "transpose_a": True, "transpose_b": False}),
        (matmul, {"a": da, "b": w, "out": dx, "transpose_a": False, "transpose_b": False}),
    ]


def _output_layer(calls: list[Call]) -> dict[str, Any] | None:
    """Arguments with which `output_layer` does what these calls do; None if it cannot, or if that
    would take longer."""
    functions = [function for function, _ in calls]
    loss = next((function for function in functions if function in _LOSSES), None)
    if loss is None or functions != [
        *(matmul, bias_activation_forward, loss, bias_activation_backward, matmul, matmul)
    ]:
        return None
    first, forward, compared, backward, to_w, to_x = (named for _, named in calls)
    arguments = {
        **{"x": first["a"], "w": first["b"], "b": forward["b"], "t": compared["t"]},
        **{"activation": forward["activation"], "scale": compared["scale"]},
        **{"value": compared["value"], "dx": to_x["out"], "dw": to_w["out"], "db": backward["db"]},
    }
    y, dy, da = _left_out(calls)
    plain = plain_calls(**arguments, slope=forward["slope"], loss=loss, y=y, dy=dy, da=da)
    arrays = [value for value in arguments.values() if isinstance(value, np.ndarray)]
    if (
        all(_equal(found, wanted) for found, wanted in zip(calls, plain, strict=True))
        and all(array.flags.c_contiguous for array in arrays)
        and compared["t"].shape == y.shape
        and all(b is None or b.ndim == 1 for b in (forward["b"], backward["db"]))
        and (loss.__name__, forward["activation"]) in KERNELS
        and _pays(*first["a"].shape)
    ):
        return {**arguments, "loss": loss.__name__}
    return None


def _pays(N: int, K: int) -> bool:
    """By the table above."""
    return K <= _FEATURES or (K <= _FEATURES_OF_FEW and N <= _FEW)


def _with_epilogues(calls: list[Call]) -> list[Call]:
    """The calls of a step, each convolution one with the first call that looks at its output, if
    that is its bias and activation or its derivative. It moves to where that one is."""
    for i in reversed(range(len(calls))):
        if calls[i][0] not in _CONVOLUTIONS:
            continue
        output = (calls[i][1]["out"],)
        for j in range(i + 1, len(calls)):
            if _seen(output, [calls[j]]):
                before, between, after = calls[:i], calls[i + 1 : j], calls[j + 1 :]
                one = _with_epilogue(calls[i], between, calls[j], before + after)
                if one is not None:
                    calls = [*before, *between, one, *after]
                break
    return calls


def _with_epilogue(
    convolution: Call, between: list[Call], then: Call, others: list[Call]
) -> Call | None:
    """What does a convolution and then a call that looks at its output; None if that takes two."""
    (convolve, given), (follows, named) = convolution, then
    if follows not in (bias_activation_forward, bias_activation_backward):
        return None
    output = given["out"]
    arguments = {name: value for name, value in given.items() if name != "out"}
    read = tuple(arrays_of(arguments))
    bias = {"bias": named["b"] if follows is bias_activation_forward else named["db"]}
    if (
        (bias["bias"] is None and named["activation"] == "identity")  # it does nothing
        or _seen(read, between)
        or _seen((output, *read), [(follows, bias)])
        or not all(array.flags.c_contiguous for array in (output, *arrays_of(named)))
    ):
        return None
    shared = {"convolve": _CONVOLUTIONS[convolve], "arguments": arguments}
    shared |= {"activation": named["activation"], "slope": named["slope"]}
    if follows is bias_activation_forward:
        in_place = named["x"] is output is named["out"]
        return (activated, {**shared, "b": named["b"], "out": output}) if in_place else None
    y, dx = named["y"], named["dx"]
    apart = not _seen((output,), [(follows, {"y": y})]) and (
        dx is output or not _seen((output, *read, y), [(follows, {"dx": dx})])
    )
    unread = dx is output or not _seen((output,), [*between, *others])
    if named["dy"] is output and y.shape == output.shape == dx.shape and apart and unread:
        return differentiated, {**shared, "y": y, "dx": dx, "db": named["db"]}
    return None


def _left_out(calls: list[Call]) -> tuple[Array, Array, Array]:
    """y, dy and da of an output layer's calls."""
    loss, compared = calls[2]
    return calls[0][1]["out"], compared[_LOSSES[loss][1]], calls[3][1]["dx"]


def _equal(found: Call, wanted: Call) -> bool:
    """Whether two calls of one function have the same arrays and equal numbers."""
    return all(
        value is wanted[1][name] or (not isinstance(value, np.ndarray) and value == wanted[1][name])
        for name, value in found[1].items()
    )


def _seen(arrays: tuple[Array | None, ...], calls: list[Call]) -> bool:
    """Whether one of these calls is given memory of one of these arrays."""
    given = [array for _, named in calls for array in arrays_of(named)]
    return any(
        array is not None and np.may_share_memory(array, other)
        for array in arrays
        for other in given
    )


def arrays_of(named: dict[str, Any]) -> Iterator[Array]:
    """The arrays of a call, and of what it calls."""
    for value in named.values():
        if isinstance(value, np.ndarray):
            yield value
        elif isinstance(value, dict):
            yield from arrays_of(value)
