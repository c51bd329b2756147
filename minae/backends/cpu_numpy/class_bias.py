"""What label planes add to an unpadded convolution. Derivation: `reference/class_bias.py`."""

import numpy as np

from minae.backends.cpu_numpy.arrays import contiguous, sum_pixels
from minae.backends.spec import Array


def class_bias_forward(w: Array, *, out: Array) -> None:
    """out[k,c] = Σ_{a,b} w[k,c,a,b]; see spec."""
    sum_pixels(contiguous("class_bias.w", w), out=out)


def class_bias_backward(dtable: Array, *, out: Array) -> None:
    """out[k,c,a,b] = dtable[k,c]; see spec."""
    np.copyto(out, dtable[:, :, None, None])
