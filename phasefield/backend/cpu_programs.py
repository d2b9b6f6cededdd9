"""Programs on the CPU: operations in as few passes over memory as they allow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from .cpu_kernels import LoopKernel
from .cpu_plans import TILES, Plans, span_of
from .layout import Layout
from .operations import Apply, Host, Operation, Solve, Transform, kernels_of, names_of, transforms_of
from .workers import Job, Workers, address, native, workers

#: Jobs on fewer cells than this are not worth another thread's while.
_SERIAL_CELLS = 2048
#: Bindings of a program to arrays that are kept; steps rotate through two or three.
_BINDINGS = 8


@dataclass(frozen=True)
class _Piece:
    """A part of an operation that runs tile by tile.

    Attributes:
        row: native operation, with places of ``arrays`` and contexts still to be filled in.
        tiles: how many.
        span: outermost indices per tile, if a tile touches only its own.
        array, kernel, names: what fills the row. table: whether this fills the kernel's table.
    """

    row: list[int]
    tiles: int
    span: int = 0
    array: str = ""
    kernel: LoopKernel | None = None
    names: tuple[str, ...] = ()
    table: bool = False


#: Phases of one job: what each tile goes through, piece by piece.
_Phases = list[list[_Piece]]


class CpuProgram:
    """Operations in as few passes as they allow.

    What stands between two functions on the host is one job for the threads.

    Args:
        plans: gives the plans for a layout and a number of components.
    """

    def __init__(
        self,
        layout: Layout,
        operations: Sequence[Operation],
        dtype: str,
        threads: int,
        plans: Callable[[Layout, int], Plans],
    ) -> None:
        self._native = native()
        self._workers = workers(threads if layout.grid.cells > _SERIAL_CELLS else 1)
        self._names = names_of(operations)
        self._layout, self._dtype = layout, dtype
        alone = [o for o in operations if not isinstance(o, Solve)]
        components = max([1, *(t.components for t in transforms_of(alone))])
        self._components = max([components, *(n for k in kernels_of(alone) for n in k.arrays.values())])
        self._plans_of = plans
        self._part = partial(CpuProgram, layout, dtype=dtype, threads=threads, plans=plans)
        self._sections: list[_Phases | Host | _Solver] = []
        for operation in operations:
            self._add(operation)
        pieces = [p for section in self._sections if isinstance(section, list) for phase in section for p in phase]
        self._solvers = [section for section in self._sections if isinstance(section, _Solver)]
        self._own = [p.kernel for p in pieces if p.kernel is not None and not p.table]
        self.kernels: list[LoopKernel] = [
            *self._own,
            *(k for s in self._solvers for p in s.programs.values() for k in p.kernels),
        ]
        self._reducing = [k for k in self._own if k.kernel.reductions]
        self._bindings: dict[tuple[int, ...], _Binding] = {}

    def _add(self, operation: Operation) -> None:
        """Appends an operation; what touches only its own rows goes through the tile of the piece before."""
        if isinstance(operation, Host):
            self._sections.append(operation)
            return
        if isinstance(operation, Solve):
            programs = {name: self._part(operations=part) for name, part in operation.parts.items()}
            self._sections.append(_Solver(operation, programs))
            return
        if not self._sections or not isinstance(self._sections[-1], list):
            self._sections.append([])
        phases = self._sections[-1]
        assert isinstance(phases, list)
        pieces = self._passes(operation) if isinstance(operation, Apply) else self._transform(operation)
        for piece in pieces:
            if piece.span and phases and phases[-1][-1].span == piece.span:
                phases[-1].append(piece)
            else:
                phases.append([piece])

    def _passes(self, operation: Apply) -> list[_Piece]:
        kernel = LoopKernel(operation.kernel, self._layout.flipped(operation.flips), self._dtype)
        names = tuple(operation.arrays)
        # Neighbours and mirror images lie outside of a tile.
        local = operation.kernel.space == "real" and not operation.kernel.gradients
        span = span_of(self._layout, self._components, self._dtype) if local else 0
        pieces = []
        if kernel.tabulate is not None:
            # A table is filled in a phase of its own, which has no tiles while the table is valid.
            row, tiles = self._loop(kernel.tabulate, kernel.table_indices, max(1, kernel.table_indices // TILES))
            pieces.append(_Piece(row, tiles, kernel=kernel, names=names, table=True))
        row, tiles = self._loop(kernel.address, kernel.indices, span or max(1, kernel.indices // TILES))
        return [*pieces, _Piece(row, tiles, span, kernel=kernel, names=names)]

    def _loop(self, entry: int, indices: int, each: int) -> tuple[list[int], int]:
        return [self._native.KERNEL, entry, 0, each, indices, 0, 0, 0, 0], -(-indices // each)

    def _transform(self, transform: Transform) -> list[_Piece]:
        """A transform's tiles of rows and of columns."""
        plans = self._plans_of(self._layout.flipped(transform.flips), self._components)
        kind, count = self._native.TRANSFORM, transform.components
        row, tiles = plans.operation("rows", transform.forward, kind, count)
        pieces = [_Piece(row, tiles, plans.span, array=transform.array)]
        if plans.outer is not None:
            row, tiles = plans.operation("columns", transform.forward, kind, 1)
            pieces.append(_Piece(row, tiles * count, array=transform.array))
        return pieces if transform.forward else pieces[::-1]

    def __call__(
        self, arrays: Mapping[str, np.ndarray], scalars: Mapping[str, float] | None = None
    ) -> dict[str, float]:
        given, scalars = [arrays[name] for name in self._names], scalars or {}
        key = tuple(map(id, given))
        binding = self._bindings.get(key) or self._bind(key, given)
        for kernel in self._own:
            stale = kernel.prepare(scalars)
            if kernel.tabulate is not None:
                job, phase, tiles = binding.tables[id(kernel)]
                job.tiles[phase] = tiles if stale else 0
        for step in binding.steps:
            step(scalars)
        found: dict[str, float] = {}
        for kernel in self._reducing:
            found.update(kernel.reduce())
        for solver in self._solvers:
            found.update(solver.found)
        return found

    def _bind(self, key: tuple[int, ...], given: list[np.ndarray]) -> _Binding:
        binding = _Binding(given, dict(zip(self._names, given, strict=True)))
        for section in self._sections:
            if isinstance(section, Host):
                binding.call(section)
            elif isinstance(section, _Solver):
                binding.solve(section)
            else:
                binding.run(self._workers, section)
        if len(self._bindings) >= _BINDINGS:
            del self._bindings[next(iter(self._bindings))]
        self._bindings[key] = binding
        return binding


