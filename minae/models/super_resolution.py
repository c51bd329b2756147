"""Super-resolution: a small image in, a larger one of the same scene out."""

from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt

from minae.backends.spec import Array
from minae.bicubic import bicubic
from minae.errors import MinaeError
from minae.layers.layer import Cache, Shape
from minae.ledger import ReconstructionLedger
from minae.models.autoencoder import Autoencoder
from minae.models.model import CHUNK


@dataclass(eq=False, kw_only=True)
class SuperResolution(Autoencoder):
    """x (C, H, W) → mean of each factor×factor block → encoder → decoder → y (C, H, W).

    The loss is between y and x. What is encoded is the small image, (C, H/factor, W/factor).
    """

    factor: int = 2

    def __post_init__(self) -> None:
        self.input_shape = tuple(self.input_shape)
        shape = self.input_shape
        if len(shape) != 3 or self.factor < 2 or shape[1] % self.factor or shape[2] % self.factor:
            raise MinaeError(
                f"super-resolution wants images (C, H, W), H and W multiples of a factor of 2 or "
                f"more, found {shape} and {self.factor}"
            )
        z_shape = self.encoder.output_shape((1, *self.small_shape))
        y_shape = self.decoder.output_shape(z_shape)
        if y_shape[1:] != shape:
            raise MinaeError(
                f"the decoder gives images of shape {y_shape[1:]} from small ones of "
                f"{self.small_shape}, wanted {shape}"
            )

    @property
    def small_shape(self) -> Shape:
        """(C, H/factor, W/factor)."""
        C, H, W = self.input_shape
        return (C, H // self.factor, W // self.factor)

    @property
    def code_shape(self) -> Shape:
        """Shape of one code as the decoder takes it."""
        return self.encoder.output_shape((1, *self.small_shape))[1:]

    def new_cache(self, samples: int, *, training: bool = True, seed: int = 0) -> Cache:
        cache = super(Autoencoder, self).new_cache(samples, training=training, seed=seed)
        ops, dtype = self.ops, self.parameters.dtype
        cache.small = ops.empty((samples, *self.small_shape), dtype)
        cache.encoder = self.encoder.new_cache(cache.small.shape, cache.batch, needs_dx=False)
        cache.decoder = self.decoder.new_cache(cache.encoder.y_shape, cache.batch)
        cache.dy = ops.empty(cache.x_shape, dtype) if training else None
        return cache

    def forward(self, cache: Cache) -> None:
        self.shrink(cache)
        cache.z = self.encoder.forward(cache.small, cache.encoder)
        cache.y = self.decoder.forward(cache.z, cache.decoder)
        self.loss(self.ops, cache.y, cache.x, value=cache.values["loss"], dy=cache.dy)

    def shrink(self, cache: Cache) -> Array:
        """cache.small: the means of the blocks of x."""
        block = (self.factor, self.factor)
        self.ops.avg_pool2d_forward(cache.x, block, block, (0, 0), out=cache.small)
        return cache.small  # type: ignore[no-any-return]

    def encode(self, images: npt.ArrayLike) -> Array:
        """Codes (M, code) of images (M, D) of full size, which are made small first."""

        def code(cache: Cache) -> Array:
            return self.encoder.forward(self.shrink(cache), cache.encoder)

        return self.collect(code, images)

    def downscale(self, images: npt.ArrayLike) -> Array:
        """Small images (M, D/factor²), float in [0, 1], of images (M, D)."""
        return self.collect(self.shrink, images)

    def upscale(self, small: npt.ArrayLike) -> Array:
        """Images (M, D) of small ones (M, D/factor²), uint8 or float in [0, 1]."""
        small = np.asarray(small)
        if small.ndim < 2 or len(small) == 0 or prod(small.shape[1:]) != prod(self.small_shape):
            raise MinaeError(
                f"this model enlarges images of shape (M, {prod(self.small_shape)}), M >= 1, "
                f"found {small.shape}"
            )
        scale = 255 if small.dtype == np.uint8 else 1
        low = np.asarray(small.reshape(-1, *self.small_shape) / scale, self.parameters.dtype)
        images = []
        for start in range(0, len(low), CHUNK):
            chunk = self.ops.asarray(low[start : start + CHUNK])
            cache = self._chunk_cache(len(chunk))
            z = self.encoder.forward(chunk, cache.encoder)
            self.to_pixels(self.decoder.forward(z, cache.decoder), cache.x)
            images.append(self.host_pixels(cache))
        return np.concatenate(images)

    def evaluate(
        self, images: npt.ArrayLike, labels: npt.ArrayLike | None = None
    ) -> dict[str, float]:
        """The ledger's figures, and the PSNR of the enlarged images beside that of bicubic ones."""
        ledger, sums, samples = ReconstructionLedger(), np.zeros(2), 0
        for _, cache in self.chunks(images):
            x = np.clip(self.host_pixels(cache), 0, 1)
            self.forward(cache)
            small = self.ops.to_numpy(cache.small).reshape(len(x), -1)
            self.to_pixels(cache.y, cache.x)
            y = self.host_pixels(cache)
            ledger.add(x, y)
            cubic = np.clip(bicubic(small, self.small_shape, self.factor), 0, 1)
            sums += [psnr(x, cubic).sum(), psnr(x, y).sum()]
            samples += len(x)
        bicubic_psnr, enlarged_psnr = (sums / samples).tolist()
        return ledger.figures() | {"bicubic_psnr": bicubic_psnr, "enlarged_psnr": enlarged_psnr}


def psnr(x: Array, y: Array) -> Array:
    """Peak signal-to-noise ratio of each image, dB, (N,): -10 log₁₀ mean (y - x)². x, y: (N, D)."""
    squared_error = np.square(y - x).mean(axis=1, dtype=np.float64)
    return -10 * np.log10(np.maximum(squared_error, 1e-10))  # type: ignore[no-any-return]
