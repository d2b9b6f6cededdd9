"""What every rank does, rank 0 like the others: the part of a buffer, of a program, of a copy that is its own."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...errors import DeviceError
from ...grid import Grid
from ..cpu import CpuBackend
from ..cpu_plans import Plans
from ..cpu_programs import CpuProgram
from ..cuda_errors import why_unavailable
from ..layout import Layout, part_of
from ..memory import host_memory_available
from ..operations import Operation
from ..protocol import Precision
from .exchange import Exchange, machine_of
from .pencils import PencilExchange, PencilPlans
from .shared import SharedCpu
from .world import World

#: An array of a program: its name, the number of a buffer, and how many of that one's components it has.
Given = tuple[str, int, int]


class Slice(NamedTuple):
    """An object that every rank has, by its number, or part of its first axis."""

    number: int
    start: int = 0
    stop: int | None = None


class _PartBackend(CpuBackend):
    """The CPU for a part of a grid.

    Args:
        together: ranks that read each other's memory; None for all of a machine.
    """

    leans = False

    def __init__(self, world: World, precision: Precision, threads: int, together: int | None = None) -> None:
        super().__init__(precision, threads)
        self._world, self._machine = world, machine_of(world, together)
        self._exchanges: dict[Layout, Exchange | PencilExchange] = {}
        self._gatherings: dict[int, tuple[np.ndarray, list[int], np.ndarray]] = {}

    def own(self, layout: Layout) -> Layout:
        """What this rank has of a layout of the whole."""
        return part_of(layout.grid, self._world.rank, self._world.size)

    def exchange(self, layout: Layout) -> Exchange | PencilExchange:
        # Fields in the other basis along some axis lie in memory alike.
        shape = Layout(
            Grid(layout.grid.shape, layout.grid.lengths, _unflipped(layout.grid)), layout.part, layout.across
        )
        if shape not in self._exchanges:
            kind = PencilExchange if layout.pencils else Exchange
            self._exchanges[shape] = kind(self._world, self._machine, shape, np.dtype(self.dtype))
        return self._exchanges[shape]

    def make_plans(self, layout: Layout, work: np.ndarray, span: int, together: int, dtype: str) -> Plans:
        kind = PencilPlans if layout.pencils else Plans
        return kind(dtype, work, layout, span, together)

    # -- what a `Member` does with buffers ------------------------------------------------------------------------------

    def read(self, view: np.ndarray) -> np.ndarray:
        """Numbers of part of a buffer, on the host."""
        return view

    def write(self, view: np.ndarray, values: np.ndarray) -> None:
        """Puts numbers of the host's into part of a buffer."""
        view[...] = values

    def result(self, program: CpuProgram, _: dict[str, float]) -> dict[str, float] | None:
        """The reductions of all ranks, after a run of a program; at rank 0."""
        found: dict[str, float] = {}
        for kernel in program.reducing:
            # All that every row has left, in the order of the rows: what comes of it does not depend on how they are shared.
            parts = self._gathered(kernel.partial)
            if parts is not None:
                found.update(kernel.reduce(np.ascontiguousarray(np.concatenate(parts, axis=1))))
        return found

    def _gathered(self, partial: np.ndarray) -> list[np.ndarray] | None:
        """The tables of all ranks, which have the same number of rows, at rank 0."""
        if id(partial) not in self._gatherings:
            counts = self._world.everywhere(partial.size)
            self._gatherings[id(partial)] = partial, counts, np.empty(sum(counts), partial.dtype)
        _, counts, room = self._gatherings[id(partial)]
        self._world.comm.Gatherv(partial, (room, counts) if self._world.rank == 0 else None)
        if self._world.rank != 0:
            return None
        return [part.reshape(len(partial), -1) for part in np.split(room, np.cumsum(counts)[:-1])]

    def forget(self) -> None:
        """Lets go of what belongs to programs that are gone."""
        self._gatherings.clear()


def _unflipped(grid: Grid) -> tuple[str, ...]:
    return tuple("periodic" if b == "periodic" else "no-flux" for b in grid.boundary)


