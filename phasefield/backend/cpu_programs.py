"""Programs on the CPU: operations in as few passes over memory as they allow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from typing import Any, Protocol

import numpy as np

from .cpu_kernels import LoopKernel
from .cpu_plans import TILES, Plans, span_of
from .layout import Layout
from .operations import (
    Apply,
    Host,
    Operation,
    Solve,
    Transform,
    cells_beyond,
    kernels_of,
    modes_beyond,
    names_of,
    transforms_of,
)
from .workers import Job, Workers, address, native

#: Bindings of a program to arrays that are kept: steps rotate through two or three,
#: with rings of warm starts through twelve and more.
_BINDINGS = 24


@dataclass(frozen=True)
class _Piece:
    """A part of an operation that runs tile by tile.

    Attributes:
        row: native operation, with places of ``arrays`` and contexts still to be filled in.
        tiles: how many.
        span: outermost indices per tile, if a tile touches only its own; less than 0: the same of columns.
        array, kernel, names: what fills the row. table: whether this fills the kernel's table.
        component: the one that is meant; None for all of them.
        leaves, takes: of an exchange the place that is copied to, or from; -1 for the component itself.
        left: the place where what is transformed lies; -1 for where it belongs.
    """

    row: list[int]
    tiles: int
    span: int = 0
    array: str = ""
    kernel: LoopKernel | None = None
    names: tuple[str, ...] = ()
    table: bool = False
    component: int | None = None
    leaves: int = -1
    takes: int = -1
    left: int = -1


@dataclass(frozen=True)
class Stage:
    """What a part of a component goes through between two steps of an exchange: copied tile by tile, and transformed at once.

    Attributes:
        part: of the plans. copy: the native operation, without the component's address where it comes from there or goes there.
        takes, leaves: places that it copies from and to; -1 for the component.
        then: the step that follows: comes back when what all have left can be copied, or has been brought to the component.
    """

    part: str
    copy: list[int]
    takes: int = -1
    leaves: int = -1
    then: Callable[[np.ndarray], None] | None = None


class Exchange(Protocol):
    """What brings the parts of a field from cells to modes and back, where several ranks have them; one component at a time.

    Attributes:
        places: where parts are transformed and left for others.
    """

    @property
    def places(self) -> Sequence[np.ndarray]: ...

    def free(self, place: int) -> None:
        """Comes back when nobody needs any more what was left in a place."""

    def stages(self, turn: int, forward: bool, plans: Plans) -> Sequence[Stage]:
        """The way of a component's part; by ``turn``, the number of components before, places are used in turns."""

    @property
    def neighbours(self) -> Callable[[np.ndarray], None]:
        """Brings the cells of a component beyond the ends of this part's own."""

    @property
    def neighbouring_modes(self) -> Callable[[np.ndarray], None]:
        """The same of modes, along axes with walls that are parted."""


@dataclass(frozen=True)
class _Move:
    """A step of an exchange."""

    how: Callable[[np.ndarray], None]
    array: str
    component: int


#: Phases of one job: what each tile goes through, piece by piece.
_Phases = list[list[_Piece]]


