"""An encoder with a softmax head: what the code of an autoencoder is good for."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from minae.backends.spec import Array
from minae.errors import MinaeError
from minae.layers.layer import Cache, Layer, Shape
from minae.losses import SoftmaxCrossEntropy
from minae.models.model import Model


@dataclass(eq=False)
class Classifier(Model):
    """x → encoder → head → logits (N, classes), loss -log softmax of the label.

    The encoder may be that of a trained autoencoder: `take_encoder` copies its weights.
    """

    input_shape: Shape
    encoder: Layer
    head: Layer
    classes: int = 10
    loss: SoftmaxCrossEntropy = field(default_factory=SoftmaxCrossEntropy)
    pixel_range: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        self.input_shape = tuple(self.input_shape)
        y_shape = self.head.output_shape(self.encoder.output_shape((1, *self.input_shape)))
        if y_shape != (1, self.classes):
            raise MinaeError(
                f"the head gives outputs of shape {y_shape[1:]}, wanted ({self.classes},)"
            )

    @property
    def code(self) -> int:
        """Numbers in one code."""
        return int(np.prod(self.encoder.output_shape((1, *self.input_shape))))

    def networks(self) -> dict[str, Layer]:
        return {"encoder": self.encoder, "head": self.head}

    def take_encoder(self, model: Model) -> None:
        """Copy the encoder's weights from a bound model that has an encoder of the same shape."""
        for path, values in model.parameters.to_numpy().items():
            if path.startswith("encoder."):
                self.parameters.assign(path, values)

    def new_cache(self, samples: int, *, training: bool = True, seed: int = 0) -> Cache:
        cache = super().new_cache(samples, training=training, seed=seed)
        cache.encoder = self.encoder.new_cache(cache.x_shape, cache.batch, needs_dx=False)
        cache.head = self.head.new_cache(cache.encoder.y_shape, cache.batch)
        logits = (samples, self.classes)
        cache.dy = self.ops.empty(logits, self.parameters.dtype) if training else None
        return cache

    def forward(self, cache: Cache) -> None:
        cache.z = self.encoder.forward(cache.x, cache.encoder)
        cache.y = self.head.forward(cache.z, cache.head)
        self.loss(self.ops, cache.y, cache.labels, value=cache.values["loss"], dy=cache.dy)

    def backward(self, cache: Cache) -> None:
        dz = self.head.backward(cache.dy, cache.head)
        if dz is not None:
            self.encoder.backward(dz, cache.encoder)

    def logits(self, images: npt.ArrayLike) -> Array:
        """(M, classes) of images (M, D), uint8 or float in [0, 1]."""

        def run(cache: Cache) -> Array:
            return self.head.forward(self.encoder.forward(cache.x, cache.encoder), cache.head)

        return self.collect(run, images, self._any_labels(images))

    def predict(self, images: npt.ArrayLike) -> Array:
        """The likeliest label of each image, int64 (M,)."""
        labels: Array = np.argmax(self.logits(images), axis=1)
        return labels

    def encode(self, images: npt.ArrayLike) -> Array:
        """Codes (M, code) of images (M, D)."""
        labels = self._any_labels(images)
        return self.collect(lambda c: self.encoder.forward(c.x, c.encoder), images, labels)

    def evaluate(
        self, images: npt.ArrayLike, labels: npt.ArrayLike | None = None
    ) -> dict[str, float]:
        """error_rate: the share of images taken for another class; nats: the mean loss."""
        total, wrong, samples = 0.0, 0, 0
        for _, cache in self.chunks(images, labels):
            self.forward(cache)
            n = len(cache.pixels)
            value = float(self.ops.to_numpy(cache.values["loss"])[0])
            total += self.loss.batch_weight(n) * value
            predicted = self.ops.to_numpy(cache.y).argmax(axis=1)
            wrong += int(np.sum(predicted != self.ops.to_numpy(cache.labels)))
            samples += n
        return {"error_rate": wrong / samples, "cross_entropy_nats": total / samples}

    def _any_labels(self, images: npt.ArrayLike) -> Array:
        """Labels where none are needed: the loader asks for them."""
        return np.zeros(len(np.asarray(images)), np.int64)
