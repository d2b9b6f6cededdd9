"""The GPU: CuPy arrays, cuFFT plans used directly, kernels compiled by NVRTC.

`cupy.fft` copies inputs and divides afterwards; the plans here work in place on padded buffers, scale nothing and share one work
area, so a step moves no more than its transforms and its kernels need.
"""

from __future__ import annotations

import functools
import importlib.util
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from ..codegen import Kernel, cuda_source
from ..errors import DeviceError
from .base import DTYPES, Forward, Inverse, Layout, Operation, Precision, Run

#: Threads per block, and blocks per multiprocessor of the one-dimensional launches.
_BLOCK = 256
_BLOCKS_PER_PROCESSOR = 8
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
            if type(error).__module__.split(".")[0] not in ("cupy", "cupy_backends"):
                raise
            raise _explain(error) from error

    return guarded  # type: ignore[return-value]


def _explain(error: Exception) -> DeviceError:
    text = str(error)
    if isinstance(error, MemoryError) or "MemoryAllocation" in text or "ALLOC_FAILED" in text:
        return DeviceError(
            f"grid.shape: the GPU is out of memory ({_first_line(error)})\n"
            "  Use fewer cells, precision=single, or a scheme with fewer stages; or end other programs on the GPU."
        )
    return DeviceError(f"device=gpu: {_first_line(error)}\n  Use device=cpu if this persists.")


class CudaBackend:
    """One CUDA device.

    Args:
        precision: ``double`` or ``single``.
    """

    name = "gpu"
    readback_every = 64

    @device_errors
    def __init__(self, precision: Precision = "double") -> None:
        import cupy

        self.xp = cupy
        device = cupy.cuda.Device()
        properties = cupy.cuda.runtime.getDeviceProperties(device.id)
        driver = cupy.cuda.runtime.driverGetVersion()
        description = f"{properties['name'].decode()}, CUDA driver API {driver // 1000}.{driver % 1000 // 10}"
        self._set_up(precision, description, properties["multiProcessorCount"])

    def _set_up(self, precision: Precision, description: str, processors: int) -> None:
        self.precision: Precision = precision
        self.description = description
        self.threads = _BLOCK * _BLOCKS_PER_PROCESSOR * processors
        self.area = WorkArea(self.allocate)
        self._transforms: dict[tuple[Any, int], CufftTransform | CosineTransform] = {}

    @property
    def dtype(self) -> str:
        return DTYPES[self.precision]

    def array(self, host: np.ndarray) -> Any:
        """A device copy of a small host array."""
        return self.xp.asarray(host)

    def allocate(self, size: int) -> Any:
        """Device memory from CuPy's pool."""
        return self.xp.get_default_memory_pool().malloc(size)

    @device_errors
    def buffer(self, layout: Layout, components: int) -> Any:
        return self.xp.zeros(layout.buffer_shape(components), self.dtype)

    @device_errors
    def transform(self, layout: Layout, components: int) -> CufftTransform | CosineTransform:
        key = (layout.grid, components)
        if key not in self._transforms:
            kind = CufftTransform if layout.parts == 2 else CosineTransform
            self._transforms[key] = kind(self, layout, components)
        return self._transforms[key]

    @device_errors
    def program(self, layout: Layout, operations: Sequence[Operation]) -> CudaProgram:
        return CudaProgram(self, layout, operations)

    def function(self, source: str, name: str) -> Any:
        """A launchable function ``f(grid, block, arguments)`` from CUDA source."""
        kernel = self.xp.RawKernel(source, name, options=("--std=c++17",))
        kernel.compile()
        return kernel

    def plan(self, layout: Layout, components: int, forward: bool) -> Any:
        """A cuFFT plan for padded in-place transforms with the interface of `cupy.cuda.cufft.PlanNd`."""
        with self.xp.cuda.using_allocator(self.area):
            return cufft_plan(importlib.import_module("cupy.cuda.cufft"), layout, components, self.precision, forward)

    def cosine_library(self) -> Any:
        """The module with dct, dst, rfft and irfft."""
        return importlib.import_module("cupyx.scipy.fft")

    @device_errors
    def to_host(self, buffer: Any) -> np.ndarray:
        return self.xp.asnumpy(buffer)

    @device_errors
    def from_host(self, array: np.ndarray, buffer: Any) -> None:
        buffer.set(np.ascontiguousarray(array, self.dtype))

    @device_errors
    def copy(self, source: Any, target: Any) -> None:
        target[...] = source

    def combine(self, partials: Sequence[tuple[Any, str]]) -> list[float]:
        """Reduces every row of per-thread partial results by its operation and brings all numbers back in one transfer."""
        return self.to_host(self.xp.stack([getattr(row, op)() for row, op in partials])).tolist()

    @device_errors
    def synchronize(self) -> None:
        self.xp.cuda.get_current_stream().synchronize()

    @device_errors
    def memory_available(self) -> int:
        free, _ = self.xp.cuda.runtime.memGetInfo()
        return int(free) + int(self.xp.get_default_memory_pool().free_bytes())


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


