"""The GPU of a rank, which has a part of a grid. What ranks exchange goes through page-locked memory of their hosts."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ...errors import DeviceError
from ..cuda import CudaBackend
from ..cuda_device import DeviceArray, PlannedTransform
from ..cuda_errors import on_stream
from ..cuda_programs import CudaProgram
from ..cuda_transforms import axes_of
from ..layout import Layout, part_of
from ..protocol import Precision
from .exchange import Halo, cells_way, machine_of, modes_way
from .swap import Swap
from .world import World


class CardBackend(CudaBackend):
    """The GPU of this rank: of those that it sees the one of its number on its machine, and again the first behind the last.

    Programs are queued as plain launches: what waits for others cannot be part of a graph.

    Args:
        together: ranks that read each other's memory; None for all of a machine.

    Raises:
        DeviceError: there is no GPU.
    """

    def __init__(self, world: World, precision: Precision, together: int | None = None) -> None:
        self._world, self._machine = world, machine_of(world, together)
        self.choose(world.node.Get_rank())
        super().__init__(precision, graphs=False)
        self._travels: dict[Layout, Travel] = {}
        self._parted: dict[tuple[Layout, int], PartTransform] = {}

    def choose(self, number: int) -> None:
        """Takes a GPU by its number."""
        import cupy

        cupy.cuda.Device(number % cupy.cuda.runtime.getDeviceCount()).use()

    def own(self, layout: Layout) -> Layout:
        """What this rank has of a layout of the whole. Raises DeviceError where it would be a pencil."""
        part = part_of(layout.grid, self._world.rank, self._world.size)
        if part.pencils:
            most = min(layout.cells[0], layout.modes[layout.cut])
            raise DeviceError(
                f"grid.shape: {list(layout.grid.shape)} has {most} slabs, fewer than there are GPUs, {self._world.size}\n"
                f"  start {most} ranks"
            )
        return part

    def travel(self, layout: Layout) -> Travel:
        """The exchange of a part; fields in the other basis along some axis take the same way."""
        if layout not in self._travels:
            self._travels[layout] = Travel(self, self._world, self._machine, layout)
        return self._travels[layout]

    def transform(self, layout: Layout, components: int) -> PlannedTransform:
        key = (layout, components)
        if key not in self._parted:
            self._parted[key] = PartTransform(self, layout, components)
        return self._parted[key]

    def neighbours(self, layout: Layout, space: str) -> Callable[[DeviceArray], None]:
        return self.travel(layout).halos[space]

    # -- what a `Member` does with buffers ------------------------------------------------------------------------------

    def read(self, view: DeviceArray) -> np.ndarray:
        """A copy on the host."""
        return self.to_host(view)

    def write(self, view: DeviceArray, values: np.ndarray) -> None:
        """Puts numbers of the host's into part of a buffer."""
        self.scatter(np.ascontiguousarray(values, self.dtype), view)

    def result(self, program: CudaProgram, found: dict[str, float]) -> dict[str, float] | None:
        """The reductions of all ranks, from those of each, in the order of the ranks; at rank 0."""
        kinds = program.reductions
        rows = self._world.comm.gather([found[name] for name, _ in kinds]) if kinds else []
        if rows is None:
            return None
        combine: dict[str, Callable[[list[float]], float]] = {"sum": math.fsum, "min": min, "max": max}
        return {name: combine[op](values) for (name, op), *values in zip(kinds, *rows, strict=True)}


