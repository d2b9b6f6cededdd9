"""A few cells that stand for all: what has to be known of initial values that are made slab by slab."""

from __future__ import annotations

import math

import numpy as np

from ..grid import Grid
from .options import Array

_PICKS = 48
#: Values up to which all of them are kept.
_WHOLE = 2**22


class Sample:
    """Gathers from slabs an array ``(components, n)`` with the extremes, the mean and 48 evenly spaced cells of the whole field.

    The evenly spaced cells are the evenly spaced columns of the array, so whoever looks at 48 of these sees the same.
    """

    def __init__(self, grid: Grid, components: int) -> None:
        self._cells, self._row = grid.cells, grid.cells // grid.shape[0]
        self._picks = np.unique(np.linspace(0, grid.cells - 1, _PICKS).astype(int))
        self._picked: list[Array] = []
        self._sums: list[Array] = []
        self._largest, self._smallest = np.full(components, -np.inf), np.full(components, np.inf)
        self._at = np.zeros(
            (2, components, components)
        )  # all components where one is largest, and where it is smallest
        self._whole: list[Array] = []
        self._keep = grid.cells * components <= _WHOLE

    def add(self, rows: slice, values: Array) -> None:
        """The next slab, shape ``(components, rows, ...)``."""
        flat = values.reshape(len(values), -1)
        start = rows.start * self._row
        own = self._picks[(self._picks >= start) & (self._picks < start + flat.shape[1])]
        self._picked.append(flat[:, own - start])
        self._sums.append(flat.sum(axis=1))
        high, low = flat.argmax(axis=1), flat.argmin(axis=1)
        for i in range(len(flat)):
            if flat[i, high[i]] > self._largest[i]:
                self._largest[i], self._at[0, i] = flat[i, high[i]], flat[:, high[i]]
            if flat[i, low[i]] < self._smallest[i]:
                self._smallest[i], self._at[1, i] = flat[i, low[i]], flat[:, low[i]]
        if self._keep:
            self._whole.append(flat)

    def array(self) -> Array:
        """The sample; all cells of a small field."""
        if self._keep:
            return np.concatenate(self._whole, axis=1)
        picked, extremes, mean = self._parts()
        # Between two evenly spaced cells go an extreme or values about the mean, which make the mean what it is.
        between = max(16, 1 + -(-extremes.shape[1] // (picked.shape[1] - 1)))
        out = np.empty((len(mean), between * (picked.shape[1] - 1) + 1))
        free = np.arange(out.shape[1]) % between != 0
        free[np.flatnonzero(free)[: extremes.shape[1]]] = False
        out[:, ::between] = picked
        out[:, ~free & (np.arange(out.shape[1]) % between != 0)] = extremes
        rest = mean - ((picked - mean[:, None]).sum(axis=1) + (extremes - mean[:, None]).sum(axis=1)) / free.sum()
        out[:, free] = np.clip(rest, self._smallest, self._largest)[:, None]
        return out

    def few(self) -> Array:
        """The evenly spaced cells, the extremes and, last, the mean: shape ``(components, about 50)``."""
        picked, extremes, mean = self._parts()
        return np.concatenate([picked, extremes, mean[:, None]], axis=1)

    def _parts(self) -> tuple[Array, Array, Array]:
        mean = np.array([math.fsum(part) for part in zip(*self._sums, strict=True)]) / self._cells
        return np.concatenate(self._picked, axis=1), self._at.reshape(-1, len(mean)).T, mean
