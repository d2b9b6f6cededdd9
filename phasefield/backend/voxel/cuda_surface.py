"""The solve on the nodes at the soft side of cut voxels on a GPU: element by element on a list of nodes.

The same polynomial as `surface.SurfaceSolver`, without its stored blocks: 4 bytes a voxel say which node has which place in the
list, and a listed node holds its place, its own inverse block and five numbers a component (in double precision 56 bytes for
scalars, 176 for displacements).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..cuda_errors import on_stream
from . import cuda_surface_source as source
from .surface import MARGIN, POWER, chebyshev

if TYPE_CHECKING:
    from .cuda import CudaVoxelOperators, DeviceTensorField


class CudaSurface:
    """An approximate inverse of the stiffness between the nodes on the soft side of cut voxels, see `surface.SurfaceSolver`.

    Args:
        operators: of the grid, periodic.
        tensors: with cut voxels. stiff: size of every entry's tensor, (entries,).
    """

    def __init__(self, operators: CudaVoxelOperators, tensors: DeviceTensorField, stiff: np.ndarray) -> None:
        self._operators, self.stream = operators, operators.stream
        self._options = (operators.components, operators.full, tensors.anisotropic)
        self._tables = (tensors.index, tensors.table, tensors.kind)
        self._prepare(tensors, stiff)

    @on_stream
    def _prepare(self, tensors: DeviceTensorField, stiff: np.ndarray) -> None:
        k = self._operators
        backend, self._sizes = k.backend, k.sizes
        self._number = backend.integers(k.shape)
        known = (backend.array(np.asarray(stiff, np.float64)), backend.array(tensors.whole.astype(np.int32)))
        k.launch(source.soft_side_source, (), (self._number, tensors.index, *known, *self._sizes), k.voxels)
        number = backend.to_host(self._number)
        nodes = np.flatnonzero(number)
        self.nodes = len(nodes)
        number[...] = -1
        number.reshape(-1)[nodes] = np.arange(self.nodes, dtype=np.int32)
        backend.fill(number, self._number)
        self._list = backend.array(nodes.astype(np.int64))
        self._count = np.int32(self.nodes)
        packed = {1: 1, 3: 6}[k.components]
        self._inverse = backend.zeros((packed, max(1, self.nodes)))
        if self.nodes:
            arguments = (self._inverse, *self._places(), self._count, *self._sizes, *k.corner)
            k.launch(source.surface_blocks_source, self._options, arguments, self.nodes)
        self._work = self._buffers(1)
        self._steps = chebyshev(self._largest())

    def _places(self) -> tuple[Any, ...]:
        return self._number, self._list, *self._tables

    def _buffers(self, loads: int) -> tuple[Any, ...]:
        """Residual, right-hand side, step, and two solutions of every load."""
        shape = (loads, self._operators.components, max(1, self.nodes))
        return tuple(self._operators.backend.zeros(shape) for _ in range(5))

    def _step(self, y: Any, right: Any, step: Any, out: Any, c1: float, c2: float) -> None:
        k = self._operators
        numbers = (*k.corner, k.dtype.type(c1), k.dtype.type(c2))
        arguments = (y, right, step, out, self._inverse, *self._places(), self._count, *self._sizes, *numbers)
        k.launch(source.surface_step_source, self._options, arguments, self.nodes)

    def _largest(self) -> float:
        """Largest eigenvalue of the scaled stiffness, from above, by the power iteration."""
        if not self.nodes:
            return MARGIN
        k = self._operators
        zero, step, other = (self._work[i][0] for i in (1, 2, 3))
        x = self._work[4][0]
        start = np.random.default_rng(0).normal(size=(self.nodes, k.components)).T
        start = start / np.linalg.norm(start)
        k.backend.fill(np.ascontiguousarray(start, k.dtype), x)
        size = length = scale = 1.0
        for _ in range(POWER):
            self._step(x, zero, step, other, 0.0, -1.0)  # with nothing on the right: step = D^-1 A x
            arguments = (x, step, k.partial, np.int32(x.size), k.dtype.type(scale))
            norm = math.sqrt(k.summed(source.surface_scale_source, (), arguments, x.size))
            size, length = norm / length, scale * norm
            scale = 1 / size  # from one step late, which keeps x as long as it is
        return MARGIN * size

    @on_stream
    def solve(self, w: Any) -> None:
        """Solves for the residual ``w`` (padded fields); the solution is kept for `add`."""
        if not self.nodes:
            return
        if len(w) != len(self._work[0]):
            self._work = self._buffers(len(w))
        k = self._operators
        key = ("surface", k.backend.address(w), *(k.backend.address(each) for each in self._work))
        k.recorder.run(key, lambda: self._queue(w))

    def _queue(self, w: Any) -> None:
        k = self._operators
        first, *steps = self._steps
        for load, (residual, right, step, solution, other) in enumerate(zip(*self._work, strict=True)):
            arguments = (w[load], residual, right, step, solution, self._inverse, self._list, self._count, *self._sizes)
            k.launch(source.surface_start_source, (k.components,), (*arguments, k.dtype.type(first[1])), self.nodes)
            for c1, c2 in steps:
                self._step(solution, right, step, other, c1, c2)
                solution, other = other, solution

    @on_stream
    def add(self, w: Any) -> np.ndarray:
        """Adds the solution to ``w``; returns its product with the residual, (loads,)."""
        k = self._operators
        products = np.zeros(len(w))
        if not self.nodes:
            return products
        solution = self._work[3 if len(self._steps) % 2 else 4]
        for load in range(len(w)):
            arguments = (w[load], self._work[0][load], solution[load], self._list, k.partial, self._count, *self._sizes)
            products[load] = k.summed(source.surface_add_source, (k.components,), arguments, self.nodes)
        return products

    @property
    def nbytes(self) -> int:
        return sum(int(a.nbytes) for a in (self._number, self._list, self._inverse, *self._work))
