"""The autoencoder: x → encoder → z → decoder → y, loss between y and x."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from minae.backends.spec import Array
from minae.errors import MinaeError
from minae.layers.layer import Cache, Layer, Shape
from minae.ledger import ReconstructionLedger
from minae.losses import Loss
from minae.models.model import CHUNK, Model


@dataclass(eq=False)
class Autoencoder(Model):
    """Deterministic autoencoder.

    The decoder's output is pixels, or logits if the loss is BCEWithLogits. `code` is the size of z.
    Grey values in [0, 1] are brought to pixel_range before they enter, (-1, 1) for tanh outputs;
    the methods take and give them in [0, 1].
    """

    input_shape: Shape
    encoder: Layer
    decoder: Layer
    loss: Loss
    pixel_range: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        self.input_shape = tuple(self.input_shape)
        y_shape = self.decoder.output_shape(self.encoder.output_shape((1, *self.input_shape)))
        if y_shape[1:] != self.input_shape:
            raise MinaeError(
                f"the decoder gives samples of shape {y_shape[1:]}, wanted {self.input_shape}"
            )

    @property
    def code(self) -> int:
        """Numbers in one code."""
        return int(np.prod(self.code_shape))

    @property
    def code_shape(self) -> Shape:
        """Shape of one code as the decoder takes it."""
        return self.encoder.output_shape((1, *self.input_shape))[1:]

    def networks(self) -> dict[str, Layer]:
        return {"encoder": self.encoder, "decoder": self.decoder}

    def new_cache(self, samples: int, *, training: bool = True, seed: int = 0) -> Cache:
        cache = super().new_cache(samples, training=training, seed=seed)
        cache.encoder = self.encoder.new_cache(cache.x_shape, cache.batch, needs_dx=False)
        cache.decoder = self.decoder.new_cache(cache.encoder.y_shape, cache.batch)
        cache.dy = self.ops.empty(cache.x_shape, self.parameters.dtype) if training else None
        return cache

    def forward(self, cache: Cache) -> None:
        self.run(cache, cache.x)
        self.loss(self.ops, cache.y, cache.x, value=cache.values["loss"], dy=cache.dy)

    def run(self, cache: Cache, x: Array) -> None:
        """cache.z, cache.y: code and output of x, which need not be what y is compared with."""
        cache.z = self.encoder.forward(x, cache.encoder)
        cache.y = self.decoder.forward(cache.z, cache.decoder)

    def backward(self, cache: Cache) -> None:
        dz = self.decoder.backward(cache.dy, cache.decoder)
        if dz is not None:
            self.encoder.backward(dz, cache.encoder)

    def encode(self, images: npt.ArrayLike) -> Array:
        """Codes (M, code) of images (M, D), uint8 or float in [0, 1]."""
        return self.collect(lambda cache: self.encoder.forward(cache.x, cache.encoder), images)

    def decode(self, codes: npt.ArrayLike) -> Array:
        """Images (M, D), float in [0, 1], of codes (M, code); a linear decoder's may exceed it."""
        codes = self.host_codes(codes)
        images = []
        for start in range(0, len(codes), CHUNK):
            chunk = self.ops.asarray(codes[start : start + CHUNK]).reshape(-1, *self.code_shape)
            cache = self._chunk_cache(len(chunk))
            self.to_pixels(self.decoder.forward(chunk, cache.decoder), cache.x)
            images.append(self.host_pixels(cache))
        return np.concatenate(images)

    def reconstruct(self, images: npt.ArrayLike) -> Array:
        """Reconstructions (M, D), float in [0, 1], of images (M, D)."""
        return self.decode(self.encode(images))

    def evaluate(
        self, images: npt.ArrayLike, labels: npt.ArrayLike | None = None
    ) -> dict[str, float]:
        """The ledger's figures over all images (units: minae.ledger)."""
        ledger = ReconstructionLedger()
        for _, cache in self.chunks(images):
            x = np.clip(self.host_pixels(cache), 0, 1)  # the range may round to just outside
            self.forward(cache)
            self.to_pixels(cache.y, cache.x)
            ledger.add(x, self.host_pixels(cache))
        return ledger.figures()
