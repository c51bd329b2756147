"""The denoising autoencoder (Vincent et al. 2008): damaged image in, clean image out."""

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from minae.backends.spec import Array
from minae.errors import MinaeError
from minae.layers.layer import Cache, Layer, Strips
from minae.layers.noise import MaskingNoise
from minae.ledger import mean_psnr
from minae.models.autoencoder import Autoencoder
from minae.models.model import CHUNK


@dataclass(eq=False)
class DenoisingAutoencoder(Autoencoder):
    """x → noise → encoder → z → decoder → y, loss between y and the clean x.

    noise: MaskingNoise or GaussianNoise, on the pixels in pixel_range; it is drawn anew for each
    sample and step, and left out outside training. With pixel_range (-1, 1) a masked pixel is 0,
    half grey, which hardly any real one is: what is missing can be told from what is black.
    """

    noise: Layer = field(default_factory=MaskingNoise)

    def networks(self) -> dict[str, Layer]:
        return super().networks() | {"noise": self.noise}

    def strips(self, images: Array, samples: int) -> Strips | None:
        """None: the first layer reads damaged pixels, which are not those of the data set."""
        return None

    def new_cache(self, samples: int, *, training: bool = True, seed: int = 0) -> Cache:
        cache = super().new_cache(samples, training=training, seed=seed)
        # outside training only `damage` runs the noise, which must then act as in training
        batch = cache.batch if training else replace(cache.batch, training=True)
        cache.noise = self.noise.new_cache(cache.x_shape, batch, needs_dx=False)
        return cache

    def forward(self, cache: Cache) -> None:
        training = cache.batch.training
        self.run(cache, self.noise.forward(cache.x, cache.noise) if training else cache.x)
        self.loss(self.ops, cache.y, cache.x, value=cache.values["loss"], dy=cache.dy)

    def damage(self, images: npt.ArrayLike, seed: int = 0) -> Array:
        """Images (M, D) with the noise of training, grey values in [0, 1] and, for Gaussian noise,
        beyond. Which noise an image gets depends on the seed and on its place among the images."""
        damaged = []
        for _, cache in self.chunks(images):
            cache.noise.batch.seed = seed
            noisy = self.noise.forward(cache.x, cache.noise)
            self.ops.copy(noisy, out=cache.x)
            damaged.append(self.host_pixels(cache))
        return np.concatenate(damaged)

    def denoise(self, images: npt.ArrayLike) -> Array:
        """Clean images (M, D), float in [0, 1], of damaged ones (M, D), any floats.

        A missing pixel is 0.5 here where pixel_range is (-1, 1), and 0 where it is (0, 1).
        """
        images = np.asarray(images)
        if images.ndim < 2 or len(images) == 0 or not np.isfinite(images).all():
            raise MinaeError(
                f"damaged images are finite numbers of shape (M, D), M >= 1, found {images.shape}"
            )
        low, high = self.pixel_range
        x = np.asarray(low + (high - low) * images.reshape(len(images), -1), self.parameters.dtype)
        clean = []
        for start in range(0, len(x), CHUNK):
            chunk = self.ops.asarray(x[start : start + CHUNK])
            cache = self._chunk_cache(len(chunk))
            self.ops.copy(chunk, out=cache.pixels)
            self.run(cache, cache.x)
            self.to_pixels(cache.y, cache.x)
            clean.append(self.host_pixels(cache))
        return np.concatenate(clean)

    def evaluate(
        self, images: npt.ArrayLike, labels: npt.ArrayLike | None = None
    ) -> dict[str, float]:
        """The ledger's figures of undamaged images, and the PSNR of damaged and denoised ones."""
        images = np.asarray(images)
        figures = super().evaluate(images)
        sums = np.zeros(2)
        for start in range(0, len(images), CHUNK):
            chunk = images[start : start + CHUNK]
            x = chunk / 255 if chunk.dtype == np.uint8 else chunk
            damaged = self.damage(chunk, seed=start)
            sums += [
                len(chunk) * mean_psnr(x.reshape(len(x), -1), y)
                for y in (damaged, self.denoise(damaged))
            ]
        damaged_psnr, denoised_psnr = sums / len(images)
        return figures | {"damaged_psnr": damaged_psnr, "denoised_psnr": denoised_psnr}
