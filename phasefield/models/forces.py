"""What a `force` (`phasefield.models.terms.Driving`) means for the curvature that steps meet: its slope beside the energy's.

A force derives from no energy, but a step sees df/du - force, whatever each of them comes from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from ..grid import Grid
from .energy import COORDINATES, EnergyModel
from .mobility import TIME
from .terms import Driving

Array = NDArray[np.float64]

#: Places along an axis and times up to the last at which a force that depends on them is looked at.
_PLACES, _TIMES = 5, 9


def minus_forces(model: EnergyModel) -> list[sp.Expr]:
    """What forces add to df/du of every component, in the model's symbols, x, y, z and t."""
    driving = [term for term in model.terms if isinstance(term, Driving)]
    found = [[term.force(i) for term in driving] for i in range(len(model.components))]
    return [sp.Add(*(minus for minus in each if minus is not None)) for each in found]


def felt(model: EnergyModel) -> list[sp.Expr]:
    """df/du less the force for every component; a force in coordinates or t, which has no one slope, is left out."""
    placed = {TIME, *(sp.Symbol(x, real=True) for x in COORDINATES)}
    pairs = zip(model.potentials, minus_forces(model), strict=True)
    return [mu if minus.free_symbols & placed else mu + minus for mu, minus in pairs]


def slopes(model: EnergyModel, grid: Grid | None, times: Sequence[float]) -> Callable[[Array], Array] | None:
    """The slopes of what forces add to df/du; None where none depends on the fields.

    Args:
        grid: where they act; None for its origin. times: when.

    Returns:
        A function of states ``(components, n)``: derivatives ``(m, components, components)``, made symmetric, for all states at
        some places and times; those that are not finite are left out.
    """
    matrix = [[sp.diff(minus, s) for s in model.unknowns] for minus in minus_forces(model)]
    if not any(entry != 0 for row in matrix for entry in row):
        return None
    entries = [model.values(entry) for row in matrix for entry in row]
    around = [sp.Symbol(x, real=True) for x in COORDINATES] + [TIME]
    used = set().union(*(entry.free_symbols for entry in entries))
    values = _samples(grid, times, [symbol in used for symbol in around])
    function = sp.lambdify([*model.unknowns, *around], entries, modules="numpy", cse=True)
    count = len(model.unknowns)

    def at(states: Array) -> Array:
        shape = states.shape[1], values.shape[1]
        with np.errstate(all="ignore"):
            found = function(*states[:, :, None], *values[:, None, :])
        table = np.array([np.broadcast_to(np.asarray(v, dtype=float), shape).ravel() for v in found])
        each = np.moveaxis(table.reshape(count, count, -1), 2, 0)
        each = each[np.isfinite(each).all(axis=(1, 2))]
        return np.asarray(0.5 * (each + each.transpose(0, 2, 1)))

    return at


def _samples(grid: Grid | None, times: Sequence[float], used: Sequence[bool]) -> Array:
    """Places and times, shape ``(4, m)``; one of what is not used."""
    axes = [] if grid is None else [axis.centers for axis in grid.axes]
    axes += [np.zeros(1)] * (len(COORDINATES) - len(axes))
    when = np.array(times)[np.unique(np.linspace(0, len(times) - 1, _TIMES).astype(int))]
    along = [a[np.unique(np.linspace(0, len(a) - 1, _PLACES).astype(int))] for a in axes] + [when]
    picked = [a if use else a[:1] for a, use in zip(along, used, strict=True)]
    return np.stack([c.ravel() for c in np.meshgrid(*picked, indexing="ij")])
