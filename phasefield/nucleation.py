"""Nuclei that appear between the steps of a run.

At moments ``every`` apart a nucleus appears in a cell with the probability 1 - exp(-J dV dt), J the rate that the local state has
there then (Simmons, Shen and Wang, Scripta Mater. 43 (2000) 935). Its centre must not lie in what has
transformed already, nor nearer to it than the clearance. What chance decides is keyed by the seed, the field, the number of the
moment and the cell, so that a run that was interrupted, or runs on another device, has the same nuclei.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from .grid import Grid
from .initial import cell_noise, slabs
from .initial.geometry import distance_of, nearest_image
from .models import EnergyModel, OrderParameter
from .models.nucleation import Nucleation, profile, rates
from .observables import Observable

log = logging.getLogger("phasefield")

#: Of a profile what is less than this is left out.
_TAIL = 1e-9
#: Round-off of a time, in units of the interval.
_SLACK = 1e-9


class Nucleator:
    """The nuclei of one field.

    Attributes:
        done: number of the last moment that has been. placed: nuclei so far.
    """

    def __init__(self, model: EnergyModel, field: OrderParameter, grid: Grid, seed: int) -> None:
        self.model, self.field, self.grid, self._seed = model, field, grid, seed
        self.law: Nucleation = field.values["nucleation"]
        self.part = model.slices()[field.name]
        self.done = self.placed = 0
        tail = math.atanh(1 - 2 * _TAIL)
        self._reach = self.law.radius + math.sqrt(2) * self.law.width * tail

    @cached_property
    def _rates(self) -> Any:
        return rates(self.model, self.law, self.grid.names)

    @property
    def next_time(self) -> float:
        """The next moment."""
        return (self.done + 1) * self.law.every

    def due(self, reached: float) -> bool:
        return reached >= self.next_time - _SLACK * self.law.every

    def __call__(self, cells: np.ndarray, t: float, reached: float) -> int:
        """Places the nuclei of a moment into the cells of the state, shape ``(components, *grid.shape)``; returns their number.

        Args:
            t: time of the state. reached: time up to which moments are due.
        """
        number = math.floor(reached / self.law.every + _SLACK)
        interval, self.done = (number - self.done) * self.law.every, number
        stream = f"model.fields.{self.field.name}.nucleation/{number}"
        placed = 0
        for cell, _ in sorted(self._drawn(cells, t, interval, stream), key=lambda found: found[1]):
            where = np.unravel_index(cell, self.grid.shape)
            placed += self._place(cells, [int(i) for i in where], stream, cell)
        self.placed += placed
        if placed:
            log.info("nuclei of %s at time %g: %d, %d so far", self.field.name, t, placed, self.placed)
        return placed

    def _drawn(self, cells: np.ndarray, t: float, interval: float, stream: str) -> list[tuple[int, float]]:
        """Cells in which chance has a nucleus, and the random numbers that said so, in [0, 1)."""
        found, coordinates = [], self.grid.coordinates()
        across = self.grid.cells // self.grid.shape[0]
        for slab in slabs(self.grid):
            state = cells[:, slab].astype(float)
            near = [coordinates[0][slab], *coordinates[1:]]
            expected = self._rates(state, near, t) * (self.grid.cell_volume * interval)
            chance = -np.expm1(-np.where(expected > 0, expected, 0.0))  # NaN, where a law ends, is none
            drawn = 0.5 + 0.5 * cell_noise(self._seed, stream, slab.start * across, chance.size, "uniform")
            hit = np.flatnonzero(drawn < chance.ravel())
            found += [(slab.start * across + int(i), float(drawn[i])) for i in hit]
        return found

    def _near(self, centre: Sequence[int], reach: float) -> tuple[list[np.ndarray], np.ndarray]:
        """Indices per axis of the cells about a centre, and their distances from it."""
        picks: list[np.ndarray] = []
        squares: list[np.ndarray] = []
        for axis, at in zip(self.grid.axes, centre, strict=True):
            offset = nearest_image(axis.centers - axis.centers[at], axis)
            pick = np.flatnonzero(np.abs(offset) <= reach)
            picks.append(pick)
            squares.append(offset[pick] ** 2)
        return picks, distance_of(squares)

    def _place(self, cells: np.ndarray, centre: Sequence[int], stream: str, cell: int) -> bool:
        """Puts one nucleus, unless its centre lies in what has transformed."""
        own = cells[self.part]
        picks, distance = self._near(centre, self.law.clearance)
        inside, outside = self.law.inside, self.law.outside
        there = sum((component[np.ix_(*picks)] - outside) / (inside - outside) for component in own)
        if (there[distance <= self.law.clearance] > 0.5).any():
            return False
        picks, distance = self._near(centre, self._reach)
        shape, member = profile(distance, self.law), 0
        if len(own) > 1:
            drawn = 0.5 + 0.5 * float(cell_noise(self._seed, f"{stream}/component", cell, 1, "uniform")[0])
            member = int(drawn * len(own))
        for i, component in enumerate(own):
            where = np.ix_(*picks)
            component[where] += ((inside if i == member else outside) - component[where]) * shape
        return True

    def state(self) -> dict[str, int]:
        """What a checkpoint keeps."""
        return {"done": self.done, "placed": self.placed}

    def restore(self, state: Mapping[str, int]) -> None:
        """Goes on as the run that made a checkpoint."""
        self.done, self.placed = int(state["done"]), int(state["placed"])


class Nuclei:
    """The nuclei of every field of a model in which they appear."""

    def __init__(self, model: EnergyModel, grid: Grid, seed: int) -> None:
        fields = [f for f in model.order_parameters if f.values.get("nucleation") is not None]
        self._nucleators = [Nucleator(model, f, grid, seed) for f in fields]

    def __bool__(self) -> bool:
        return bool(self._nucleators)

    @property
    def next_time(self) -> float:
        """The next moment of any of them."""
        return min((nucleator.next_time for nucleator in self._nucleators), default=math.inf)

    def due(self, reached: float) -> bool:
        return any(nucleator.due(reached) for nucleator in self._nucleators)

    def place(self, cells: np.ndarray, t: float, reached: float) -> list[slice]:
        """Places the nuclei that are due into the cells of the state, shape ``(components, *grid.shape)``.

        Returns:
            The components of every field that has got some.
        """
        due = [nucleator for nucleator in self._nucleators if nucleator.due(reached)]
        return [nucleator.part for nucleator in due if nucleator(cells, t, reached)]

    @property
    def placed(self) -> dict[str, int]:
        """How many have appeared so far, by field."""
        return {nucleator.field.name: nucleator.placed for nucleator in self._nucleators}

    def state(self) -> dict[str, dict[str, int]]:
        """What a checkpoint keeps."""
        return {nucleator.field.name: nucleator.state() for nucleator in self._nucleators}

    def restore(self, state: Mapping[str, Mapping[str, int]]) -> None:
        """Goes on as the run that made a checkpoint."""
        for nucleator in self._nucleators:
            nucleator.restore(state[nucleator.field.name])


def counted(model: EnergyModel, grid: Grid) -> Observable:
    """How many nuclei have been placed so far, ``nuclei_F`` of every field in which they appear; who asks tells the numbers."""
    names = [f.name for f in model.order_parameters if f.values.get("nucleation") is not None]
    attrs = {f"nuclei_{n}": {"long_name": f"nuclei of {n} placed so far", "units": "1"} for n in names}
    return Observable(lambda told: {name: told.get(name, math.nan) for name in attrs}, attrs=attrs, later=True)
