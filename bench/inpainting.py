"""A denoising model beside two classical methods, given the same images and missing pixels.

    python -m bench.inpainting RUN [--images N]

RUN is a run folder of the recipe denoising or conv-denoising; half of the pixels of the test images
are missing. Telea's and the Navier-Stokes method (opencv-python-headless: `pip install minae[cv]`)
know which, and keep the others as they are; so does the model's second row. PSNR in dB, the mean
over images.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

import minae
from minae.backends.spec import Array
from minae.ledger import mean_psnr
from minae.models import DenoisingAutoencoder
from minae.plots import image_grid

RADIUS = 3  # pixels around a missing one that the classical methods look at


def classical(images: Array, missing: Array, method: int) -> Array:
    """The images (N, 784), uint8, with missing pixels (N, 784) filled in by cv2.inpaint."""
    import cv2

    shape = (-1, 28, 28)
    pairs = zip(images.reshape(shape), missing.reshape(shape).astype(np.uint8), strict=True)
    filled = [cv2.inpaint(image * (1 - mask), mask, RADIUS, method) for image, mask in pairs]
    return np.stack(filled).reshape(images.shape)


def compare(model: DenoisingAutoencoder, images: Array) -> tuple[dict[str, float], Array]:
    """PSNR by method, and the pictures (methods + 2, N, 784): original, damaged, then each."""
    import cv2

    damaged = model.damage(images)
    low, high = model.pixel_range
    missing = damaged == (0 - low) / (high - low)  # (N, 784); grey values are multiples of 1/255
    x, denoised = images / 255, model.denoise(damaged)
    results: dict[str, Any] = {
        "model": denoised,
        "model, known pixels kept": np.where(missing, denoised, x),
        "Telea": classical(images, missing, cv2.INPAINT_TELEA) / 255,
        "Navier-Stokes": classical(images, missing, cv2.INPAINT_NS) / 255,
    }
    psnr = {name: mean_psnr(x, y) for name, y in {"damaged": damaged, **results}.items()}
    return psnr, np.stack([x, damaged, *results.values()])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--images", type=int, default=10_000, metavar="N")
    parser.add_argument("--picture", type=Path, metavar="PNG", help="write the first ten here")
    options = parser.parse_args()
    model = minae.load(options.run)
    if not isinstance(model, DenoisingAutoencoder):
        parser.error(f"{options.run} holds a {type(model).__name__}, a denoising model is wanted")
    psnr, pictures = compare(model, minae.load_images().test_images[: options.images])
    print("| method | PSNR, dB |", "|---|---|", sep="\n")
    for name, value in psnr.items():
        print(f"| {name} | {value:.2f} |")
    if options.picture:
        rows = ("original", *psnr)
        shown = pictures[:, :10].reshape(-1, 784)  # (rows·10, 784)
        image_grid(options.picture, shown, (28, 28), 10, row_labels=rows)


if __name__ == "__main__":
    main()
