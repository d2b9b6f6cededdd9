"""Cells that lie in an unstable state which nothing has reached yet, as ahead of a front that invades it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ..backend import Layout
from ..grid import Grid
from .energy import EnergyModel

Array = NDArray[np.float64]

#: Numbers of a state that a look takes.
_LOOKED_AT = 2048
#: Gradient energy, against what a fluctuation as large as the field's would gain, below which a cell lies in a uniform state.
_UNIFORM = 0.1
#: Share of the cells below which what they lie in decides nothing.
_FEW = 0.02


class UnstableCells:
    """Finds cells that are unstable and uniform. Across an interface they are unstable where the gradient is largest.

    Units do not matter: what is compared are energy densities, and all that enters of a field's size is its fluctuation.

    Attributes:
        picks: places in a buffer: of cells spread over the grid, and, axis by axis, of those beside them.
    """

    def __init__(self, model: EnergyModel, grid: Grid) -> None:
        fields = [f for f, _ in model.components]
        self._kappas = np.array([np.broadcast_to(f.kappas, grid.dim) for f in fields], dtype=float)
        self._spacings = [axis.spacing for axis in grid.axes]
        self.picks = _picks(grid, _LOOKED_AT // (1 + len(fields)))

    def __call__(
        self, sample: Sequence[np.ndarray], fluctuation: Sequence[float], potentials: Callable[[Array], Array]
    ) -> tuple[Array, float]:
        """The values of those cells, shape ``(components, n)``, none if they are few, and the largest curvature of f in any cell
        against that with which it falls in them.

        Args:
            sample: the state at `picks`, as found in its buffer. fluctuation: root mean square, of every component.
            potentials: df/du of states of shape ``(components, n)``.
        """
        here, *beside = (cells.reshape(len(fluctuation), -1).astype(float) for cells in sample)
        ways = zip(beside, self._kappas.T, self._spacings, strict=True)
        gradient = sum(kappa @ ((there - here) / spacing) ** 2 for there, kappa, spacing in ways)
        least, most = _curvature(here, np.array(fluctuation), potentials)
        uniform = gradient < -_UNIFORM * least
        if not uniform.mean() > _FEW:
            return here[:, :0], 1.0
        return here[:, uniform], most.max() / -least.min()


def _curvature(values: Array, size: Array, potentials: Callable[[Array], Array]) -> tuple[Array, Array]:
    """The least and the largest second derivative of f for changes by ``size`` of one component or a mixture of two.

    The least is negative where f is unstable. That three are so together of which no two are is left out.
    """
    count = len(values)
    step = np.maximum(1e-4 * size, 1e-5 * np.abs(values).max(axis=1))  # differences have to survive rounding
    hessian = np.zeros((count, count, values.shape[1]))
    for j in np.flatnonzero(step):
        moved = np.zeros((count, 1))
        moved[j] = step[j]
        force = potentials(values + moved) - potentials(values - moved)
        hessian[:, j] = size[:, None] * size[j] * force / (2 * step[j])
    hessian[:, :, ~np.isfinite(hessian).all(axis=(0, 1))] = 0.0  # beyond the domain of f
    diagonal = np.einsum("iin->in", hessian)
    least, most = diagonal.min(axis=0), diagonal.max(axis=0)
    one, other = np.triu_indices(count, 1)
    if one.size:
        middle, half = (diagonal[one] + diagonal[other]) / 2, (diagonal[one] - diagonal[other]) / 2
        reach = np.hypot(half, hessian[one, other])
        least, most = (
            np.minimum(least, (middle - reach).min(axis=0)),
            np.maximum(most, (middle + reach).max(axis=0)),
        )
    return least, most


def _picks(grid: Grid, most: int) -> list[tuple[slice, ...]]:
    layout = Layout(grid)
    stride = max(1, math.ceil((math.prod(grid.shape) / most) ** (1 / grid.dim)))
    # The last cell of an axis has none beside it.
    here = [slice(0, max(1, n - 1), stride) for n in layout.cells]
    picks = [here]
    for place in layout.places:
        there = list(here)
        if (n := layout.cells[place]) > 1:
            there[place] = slice(1, n, stride)
        picks.append(there)
    return [(slice(None), *pick) for pick in picks]
