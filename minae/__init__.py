"""minae: autoencoders from scratch, every derivative written by hand.

    import minae

    model = minae.load("runs/vae-2026-01-31-120000")  # a run folder of `python -m minae.train`
    codes = model.encode(images)                        # (M, 784) uint8 or [0, 1] → (M, latent)

Names are imported when they are first used: `import minae` brings in NumPy at most.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minae.backends import get_backend
    from minae.datasets import load_images
    from minae.errors import MinaeError
    from minae.gradient_check import GradientError, gradcheck
    from minae.io import load, save

__version__ = "0.1.0"

_HOMES = {
    "GradientError": "minae.gradient_check",
    "MinaeError": "minae.errors",
    "get_backend": "minae.backends",
    "gradcheck": "minae.gradient_check",
    "load": "minae.io",
    "load_images": "minae.datasets",
    "save": "minae.io",
}

__all__ = [
    "GradientError",
    "MinaeError",
    "__version__",
    "get_backend",
    "gradcheck",
    "load",
    "load_images",
    "save",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'minae' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
