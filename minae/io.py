"""Models on disk: one safetensors file with weights, statistics and architecture."""

import json
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

import minae
from minae.architecture import build, describe
from minae.backends.spec import Backend
from minae.errors import MinaeError
from minae.files import whole_file
from minae.models.model import Model
from minae.run import is_unfinished


def save(model: Model, path: str | os.PathLike[str]) -> None:
    """Write the model to one file, which appears whole or not at all.

    Raises MinaeError when it cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    path = Path(path)
    metadata = {"minae": minae.__version__, "architecture": json.dumps(describe(model))}
    try:
        with whole_file(path) as partial:
            save_file(model.parameters.to_numpy(), partial, metadata=metadata)
    except (SafetensorError, OSError) as error:
        raise MinaeError(f"the model cannot be written to {path}: {error}") from error


def load(
    path: str | os.PathLike[str],
    backend: str | Backend = "auto",
    dtype: npt.DTypeLike | None = None,
) -> Model:
    """The model in this file, or in `model.safetensors` of this run folder, ready for use.

    dtype: that of the saved weights unless given. Raises MinaeError when the file is missing,
    damaged, or was not written by `save`.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if path.is_dir():
        path = path / "model.safetensors"
    if not path.is_file() and is_unfinished(path.parent):
        raise MinaeError(
            f"{path.parent} is unfinished; finish it with: "
            f"python -m minae.train --resume {path.parent}"
        )
    if not path.is_file():
        raise MinaeError(f"no model at {path}; give a run folder or a model.safetensors file")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if "architecture" not in metadata:
                raise MinaeError(f"{path} has no minae architecture: another program wrote it")
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise MinaeError(f"{path} is not a readable safetensors file: {error}") from error
    model = _model(metadata["architecture"], path)
    model.bind(backend, dtype or next(iter(weights.values()), np.zeros(0, np.float32)).dtype)
    wanted = {
        name: array.shape
        for name, array in (model.parameters.views | model.parameters.statistics).items()
    }
    found = {name: values.shape for name, values in weights.items()}
    if wanted != found:
        odd = ", ".join(
            f"{name} {found.get(name, 'missing')} (wanted {wanted.get(name, 'none')})"
            for name in sorted(wanted.keys() | found.keys())
            if wanted.get(name) != found.get(name)
        )
        raise MinaeError(f"{path} is damaged: its arrays do not fit its architecture: {odd}")
    for name, values in weights.items():
        model.parameters.assign(name, values)
    return model


def _model(architecture: str, path: Path) -> Model:
    """The model of this JSON text, not bound yet."""
    try:
        model = build(json.loads(architecture))
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise MinaeError(f"{path}: its architecture cannot be built: {error}") from error
    if not isinstance(model, Model):
        raise MinaeError(f"{path}: its architecture is a {type(model).__name__}, wanted a model")
    return model
