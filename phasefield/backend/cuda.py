"""The GPU: CuPy arrays, cuFFT plans used directly, kernels compiled by NVRTC.

`cupy.fft` copies inputs and divides afterwards; the plans here work in place on padded buffers, scale nothing and share one work
area, so a step moves no more than its transforms and its kernels need. Small grids are bound by the time that launches take, so
a program that repeats runs as one CUDA graph.

All work of a backend goes through one stream of its own: the default stream can neither be recorded nor run beside another. Only
what leaves for a file takes a second one. CuPy code that works on a backend's arrays belongs into ``with backend.stream``.

`cuda_errors` tells whether there is a GPU, `cuda_transforms` holds plans, `cuda_programs` kernels and graphs, `cuda_memory` the
work area and snapshots.
"""

from __future__ import annotations

import importlib
import logging
import math
import os
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from ..grid import Grid
from .cuda_device import Allocator, DeviceArray, Event, FftPlan, Function, PlannedTransform, Stream
from .cuda_errors import OPTIONS, device_errors, on_stream, why_unavailable
from .cuda_memory import Outbox, WorkArea
from .cuda_programs import CudaProgram
from .cuda_transforms import CosineTransform, CufftTransform, axes_of, cufft_columns, cufft_plan
from .layout import Layout
from .operations import Operation
from .protocol import DTYPES, Precision

__all__ = ["CudaBackend", "why_unavailable"]

log = logging.getLogger("phasefield")

#: Times that the blocks a GPU holds at once are launched: more level out blocks of unequal pace, but each leaves its own sums.
_WAVES = 4
#: Host arrays beyond this many bytes are not copied through page-locked memory of CuPy's, which it would keep.
_SMALL = 1 << 20


