"""What one of several ranks does of the operators on voxels: those of a slab of nodes, with the planes beyond its ends."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pyfftw

from ...grid import Grid
from ..cpu_plans import Plans, span_of
from ..layout import Layout, Part
from ..ranks.exchange import Exchange, machine_of
from ..workers import Job, address, native
from .cpu import CpuVoxelOperators, RowTensorField
from .grid import VoxelGrid
from .symbols import symbols


class Slab(CpuVoxelOperators):
    """The operators on planes of nodes of a periodic grid, which the ranks share along axis 0.

    Fields have two planes more than the slab: the one above its end, then the one below its beginning, which is where loops look
    for both as if the slab were periodic. All ranks call the same methods at the same time. Sums are rank 0's alone: those of all
    planes in their order, so that they do not depend on how planes are shared.

    Args:
        world: the ranks. grid: that of all. threads: of every rank.
        together: ranks that read each other's memory, None for all of a machine.
    """

    def __init__(self, world: Any, grid: VoxelGrid, threads: int, together: int | None = None) -> None:
        self._world, self._comm = world, world.comm
        self._part = Part(world.rank, world.size)
        whole, components, full = grid.shape, grid.components, grid.full
        own = self._part.of(whole[0])
        super().__init__(grid.planes(own.stop - own.start + 2), threads)
        self.rows, self.voxels, self._first, self._whole = own.stop - own.start, int(np.prod(whole)), own.start, whole

        axes = whole[:2] if whole[1] > 1 else whole[:1]
        self._layout = Layout(
            Grid((*axes, whole[2]), (1.0,) * (len(axes) + 1), ("periodic",) * (len(axes) + 1)), self._part
        )
        cut, share = self._layout.cut, self._part.of(self._layout.whole.modes[self._layout.cut])
        table = np.stack(symbols(whole, self.g, full))
        table[:, cut, : share.stop - share.start] = table[:, cut, share].copy()
        self.symbols = np.ascontiguousarray(table, self.dtype)
        if cut == 2:
            self.weight = np.ascontiguousarray(self.weight[share])
        lengths = self._layout.lengths("spectral")
        self._exchange = Exchange(world, machine_of(world, together), self._layout, self.dtype, components)
        self._modes = self._exchange.columns.reshape(components, *lengths)
        size = int(np.prod(self._layout.buffer_shape(1)))
        work = pyfftw.zeros_aligned(size, self.dtype, n=64)
        self._jobs: dict[tuple[int, bytes], tuple[list[Callable[[], None]], np.ndarray]] = {}
        self._plans = Plans(self.dtype.name, work, self._layout, span_of(self._layout, 1, self.dtype.name), components)

    @property
    def scratch_bytes(self) -> int:
        return super().scratch_bytes + int(self._modes.nbytes + self._exchange.places[0].nbytes)

    # -- between ranks ---------------------------------------------------------------------------------------------

    def _gathered(self, partial: np.ndarray) -> np.ndarray | None:
        """Sums of all planes, at rank 0, of those (loads, sums, planes) of each."""
        parts = self._comm.gather(np.ascontiguousarray(partial[:, :, : self.rows]))
        return None if parts is None else np.concatenate(parts, axis=2)

    def _beyond(self, u: np.ndarray) -> None:
        """Brings the planes beyond the slab's ends."""
        n, count = self.rows, self._part.ranks
        up, down = (self._part.rank + 1) % count, (self._part.rank - 1) % count
        plane = np.empty_like(u[:, :, 0])
        for source, target, to, at in ((0, down, up, n), (n - 1, up, down, n + 1)):
            self._comm.Sendrecv(np.ascontiguousarray(u[:, :, source]), target, recvbuf=plane, source=to)
            u[:, :, at] = plane

    def _planes(self, rank: int, beyond: bool) -> np.ndarray:
        """Numbers of a rank's planes in the grid."""
        own = Part(rank, self._part.ranks).of(self._whole[0])
        planes = np.arange(own.start, own.stop + (2 if beyond else 0))
        if beyond:
            planes[-1] = own.start - 1
        return planes % self._whole[0]

    def _handed_out(self, values: np.ndarray | None, shape: tuple[int, ...], dtype: Any, beyond: bool) -> np.ndarray:
        """This rank's planes of an array of rank 0's, whose third axis from the end counts them."""
        if self._world.rank != 0:
            out = np.empty(shape, dtype)
            self._comm.Recv(out, 0)
            return out
        assert values is not None
        for rank in range(1, self._part.ranks):
            self._comm.Send(np.ascontiguousarray(np.take(values, self._planes(rank, beyond), -3), dtype), rank)
        return np.ascontiguousarray(np.take(values, self._planes(0, beyond), -3), dtype)

    # -- arrays ----------------------------------------------------------------------------------------------------

    def tensors(self, packed: np.ndarray, cut: np.ndarray | None, index: np.ndarray | None = None) -> RowTensorField:
        """``index``: of all voxels, at rank 0."""
        return self.tensor_field(self._handed_out(index, self.shape, np.int32, True), packed, cut)

    def every_voxel(self) -> np.ndarray:
        """Numbers in the whole grid."""
        plane = self._whole[1] * self._whole[2]
        first = self._planes(self._world.rank, True)[:, None] * plane
        return (first + np.arange(plane)).astype(np.int32).reshape(self.shape)

    def index_of(self, tensors: RowTensorField) -> np.ndarray:
        return tensors.index

    def clear(self, field: np.ndarray) -> None:
        field[...] = 0.0

    def put(self, field: np.ndarray, values: np.ndarray | None = None) -> None:
        """Assigns one load from rank 0's values."""
        shape = (self.components, self.rows, *self.shape[1:])
        target = field.reshape(-1, *field.shape[-4:])[0]
        target[:, : self.rows, :, : self.shape[2]] = self._handed_out(values, shape, self.dtype, False)

    def fetch(self, field: np.ndarray, into: np.ndarray | None = None) -> None:
        """Nodal values of one load into an array of rank 0's, (components, n0, n1, n2)."""
        own = np.ascontiguousarray(field[..., : self.rows, :, : self.shape[2]])
        if into is None:
            self._comm.Send(own, 0)
            return
        into[..., self._planes(0, False), :, :] = own
        for rank in range(1, self._part.ranks):
            planes = self._planes(rank, False)
            part = np.empty((*into.shape[:-3], len(planes), *into.shape[-2:]), self.dtype)
            self._comm.Recv(part, rank)
            into[..., planes, :, :] = part

    # -- operators -------------------------------------------------------------------------------------------------

    def partial_apply(self, u: np.ndarray, w: np.ndarray, tensors: RowTensorField) -> np.ndarray | None:
        """``w = K u``; the sums of `apply`, by plane."""
        self._beyond(u)
        call = self.apply_call(u, w, tensors)
        call.run()
        return self._gathered(call.partial)

    def partial_dot(self, u: np.ndarray, w: np.ndarray) -> np.ndarray | None:
        call = self.kept(self._loops.dot, (u, w), loads=len(u), sums=1)
        call.run()
        return self._gathered(call.partial)

    def partial_green(self, w: np.ndarray, reference: np.ndarray) -> np.ndarray | None:
        """``w = G w``; sums by rank and tile of columns, (loads, sums)."""
        parts = self._comm.gather(self.own_green(w, reference))
        return None if parts is None else np.concatenate(parts, axis=1)

    def own_green(self, w: np.ndarray, reference: np.ndarray) -> np.ndarray:
        """``w = G w``; this rank's sums by tile of columns, (loads, sums)."""
        found = []
        for each in w:
            key = address(each), reference.tobytes()
            if key not in self._jobs:
                self._jobs[key] = self._green_steps(each, reference)
            steps, sums = self._jobs[key]
            for step in steps:
                step()
            found.append(sums[0].copy())
        return np.stack(found)

    def _green_steps(self, w: np.ndarray, reference: np.ndarray) -> tuple[list[Callable[[], None]], np.ndarray]:
        """Rows to modes, component by component; columns to modes, the operator, and back while they are in cache; rows back; and
        the sums.
        """
        plans, crew, exchange = self._plans, self.crew(1), self._exchange
        flat = [component.reshape(-1) for component in w]

        def transform(part: str, forward: bool, components: int, array: np.ndarray) -> list[int]:
            row, _ = plans.operation(part, forward, native().TRANSFORM, components)
            row[4], row[7] = address(array), array.strides[0]
            return row

        def copied(row: list[int], array: np.ndarray, place: int) -> list[int]:
            row[place] = address(array)
            return row

        medium, tiles = np.ascontiguousarray(reference, self.dtype), -(-plans.columns // plans.width)
        n0, n1, _ = self._layout.lengths("spectral")
        context = self.green_context(self._modes[None], (n0, n1, len(self.weight)), medium, plans.width, tiles)
        operator = self._loops.green
        middle = [native().KERNEL, operator, address(context.words), plans.width, tiles * plans.width]
        down, up = (transform("columns", forward, self.components, self._modes) for forward in (True, False))
        span, width, kept = plans.span, plans.width * self._layout.parts, (w, medium, context, operator)
        rows = plans.operation("rows", True, native().TRANSFORM, 1)[1]

        steps: list[Callable[[], None]] = []
        for component, modes in zip(flat, self._modes, strict=True):
            leave = copied(exchange.leave(0, True, span), component, 7)
            forth = transform("rows", True, 1, exchange.places[0])
            take = copied(exchange.take(0, True, width), modes, 4)
            steps += [
                exchange.free,
                Job(crew, [([leave, forth], rows)], kept),
                partial(exchange.to_modes, 0, modes.reshape(-1)),
                Job(crew, [([take], tiles)], kept),
            ]
        steps += [Job(crew, [([down, middle, up], tiles)], kept), partial(exchange.all_to_cells, flat)]
        for c, component in enumerate(flat):
            take = copied(exchange.take_back(c, span), component, 4)
            steps.append(Job(crew, [([take, transform("rows", False, 1, component)], rows)], kept))
        return steps, context.partial
