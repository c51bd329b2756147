"""The parameters of layers: aligned views of one vector, and what is refused."""

import numpy as np
import pytest

from minae import MinaeError
from minae.layers import Dense
from tests.comparison_of_layers import every_example
from tests.examples import EXAMPLES, bind, walk


@every_example
def test_parameters_are_aligned_views_of_one_vector(name):
    layer = EXAMPLES[name][0]()
    parameters = bind(layer, "numpy", "float32")
    inside = np.zeros(parameters.values.shape, bool)
    for path, view in parameters.views.items():
        start = (view.ctypes.data - parameters.values.ctypes.data) // view.itemsize
        assert start % 16 == 0, path
        assert not inside[start : start + view.size].any(), path
        inside[start : start + view.size] = True
        gradient = parameters.gradient_views[path]
        offset = gradient.ctypes.data - parameters.gradients.ctypes.data
        assert (offset // gradient.itemsize, gradient.shape) == (start, view.shape), path
    assert parameters.count == inside.sum()
    assert not parameters.values[~inside].any()
    for part in walk(layer):
        for own in part.parameters():
            assert np.shares_memory(getattr(part, own), parameters.values)
            assert np.shares_memory(getattr(part, f"d{own}"), parameters.gradients)


def test_parameters_refuse_other_dtypes_paths_and_shapes():
    with pytest.raises(MinaeError, match="float32 or float64, found dtype int64"):
        bind(Dense(2, 3), "numpy", "int64")
    parameters = bind(Dense(2, 3), "numpy", "float64")
    with pytest.raises(MinaeError, match=r"no array 'layer.v'; choose one of layer.w, layer.b"):
        parameters.assign("layer.v", np.zeros(3))
    with pytest.raises(MinaeError, match=r"layer.w has shape \(3, 2\), found \(2, 3\)"):
        parameters.assign("layer.w", np.zeros((2, 3)))
