"""The CUDA backend on host memory: `host_driver` in the place of CUDA's driver and cuFFT, SciPy in that of cupyx.

Everything above the driver is the production code: launches, argument lists, plan parameters, the layout of buffers. Buffers
are CuPy arrays over host memory where CuPy is installed (which takes no driver as long as nothing runs), else NumPy arrays.
Page-locked memory holds NaN until what was queued for it has been waited for.
"""

from __future__ import annotations

import gc
import math
import weakref
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pyfftw
import pytest
import scipy.fft
from host_driver import (
    HAS_COMPILER,
    HostCufft,
    HostEvent,
    HostFunction,
    HostGraph,
    HostPlan,
    HostStream,
    device_view,
    host_view,
    pointer,
    signature,
)

from phasefield.backend import Layout, Precision, cuda, voxel
from phasefield.backend.cuda import CudaBackend
from phasefield.backend.cuda_errors import device_errors
from phasefield.backend.cuda_transforms import CosineTransform, cufft_columns, cufft_plan
from phasefield.integrators import SCHEMES, Integrator
from phasefield.models import SpectralSplit
from phasefield.observables import Observer
from phasefield.simulation import build_model
from phasefield.specs import RunSpec

__all__ = [
    "HAS_COMPILER",
    "HostCuda",
    "HostCufft",
    "HostFunction",
    "HostGraph",
    "HostPlan",
    "HostStream",
    "TextCuda",
    "as_the_card",
    "host_view",
    "kernel_texts",
    "pointer",
    "signature",
    "text_integrator",
]


class OutOfMemory(MemoryError):
    """CuPy's error, as far as one can tell."""

    __module__ = "cupy.cuda.memory"


