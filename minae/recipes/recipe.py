"""What a recipe is: a model and how it is trained, nothing more."""

from dataclasses import dataclass

from minae.models.model import Model
from minae.optim import Optimizer


@dataclass
class Recipe:
    """One system, ready to train: for `epochs`, or for `steps` where that is given instead."""

    model: Model
    optimizer: Optimizer
    batch_size: int
    epochs: int | None = None
    steps: int | None = None
    seed: int = 0
    shuffle: bool = True
