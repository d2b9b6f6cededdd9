"""Sizes of a model's own quantities, against which something counts as small."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import sympy as sp

from .energy import EnergyModel


def energy_terms(model: EnergyModel, cells: np.ndarray) -> float:
    """Mean size of what the energy density is the sum of: terms that cancel in it, and values times their potentials.

    Round-off of a free energy is relative to this, not to what is left of it in equilibrium.

    Args:
        cells: values of the components, shape ``(components, ...)``; up to 64 cells spread over them are looked at.
    """
    flat = cells.reshape(len(cells), -1)
    points = flat[:, np.unique(np.linspace(0, flat.shape[1] - 1, 64).astype(int))].astype(float)
    terms = np.abs(model.evaluate([*_summands(model.energy), *model.potentials], points))
    terms[-len(points) :] *= np.abs(points)
    finite = np.isfinite(terms)
    return float(np.where(finite, terms, 0.0).sum() / max(points.shape[1], 1))


def _summands(expr: sp.Expr) -> list[sp.Expr]:
    """The terms of a sum, those of a sum that is a factor of one as well: w (a - b) rounds as w a - w b does."""
    found = []
    for term in sp.Add.make_args(expr):
        factors = sp.Mul.make_args(term)
        within = next((f for f in factors if f.is_Add), None)
        if within is None:
            found.append(term)
        else:
            rest = sp.Mul(*(f for f in factors if f is not within))
            found += [rest * part for part in _summands(within)]
    return found


def energy_noise(
    stabilizers: Sequence[float],
    symbols: Sequence[float],
    volume: float,
    sizes: Sequence[float],
    sums: float,
    unit: float,
) -> float:
    """The rise in free energy that round-off explains: of the terms of its sum, and of the cells where it is stationary.

    Args:
        stabilizers, symbols, sizes: of every component, its S as a bound on curvature, the largest A of a mode and the root mean
            square of its values. volume: of the grid.
        sums: size of the terms that add up to the free energy. unit: relative round-off.
    """
    cells = sum((s + a) * (unit * size) ** 2 for s, a, size in zip(stabilizers, symbols, sizes, strict=True))
    return unit * sums + volume * cells
