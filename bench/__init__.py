"""Measurements that stand behind the README's figures."""

import minae as minae  # before NumPy: minae chooses the kernels of its BLAS (minae/blas.py)
