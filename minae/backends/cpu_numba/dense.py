"""The matrix product is one call to BLAS, which Numba cannot better: see `cpu_numpy/dense.py`."""

from minae.backends.cpu_numpy.dense import matmul

__all__ = ["matmul"]
