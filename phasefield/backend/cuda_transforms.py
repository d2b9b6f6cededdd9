"""Transforms on the GPU: cuFFT's plans used directly, in place on padded buffers, and cosines and sines through cupyx."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from .cuda_device import CudaDevice, DeviceArray, FftPlan
from .cuda_errors import on_stream
from .layout import Layout
from .protocol import DTYPES, Precision

#: Numbers that C's int can count.
_INT = 2**31


def cufft_plan(
    cufft: ModuleType, shape: tuple[int, ...], batch: int, precision: Precision, forward: bool, row: int | None = None
) -> FftPlan:
    """A plan of ``batch`` real transforms over all axes, from padded rows to modes in the same memory or back.

    Embeddings and distances count reals on the side of the cells and complex numbers on the side of the modes.

    Args:
        cufft: the module `cupy.cuda.cufft`.
        row: reals from one row to the next, even; None for as few as in-place transforms need.
    """
    half = (row or 2 * (shape[-1] // 2 + 1)) // 2
    cells, modes = (*shape[:-1], 2 * half), (*shape[:-1], half)
    # The transform's length along the last axis on its output's side.
    inside, outside, last = (cells, modes, shape[-1] // 2 + 1) if forward else (modes, cells, shape[-1])
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


def cufft_columns(cufft: ModuleType, n: int, count: int, precision: Precision) -> FftPlan:
    """A plan of complex transforms along the first of two axes of lengths n and ``count``, in place.

    Args:
        cufft: the module `cupy.cuda.cufft`.
    """
    if n * count < _INT:
        kind = cufft.CUFFT_Z2Z if precision == "double" else cufft.CUFFT_C2C
        return cufft.PlanNd((n,), (n,), count, 1, (n,), count, 1, kind, count, "C", 0, n)
    types = np.result_type(np.dtype(DTYPES[precision]), np.complex64)
    return cufft.XtPlanNd(
        (n,), (n,), count, 1, types, (n,), count, 1, types, count, types, order="C", last_axis=0, last_size=n
    )


def axes_of(layout: Layout) -> list[tuple[int, str, int]]:
    """Place in buffers, basis and length of every axis of a grid."""
    return [(1 + place, axis.basis, axis.n) for place, axis in zip(layout.places, layout.grid.axes, strict=True)]


class CufftTransform:
    """In-place padded r2c/c2r over all axes."""

    def __init__(self, backend: CudaDevice, shape: tuple[int, ...], components: int) -> None:
        self.stream = backend.stream
        self._complex = np.result_type(np.dtype(backend.dtype), np.complex64)
        self._forward = backend.plan(shape, components, forward=True)
        shared = backend.area.size
        self._inverse = backend.plan(shape, components, forward=False)
        if backend.area.size > shared:
            # The inverse needed more; planned again, the forward transform shares the larger area and drops its own.
            self._forward = backend.plan(shape, components, forward=True)

    @on_stream
    def forward(self, buffer: DeviceArray) -> None:
        self._forward.fft(buffer, buffer.view(self._complex), -1)

    @on_stream
    def inverse(self, buffer: DeviceArray) -> None:
        self._inverse.fft(buffer.view(self._complex), buffer, 1)


class CosineTransform:
    """DCT-II, DST-II and halfcomplex transforms through cupyx, axis by axis; scaled as FFTW scales them.

    Far from in place. For every axis cupyx reorders the numbers, makes them complex, transforms and multiplies them, each a pass
    of its own: some 14 u where an in-place real transform moves 2 u (u = bytes of one real field), in seven or more launches.
    Up to `FIELDS` are alive at a time. Reordering kernels of ours around a planned real transform would need 6 u an axis.

    Args:
        axes: of arrays the place, basis and length of every axis that is transformed.
    """

    #: Real fields beside the buffer that CuPy holds at most (14.2, its source): the reordered numbers, a complex copy of them,
    #: another with the axis last, cuFFT's work area, and that of a plan for the other axes, which CuPy keeps.
    FIELDS = 9

    def __init__(self, backend: CudaDevice, axes: Sequence[tuple[int, str, int]]) -> None:
        self.stream = backend.stream
        self._xp, self._fft, self._axes = backend.xp, backend.cosine_library(), list(axes)

    @on_stream
    def forward(self, buffer: DeviceArray) -> None:
        for place, basis, n in self._axes:
            # Back into the buffer after every axis: what is returned is a view of a complex array, twice as large.
            buffer[...] = self._forward(buffer, place, basis, n)

    def _forward(self, data: Any, place: int, basis: str, n: int) -> Any:
        xp, fft = self._xp, self._fft
        if basis in ("dct4", "dst4"):
            return self._fourth(data, place, basis, n)
        if basis != "halfcomplex":
            return (fft.dct if basis == "dct" else fft.dst)(data, type=2, axis=place)
        modes = xp.moveaxis(fft.rfft(data, axis=place), place, -1)
        imaginary = modes.imag[..., 1 : (n + 1) // 2][..., ::-1]
        return xp.moveaxis(xp.concatenate([modes.real, imaginary], axis=-1), -1, place)

    @on_stream
    def inverse(self, buffer: DeviceArray) -> None:
        for place, basis, n in self._axes:
            buffer[...] = self._inverse(buffer, place, basis, n)

    def _fourth(self, data: Any, place: int, basis: str, n: int) -> Any:
        """Type 4, its own inverse up to the factor 2n, which cupyx lacks: by a complex transform of twice the length.

        DCT-IV: Y_k = 2 Re sum_j X_j exp(-i pi (j + 1/2)(k + 1/2)/n). DST-IV is that of (-1)^j X_j, read backwards.
        """
        xp = self._xp
        moved = xp.moveaxis(data, place, -1)
        j = xp.arange(n)
        precise = np.result_type(moved.dtype, np.complex64)
        signs = 1 - 2 * (j % 2) if basis == "dst4" else xp.ones(n)
        turned = (moved * (signs * xp.exp(-0.5j * math.pi * j / n))).astype(precise)
        modes = self._fft.fft(turned, n=2 * n, axis=-1)[..., :n]
        found = 2 * (modes * xp.exp(-0.5j * math.pi * (j + 0.5) / n)).real
        return xp.moveaxis(found[..., ::-1] if basis == "dst4" else found, -1, place)

    def _inverse(self, data: Any, place: int, basis: str, n: int) -> Any:
        xp, fft = self._xp, self._fft
        if basis in ("dct4", "dst4"):
            return self._fourth(data, place, basis, n)
        if basis != "halfcomplex":
            # Type 3 in the same scaling undoes type 2 up to the factor 2n.
            return (fft.dct if basis == "dct" else fft.dst)(data, type=3, axis=place)
        moved = xp.moveaxis(data, place, -1)
        modes = moved[..., : n // 2 + 1].astype(np.result_type(moved.dtype, np.complex64))
        modes.imag[..., 1 : (n + 1) // 2] = moved[..., n // 2 + 1 :][..., ::-1]
        # "forward" puts the factor 1/n on the other direction: this one is unscaled.
        return xp.moveaxis(fft.irfft(modes, n=n, axis=-1, norm="forward"), -1, place)
