"""Which random number serves what.

Every draw of minae is Philox4x32-10 with the counter (block, row, step, purpose); the operations
are `random_*` of `minae.backends.spec`. A draw is therefore named by (seed, purpose, step, row)
and by nothing else: not by the backend, the thread count or the batch that a sample came in.

| purpose    | step                     | row                                   |
|------------|--------------------------|---------------------------------------|
| WEIGHTS    | number of the parameter  | first index of the parameter's array  |
| SHUFFLE    | epoch                    | sample                                |
| EPSILON    | training step            | sample                                |
| DROPOUT    | training step            | sample                                |
| NOISE      | training step            | sample                                |
| EVALUATION | 0                        | sample                                |
| PRIOR      | 0                        | number of the drawn picture           |
"""

import numpy as np

from minae.backends import get_backend
from minae.backends.spec import Array, Backend

WEIGHTS, SHUFFLE, EPSILON, DROPOUT, NOISE, EVALUATION, PRIOR = range(1, 8)


def stream(purpose: int, number: int) -> int:
    """Purpose word of the number-th user of one purpose (the second dropout layer, say)."""
    return purpose + 256 * number


def permutation(ops: Backend, seed: int, epoch: int, samples: int) -> Array:
    """Order in which an epoch visits its samples: int64 (samples,), on the host.

    Sorts the samples by 64 random bits each: with 32, one pair in 60 000 samples would tie and
    keep its order every other epoch. A host draws the bits itself, the same ones, for a GPU would
    first have to end all the steps that are queued on it, and then have nothing to do meanwhile.
    """
    host = get_backend("numpy") if ops.name == "cupy" else ops
    words = host.empty((samples, 2), np.uint32)
    step = host.asarray(np.array([epoch]), np.int64)
    host.random_uint32(seed, SHUFFLE, step, host.asarray(np.arange(samples), np.int64), out=words)
    keys = words[:, 0].astype(np.uint64) << np.uint64(32) | words[:, 1]  # (M,)
    order = np.argsort(keys)  # five times as fast as a stable sort, and the same without ties
    tied = (np.diff(keys[order]) == 0).any()
    return np.argsort(keys, kind="stable") if tied else order
