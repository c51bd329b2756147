"""Damage samples and repair them, or repair samples that are damaged already (--noise none)."""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from minae import command
from minae.backends.spec import Array
from minae.datasets import ImageSet, RecordSet
from minae.errors import MinaeError
from minae.ledger import mean_psnr

SHOWN = 12  # samples of a picture


def parser() -> command.Parser:
    p = command.parser_for("denoise", __doc__)
    p.add_argument(
        "--noise",
        choices=("own", "gaussian", "mask", "none"),
        help="own: that of the model's training (default where it had one); gaussian (default "
        "elsewhere): of standard deviation --level (of series: times their own); mask: a share "
        "--level of the pixels, tiles or steps is missing",
    )
    p.add_argument("--level", type=command.share, default=0.3, metavar="X", help="(default: 0.3)")
    p.add_argument("--seed", type=command.whole(0, 2**32 - 1), default=0, metavar="N")
    p.add_argument(
        "--out",
        type=command.output(".png", ".npy", ".csv"),
        metavar="FILE",
        help=".png (default: RUN/denoise.png), .npy or .csv of the repaired samples",
    )
    return p


def denoise(options: argparse.Namespace) -> None:
    run = command.Run(options.run, options.backend)
    model: Any = run.able("reconstruct")
    if issubclass(run.kind, RecordSet):
        raise MinaeError(
            f"{run.folder} is of records, of numbers and words: there is no one noise for both; "
            "take minae.reconstruct"
        )
    out = run.output(options.out, "denoise")
    noise = options.noise or ("own" if hasattr(model, "damage") else "gaussian")
    samples = run.samples(options, 1000 if out.suffix == ".png" else None)
    damaged = damage(model, samples, noise, options.level, options.seed)
    if hasattr(model, "denoise"):
        y = model.denoise(damaged)
    else:
        given = np.clip(damaged, 0, 1) if model.bounded else damaged
        y = model.reconstruct(given, **run.labels(samples.labels))
    rows, names = [damaged, y], ["damaged", "repaired"]
    if noise != "none":
        rows, names = [samples.pixels, *rows], ["original", *names]
        print(f"{len(samples)} {run.kind.samples}")
        for name, images in (("damaged", damaged), ("repaired", y)):
            print(f"  {name}: {_distance(run, samples.pixels, images)}")
    shown = [row[:SHOWN] for row in rows]
    run.write(out, y, shown, names, "repaired", over_each_other=True)


def _distance(run: command.Run, x: Array, y: Array) -> str:
    """Of images the PSNR of y, else how far it is from x in the words of the data."""
    if issubclass(run.kind, ImageSet):
        return f"PSNR {mean_psnr(x, y):.2f} dB"
    return run.kind.compare(run.model, x, y)


def damage(model: Any, samples: command.Samples, noise: str, level: float, seed: int) -> Array:
    """The samples with noise, floats (M, D). What is missing is missing in all channels."""
    rng, x = np.random.default_rng(seed), samples.pixels
    low, high = model.pixel_range
    if noise == "none":
        return x
    if noise == "gaussian":
        unit = 1 if model.bounded else 1 / (high - low)  # of series their standard deviation
        return x + level * unit * rng.standard_normal(x.shape)
    if noise == "mask":
        known = hasattr(model, "damage") or not model.bounded
        missing = -low / (high - low) if known else 0.0  # as the model knows it
        channels = model.input_shape[0] if len(model.input_shape) == 3 else 1
        gone = rng.random((len(x), x.shape[1] // channels)) < level
        return np.where(np.tile(gone, channels), missing, x)
    if not hasattr(model, "damage"):
        raise MinaeError(
            f"{type(model).__name__} was trained without noise: give --noise gaussian or mask"
        )
    damaged: Array = model.damage(samples.images, seed)
    return damaged


def main(arguments: Sequence[str] | None = None) -> int:
    return command.run(parser(), denoise, arguments)


if __name__ == "__main__":
    sys.exit(main())
