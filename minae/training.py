"""The training loop: order of the samples, one step, averages over an epoch."""

from functools import partial
from math import isfinite
from typing import Any

import numpy as np

from minae import random
from minae.backends.spec import Array
from minae.changes import Watched
from minae.errors import Diverged, MinaeError
from minae.layers.layer import Cache, Layer, SparseInput
from minae.models.model import Model
from minae.optim import Optimizer


class Training:
    """Trains a bound model on images kept on the device, with an optimizer of its own.

    images (M, D), uint8 or float in [0, 1], and integer labels (M,) are given on the host. On a CPU
    they are used where they lie and are not to be changed: of mostly black ones it is noted at the
    beginning where they are not. Each epoch visits every sample once, in a new order if `shuffle`;
    its last batch is smaller where batch_size does not divide M. `step()` is one optimizer step;
    nothing is allocated after the first of each size.

    Steps are recorded by the backend and done again without the layers, unless record=False
    (say, to look into them with a debugger). After a change of the model, a layer or the optimizer
    (a beta, a weight decay) the next step is recorded anew. What the layers keep of a batch, its
    pixels, outputs and gradients in x, need not be there after a step: an array may hold anything.
    The losses, the parameters' gradients, epsilon, masks and pixels that were drawn are there. A
    class that is not minae's may do what no recording holds, arithmetic of its own in `forward`:
    where there is one, steps are recorded only if asked.
    """

    def __init__(
        self,
        model: Model,
        optimizer: Optimizer,
        images: Array,
        labels: Array | None = None,
        *,
        batch_size: int,
        seed: int = 0,
        shuffle: bool = True,
        record: bool | None = None,
    ) -> None:
        if batch_size < 1:
            raise MinaeError(f"a batch holds 1 sample or more, found batch size {batch_size}")
        self.model, self.optimizer = model, optimizer
        self.images = model.device_images(images)
        model.prepare(images)
        self.samples = len(self.images)
        self.labels = model.device_labels(labels, self.samples)
        self.batch_size = min(batch_size, self.samples)
        self.strips = model.strips(np.asarray(images), self.batch_size)
        self.seed, self.shuffle = seed, shuffle
        self.record = _all_ours(model, optimizer) if record is None else record
        self.epoch, self._start = 0, 0
        self._caches: dict[int, Cache] = {}
        self._order = self._new_order()
        self._zero = model.ops.zeros((1,), np.float64)
        optimizer.bind(model.parameters)
        self._bound = optimizer.state

    @property
    def steps_per_epoch(self) -> int:
        return -(-self.samples // self.batch_size)

    @property
    def at_epoch_end(self) -> bool:
        """Whether the last step completed an epoch."""
        return self._start == self.samples

    def step(self) -> Cache:
        """One step: load a batch, forward, backward, update. Returns the cache it ran in, of which
        a recorded step leaves the losses (`values`), the rows and what was drawn.

        Raises MinaeError if the model or the optimizer has been bound again since.
        """
        optimizer = self.optimizer
        if optimizer.state is not self._bound or optimizer.parameters is not self.model.parameters:
            raise MinaeError(
                "the model or the optimizer was bound again after this Training was made: "
                "make a new Training, and an optimizer for each"
            )
        if self.at_epoch_end:
            self.epoch, self._start = self.epoch + 1, 0
            self._order = self._new_order()
        stop = min(self._start + self.batch_size, self.samples)
        cache = self._cache(stop - self._start)
        self.model.ops.copy(self._order[self._start : stop], out=cache.batch.rows)
        self.optimizer.begin_step()
        if not self.record:
            self._compute(cache)
        elif cache.recorded_at == Watched.changes:
            cache.replay()
        else:
            cache.replay = self.model.ops.record(partial(self._compute, cache))
            cache.recorded_at = Watched.changes
        cache.batches += 1
        self._start = stop
        self.last = cache
        return cache

    def _compute(self, cache: Cache) -> None:
        """What the device does for the batch of cache.batch.rows: a GPU records and replays it."""
        self.model.gather(self.images, self.labels, cache)
        self.model.forward(cache)
        self.model.backward(cache)
        self.optimizer.apply()
        for name, value in cache.values.items():
            self.model.ops.add(cache.totals[name], value, out=cache.totals[name])

    def loss(self) -> float:
        """The last batch's loss, in the loss's unit. Raises Diverged if it is not finite."""
        value = float(self.model.ops.to_numpy(self.last.values["loss"])[0])
        if not isfinite(value):
            raise Diverged(
                f"the loss became {value} by step {self.optimizer.steps_done}; "
                f"try a smaller --lr than {self.optimizer.lr:g}, or --dtype float64"
            )
        return self._scaled(value, self.last)

    def averages(self) -> dict[str, float]:
        """Means of the loss and its parts over the samples since the last call (all batches)."""
        samples = sum(cache.batches * len(cache.pixels) for cache in self._caches.values())
        means = dict.fromkeys(self.model.parts, 0.0)
        for cache in self._caches.values():
            weight = self.model.loss.batch_weight(len(cache.pixels)) / max(samples, 1)
            for name, total in cache.totals.items():
                means[name] += weight * float(self.model.ops.to_numpy(total)[0])
                self.model.ops.copy(self._zero, out=total)
            cache.batches = 0
        return means

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Host arrays and plain numbers from which `restore` goes on as if never stopped."""
        ops, optimizer = self.model.ops, self.optimizer
        weights = self.model.parameters.to_numpy()
        arrays = {f"weights.{path}": values for path, values in weights.items()}
        arrays |= {f"optimizer.{name}": ops.to_numpy(v) for name, v in optimizer.state.items()}
        sums = {
            size: {
                "batches": cache.batches,
                "totals": {n: float(ops.to_numpy(t)[0]) for n, t in cache.totals.items()},
            }
            for size, cache in self._caches.items()
        }
        steps = optimizer.steps_done
        return arrays, {"steps": steps, "epoch": self.epoch, "start": self._start, "sums": sums}

    def restore(self, arrays: dict[str, Array], numbers: dict[str, Any]) -> None:
        """Take on what `state` gave. Raises MinaeError if it is that of another model."""
        ops, optimizer = self.model.ops, self.optimizer
        weights = self.model.parameters.views | self.model.parameters.statistics
        kept = {f"weights.{path}": values for path, values in weights.items()}
        kept |= {f"optimizer.{name}": v for name, v in optimizer.state.items()}
        wanted, found = (
            {name: (array.shape, array.dtype) for name, array in some.items()}
            for some in (kept, arrays)
        )
        odd = [name for name in sorted(wanted | found) if wanted.get(name) != found.get(name)]
        if odd:
            raise MinaeError(
                f"the checkpoint is that of another model or optimizer: {', '.join(odd)}"
            )
        for name, values in arrays.items():
            ops.copy(ops.asarray(values), out=kept[name])
        optimizer.resume(numbers["steps"])
        self.epoch, self._start = numbers["epoch"], numbers["start"]
        self._order = self._new_order()
        self.averages()  # sums of what was done before
        for size, sums in numbers["sums"].items():
            cache = self._cache(int(size))
            cache.batches = sums["batches"]
            for name, total in sums["totals"].items():
                ops.copy(ops.asarray(np.array([total])), out=cache.totals[name])

    def _scaled(self, value: float, cache: Cache) -> float:
        n = len(cache.pixels)
        return value * self.model.loss.batch_weight(n) / n

    def _new_order(self) -> Array:
        ops = self.model.ops
        if self.shuffle:
            return random.permutation(ops, self.seed, self.epoch, self.samples)
        return ops.asarray(np.arange(self.samples), np.int64)

    def _cache(self, samples: int) -> Cache:
        if samples not in self._caches:
            cache = self.model.new_cache(samples, seed=self.seed)
            cache.batch.step = self.optimizer.step_count  # the same array: it counts for both
            if self.strips is not None:
                cache.batch.sparse = SparseInput(cache.x, cache.batch.rows, self.strips)
            cache.totals = {
                name: self.model.ops.zeros((1,), np.float64) for name in self.model.parts
            }
            cache.batches = 0
            cache.recorded_at = None
            self._caches[samples] = cache
        return self._caches[samples]


def _all_ours(model: Model, optimizer: Optimizer) -> bool:
    """Whether nothing that takes part in a step is of a class from outside."""
    parts: list[object] = [model, optimizer, model.loss, *model.networks().values()]
    for part in parts:
        if isinstance(part, Layer):
            parts += part.sublayers()
    return all(type(part).__module__.partition(".")[0] == "minae" for part in parts)


def average_loss(model: Model, images: Array, labels: Array | None = None) -> dict[str, float]:
    """Means of the loss and its parts over a whole set, forward only."""
    totals, samples = dict.fromkeys(model.parts, 0.0), 0
    for _, cache in model.chunks(images, labels):
        n = len(cache.pixels)
        model.forward(cache)
        for name, value in cache.values.items():
            totals[name] += model.loss.batch_weight(n) * float(model.ops.to_numpy(value)[0])
        samples += n
    return {name: total / samples for name, total in totals.items()}
