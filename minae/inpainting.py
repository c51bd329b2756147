"""Fill in missing pixels by descending the reconstruction energy.

r(x) = decoder(encoder(x)) is close to x where x is like the training images and far from it
elsewhere, so the energy of an image is its squared reconstruction error,

    E(x) = ½ ‖r(x) - x‖²,      ∂E/∂x = Jᵀ (r(x) - x) - (r(x) - x),      J = ∂r/∂x.

Jᵀ times a vector is a backward pass through decoder and encoder down to the pixels. The known
pixels stay; the missing ones descend E by Adam. Three ways to fill in with a model:

    energy      descend E from grey
    iterate     put r(x) in place of the missing pixels, again and again: the descent without J
    direct      once r(x), of the image with its missing pixels as a denoising model knows them

The classical methods, Telea's and the Navier-Stokes one, are OpenCV's (pip install minae[cv]).
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from minae.backends.spec import Array
from minae.errors import MinaeError
from minae.layers.layer import Batch, Cache
from minae.models.model import CHUNK

STEPS, RATE = 200, 0.05  # of the descent; the rate in units of pixel_range
ITERATIONS = 20
RADIUS = 3  # pixels around a missing one that the classical methods look at


class Energy:
    """E and ∂E/∂x of a batch of N images for a model with encoder and decoder.

    x lives in `cache.x` (N, *input_shape), as `model.load` fills it: in pixel_range, and whatever
    else the model does to images before its first layer. A variational model's code is its mean.
    Raises MinaeError where the model has none of the two networks, where its output is not of the
    encoder's input's shape (super-resolution), or where a network cannot be differentiated outside
    training (batch normalization).
    """

    def __init__(self, model: Any, samples: int) -> None:
        if not (hasattr(model, "encoder") and hasattr(model, "decoder")):
            raise MinaeError(
                f"{type(model).__name__} has no encoder and decoder: it does not reconstruct"
            )
        self.model, ops = model, model.ops
        self.cache: Cache = model.new_cache(samples, training=False)
        batch = Batch.first(ops, samples, training=False)
        batch.one_hot = self.cache.one_hot
        x_shape, dtype = self.cache.x_shape, model.parameters.dtype
        self.encoder = model.encoder.new_cache(x_shape, batch)
        self.variational = hasattr(model, "encode_batch")
        z_shape = (samples, model.latent) if self.variational else self.encoder.y_shape
        y_shape = model.decoder.output_shape(z_shape)
        if y_shape != x_shape:
            raise MinaeError(
                f"{type(model).__name__} makes {y_shape[1:]} of {x_shape[1:]}: "
                "it has no reconstruction of an image to compare with it"
            )
        self.decoder = model.decoder.new_cache(z_shape, batch)
        self.y, self.dy = ops.empty(x_shape, dtype), ops.empty(x_shape, dtype)
        self.minus_error = ops.empty(x_shape, dtype)
        self.dh = ops.zeros(self.encoder.y_shape, dtype)
        self.value = ops.zeros((1,), np.float64)

    def forward(self) -> float:
        """E summed over the batch; r(x) is then in `y`."""
        model, x = self.model, self.cache.x
        h = model.encoder.forward(x, self.encoder)
        z = h[:, : model.latent] if self.variational else h
        model.to_pixels(model.decoder.forward(z, self.decoder), self.y)
        model.ops.mse(self.y, x, 0.5, value=self.value, dy=self.dy)  # dy = y - x
        return float(model.ops.to_numpy(self.value)[0])

    def backward(self) -> Array:
        """∂E/∂x (N, *input_shape) after `forward`; overwrites the parameters' gradients."""
        model, ops, N = self.model, self.model.ops, len(self.cache.pixels)
        ops.mse(self.cache.x, self.y, 0.5, value=self.value, dy=self.minus_error)  # x - y
        flat = self.dy.reshape(N, -1)
        ops.bias_activation_backward(
            flat, self.y.reshape(N, -1), model.loss.output_activation, 0.0, dx=flat, db=None
        )
        dz = model.decoder.backward(self.dy, self.decoder)
        if self.variational:  # the log-variance has no part in the mean code
            ops.copy(dz, out=self.dh[:, : model.latent])
            dz = self.dh
        dx: Array = model.encoder.backward(dz, self.encoder)
        ops.add(dx, self.minus_error, out=dx)
        return dx


