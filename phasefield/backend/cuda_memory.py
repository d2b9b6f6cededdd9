"""Memory of the GPU and of the host beside it: the area that transforms share, and snapshots on their way out."""

from __future__ import annotations

import logging
import math
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .cuda_device import Allocator, CudaDevice, DeviceArray, Stream
from .cuda_errors import device_errors, first_line, of_cupy
from .memory import host_memory_available

log = logging.getLogger("phasefield")

#: Snapshots that may be on their way to a file at the same time, each in page-locked memory.
_LEAVING = 2
#: Share of the host's free memory that one of them may lock.
_LOCKED_SHARE = 8


class WorkArea:
    """An allocator that hands out the same memory again and again, for plans that never run at the same time.

    A plan that needs more than there is gets a larger area, which later plans share; earlier ones keep theirs alive.
    """

    def __init__(self, allocate: Allocator) -> None:
        self._allocate = allocate
        self._memory: Any = None
        self.size = 0

    def __call__(self, size: int) -> Any:
        if self._memory is None or size > self.size:
            self._memory, self.size = self._allocate(size), size
        return self._memory


class Locked:
    """Page-locked memory that is used again once no array in it is left.

    Locking a gigabyte takes about as long as copying it, so memory is kept; CuPy's own pool would round it up to a power of two
    and keep every size that was ever asked for.
    """

    def __init__(self) -> None:
        self._memory: Any = None
        self._size = 0
        self._lent: weakref.ref[np.ndarray] | None = None

    @property
    def lent(self) -> bool:
        """Whether somebody still has an array in it, or a view of one."""
        return self._lent is not None and self._lent() is not None

    def array(self, shape: Sequence[int], dtype: str, lock: Allocator) -> np.ndarray:
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if size != self._size:
            self._memory, self._size = None, 0  # before the new one is there
            self._memory, self._size = lock(size), size
        # Not a view of an array kept here: views of that one would not keep this one alive.
        host: np.ndarray = np.ndarray(tuple(shape), dtype, buffer=self._memory)
        self._lent = weakref.ref(host)
        return host


class Outbox:
    """Buffers on their way to the host while the device computes on.

    A copy on the device frees the original for the next step at once. A second stream brings it over, after an event that marks
    it complete; whoever wants the result waits for another event. Nothing else ever waits. Beyond `_LEAVING` snapshots at a time,
    when the disk is slower than the run, or without memory to spare for the copy, it is a plain one.
    """

    def __init__(self) -> None:
        self._stream: Stream | None = None
        self._places = [Locked() for _ in range(_LEAVING)]

    def send(self, backend: CudaDevice, buffer: DeviceArray) -> Callable[[], np.ndarray]:
        """Called on the backend's stream; returns what waits for the host's copy, to be called in any thread."""
        room = self._room(backend, buffer)
        if room is None:
            there: np.ndarray = backend.to_host(buffer)
            return lambda: there
        staged, host = room
        self._stream = self._stream or backend.side_stream()
        complete, arrived = backend.event(), backend.event()
        complete.record(backend.stream)
        self._stream.wait_event(complete)
        with self._stream:
            backend.fetch(staged, host)
        arrived.record(self._stream)

        # The pool would give freed memory to the backend's stream, which knows nothing of a copy that still reads it.
        kept = [staged]

        @device_errors
        def wait() -> np.ndarray:
            arrived.synchronize()
            kept.clear()
            return host

        return wait

    def _room(self, backend: CudaDevice, buffer: DeviceArray) -> tuple[DeviceArray, np.ndarray] | None:
        """The device's copy and memory for the host's, or None."""
        place = next((place for place in self._places if not place.lent), None)
        if place is None or buffer.nbytes > host_memory_available() // _LOCKED_SHARE:
            return None
        try:
            host = place.array(buffer.shape, backend.dtype, backend.page_locked)
            return backend.duplicate(buffer), host
        except Exception as error:
            if not of_cupy(error):
                raise
            log.debug("no memory for a snapshot on the side: %s", first_line(error))
            return None
