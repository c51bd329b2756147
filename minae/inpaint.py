"""Fill in missing pixels with a trained model, beside two classical methods given the same mask."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from minae import command, inpainting
from minae.datasets.arrays import read_array
from minae.errors import MinaeError
from minae.ledger import mean_psnr

SHOWN = 12  # samples of a picture


def parser() -> command.Parser:
    p = command.parser_for("inpaint", __doc__)
    p.add_argument("--mask", choices=("random", "square", "half"), default="random")
    p.add_argument(
        "--mask-file", type=Path, metavar="FILE", help=".npy or .csv, (M, D), 1 where missing"
    )
    p.add_argument(
        "--share", type=command.share, default=0.5, metavar="X", help="missing (default: 0.5)"
    )
    p.add_argument("--seed", type=command.whole(0, 2**32 - 1), default=0, metavar="N")
    p.add_argument("--steps", type=command.whole(1), metavar="N", help="of the descent")
    p.add_argument(
        "--out",
        type=command.output(".png", ".npy", ".csv"),
        metavar="FILE",
        help=".png of all methods (default: RUN/inpaint.png), .npy or .csv of the model's best",
    )
    return p


def inpaint(options: argparse.Namespace) -> None:
    run = command.Run(options.run, options.backend)
    model = run.able("reconstruct")
    image_shape = run.of_images("are filled in").shape(model)
    out = run.output(options.out, "inpaint")
    samples = run.samples(options, 100)
    x = samples.pixels
    if options.mask_file:
        masks = read_array(options.mask_file)[0]
        missing = masks.reshape(len(masks), -1) != 0  # (M, D)
        if missing.shape != x.shape:
            raise MinaeError(
                f"{options.mask_file} holds {len(missing)} masks of {missing.shape[1]} pixels, "
                f"wanted {len(x)} of {x.shape[1]}"
            )
    else:
        missing = inpainting.mask(options.mask, len(x), image_shape, options.share, options.seed)
    damaged = np.where(missing, 0, x)
    lost = (damaged != x).any(axis=1)  # (M,): an unharmed image has no PSNR
    if not lost.any():
        raise MinaeError("no sample loses anything: all that is missing is 0, take other masks")
    labels = None if model.classes is None else samples.labels
    models = {
        f"model, {method}": inpainting.inpaint(
            model, samples.images, missing, labels, method=method, steps=options.steps
        )
        for method in ("energy", "iterate", "direct")
    }
    results = {"damaged": damaged, **models}
    try:
        for method, name in (("telea", "Telea"), ("navier-stokes", "Navier-Stokes")):
            results[name] = inpainting.classical(samples.images, missing, image_shape, method)
    except MinaeError as error:
        print(f"not compared: {error}")
    scores = {name: mean_psnr(x[lost], y[lost]) for name, y in results.items()}
    places = run.kind.say("pixels")
    print(f"{len(x)} {run.kind.samples}, {missing.mean():.0%} of the {places} missing; PSNR in dB:")
    if not lost.all():
        print(f"  (without {len(x) - lost.sum()} that lost nothing but zeros)")
    for name, score in scores.items():
        print(f"  {name:<16}{score:6.2f}")
    print(f"best: {max(scores, key=scores.__getitem__)}")
    best = models[max(models, key=scores.__getitem__)]
    rows = [x[:SHOWN], *(y[:SHOWN] for y in results.values())]
    names = ["original", *(f"{name} {scores[name]:.1f} dB" for name in results)]
    run.write(out, best, rows, names, "filled in", over_each_other=True)


def main(arguments: Sequence[str] | None = None) -> int:
    return command.run(parser(), inpaint, arguments)


if __name__ == "__main__":
    sys.exit(main())
