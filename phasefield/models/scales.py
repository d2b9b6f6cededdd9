"""Sizes of a model's own quantities, against which something counts as small."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import sympy as sp

from ..grid import Grid
from .energy import EnergyModel


def energy_terms(model: EnergyModel, cells: np.ndarray) -> float:
    """Mean size of what the energy density is the sum of: terms that cancel in it, and values times their potentials.

    Round-off of a free energy is relative to this, not to what is left of it in equilibrium.

    Args:
        cells: values of the components, shape ``(components, ...)``; up to 64 cells spread over them are looked at.
    """
    flat = cells.reshape(len(cells), -1)
    points = flat[:, np.unique(np.linspace(0, flat.shape[1] - 1, 64).astype(int))].astype(float)
    terms = np.abs(model.evaluate([*sp.Add.make_args(model.energy), *model.potentials], points))
    terms[-len(points) :] *= np.abs(points)
    finite = np.isfinite(terms)
    return float(np.where(finite, terms, 0.0).sum() / max(points.shape[1], 1))


def energy_noise(
    model: EnergyModel, grid: Grid, stabilizers: Sequence[float], sizes: Sequence[float], sums: float, unit: float
) -> float:
    """The rise in free energy that round-off explains: of the terms of its sum, and of the cells where it is stationary.

    Args:
        stabilizers, sizes: of every component, its S as a bound on curvature and the root mean square of its values.
        sums: size of the terms that add up to the free energy. unit: relative round-off.
    """
    _, most = grid.wavenumbers
    cells = sum(
        (s + max(f.kappas) * most) * (unit * size) ** 2
        for (f, _), s, size in zip(model.components, stabilizers, sizes, strict=True)
    )
    return unit * sums + grid.volume * cells
