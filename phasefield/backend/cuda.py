"""The GPU: CuPy arrays, cuFFT plans used directly, kernels compiled by NVRTC.

`cupy.fft` copies inputs and divides afterwards; the plans here work in place on padded buffers, scale nothing and share one work
area, so a step moves no more than its transforms and its kernels need. Small grids are bound by the time that launches take, so
a program that repeats runs as one CUDA graph.

All work of a backend goes through one stream of its own: the default stream can neither be recorded nor run beside another. Only
what leaves for a file takes a second one. CuPy code that works on a backend's arrays belongs into ``with backend.stream``.
"""

from __future__ import annotations

import functools
import importlib.util
import logging
import math
import os
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from ..codegen import Kernel, assign_source, cuda_scalars, cuda_source, reduce_source
from ..errors import DeviceError
from .base import DTYPES, Forward, Inverse, Layout, Operation, Precision, Run

log = logging.getLogger("phasefield")

#: Threads per block, and blocks per multiprocessor of the one-dimensional launches.
_BLOCK = 256
_BLOCKS_PER_PROCESSOR = 8
#: Blocks that share the second stage of a reduction; the host combines their results.
_PARTS = 32
#: Scalars that one launch brings to the device.
_CHUNK = 32
#: Graphs a program keeps. Steps rotate two or three buffers each of u and of N, which makes up to six bindings.
_GRAPHS = 8
#: Snapshots that may be on their way to a file at the same time, each in page-locked memory.
_LEAVING = 2
#: Numbers that C's int can count.
_INT = 2**31

_Method = TypeVar("_Method", bound=Callable[..., Any])


@functools.cache
def why_unavailable() -> str | None:
    """Why no GPU can be used, or None if one can. Never raises."""
    try:
        if importlib.util.find_spec("cupy") is None:
            return "CuPy is not installed (pip install 'phasefield[gpu]')"
        import cupy

        if not cupy.cuda.runtime.getDeviceCount():
            return "CuPy finds no GPU"
        # Both libraries are loaded on first use, which would be in the middle of building a simulation.
        cupy.cuda.nvrtc.getVersion()
        importlib.import_module("cupy.cuda.cufft")
    except Exception as error:  # without a driver or a library CuPy raises its own error types, also while importing
        return f"CuPy finds no usable GPU ({_first_line(error)})"
    return None


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def device_errors(method: _Method) -> _Method:
    """Lets a method raise `DeviceError` where CuPy raises one of its own errors."""

    @functools.wraps(method)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            return method(*args, **kwargs)
        except Exception as error:
            if not _of_cupy(error):
                raise
            raise _explain(error) from error

    return guarded  # type: ignore[return-value]


def on_stream(method: _Method) -> _Method:
    """Runs a method with the object's ``stream`` as CuPy's current one, and with `device_errors`."""

    @device_errors
    @functools.wraps(method)
    def streaming(self: Any, *args: Any, **kwargs: Any) -> Any:
        with self.stream:
            return method(self, *args, **kwargs)

    return streaming  # type: ignore[return-value]


def _of_cupy(error: Exception) -> bool:
    return type(error).__module__.split(".")[0] in ("cupy", "cupy_backends")


def _explain(error: Exception) -> DeviceError:
    text = str(error)
    if isinstance(error, MemoryError) or "MemoryAllocation" in text or "ALLOC_FAILED" in text:
        return DeviceError(
            f"grid.shape: the GPU is out of memory ({_first_line(error)})\n"
            "  Use fewer cells, precision=single, a scheme with fewer stages, or device=cpu; or end other programs on the GPU."
        )
    return DeviceError(f"device=gpu: {_first_line(error)}\n  Use device=cpu if this persists.")


