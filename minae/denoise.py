"""Damage samples and repair them, or repair samples that are damaged already (--noise none)."""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from minae import command
from minae.backends.spec import Array
from minae.errors import MinaeError
from minae.ledger import mean_psnr

SHOWN = 12  # samples of a picture


def parser() -> command.Parser:
    p = command.parser_for("denoise", __doc__)
    p.add_argument(
        "--noise",
        choices=("own", "gaussian", "mask", "none"),
        help="own: that of the model's training (default where it had one); gaussian (default "
        "elsewhere): of standard deviation --level; mask: a share --level of the pixels is missing",
    )
    p.add_argument("--level", type=command.share, default=0.3, metavar="X", help="(default: 0.3)")
    p.add_argument("--seed", type=command.whole(0, 2**32 - 1), default=0, metavar="N")
    p.add_argument(
        "--out",
        type=command.output(".png", ".npy", ".csv"),
        metavar="FILE",
        help=".png (default: RUN/denoise.png), or .npy or .csv of the repaired samples",
    )
    return p


def denoise(options: argparse.Namespace) -> None:
    run = command.Run(options.run, options.backend)
    model: Any = run.able("reconstruct")
    noise = options.noise or ("own" if hasattr(model, "damage") else "gaussian")
    drawn = options.out is None or options.out.suffix == ".png"
    samples = run.samples(options, 1000 if drawn else None)
    damaged = damage(model, samples, noise, options.level, options.seed)
    if hasattr(model, "denoise"):
        y = model.denoise(damaged)
    else:
        y = model.reconstruct(np.clip(damaged, 0, 1), **run.labels(samples.labels))
    rows, names = [damaged, y], ["damaged", "repaired"]
    if noise != "none":
        rows, names = [samples.pixels, *rows], ["original", *names]
        before, after = (mean_psnr(samples.pixels, images) for images in (damaged, y))
        print(f"{len(samples)} samples: PSNR {before:.2f} dB damaged, {after:.2f} dB repaired")
    picture = run.rows_picture([row[:SHOWN] for row in rows], names, "repaired")
    run.write(options.out, "denoise.png", y, picture)


def damage(model: Any, samples: command.Samples, noise: str, level: float, seed: int) -> Array:
    """The samples with noise, floats (M, D)."""
    rng, x = np.random.default_rng(seed), samples.pixels
    if noise == "none":
        return x
    if noise == "gaussian":
        return x + level * rng.standard_normal(x.shape)
    if noise == "mask":
        low, high = model.pixel_range
        missing = -low / (high - low) if hasattr(model, "damage") else 0.0  # as it knows it
        return np.where(rng.random(x.shape) < level, missing, x)
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
