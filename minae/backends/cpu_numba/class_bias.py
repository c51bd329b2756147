"""A few hundred numbers a step: the plain form serves as it is, see `cpu_numpy/class_bias.py`."""

from minae.backends.cpu_numpy.class_bias import class_bias_backward, class_bias_forward

__all__ = ["class_bias_backward", "class_bias_forward"]
