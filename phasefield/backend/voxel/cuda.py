"""The operators on voxels on a GPU: kernels of `cuda_source`, cuFFT in place.

Takes streams, plans, memory and the compiler from a `CudaBackend`. Kernels queue up; only sums, which the iteration needs on the
host, wait for the device: u . K u with the mean stress in one copy, and the norm of the preconditioned residual.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ...codegen import WIDE, reduce_source
from ..cuda import CudaBackend
from ..cuda_errors import on_stream
from ..cuda_programs import Recorder
from ..cuda_transforms import CufftTransform
from . import cuda_source
from .cuda_surface import CudaSurface
from .grid import VoxelGrid
from .nodes import centre_gradient
from .symbols import symbols, wall_symbols
from .tensor_field import TensorField

#: Threads per block; blocks that share the second stage of a reduction, whose results the host adds up.
_BLOCK, _PARTS = 128, 32
#: Threads a multiprocessor can hold at most.
_THREADS = 2048
#: Lines that walls transform at a time are all if they take fewer bytes than this, for small grids are bound by launches; else a
#: share of them, so that their scratch space stays small.
_LINES, _SHARES = 64 << 20, 8


class DeviceTensorField(TensorField):
    """A field of tensors with copies of its tables on the device.

    Attributes:
        kind: per entry, 0 isotropic, 1 anisotropic, 2 anisotropic with the constant polynomial alone.
    """

    def __init__(
        self, backend: CudaBackend, full: bool, index: np.ndarray, packed: np.ndarray, cut: np.ndarray | None = None
    ) -> None:
        super().__init__(packed, backend.dtype, cut)
        self.anisotropic = not self.isotropic.all()
        self.index = backend.array(index)
        self.table = backend.array(self.tensor)
        kind = np.where(self.isotropic, 0, np.where(self.whole & full, 1, 2))
        self.kind = backend.array(kind.astype(np.int32))

    @property
    def nbytes(self) -> int:
        return int(self.index.nbytes + self.table.nbytes + self.kind.nbytes)


class CudaVoxelOperators:
    """The operators of one voxel grid on a GPU, with the interface of `cpu.CpuVoxelOperators`.

    Args:
        backend: the device, in the grid's precision. grid: of what.
    """

    #: Whether the nodes on the faces are held.
    clamped = False
    #: Loads go together where their fields are small: then waiting for sums takes longer than computing them.
    batch_bytes = tensor_bytes = 256 << 20
    #: Nothing is held besides fields that would count.
    scratch_bytes = 0
    #: `surface` is there.
    has_surface = True

    def __init__(self, backend: CudaBackend, grid: VoxelGrid) -> None:
        self.backend, self.stream = backend, backend.stream
        self.shape, self.components, self.full = shape, components, _ = grid.shape, grid.components, grid.full
        self.dtype = np.dtype(backend.dtype)
        self.voxels = math.prod(shape)
        self.g = np.array([2.0 / h for h in grid.spacing], self.dtype)
        self.padded = (*shape[:2], 2 * (shape[2] // 2 + 1))
        self._wide = components * math.prod(self.padded) >= WIDE
        self.sizes = tuple(np.int32(n) for n in shape)
        self.corner = tuple(self.dtype.type(g / 8) for g in self.g)  # modes are means over the corners
        self.recorder = Recorder(self.stream, backend.graphs)
        self._media: dict[bytes, Any] = {}
        self._functions: dict[tuple[Any, ...], Any] = {}
        self._prepare()

    @on_stream
    def _prepare(self) -> None:
        backend = self.backend
        # Sums of one launch at most: work and stress.
        self._rows = {1: 4, 3: 7}[self.components]
        threads = min(backend.processors * _THREADS, _BLOCK * -(-self.components * self.voxels // _BLOCK))
        self.partial = backend.array(np.zeros(self._rows * threads))
        self._loads = 0
        self._room(1)
        self._reduce = self._function(reduce_source, ["sum"], _BLOCK, _PARTS, name="reduce")
        self._prepare_green()

    def _room(self, loads: int) -> None:
        """Room for the sums of some loads."""
        if loads > self._loads:
            self._loads = loads
            self._total = self.backend.array(np.zeros((loads, self._rows, _PARTS)))
            self._found = self.backend.pinned((loads, self._rows, _PARTS), "float64")

    def _prepare_green(self) -> None:
        axes = tuple(n for n in self.shape[:2] if n > 1)
        self._transform = CufftTransform(self.backend, (*axes, self.shape[2]), 1)
        table = np.stack(symbols(self.shape, self.g, self.full))
        self._symbols = self.backend.array(np.ascontiguousarray(table, self.dtype))

    # -- launches --------------------------------------------------------------------------------------------------

    def _function(self, source: Callable[..., str], *arguments: Any, name: str = "") -> Any:
        """The compiled kernel of a text from `cuda_source`, which names it after the function that writes it."""
        key = (source, *map(str, arguments))
        if key not in self._functions:
            name = name or source.__name__.removesuffix("_source")
            self._functions[key] = self.backend.function(source(*arguments), name)
        return self._functions[key]

    def launch(
        self, source: Callable[..., str], options: tuple[Any, ...], arguments: tuple[Any, ...], count: int
    ) -> int:
        """Queues a kernel over ``count`` cells; returns its number of threads."""
        function = self._function(source, *options, self.dtype.name, self._wide)
        summing = any(a is self.partial for a in arguments)
        blocks = self.backend.blocks(function, _BLOCK, count, summing)
        function((blocks,), (_BLOCK,), arguments)
        return blocks * _BLOCK

    def summed(
        self, source: Callable[..., str], options: tuple[Any, ...], arguments: tuple[Any, ...], count: int
    ) -> float:
        """The sum that a kernel leaves; waits for the device."""
        self._sum(0, 1, self.launch(source, options, arguments, count))
        return float(self._sums(1, 1)[0, 0])

    def _sum(self, load: int, rows: int, threads: int, first: int = 0) -> None:
        """Queues the sums over the threads of the last launch, to rows of a load from the ``first`` on."""
        total = self._total[load, first : first + rows]
        self._reduce((rows * _PARTS,), (_BLOCK,), (self.partial, total, np.int32(threads)))

    def _sums(self, loads: int, rows: int) -> np.ndarray:
        """The sums of all loads, (loads, rows); waits for the device."""
        self.backend.fetch(self._total, self._found)
        self.stream.synchronize()
        return np.asarray(self._found[:loads, :rows].sum(axis=2))

    # -- arrays ----------------------------------------------------------------------------------------------------

    @on_stream
    def tensor_field(self, index: np.ndarray, packed: np.ndarray, cut: np.ndarray | None = None) -> DeviceTensorField:
        return DeviceTensorField(self.backend, self.full, index, packed, cut)

    def field(self, loads: int = 1) -> Any:
        return self.backend.zeros((loads, self.components, *self.shape))

    def spectral(self, loads: int = 1) -> Any:
        return self.backend.zeros((loads, self.components, *self.padded))

    @on_stream
    def assign(self, field: Any, values: np.ndarray | None) -> None:
        if values is None:
            self.backend.clear(field)
        else:
            self.backend.from_host(values, field)

    @on_stream
    def to_host(self, field: Any) -> np.ndarray:
        return self.backend.to_host(field)[..., : self.shape[2]]

    def gradient(self, u: np.ndarray) -> np.ndarray:
        return centre_gradient(u, [2.0 / float(g) for g in self.g])

    # -- operators -------------------------------------------------------------------------------------------------

    @on_stream
    def apply(self, u: Any, w: Any, tensors: DeviceTensorField) -> tuple[np.ndarray, np.ndarray]:
        options = (self.components, self.full, tensors.anisotropic, self.clamped)
        known = (tensors.index, tensors.table, tensors.kind, self.partial, *self.sizes, *self.corner)
        self._room(len(u))
        for load in range(len(u)):
            threads = self.launch(cuda_source.apply_source, options, (u[load], w[load], *known), self.voxels)
            self._sum(load, self._rows, threads)
        total = self._sums(len(u), self._rows)
        return total[:, 0], total[:, 1:]

    @on_stream
    def every_voxel(self) -> Any:
        return self.backend.array(np.arange(self.voxels, dtype=np.int32).reshape(self.shape))

    @on_stream
    def nodal_forces(self, w: Any, index: Any, table: np.ndarray) -> None:
        stress = self.backend.array(np.ascontiguousarray(table, self.dtype))
        for load in range(len(w)):
            arguments = (w[load], index, stress[load], *self.sizes, *self.corner)
            self.launch(cuda_source.nodal_forces_source, (self.components, self.clamped), arguments, self.voxels)

    @on_stream
    def corner_mean(self, tensors: DeviceTensorField, value: np.ndarray, power: float = 1.0) -> Any:
        out = self.backend.zeros(self.shape)
        values = self.backend.array(np.ascontiguousarray(value, np.float64))
        arguments = (out, tensors.index, values, np.float64(power), *self.sizes)
        self.launch(cuda_source.corner_mean_source, (), arguments, self.voxels)
        return out

    @on_stream
    def advance(self, alpha: np.ndarray, u: Any, r: Any, p: Any, w: Any, scaling: Any = None) -> None:
        scaled = () if scaling is None else (scaling,)
        options = (self.components, bool(scaled))
        for load, length in enumerate(alpha):
            fields = (u[load], r[load], p[load], w[load])
            arguments = (*fields, *scaled, self.dtype.type(length), *self.sizes)
            self.launch(cuda_source.advance_source, options, arguments, self.components * self.voxels)

    @on_stream
    def direction(self, beta: np.ndarray, p: Any, w: Any, scaling: Any = None) -> None:
        scaled = () if scaling is None else (scaling,)
        options = (self.components, bool(scaled))
        for load, share in enumerate(beta):
            arguments = (p[load], w[load], *scaled, self.dtype.type(share), *self.sizes)
            self.launch(cuda_source.direction_source, options, arguments, self.components * self.voxels)

    @on_stream
    def dot(self, u: Any, w: Any) -> np.ndarray:
        count = self.components * self.voxels
        self._room(len(u))
        for load in range(len(u)):
            arguments = (u[load], w[load], self.partial, *self.sizes)
            self._sum(load, 1, self.launch(cuda_source.dot_source, (self.components,), arguments, count))
        return self._sums(len(u), 1)[:, 0]

    @on_stream
    def green(self, w: Any, reference: np.ndarray) -> np.ndarray:
        self._room(len(w))
        key = ("green", self.backend.address(w), len(w), self.backend.address(self._total), reference.tobytes())
        medium = self._medium(reference)
        self.recorder.run(key, lambda: self._queue_green(w, medium))
        return self._green_products(len(w))

    def _medium(self, reference: np.ndarray) -> Any:
        """The reference medium on the device; one does for all iterations, and recordings hold its address."""
        key = reference.tobytes()
        if key not in self._media:
            self._media[key] = self.backend.array(np.ascontiguousarray(reference, self.dtype).ravel())
        return self._media[key]

    def _green_products(self, loads: int) -> np.ndarray:
        return self._sums(loads, 1)[:, 0]

    def _queue_green(self, w: Any, medium: Any) -> None:
        longest, scale = np.int32(max(self.shape)), self.dtype.type(1 / self.voxels)
        for load, field in enumerate(w):
            for c in range(self.components):
                self._transform.forward(field[c : c + 1])
            arguments = (field, self._symbols, medium, self.partial, longest, *self.sizes, scale)
            threads = self.launch(cuda_source.green_source, (self.components,), arguments, math.prod(self.padded) // 2)
            self._sum(load, 1, threads)
            for c in range(self.components):
                self._transform.inverse(field[c : c + 1])

    def surface(self, tensors: DeviceTensorField, stiff: np.ndarray) -> CudaSurface:
        """The solver on the soft side of cut voxels; ``stiff`` is the size of every entry's tensor."""
        return CudaSurface(self, tensors, stiff)


