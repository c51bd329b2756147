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

from minae.backends.spec import Array, Backend

WEIGHTS, SHUFFLE, EPSILON, DROPOUT, NOISE, EVALUATION, PRIOR = range(1, 8)


def stream(purpose: int, number: int) -> int:
    """Purpose word of the number-th user of one purpose (the second dropout layer, say)."""
    return purpose + 256 * number


def permutation(ops: Backend, seed: int, epoch: int, samples: int) -> Array:
    """Order in which an epoch visits its samples: int64 (samples,), on the device.

    Sorts the samples by 64 random bits each: with 32, one pair in 60 000 samples would tie and
    keep its order every other epoch.
    """
    words, order = ops.empty((samples, 2), np.uint32), ops.empty((samples,), np.int64)
    step = ops.asarray(np.array([epoch]), np.int64)
    ops.random_uint32(seed, SHUFFLE, step, ops.asarray(np.arange(samples), np.int64), out=words)
    ops.argsort(words, out=order)
    return order
