"""The variational autoencoder (Kingma and Welling 2014). Derivation: reference/vae.py."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from minae import random
from minae.backends.spec import Array
from minae.errors import MinaeError
from minae.layers.layer import Cache, Layer, Shape
from minae.ledger import ReconstructionLedger
from minae.losses import BCEWithLogits, Loss, MixedLoss
from minae.models.model import CHUNK, Model


@dataclass(eq=False)
class VariationalAutoencoder(Model):
    """x → encoder → (mean, log_var) → z = mean + exp(½ log_var) ⊙ eps → decoder → logits.

    loss = reconstruction + beta · KL(N(mean, exp(log_var)) ‖ N(0, 1)), the negative ELBO in nats
    for beta = 1. The encoder's output (N, 2·latent) is split: mean first, log-variance second.
    """

    parts: ClassVar[tuple[str, ...]] = ("loss", "reconstruction", "kl")

    input_shape: Shape
    latent: int
    encoder: Layer
    decoder: Layer
    loss: Loss
    beta: float = 1.0

    def __post_init__(self) -> None:
        self.input_shape = tuple(self.input_shape)
        if self.beta <= 0:
            raise MinaeError(f"beta must be greater than 0, found {self.beta}")
        h_shape = self.encoder.output_shape((1, *self.input_shape))
        if h_shape != (1, 2 * self.latent):
            raise MinaeError(
                f"the encoder must give mean and log-variance, shape (N, {2 * self.latent}), "
                f"found {h_shape}"
            )
        y_shape = self.decoder.output_shape((1, self.latent))
        if y_shape[1:] != self.input_shape:
            raise MinaeError(
                f"the decoder gives samples of shape {y_shape[1:]}, wanted {self.input_shape}"
            )

    @property
    def code(self) -> int:
        """Numbers in one code."""
        return self.latent

    def networks(self) -> dict[str, Layer]:
        return {"encoder": self.encoder, "decoder": self.decoder}

    def new_cache(self, samples: int, *, training: bool = True, seed: int = 0) -> Cache:
        cache = super().new_cache(samples, training=training, seed=seed)
        empty, dtype, Z = self.ops.empty, self.parameters.dtype, self.latent
        cache.encoder = self.encoder.new_cache(cache.x_shape, cache.batch, needs_dx=False)
        cache.decoder = self.decoder.new_cache((samples, Z), cache.batch)
        cache.eps = self.ops.zeros((samples, Z), dtype)  # a recorded step leaves it there
        cache.z = empty((samples, Z), dtype)
        cache.dy = cache.dh = cache.dmean = cache.dlog_var = None
        if training:
            cache.dy = empty(cache.x_shape, dtype)
            cache.dh = empty((samples, 2 * Z), dtype)
            cache.dmean, cache.dlog_var = cache.dh[:, :Z], cache.dh[:, Z:]
        return cache

    def forward(self, cache: Cache) -> None:
        self.draw_epsilon(cache)
        self.encode_batch(cache)
        ops, values = self.ops, cache.values
        ops.reparameterize_forward(cache.mean, cache.log_var, cache.eps, out=cache.z)
        cache.y = self.decoder.forward(cache.z, cache.decoder)
        self.loss(ops, cache.y, cache.x, value=values["reconstruction"], dy=cache.dy)
        ops.gaussian_kl(
            cache.mean,
            cache.log_var,
            self.beta * self.kl_scale(cache),
            value=values["kl"],
            dmean=cache.dmean,
            dlog_var=cache.dlog_var,
        )
        ops.add(values["reconstruction"], values["kl"], out=values["loss"])

    def backward(self, cache: Cache) -> None:
        dz = self.decoder.backward(cache.dy, cache.decoder)
        assert dz is not None
        # dmean and dlog_var hold the gradient of the KL from forward; that of z's path is added
        self.ops.reparameterize_backward(
            dz,
            cache.log_var,
            cache.eps,
            dmean=cache.dmean,
            dlog_var=cache.dlog_var,
            accumulate=True,
        )
        self.encoder.backward(cache.dh, cache.encoder)

    def draw_epsilon(self, cache: Cache) -> None:
        """eps ~ N(0, 1), (N, Z), named by (seed, step, sample)."""
        batch = cache.batch
        purpose = random.EPSILON if batch.training else random.EVALUATION
        self.ops.random_normal(batch.seed, purpose, batch.step, batch.rows, out=cache.eps)

    def encode_batch(self, cache: Cache) -> None:
        """cache.mean, cache.log_var: the two halves of the encoder's output, (N, Z) each."""
        h = self.encoder.forward(cache.x, cache.encoder)  # (N, 2Z)
        cache.mean, cache.log_var = h[:, : self.latent], h[:, self.latent :]

    def kl_scale(self, cache: Cache) -> float:
        """The KL is summed over Z and reduced over the batch (and pixels) as the loss is."""
        return self.loss.scale(cache.x_shape)

    def encode(self, images: npt.ArrayLike, labels: npt.ArrayLike | None = None) -> Array:
        """Mean codes (M, latent) of images (M, D), uint8 or float in [0, 1]."""

        def mean(cache: Cache) -> Array:
            self.encode_batch(cache)
            return cache.mean  # type: ignore[no-any-return]

        return self.collect(mean, images, labels)

    def decode(self, codes: npt.ArrayLike, labels: npt.ArrayLike | None = None) -> Array:
        """Images (M, D), float in [0, 1], of codes (M, latent)."""
        codes = self.host_codes(codes)
        device_labels = self.device_labels(labels, len(codes))
        images = []
        for start in range(0, len(codes), CHUNK):
            chunk = self.ops.asarray(codes[start : start + CHUNK])
            cache = self._chunk_cache(len(chunk))
            if device_labels is not None:
                self.ops.one_hot(device_labels[start : start + CHUNK], out=cache.one_hot)
            self.to_pixels(self.decoder.forward(chunk, cache.decoder), cache.x)
            images.append(self.ops.to_numpy(cache.pixels))
        return np.concatenate(images)

    def reconstruct(self, images: npt.ArrayLike, labels: npt.ArrayLike | None = None) -> Array:
        """Reconstructions (M, D) from the mean codes of images (M, D)."""
        return self.decode(self.encode(images, labels), labels)

    def sample(self, count: int, seed: int = 0, labels: npt.ArrayLike | None = None) -> Array:
        """Images (count, D) decoded from z ~ N(0, 1)."""
        codes = self.ops.empty((count, self.latent), self.parameters.dtype)
        step = self.ops.zeros((1,), np.int64)
        rows = self.ops.asarray(np.arange(count), np.int64)
        self.ops.random_normal(seed, random.PRIOR, step, rows, out=codes)
        return self.decode(self.ops.to_numpy(codes), labels)

    def evaluate(
        self, images: npt.ArrayLike, labels: npt.ArrayLike | None = None
    ) -> dict[str, float]:
        """The ledger's figures over all images (units: minae.ledger).

        mse, squared error and bce are of the reconstruction from the mean code; the nats are those
        of the loss, with one draw of z an image.
        """
        ledger, total, samples = ReconstructionLedger(), np.zeros(2), 0
        for _, cache in self.chunks(images, labels):
            x, n = self.ops.to_numpy(cache.pixels), len(cache.pixels)
            self.forward(cache)
            parts = [self.ops.to_numpy(cache.values[name])[0] for name in ("reconstruction", "kl")]
            total += np.array(parts) / self.loss.scale(cache.x_shape)
            samples += n
            self.to_pixels(self.decoder.forward(cache.mean, cache.decoder), cache.x)
            ledger.add(x, self.ops.to_numpy(cache.pixels))
        figures = ledger.figures()
        if isinstance(self.loss, BCEWithLogits | MixedLoss):
            reconstruction, kl = total[0] / samples, total[1] / self.beta / samples
            figures |= {
                "reconstruction_nats": reconstruction,
                "kl_nats": kl,
                "nats_per_image": reconstruction + kl,
            }
        return figures