class Member:
    """The objects of one rank, by numbers that rank 0 gives, and what is done with them.

    All ranks call the same methods with the same arguments at the same time; what only rank 0 hands in or gets is a keyword.
    """

    def __init__(self, world: World) -> None:
        self._world, self._comm = world, world.comm
        self._objects: dict[int, Any] = {}
        self._layouts: dict[int, Layout] = {}
        self._owners: dict[int, Any] = {}

    def drop(self, numbers: Sequence[int]) -> None:
        """Lets go of objects."""
        if not numbers:  # as most words say
            return
        for number in numbers:
            self._objects.pop(number, None)
            self._layouts.pop(number, None)
            owner = self._owners.pop(number, None)
            if isinstance(owner, _PartBackend):
                owner.forget()
        self._view.cache_clear()
        self._slice.cache_clear()

    def backend(self, number: int, precision: Precision, threads: int, together: int | None) -> None:
        """The CPU of this rank; of parts, unless ``together`` is 0.

        Raises:
            MemoryError: all arrays were to be shared and cannot be.
        """
        self._objects[number] = (
            SharedCpu(self._world, precision, threads)
            if together == 0
            else _PartBackend(self._world, precision, threads, together)
        )

    def card(self, number: int, precision: Precision, together: int | None) -> None:
        """The GPU of this rank. Raises DeviceError."""
        from . import cards

        if (reason := why_unavailable()) is not None:
            raise DeviceError(f"device=gpu: {reason}\n  Use device=cpu.")
        self._objects[number] = cards.CardBackend(self._world, precision, together)

    def buffer(self, number: int, backend: int, layout: Layout, components: int) -> None:
        """Raises DeviceError."""
        owner = self._objects[backend]
        self._layouts[number] = own = owner.own(layout)
        self._objects[number], self._owners[number] = owner.buffer(own, components), owner

    def program(self, number: int, backend: int, layout: Layout, operations: Sequence[Operation]) -> None:
        """Raises DeviceError."""
        owner = self._objects[backend]
        self._objects[number], self._owners[number] = owner.program(owner.own(layout), operations), owner

    def settle(self, number: int, backend: int) -> None:
        """Lets the ranks share what a program leaves for later. Raises MemoryError."""
        self._objects[backend].settle(self._objects[number])

    def make(self, number: int, factory: Callable[..., Any], *arguments: Any) -> None:
        """An object of a kind of its own: what a factory makes of the ranks and arguments."""
        self._objects[number] = factory(self._world, *arguments)

    def ask(self, number: int, method: str, *arguments: Any, **own: Any) -> Any:
        """Calls a method of it; a `Slice` among the arguments stands for an array."""
        return getattr(self._objects[number], method)(*map(self._meant, arguments), **own)

    def derive(self, number: int, source: int, method: str, *arguments: Any, **own: Any) -> None:
        """An object that such a method gives."""
        self._objects[number] = self.ask(source, method, *arguments, **own)

    def _meant(self, argument: Any) -> Any:
        return self._slice(argument) if isinstance(argument, Slice) else argument

    @functools.lru_cache(256)  # noqa: B019 - one member lives as long as its process
    def _slice(self, of: Slice) -> Any:
        whole = self._objects[of.number]
        return whole if of.stop is None else whole[of.start : of.stop]

    def object_of(self, number: int) -> Any:
        return self._objects[number]

    def take(self, number: int) -> Any:
        """An object that is kept by somebody else from now on."""
        return self._objects.pop(number)

    def run_shared(
        self,
        number: int,
        given: Sequence[Given],
        scalars: Mapping[str, float],
        arrays: Mapping[str, np.ndarray] | None = None,
    ) -> dict[str, float]:
        """Runs a program on arrays that all ranks share, which rank 0 has at hand; its reductions, at rank 0."""
        views = arrays
        if views is None:
            views = {name: self._view(buffer, components) for name, buffer, components in given}
        found: dict[str, float] = self._objects[number](views, scalars)
        return found

    @functools.lru_cache(256)  # noqa: B019 - one member lives as long as its process
    def _view(self, number: int, components: int) -> np.ndarray:
        """The first components of a buffer: the same object each time, by which a program knows its arrays."""
        view: np.ndarray = self._objects[number][:components]
        return view

    def run(self, number: int, given: Sequence[Given], scalars: Mapping[str, float]) -> dict[str, float] | None:
        """Runs a program; its reductions, at rank 0."""
        program = self._objects[number]
        found = program({name: self._view(buffer, components) for name, buffer, components in given}, scalars)
        result: dict[str, float] | None = self._owners[number].result(program, found)
        return result

    def copy(self, source: tuple[int, int], target: tuple[int, int], components: int) -> None:
        """From a buffer, from some component on, to another."""
        (one, start), (other, end) = source, target
        self._owners[one].copy(
            self._objects[one][start : start + components], self._objects[other][end : end + components]
        )

    def _block(self, number: int, component: int, space: str) -> Any:
        """A component of a buffer as it holds cells or modes, shape `Layout.region`."""
        layout = self._layouts[number]
        lengths = layout.lengths(space)
        flat = self._objects[number][component].reshape(-1)[: math.prod(lengths)]
        n0, n1, n2 = layout.used(space)
        return flat.reshape(lengths)[:n0, :n1, :n2]

    def fetch(
        self, number: int, component: int, space: str, low: int, high: int, into: np.ndarray | None = None
    ) -> None:
        """Outermost indices ``low`` to ``high`` of a component of the whole, into an array of rank 0's."""
        block, owner = self._block(number, component, space), self._owners[number]
        for rank, place, here in self._shares(number, space, low, high):
            if rank == 0 and into is not None:
                into[place] = owner.read(block[here])
            elif into is not None:
                part = np.empty([s.stop - s.start for s in place], into.dtype)
                self._comm.Recv(part, rank)
                into[place] = part
            elif rank == self._world.rank:
                self._comm.Send(np.ascontiguousarray(owner.read(block[here])), 0)

    def store(
        self, number: int, component: int, space: str, low: int, high: int, values: np.ndarray | None = None
    ) -> None:
        """The same from an array of rank 0's."""
        block, owner = self._block(number, component, space), self._owners[number]
        for rank, place, here in self._shares(number, space, low, high):
            if rank == 0 and values is not None:
                owner.write(block[here], values[place])
            elif values is not None:
                self._comm.Send(np.ascontiguousarray(values[place], block.dtype), rank)
            elif rank == self._world.rank:
                target = block[here]
                arrived = np.empty(target.shape, target.dtype)
                self._comm.Recv(arrived, 0)
                owner.write(target, arrived)

    def _shares(
        self, number: int, space: str, low: int, high: int
    ) -> list[tuple[int, tuple[slice, slice, slice], slice]]:
        """Who has what of some outermost indices: rank, place among them, and outermost indices of the rank's own block."""
        found = []
        for rank, layout in enumerate(self._layouts[number].of_ranks):
            first, *rest = layout.region(space)
            start, stop = max(low, first.start), min(high, first.stop)
            if start < stop:
                place = slice(start - low, stop - low), rest[0], rest[1]
                found.append((rank, place, slice(start - first.start, stop - first.start)))
        return found

    def pick(self, number: int, space: str, index: tuple[slice, slice, slice, slice]) -> np.ndarray | None:
        """Numbers of the whole, every so many along some axes, at rank 0."""
        layout, here, owner = self._layouts[number], self._world.rank, self._owners[number]
        places = [range(*pick.indices(n)) for pick, n in zip(index[1:], layout.whole.lengths(space), strict=True)]
        chosen = range(*index[0].indices(len(self._objects[number])))

        def found() -> np.ndarray:
            mine = _share(places, layout.region(space))[0]
            return np.stack([owner.read(self._block(number, c, space)[mine]) for c in chosen])

        if here != 0:
            if (mine := found()).size:
                self._comm.Send(mine, 0)
            return None
        out = np.empty((len(chosen), *(len(place) for place in places)), self._objects[number].dtype)
        for rank, of in enumerate(layout.of_ranks):
            targets = _share(places, of.region(space))[1]
            part = out[(slice(None), *targets)]
            if part.size and rank:
                arrived = np.empty(part.shape, out.dtype)
                self._comm.Recv(arrived, rank)
                part[...] = arrived
            elif part.size:
                part[...] = found()
        return out

    def machines(self) -> int:
        """How many machines there are."""
        return sum(self._world.everywhere(int(self._world.node.Get_rank() == 0)))

    def synchronize(self, number: int) -> None:
        """Waits for a device."""
        self._objects[number].synchronize()

    def memory_of_cards(self, number: int) -> int | None:
        """Free bytes on all GPUs together, at rank 0."""
        found = self._comm.gather(self._objects[number].memory_available())
        return None if found is None else sum(found)

    def memory(self) -> int | None:
        """Free bytes on all machines together, at rank 0."""
        first = self._world.node.Get_rank() == 0
        found = self._comm.gather(host_memory_available() if first else 0)
        return None if found is None else sum(found)


def _share(places: Sequence[range], region: tuple[slice, slice, slice]) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Which of some indices along three axes lie in a region: where in the region, and which of them these are."""
    mine, targets = [], []
    for place, own in zip(places, region, strict=True):
        first = max(0, -(-(own.start - place.start) // place.step))
        count = max(0, min(len(place), -(-(own.stop - place.start) // place.step)) - first)
        start = place.start + first * place.step - own.start
        mine.append(slice(start, start + count * place.step, place.step))
        targets.append(slice(first, first + count))
    return tuple(mine), tuple(targets)
