"""What all models share: their parameters, their buffers, and arrays in, arrays out."""

from collections.abc import Callable, Iterator
from math import prod
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from minae.backends import get_backend
from minae.backends.spec import STRIP, Array, Backend
from minae.changes import Watched
from minae.errors import MinaeError
from minae.layers.dense import SPARSE, Dense
from minae.layers.layer import Batch, Cache, Layer, Shape, Strips
from minae.losses import Loss
from minae.parameters import Parameters

CHUNK = 500  # samples that go through the network at once outside training


class Model(Watched):
    """Base of all models.

    `forward(cache)` writes the loss and its parts into `cache.values`; `backward(cache)` then
    writes the gradient of the loss into the flat gradient vector. A model is usable after `bind`.
    """

    types: ClassVar[dict[str, type["Model"]]] = {}
    parts: ClassVar[tuple[str, ...]] = ("loss",)  # names in cache.values
    input_shape: Shape  # of one sample
    loss: Loss
    pixel_range: tuple[float, float] = (0.0, 1.0)  # what [0, 1] becomes before the first layer
    bounded: ClassVar[bool] = True  # whether floats given to it must lie in [0, 1]
    classes: int | None = None  # of the labels that the model is conditioned on
    ops: Backend
    parameters: Parameters

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        Model.types[cls.__name__] = cls

    def networks(self) -> dict[str, Layer]:
        """The networks by name, in the order of their weights in the flat vector."""
        raise NotImplementedError

    def bind(
        self, backend: str | Backend = "auto", dtype: npt.DTypeLike = np.float32, seed: int = 0
    ) -> "Model":
        """Choose the backend and dtype, make the weights and draw their initial values."""
        self.ops = get_backend(backend) if isinstance(backend, str) else backend
        self.parameters = Parameters(self.networks(), self.ops, dtype, seed)
        self._chunks: dict[int, Cache] = {}
        return self

    def new_cache(self, samples: int, *, training: bool = True, seed: int = 0) -> Cache:
        """Buffers for a batch of this size: `pixels` (N, D) and its view `x` (N, *input_shape),
        float64 (1,) `values` of the loss and its parts, and what the networks keep."""
        ops, dtype = self.ops, self.parameters.dtype
        batch = Batch.first(ops, samples, seed=seed, training=training)
        if self.classes is not None:
            batch.one_hot = ops.zeros((samples, self.classes), dtype)
        pixels = ops.empty((samples, prod(self.input_shape)), dtype)
        return Cache(
            batch=batch,
            x_shape=(samples, *self.input_shape),
            one_hot=batch.one_hot,
            pixels=pixels,
            x=pixels.reshape(samples, *self.input_shape),
            labels=ops.zeros((samples,), np.int64),
            values={name: ops.zeros((1,), np.float64) for name in self.parts},
        )

    def prepare(self, images: npt.ArrayLike) -> None:
        """What a model must know of its training images, on the host, before the first step."""

    def load(self, images: Array, labels: Array | None, rows: Array, cache: Cache) -> None:
        """Fill the cache with the samples of these rows: pixels in pixel_range, labels one-hot.

        images and labels as `device_images` and `device_labels` give them; rows: int64 (N,) on the
        device.
        """
        self.ops.copy(rows, out=cache.batch.rows)
        self.gather(images, labels, cache)

    def gather(self, images: Array, labels: Array | None, cache: Cache) -> None:
        """Fill the cache with the samples of its own rows; see `load`."""
        ops = self.ops
        ops.gather(images, cache.batch.rows, *self.scaling(images), out=cache.pixels)
        if labels is not None:
            ops.take(labels, cache.batch.rows, out=cache.labels)
            ops.one_hot(cache.labels, out=cache.one_hot)

    def scaling(self, images: Array) -> tuple[float, float]:
        """(scale, shift) that bring images, uint8 or float in [0, 1], to pixel_range."""
        low, high = self.pixel_range
        return (high - low) / (255 if images.dtype == np.uint8 else 1), low

    def strips(self, images: Array, samples: int) -> Strips | None:
        """Those of host images (M, D), uint8, D in whole strips, if the first layer is a dense one
        and, in batches of so many samples, faster with them; else None. Only where a black pixel is
        0 and stays it: a model that changes the batch's pixels in place returns None."""
        layer = next(iter(self.networks().values()))
        while layer.sublayers():
            layer = layer.sublayers()[0]
        black, _ = self.pixel_range
        if not isinstance(layer, Dense) or images.dtype != np.uint8 or black != 0:
            return None
        if layer.in_features % STRIP:  # kernels multiply whole strips
            return None
        known = samples, layer.out_features

        def pays(density: float) -> bool:
            return any(self.ops.sparse_pays(name, *known, density) for name in SPARSE)

        if not pays(0.0):
            return None
        strips = Strips.of(self.ops, images.reshape(len(images), -1))
        return strips if pays(strips.density) else None

    def device_images(self, images: npt.ArrayLike) -> Array:
        """Host images (M, D) or (M, *input_shape), uint8 or float in [0, 1], on the device: (M, D),
        uint8 or of the model's dtype. Raises MinaeError for anything else."""
        images = np.asarray(images)
        D = prod(self.input_shape)
        if images.ndim < 2 or len(images) == 0 or prod(images.shape[1:]) != D:
            raise MinaeError(
                f"this model takes samples of shape (M, {D}), M >= 1, found {images.shape}"
            )
        if images.dtype != np.uint8:
            if not np.issubdtype(images.dtype, np.floating):
                raise MinaeError(f"samples are uint8 or float in [0, 1], found {images.dtype}")
            if not self.bounded:
                if not np.isfinite(images).all():
                    raise MinaeError("samples are finite numbers, found some that are not")
            elif not (images.min() >= 0 and images.max() <= 1):
                raise MinaeError(
                    f"float samples lie in [0, 1], found {images.min():g} ... {images.max():g}"
                )
            images = images.astype(self.parameters.dtype)
        return self.ops.asarray(images.reshape(len(images), D))

    def host_codes(self, codes: npt.ArrayLike) -> Array:
        """Codes (M, code) in the model's dtype. Raises MinaeError for anything else."""
        codes = np.asarray(codes, self.parameters.dtype)
        if codes.ndim != 2 or codes.shape[1] != self.code or len(codes) == 0:
            raise MinaeError(
                f"this model decodes codes of shape (M, {self.code}), M >= 1, found {codes.shape}"
            )
        if not np.isfinite(codes).all():
            raise MinaeError("codes are finite numbers, found some that are not")
        return codes

    def device_labels(self, labels: npt.ArrayLike | None, samples: int) -> Array | None:
        """Host labels of so many samples on the device, int64 (M,); None where the model is not
        conditioned on labels. Raises MinaeError if they are missing or wrong."""
        if self.classes is None:
            return None
        if labels is None:
            raise MinaeError("this model is conditioned on labels: give one a sample")
        labels = np.asarray(labels)
        if labels.shape != (samples,) or not np.issubdtype(labels.dtype, np.integer):
            raise MinaeError(
                f"labels are whole numbers of shape ({samples},), "
                f"found {labels.dtype} of shape {labels.shape}"
            )
        if not 0 <= labels.min() <= labels.max() < self.classes:
            raise MinaeError(
                f"labels are 0 ... {self.classes - 1}, found {labels.min()} ... {labels.max()}"
            )
        return self.ops.asarray(labels, np.int64)

    def forward(self, cache: Cache) -> None:
        raise NotImplementedError

    def backward(self, cache: Cache) -> None:
        raise NotImplementedError

    @property
    def code(self) -> int:
        """Numbers in one code."""
        raise NotImplementedError

    def evaluate(
        self, images: npt.ArrayLike, labels: npt.ArrayLike | None = None
    ) -> dict[str, float]:
        """The ledger's figures over all images (units: minae.ledger)."""
        raise NotImplementedError

    def to_pixels(self, y: Array, out: Array) -> None:
        """The decoder's output as pixels: σ of the logits where the loss is on logits."""
        self.loss.output(self.ops, y, out=out)

    def host_pixels(self, cache: Cache) -> Array:
        """The pixels of a cache on the host, (N, D), brought from pixel_range to [0, 1]."""
        low, high = self.pixel_range
        return (self.ops.to_numpy(cache.pixels) - low) / (high - low)

    def chunks(
        self, images: npt.ArrayLike, labels: npt.ArrayLike | None = None
    ) -> Iterator[tuple[slice, Cache]]:
        """Host samples in chunks: where each stands, and an evaluation cache that holds it."""
        device_images = self.device_images(images)
        samples = len(device_images)
        device_labels = self.device_labels(labels, samples)
        for start in range(0, samples, CHUNK):
            stop = min(start + CHUNK, samples)
            cache = self._chunk_cache(stop - start)
            rows = self.ops.asarray(np.arange(start, stop), np.int64)
            self.load(device_images, device_labels, rows, cache)
            yield slice(start, stop), cache

    def _chunk_cache(self, samples: int) -> Cache:
        """Of whole chunks one is kept, and of all other sizes the last one."""
        if samples not in self._chunks:
            self._chunks = {n: cache for n, cache in self._chunks.items() if n == CHUNK}
            self._chunks[samples] = self.new_cache(samples, training=False)
        return self._chunks[samples]

    def collect(
        self,
        run: Callable[[Cache], Array],
        images: npt.ArrayLike,
        labels: npt.ArrayLike | None = None,
    ) -> Array:
        """What `run` returns for each chunk, as one host array."""
        results = [
            self.ops.to_numpy(run(cache)).reshape(where.stop - where.start, -1)
            for where, cache in self.chunks(images, labels)
        ]
        return np.concatenate(results)

    def collect_host(self, run: Callable[[Cache], Array], images: npt.ArrayLike) -> Array:
        """What `run` returns on the host for each chunk, (N, ...), as one array (M, D)."""
        results = [
            run(cache).reshape(where.stop - where.start, -1) for where, cache in self.chunks(images)
        ]
        return np.concatenate(results)
