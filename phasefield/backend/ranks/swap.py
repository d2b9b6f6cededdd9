"""How an array that is parted along one axis comes to be parted along another: every rank has a block for every other.

Ranks of one machine read it out of each other's memory, where a transform has left it; ranks of several send it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..workers import address, copy_address, native
from .memory import Meeting, Windows
from .world import Group, World

#: Three lengths, or where something lies along three axes.
Lengths = tuple[int, int, int]
Box = tuple[slice, slice, slice]


class Machine:
    """Ranks that read each other's memory. Made by `machine_of` and `among`, which all ranks of a group call together.

    Attributes:
        group: these ranks. ranks: their numbers in the communicator that they were taken from. number: of the machine.
    """

    def __init__(self, comm: Any, number: int) -> None:
        self.number = number
        self.group = Group(comm.Split(number, comm.Get_rank()))
        try:
            self.meet = Meeting(self.group)
        except MemoryError:  # they cannot: each is a machine of its own
            self.number = comm.Get_rank()
            self.group = Group(comm.Split(self.number))
            self.meet = Meeting(self.group)
        self.ranks: list[int] = self.group.everywhere(comm.Get_rank())


def machine_of(world: World, size: int | None = None) -> Machine:
    """This rank's.

    Communicators are never freed, for that would be done together by ranks that let go of things when it suits them: so there is
    one for every ``size``.

    Args:
        world: all ranks. size: how many of them, one after the other, count as a machine; None for those that are one.
    """

    def made() -> Machine:
        first = min(world.node.allgather(world.rank)) if size is None else world.rank // size * size
        return Machine(world.comm, first)

    return world.once(("machine", size), made)


def among(world: World, machine: Machine, name: Any, number: int) -> tuple[Any, Machine]:
    """The communicator of the ranks that give the same number, and those of this machine among them; made once for a name."""

    def made() -> tuple[Any, Machine]:
        comm = world.comm.Split(number, world.rank)
        return comm, Machine(comm, machine.number)

    return world.once(("among", id(machine), name), made)


@dataclass(frozen=True)
class Way:
    """How an array lies at a rank, parted along an axis.

    Attributes:
        lengths: of its memory. own: the share along the axis, of the whole. axis: which. unit: numbers of an index along it.
        used: those of the lengths that are more than room for neighbours.
    """

    lengths: Lengths
    axis: int
    own: slice
    used: Lengths
    unit: int = 1

    def box(self, axis: int, share: slice, unit: int) -> Box:
        """Where what belongs to a share of another axis lies."""
        ends = [slice(0, self.used[0]), slice(0, self.used[1]), slice(0, self.used[2])]
        ends[axis] = slice(unit * share.start, unit * share.stop)
        return ends[0], ends[1], ends[2]


class Swap:
    """The way of one component's parts between some ranks, forth from being parted along one axis to another, and back.

    What is to go is left in a place that others see. After `forth` or `back` has brought what other machines have, tiles `take`
    what this one has, so that it is in the cache for what comes next. Between machines it is one ``MPI_Alltoallw`` of datatypes
    that say where blocks lie (Dalcin, Mortensen and Keyes, J. Parallel Distrib. Comput. 128 (2019) 137).

    All ranks of a machine make it together, and do the same with it in the same order.

    Args:
        comm: the ranks' communicator. machine: those of them that are this one's.
        before, after: how the array lies at every rank. dtype: of its numbers.
        places: of how much room there are so many: numbers of the larger of both ways, over all ranks the same number of places.

    Attributes:
        places: each memory for one component, as it lies before or after.

    Raises:
        MemoryError: there is no more.
    """

    def __init__(
        self,
        comm: Any,
        machine: Machine,
        before: Sequence[Way],
        after: Sequence[Way],
        dtype: np.dtype[Any],
        places: int = 1,
    ) -> None:
        self._comm, self._machine, self.rank, self._size = comm, machine, comm.Get_rank(), dtype.itemsize
        self._before, self._after = before, after
        room = max(math.prod(way[self.rank].lengths) for way in (before, after))
        windows = [Windows(machine.group, room, dtype) for _ in range(places)]
        self.places = [window.own for window in windows]
        self._left = [window.all for window in windows]
        self._read: set[int] = set()
        self._tables: dict[Any, np.ndarray] = {}
        self._types(dtype)

    def _box(self, rank: int, other: int, forth: bool) -> Box:
        """Where the block that two ranks exchange lies at the first of them, before or, with ``forth`` False, after."""
        one, two = (self._before, self._after) if forth else (self._after, self._before)
        unit = self._after[0].unit if forth else self._before[0].unit
        return one[rank].box(two[other].axis, two[other].own, unit)

    def _types(self, dtype: np.dtype[Any]) -> None:
        """What goes to and comes from ranks of other machines."""
        from mpi4py import MPI

        number, count = MPI._typedict[dtype.char], len(self._before)
        far = [rank not in self._machine.ranks for rank in range(count)]

        def blocks(lengths: Lengths, forth: bool) -> list[Any]:
            made = []
            for other in range(count):
                box = self._box(self.rank, other, forth)
                sizes, starts = [s.stop - s.start for s in box], [s.start for s in box]
                made.append(number.Create_subarray(lengths, sizes, starts).Commit() if far[other] else number)
            return made

        self._types_before = blocks(self._before[self.rank].lengths, True)
        self._types_after = blocks(self._after[self.rank].lengths, False)
        self._counts = [int(f) for f in far], [0] * count
        self._far = any(far)

    def free(self, place: int = 0) -> None:
        """Comes back when nobody reads any more what was left in a place."""
        if place in self._read:
            self.meet()

    def meet(self) -> None:
        """Comes back when all of the machine have called this."""
        self._machine.meet()
        self._read.clear()

    def swap(self, place: int, target: np.ndarray, forth: bool) -> None:
        """Brings what other machines have left in this place to where it belongs in the target."""
        self.bring(self.places[place], target, forth)
        self.read(place)

    def arrive(self, place: int, target: np.ndarray, forth: bool) -> None:
        """Brings what all ranks have left in this place to where it belongs in the target, at once instead of tile by tile."""
        self.swap(place, target, forth)
        one, two = (self._before, self._after) if forth else (self._after, self._before)
        lengths = two[self.rank].lengths
        there = target[: math.prod(lengths)].reshape(lengths)
        for rank, left in zip(self._machine.ranks, self._left[place], strict=True):
            from_lengths = one[rank].lengths
            whole = left[: math.prod(from_lengths)].reshape(from_lengths)
            there[self._box(self.rank, rank, not forth)] = whole[self._box(rank, self.rank, forth)]

    def bring(self, source: np.ndarray, target: np.ndarray, forth: bool) -> None:
        """The same of what lies anywhere, without waiting for ranks of this machine."""
        if self._far:
            types = self._types_before, self._types_after
            sent, got = types if forth else types[::-1]
            self._comm.Alltoallw((source, self._counts, sent), (target, self._counts, got))

    def read(self, place: int) -> None:
        """Comes back when all have left theirs, which is read until the place is asked to be free."""
        self.meet()
        self._read.add(place)

    def leave(self, place: int, forth: bool, each: int) -> list[int]:
        """The native operation that copies a component to a place, without where it comes from.

        Args:
            each: outermost indices in a tile of what goes ``forth``, or numbers of every one in a tile of what goes back.
        """
        way = (self._before if forth else self._after)[self.rank]
        plane = math.prod(way.lengths[1:]) * self._size
        line = (way.used[1] * way.lengths[2] if way.used[1] > 1 else way.used[2]) * self._size
        table = self._kept(("leave", forth), [(0, 0, way.used[0], plane, plane, 1, 0, 0, line)])
        return self._copy(table, address(self.places[place]), each, down=forth)

    def take(self, place: int, forth: bool, each: int, down: bool) -> list[int]:
        """The native operation that copies what ranks of this machine have left there to where it belongs, without where that is.

        Args:
            each: of a tile, outermost indices (``down``) or numbers of every one.
        """
        return self.take_of(("take", place, forth), self._left[place], forth, each, down)

    def take_of(self, name: Any, left: Sequence[np.ndarray], forth: bool, each: int, down: bool) -> list[int]:
        """The same of what they have left elsewhere, by rank of this machine; ``name`` stands for these places."""
        return self._copy(self._kept(name, self._blocks(left, forth)), 0, each, down)

    def _kept(self, name: Any, blocks: list[tuple[int, ...]]) -> np.ndarray:
        return self._tables.setdefault(name, np.array(blocks, np.int64))

    def _copy(self, table: np.ndarray, target: int, each: int, down: bool) -> list[int]:
        tile = (0, each) if down else (each * self._size, 0)
        return [native().COPY, copy_address(), address(table), len(table), target, *tile, 0, 0, 0]

    def _blocks(self, left: Sequence[np.ndarray], forth: bool) -> list[tuple[int, ...]]:
        """What comes from every rank of this machine, see ``native.py``."""
        one, two = (self._before, self._after) if forth else (self._after, self._before)
        here = two[self.rank].lengths
        blocks = list[tuple[int, ...]]()
        for rank, of in zip(self._machine.ranks, left, strict=True):
            there = one[rank].lengths
            source, target = self._box(rank, self.rank, forth), self._box(self.rank, rank, not forth)
            counts = [s.stop - s.start for s in source]
            lines = (counts[1], there[2] * self._size, here[2] * self._size, counts[2] * self._size)
            if counts[2] == there[2] == here[2]:  # lines without gaps are one
                lines = (1, 0, 0, counts[1] * counts[2] * self._size)
            blocks.append(
                (
                    address(of) + self._offset(there, source),
                    self._offset(here, target),
                    counts[0],
                    there[1] * there[2] * self._size,
                    here[1] * here[2] * self._size,
                    *lines,
                )
            )
        return blocks

    def _offset(self, lengths: Lengths, box: Box) -> int:
        """Bytes before a box."""
        start = (box[0].start * lengths[1] + box[1].start) * lengths[2] + box[2].start
        return start * self._size
