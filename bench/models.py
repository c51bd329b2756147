"""The models that are measured: the recipes, under one name each."""

from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from bench.timing import Contender
from minae import MinaeError, load_images, recipes
from minae.backends import get_backend
from minae.backends.spec import STRIP, Array
from minae.recipes import Recipe
from minae.training import Training

BATCH_SIZES = (32, 256, 4096)
BACKENDS = ("numpy", "numba")


@dataclass(frozen=True)
class Entry:
    """A recipe with its options, its name here, its number among the systems, and the goal: how
    many times faster than the best rival at batch 256."""

    label: str
    system: str
    recipe: str
    goal: float
    options: dict[str, Any] = field(default_factory=dict)

    def make(self) -> Recipe:
        return recipes.make(self.recipe, **self.options)


MODELS = {
    entry.label: entry
    for entry in (
        Entry("vanilla", "M1", "vanilla", 4.0),
        Entry("deep", "M6", "deep", 1.5),
        Entry("tanh", "M7", "tanh", 2.5),
        Entry("latent-2", "M14", "latent", 1.6, {"latent": 2}),
        Entry("latent-50", "M14", "latent", 1.6, {"latent": 50}),
        Entry("vae", "M2", "vae", 1.25),
        Entry("conv", "M5", "conv", 2.0),
        Entry("cvae-faithful", "M3", "cvae", 5.0, {"faithful": True}),
        Entry("cvae", "M3", "cvae", 5.0),
    )
}


def choose(names: str | None) -> list[Entry]:
    """The models of these names, commas between them; M14, say, stands for both of its sizes."""
    if names is None:
        return [*MODELS.values()]
    chosen = {}
    for name in names.split(","):
        found = {n: e for n, e in MODELS.items() if name.lower() in (n, e.system.lower())}
        if not found:
            raise MinaeError(f"unknown model {name!r}; choose among {', '.join(MODELS)}")
        chosen |= found
    return [*chosen.values()]


@cache
def mnist(batch_size: int) -> tuple[Array, Array]:
    """Images and labels of MNIST's training part, as many as fill whole batches."""
    data = load_images()
    samples = len(data.train_images) // batch_size * batch_size
    return data.train_images[:samples], data.train_labels[:samples]


def blank(samples: int) -> tuple[Array, Array]:
    """Images and labels where only their shapes matter; no pixel is zero, none is left out."""
    return np.ones((samples, 784), np.uint8), np.zeros(samples, np.int64)


def striped(samples: int) -> tuple[Array, Array]:
    """The same, but three of five strips of pixels are black, as many as in MNIST."""
    image = np.arange(784) // STRIP % 5 < 2
    return np.tile(image.astype(np.uint8), (samples, 1)), np.zeros(samples, np.int64)


def training(recipe: Recipe, images: Array, labels: Array, batch_size: int) -> Training:
    """The training of a recipe whose model is bound."""
    return Training(
        recipe.model, recipe.optimizer, images, labels, batch_size=batch_size, seed=recipe.seed
    )


def ours(entry: Entry, backend: str, batch_size: int) -> Contender:
    """minae's training of a model on one backend."""
    recipe, ops = entry.make(), get_backend(backend)
    recipe.model.bind(ops, np.float32, recipe.seed)
    run = training(recipe, *mnist(batch_size), batch_size)
    return Contender(backend, run.step, ops.set_threads)