def inpaint(
    model: Any,
    images: npt.ArrayLike,
    missing: npt.ArrayLike,
    labels: npt.ArrayLike | None = None,
    *,
    method: str = "energy",
    steps: int | None = None,
) -> Array:
    """Images (M, D), float in [0, 1], whose missing pixels are filled in; the known ones stay.

    images: (M, D), uint8 or float in [0, 1], whose missing pixels are not looked at;  missing:
    bool (M, D);  method: "energy", "iterate" or "direct" (see above);  steps: how many.
    Raises MinaeError if the shapes or the method do not fit.
    """
    if method not in ("energy", "iterate", "direct"):
        raise MinaeError(f"unknown method {method!r}; choose energy, iterate or direct")
    images, missing = np.asarray(images), np.asarray(missing, bool)
    if images.dtype == np.uint8:
        images = images / 255
    if images.shape != missing.shape or images.ndim != 2 or len(images) == 0:
        raise MinaeError(
            f"images and missing are of one shape (M, D), M >= 1, "
            f"found {images.shape} and {missing.shape}"
        )
    low, high = model.pixel_range
    grey = (0 - low) / (high - low) if method == "direct" else 0.5  # 0 to a denoising model
    start = np.where(missing, np.clip(grey, 0, 1), images)
    steps = steps or {"energy": STEPS, "iterate": ITERATIONS, "direct": 1}[method]
    filled = []
    for first in range(0, len(images), CHUNK):
        part = slice(first, first + CHUNK)
        some = None if labels is None else np.asarray(labels)[part]
        filled.append(_fill(model, start[part], missing[part], some, method, steps))
    return np.where(missing, np.clip(np.concatenate(filled), 0, 1), images)


def _fill(
    model: Any, images: Array, missing: Array, labels: Array | None, method: str, steps: int
) -> Array:
    """One chunk of `inpaint`: images with the missing pixels as the method left them."""
    ops, N = model.ops, len(images)
    energy = Energy(model, N)
    cache, dtype = energy.cache, model.parameters.dtype
    rows = ops.asarray(np.arange(N), np.int64)
    model.load(model.device_images(images), model.device_labels(labels, N), rows, cache)
    mask = ops.asarray(missing.astype(dtype))  # (N, D)
    known = ops.asarray(1 - missing.astype(dtype))
    x = cache.pixels  # (N, D)
    if method != "energy":
        fixed = ops.empty(x.shape, dtype)
        ops.dropout_forward(x, known, 1.0, out=fixed)
        for _ in range(steps):
            energy.forward()
            ops.dropout_forward(energy.y.reshape(x.shape), mask, 1.0, out=x)
            ops.add(x, fixed, out=x)
        return model.host_pixels(cache)  # type: ignore[no-any-return]
    low, high = model.pixel_range
    m, v = ops.zeros((x.size,), dtype), ops.zeros((x.size,), dtype)
    step, one = ops.zeros((1,), np.int64), ops.asarray(np.ones(1), np.int64)
    rate = ops.zeros((1,), np.float64)
    gradient = ops.empty(x.shape, dtype)
    for done in range(steps):
        energy.forward()
        dx = energy.backward().reshape(x.shape)
        ops.dropout_forward(dx, mask, 1.0, out=gradient)  # 0 where the pixel is known
        now = np.array([RATE * (high - low) * (1 - done / steps)])
        ops.copy(ops.asarray(now, np.float64), out=rate)
        arrays = (x.reshape(-1), gradient.reshape(-1), m, v)
        ops.adam(*arrays, step, rate, 0.9, 0.999, 1e-8, 0.0)
        ops.add(step, one, out=step)
    return model.host_pixels(cache)  # type: ignore[no-any-return]


def classical(images: Array, missing: Array, image_shape: tuple[int, int], method: str) -> Array:
    """Images (M, H·W), float in [0, 1], filled in by OpenCV: method "telea" or "navier-stokes".

    images: uint8 or float in [0, 1];  missing: bool (M, H·W). Raises MinaeError without OpenCV.
    """
    try:
        import cv2
    except ImportError:
        raise MinaeError(
            "Telea's and the Navier-Stokes method are OpenCV's: pip install opencv-python-headless"
        ) from None
    flag = {"telea": cv2.INPAINT_TELEA, "navier-stokes": cv2.INPAINT_NS}[method]
    bytes_ = images if images.dtype == np.uint8 else np.round(255 * images).astype(np.uint8)
    pairs = zip(
        bytes_.reshape(-1, *image_shape),
        missing.reshape(-1, *image_shape).astype(np.uint8),
        strict=True,
    )
    filled = [cv2.inpaint(image * (1 - mask), mask, RADIUS, flag) for image, mask in pairs]
    result: Array = np.stack(filled).reshape(images.shape) / 255
    return result


def mask(kind: str, count: int, image_shape: tuple[int, int], share: float, seed: int) -> Array:
    """Which pixels are missing, bool (count, H·W): "random" pixels, a "square" somewhere within the
    middle, or the lower "half"; `share` is that of the missing pixels (a half is a half)."""
    H, W = image_shape
    rng = np.random.default_rng(seed)
    if kind == "random":
        return rng.random((count, H * W)) < share
    missing = np.zeros((count, H, W), bool)
    if kind == "half":
        missing[:, H // 2 :] = True
    else:
        a = max(1, round((share * H * W) ** 0.5))
        if a > min(H, W):
            raise MinaeError(f"a square of {share:g} of the pixels does not fit in {H}×{W}")
        for one in missing:
            top, left = (int(rng.integers((S - a) // 4, 3 * (S - a) // 4 + 1)) for S in (H, W))
            one[top : top + a, left : left + a] = True
    return missing.reshape(count, -1)
