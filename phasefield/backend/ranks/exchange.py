"""How parts of a field go from slabs of cells to columns of modes and back: every rank has something for every other.

Ranks of one machine read it out of each other's memory, where a transform has left it; ranks of several send it.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...errors import DeviceError
from ..layout import Layout, Part
from ..workers import address, copy_address, native
from .memory import Meeting, Windows
from .world import Group, World

#: Bytes of a component's part up to which there are two places to leave it in: while it fits into the cache, waiting costs more
#: than room does.
_SMALL = 2**23


def asked_for() -> tuple[str, int | None]:
    """The way and the ranks that count as a machine, as ``PHASEFIELD_RANKS_EXCHANGE`` has them. Raises DeviceError."""
    asked = os.environ.get("PHASEFIELD_RANKS_EXCHANGE", "auto")
    found = re.fullmatch("(auto|shared|alltoall)|alltoall:([1-9][0-9]*)", asked)
    if found is None:
        raise DeviceError(f"PHASEFIELD_RANKS_EXCHANGE: is {asked!r}; auto, shared, alltoall or alltoall:N is expected")
    return found[1] or "alltoall", int(found[2]) if found[2] else None


class Machine:
    """Ranks that read each other's memory.

    Args:
        world: all ranks. size: how many of them, one after the other, count as a machine; None for those that are one.

    Attributes:
        group: these ranks. ranks: their numbers among all.
    """

    def __init__(self, world: World, size: int | None = None) -> None:
        comm = world.node if size is None else world.comm.Split(world.rank // size, world.rank)
        self.group = Group(comm)
        try:
            self.meet = Meeting(self.group)
        except MemoryError:  # they cannot: each is a machine of its own
            self.group = Group(world.comm.Split(world.rank))
            self.meet = Meeting(self.group)
        self.ranks: list[int] = self.group.everywhere(world.rank)


class Exchange:
    """The way of one component's parts.

    Rows of cells are transformed in a place that others see, and so are columns on their way back. After `to_modes` or `to_cells`
    has brought what other machines have, tiles `take` what this one has, so that it is in the cache for what comes next. Between
    machines it is one ``MPI_Alltoallw`` of datatypes that say where blocks lie (Dalcin, Mortensen and Keyes, J. Parallel Distrib.
    Comput. 128 (2019) 137).

    All ranks of a machine make it together, and do the same with it in the same order.

    Args:
        world: all ranks. machine: of this one. layout: of this rank's part. dtype: of its numbers.
        columns: components that are on their way back all at once, in a place of their own; 0 for one after the other.

    Attributes:
        places: each memory for one component, as cells or as modes.
        columns: memory for the columns of components on their way back, (component, numbers).

    Raises:
        MemoryError: there is no more.
    """

    def __init__(self, world: World, machine: Machine, layout: Layout, dtype: np.dtype[Any], columns: int = 0) -> None:
        assert layout.part is not None
        self._comm, self._layout, self._machine, self._size = world.comm, layout, machine, dtype.itemsize
        count = layout.part.ranks
        self._parts = [Layout(layout.grid, Part(rank, count)) for rank in range(count)]
        largest = max(math.prod(part.buffer_shape(1)) for part in self._parts)
        places = 2 if largest * dtype.itemsize <= _SMALL and not columns else 1
        windows = [Windows(machine.group, math.prod(layout.buffer_shape(1)), dtype) for _ in range(places)]
        self.places = [window.own for window in windows]
        self._left = [window.all for window in windows]
        self._read: set[int] = set()
        self._tables: dict[tuple[str, int], np.ndarray] = {}
        self._types(dtype)
        self._ends(periodic=layout.grid.axes[0].boundary == "periodic")
        if columns:
            lengths = [math.prod(part.lengths("spectral")) for part in self._parts]
            window = Windows(machine.group, columns * lengths[layout.part.rank], dtype)
            self.columns = window.own.reshape(columns, -1)
            self._back = [part.reshape(columns, -1) for part in window.all]

    def _types(self, dtype: np.dtype[Any]) -> None:
        """What goes to and comes from ranks of other machines."""
        from mpi4py import MPI

        layout, count = self._layout, len(self._parts)
        number = MPI._typedict[dtype.char]
        there = [rank not in self._machine.ranks for rank in range(count)]

        def blocks(lengths: tuple[int, int, int], places: list[tuple[slice, slice, slice]]) -> list[Any]:
            made = []
            for place, far in zip(places, there, strict=True):
                sizes, starts = [s.stop - s.start for s in place], [s.start for s in place]
                made.append(number.Create_subarray(lengths, sizes, starts).Commit() if far else number)
            return made

        # Of this part's slab what becomes another's modes, and of this part's modes what comes from another's slab.
        mine, columns = slice(0, layout.cells[0]), [p.region("spectral") for p in self._parts]
        self._of_rows = blocks(layout.lengths("real"), [(mine, c[1], c[2]) for c in columns])
        spectral = layout.lengths("spectral")
        whole = [slice(0, n) for n in spectral]
        self._of_columns = blocks(spectral, [(p.region("real")[0], whole[1], whole[2]) for p in self._parts])
        self._counts = [int(far) for far in there], [0] * count
        self._far = any(there)

    def _ends(self, periodic: bool) -> None:
        """Where the rows beyond the ends of a slab come from."""
        from mpi4py import MPI

        assert self._layout.part is not None
        count, rank = len(self._parts), self._layout.part.rank
        n0, row = self._layout.cells[0], math.prod(self._layout.lengths("real")[1:])
        up, down = rank + 1, rank - 1
        self._up = up % count if periodic or up < count else MPI.PROC_NULL
        self._down = down % count if periodic or down >= 0 else MPI.PROC_NULL
        self._first, self._last = slice(0, row), slice((n0 - 1) * row, n0 * row)
        self._above, self._below = slice(n0 * row, (n0 + 1) * row), slice((n0 + 1) * row, (n0 + 2) * row)

    def free(self, place: int = 0) -> None:
        """Comes back when nobody reads any more what was left in a place."""
        if place in self._read:
            self._met()

    def to_modes(self, place: int, component: np.ndarray) -> None:
        """Brings rows of other machines' cells, left in this place, to this part's columns."""
        if self._far:
            sent = self.places[place], self._counts, self._of_rows
            self._comm.Alltoallw(sent, (component, self._counts, self._of_columns))
        self._met()
        self._read.add(place)

    def to_cells(self, place: int, component: np.ndarray) -> None:
        """The way back."""
        self._bring_back(self.places[place], component)
        self._met()
        self._read.add(place)

    def all_to_cells(self, components: Sequence[np.ndarray]) -> None:
        """The way back of all that are in `columns`, which others read until the next `free`."""
        for columns, component in zip(self.columns, components, strict=True):
            self._bring_back(columns, component)
        self._met()
        self._read.add(0)

    def _bring_back(self, columns: np.ndarray, component: np.ndarray) -> None:
        if self._far:
            sent = columns, self._counts, self._of_columns
            self._comm.Alltoallw(sent, (component, self._counts, self._of_rows))

    def _met(self) -> None:
        self._machine.meet()
        self._read.clear()

    def neighbours(self, component: np.ndarray) -> None:
        """Brings the rows of cells beyond the ends of this part's own."""
        self._comm.Sendrecv(component[self._first], self._down, recvbuf=component[self._above], source=self._up)
        self._comm.Sendrecv(component[self._last], self._up, recvbuf=component[self._below], source=self._down)

    def leave(self, place: int, forward: bool, each: int) -> list[int]:
        """The native operation that copies rows (``forward``) or columns to a place, without where they come from.

        Args:
            each: outermost indices in a tile of rows, or numbers of every row in one of columns.
        """
        count, line = (self._layout.cells[0] if forward else self._layout.modes[0]), self._line(self._layout, forward)
        table = self._kept("cells" if forward else "modes", 0, [(0, 0, count, line, line, line)])
        return self._copy(table, address(self.places[place]), each, down=forward)

    def take(self, place: int, forward: bool, each: int) -> list[int]:
        """The native operation that copies to columns (``forward``) or rows what ranks of this machine have left there, without
        where it goes.

        Args:
            each: numbers of every row in a tile of columns, or outermost indices in one of rows.
        """
        name = "to modes" if forward else "to cells"
        return self._copy(self._kept(name, place, self._blocks(self._left[place], forward)), 0, each, down=not forward)

    def take_back(self, component: int, each: int) -> list[int]:
        """The same of a component's `columns` on their way back."""
        left = [part[component] for part in self._back]
        return self._copy(self._kept("back", component, self._blocks(left, False)), 0, each, down=True)

    def _kept(self, name: str, number: int, blocks: list[tuple[int, ...]]) -> np.ndarray:
        return self._tables.setdefault((name, number), np.array(blocks, np.int64))

    def _copy(self, table: np.ndarray, target: int, each: int, down: bool) -> list[int]:
        tile = (0, each) if down else (each * self._size, 0)
        return [native().COPY, copy_address(), address(table), len(table), target, *tile, 0, 0, 0]

    def _line(self, part: Layout, cells: bool) -> int:
        """Bytes of an outermost index of a part's cells or modes."""
        return math.prod(part.lengths("real" if cells else "spectral")[1:]) * self._size

    def _blocks(self, left: Sequence[np.ndarray], forward: bool) -> list[tuple[int, ...]]:
        """What comes from every rank of this machine, see ``native.py``."""
        part = self._layout.part
        assert part is not None
        line = self._line(self._layout, not forward)
        own, before = self._layout.region("real")[0], [self._first_column(p) * self._size for p in self._parts]
        blocks = list[tuple[int, ...]]()
        for rank, of in zip(self._machine.ranks, left, strict=True):
            there = self._line(self._parts[rank], forward)
            if forward:
                theirs = self._parts[rank].region("real")[0]
                count = theirs.stop - theirs.start
                blocks.append((address(of) + before[part.rank], theirs.start * line, count, line, there, line))
            else:
                count = own.stop - own.start
                blocks.append((address(of) + own.start * there, before[rank], count, there, there, line))
        return blocks

    @staticmethod
    def _first_column(part: Layout) -> int:
        """Numbers of an outermost index of cells before those of a part's modes."""
        _, lines, columns = part.region("spectral")
        return lines.start * part.row + columns.start