class CudaBackend:
    """One CUDA device.

    Args:
        precision: ``double`` or ``single``.
        graphs: whether programs that repeat run as CUDA graphs; None asks the environment variable ``PHASEFIELD_GPU_GRAPHS``
            (``0`` for plain launches, which debuggers and profilers show one by one).
    """

    name = "gpu"
    readback_every = 64
    on_host = False
    in_parts = False

    @device_errors
    def __init__(self, precision: Precision = "double", graphs: bool | None = None) -> None:
        import cupy

        self.xp = cupy
        device = cupy.cuda.Device()
        properties = cupy.cuda.runtime.getDeviceProperties(device.id)
        driver = cupy.cuda.runtime.driverGetVersion()
        description = f"{properties['name'].decode()}, CUDA driver API {driver // 1000}.{driver % 1000 // 10}"
        # Not one for all backends: what other threads put into it while a graph is recorded would become part of that.
        stream = cupy.cuda.Stream(non_blocking=True)
        processor = properties["maxThreadsPerMultiProcessor"], properties["regsPerMultiprocessor"]
        self._set_up(precision, description, properties["multiProcessorCount"], processor, stream, graphs)

    def _set_up(
        self,
        precision: Precision,
        description: str,
        processors: int,
        processor: tuple[int, int],
        stream: Stream,
        graphs: bool | None,
    ) -> None:
        self.precision: Precision = precision
        self.description = description
        self.processors = processors
        self._threads_each, self._registers_each = processor
        self.stream = stream
        self.graphs = os.environ.get("PHASEFIELD_GPU_GRAPHS", "1") != "0" if graphs is None else graphs
        # Nothing here leads back to the backend, so that memory goes with the last simulation that has it, uncollected.
        self.area = WorkArea(self.allocator())
        self._transforms: dict[tuple[Grid, int], PlannedTransform] = {}
        self._functions: dict[tuple[str, str], Function] = {}
        self._outbox = Outbox()

    @property
    def dtype(self) -> str:
        return DTYPES[self.precision]

    # -- what CuPy is asked for, on the current stream ------------------------------------------------------------------

    def array(self, host: np.ndarray) -> DeviceArray:
        """A device copy of a host array."""
        if host.nbytes <= _SMALL:
            return self.xp.asarray(host)
        out = self.xp.empty(host.shape, host.dtype)
        out.set(np.ascontiguousarray(host))
        self.stream.synchronize()
        return out

    def allocator(self) -> Allocator:
        """What gives device memory, from CuPy's pool."""
        malloc: Allocator = self.xp.get_default_memory_pool().malloc
        return malloc

    def page_locked(self, size: int) -> Any:
        """Page-locked host memory of exactly this size, which the system has back with the last array in it."""
        cuda = self.xp.cuda
        return cuda.PinnedMemoryPointer(cuda.PinnedMemory(size), 0)

    def pinned(self, shape: Sequence[int], dtype: str) -> np.ndarray:
        """A page-locked host array."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        return np.ndarray(tuple(shape), dtype, buffer=self.page_locked(size))

    def address(self, array: DeviceArray) -> int:
        return array.data.ptr

    def duplicate(self, buffer: DeviceArray) -> DeviceArray:
        return buffer.copy()

    def fetch(self, source: DeviceArray, target: np.ndarray) -> None:
        """Queues the copy of a contiguous array to page-locked memory."""
        source.get(out=target, blocking=False)

    def side_stream(self) -> Stream:
        return self.xp.cuda.Stream(non_blocking=True)

    def event(self) -> Event:
        """An event that threads sleep on."""
        return self.xp.cuda.Event(block=True, disable_timing=True)

    def function(self, source: str, name: str) -> Function:
        """A launchable function ``f(grid, block, arguments)`` from CUDA source, compiled once."""
        key = (source, name)
        if key not in self._functions:
            self._functions[key] = self.compiled(source, name)
        return self._functions[key]

    def compiled(self, source: str, name: str) -> Function:
        """The same, compiled anew; ``num_regs`` are the registers of a thread."""
        kernel = self.xp.RawKernel(source, name, options=OPTIONS)
        kernel.compile()
        return kernel

    def blocks(self, function: Function, block: int, count: int, summing: bool) -> int:
        """How many blocks of ``block`` threads go over ``count`` cells.

        Not more than a multiple of what the registers let the GPU hold at once: a few left over would run alone at the end.

        Args:
            summing: whether every thread leaves sums, so that there should be no more threads than can run.
        """
        each = -(-int(function.num_regs) // 8) * 8  # what a thread is given
        resident = max(1, min(self._threads_each, self._registers_each // max(8, each)) // block)
        return max(1, min(self.processors * resident * (1 if summing else _WAVES), -(-count // block)))

    def plan(self, shape: tuple[int, ...], batch: int, forward: bool, row: int | None = None) -> FftPlan:
        """A cuFFT plan for padded in-place transforms with the interface of `cupy.cuda.cufft.PlanNd`, see `cufft_plan`."""
        with self.xp.cuda.using_allocator(self.area):
            made = cufft_plan(importlib.import_module("cupy.cuda.cufft"), shape, batch, self.precision, forward, row)
        # No document says that the tables a plan uploads have arrived for a stream that does not wait for the default one.
        self.xp.cuda.runtime.deviceSynchronize()
        return made

    def plan_columns(self, n: int, count: int) -> FftPlan:
        """A plan of ``count`` complex transforms of length n side by side, see `cufft_columns`."""
        with self.xp.cuda.using_allocator(self.area):
            made = cufft_columns(importlib.import_module("cupy.cuda.cufft"), n, count, self.precision)
        self.xp.cuda.runtime.deviceSynchronize()
        return made

    @on_stream
    def scatter(self, host: np.ndarray, view: DeviceArray) -> None:
        """Copies a host array of the same type to an array that need not be contiguous."""
        view[...] = self.xp.asarray(host)

    def cosine_library(self) -> ModuleType:
        """The module with dct, dst, rfft and irfft."""
        return importlib.import_module("cupyx.scipy.fft")

    # -- the interface of every backend ---------------------------------------------------------------------------------

    def buffer(self, layout: Layout, components: int) -> DeviceArray:
        return self.zeros(layout.buffer_shape(components))

    @on_stream
    def zeros(self, shape: tuple[int, ...]) -> DeviceArray:
        """A zeroed array of the working precision."""
        return self.xp.zeros(shape, self.dtype)

    def integers(self, shape: tuple[int, ...]) -> DeviceArray:
        """An array of int32, of any content."""
        return self.xp.empty(shape, np.int32)

    def fill(self, host: np.ndarray, array: DeviceArray) -> None:
        """Copies a contiguous host array of the same type."""
        array.set(host)
        self.stream.synchronize()  # the copy may still be reading a host array that ends here

    @on_stream
    def clear(self, buffer: DeviceArray) -> None:
        """Zeroes a contiguous array."""
        buffer.data.memset_async(0, buffer.nbytes)

    @on_stream
    def transform(self, layout: Layout, components: int) -> PlannedTransform:
        key = (layout.grid, components)
        if key not in self._transforms:
            if layout.parts == 2:
                self._transforms[key] = CufftTransform(self, layout.grid.shape, components)
            else:
                self._transforms[key] = self.cosines(axes_of(layout))
        return self._transforms[key]

    def cosines(self, axes: Sequence[tuple[int, str, int]]) -> CosineTransform:
        """Transforms along some axes, see `CosineTransform`."""
        return CosineTransform(self, axes)

    def neighbours(self, layout: Layout, space: str) -> Callable[[DeviceArray], None]:
        """What brings a component the cells or modes beyond the ends of its part; see `ranks.cards`."""
        raise ValueError("the whole of a grid has no neighbours")

    @on_stream
    def program(self, layout: Layout, operations: Sequence[Operation]) -> CudaProgram:
        return CudaProgram(self, layout, operations)

    @on_stream
    def to_host(self, buffer: DeviceArray) -> np.ndarray:
        return self.xp.asnumpy(buffer)

    def lend(self, buffer: DeviceArray) -> np.ndarray:
        return self.to_host(buffer)

    def table_memory(self, layout: Layout, operations: Sequence[Operation]) -> int:
        return 0

    @on_stream
    def snapshot(self, buffer: DeviceArray) -> Callable[[], np.ndarray]:
        return self._outbox.send(self, buffer)

    @on_stream
    def from_host(self, array: np.ndarray, buffer: DeviceArray) -> None:
        self.fill(np.ascontiguousarray(array, self.dtype), buffer)

    @on_stream
    def copy(self, source: DeviceArray, target: DeviceArray) -> None:
        target[...] = source

    @device_errors
    def synchronize(self) -> None:
        self.stream.synchronize()

    @device_errors
    def memory_available(self) -> int:
        free, _ = self.xp.cuda.runtime.memGetInfo()
        return int(free) + int(self.xp.get_default_memory_pool().free_bytes())

    @device_errors
    def release(self) -> None:
        """Gives memory that nothing uses back to the device, for other programs and larger pieces."""
        self.xp.get_default_memory_pool().free_all_blocks()

    def transform_memory(self, largest: int, periodic: bool) -> int:
        """Estimated before there is a plan, for the largest buffer that is transformed and lengths with small prime factors only.

        cuFFT's work area is as large as the data. Other lengths take several times that, which shows when the plan is made.
        """
        return largest if periodic else CosineTransform.FIELDS * largest
