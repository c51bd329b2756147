"""What the tests of the operations share: the backends, one at a time."""

import pytest
import torch
from comparison import BACKENDS

import minae

# one thread each: on a busy machine two pools of waiting threads slow each other down a hundredfold
torch.set_num_threads(1)
minae.get_backend("numpy").set_threads(1)


@pytest.fixture(scope="session", params=BACKENDS)
def ops(request):
    """A backend; every test that takes it runs once with each."""
    return minae.get_backend(request.param)
