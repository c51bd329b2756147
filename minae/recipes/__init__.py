"""The recipes by name. Each module holds one function, `recipe(...)`, with its options.

A recipe whose data are no grey images names their class, `Data`, which loads them; what their
`dimensions` name reaches the options of that name.
"""

import importlib
import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any

from minae.datasets import Dataset, ImageSet
from minae.errors import MinaeError
from minae.recipes.recipe import Recipe

__all__ = ["RECIPES", "Recipe", "data", "image_recipes", "make", "options", "summary"]

RECIPES = (
    *("vae", "vanilla", "deep", "tanh", "latent", "conv", "cvae"),
    *("overcomplete", "denoising", "contractive", "tied", "pca", "sparse", "dropout", "hinton"),
    *("conv-pool", "conv-denoising", "beta-vae", "iwae"),
    *("series", "intrusion", "levels", "music", "super-resolution"),
)
STUDIES = ("latent-sweep", "classifier", "kernels", "manifold")  # of minae.studies


def make(name: str, **wanted: Any) -> Recipe:
    """The recipe of this name with these options. Raises MinaeError if either is unknown."""
    function = _function(name)
    known = options(name)
    for option in wanted:
        if option not in known:
            others = ", ".join(other for other in RECIPES if option in options(other))
            raise MinaeError(
                f"recipe {name!r} has no option --{option}; recipes that have it: {others}"
            )
    return function(**wanted)


def options(name: str) -> tuple[str, ...]:
    """Options that the recipe takes."""
    return tuple(inspect.signature(_function(name)).parameters)


def summary(name: str) -> str:
    """The first line of the recipe's docstring."""
    return (_module(name).__doc__ or "").split("\n")[0]


def data(name: str) -> type[Dataset]:
    """The class of the recipe's data, which loads them."""
    _function(name)
    found: type[Dataset] = getattr(_module(name), "Data", ImageSet)
    return found


def image_recipes() -> tuple[str, ...]:
    """The recipes whose data are grey images."""
    return tuple(name for name in RECIPES if data(name) is ImageSet)


def _function(name: str) -> Callable[..., Recipe]:
    if name not in RECIPES:
        raise MinaeError(
            f"unknown recipe {name!r}; choose one of {', '.join(RECIPES)}, "
            f"or a study: {', '.join(STUDIES)}"
        )
    function: Callable[..., Recipe] = _module(name).recipe
    return function


def _module(name: str) -> ModuleType:
    """Its file: a hyphen of the name is an underscore there."""
    return importlib.import_module(f"minae.recipes.{name.replace('-', '_')}")