class CpuProgram:
    """Operations in as few passes as they allow.

    What stands between two functions on the host, or two exchanges of a part with others, is one job for the threads.

    Args:
        dtype: of numbers. lean: of those of lean arrays.
        crew: who does the jobs. plans: gives the plans for a layout, a number of components and a type of numbers.
        exchange: of a layout with a part, with others that run the same program at the same time.

    Raises:
        DeviceError: a kernel of a part would read modes of others.
    """

    def __init__(
        self,
        layout: Layout,
        operations: Sequence[Operation],
        dtype: str,
        lean: str,
        crew: Workers,
        plans: Callable[[Layout, int, str], Plans],
        exchange: Exchange | None = None,
    ) -> None:
        self._native = native()
        self._workers = crew
        self._names = names_of(operations)
        self._layout, self._dtype, self._lean = layout, dtype, lean
        alone = [o for o in operations if not isinstance(o, Solve)]
        components = max([1, *(t.components for t in transforms_of(alone))])
        self._components = max([components, *(n for k in kernels_of(alone) for n in k.arrays.values())])
        self._plans_of, self._exchange = plans, exchange
        self._part = partial(CpuProgram, layout, dtype=dtype, lean=lean, crew=crew, plans=plans, exchange=exchange)
        self._turn = 0
        self._sections: list[_Phases | Host | _Solver | _Move | partial[None]] = []
        for together in _side_by_side(operations):
            self._add(together)
        pieces = [p for section in self._sections if isinstance(section, list) for phase in section for p in phase]
        self._solvers = [section for section in self._sections if isinstance(section, _Solver)]
        self._own = [p.kernel for p in pieces if p.kernel is not None and not p.table]
        self.kernels: list[LoopKernel] = [
            *self._own,
            *(k for s in self._solvers for p in s.programs.values() for k in p.kernels),
        ]
        #: Kernels with reductions, in the order of the program.
        self.reducing = [k for k in self._own if k.kernel.reductions]
        self._bindings: dict[tuple[int, ...], _Binding] = {}

    def _add(self, together: Sequence[Operation]) -> None:
        """Appends an operation, or transforms side by side; what touches only its own rows goes through the tile of the piece
        before.
        """
        operation = together[0]
        if isinstance(operation, Host):
            self._sections.append(operation)
            return
        if isinstance(operation, Solve):
            programs = {name: self._part(operations=part) for name, part in operation.parts.items()}
            self._sections.append(_Solver(operation, programs))
            return
        pieces: list[_Piece | _Move]
        if isinstance(operation, Apply):
            pieces = self._passes(operation)
        else:
            found = [self._transform(o) for o in together if isinstance(o, Transform)]
            # All rows go through a tile together, before all columns or after them.
            parted = self._exchange is not None
            pieces = [p for some in (found if parted else zip_longest(*found)) for p in some if p is not None]
        for piece in pieces:
            if isinstance(piece, _Move):
                self._sections.append(piece)
                continue
            if not self._sections or not isinstance(self._sections[-1], list):
                self._sections.append([])
            phases = self._sections[-1]
            assert isinstance(phases, list)
            joins = bool(piece.span and phases and phases[-1][-1].span == piece.span)
            if piece.leaves >= 0 and self._exchange is not None:
                phases, joins = self._freed(self._exchange, phases, piece.leaves, joins)
            if joins:
                phases[-1].append(piece)
            else:
                phases.append([piece])

    def _freed(self, exchange: Exchange, phases: _Phases, place: int, joins: bool) -> tuple[_Phases, bool]:
        """The phases for a piece that leaves something in a place of an exchange, behind a wait until there is room for it, and
        whether it joins the last of them.
        """
        joins = joins and all(piece.takes != place for piece in phases[-1])
        last = [phases.pop()] if joins else []
        if not phases:
            self._sections.pop()
        self._sections += [partial(exchange.free, place), last]
        return last, joins

    def _passes(self, operation: Apply) -> list[_Piece | _Move]:
        layout = self._layout
        modes, cells = modes_beyond(operation, layout), cells_beyond(operation, layout)
        kernel = LoopKernel(operation.kernel, layout.flipped(operation.flips), self._dtype, self._lean)
        names = tuple(operation.arrays)
        # Neighbours and mirror images lie outside of a tile.
        local = operation.kernel.space == "real" and not operation.kernel.gradients
        span = span_of(layout, self._components, self._dtype) if local else 0
        pieces: list[_Piece | _Move] = []
        if self._exchange is not None:
            pieces += [_Move(self._exchange.neighbours, array, component) for array, component in cells]
            pieces += [_Move(self._exchange.neighbouring_modes, array, component) for array, component in modes]
        if kernel.tabulate is not None:
            # A table is filled in a phase of its own, which has no tiles while the table is valid.
            row, tiles = self._loop(kernel.tabulate, kernel.table_indices, max(1, kernel.table_indices // TILES))
            pieces.append(_Piece(row, tiles, kernel=kernel, names=names, table=True))
        row, tiles = self._loop(kernel.address, kernel.indices, span or max(1, kernel.indices // TILES))
        return [*pieces, _Piece(row, tiles, span, kernel=kernel, names=names)]

    def _loop(self, entry: int, indices: int, each: int) -> tuple[list[int], int]:
        return [self._native.KERNEL, entry, 0, each, indices, 0, 0, 0, 0], -(-indices // each)

    def _transform(self, transform: Transform) -> list[_Piece | _Move]:
        """A transform's tiles of rows and of columns."""
        dtype = self._lean if transform.lean else self._dtype
        plans = self._plans_of(self._layout.flipped(transform.flips), self._components, dtype)
        if self._exchange is not None and plans.outer is not None:
            return self._parted(self._exchange, plans, transform)
        kind, count, forward = self._native.TRANSFORM, transform.components, transform.forward
        row, tiles = plans.operation("rows", forward, kind, count)
        pieces: list[_Piece | _Move] = [_Piece(row, tiles, plans.span, array=transform.array)]
        if plans.outer is not None:
            row, tiles = plans.operation("columns", forward, kind, 1)
            pieces.append(_Piece(row, tiles * count, array=transform.array))
        return pieces if forward else pieces[::-1]

    def _parted(self, exchange: Exchange, plans: Plans, transform: Transform) -> list[_Piece | _Move]:
        """One component after the other, so that there has to be room for one only."""
        forward, found = transform.forward, list[_Piece | _Move]()
        for c in range(transform.components):
            where: dict[str, Any] = {"array": transform.array, "component": c}
            for stage in exchange.stages(self._turn, forward, plans):
                row, tiles = plans.operation(stage.part, forward, self._native.TRANSFORM, 1)
                # What is copied is transformed at once, tile by tile, and rows with what else is done to them.
                span = plans.spans[stage.part]
                found.append(_Piece(stage.copy, tiles, span, takes=stage.takes, leaves=stage.leaves, **where))
                found.append(_Piece(row, tiles, span, left=stage.leaves, **where))
                if stage.then is not None:
                    found.append(_Move(stage.then, transform.array, c))
            self._turn += 1
        return found

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
        if self._exchange is None:  # else a part knows but its own share
            for kernel in self.reducing:
                found.update(kernel.reduce())
        for solver in self._solvers:
            found.update(solver.found)
        return found

    def _bind(self, key: tuple[int, ...], given: list[np.ndarray]) -> _Binding:
        binding = _Binding(given, dict(zip(self._names, given, strict=True)))
        for section in self._sections:
            if isinstance(section, Host):
                binding.call(section)
            elif isinstance(section, _Move):
                binding.move(section)
            elif isinstance(section, _Solver):
                binding.solve(section)
            elif isinstance(section, partial):
                binding.wait(section)
            else:
                binding.run(self._workers, section, [] if self._exchange is None else self._exchange.places)
        if len(self._bindings) >= _BINDINGS:
            del self._bindings[next(iter(self._bindings))]
        self._bindings[key] = binding
        return binding


def _side_by_side(operations: Sequence[Operation]) -> list[list[Operation]]:
    """The operations one by one, but transforms in one direction that follow each other, of one array each, together."""
    out: list[list[Operation]] = []
    for operation in operations:
        last = out[-1] if out else []
        alike = isinstance(operation, Transform) and all(type(o) is type(operation) for o in last)
        if last and alike and operation.arrays[0] not in names_of(last):
            last.append(operation)
        else:
            out.append([operation])
    return out


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

    def run(self, crew: Workers, phases: _Phases, places: Sequence[np.ndarray]) -> None:
        """Adds a job; ``places`` are an exchange's."""
        contexts: list[np.ndarray] = []

        def bound(piece: _Piece) -> list[int]:
            row = list(piece.row)
            if piece.kernel is not None:
                contexts.append(piece.kernel.context([self._arrays[name] for name in piece.names]))
                row[2] = address(contexts[-1])
            elif piece.left >= 0:
                row[4] = address(places[piece.left])
            elif piece.component is not None and (piece.takes < 0 or piece.leaves < 0):
                row[7 if piece.leaves >= 0 else 4] = address(self._arrays[piece.array][piece.component])
            elif piece.component is not None:  # from place to place
                pass
            else:
                row[4], row[7] = address(self._arrays[piece.array]), self._arrays[piece.array].strides[0]
            return row

        job = Job(crew, [([bound(piece) for piece in pieces], pieces[0].tiles) for pieces in phases], contexts)
        self.steps.append(job)
        for phase, pieces in enumerate(phases):
            self.tables |= {id(p.kernel): (job, phase, p.tiles) for p in pieces if p.table}

    def move(self, move: _Move) -> None:
        """Adds a step of an exchange."""
        component = self._arrays[move.array][move.component].reshape(-1)
        self.steps.append(lambda scalars: move.how(component))

    def wait(self, until: Callable[[], None]) -> None:
        """Adds a wait for others."""
        self.steps.append(lambda scalars: until())

    def call(self, host: Host) -> None:
        """Adds a function on the host."""
        views = {name: self._arrays[name].view() for name in host.arrays}
        for name in views.keys() - set(host.writes):
            views[name].flags.writeable = False
        self.steps.append(lambda scalars: host.function(views, scalars))

    def solve(self, solver: _Solver) -> None:
        """Adds an iteration."""
        self.steps.append(lambda scalars: solver.run(self._arrays, scalars))