class CudaBackend:
    """One CUDA device.

    Args:
        precision: ``double`` or ``single``.
        graphs: whether programs that repeat run as CUDA graphs; None asks the environment variable ``PHASEFIELD_GPU_GRAPHS``
            (``0`` for plain launches, which debuggers and profilers show one by one).
    """

    name = "gpu"
    readback_every = 64

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
        self._set_up(precision, description, properties["multiProcessorCount"], stream, graphs)

    def _set_up(
        self, precision: Precision, description: str, processors: int, stream: Any, graphs: bool | None
    ) -> None:
        self.precision: Precision = precision
        self.description = description
        self.stream = stream
        self.graphs = os.environ.get("PHASEFIELD_GPU_GRAPHS", "1") != "0" if graphs is None else graphs
        self.threads = _BLOCK * _BLOCKS_PER_PROCESSOR * processors
        self.area = WorkArea(self.allocate)
        self._transforms: dict[tuple[Any, int], CufftTransform | CosineTransform] = {}
        self._outbox = Outbox(self)

    @property
    def dtype(self) -> str:
        return DTYPES[self.precision]

    # -- what CuPy is asked for, on the current stream ------------------------------------------------------------------

    def array(self, host: np.ndarray) -> Any:
        """A device copy of a small host array."""
        return self.xp.asarray(host)

    def allocate(self, size: int) -> Any:
        """Device memory from CuPy's pool."""
        return self.xp.get_default_memory_pool().malloc(size)

    def pinned(self, shape: Sequence[int], dtype: str) -> np.ndarray:
        """A page-locked host array, whose memory goes back to CuPy's pool with the last view of it."""
        return importlib.import_module("cupyx").empty_pinned(tuple(shape), dtype)

    def address(self, array: Any) -> int:
        return array.data.ptr

    def duplicate(self, buffer: Any) -> Any:
        return buffer.copy()

    def fetch(self, source: Any, target: np.ndarray) -> None:
        """Queues the copy of a contiguous array to page-locked memory."""
        source.get(out=target, blocking=False)

    def side_stream(self) -> Any:
        return self.xp.cuda.Stream(non_blocking=True)

    def event(self) -> Any:
        """An event that threads sleep on."""
        return self.xp.cuda.Event(block=True, disable_timing=True)

    def function(self, source: str, name: str) -> Any:
        """A launchable function ``f(grid, block, arguments)`` from CUDA source."""
        kernel = self.xp.RawKernel(source, name, options=("--std=c++17",))
        kernel.compile()
        return kernel

    def plan(self, shape: tuple[int, ...], batch: int, forward: bool) -> Any:
        """A cuFFT plan for padded in-place transforms with the interface of `cupy.cuda.cufft.PlanNd`."""
        with self.xp.cuda.using_allocator(self.area):
            made = cufft_plan(importlib.import_module("cupy.cuda.cufft"), shape, batch, self.precision, forward)
        # No document says that the tables a plan uploads have arrived for a stream that does not wait for the default one.
        self.xp.cuda.runtime.deviceSynchronize()
        return made

    def cosine_library(self) -> Any:
        """The module with dct, dst, rfft and irfft."""
        return importlib.import_module("cupyx.scipy.fft")

    # -- the interface of every backend ---------------------------------------------------------------------------------

    def buffer(self, layout: Layout, components: int) -> Any:
        return self.zeros(layout.buffer_shape(components))

    @on_stream
    def zeros(self, shape: tuple[int, ...]) -> Any:
        """A zeroed array of the working precision."""
        return self.xp.zeros(shape, self.dtype)

    @on_stream
    def clear(self, buffer: Any) -> None:
        """Zeroes a contiguous array."""
        buffer.data.memset_async(0, buffer.nbytes)

    @on_stream
    def transform(self, layout: Layout, components: int) -> CufftTransform | CosineTransform:
        key = (layout.grid, components)
        if key not in self._transforms:
            if layout.parts == 2:
                self._transforms[key] = CufftTransform(self, layout.grid.shape, components)
            else:
                self._transforms[key] = CosineTransform(self, layout, components)
        return self._transforms[key]

    @on_stream
    def program(self, layout: Layout, operations: Sequence[Operation]) -> CudaProgram:
        return CudaProgram(self, layout, operations)

    @on_stream
    def to_host(self, buffer: Any) -> np.ndarray:
        return self.xp.asnumpy(buffer)

    def lend(self, buffer: Any) -> np.ndarray:
        return self.to_host(buffer)

    def table_memory(self, layout: Layout, operations: Sequence[Operation]) -> int:
        return 0

    @on_stream
    def snapshot(self, buffer: Any) -> Callable[[], np.ndarray]:
        return self._outbox.send(buffer)

    @on_stream
    def from_host(self, array: np.ndarray, buffer: Any) -> None:
        buffer.set(np.ascontiguousarray(array, self.dtype))
        self.stream.synchronize()  # the copy may still be reading an array that ends here

    @on_stream
    def copy(self, source: Any, target: Any) -> None:
        target[...] = source

    @device_errors
    def synchronize(self) -> None:
        self.stream.synchronize()

    @device_errors
    def memory_available(self) -> int:
        free, _ = self.xp.cuda.runtime.memGetInfo()
        return int(free) + int(self.xp.get_default_memory_pool().free_bytes())

    def transform_memory(self, largest: int, periodic: bool) -> int:
        """Estimated before there is a plan, for the largest buffer that is transformed and lengths with small prime factors only.

        cuFFT's work area is as large as the data. Other lengths take several times that, which shows when the plan is made.
        Cosine transforms hold two reordered copies and a complex one.
        """
        return largest if periodic else 4 * largest