class HostCuda(CudaBackend):
    """`CudaBackend` with the driver's part played on the host.

    Memory is counted: every array that is still alive, and for plans a work area as large as their data.
    """

    _memory: ClassVar[list[weakref.ref[np.ndarray]]] = []

    def __init__(self, precision: Precision = "double", processors: int = 1, graphs: bool | None = None) -> None:
        self.xp = np
        self._set_up(precision, "host memory", processors, (2048, 65536), HostStream(), graphs)
        self.sources: dict[str, str] = {}

    @classmethod
    def used_bytes(cls, collect: bool = True) -> int:
        """Bytes of all arrays that are alive."""
        if collect:
            gc.collect()
        HostCuda._memory = [m for m in cls._memory if m() is not None]
        return sum(host.nbytes for m in cls._memory if (host := m()) is not None)

    @classmethod
    def _counted(cls, host: np.ndarray) -> np.ndarray:
        cls._memory.append(weakref.ref(host))
        return host

    @device_errors
    def _zeros(self, shape: Sequence[int]) -> np.ndarray:
        if 8 * math.prod(shape) > self.memory_available():
            raise OutOfMemory(f"Out of memory allocating {8 * math.prod(shape)} bytes")
        return self._counted(pyfftw.zeros_aligned(shape, self.dtype, n=64))

    def buffer(self, layout: Layout, components: int) -> Any:
        if layout.parts == 2:
            return self.zeros(layout.buffer_shape(components))
        return self._zeros(layout.buffer_shape(components))

    def zeros(self, shape: tuple[int, ...]) -> Any:
        return device_view(self._zeros(shape))

    def array(self, host: np.ndarray) -> Any:
        return self._counted(np.array(host))

    def allocator(self) -> Callable[[int], Any]:
        return lambda size: HostCuda._counted(np.empty(size, np.uint8))

    def integers(self, shape: tuple[int, ...]) -> Any:
        return device_view(self._counted(np.zeros(shape, np.int32)))

    def fill(self, host: np.ndarray, array: Any) -> None:
        self.stream.synchronize()
        assert host.dtype == array.dtype
        host_view(array)[...] = host

    def clear(self, buffer: Any) -> None:
        self.stream.submit(lambda: host_view(buffer).fill(0))

    def address(self, array: Any) -> int:
        return pointer(array)

    def page_locked(self, size: int) -> Any:
        return bytearray(b"\xff" * size)  # NaN of either precision

    def duplicate(self, buffer: Any) -> Any:
        host = pyfftw.empty_aligned(buffer.shape, self.dtype, n=64)
        host[...] = np.nan
        HostStream.current().submit(lambda: np.copyto(host, host_view(buffer)))
        return host if isinstance(buffer, np.ndarray) else device_view(host)

    def fetch(self, source: Any, target: np.ndarray) -> None:
        HostStream.current().submit(lambda: np.copyto(target, host_view(source)))

    def side_stream(self) -> Any:
        return HostStream()

    def event(self) -> Any:
        return HostEvent()

    def compiled(self, source: str, name: str) -> Any:
        self.sources[name] = source
        return HostFunction(source, name)

    def plan(self, shape: tuple[int, ...], batch: int, forward: bool, row: int | None = None) -> Any:
        reals = batch * math.prod(shape[:-1]) * (row or 2 * (shape[-1] // 2 + 1))
        self.area(reals * np.dtype(self.dtype).itemsize)
        return cufft_plan(HostCufft, shape, batch, self.precision, forward, row)

    def cosine_library(self) -> Any:
        return scipy.fft

    def plan_columns(self, n: int, count: int) -> Any:
        self.area(2 * n * count * np.dtype(self.dtype).itemsize)
        return cufft_columns(HostCufft, n, count, self.precision)

    def scatter(self, host: np.ndarray, view: Any) -> None:
        self.stream.synchronize()
        host_view(view)[...] = host

    def cosines(self, axes: Any) -> Any:
        return Deferred(CosineTransform(self, axes), self.stream)

    def to_host(self, buffer: Any) -> np.ndarray:
        self.stream.synchronize()
        return host_view(buffer).copy()

    def from_host(self, array: np.ndarray, buffer: Any) -> None:
        self.fill(np.ascontiguousarray(array, self.dtype), buffer)

    def copy(self, source: Any, target: Any) -> None:
        self.stream.submit(lambda: np.copyto(host_view(target), host_view(source)))

    def memory_available(self) -> int:
        return 2**40

    def release(self) -> None:
        pass


def as_the_card(patch: pytest.MonkeyPatch) -> None:
    """``device=gpu`` and ``auto`` mean the stand-in, for all that asks the backend for a device."""
    patch.setattr(cuda, "why_unavailable", lambda: None)
    patch.setattr(cuda, "CudaBackend", HostCuda)
    patch.setattr(voxel, "_gpu", HostCuda)


class Deferred:
    """A transform of NumPy arrays in the order of a stream; like CuPy's it cannot be recorded, for it allocates."""

    def __init__(self, transform: CosineTransform, stream: HostStream) -> None:
        self._transform, self._stream = transform, stream

    def _queue(self, method: Callable[[Any], None], buffer: Any) -> None:
        assert self._stream._recorded is None, "allocating while a graph is recorded"
        self._stream.submit(lambda: method(buffer))

    def forward(self, buffer: Any) -> None:
        self._queue(self._transform.forward, buffer)

    def inverse(self, buffer: Any) -> None:
        self._queue(self._transform.inverse, buffer)


class TextCuda(HostCuda):
    """Only writes kernels: arrays take no memory and nothing can run."""

    def buffer(self, layout: Layout, components: int) -> Any:
        return np.broadcast_to(np.zeros((), self.dtype), layout.buffer_shape(components))

    def transform(self, layout: Layout, components: int) -> Any:
        return SimpleNamespace(forward=None, inverse=None)

    def compiled(self, source: str, name: str) -> Any:
        self.sources[name] = source
        return SimpleNamespace(num_regs=40)


def text_integrator(spec: RunSpec) -> tuple[Integrator, TextCuda]:
    """The integrator of a simulation that cannot run; the grid may be of any size."""
    backend = TextCuda(spec.precision)  # type: ignore[arg-type]
    model, layout = build_model(spec), Layout(spec.grid.build())
    components = len(model.components)
    split = SpectralSplit(model, layout, [1.0] * components, spec.grid.dealias, monitor=spec.time.adaptive)
    scheme = SCHEMES[spec.time.scheme]
    return Integrator(scheme, split, layout, backend, spec.time.adaptive), backend


def kernel_texts(spec: RunSpec) -> dict[str, str]:
    """The CUDA source of every kernel a simulation would use."""
    integrator, backend = text_integrator(spec)
    Observer(spec.output.observables, build_model(spec), integrator.layout, backend)
    return backend.sources
