"""Where fields are read from: a run's fields.nc, the local fields of a properties.nc, or any NetCDF file with x, y, z."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import OutputError
from ..report.drawing import Array, span_of, times_of
from ..report.reading import Field, fields_of
from ..store import SPACE, expanded, open_dataset, sweep_instead

if TYPE_CHECKING:
    import xarray as xr

#: Bytes read at once.
_SLAB = 8 << 20


@dataclass(frozen=True)
class Quantity:
    """A field of one or more components over space, as it is written.

    Attributes:
        data: axes (time,) (component,) x, y, z as far as it has them, read lazily. component: the axis of its components.
    """

    name: str
    data: xr.DataArray
    component: str | None
    labels: tuple[str, ...] = ()

    def slabs(self, index: int) -> Iterator[tuple[slice, Array]]:
        """Snapshot ``index`` piece by piece, in the order of VTK: (z,) (y,) x, components last where there are some.

        Yields:
            the slice of the outermost axis of space, and the numbers in it.
        """
        space = [d for d in reversed(SPACE) if d in self.data.dims]
        data = self.data.isel(time=index) if "time" in self.data.dims else self.data
        order = [*space, *([self.component] if self.component else [])]
        row = data.dtype.itemsize * data.size // data.sizes[space[0]]
        step = max(1, _SLAB // max(1, row))
        for start in range(0, data.sizes[space[0]], step):
            rows = slice(start, min(start + step, data.sizes[space[0]]))
            yield rows, np.ascontiguousarray(data.isel({space[0]: rows}).load().transpose(*order).values)


@dataclass(frozen=True)
class Lattice:
    """The cells that fields lie on: number, outer corner and size along x, y, z; of fewer dimensions the others are missing."""

    shape: tuple[int, ...]
    origin: tuple[float, ...]
    spacing: tuple[float, ...]


@dataclass(frozen=True)
class Source:
    """An open file of fields."""

    path: Path
    data: xr.Dataset

    @property
    def times(self) -> Array:
        """Times of the snapshots; of what has none, 0."""
        return times_of(self.data) if "time" in self.data.dims else np.zeros(1)

    @property
    def fields(self) -> list[Field]:
        """What can be drawn over time.

        Raises:
            OutputError: nothing.
        """
        if "time" not in self.data.dims:
            raise OutputError(
                f"{self.path}: has no dimension 'time', so there is nothing to draw\n"
                "  give a run folder; format=vtkhdf takes local fields as well"
            )
        return fields_of(self.data, self.path.parent)

    @property
    def quantities(self) -> list[Quantity]:
        """All that lies on the cells; what has more axes than components (loads) is taken apart.

        Raises:
            OutputError: nothing does.
        """
        found = []
        most = max((sum(d in a.dims for d in SPACE) for a in self.data.data_vars.values()), default=0)
        for key, array in self.data.data_vars.items():
            if array.dtype.kind not in "fiub" or not most or sum(d in array.dims for d in SPACE) != most:
                continue
            others = [str(d) for d in array.dims if d not in ("time", *SPACE)]
            outer, component = others[:-1], others[-1] if others else None
            names = {d: _labels(array, d) for d in others}
            for at in itertools.product(*(range(array.sizes[d]) for d in outer)):
                name = "_".join([str(key), *(names[d][k] for d, k in zip(outer, at, strict=True))])
                part = array.isel(dict(zip(outer, at, strict=True)))
                if component and part.sizes[component] == 1:
                    found.append(Quantity(name, part.isel({component: 0}), None))
                else:
                    found.append(Quantity(name, part, component, tuple(names[component]) if component else ()))
        if not found or not self.times.size:
            what = "holds no snapshot yet" if found else "holds no field over x, y, z"
            hint = "  wait for the run, or" if found else "  of a properties.nc: homogenize with fields=true;"
            raise OutputError(f"{self.path}: {what}\n{hint} give the folder of another run")
        return found

    def lattice(self, data: xr.DataArray) -> Lattice:
        """The cells that an array of this file lies on."""
        space = [d for d in SPACE if d in data.dims]
        spans = [span_of(data, d) for d in space]
        shape = tuple(data.sizes[d] for d in space)
        spacing = tuple((s.high - s.low) / n for s, n in zip(spans, shape, strict=True))
        return Lattice(shape, tuple(s.low for s in spans), spacing)


def _labels(array: xr.DataArray, dim: str) -> list[str]:
    values = array[dim].values.tolist() if dim in array.coords else range(1, array.sizes[dim] + 1)
    return [str(v) for v in values]


def place_of(source: str | Path) -> Path:
    """The file that is meant by a run folder or a file.

    Raises:
        OutputError: there is none.
    """
    path = expanded(source)
    if not path.is_dir():
        if not os.path.isfile(path):
            raise OutputError(
                f"{path}: there is no such file or folder\n  give a run folder or a NetCDF file of fields"
            )
        return path
    for name in ("fields.nc", "properties.nc"):
        if (path / name).is_file():
            return path / name
    what = sweep_instead(path) or ("holds neither fields.nc nor properties.nc", "give the folder of a run")
    raise OutputError("{}: {}\n  {}".format(path, *what))


@contextmanager
def opened(source: str | Path) -> Iterator[Source]:
    """The fields of a run folder or of a file, open while the block lasts.

    Raises:
        OutputError: there are none. Unreadable: the file is damaged.
    """
    path = place_of(source)
    with open_dataset(path, cache=False) as data:
        try:
            yield Source(path, data)
        except (
            RuntimeError
        ) as error:  # of the NetCDF library: the head of a file can be whole while its numbers are not
            raise OutputError(
                f"{path}: cannot be read to its end ({error})\n  restore the file or run again"
            ) from error
