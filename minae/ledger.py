"""The figures by which a model is judged: each over a whole set, never over one batch.

x is the image, y its reconstruction, both in [0, 1]; N images of D pixels; log is natural.

| figure                  | equation                                  | unit                       |
|-------------------------|-------------------------------------------|----------------------------|
| mse_per_pixel           | Σ (y - x)² / (N·D)                        | squared intensity a pixel  |
| squared_error_per_image | Σ (y - x)² / N                            | squared intensity an image |
| bce_per_pixel           | Σ -(x log y + (1 - x) log(1 - y)) / (N·D) | nats a pixel               |
| bce_floor_per_pixel     | the same with y = x                       | nats a pixel               |
| reconstruction_nats     | Σ over pixels of -E log p(x given z) / N  | nats an image              |
| kl_nats                 | Σ over codes of KL(q(z given x) ‖ p(z))/N | nats an image              |
| nats_per_image          | reconstruction_nats + kl_nats = -ELBO     | nats an image              |
| mse_per_value           | Σ (y - t)² / (N·D), t standardized        | squared deviation a value  |
| bicubic_psnr            | Σ -10 log₁₀(mean (x̃ - x)²) / N, x̃ bicubic | dB                         |
| enlarged_psnr           | the same with y, made of the small image  | dB                         |
| damaged_psnr            | Σ -10 log₁₀(mean (x̃ - x)²) / N, x̃ damaged | dB                         |
| denoised_psnr           | the same with y, made of x̃, for x̃         | dB                         |
| jacobian_norm           | Σ ‖∂code/∂x‖_F / N                        | code a unit of x           |
| active_share            | share of code numbers z_j, abs(z_j) > .001 | 1                         |
| bound_nats              | -Σ log (1/k) Σ_i w_i / N, k draws of z    | nats an image              |

In the BCE each logarithm is held at -100 or above, as in PyTorch, and a y outside [0, 1] (PCA, a
linear decoder) enters as the nearer of 0 and 1; the squared errors take it as it is. The floor is
the entropy of grey pixels, which no model can go below: 0.0581 nats a pixel, 45.5 an image on
MNIST. The figures from reconstruction_nats on are those of some models, which add them themselves.
Of data that are no images an image is one sample, a pixel one of its numbers: the keys are the
same for all data, and `table` says it in the words of the data.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from minae.backends.spec import Array

ROWS = 512  # images whose figures are taken at a time: the terms stay in the processor's cache
BLOCK = 4096  # images multiplied at a time: few calls of BLAS, and no float copy of the whole set

# Figure, its column's two heading lines, and the decimals shown.
COLUMNS = (
    ("squared_error_per_image", "sq. error", "per image", 2),
    ("mse_per_pixel", "MSE", "per pixel", 5),
    ("bce_per_pixel", "BCE", "nats/pixel", 4),
    ("bce_floor_per_pixel", "BCE floor", "nats/pixel", 4),
    ("bce_excess_per_pixel", "BCE excess", "nats/pixel", 4),
    ("reconstruction_nats", "reconstr.", "nats/image", 2),
    ("kl_nats", "KL", "nats/image", 2),
    ("nats_per_image", "-ELBO", "nats/image", 2),
    ("mse_per_value", "MSE", "per value", 5),
    ("bicubic_psnr", "bicubic", "PSNR, dB", 2),
    ("enlarged_psnr", "enlarged", "PSNR, dB", 2),
    ("bound_nats", "-bound", "nats/image", 2),
    ("damaged_psnr", "damaged", "PSNR, dB", 2),
    ("denoised_psnr", "denoised", "PSNR, dB", 2),
    ("jacobian_norm", "Jacobian", "mean norm", 3),
    ("active_share", "active", "share", 3),
)


class ReconstructionLedger:
    """Sums up reconstruction figures batch by batch. Sums are float64; the terms have the dtype of
    the arrays given, float32 or float64."""

    def __init__(self) -> None:
        self._squared_error = self._bce = self._bce_floor = 0.0
        self._images = self._pixels = 0

    def add(self, x: Array, y: Array) -> None:
        """Count images x in [0, 1] and their reconstructions y, both (N, D) floats on the host."""
        if x.shape != y.shape or x.ndim != 2:
            raise ValueError(f"x has shape {x.shape} and y {y.shape}, one shape (N, D) wanted")
        if x.size and not (x.min() >= 0 and x.max() <= 1):
            raise ValueError(f"x lies in [{x.min()}, {x.max()}], [0, 1] wanted")
        for rows in _batches(len(x), ROWS):
            self._squared_error += np.square(y[rows] - x[rows]).sum(dtype=np.float64)
            self._bce += _bce(x[rows], y[rows])
            self._bce_floor += _bce(x[rows], x[rows])
        self._images += len(x)
        self._pixels += x.size

    def figures(self) -> dict[str, float]:
        """The figures over everything added so far, under the names of the table above."""
        if self._pixels == 0:
            raise ValueError("no image was added, 1 or more wanted")
        return {
            "mse_per_pixel": float(self._squared_error / self._pixels),
            "squared_error_per_image": float(self._squared_error / self._images),
            "bce_per_pixel": float(self._bce / self._pixels),
            "bce_floor_per_pixel": float(self._bce_floor / self._pixels),
        }


def mean_psnr(x: Array, y: Array) -> float:
    """Peak signal-to-noise ratio of each image, peak 1, averaged over images. x, y: (N, D); dB."""
    squared_error = np.square(y - x).mean(axis=1, dtype=np.float64)  # (N,)
    return float(np.mean(-10 * np.log10(np.maximum(squared_error, 1e-10))))


def principal_components(x: Array, components: int) -> tuple[Array, Array]:
    """Mean (D,) and the leading principal directions (D, d) of the rows of x, float64.

    x: (M, D), any real dtype. The directions are orthonormal, that of the largest variance first:
    eigenvectors of Σ (x - mean)(x - mean)ᵀ, d = min(components, D). Codes are (x - mean) @ basis.
    """
    if components < 1:
        raise ValueError(f"{components} components asked for, 1 or more wanted")
    D = x.shape[1]
    mean = x.mean(axis=0, dtype=np.float64)
    scatter = np.zeros((D, D))
    for rows in _batches(len(x), BLOCK):
        centred = x[rows] - mean
        scatter += centred.T @ centred
    _, directions = np.linalg.eigh(scatter)  # in ascending order of variance
    return mean, np.ascontiguousarray(directions[:, ::-1][:, :components])


def baselines(train_images: Array, test_images: Array, components: int) -> dict[str, Any]:
    """What the mean image and PCA, both fitted on the training images, reach on both sets.

    train_images: uint8 (M, D);  test_images: uint8 (M', D). Returns

        {"mean_image": {"train": figures, "test": figures, **test figures},
         "pca": {"components": d, "train": figures, "test": figures, **test figures}}

    with the figures of `ReconstructionLedger` and d = min(components, D); those of the test set
    stand once more directly under each name, where a reader of one figure looks first. PCA-30
    leaves a squared error of 13.87 per image on MNIST's test set (Hinton & Salakhutdinov 2006).
    """
    mean, basis = principal_components(train_images, components)
    mean = (mean / 255).astype(np.float32)
    basis = basis.astype(np.float32)
    mean_image: dict[str, Any] = {}
    pca: dict[str, Any] = {"components": basis.shape[1]}
    for part, images in (("train", train_images), ("test", test_images)):
        of_mean_image, of_pca = ReconstructionLedger(), ReconstructionLedger()
        for rows in _batches(len(images), BLOCK):
            x = images[rows] / np.float32(255)  # (N, D)
            codes = (x - mean) @ basis  # (N, d)
            of_mean_image.add(x, np.broadcast_to(mean, x.shape))
            of_pca.add(x, mean + codes @ basis.T)
        mean_image[part] = of_mean_image.figures()
        pca[part] = of_pca.figures()
    return {"mean_image": mean_image | mean_image["test"], "pca": pca | pca["test"]}


def table(summary: Mapping[str, Any], say: Callable[[str], str] = str) -> str:
    """What a run reached, as plain text of at most 100 columns (of images; longer nouns take more).

    `summary` holds the model's figures under "train" and "test" and, where there are some, those
    of `baselines` under "baselines". A figure's column appears where any row has it. say: brings
    the headings into the words of the data, see `minae.datasets.Dataset`.
    """
    rows = [("model", summary)]
    compared = summary.get("baselines", {})
    if "mean_image" in compared:
        rows.append((say("mean image"), compared["mean_image"]))
    if "pca" in compared:
        rows.append((f"PCA-{compared['pca']['components']}", compared["pca"]))
    sections = [
        (part, [(name, _with_excess(by_part[part])) for name, by_part in rows if part in by_part])
        for part in ("train", "test")
    ]
    given = {key for _, section in sections for _, figures in section for key in figures}
    columns = [
        (key, title, say(unit), decimals) for key, title, unit, decimals in COLUMNS if key in given
    ]
    width = 1 + max([10, *(len(unit) for _, _, unit, _ in columns)])
    lines = [
        " " * 12 + "".join(f"{title:>{width}}" for _, title, _, _ in columns),
        " " * 12 + "".join(f"{unit:>{width}}" for _, _, unit, _ in columns),
    ]
    for part, section in sections:
        if section:
            lines.append(f"{part} set")
        for name, figures in section:
            cells = (
                f"{figures[key]:.{decimals}f}" if key in figures else "–"
                for key, _, _, decimals in columns
            )
            lines.append(f"  {name:<10}" + "".join(f"{cell:>{width}}" for cell in cells))
    return "\n".join(line.rstrip() for line in lines)


def _with_excess(figures: Mapping[str, float]) -> dict[str, float]:
    """The figures and, beside a BCE, what it lies above its floor."""
    if "bce_per_pixel" not in figures:
        return dict(figures)
    excess = figures["bce_per_pixel"] - figures["bce_floor_per_pixel"]
    return {**figures, "bce_excess_per_pixel": excess}


def _batches(count: int, size: int) -> Iterator[slice]:
    for start in range(0, count, size):
        yield slice(start, start + size)


def _bce(x: Array, y: Array) -> float:
    """Σ -(x log y + (1 - x) log(1 - y)), logarithms at -100 or above, y held in [0, 1]."""
    p = np.clip(y, 0, 1)
    with np.errstate(divide="ignore"):
        log_p = np.maximum(np.log(p), -100)
        log_q = np.maximum(np.log(1 - p), -100)
    return -float(np.sum(x * log_p + (1 - x) * log_q, dtype=np.float64))
