"""The snapshots of a run, or of any NetCDF file, read one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ConfigError, Unreadable, unknown
from ..images.image import Image, most_labels, of_raster, whole_numbers
from ..images.levels import best_separated
from ..images.raster import AXES, Array, Raster, checked, increasing, space_of, step_of, unit_of
from ..planes import ALONE, Group, Planes
from ..store import open_dataset, sweep_instead
from .wells import wells

if TYPE_CHECKING:
    import xarray as xr

#: Values of snapshots that are read to find the levels of a field.
_MOST_READ = 2**28


class Snapshots:
    """The snapshots of a run (or of any NetCDF file), read one at a time.

    Args:
        path: a run folder or a NetCDF file.
        field: name of the variable; by default one with components or an order parameter, of a run else the first.
        levels: values of the field in its two phases; by default the wells of the run's model, or found from all snapshots.
        group: processes of which each reads its planes alone; None for one.

    Raises:
        ConfigError: no such file, variable or axis; several images and no choice; coordinates in uneven steps.

    Axes named x, y, z may come in any order, and their coordinates fall; nothing varies along those that are missing before the
    last (x and y of ``c(z)``). Without such names the axes are x, y, z in their order. The spacing is that of the coordinates,
    or 1; along an axis that is missing or has one voxel, the smallest of the others.
    """

    def __init__(
        self,
        path: Path,
        field: str | None = None,
        levels: Sequence[float] | None = None,
        group: Group | None = None,
    ) -> None:
        file = path / "fields.nc" if path.is_dir() else path
        if not file.is_file():
            what = "holds no run: fields.nc is missing", "give a run folder or an image file"
            raise ConfigError(str(path), *(sweep_instead(path) or what))
        try:
            data = open_dataset(file)
        except Unreadable as error:
            raise ConfigError(str(file), error.reason, error.hint) from error
        run = path.is_dir() or path.name == "fields.nc"
        self._prepare(data, str(path), str(file), field, levels, file.with_name("config.yaml") if run else None)
        self.planes = ALONE if group is None else Planes(group, self._planes)

    @classmethod
    def of(cls, data: xr.Dataset, source: str, field: str, levels: Sequence[float] | None = None) -> Snapshots:
        """Those of a dataset that is open; ``source`` is what messages call it."""
        out = cls.__new__(cls)
        out._prepare(data, source, source, field, levels, None)
        return out

    def _prepare(
        self,
        data: xr.Dataset,
        source: str,
        file: str,
        field: str | None,
        levels: Sequence[float] | None,
        config: Path | None,
    ) -> None:
        """Chooses the variable and reads all but its values; ``config`` is the run's, None of what is no run."""
        self.data, self.source, self.config, self.planes = data, source, config, ALONE
        names = [str(n) for n, v in data.data_vars.items() if 1 <= len(space_of(v)) <= 3 and v.dtype.kind in "fiub"]
        if not names:
            raise ConfigError(file, f"has no image; its variables are {', '.join(map(str, data.data_vars))}")
        if field is not None and field not in names:
            raise unknown("field", field, names, "image variable")
        self.field = field or self._default(names)
        variable = data[self.field]
        if "t" in variable.dims and "time" not in variable.dims:
            variable = variable.rename({"t": "time"})
        self.space = space_of(variable)
        others = [str(d) for d in variable.dims if d not in ("time", *self.space)]
        self.component = next((d for d in others if d.startswith("component")), None)
        for dim in others:
            if dim != self.component and variable.sizes[dim] > 1:
                raise ConfigError(
                    file,
                    f"{self.field} has the axis {dim!r}, of which nothing is known; known are time, component, x, y, z",
                    "write one image, or rename the axis",
                )
        self.variable, turned = increasing(variable.isel({dim: 0 for dim in others if dim != self.component}), file)
        has_time = "time" in self.variable.dims
        times = self.variable["time"].values if has_time else np.array([np.nan])
        self.times = times.astype(float) if times.dtype.kind in "fiu" else np.arange(len(times), dtype=float)
        if not len(self.times):
            raise ConfigError(file, "holds no snapshots yet")
        walls = str(data.attrs.get("boundary", "")).split()
        known = walls if len(walls) == len(self.space) else ["periodic"] * len(self.space)
        self.missing = [i for i, name in enumerate(AXES) if self._misses(name)]
        steps = [step_of(self.variable, d, file) for d in self.space]
        self.told = any(s is not None for s in steps)
        self.unit = unit_of(self.variable, [d for d, s in zip(self.space, steps, strict=True) if s is not None], file)
        one = [self.variable.sizes[d] < 2 for d in self.space]
        # Any thickness does where nothing varies, but one of another order of magnitude makes a cell of needles or flakes.
        thin = min((s or 1.0 for s, o in zip(steps, one, strict=True) if not o), default=1.0)
        boundary = list(known)
        spacing = [thin if o else s or 1.0 for s, o in zip(steps, one, strict=True)]
        for i in self.missing:
            boundary.insert(i, "periodic")
            spacing.insert(i, thin)
        self.boundary, self.spacing = tuple(boundary), tuple(spacing)
        self.axes = self._axes(turned)
        self.levels = tuple(levels) if levels is not None else None
        self._how = ""
        self._distinct: Array | None = None
        self._decided = levels is not None or (self.component is not None and self.variable.sizes[self.component] > 1)

    @property
    def _planes(self) -> int:
        """Of the images, along x."""
        return 1 if 0 in self.missing else int(self.variable.sizes[self.space[0]])

    def _misses(self, axis: str) -> bool:
        named = [d for d in self.space if d in AXES]
        return bool(named) and axis not in named and axis < named[-1]

    def _axes(self, turned: Sequence[str]) -> str:
        """What is told of the axes."""
        names = [a for i, a in enumerate(AXES) if i not in self.missing]
        pairs = zip(self.space, names, strict=False)
        text = "the axes " + ", ".join(d if d == a else f"{d} as {a}" for d, a in pairs) + " of the file"
        return "; ".join([text, *(f"{d} falls in the file and was turned round" for d in turned)])

    def _default(self, names: list[str]) -> str:
        components = [n for n in names if any(str(d).startswith("component") for d in self.data[n].dims)]
        order = [n for n in names if n.startswith(("eta", "phi"))]
        if self.config is None and len(names) > 1 and not (components or order):
            raise ConfigError("field", "is not given, and the file has several images", f"one of {', '.join(names)}")
        return (components or order or names)[0]

    def __len__(self) -> int:
        return len(self.times)

    def _values(self, number: int) -> Array:
        """A snapshot's values, ([component,] x, y, z)."""
        chosen = self.variable.isel(time=number) if "time" in self.variable.dims else self.variable
        if self.planes.shared:
            mine = self.planes.mine
            chosen = chosen.isel({self.space[0]: slice(mine.start, mine.stop)})
        order = [*([self.component] if self.component else []), *self.space]
        values = self.planes.agreed(lambda: np.ascontiguousarray(self._loaded(chosen).transpose(*order).values))
        for axis in self.missing:
            values = np.expand_dims(values, axis + bool(self.component))
        return values[0] if self.component and values.shape[0] == 1 else values

    def _loaded(self, chosen: xr.DataArray) -> xr.DataArray:
        """Raises ConfigError where several processes read, so that it is said once."""
        try:
            return chosen.load()
        except (OSError, RuntimeError) as error:
            if not self.planes.shared:
                raise
            raise ConfigError(self.source, f"cannot be read: {error}", "is it complete?") from error

    def _read(self) -> Iterator[tuple[int, Array]]:
        """The snapshots that levels are found from: all, of very large files some, the first and the last among them."""
        one = self.variable.size // len(self.times)
        count = min(len(self.times), max(2, _MOST_READ // one))
        for number in sorted({round(k) for k in np.linspace(0, len(self.times) - 1, count)}):
            values = self._values(number)
            self._check(values)
            yield number, values

    def _check(self, values: Array, which: str = "") -> None:
        """Raises ConfigError."""
        self.planes.agreed(lambda: checked(values, f"{self.source}: {self.field}{which}"))

    @property
    def _many(self) -> bool:
        return "time" in self.variable.dims

    def _decide(self) -> None:
        """What the values are, the same for all snapshots: labels, or a field with levels of its own."""
        self._decided = True
        whole = self.config is None or self.variable.dtype.kind in "iub"
        distinct: Array | None = None
        if whole:
            for number in range(len(self.times)):
                values = self._values(number)
                self._check(values)
                found = self.planes.distinct(values) if whole_numbers(values, self.planes) else None
                distinct = found if distinct is None or found is None else np.union1d(distinct, found)
                if distinct is None or len(distinct) > most_labels(values):
                    distinct = None
                    break
        if distinct is not None:
            self._distinct = distinct
            return
        values = self._values(-1)
        if self.config is not None and self.config.is_file():
            least, most = self.planes.least(np.nanmin(values)), self.planes.most(np.nanmax(values))
            found_wells = wells(self.config, self.field, float(least), float(most))
            if found_wells is not None:
                self.levels, self._how = found_wells, "the wells of the model"
                return
        number, self.levels = best_separated(self._read(), self.planes)
        when = f" of the snapshot of time {self.times[number]:g}" if self._many and len(self.times) > 1 else ""
        self._how = f"the most frequent values on either side of a threshold{when}"

    def __getitem__(self, number: int) -> Image:
        if not self._decided:
            self._decide()
        values = self._values(number)
        time = float(self.times[number])
        when = None if np.isnan(time) else time
        raster = Raster(values, self.axes, self.spacing if self.told else None, self.unit)
        if self.component and self.variable.sizes[self.component] > 1:
            for k, image in enumerate(values):
                self._check(image, f" {k + 1}")
            whole = replace(raster, values=values[0])
            first = of_raster(whole, None, self.boundary, (0, 1), self.source, when, planes=self.planes)
            made = replace(first, kind="fields", values=values, spacing=self.spacing, found=False)
            return made.told("values", f"{len(values)} fields, one for each phase")
        source = f"{self.source}: {self.field}"
        made = of_raster(raster, None, self.boundary, self.levels, source, when, self._distinct, self._how, self.planes)
        labels = made.kind == "field" and bool(self._how) and whole_numbers(values, self.planes)
        return replace(made, spacing=self.spacing, whole=made.whole or labels)
