"""How parts of a field go from slabs of cells to columns of modes and back."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from ...errors import DeviceError
from ..cpu_plans import Plans
from ..cpu_programs import Stage
from ..layout import Layout
from .memory import Windows
from .swap import Machine, Swap, Way, machine_of
from .world import World

__all__ = ["Exchange", "Machine", "asked_for", "machine_of"]

#: Bytes of a component's part up to which there are two places to leave it in: while it fits into the cache, waiting costs more
#: than room does.
SMALL = 2**23


def asked_for() -> tuple[str, int | None]:
    """The way and the ranks that count as a machine, as ``PHASEFIELD_RANKS_EXCHANGE`` has them. Raises DeviceError."""
    asked = os.environ.get("PHASEFIELD_RANKS_EXCHANGE", "auto")
    found = re.fullmatch("(auto|shared|alltoall)|alltoall:([1-9][0-9]*)", asked)
    if found is None:
        raise DeviceError(f"PHASEFIELD_RANKS_EXCHANGE: is {asked!r}; auto, shared, alltoall or alltoall:N is expected")
    return found[1] or "alltoall", int(found[2]) if found[2] else None


def cells_way(layout: Layout) -> Way:
    """How cells lie at a rank that has a slab of them."""
    own = layout.region("real")[0]
    return Way(layout.lengths("real"), 0, own, layout.used("real"))


def modes_way(layout: Layout) -> Way:
    """How modes lie at a rank that has a share of the axis that slabs are whole along."""
    assert layout.part is not None
    own = layout.part.of(layout.whole.modes[layout.cut])
    unit = layout.parts if layout.cut == 2 else 1
    return Way(layout.lengths("spectral"), layout.cut, own, layout.used("spectral"), unit)


class Exchange:
    """The way of one component's parts, where ranks have slabs.

    All ranks of a machine make it together, and do the same with it in the same order.

    Args:
        world: all ranks. machine: of this one. layout: of this rank's part. dtype: of its numbers.
        columns: components that are on their way back all at once, in a place of their own; 0 for one after the other.

    Attributes:
        places: each memory for one component, as cells or as modes.
        columns: memory for the columns of components on their way back, (component, numbers).
        neighbours, neighbouring_modes: bring the cells, or modes, of a component beyond the ends of this part's own.

    Raises:
        MemoryError: there is no more.
    """

    def __init__(self, world: World, machine: Machine, layout: Layout, dtype: np.dtype[Any], columns: int = 0) -> None:
        assert layout.part is not None
        self._numbers = layout.parts
        parts = layout.of_ranks
        largest = max(math.prod(part.buffer_shape(1)) for part in parts)
        places = 2 if largest * dtype.itemsize <= SMALL and not columns else 1
        cells, modes = [cells_way(part) for part in parts], [modes_way(part) for part in parts]
        self._swap = Swap(world.comm, machine, cells, modes, dtype, places)
        self.places = self._swap.places
        self.neighbours, self.neighbouring_modes = Halo(world, layout, "real"), Halo(world, layout, "spectral")
        if columns:
            window = Windows(machine.group, columns * math.prod(layout.lengths("spectral")), dtype)
            self.columns = window.own.reshape(columns, -1)
            self._back = [part.reshape(columns, -1) for part in window.all]

    def free(self, place: int = 0) -> None:
        """Comes back when nobody reads any more what was left in a place."""
        self._swap.free(place)

    def stages(self, turn: int, forward: bool, plans: Plans) -> list[Stage]:
        place = turn % len(self.places)
        first, then = ("rows", "columns") if forward else ("columns", "rows")
        each = {"rows": plans.span, "columns": plans.width * self._numbers}
        move = self.to_modes if forward else self.to_cells
        return [
            Stage(first, self.leave(place, forward, each[first]), leaves=place, then=partial(move, place)),
            Stage(then, self.take(place, forward, each[then]), takes=place),
        ]

    def to_modes(self, place: int, component: np.ndarray) -> None:
        """Brings rows of other machines' cells, left in this place, to this part's columns."""
        self._swap.swap(place, component, True)

    def to_cells(self, place: int, component: np.ndarray) -> None:
        """The way back."""
        self._swap.swap(place, component, False)

    def all_to_cells(self, components: Sequence[np.ndarray]) -> None:
        """The way back of all that are in `columns`, which others read until the next `free`."""
        for columns, component in zip(self.columns, components, strict=True):
            self._swap.bring(columns, component, False)
        self._swap.read(0)

    def leave(self, place: int, forward: bool, each: int) -> list[int]:
        """The native operation that copies rows (``forward``) or columns to a place, without where they come from.

        Args:
            each: outermost indices in a tile of rows, or numbers of every row in one of columns.
        """
        return self._swap.leave(place, forward, each)

    def take(self, place: int, forward: bool, each: int) -> list[int]:
        """The native operation that copies to columns (``forward``) or rows what ranks of this machine have left there, without
        where it goes.

        Args:
            each: numbers of every row in a tile of columns, or outermost indices in one of rows.
        """
        return self._swap.take(place, forward, each, down=not forward)

    def take_back(self, component: int, each: int) -> list[int]:
        """The same of a component's `columns` on their way back."""
        left = [part[component] for part in self._back]
        return self._swap.take_of(("back", component), left, False, each, True)


class Halo:
    """Brings what neighbours have beyond the ends of a part: of cells along every parted axis, of modes where walls end it."""

    def __init__(self, world: World, layout: Layout, space: str) -> None:
        from mpi4py import MPI

        assert layout.part is not None
        self._comm, self._lengths, each = world.comm, layout.lengths(space), layout.across.ranks
        first, second = (0, 1) if space == "real" else (layout.cut, 2)
        cuts = [(first, layout.part, each), *([(second, layout.across, 1)] if layout.pencils else [])]
        self._ends: list[tuple[int, int, int, int]] = []
        for place, part, step in cuts:
            if space == "spectral" and not layout.reaches(place):
                continue
            periodic = layout.axis_at(place).boundary == "periodic"
            up, down = (
                world.rank + step * ((part.rank + way) % part.ranks - part.rank)
                if periodic or 0 <= part.rank + way < part.ranks
                else MPI.PROC_NULL
                for way in (1, -1)
            )
            self._ends.append((place, layout.used(space)[place], up, down))

    def __call__(self, component: np.ndarray) -> None:
        numbers = component[: math.prod(self._lengths)].reshape(self._lengths)
        for place, n, up, down in self._ends:
            lines = numbers.transpose(place, *(axis for axis in range(3) if axis != place))
            for first, to, at, source in ((0, down, n, up), (n - 1, up, n + 1, down)):
                arrived = self._read(lines[at])
                self._comm.Sendrecv(self._read(lines[first]), to, recvbuf=arrived, source=source)
                self._write(lines[at], arrived)

    def _read(self, line: Any) -> np.ndarray:
        """A contiguous array on the host of part of a component."""
        return np.ascontiguousarray(line)

    def _write(self, line: Any, values: np.ndarray) -> None:
        line[...] = values
