"""Scratch space that backends keep between calls, so that a step allocates nothing."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from minae.backends.spec import Array

_LINE = 64  # bytes of a cache line


class Scratch(threading.local):
    """One grow-only buffer per slot and thread; asking again returns the same memory.

    A slot names one use ("conv2d.columns"); two arrays that live at the same time need two slots.
    """

    def __init__(self, empty: Callable[..., Array] = np.empty) -> None:
        self._empty = empty
        self._buffers: dict[str, Array] = {}
        self._views: dict[tuple[Any, ...], Array] = {}
        self._block: Block | None = None

    def __call__(self, slot: str, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
        """An uninitialised array of this shape, valid until the slot is asked for again, and no
        longer than the operation that asks for it."""
        if self._block is not None:
            return self._block.slot(slot, shape, np.dtype(dtype))
        key = (slot, shape, dtype)
        view = self._views.get(key)
        if view is None:
            dtype = np.dtype(dtype)
            count = prod(shape)
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

    @contextmanager
    def from_block(self, memory: Array) -> Iterator["Block"]:
        """Slots are taken from this memory meanwhile, by one operation."""
        self._block, before = Block(memory, self._empty), self._block
        try:
            yield self._block
        finally:
            self._block = before


class Block:
    """Slots one after another in a piece of memory, each from a cache line on. Those of one
    operation: the next one begins at the start again, so that a step's operations take as much as
    the one that takes most. For what goes beyond the memory there is more, which is not kept."""

    def __init__(self, memory: Array, empty: Callable[..., Array]) -> None:
        self.memory = memory  # bytes
        self.size = 0  # bytes of all slots
        self._empty = empty
        self._slots: dict[str, Array] = {}  # bytes of each

    def slot(self, slot: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        count = prod(shape) * dtype.itemsize
        if slot not in self._slots or self._slots[slot].nbytes < count:
            first, self.size = self.size, self.size + -(-count // _LINE) * _LINE
            fits = self.size <= len(self.memory)
            self._slots[slot] = (
                self.memory[first : first + count] if fits else self._empty((count,), np.uint8)
            )
        array: Array = self._slots[slot][:count].view(dtype).reshape(shape)
        return array
