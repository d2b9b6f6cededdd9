"""What memory a run would take, found by going through its motions."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .layout import Layout
from .operations import Host, Operation, Solve, flattened, kernels_of, transforms_of
from .protocol import Backend, Compiled, Program


class Rehearsal:
    """A backend in another's place: it counts the buffers it is asked for and gives arrays that take no memory.

    What is built on it allocates in the order and for as long as on the real one, so the peaks are those of the real thing.

    Attributes:
        device, host: most bytes held at a time in the device's memory and, where that is another, in the host's.
    """

    def __init__(self, backend: Backend[Any]) -> None:
        self._backend = backend
        self.name, self.description, self.precision = backend.name, backend.description, backend.precision
        self.readback_every, self.on_host, self.in_parts = backend.readback_every, backend.on_host, backend.in_parts
        self._on_host = "device" if backend.on_host else "host"
        self.device = self.host = 0
        self._held = {"device": 0, "host": 0}
        self._transforms = 0

    @property
    def dtype(self) -> str:
        return self._backend.dtype

    def _take(self, where: str, size: int) -> None:
        self._held[where] += size
        setattr(self, where, max(getattr(self, where), self._held[where]))

    def _give(self, where: str, size: int) -> None:
        self._held[where] -= size

    def _array(self, where: str, shape: Sequence[int]) -> np.ndarray:
        one = np.zeros((), self.dtype)
        # Views lead back to the one number, which therefore lives as long as any of them.
        weakref.finalize(one, self._give, where, math.prod(shape) * one.itemsize)
        self._take(where, math.prod(shape) * one.itemsize)
        return np.lib.stride_tricks.as_strided(one, tuple(shape), (0,) * len(shape))

    def buffer(self, layout: Layout, components: int) -> np.ndarray:
        return self._array("device", layout.buffer_shape(components))

    def program(self, layout: Layout, operations: Sequence[Operation]) -> Program[np.ndarray]:
        transformed = max([0, *(t.components for t in transforms_of(operations))])
        size = math.prod(layout.buffer_shape(transformed)) * np.dtype(self.dtype).itemsize
        work = self._backend.transform_memory(size, layout.parts == 2)
        if work > self._transforms:  # which all programs share
            self._take("device", work - self._transforms)
            self._transforms = work
        tables = self._backend.table_memory(layout, operations)
        program = _Motions(operations, None if self.on_host else self.to_host)
        self._take("device", tables)
        weakref.finalize(program, self._give, "device", tables)
        return program

    def to_host(self, buffer: np.ndarray) -> np.ndarray:
        return self._array(self._on_host, buffer.shape)

    def lend(self, buffer: np.ndarray) -> np.ndarray:
        return buffer if self._on_host == "device" else self.to_host(buffer)

    def from_host(self, array: np.ndarray, buffer: np.ndarray) -> None:
        pass

    def copy(self, source: np.ndarray, target: np.ndarray) -> None:
        pass

    def synchronize(self) -> None:
        pass

    def snapshot(self, buffer: np.ndarray) -> Callable[[], np.ndarray]:
        host = self.to_host(buffer)
        return lambda: host

    def memory_available(self) -> int:
        return self._backend.memory_available()

    def transform_memory(self, largest: int, periodic: bool) -> int:
        return self._backend.transform_memory(largest, periodic)

    def table_memory(self, layout: Layout, operations: Sequence[Operation]) -> int:
        return self._backend.table_memory(layout, operations)


class _Motions:
    """A program that reduces everything to zero.

    Args:
        fetch: copies an array for a function on the host, None where it needs no copy.
    """

    kernels: Sequence[Compiled] = ()

    def __init__(self, operations: Sequence[Operation], fetch: Callable[[np.ndarray], np.ndarray] | None) -> None:
        self._found = {name: 0.0 for kernel in kernels_of(operations) for name in kernel.reductions}
        self._found |= {name: 0.0 for o in operations if isinstance(o, Solve) for name in o.told}
        self._calls = [o for o in flattened(operations) if isinstance(o, Host)]
        self._fetch = fetch

    def __call__(self, arrays: Mapping[str, Any], scalars: Mapping[str, float] | None = None) -> dict[str, float]:
        if self._fetch is not None:
            for call in self._calls:
                copies = [self._fetch(arrays[name]) for name in call.arrays]
                del copies  # they live for the call
        return dict(self._found)
