"""What programs, transforms and snapshots ask of the GPU: the part of `CudaBackend` that stands for CuPy, and CuPy's types.

Tests put a stand-in on host memory in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType, TracebackType
from typing import Any, Protocol

import numpy as np

from .layout import Layout
from .protocol import Precision


class DeviceArray(Protocol):
    """An array on the device."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def nbytes(self) -> int: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    @property
    def data(self) -> Any: ...

    def __len__(self) -> int: ...

    def __getitem__(self, key: Any, /) -> Any: ...

    def __setitem__(self, key: Any, value: Any, /) -> None: ...

    def view(self, dtype: Any, /) -> DeviceArray: ...

    def copy(self) -> DeviceArray: ...

    def get(self, *, out: np.ndarray, blocking: bool) -> np.ndarray: ...

    def set(self, host: np.ndarray, /) -> None: ...


class Graph(Protocol):
    """Recorded launches."""

    def launch(self, stream: Stream, /) -> None: ...


class Event(Protocol):
    """A mark in a stream that can be waited for."""

    def record(self, stream: Stream, /) -> None: ...

    def synchronize(self) -> None: ...


class Stream(Protocol):
    """A queue of the device; CuPy's current one within ``with stream``."""

    def __enter__(self) -> Any: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> Any: ...

    def synchronize(self) -> None: ...

    def wait_event(self, event: Event, /) -> None: ...

    def begin_capture(self) -> None: ...

    def end_capture(self) -> Graph: ...


class Function(Protocol):
    """A compiled kernel."""

    @property
    def num_regs(self) -> int:
        """Registers of a thread."""

    def __call__(self, grid: tuple[int, ...], block: tuple[int, ...], arguments: tuple[Any, ...], /) -> None: ...


class FftPlan(Protocol):
    """A plan of cuFFT."""

    def fft(self, source: DeviceArray, target: DeviceArray, direction: int, /) -> None: ...


class PlannedTransform(Protocol):
    """Both directions of a transform of some components, in place."""

    def forward(self, buffer: DeviceArray) -> None: ...

    def inverse(self, buffer: DeviceArray) -> None: ...


class Area(Protocol):
    """The memory that transforms share."""

    @property
    def size(self) -> int: ...


class CudaDevice(Protocol):
    """One GPU. All methods work on the current stream; see `CudaBackend`."""

    precision: Precision
    graphs: bool

    @property
    def xp(self) -> ModuleType: ...

    @property
    def dtype(self) -> str: ...

    @property
    def stream(self) -> Stream: ...

    @property
    def area(self) -> Area: ...

    def array(self, host: np.ndarray) -> DeviceArray: ...

    def pinned(self, shape: Sequence[int], dtype: str) -> np.ndarray: ...

    def page_locked(self, size: int) -> Any: ...

    def address(self, array: DeviceArray) -> int: ...

    def duplicate(self, buffer: DeviceArray) -> DeviceArray: ...

    def fetch(self, source: DeviceArray, target: np.ndarray) -> None: ...

    def to_host(self, buffer: DeviceArray) -> np.ndarray: ...

    def from_host(self, array: np.ndarray, buffer: DeviceArray) -> None: ...

    def side_stream(self) -> Stream: ...

    def event(self) -> Event: ...

    def function(self, source: str, name: str) -> Function: ...

    def blocks(self, function: Function, block: int, count: int, summing: bool) -> int: ...

    def plan(self, shape: tuple[int, ...], batch: int, forward: bool, row: int | None = None) -> FftPlan: ...

    def cosine_library(self) -> ModuleType: ...

    def transform(self, layout: Layout, components: int) -> PlannedTransform: ...

    def neighbours(self, layout: Layout, space: str) -> Callable[[DeviceArray], None]: ...


#: Gives device memory of a number of bytes.
Allocator = Callable[[int], Any]