class _Solver:
    """An iteration with the programs of its parts.

    Attributes:
        found: the sums that it told the last time.
    """

    def __init__(self, solve: Solve, programs: Mapping[str, CpuProgram]) -> None:
        self._solve, self.programs = solve, programs
        self.found: Mapping[str, float] = {}

    def run(self, arrays: Mapping[str, np.ndarray], scalars: Mapping[str, float]) -> None:
        self.found = self._solve.run(scalars, {name: partial(p, arrays) for name, p in self.programs.items()})


class _Binding:
    """A program for certain arrays, which it keeps, so that no other gets one of their ids.

    Attributes:
        steps: what is done, given the scalars. tables: by the kernel's id the job and phase that fill its table, and its tiles.
    """

    def __init__(self, given: Sequence[np.ndarray], arrays: Mapping[str, np.ndarray]) -> None:
        self._given, self._arrays = given, arrays
        self.steps: list[Callable[[Mapping[str, float]], None]] = []
        self.tables: dict[int, tuple[Job, int, int]] = {}

    def run(self, crew: Workers, phases: _Phases) -> None:
        """Adds a job."""
        contexts: list[np.ndarray] = []

        def bound(piece: _Piece) -> list[int]:
            row = list(piece.row)
            if piece.kernel is not None:
                contexts.append(piece.kernel.context([self._arrays[name] for name in piece.names]))
                row[2] = address(contexts[-1])
            else:
                row[4], row[7] = address(self._arrays[piece.array]), self._arrays[piece.array].strides[0]
            return row

        job = Job(crew, [([bound(piece) for piece in pieces], pieces[0].tiles) for pieces in phases], contexts)
        self.steps.append(job)
        for phase, pieces in enumerate(phases):
            self.tables |= {id(p.kernel): (job, phase, p.tiles) for p in pieces if p.table}

    def call(self, host: Host) -> None:
        """Adds a function on the host."""
        views = {name: self._arrays[name].view() for name in host.arrays}
        for name in views.keys() - set(host.writes):
            views[name].flags.writeable = False
        self.steps.append(lambda scalars: host.function(views, scalars))

    def solve(self, solver: _Solver) -> None:
        """Adds an iteration."""
        self.steps.append(lambda scalars: solver.run(self._arrays, scalars))
