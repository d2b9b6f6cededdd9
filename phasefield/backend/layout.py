"""How the fields of a grid lie in memory."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..grid import AXIS_NAMES, Axis, Grid


@dataclass(frozen=True)
class Part:
    """The share that one of several ranks has of whatever is cut evenly.

    Attributes:
        rank: which, from 0 on. ranks: how many there are.
    """

    rank: int
    ranks: int

    def of(self, n: int) -> slice:
        """Its share of ``n`` indices."""
        return slice(n * self.rank // self.ranks, n * (self.rank + 1) // self.ranks)


@dataclass(frozen=True)
class Layout:
    """How fields of a grid lie in memory: buffers ``(component, n0, n1, row)`` that hold cells or modes in place.

    Axes are embedded in three dimensions with the first outermost and the last innermost, so that loops, threads and slabs
    always run over index 0. With complex modes a row is padded to ``2*(n2//2 + 1)`` numbers, as in-place transforms need.

    With a part, what is said of extents and 1-D arrays is said of that part: of cells it is a slab of axis 0, of modes the whole
    of axis 0 and a share of another one (`cut`), so that every transform along an axis is one rank's. In three dimensions the
    slab may be parted once more, into *pencils*: of cells along axis 1, of modes along axis 2 (`across`). A buffer then has
    room for either, one after the other, and for two rows beyond the ends of every parted axis: of cells those that gradients
    look at, of modes between walls those that derivatives do.

    Attributes:
        part: the share of a rank; None for all of the grid. across: the share of the slab.
    """

    grid: Grid
    part: Part | None = None
    across: Part = Part(0, 1)

    @cached_property
    def places(self) -> tuple[int, ...]:
        """Buffer axis (0, 1, 2) of every grid axis."""
        return {1: (2,), 2: (0, 2), 3: (0, 1, 2)}[self.grid.dim]

    def _embed(self, shape: tuple[int, ...]) -> tuple[int, int, int]:
        full = [1, 1, 1]
        for place, n in zip(self.places, shape, strict=True):
            full[place] = n
        return full[0], full[1], full[2]

    @property
    def whole(self) -> Layout:
        """Of all parts together."""
        return self if self.part is None else Layout(self.grid)

    @property
    def pencils(self) -> bool:
        """Whether slabs are parted once more."""
        return self.across.ranks > 1

    @property
    def of_ranks(self) -> list[Layout]:
        """Those of all ranks, in their order: pencils of a slab one after the other."""
        assert self.part is not None
        slabs, each = self.part.ranks, self.across.ranks
        return [Layout(self.grid, Part(p, slabs), Part(q, each)) for p in range(slabs) for q in range(each)]

    def _cuts(self, space: str) -> dict[int, Part]:
        """By axes of buffers the shares of what is parted."""
        if self.part is None:
            return {}
        first = {0 if space == "real" else self.cut: self.part}
        return first | ({1 if space == "real" else 2: self.across} if self.pencils else {})

    @property
    def cut(self) -> int:
        """The axis of buffers, 1 or 2, of which every rank has a share of the modes."""
        return 1 if self.grid.dim == 3 else 2

    @cached_property
    def cells(self) -> tuple[int, int, int]:
        return self._own("real", self._embed(self.grid.shape))

    @cached_property
    def modes(self) -> tuple[int, int, int]:
        return self._own("spectral", self._embed(self.grid.spectral_shape))

    def _own(self, space: str, extent: tuple[int, int, int]) -> tuple[int, int, int]:
        """What the part has of an extent of the whole."""
        lengths = list(extent)
        for place, part in self._cuts(space).items():
            share = part.of(lengths[place])
            lengths[place] = share.stop - share.start
        return lengths[0], lengths[1], lengths[2]

    def region(self, space: str) -> tuple[slice, slice, slice]:
        """Where the part's cells or modes are among the last three axes of a buffer of the whole."""
        lengths = self.whole.lengths(space)
        where = [slice(0, n) for n in lengths]
        for place, part in self._cuts(space).items():
            if place < 2:
                where[place] = part.of(lengths[place])
            else:  # of modes, which are not torn apart
                share = part.of(self.whole.modes[2])
                where[place] = slice(self.parts * share.start, self.parts * share.stop)
        return where[0], where[1], where[2]

    @property
    def parts(self) -> int:
        """Floats per mode."""
        return 2 if self.grid.complex_modes else 1

    @cached_property
    def row(self) -> int:
        """Numbers in a row of cells, padding included."""
        return self.parts * self.whole.modes[2]

    def lengths(self, space: str) -> tuple[int, int, int]:
        """The last three lengths of a buffer as it holds cells (``real``) or modes (``spectral``)."""
        if self.part is None:
            return self.cells[0], self.cells[1], self.row
        if space == "real":
            return self.cells[0] + 2, self.cells[1] + (2 if self.pencils else 0), self.row
        beyond = [2 * self.reaches(place) for place in range(3)]
        return self.modes[0], self.modes[1] + beyond[1], self.parts * self.modes[2] + beyond[2]

    def used(self, space: str) -> tuple[int, int, int]:
        """How many of these are the part's own, or padding of rows."""
        if space == "real":
            return self.cells[0], self.cells[1], self.row
        return self.modes[0], self.modes[1], self.parts * self.modes[2]

    def reaches(self, place: int) -> bool:
        """Whether derivatives along a buffer's axis read modes next to the part's own: between walls, where it is parted."""
        return place in self._cuts("spectral") and self.axis_at(place).boundary != "periodic"

    def axis_at(self, place: int) -> Axis:
        """The grid's axis of a buffer's."""
        return self.grid.axes[self.places.index(place)]

    def buffer_shape(self, components: int) -> tuple[int, int, int, int]:
        if self.part is None:
            return components, *self.lengths("real")
        return components, 1, 1, max(math.prod(self.lengths(space)) for space in ("real", "spectral"))

    @property
    def mirrored(self) -> bool:
        """Whether the outermost spectral axis runs over positive and negative wavenumbers."""
        return self.places[0] == 0 and self.grid.axes[0].basis == "fft"

    def flipped(self, axes: Iterable[int]) -> Layout:
        """The layout of what lies in the other basis along these axes of the grid."""
        return Layout(self.grid.flipped(axes), self.part, self.across) if axes else self

    def extent(self, space: str) -> tuple[int, int, int]:
        return self.cells if space == "real" else self.modes

    def axis_array(self, name: str, dtype: str) -> np.ndarray:
        """The 1-D array a kernel knows by this name, e.g. ``k2_0``, ``weight_2``, ``x_0``, ``above_1``."""
        symbol, place = name[:-2], int(name[-1])
        if self.part is not None:
            return self._own_array(symbol, place, self.whole.axis_array(name, dtype))
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

    def _own_array(self, symbol: str, place: int, values: np.ndarray) -> np.ndarray:
        """What the part has of a 1-D array."""
        in_cells = symbol in (*AXIS_NAMES, "above", "below", "scale")
        part = self._cuts("real" if in_cells else "spectral").get(place)
        if part is None:
            return values
        own = part.of(len(values))
        values = values[own]
        if symbol in ("above", "below"):
            return _here(values, own, symbol == "below")
        if symbol.removeprefix("back_") == "partner":
            # Next to each other, or the part's own: see `local`.
            return (
                _here(values, own, values < own.start) if self.reaches(place) else (values - own.start).astype(np.int32)
            )
        return values

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

    def local(self, axis: int) -> bool:
        """Whether the modes that a derivative along an axis of the grid reads are the part's own, or next to them."""
        place = self.places[axis]
        return self.parts == 2 or place not in self._cuts("spectral") or self.reaches(place)


def _here(values: np.ndarray, own: slice, below: bool | np.ndarray) -> np.ndarray:
    """Indices of the whole as those of a part: behind its own are those beyond its ends, first the one above."""
    inside = (own.start <= values) & (values < own.stop)
    return np.where(inside, values - own.start, own.stop - own.start + np.asarray(below, int)).astype(np.int32)


def shares_of(grid: Grid, ranks: int) -> tuple[int, int] | None:
    """Among how many slabs, and pencils of each, ``ranks`` share a grid: slabs alone where every rank gets one.

    None where some would have no cells or no modes.
    """
    layout = Layout(grid)
    if grid.dim == 1:
        return (1, 1) if ranks == 1 else None
    slabs, each = min(layout.cells[0], layout.modes[layout.cut]), min(layout.cells[1], layout.modes[2])
    if ranks <= slabs:
        return ranks, 1
    if grid.dim == 2:
        return None
    # Messages are fewest where the two exchanges are among as many ranks each.
    found = [(n, ranks // n) for n in range(1, slabs + 1) if ranks % n == 0 and ranks // n <= each]
    return min(found, key=lambda pair: (sum(pair), -pair[0]), default=None)


def part_of(grid: Grid, rank: int, ranks: int) -> Layout:
    """The layout of a rank's part, see `shares_of`."""
    shares = shares_of(grid, ranks)
    assert shares is not None, "asked for before"
    slabs, each = shares
    return Layout(grid, Part(rank // each, slabs), Part(rank % each, each))


def cells_of(layout: Layout, host: Any) -> Any:
    """View of a host buffer's cells, shape ``(component, *grid.shape)``; a buffer in `Boxes` stays where it is."""
    index: list[Any] = [slice(None), 0, 0, 0]
    for place, n in zip(layout.places, layout.grid.shape, strict=True):
        index[1 + place] = slice(0, n)
    return host[tuple(index)]
