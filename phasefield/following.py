"""What L is made of follows the state between the steps: the stabiliser S, and mobilities that vary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .backend import Apply, Backend, Layout
from .grid import Grid
from .models import Curvature, EnergyModel, Stabilizer, coming, followed, range_kernel
from .models.parameters import telling
from .models.spectrum import Spectrum

#: Steps between two looks at the state for its stabiliser while it is larger than the run will need; else they double.
_LOOK = 8
#: Steps as long as the last one over which a mobility that depends on time is looked at ahead.
_SOON = 64
#: Times at which the values on walls and mobilities are looked at.
_TIMES = 17

Array = np.ndarray


class Stability:
    """S of every component, for what a run will visit from the state at hand to its end.

    Args:
        grid: the run's. margin: what the scheme asks for, in units of the curvature. end: of the run, in time.
        leaves: whether the energy alone may not tell where the run will go, as with a continuation of logarithms.

    Attributes:
        stabilizers: S per component. passing: whether some S is far larger than what is needed once the state has relaxed.
    """

    def __init__(self, model: EnergyModel, grid: Grid, margin: float, end: float, leaves: bool) -> None:
        self._grid, self._margin, self._end = grid, margin, end
        # Sources lead anywhere, patterns of a nonlocal energy overshoot the wells of f, parameters leave behind what S was for,
        # and near a logarithm's end a little further is a much larger curvature.
        patterned = not Spectrum(model).plain
        self._doubtful = leaves or not model.gradient_flow or patterned or bool(model.courses)
        self.stabilizers: list[float] = []
        self.passing = False

    def restore(self, stabilizers: Sequence[float], passing: bool) -> None:
        """Goes on as the run that made a checkpoint."""
        self.stabilizers, self.passing = list(stabilizers), passing

    def start(self, model: EnergyModel, cells: Array) -> Curvature:
        """Takes S for initial values, shape ``(components, ...)``, and tells what was found."""
        found = self._curvature(model, cells, 0.0)
        self.stabilizers, self.passing = found.visited, found.passing
        return found

    def due(self, step: int, adaptive: bool) -> bool:
        """Whether S is to be looked at after a step: often while it still pays for a curvature that passes, else now and then.

        Fixed steps keep their order, which a new start at low order would spoil.
        """
        doubled = adaptive and self._doubtful and step & (step - 1) == 0
        return step % _LOOK == 0 and (self.passing or doubled)

    def follow(self, model: EnergyModel, cells: Array, t: float, least: float = 0.5, most: float = 1.2) -> bool:
        """Takes S for a state, shape ``(components, ...)`` at time ``t``, if it has changed; tells whether.

        Args:
            least, most: what is wanted over what there is, between which S stays.
        """
        found = self._curvature(model, cells, t)
        self.passing = found.passing
        pairs = zip(found.visited, self.stabilizers, strict=True)
        if all(least * old <= new <= most * old for new, old in pairs):
            return False
        self.stabilizers = found.visited
        return True

    def _curvature(self, model: EnergyModel, cells: Array, t: float) -> Curvature:
        """What S has to cover from time ``t`` to the end, with the parameters on their way and the values that walls bring in."""
        end = max(t, self._end)
        cells = with_walls(model, cells.reshape(len(cells), -1), self._end)
        courses = list(model.courses.values())
        times = telling(courses, t, end) if courses else [t]
        forced = np.linspace(t, end, _TIMES).tolist()
        found = [Stabilizer(model.at(when), self._margin, self._grid, forced)(cells) for when in times]
        visited = [max(s) for s in zip(*(c.visited for c in found), strict=True)]
        rest = [max(s) for s in zip(*(c.rest for c in found), strict=True)]
        return Curvature(visited, rest, np.concatenate([c.states for c in found], axis=1))


def with_walls(model: EnergyModel, cells: Array, end: float) -> Array:
    """A sample of cells, shape ``(components, n)``, with the values that walls bring in until ``end``."""
    if model.lifting is None:
        return cells
    held = model.lifting.states(np.linspace(0.0, end, _TIMES).tolist())
    return np.concatenate([cells, held], axis=1)


class Mobilities:
    """Looks at mobilities that vary with the state or in time, for their sign and for what L was made for.

    Args:
        samples: some cells of the initial state, shape ``(components, n)``, for what time alone will bring.
    """

    def __init__(
        self, model: EnergyModel, layout: Layout, backend: Backend, scalars: Sequence[str], samples: Array
    ) -> None:
        self._samples = samples
        drifts = [Apply(range_kernel(model, list(scalars)))] if model.drifts else []
        self._program = backend.program(layout, drifts) if drifts else None

    def due(self, step: int) -> bool:
        """Whether they are to be looked at after a step."""
        return self._program is not None and step % _LOOK == 0

    def look(self, cells: Any, scalars: Mapping[str, float]) -> Mapping[str, float]:
        """The extremes of every entry over the cells of a buffer, as `range_kernel` names them."""
        assert self._program is not None
        return self._program({"work": cells}, scalars)

    def larger(
        self, model: EnergyModel, found: Mapping[str, float], t: float, dt: float, ahead: bool
    ) -> list[tuple[float, ...] | None] | None:
        """New references for L where some entry has left what L was made for, else None.

        Args:
            found: by `look` at time ``t``. ahead: whether what time brings within some steps of ``dt`` counts, too.
        """
        soon = t + dt * np.linspace(0, _SOON, 2 * _TIMES)
        return followed(model, found, coming(model, self._samples, soon) if ahead else {})
