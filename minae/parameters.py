"""All weights in one flat vector, all gradients in another; layers hold views of both.

So the optimizer is one pass over memory, a checkpoint one write, and the gradient's norm one
reduction. Each array begins at a multiple of ALIGNMENT numbers; the numbers between are zero, have
zero gradient, and stay zero under every optimizer.
"""

from math import prod

import numpy as np
import numpy.typing as npt

from minae.backends.spec import Array, Backend
from minae.errors import MinaeError
from minae.init import Draw
from minae.layers.layer import Layer, Parameter

ALIGNMENT = 16


class Parameters:
    """Gives a network its backend, dtype, weights and gradients.

    values, gradients: flat (P,) on the device. `views` and `gradient_views` name each array by its
    path in the network ("encoder.0.w"); `statistics` names what is saved but not trained.
    """

    def __init__(
        self, networks: dict[str, Layer], ops: Backend, dtype: npt.DTypeLike, seed: int = 0
    ) -> None:
        self.ops = ops
        self.dtype = np.dtype(dtype)
        if self.dtype not in (np.float32, np.float64):
            raise MinaeError(f"weights are float32 or float64, found dtype {self.dtype}")
        layers = [item for name, network in networks.items() for item in _walk(name, network)]
        paths: dict[int, str] = {}
        streams: dict[int, str] = {}
        for path, layer in layers:
            if paths.setdefault(id(layer), path) != path:
                raise MinaeError(f"{paths[id(layer)]} and {path} are one layer object, make two")
            stream = layer.stream()
            if stream is not None and streams.setdefault(stream, path) != path:
                raise MinaeError(
                    f"{streams[stream]} and {path} would draw the same random numbers: "
                    "give the second another `number`"
                )
        wanted = {
            f"{path}.{name}": parameter
            for path, layer in layers
            for name, parameter in layer.parameters().items()
        }
        starts, size = _places(wanted)
        self.values = ops.zeros((size,), self.dtype)
        self.gradients = ops.zeros((size,), self.dtype)
        self.views = _views(self.values, wanted, starts)
        self.gradient_views = _views(self.gradients, wanted, starts)
        self.count = sum(prod(parameter.shape) for parameter in wanted.values())
        self.statistics: dict[str, Array] = {}

        for path, layer in layers:
            layer.ops, layer.dtype = ops, self.dtype
            for name in layer.parameters():
                setattr(layer, name, self.views[f"{path}.{name}"])
                setattr(layer, f"d{name}", self.gradient_views[f"{path}.{name}"])
            for name, statistic in layer.statistics().items():
                array = ops.asarray(_initial(statistic, seed, 0), self.dtype)
                self.statistics[f"{path}.{name}"] = array
                setattr(layer, name, array)
        for number, (path, parameter) in enumerate(wanted.items()):
            self.assign(path, _initial(parameter, seed, number))

    def assign(self, path: str, values: npt.ArrayLike) -> None:
        """Set the array of this path, from the host.

        Raises MinaeError if there is none of this path and shape.
        """
        array = self.views.get(path, self.statistics.get(path))
        if array is None:
            known = ", ".join([*self.views, *self.statistics])
            raise MinaeError(f"there is no array {path!r}; choose one of {known}")
        values = np.asarray(values)
        if values.shape != array.shape:
            raise MinaeError(f"{path} has shape {array.shape}, found {values.shape}")
        self.ops.copy(self.ops.asarray(values, self.dtype), out=array)

    def to_numpy(self) -> dict[str, Array]:
        """Host copies of all weights and statistics by path."""
        return {
            path: self.ops.to_numpy(array) for path, array in (self.views | self.statistics).items()
        }


def _walk(path: str, layer: Layer) -> list[tuple[str, Layer]]:
    """(path, layer) of this layer and of all inside it, in order."""
    inner = [item for i, sub in enumerate(layer.sublayers()) for item in _walk(f"{path}.{i}", sub)]
    return [(path, layer), *inner]


def _places(wanted: dict[str, Parameter]) -> tuple[dict[str, int], int]:
    """Where each array begins in the flat vector, and the vector's length."""
    starts, end = {}, 0
    for path, parameter in wanted.items():
        starts[path] = end
        end += -(-prod(parameter.shape) // ALIGNMENT) * ALIGNMENT
    return starts, end


def _views(flat: Array, wanted: dict[str, Parameter], starts: dict[str, int]) -> dict[str, Array]:
    return {
        path: flat[starts[path] : starts[path] + prod(parameter.shape)].reshape(parameter.shape)
        for path, parameter in wanted.items()
    }


def _initial(parameter: Parameter, seed: int, number: int) -> Array:
    """Host values of one parameter: row r of the array is row r of the draw."""
    rows, columns = parameter.shape[0], prod(parameter.shape[1:])
    draw = Draw(seed, number, rows, columns)
    return parameter.init(draw, parameter.fan_in, parameter.fan_out).reshape(parameter.shape)
