"""What the tests share: the backends, one at a time, and random numbers."""

import signal

import gpu
import numpy as np
import pytest
import torch

import minae

# one thread each: on a busy machine two pools of waiting threads slow each other down a hundredfold
torch.set_num_threads(1)
for cpu_backend in gpu.CPU_BACKENDS:
    minae.get_backend(cpu_backend).set_threads(1)
# a shell that starts the tests in the background has them ignore Ctrl-C, which they try
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", params=gpu.ALL_BACKENDS)
def ops(request):
    """A backend that takes NumPy arrays; every test that takes it runs once with each."""
    backend = gpu.get_backend(request.param)
    return gpu.OnHost(backend) if request.param == "cupy" else backend


@pytest.fixture(scope="session", params=gpu.CPU_BACKENDS)
def cpu(request):
    """A backend whose arrays are NumPy's."""
    return minae.get_backend(request.param)


@pytest.fixture(scope="session", params=gpu.ALL_BACKENDS)
def package(request):
    """A backend as the package that it is."""
    return gpu.get_backend(request.param)


@pytest.fixture
def rng():
    return np.random.default_rng(0)
