"""Scratch space that backends keep between calls, so that a step allocates nothing."""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from minae.backends.spec import Array


class Scratch(threading.local):
    """One grow-only buffer per slot and thread; asking again returns the same memory.

    A slot names one use ("conv2d.columns"); two arrays that live at the same time need two slots.
    """

    def __init__(self, empty: Callable[..., Array] = np.empty) -> None:
        self._empty = empty
        self._buffers: dict[str, Array] = {}
        self._views: dict[tuple[Any, ...], Array] = {}

    def __call__(self, slot: str, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
        """An uninitialised array of this shape, valid until the slot is asked for again."""
        key = (slot, shape, dtype)
        view = self._views.get(key)
        if view is None:
            dtype = np.dtype(dtype)
            count = int(np.prod(shape, dtype=np.int64))
            buffer = self._buffers.get(slot)
            if buffer is None or buffer.nbytes < count * dtype.itemsize:
                buffer = self._empty((count * dtype.itemsize,), dtype=np.uint8)
                self._buffers[slot] = buffer
                self._views = {k: v for k, v in self._views.items() if k[0] != slot}
            view = buffer[: count * dtype.itemsize].view(dtype).reshape(shape)
            self._views[key] = view
        return view

    def buffers(self) -> tuple[Array, ...]:
        """The memory in use: held by a recorded step, it outlives a slot that grows."""
        return tuple(self._buffers.values())
