"""Pencils: slabs that several ranks share, where there are more ranks than rows (three dimensions).

Of cells a rank has a share of axes 0 and 1, of modes one of axes 1 and 2; while axis 1 is transformed, one of axes 0 and 2.
So a transform has two exchanges, the first among the ranks of a slab and the second among those with the same share of each.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import pyfftw

from ..cpu_plans import ROWS_BYTES, TILES, Plans
from ..cpu_programs import Stage
from ..fftw import ALIGNMENT, FORWARD, INVERSE, R2R_KINDS, Plan
from ..layout import Layout
from ..workers import address
from .exchange import SMALL, Halo
from .swap import Lengths, Machine, Swap, Way, among
from .world import World


def middle(layout: Layout) -> Lengths:
    """How numbers lie while axis 1 is transformed: rows of the slab's share, all of axis 1, columns of the pencil's share."""
    return layout.cells[0], layout.whole.cells[1], layout.lengths("spectral")[2]


class PencilPlans(Plans):
    """Plans for pencils: rows along axis 2, columns along axis 0, and the ``middle`` along axis 1."""

    def __init__(self, dtype: str, work: np.ndarray, layout: Layout, span: int, together: int = 1) -> None:
        n0, n1, row = middle(layout)
        self._each = n1 * row * np.dtype(dtype).itemsize
        self._between = max(1, min(ROWS_BYTES // self._each, n0 // TILES))
        self._between_rest = n0 - (-(-n0 // self._between) - 1) * self._between
        if work.size < n0 * n1 * row:  # what lies in between may be more than either end
            work = pyfftw.zeros_aligned(n0 * n1 * row, dtype, n=64)
        super().__init__(dtype, work, layout, span, together)

    @property
    def spans(self) -> dict[str, int]:
        return super().spans | {"middle": self._between}

    def _share(self) -> list[str]:
        n1, columns = self._layout.cells[1], self._layout.modes[2]
        return [*super()._share(), f"{n1}by{columns}", f"{self._between}"]

    def _make(self) -> dict[tuple[str, bool, bool], Plan]:
        self._aligned = self._aligned and self._between * self._each % ALIGNMENT == 0
        plans = super()._make()
        for forward in (True, False):
            for last in (False, True):
                count = self._between_rest if last else self._between
                plans["middle", forward, last] = self._middle_plan(forward, count)
        return plans

    def _row_plan(self, forward: bool, count: int) -> Plan:
        layout, axis = self._layout, self._layout.grid.axes[2]
        _, n1, row = layout.lengths("real")
        lines = layout.cells[1]
        if layout.parts == 1:
            kinds = [R2R_KINDS[axis.basis][0 if forward else 1]]
            repeats = [(count, n1 * row, n1 * row), (lines, row, row)]
            return self._plan("r2r", [(axis.n, 1, 1)], repeats, kinds=kinds)
        ends = [pair if forward else pair[::-1] for pair in ((n1 * row, n1 * row // 2), (row, row // 2))]
        return self._plan("r2c" if forward else "c2r", [(axis.n, 1, 1)], [(count, *ends[0]), (lines, *ends[1])])

    def _middle_plan(self, forward: bool, count: int) -> Plan:
        layout, axis = self._layout, self._layout.grid.axes[1]
        columns = middle(layout)[2] // layout.parts
        repeats = [(count, axis.n * columns, axis.n * columns), (layout.modes[2], 1, 1)]
        if layout.parts == 2:
            direction = FORWARD if forward else INVERSE
            return self._plan("c2c", [(axis.n, columns, columns)], repeats, direction=direction)
        kinds = [R2R_KINDS[axis.basis][0 if forward else 1]]
        return self._plan("r2r", [(axis.n, columns, columns)], repeats, kinds=kinds)

    def operation(self, part: str, forward: bool, kind: int, together: int) -> tuple[list[int], int]:
        if part != "middle":
            return super().operation(part, forward, kind, together)
        tiles, step = -(-self._n0 // self._between), self._between * self._each
        plan, last = self._plans[part, forward, False], self._plans[part, forward, True]
        return [kind, plan.execute, plan.address, last.address, 0, step, tiles, 0, together, 0], tiles


class PencilExchange:
    """The way of one component's parts, where ranks have pencils; as `Exchange`.

    Raises:
        MemoryError: there is no more.
    """

    def __init__(self, world: World, machine: Machine, layout: Layout, dtype: np.dtype[Any]) -> None:
        assert layout.part is not None
        slab, pencil, each = layout.part, layout.across, layout.across.ranks
        self._numbers, everyone = layout.parts, layout.of_ranks
        largest = max(math.prod(part.buffer_shape(1)) for part in everyone)
        places = 2 if largest * dtype.itemsize <= SMALL else 1
        of_slab = everyone[slab.rank * each : (slab.rank + 1) * each]
        comm, here = among(world, machine, ("slab", each), slab.rank)
        before, after = [_lines(part) for part in of_slab], [_columns(part) for part in of_slab]
        self._inner = Swap(comm, here, before, after, dtype, places)
        of_share = everyone[pencil.rank :: each]
        comm, here = among(world, machine, ("share", each), pencil.rank)
        before, after = [_planes(part) for part in of_share], [_modes(part) for part in of_share]
        self._outer = Swap(comm, here, before, after, dtype, places)
        self._count = places
        self.neighbours, self.neighbouring_modes = Halo(world, layout, "real"), Halo(world, layout, "spectral")
        self.places = [*self._inner.places, *self._outer.places]

    def free(self, place: int = 0) -> None:
        """Comes back when nobody reads any more what was left in a place."""
        swap = self._inner if place < self._count else self._outer
        swap.free(place % self._count)

    def stages(self, turn: int, forward: bool, plans: Plans) -> list[Stage]:
        place = turn % self._count
        parts, swaps = ["rows", "middle", "columns"], [self._inner, self._outer]
        inner, outer = place, self._count + place
        each = {**plans.spans, "columns": plans.width * self._numbers}
        if not forward:
            parts, swaps, (inner, outer) = parts[::-1], swaps[::-1], (outer, inner)
        first, second = swaps
        between = second.places[place]
        take = first.take(place, forward, each["middle"], down=True)
        take[4] = address(between)

        def to_between(component: np.ndarray) -> None:
            second.free(place)
            first.swap(place, between, forward)

        last = second.take(place, forward, each[parts[2]], down=not forward)
        return [
            Stage(parts[0], first.leave(place, forward, each[parts[0]]), leaves=inner, then=to_between),
            Stage("middle", take, takes=inner, leaves=outer, then=partial(second.swap, place, forth=forward)),
            Stage(parts[2], last, takes=outer),
        ]


def _lines(layout: Layout) -> Way:
    """Cells at a rank, of whose slab others have other lines."""
    return Way(layout.lengths("real"), 1, layout.region("real")[1], layout.used("real"))


def _columns(layout: Layout) -> Way:
    """What is transformed along axis 1, among the ranks of a slab."""
    lengths, own = middle(layout), layout.across.of(layout.whole.modes[2])
    return Way(lengths, 2, own, (*lengths[:2], layout.used("spectral")[2]), layout.parts)


def _planes(layout: Layout) -> Way:
    """The same, among those that have other planes of it."""
    return Way(middle(layout), 0, layout.region("real")[0], middle(layout))  # room for neighbours goes with it


def _modes(layout: Layout) -> Way:
    lengths = layout.lengths("spectral")
    return Way(lengths, 1, layout.region("spectral")[1], (lengths[0], layout.modes[1], lengths[2]))