class Travel:
    """The way of one component's slabs of cells to columns of modes, and back.

    A component is copied to the host; from there it goes as one of a CPU does (`Swap`), and what has come is copied to the GPU.

    Attributes:
        halos: by space, what brings a component the cells or modes beyond the ends of its part.
    """

    def __init__(self, backend: CardBackend, world: World, machine: Any, layout: Layout) -> None:
        self._backend, dtype = backend, np.dtype(backend.dtype)
        parts = layout.of_ranks
        cells, modes = [cells_way(part) for part in parts], [modes_way(part) for part in parts]
        self._swap = Swap(world.comm, machine, cells, modes, dtype)
        self._sizes = math.prod(layout.lengths("real")), math.prod(layout.lengths("spectral"))
        self._sent, self._got = (backend.pinned((max(self._sizes),), backend.dtype) for _ in range(2))
        self.halos = {space: CardHalo(backend, world, layout, space) for space in ("real", "spectral")}

    def to_modes(self, component: DeviceArray) -> None:
        self._go(component, *self._sizes, forth=True)

    def to_cells(self, component: DeviceArray) -> None:
        self._go(component, *self._sizes[::-1], forth=False)

    def _go(self, component: DeviceArray, before: int, after: int, forth: bool) -> None:
        backend, swap = self._backend, self._swap
        backend.fetch(component[:before], self._sent[:before])
        backend.stream.synchronize()
        swap.free()
        swap.places[0][:before] = self._sent[:before]
        swap.arrive(0, self._got, forth)
        backend.fill(self._got[:after], component[:after])


class CardHalo(Halo):
    """The same through the host; a component is one of a buffer's."""

    def __init__(self, backend: CardBackend, world: World, layout: Layout, space: str) -> None:
        super().__init__(world, layout, space)
        self._backend = backend

    def __call__(self, component: Any) -> None:
        super().__call__(component.reshape(-1))

    def _read(self, line: Any) -> np.ndarray:
        return np.ascontiguousarray(self._backend.read(line))

    def _write(self, line: Any, values: np.ndarray) -> None:
        self._backend.write(line, values)


class PartTransform:
    """Transforms of the components of a part: along the rows of its slab, and where it has whole columns along these."""

    def __init__(self, backend: CardBackend, layout: Layout, components: int) -> None:
        self.stream, self._components = backend.stream, components
        self._travel = backend.travel(layout)
        self._halves = _Complex(backend, layout) if layout.parts == 2 else _Real(backend, layout)

    @on_stream
    def forward(self, buffer: DeviceArray) -> None:
        for c in range(self._components):
            component = buffer[c, 0, 0]
            self._halves.rows(component, True)
            self._travel.to_modes(component)
            self._halves.columns(component, True)

    @on_stream
    def inverse(self, buffer: DeviceArray) -> None:
        for c in range(self._components):
            component = buffer[c, 0, 0]
            self._halves.columns(component, False)
            self._travel.to_cells(component)
            self._halves.rows(component, False)


class _Complex:
    """The two halves of a periodic grid's transforms, by cuFFT."""

    def __init__(self, backend: CardBackend, layout: Layout) -> None:
        self._complex = np.result_type(np.dtype(backend.dtype), np.complex64)
        n0, n1, row = layout.used("real")
        length, *across = layout.lengths("spectral")
        self._cells, self._modes = n0 * n1 * row, length * math.prod(across)
        self._rows = {way: backend.plan(layout.grid.shape[1:], n0, forward=way) for way in (True, False)}
        self._columns = backend.plan_columns(length, math.prod(across) // 2)

    def rows(self, component: DeviceArray, forward: bool) -> None:
        cells = component[: self._cells]
        modes = cells.view(self._complex)
        if forward:
            self._rows[True].fft(cells, modes, -1)
        else:
            self._rows[False].fft(modes, cells, 1)

    def columns(self, component: DeviceArray, forward: bool) -> None:
        modes = component[: self._modes].view(self._complex)
        self._columns.fft(modes, modes, -1 if forward else 1)


class _Real:
    """Those of a grid with walls, through cupyx."""

    def __init__(self, backend: CardBackend, layout: Layout) -> None:
        first, *others = axes_of(layout)
        self._columns, self._rows = backend.cosines([first]), backend.cosines(others)
        self._where = {space: (layout.lengths(space), layout.used(space)) for space in ("real", "spectral")}

    def _view(self, component: DeviceArray, space: str) -> Any:
        lengths, (n0, n1, n2) = self._where[space]
        whole: Any = component[: math.prod(lengths)]
        return whole.reshape(1, *lengths)[:, :n0, :n1, :n2]

    def rows(self, component: DeviceArray, forward: bool) -> None:
        view = self._view(component, "real")
        (self._rows.forward if forward else self._rows.inverse)(view)

    def columns(self, component: DeviceArray, forward: bool) -> None:
        view = self._view(component, "spectral")
        (self._columns.forward if forward else self._columns.inverse)(view)