def cufft_plan(cufft: Any, layout: Layout, components: int, precision: Precision, forward: bool) -> Any:
    """A plan of ``components`` real transforms over all axes, from padded rows to modes in the same memory or back.

    Embeddings and distances count reals on the side of the cells and complex numbers on the side of the modes.

    Args:
        cufft: the module `cupy.cuda.cufft`.
    """
    shape = layout.grid.shape
    half = shape[-1] // 2 + 1
    cells, modes = (*shape[:-1], 2 * half), (*shape[:-1], half)
    inside, outside, last = (cells, modes, half) if forward else (modes, cells, shape[-1])
    axis = len(shape) - 1
    if components * math.prod(cells) < _INT:
        kinds = {
            ("double", True): cufft.CUFFT_D2Z,
            ("double", False): cufft.CUFFT_Z2D,
            ("single", True): cufft.CUFFT_R2C,
            ("single", False): cufft.CUFFT_C2R,
        }
        kind = kinds[precision, forward]
        distances = math.prod(inside), math.prod(outside)
        return cufft.PlanNd(shape, inside, 1, distances[0], outside, 1, distances[1], kind, components, "C", axis, last)
    # Beyond them only the interface with 64-bit sizes will do.
    real = np.dtype(DTYPES[precision])
    spectral = np.result_type(real, np.complex64)
    types = (real, spectral) if forward else (spectral, real)
    return cufft.XtPlanNd(
        shape, inside, 1, math.prod(inside), types[0], outside, 1, math.prod(outside), types[1],
        components, spectral, order="C", last_axis=axis, last_size=last,
    )  # fmt: skip


class CudaKernel:
    """A kernel compiled for one layout."""

    language = "cu"

    def __init__(self, backend: CudaBackend, kernel: Kernel, layout: Layout) -> None:
        self.backend, self.kernel = backend, kernel
        extent = layout.extent(kernel.space)
        self.source = cuda_source(kernel, layout.parts, backend.dtype, extent, layout.row)
        self._function = backend.function(self.source, kernel.name)
        self._axes = [backend.array(layout.axis_array(name, backend.dtype)) for name in kernel.axis_arrays]
        self._blocks = max(1, min(backend.threads, math.prod(extent)) // _BLOCK)
        self._ops: list[str] = [r.op for r in kernel.reductions.values()]
        self._partial = backend.array(np.zeros((len(self._ops), self._blocks * _BLOCK))) if self._ops else None
        self._scalar = np.dtype(backend.dtype).type

    def launch(self, arrays: Sequence[Any], scalars: Mapping[str, float]) -> None:
        """Starts the kernel; `partials` hold its reductions when it is done."""
        arguments = [*arrays, *self._axes, *(self._scalar(scalars[name]) for name in self.kernel.scalars)]
        if self._partial is not None:
            arguments.append(self._partial)
        self._function((self._blocks,), (_BLOCK,), tuple(arguments))

    def partials(self) -> list[tuple[Any, str]]:
        """Per-thread partial results and operation of every reduction."""
        return [] if self._partial is None else list(zip(self._partial, self._ops, strict=True))


class CudaProgram:
    """Launches in order; the reductions of all kernels come back in one transfer at the end."""

    def __init__(self, backend: CudaBackend, layout: Layout, operations: Sequence[Operation]) -> None:
        self._backend = backend
        self.kernels: list[CudaKernel] = []
        self._steps: list[Callable[[Mapping[str, Any], Mapping[str, float]], None]] = []
        for operation in operations:
            if isinstance(operation, Run):
                self.kernels.append(CudaKernel(backend, operation.kernel, layout))
                self._steps.append(self._launch(self.kernels[-1], operation))
            else:
                self._steps.append(self._transform(backend.transform(layout, operation.components), operation))
        self._reductions = [name for k in self.kernels for name in k.kernel.reductions]

    @staticmethod
    def _launch(kernel: CudaKernel, run: Run) -> Callable[..., None]:
        names = [run.name(a) for a in run.kernel.arrays]
        return lambda arrays, scalars: kernel.launch([arrays[name] for name in names], scalars)

    @staticmethod
    def _transform(transform: Any, operation: Forward | Inverse) -> Callable[..., None]:
        execute = transform.forward if isinstance(operation, Forward) else transform.inverse

        def step(arrays: Mapping[str, Any], scalars: Mapping[str, float]) -> None:
            array = arrays[operation.array]
            execute(array if len(array) == operation.components else array[: operation.components])

        return step

    @device_errors
    def __call__(self, arrays: Mapping[str, Any], scalars: Mapping[str, float] | None = None) -> dict[str, float]:
        for step in self._steps:
            step(arrays, scalars or {})
        if not self._reductions:
            return {}
        partials = [partial for kernel in self.kernels for partial in kernel.partials()]
        return dict(zip(self._reductions, self._backend.combine(partials), strict=True))


class CufftTransform:
    """In-place padded r2c/c2r over all axes."""

    def __init__(self, backend: CudaBackend, layout: Layout, components: int) -> None:
        self._complex = np.result_type(np.dtype(backend.dtype), np.complex64)
        self._forward = backend.plan(layout, components, forward=True)
        shared = backend.area.size
        self._inverse = backend.plan(layout, components, forward=False)
        if backend.area.size > shared:
            # The inverse needed more; planned again, the forward transform shares the larger area and drops its own.
            self._forward = backend.plan(layout, components, forward=True)

    @device_errors
    def forward(self, buffer: Any) -> None:
        self._forward.fft(buffer, buffer.view(self._complex), -1)

    @device_errors
    def inverse(self, buffer: Any) -> None:
        self._inverse.fft(buffer.view(self._complex), buffer, 1)


class CosineTransform:
    """DCT-II, DST-II and halfcomplex transforms through cupyx, axis by axis; scaled as FFTW scales them."""

    def __init__(self, backend: CudaBackend, layout: Layout, components: int) -> None:
        self._xp, self._fft = backend.xp, backend.cosine_library()
        self._axes = [
            (1 + place, axis.basis, axis.n) for place, axis in zip(layout.places, layout.grid.axes, strict=True)
        ]

    @device_errors
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

    @device_errors
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
