"""The importance-weighted autoencoder (Burda et al. 2016). Derivation: reference/iwae.py."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from minae import random
from minae.backends.spec import Array
from minae.errors import MinaeError
from minae.layers.layer import Cache, Strips
from minae.ledger import ReconstructionLedger
from minae.losses import BCEWithLogits
from minae.models.variational import VariationalAutoencoder

DRAWS = 50  # of z for an image at a time, in `nll`
IMAGES = 100  # at a time there


@dataclass(eq=False)
class ImportanceWeightedAutoencoder(VariationalAutoencoder):
    """x → t ~ Bernoulli(x) → encoder → (mean, log_var) → z_1 … z_k → decoder → k logits of t.

    loss = -log (1/k Σ_i p(t|z_i) p(z_i) / q(z_i|t)) in nats an image, k = `samples`; k = 1 is the
    VAE with its KL estimated by one draw. Black and white pixels t are drawn anew at every step
    ("dynamic binarization"); encode and reconstruct take grey pixels as they are. The decoder is
    given k rows an image, and holds no layer that draws numbers for each image.
    """

    parts = ("loss",)

    samples: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.samples < 1:
            raise MinaeError(f"samples must be 1 or more, found {self.samples}")
        if not isinstance(self.loss, BCEWithLogits) or self.beta != 1:
            raise MinaeError(
                "the importance-weighted bound is of BCEWithLogits and beta 1, "
                f"found {type(self.loss).__name__} and beta {self.beta}"
            )

    def strips(self, images: Array, samples: int) -> Strips | None:
        """None: the first layer reads drawn pixels, which are not those of the data set."""
        return None

    def new_cache(self, samples: int, *, training: bool = True, seed: int = 0) -> Cache:
        cache = super().new_cache(samples, training=training, seed=seed)
        self.add_draws(cache, self.samples)
        if training:  # -½ Σ weights is the gradient by log_var beside that of z's path
            start = np.zeros((samples, 2 * self.latent))
            start[:, self.latent :] = -0.5 * self.loss.scale((samples,))
            cache.dh_start = self.ops.asarray(start, self.parameters.dtype)
        return cache

    def add_draws(self, cache: Cache, k: int) -> None:
        """Buffers for k draws of z an image."""
        empty, dtype, (N, D), Z = (
            self.ops.empty,
            self.parameters.dtype,
            cache.pixels.shape,
            self.latent,
        )
        cache.u = empty((N, D), dtype)
        cache.t = self.ops.zeros(cache.x_shape, dtype)  # a recorded step leaves it there, and eps
        cache.eps = self.ops.zeros((N, k * Z), dtype)  # draw i of sample n: eps[n, i·Z:(i+1)·Z]
        cache.z = empty((k, N, Z), dtype)
        cache.log_w = empty((k, N), dtype)
        cache.weights = empty((k, N), dtype) if cache.batch.training else None
        cache.dz = empty((k, N, Z), dtype) if cache.batch.training else None
        cache.draws = self.decoder.new_cache((k * N, Z), cache.batch)

    def forward(self, cache: Cache) -> None:
        self.binarize(cache)
        self.draw_epsilon(cache)
        self.encode_t(cache)
        self.log_weights(cache)
        scale = self.loss.scale((len(cache.pixels),))  # the bound is a sum over pixels
        value = cache.values["loss"]
        self.ops.importance_bound(cache.log_w, scale, value=value, weights=cache.weights)

    def binarize(self, cache: Cache) -> None:
        """cache.t ~ Bernoulli(x), (N, *input_shape), named by (seed, step, sample)."""
        batch = cache.batch
        purpose = random.NOISE if batch.training else random.stream(random.EVALUATION, 1)
        self.ops.random_uniform(batch.seed, purpose, batch.step, batch.rows, out=cache.u)
        self.ops.binarize(cache.pixels, cache.u, out=cache.t.reshape(cache.u.shape))

    def encode_t(self, cache: Cache) -> None:
        h = self.encoder.forward(cache.t, cache.encoder)  # (N, 2Z)
        cache.mean, cache.log_var = h[:, : self.latent], h[:, self.latent :]

    def log_weights(self, cache: Cache) -> None:
        """cache.log_w (k, N) of the draws that cache.eps makes."""
        ops, (k, N, Z) = self.ops, cache.z.shape
        for i in range(k):
            eps = cache.eps[:, i * Z : (i + 1) * Z]
            ops.reparameterize_forward(cache.mean, cache.log_var, eps, out=cache.z[i])
        cache.y = self.decoder.forward(cache.z.reshape(k * N, Z), cache.draws)
        ops.importance_weights_forward(
            cache.y.reshape(k, N, -1),  # (k, N, D)
            cache.t.reshape(N, -1),
            cache.z,
            cache.eps.reshape(N, k, Z).transpose(1, 0, 2),  # (k, N, Z)
            cache.log_var,
            out=cache.log_w,
        )

    def backward(self, cache: Cache) -> None:
        ops, (k, N, Z) = self.ops, cache.z.shape
        dlogits = cache.y.reshape(k, N, -1)  # in place: the logits are not needed any more
        ops.importance_weights_backward(
            cache.weights, dlogits, cache.t.reshape(N, -1), cache.z, dlogits=dlogits, dz=cache.dz
        )
        dz = self.decoder.backward(cache.y, cache.draws)
        assert dz is not None
        ops.add(cache.dz, dz.reshape(k, N, Z), out=cache.dz)
        ops.copy(cache.dh_start, out=cache.dh)
        for i in range(k):
            ops.reparameterize_backward(
                cache.dz[i],
                cache.log_var,
                cache.eps[:, i * Z : (i + 1) * Z],
                dmean=cache.dmean,
                dlog_var=cache.dlog_var,
                accumulate=True,
            )
        self.encoder.backward(cache.dh, cache.encoder)

    def nll(self, images: npt.ArrayLike, samples: int = 5000, seed: int = 0) -> Array:
        """-log p(t) of each image (M,), float64, in nats: the bound with so many draws.

        t is one drawing of black and white pixels for each image, the same for every `samples`.
        """
        device_images = self.device_images(images)
        caches: dict[tuple[int, int], Cache] = {}
        results = []
        for start in range(0, len(device_images), IMAGES):
            stop = min(start + IMAGES, len(device_images))
            rows = self.ops.asarray(np.arange(start, stop), np.int64)
            found = []
            for first in range(0, samples, DRAWS):
                k, N = min(DRAWS, samples - first), stop - start
                if (k, N) not in caches:
                    caches[k, N] = super().new_cache(N, training=False, seed=seed)
                    self.add_draws(caches[k, N], k)
                cache = caches[k, N]
                self.ops.copy(self.ops.zeros((1,), np.int64), out=cache.batch.step)
                self.load(device_images, None, rows, cache)
                self.binarize(cache)
                draw = self.ops.asarray(np.array([first // DRAWS]), np.int64)
                self.ops.copy(draw, out=cache.batch.step)
                self.draw_epsilon(cache)
                self.encode_t(cache)
                self.log_weights(cache)
                found.append(self.ops.to_numpy(cache.log_w).astype(np.float64))
            log_w = np.concatenate(found)  # (samples, N)
            top = log_w.max(axis=0)
            results.append(-top - np.log(np.exp(log_w - top).mean(axis=0)))
        return np.concatenate(results)

    def evaluate(
        self, images: npt.ArrayLike, labels: npt.ArrayLike | None = None
    ) -> dict[str, float]:
        """The ledger's figures of grey images reconstructed from their mean codes, and the loss:
        the bound with k draws for one drawing of black and white pixels an image."""
        ledger, total, samples = ReconstructionLedger(), 0.0, 0
        for _, cache in self.chunks(images):
            x, n = self.ops.to_numpy(cache.pixels), len(cache.pixels)
            self.forward(cache)
            value = float(self.ops.to_numpy(cache.values["loss"])[0])
            total += value / self.loss.scale((n,))
            samples += n
            self.encode_batch(cache)
            self.to_pixels(self.decoder.forward(cache.mean, cache.decoder), cache.x)
            ledger.add(x, self.ops.to_numpy(cache.pixels))
        return ledger.figures() | {"bound_nats": total / samples}