class Outbox:
    """Buffers on their way to the host while the device computes on.

    A copy on the device frees the original for the next step at once. A second stream brings it over, after an event that marks
    it complete; whoever wants the result waits for another event. Nothing else ever waits. Beyond `_LEAVING` snapshots at a time,
    when the disk is slower than the run, or without memory to spare for the copy, it is a plain one.
    """

    def __init__(self, backend: CudaBackend) -> None:
        self._backend = backend
        self._stream: Any = None
        self._leaving: list[weakref.ref[np.ndarray]] = []

    def send(self, buffer: Any) -> Callable[[], np.ndarray]:
        """Called on the backend's stream; returns what waits for the host's copy, to be called in any thread."""
        room, backend = self._room(buffer), self._backend
        if room is None:
            there = backend.to_host(buffer)
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

    def _room(self, buffer: Any) -> tuple[Any, np.ndarray] | None:
        """The device's copy and memory for the host's, or None."""
        self._leaving = [host for host in self._leaving if host() is not None]
        if len(self._leaving) >= _LEAVING:
            return None
        try:
            host = self._backend.pinned(buffer.shape, self._backend.dtype)
            staged = self._backend.duplicate(buffer)
        except Exception as error:
            if not _of_cupy(error):
                raise
            log.debug("no memory for a snapshot on the side: %s", _first_line(error))
            return None
        self._leaving.append(weakref.ref(host))  # which its views keep
        return staged, host


class WorkArea:
    """An allocator that hands out the same memory again and again, for plans that never run at the same time.

    A plan that needs more than there is gets a larger area, which later plans share; earlier ones keep theirs alive.
    """

    def __init__(self, allocate: Callable[[int], Any]) -> None:
        self._allocate = allocate
        self._memory: Any = None
        self.size = 0

    def __call__(self, size: int) -> Any:
        if self._memory is None or size > self.size:
            self._memory, self.size = self._allocate(size), size
        return self._memory


