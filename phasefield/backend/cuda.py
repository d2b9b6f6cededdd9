"""The GPU: CuPy arrays, cuFFT plans used directly, kernels compiled by NVRTC.

`cupy.fft` copies inputs and divides afterwards; the plans here work in place on padded buffers, scale nothing and share one work
area, so a step moves no more than its transforms and its kernels need.
"""

from __future__ import annotations

import functools
import importlib.util
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..codegen import Kernel, cuda_source
from .base import DTYPES, Layout, Precision

#: Threads per block, and blocks per multiprocessor of the one-dimensional launches.
_BLOCK = 256
_BLOCKS_PER_PROCESSOR = 8


@functools.cache
def why_unavailable() -> str | None:
    """Why no GPU can be used, or None if one can."""
    if importlib.util.find_spec("cupy") is None:
        return "CuPy is not installed (pip install 'phasefield[gpu]')"
    try:
        import cupy

        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:  # without a driver CuPy raises its own error types, also while importing
        return f"CuPy finds no usable GPU ({str(error).splitlines()[0] if str(error) else type(error).__name__})"
    return None if count else "CuPy finds no GPU"


class CudaBackend:
    """One CUDA device.

    Args:
        precision: ``double`` or ``single``.
    """

    name = "gpu"
    readback_every = 64

    def __init__(self, precision: Precision = "double") -> None:
        import cupy

        self.xp = cupy
        self.precision: Precision = precision
        device = cupy.cuda.Device()
        properties = cupy.cuda.runtime.getDeviceProperties(device.id)
        driver = cupy.cuda.runtime.driverGetVersion()
        self.description = f"{properties['name'].decode()}, CUDA driver API {driver // 1000}.{driver % 1000 // 10}"
        self.threads = _BLOCK * _BLOCKS_PER_PROCESSOR * properties["multiProcessorCount"]

    @property
    def dtype(self) -> str:
        return DTYPES[self.precision]

    def array(self, host: np.ndarray) -> Any:
        """A device copy of a small host array."""
        return self.xp.asarray(host)

    def buffer(self, layout: Layout, components: int) -> Any:
        return self.xp.zeros(layout.buffer_shape(components), self.dtype)

    def transform(self, layout: Layout, components: int) -> CufftTransform | CosineTransform:
        return (CufftTransform if layout.parts == 2 else CosineTransform)(self, layout, components)

    def compile(self, kernel: Kernel, layout: Layout) -> CudaKernel:
        return CudaKernel(self, kernel, layout)

    def function(self, source: str, name: str) -> Any:
        """A launchable function ``f(grid, block, arguments)`` from CUDA source."""
        return self.xp.RawKernel(source, name, options=("--std=c++17",))

    def plan(self, layout: Layout, components: int, forward: bool) -> Any:
        """A cuFFT plan for padded in-place transforms with the interface of `cupy.cuda.cufft.PlanNd`."""
        from cupy.cuda import cufft

        shape = layout.grid.shape
        half = shape[-1] // 2 + 1
        real, modes = (*shape[:-1], 2 * half), (*shape[:-1], half)
        double = self.precision == "double"
        if forward:
            kind = cufft.CUFFT_D2Z if double else cufft.CUFFT_R2C
            inside, outside, last = real, modes, half
        else:
            kind = cufft.CUFFT_Z2D if double else cufft.CUFFT_C2R
            inside, outside, last = modes, real, shape[-1]
        return cufft.PlanNd(
            shape, inside, 1, math.prod(inside), outside, 1, math.prod(outside), kind, components, "C", len(shape) - 1, last
        )

    def to_host(self, buffer: Any) -> np.ndarray:
        return self.xp.asnumpy(buffer)

    def from_host(self, array: np.ndarray, buffer: Any) -> None:
        buffer.set(np.ascontiguousarray(array, self.dtype))

    def copy(self, source: Any, target: Any) -> None:
        target[...] = source

    def combine(self, partial: Any, ops: list[str]) -> list[float]:
        """Reduces each row of the per-thread partial results and brings the numbers back in one transfer."""
        rows = [getattr(partial[i], op)() for i, op in enumerate(ops)]
        return self.xp.asnumpy(self.xp.stack(rows)).tolist()

    def synchronize(self) -> None:
        self.xp.cuda.get_current_stream().synchronize()

    def memory_available(self) -> int:
        free, _ = self.xp.cuda.runtime.memGetInfo()
        return int(free) + int(self.xp.get_default_memory_pool().free_bytes())


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
        self._ops = [r.op for r in kernel.reductions.values()]
        self._partial = (
            backend.array(np.empty((len(self._ops), self._blocks * _BLOCK))) if self._ops else None
        )
        self._scalar = np.dtype(backend.dtype).type

    def __call__(self, arrays: Mapping[str, Any], scalars: Mapping[str, float] | None = None) -> dict[str, float]:
        kernel = self.kernel
        arguments = [*(arrays[name] for name in kernel.arrays), *self._axes]
        arguments += [self._scalar(scalars[name]) for name in kernel.scalars if scalars is not None]
        if self._partial is not None:
            arguments.append(self._partial)
        self._function((self._blocks,), (_BLOCK,), tuple(arguments))
        if self._partial is None:
            return {}
        return dict(zip(kernel.reductions, self.backend.combine(self._partial, self._ops), strict=True))


class CufftTransform:
    """In-place padded r2c/c2r over all axes."""

    def __init__(self, backend: CudaBackend, layout: Layout, components: int) -> None:
        self._complex = np.result_type(np.dtype(backend.dtype), np.complex64)
        self._forward = backend.plan(layout, components, forward=True)
        self._inverse = backend.plan(layout, components, forward=False)

    def forward(self, buffer: Any) -> None:
        self._forward.fft(buffer, buffer.view(self._complex), -1)

    def inverse(self, buffer: Any) -> None:
        self._inverse.fft(buffer.view(self._complex), buffer, 1)


class CosineTransform:
    """DCT-II, DST-II and halfcomplex transforms through cupyx, axis by axis; scaled as FFTW scales them."""

    def __init__(self, backend: CudaBackend, layout: Layout, components: int) -> None:
        self._xp = backend.xp
        self._axes = [(1 + place, axis.basis, axis.n) for place, axis in zip(layout.places, layout.grid.axes, strict=True)]

    def forward(self, buffer: Any) -> None:
        from cupyx.scipy import fft

        data = buffer
        for place, basis, n in self._axes:
            if basis == "halfcomplex":
                modes = self._xp.moveaxis(fft.rfft(data, axis=place), place, -1)
                imaginary = modes.imag[..., 1 : (n + 1) // 2][..., ::-1]
                data = self._xp.moveaxis(self._xp.concatenate([modes.real, imaginary], axis=-1), -1, place)
            else:
                data = (fft.dct if basis == "dct" else fft.dst)(data, type=2, axis=place)
        buffer[...] = data

    def inverse(self, buffer: Any) -> None:
        from cupyx.scipy import fft

        data = buffer
        for place, basis, n in self._axes:
            if basis == "halfcomplex":
                moved = self._xp.moveaxis(data, place, -1)
                modes = moved[..., : n // 2 + 1].astype(self._xp.result_type(moved.dtype, self._xp.complex64))
                modes.imag[..., 1 : (n + 1) // 2] = moved[..., n // 2 + 1 :][..., ::-1]
                data = self._xp.moveaxis(fft.irfft(modes, n=n, axis=-1) * n, -1, place)
            else:
                # Type 3 in the same scaling undoes type 2 up to the factor 2n.
                data = (fft.dct if basis == "dct" else fft.dst)(data, type=3, axis=place)
        buffer[...] = data
