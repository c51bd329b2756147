"""A model's architecture as plain data, and back: what a saved model carries beside its weights.

Every layer, loss, initializer and model is a dataclass, so its description is its type and its
constructor's arguments: {"type": "Dense", "in_features": 784, ...}.
"""

from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from minae import init
from minae.datasets.encoding import Encoding
from minae.errors import MinaeError
from minae.layers import Sequential
from minae.layers.layer import Layer
from minae.losses import Loss
from minae.models.model import Model


def describe(part: Any) -> Any:
    """JSON-ready description of a model, layer, loss, initializer or plain value.

    Raises MinaeError for anything else.
    """
    if isinstance(part, Sequential):
        return {"type": "Sequential", "layers": [describe(layer) for layer in part.layers]}
    if is_dataclass(part) and not isinstance(part, type):
        arguments = {f.name: describe(getattr(part, f.name)) for f in fields(part) if f.init}
        return {"type": type(part).__name__, **arguments}
    if isinstance(part, tuple | list):
        return [describe(item) for item in part]
    if isinstance(part, np.generic):
        return part.item()
    if part is None or isinstance(part, bool | int | float | str):
        return part
    raise MinaeError(
        f"a {type(part).__name__} cannot be saved; a model is made of dataclasses and plain values"
    )


def build(description: Any) -> Any:
    """What `describe` described. Raises MinaeError for a type that this version does not know."""
    if isinstance(description, list):
        return tuple(map(build, description))
    if not isinstance(description, dict):
        return description
    arguments = dict(description)
    name = arguments.pop("type", None)
    if name == "Sequential":
        return Sequential(*map(build, arguments["layers"]))
    kind: Any = Model.types.get(name) or Layer.types.get(name) or Loss.types.get(name)
    kind = kind or vars(init).get(name) or {"Encoding": Encoding}.get(name)
    if not (isinstance(kind, type) and is_dataclass(kind)):
        raise MinaeError(
            f"unknown part {name!r} in the architecture; if it is your own, import it first"
        )
    return kind(**{key: build(value) for key, value in arguments.items()})