def cufft_plan(cufft: Any, shape: tuple[int, ...], batch: int, precision: Precision, forward: bool) -> Any:
    """A plan of ``batch`` real transforms over all axes, from padded rows to modes in the same memory or back.

    Embeddings and distances count reals on the side of the cells and complex numbers on the side of the modes.

    Args:
        cufft: the module `cupy.cuda.cufft`.
    """
    half = shape[-1] // 2 + 1
    cells, modes = (*shape[:-1], 2 * half), (*shape[:-1], half)
    inside, outside, last = (cells, modes, half) if forward else (modes, cells, shape[-1])
    axis = len(shape) - 1
    if batch * math.prod(cells) < _INT:
        kinds = {
            ("double", True): cufft.CUFFT_D2Z,
            ("double", False): cufft.CUFFT_Z2D,
            ("single", True): cufft.CUFFT_R2C,
            ("single", False): cufft.CUFFT_C2R,
        }
        kind = kinds[precision, forward]
        distances = math.prod(inside), math.prod(outside)
        return cufft.PlanNd(shape, inside, 1, distances[0], outside, 1, distances[1], kind, batch, "C", axis, last)
    # Beyond them only the interface with 64-bit sizes will do.
    real = np.dtype(DTYPES[precision])
    spectral = np.result_type(real, np.complex64)
    types = (real, spectral) if forward else (spectral, real)
    return cufft.XtPlanNd(
        shape, inside, 1, math.prod(inside), types[0], outside, 1, math.prod(outside), types[1],
        batch, spectral, order="C", last_axis=axis, last_size=last,
    )  # fmt: skip


