"""One model at one batch size: who takes part, and the proof that all do the same."""

import importlib.util

import numpy as np

from bench.floor import floor, products_of
from bench.models import BACKENDS, Entry, mnist, ours
from bench.rivals import theirs, twin_loss
from bench.timing import Contender
from minae.backends import get_backend
from minae.backends.spec import Array
from minae.errors import MinaeError
from minae.models import Model

TOLERANCE = 1e-5  # relative, between losses computed in float32
FLOOR = "GEMM floor"


def rivals_for(entry: Entry, *, compiled: bool = False, jax: bool = False) -> list[str]:
    """Names of a model's rivals."""
    has_images = len(entry.make().model.input_shape) == 3
    names = ["eager", "fused"] + has_images * ["channels-last"]
    return names + compiled * ["compile"] + jax * ["jax"]


def has_jax() -> bool:
    return importlib.util.find_spec("jax") is not None


def contenders(entry: Entry, rivals: list[str], batch_size: int) -> list[Contender]:
    """minae's backends, its rivals, and the GEMM floor, each after its first step."""
    products = floor(products_of(entry.make(), batch_size))
    everyone = [ours(entry, backend, batch_size) for backend in BACKENDS]
    everyone += [theirs(entry, rival, batch_size) for rival in rivals if rival != "jax"]
    if "jax" in rivals:
        from bench import rivals_jax

        everyone.append(rivals_jax.theirs(entry, batch_size))
    everyone += [Contender(FLOOR, products, get_backend("numpy").set_threads)]
    for contender in everyone:
        contender.step()
    return everyone


def check_losses(entry: Entry, batch_size: int, *, jax: bool = False) -> dict[str, float]:
    """The loss of the first batch in float32, by backend and rival, at the same weights and eps.

    Raises MinaeError if one of them is another.
    """
    images, labels = (a[:batch_size] for a in mnist(batch_size))
    models = {backend: _bound(entry, backend) for backend in BACKENDS}
    losses, eps = {}, None
    for backend, model in models.items():
        losses[backend], eps = first_loss(model, images, labels)
    losses["PyTorch"] = twin_loss(models["numpy"], images, labels, eps)
    if jax:
        from bench import rivals_jax

        losses["JAX"] = rivals_jax.twin_loss(models["numpy"], images, labels, eps)
    wanted = losses["numpy"]
    for name, loss in losses.items():
        if not abs(loss - wanted) <= TOLERANCE * abs(wanted):
            raise MinaeError(
                f"{entry.label} at batch {batch_size}: {name} computes a loss of {loss:.9g} where "
                f"numpy computes {wanted:.9g}; nothing was timed"
            )
    return losses


def _bound(entry: Entry, backend: str) -> Model:
    recipe = entry.make()
    return recipe.model.bind(backend, np.float32, recipe.seed)


def first_loss(model: Model, images: Array, labels: Array) -> tuple[float, Array | None]:
    """(loss, eps) of a bound model on these samples as one training batch."""
    cache = model.new_cache(len(images))
    model.load(
        model.device_images(images),
        model.device_labels(labels, len(images)),
        model.ops.asarray(np.arange(len(images)), np.int64),
        cache,
    )
    model.forward(cache)
    eps = model.ops.to_numpy(cache.eps) if hasattr(cache, "eps") else None
    return float(model.ops.to_numpy(cache.values["loss"])[0]), eps
