"""How the fields of a grid lie in memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..grid import AXIS_NAMES, Grid


@dataclass(frozen=True)
class Layout:
    """How fields of a grid lie in memory: buffers ``(component, n0, n1, row)`` that hold cells or modes in place.

    Axes are embedded in three dimensions with the first outermost and the last innermost, so that loops, threads and slabs
    always run over index 0. With complex modes a row is padded to ``2*(n2//2 + 1)`` numbers, as in-place transforms need.
    """

    grid: Grid

    @cached_property
    def places(self) -> tuple[int, ...]:
        """Buffer axis (0, 1, 2) of every grid axis."""
        return {1: (2,), 2: (0, 2), 3: (0, 1, 2)}[self.grid.dim]

    def _embed(self, shape: tuple[int, ...]) -> tuple[int, int, int]:
        full = [1, 1, 1]
        for place, n in zip(self.places, shape, strict=True):
            full[place] = n
        return full[0], full[1], full[2]

    @cached_property
    def cells(self) -> tuple[int, int, int]:
        return self._embed(self.grid.shape)

    @cached_property
    def modes(self) -> tuple[int, int, int]:
        return self._embed(self.grid.spectral_shape)

    @property
    def parts(self) -> int:
        """Floats per mode."""
        return 2 if self.grid.complex_modes else 1

    @property
    def row(self) -> int:
        return self.parts * self.modes[2]

    def buffer_shape(self, components: int) -> tuple[int, int, int, int]:
        return components, *self.cells[:2], self.row

    @property
    def mirrored(self) -> bool:
        """Whether the outermost spectral axis runs over positive and negative wavenumbers."""
        return self.places[0] == 0 and self.grid.axes[0].basis == "fft"

    def flipped(self, axes: Iterable[int]) -> Layout:
        """The layout of what lies in the other basis along these axes of the grid."""
        return Layout(self.grid.flipped(axes)) if axes else self

    def extent(self, space: str) -> tuple[int, int, int]:
        return self.cells if space == "real" else self.modes

    def axis_array(self, name: str, dtype: str) -> np.ndarray:
        """The 1-D array a kernel knows by this name, e.g. ``k2_0``, ``weight_2``, ``x_0``, ``above_1``."""
        symbol, place = name[:-2], int(name[-1])
        n = self.cells[place]
        axis = dict(zip(self.places, self.grid.axes, strict=True)).get(place)
        if symbol in AXIS_NAMES:
            # A coordinate is the sum over the buffer's axes, of which only its own is not zero.
            own = symbol in self.grid.names and self.places[AXIS_NAMES.index(symbol)] == place
            return axis.centers.astype(dtype) if own and axis is not None else np.zeros(n, dtype)
        if symbol in ("above", "below"):
            step = 1 if symbol == "above" else -1
            neighbours = np.arange(n) + step
            wrap = axis is not None and axis.boundary == "periodic"
            return (neighbours % n if wrap else np.clip(neighbours, 0, n - 1)).astype(np.int32)
        if symbol in ("number", "mirror", "edge"):
            return self._numbers(symbol, place)
        if symbol == "scale":
            return np.full(n, 0.0 if axis is None else 0.5 / axis.spacing, dtype)
        if axis is None:
            return np.full(1, {"k2": 0.0}.get(symbol, 1.0), dtype)
        if symbol.startswith("back_"):
            axis, symbol = axis.flipped, symbol[5:]
        if symbol == "partner":
            return axis.partner.astype(np.int32)
        return np.asarray(getattr(axis, symbol), dtype)

    def _numbers(self, symbol: str, place: int) -> np.ndarray:
        """Of the modes along a buffer's axis, in the order of the whole grid whatever part of it is here:

        ``number``, of which the sum over the two outer axes names a row; ``mirror``, that of the mode of opposite wavenumber;
        ``edge``, whether halved complex modes contain their opposites, as 0 and n/2 do.
        """
        n = self.modes[place]
        index = np.arange(n)
        axis = dict(zip(self.places, self.grid.axes, strict=True)).get(place)
        if symbol == "edge":
            held = axis is not None and axis.basis == "rfft"
            return (held & ((index == 0) | (2 * index == (axis.n if axis else 0)))).astype(np.int32)
        if symbol == "mirror" and axis is not None and axis.basis == "fft":
            index = -index % n
        return (index * (self.modes[1] if place == 0 else 1)).astype(np.int32)


def cells_of(layout: Layout, host: np.ndarray) -> np.ndarray:
    """View of a host buffer's cells, shape ``(component, *grid.shape)``."""
    return host[..., : layout.cells[2]].reshape(host.shape[0], *layout.grid.shape)