class CudaKernel:
    """A kernel compiled for one layout.

    Attributes:
        scalars: names of the scalars it reads. rows: number of reductions.
    """

    language = "cu"

    def __init__(self, backend: CudaBackend, kernel: Kernel, layout: Layout) -> None:
        self.kernel, self.scalars, self.rows = kernel, cuda_scalars(kernel), len(kernel.reductions)
        extent = layout.extent(kernel.space)
        self.source = cuda_source(kernel, layout.parts, backend.dtype, extent, layout.row)
        self._function = backend.function(self.source, kernel.name)
        self._axes = [backend.array(layout.axis_array(name, backend.dtype)) for name in kernel.axis_arrays]
        self._blocks = max(1, min(backend.threads, math.prod(extent)) // _BLOCK)
        if self.rows:
            ops = [r.op for r in kernel.reductions.values()]
            self._reduce = backend.function(reduce_source(ops, _BLOCK, _PARTS), "reduce")
            self._partial = backend.array(np.zeros((self.rows, self._blocks * _BLOCK)))

    def launch(self, arrays: Sequence[Any], scalars: Any, total: Any) -> None:
        """Queues the kernel and the second stage of its reductions, ``_PARTS`` numbers each, into ``total``."""
        arguments = [*arrays, *self._axes]
        if self.scalars:
            arguments.append(scalars)
        if self.rows:
            arguments.append(self._partial)
        self._function((self._blocks,), (_BLOCK,), tuple(arguments))
        if self.rows:
            count = np.int32(self._blocks * _BLOCK)
            self._reduce((self.rows * _PARTS,), (_BLOCK,), (self._partial, total, count))


class Scalars:
    """Numbers in device memory, from where a recorded launch reads new values each time.

    A kernel writes them, out of its arguments, which the driver copies while it queues the launch: the host keeps nothing for it
    and may go on changing them. The stream runs it after the launches queued earlier, which read the old values, and before later
    ones. A copy from host memory would have to leave its source alone until it has run, or make the host wait for it.
    """

    def __init__(self, backend: CudaBackend, names: Sequence[str]) -> None:
        self._names = names
        self._values = np.zeros(-(-len(names) // _CHUNK) * _CHUNK, backend.dtype)
        self.device = backend.array(self._values.copy())
        self._chunks = [slice(at, at + _CHUNK) for at in range(0, len(self._values), _CHUNK)]
        self._assign = backend.function(assign_source(backend.dtype, _CHUNK), "assign") if names else None

    def set(self, values: Mapping[str, float]) -> None:
        """Queues the change to new values, if they are new."""
        new = np.zeros_like(self._values)
        new[: len(self._names)] = [values[name] for name in self._names]
        for chunk in self._chunks:
            if new[chunk].tobytes() != self._values[chunk].tobytes():
                assert self._assign is not None
                self._assign((1,), (1,), (self.device[chunk], *new[chunk]))
        self._values = new


class CudaProgram:
    """Operations queued in order, and as one graph once they repeat.

    A graph is recorded for every binding of arrays, by their addresses, when that comes the second time; the first time runs
    plainly, which also loads whatever the driver loads on first use. A recording holds addresses alone: of the arrays, which are
    there whenever the binding is, and of what the program and its transforms own. Nothing is planned or allocated meanwhile.
    Transforms through CuPy allocate, so programs with those are never recorded.
    """

    def __init__(self, backend: CudaBackend, layout: Layout, operations: Sequence[Operation]) -> None:
        self.stream, self.operations = backend.stream, list(operations)
        self._backend = backend
        self.kernels = [CudaKernel(backend, o.kernel, layout) for o in operations if isinstance(o, Run)]
        self._scalars = Scalars(backend, [name for k in self.kernels for name in k.scalars])
        rows = sum(k.rows for k in self.kernels)
        self._total = backend.array(np.zeros((rows, _PARTS)))
        self._found = backend.pinned((rows, _PARTS), "float64") if rows else None
        self._reductions = [(name, r.op) for k in self.kernels for name, r in k.kernel.reductions.items()]
        self._steps: list[Callable[[Mapping[str, Any]], None]] = []
        scalar = row = 0
        kernels = iter(self.kernels)
        for operation in operations:
            if isinstance(operation, Run):
                kernel = next(kernels)
                views = self._scalars.device[scalar:], self._total[row : row + kernel.rows]
                self._steps.append(self._launch(kernel, operation, *views))
                scalar, row = scalar + len(kernel.scalars), row + kernel.rows
            else:
                self._steps.append(self._transform(backend.transform(layout, operation.components), operation))
        self._names = list(dict.fromkeys(name for o in operations for name in _arrays(o)))
        self._recording = backend.graphs and layout.parts == 2
        self._graphs: dict[tuple[int, ...], Any] = {}

    @staticmethod
    def _launch(kernel: CudaKernel, run: Run, scalars: Any, total: Any) -> Callable[[Mapping[str, Any]], None]:
        names = [run.name(a) for a in run.kernel.arrays]
        return lambda arrays: kernel.launch([arrays[name] for name in names], scalars, total)

    @staticmethod
    def _transform(transform: Any, operation: Forward | Inverse) -> Callable[[Mapping[str, Any]], None]:
        execute = transform.forward if isinstance(operation, Forward) else transform.inverse

        def step(arrays: Mapping[str, Any]) -> None:
            array = arrays[operation.array]
            execute(array if len(array) == operation.components else array[: operation.components])

        return step

    @on_stream
    def __call__(self, arrays: Mapping[str, Any], scalars: Mapping[str, float] | None = None) -> dict[str, float]:
        self._scalars.set(scalars or {})
        graph = self._graph(arrays) if self._recording else None
        if graph is None:
            self._queue(arrays)
        else:
            graph.launch(self.stream)
        return self._reduced() if self._reductions else {}

    def _queue(self, arrays: Mapping[str, Any]) -> None:
        for step in self._steps:
            step(arrays)

    def _graph(self, arrays: Mapping[str, Any]) -> Any:
        """The graph for these arrays, or None where plain launches have to do."""
        key = tuple(self._backend.address(arrays[name]) for name in self._names)
        if key not in self._graphs:
            if len(self._graphs) >= _GRAPHS:
                del self._graphs[next(iter(self._graphs))]
            self._graphs[key] = None
        elif self._graphs[key] is None:
            self._graphs[key] = self._record(arrays)
        return self._graphs[key]

    def _record(self, arrays: Mapping[str, Any]) -> Any:
        try:
            self.stream.begin_capture()
            try:
                self._queue(arrays)
            finally:
                graph = self.stream.end_capture()
            return graph
        except Exception as error:
            if not _of_cupy(error):
                raise
            log.warning("the GPU's driver records no graph (%s); going on with plain launches", _first_line(error))
            self._recording = False
            return None

    def _reduced(self) -> dict[str, float]:
        """The reductions; the only place where a program waits for the device."""
        assert self._found is not None
        self._backend.fetch(self._total, self._found)
        self.stream.synchronize()
        combine: dict[str, Any] = {"sum": np.sum, "min": np.min, "max": np.max}
        rows = zip(self._reductions, self._found, strict=True)
        return {name: float(combine[op](row)) for (name, op), row in rows}


def _arrays(operation: Operation) -> list[str]:
    if isinstance(operation, Run):
        return [operation.name(a) for a in operation.kernel.arrays]
    return [operation.array]


class CufftTransform:
    """In-place padded r2c/c2r over all axes."""

    def __init__(self, backend: CudaBackend, shape: tuple[int, ...], components: int) -> None:
        self.stream = backend.stream
        self._complex = np.result_type(np.dtype(backend.dtype), np.complex64)
        self._forward = backend.plan(shape, components, forward=True)
        shared = backend.area.size
        self._inverse = backend.plan(shape, components, forward=False)
        if backend.area.size > shared:
            # The inverse needed more; planned again, the forward transform shares the larger area and drops its own.
            self._forward = backend.plan(shape, components, forward=True)

    @on_stream
    def forward(self, buffer: Any) -> None:
        self._forward.fft(buffer, buffer.view(self._complex), -1)

    @on_stream
    def inverse(self, buffer: Any) -> None:
        self._inverse.fft(buffer.view(self._complex), buffer, 1)


class CosineTransform:
    """DCT-II, DST-II and halfcomplex transforms through cupyx, axis by axis; scaled as FFTW scales them.

    Far from in place. For every axis cupyx reorders the numbers, makes them complex, transforms and multiplies them, each a pass
    of its own: some 14 u where an in-place real transform moves 2 u (u = bytes of one real field), in seven or more launches,
    with about four fields of temporaries. Reordering kernels of ours around a planned real transform would need 6 u an axis.
    """

    def __init__(self, backend: CudaBackend, layout: Layout, components: int) -> None:
        self.stream = backend.stream
        self._xp, self._fft = backend.xp, backend.cosine_library()
        self._axes = [
            (1 + place, axis.basis, axis.n) for place, axis in zip(layout.places, layout.grid.axes, strict=True)
        ]

    @on_stream
    def forward(self, buffer: Any) -> None:
        xp, fft, data = self._xp, self._fft, buffer
        for place, basis, n in self._axes:
            if basis == "halfcomplex":
                modes = xp.moveaxis(fft.rfft(data, axis=place), place, -1)
                imaginary = modes.imag[..., 1 : (n + 1) // 2][..., ::-1]
                data = xp.moveaxis(xp.concatenate([modes.real, imaginary], axis=-1), -1, place)
            else:
                data = (fft.dct if basis == "dct" else fft.dst)(data, type=2, axis=place)
        buffer[...] = data

    @on_stream
    def inverse(self, buffer: Any) -> None:
        xp, fft, data = self._xp, self._fft, buffer
        for place, basis, n in self._axes:
            if basis == "halfcomplex":
                moved = xp.moveaxis(data, place, -1)
                modes = moved[..., : n // 2 + 1].astype(np.result_type(moved.dtype, np.complex64))
                modes.imag[..., 1 : (n + 1) // 2] = moved[..., n // 2 + 1 :][..., ::-1]
                # "forward" puts the factor 1/n on the other direction: this one is unscaled.
                data = xp.moveaxis(fft.irfft(modes, n=n, axis=-1, norm="forward"), -1, place)
            else:
                # Type 3 in the same scaling undoes type 2 up to the factor 2n.
                data = (fft.dct if basis == "dct" else fft.dst)(data, type=3, axis=place)
        buffer[...] = data