class CudaWalledOperators(CudaVoxelOperators):
    """The same for a cell with walls, see `cpu.CpuWalledOperators`.

    Sines and cosines come from real transforms of lines continued oddly or evenly to a period, axis by axis and some lines at a
    time: about three times the passes of a transform over all axes.
    """

    def __init__(self, backend: CudaBackend, walls: str, grid: VoxelGrid) -> None:
        self.walls = walls
        self.clamped = walls == "kinematic"
        super().__init__(backend, grid)

    def _prepare_green(self) -> None:
        mass, second, self._norm = wall_symbols(self.walls, self.shape, self.g, self.full)
        longest = max(self.shape)
        table = np.zeros((6, longest), self.dtype)
        first = 1 if self.clamped else 0
        for d, n in enumerate(self.shape):
            at = slice(first if n > 1 else 0, n)
            table[d, at], table[3 + d, at] = mass[d], second[d]
        self._symbols = self.backend.array(table)
        # A product of functions linear in each axis' squared sine is largest where these are smallest or largest.
        ends = [(np.array([m[0], m[-1]]), np.array([s[0], s[-1]])) for m, s in zip(mass, second, strict=True)]
        (m0, s0), (m1, s1), (m2, s2) = (
            tuple(a.reshape([-1 if e == d else 1 for e in range(3)]) for a in pair) for d, pair in enumerate(ends)
        )
        self._corners = np.stack([np.broadcast_to(t, (2, 2, 2)) for t in (s0 * m1 * m2, m0 * s1 * m2, m0 * m1 * s2)])
        self._axes = []
        for d, n in enumerate(self.shape):
            if n == 1:
                continue
            length = 2 * n if self.clamped else 2 * (n - 1)
            every = self.voxels // n
            whole = every * (length + 2) * self.dtype.itemsize <= _LINES
            each = every if whole else -(-every // _SHARES)
            plan = self.backend.plan((length,), each, True)
            self._axes.append((d, each, -(-every // each), plan, length))
        self._lines = self.backend.zeros((max(each * (length + 2) for _, each, _, _, length in self._axes),))

    def _transform_all(self, w: Any, face: float) -> None:
        """Sines or cosines of one component along all axes; nodes on the faces count ``face`` times."""
        complex_type = np.result_type(self.dtype, np.complex64)
        for d, each, chunks, plan, length in self._axes:
            lines = self._lines[: each * (length + 2)]
            for chunk in range(chunks):
                place = (np.int32(d), np.int32(chunk), np.int32(each), *self.sizes)
                arguments = (w, lines, *place, self.dtype.type(face))
                self.launch(cuda_source.extend_source, (self.clamped,), arguments, each * length)
                plan.fft(lines, lines.view(complex_type), -1)
                self.launch(
                    cuda_source.restrict_lines_source, (self.clamped,), (w, lines, *place), each * self.shape[d]
                )

    def _medium(self, reference: np.ndarray) -> Any:
        return reference

    def _green_products(self, loads: int) -> np.ndarray:
        return self._sums(loads, self.components).sum(axis=1)

    def _queue_green(self, w: Any, medium: np.ndarray) -> None:
        for c, row in enumerate(medium):
            floor = 1e-12 * float(np.tensordot(row, self._corners, 1).max())
            numbers = tuple(self.dtype.type(x) for x in (*row, floor, self._norm))
            for load, field in enumerate(w):
                component = field[c]
                self._transform_all(component, 2.0)
                known = (self._symbols, self.partial, np.int32(max(self.shape)), *self.sizes, *numbers)
                threads = self.launch(cuda_source.wall_source, (self.clamped,), (component, *known), self.voxels)
                self._sum(load, 1, threads, c)
                self._transform_all(component, 1.0)
