"""The state of a training run in one file, from which it goes on bit for bit.

checkpoint.safetensors holds the weights and statistics by path ("weights.encoder.0.w"), the flat
vectors of the optimizer ("optimizer.m"), and as JSON text in its metadata the position in the data,
the sums of the epoch at hand, the metrics so far, the number of threads, and by which the file of
another run is told, the CRC of config.json. The file is there from the first moment of a run to its
end: a run folder that has it is unfinished.
"""

import json
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minae.backends.spec import Array
from minae.errors import MinaeError
from minae.files import whole_file
from minae.run import CHECKPOINT, CONFIG, Metrics, is_unfinished
from minae.training import Training


@dataclass
class Counts:
    """What a run has done so far. Seconds are those of training: not of tests or of pauses."""

    step: int = 0
    samples: int = 0
    seconds: float = 0.0
    epoch_samples: int = 0
    epoch_seconds: float = 0.0


@dataclass
class Checkpoint:
    """What `read` found in a run folder."""

    arrays: dict[str, Array]
    training: dict[str, Any]
    counts: Counts
    metrics: Metrics = field(default_factory=Metrics)
    threads: int = 1


def write(folder: Path, training: Training, counts: Counts, metrics: Metrics, threads: int) -> None:
    """Write folder/checkpoint.safetensors anew; whole, or the old one stays.

    Raises MinaeError when it cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    arrays, numbers = training.state()
    state = {
        "training": numbers,
        "counts": vars(counts),
        "metrics": metrics.rows,
        "threads": threads,
        "config_crc32": _crc32(folder),
    }
    path = folder / CHECKPOINT
    try:
        with whole_file(path) as partial:
            save_file(arrays, partial, metadata={"state": json.dumps(state)})
    except (SafetensorError, OSError) as error:
        raise MinaeError(f"the checkpoint cannot be written to {path}: {error}") from error


def read(folder: Path) -> tuple[Checkpoint, dict[str, Any]]:
    """The checkpoint of a run folder, and the run's config.json.

    Raises MinaeError if the folder is no unfinished run, or a file of it is damaged.
    """
    from safetensors import SafetensorError, safe_open

    path = folder / CHECKPOINT
    if not is_unfinished(folder):
        if (folder / "summary.json").is_file():
            raise MinaeError(f"{folder} is finished: there is nothing to go on with")
        raise MinaeError(f"{folder} is not the folder of an unfinished run: it has no {CHECKPOINT}")
    try:
        with safe_open(path, framework="numpy") as file:
            state = json.loads(file.metadata()["state"])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metrics = Metrics()
        metrics.rows = state["metrics"]
        counts = Counts(**state["counts"])
        found = Checkpoint(arrays, state["training"], counts, metrics, state["threads"])
        own = state["config_crc32"] == _crc32(folder)
        config: dict[str, Any] = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (SafetensorError, OSError, ValueError, TypeError, LookupError) as error:
        raise MinaeError(f"{folder} cannot be read back: {error}") from error
    if not own:
        raise MinaeError(
            f"{path} is that of another run, or {CONFIG} beside it was changed: train anew"
        )
    return found, config


def _crc32(folder: Path) -> int:
    return zlib.crc32((folder / CONFIG).read_bytes())
