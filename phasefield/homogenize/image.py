"""Microstructures from run folders and image files, ready to become voxels.

An image is one of three kinds: ``labels`` (whole numbers: one phase per value), ``field`` (one diffuse field between two
phases) or ``fields`` (one diffuse indicator per phase or grain).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ConfigError
from ..pixels import TIFF, read_array, read_pixels
from ..store import open_dataset
from . import voxels
from .tensors import AXES, Array
from .voxels import Voxels

#: More values are a field; more than a few grey levels of a picture are one as well.
_MOST_LABELS, _FEW_LABELS = 65536, 32
_IMAGES = (*TIFF, ".png", ".npy", ".nc")


@dataclass(frozen=True)
class Image:
    """A microstructure.

    Attributes:
        kind: ``labels``, ``field`` or ``fields``.
        values: phase numbers; or the field; or (phases, ...) fields.
        spacing: edge lengths of a voxel. boundary: per axis, ``periodic`` or not, for gradients.
        levels: of a field, its value in phase 0 and in phase 1.
        time: of the snapshot. source: where it was read.
        names: of the values that labels stand for, e.g. grey levels.
    """

    kind: str
    values: np.ndarray
    spacing: tuple[float, ...]
    boundary: tuple[str, ...]
    levels: tuple[float, float] = (0.0, 1.0)
    time: float | None = None
    source: str = ""
    names: tuple[str, ...] = ()
    _made: dict[str, Voxels] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape[1:] if self.kind == "fields" else self.values.shape

    @property
    def phases(self) -> int:
        if self.kind == "labels":
            return max(len(self.names), int(self.values.max()) + 1)
        return 2 if self.kind == "field" else len(self.values)

    @property
    def labels(self) -> tuple[float, ...]:
        """What the phases are called in a table of grains: the values of labels; 0 and 1 for the low and the high phase of a
        field; the numbers of fields, from 1 as in the run's files.
        """
        if self.kind == "labels" and self.names:
            return tuple(float(n) for n in self.names)
        first = 1 if self.kind == "fields" else 0
        return tuple(float(k) for k in range(first, first + self.phases))

    @cached_property
    def indicator(self) -> Array:
        """The field scaled to 0 in phase 0 and 1 in phase 1."""
        low, high = self.levels
        return np.asarray((self.values.astype(float) - low) / (high - low))

    def voxels(self, rule: str = "laminate") -> Voxels:
        """The voxels under a mixing rule; labels are sharp under any. Those of the first rule asked for are kept."""
        if rule in self._made:
            return self._made[rule]
        made = self._make(rule)
        if not self._made:  # those of another rule serve one estimate
            self._made[rule] = made
        return made

    def _make(self, rule: str) -> Voxels:
        if self.kind == "labels":
            return voxels.from_labels(self.values, self.spacing, self.phases)
        if self.kind == "fields":
            usable = rule if rule in ("laminate", "sharp") else "laminate"
            return voxels.from_fields(self.values, usable, self.spacing, self.boundary)
        return voxels.from_field(self.indicator, rule, self.spacing, self.boundary)

    @property
    def diffuse(self) -> bool:
        """Whether mixing rules make a difference."""
        if self.kind == "labels":
            return False
        return self.kind == "fields" or bool(np.any((self.indicator > 0.01) & (self.indicator < 0.99)))

    @property
    def outline(self) -> Image:
        """The same for what is written of it: kind, shape, spacing, phases and labels, without the room that values take."""
        return replace(self, values=np.broadcast_to(self.values.max(), self.values.shape))

    def coarse(self) -> Image:
        """The same on half as many voxels per axis."""
        axes = range(1, self.values.ndim) if self.kind == "fields" else range(self.values.ndim)
        labels = self.kind == "labels"
        values = self._coarse_labels() if labels else voxels.coarsened(self.values.astype(float), list(axes))
        shape = values.shape[-len(self.shape) :]
        spacing = tuple(s * n / m for s, n, m in zip(self.spacing, self.shape, shape, strict=True))
        return replace(self, values=values, spacing=spacing)

    def _coarse_labels(self) -> np.ndarray:
        """The phase that fills most of a coarse voxel; on equality the rarer one, which else would fade."""
        best: Array | None = None
        out = np.zeros(0)
        counts = np.bincount(self.values.ravel().astype(np.int64))
        for number in np.flatnonzero(counts):
            share = (
                voxels.coarsened(self.values == number, range(self.values.ndim)) - 1e-9 * counts[number] / counts.sum()
            )
            if best is None:
                best, out = share, np.full(share.shape, number)
            else:
                out = np.where(share > best, number, out)
                best = np.maximum(share, best)
        return out.astype(self.values.dtype)


def _whole(array: Array) -> bool:
    """Whether a field of floating-point numbers holds whole numbers only."""
    return bool(np.array_equal(array[:1], np.rint(array[:1])) and np.array_equal(array, np.rint(array)))


def two_levels(field: Array) -> tuple[float, float]:
    """Values of a field in its two phases: the most frequent ones on either side of Otsu's threshold (Otsu 1979).

    Of a field that lies between 0 and 1, or -1 and 1, and comes near to both, these are its levels if the most frequent values
    are close to them, or if there are none: bulk that hardly is any has no level of its own.
    """
    flat = field[np.isfinite(field)].ravel()
    low, high = float(flat.min()), float(flat.max())
    if not high > low:
        return low, low + 1.0
    counts, edges = np.histogram(flat, 256, (low, high))
    centers = (edges[1:] + edges[:-1]) / 2
    weight = np.cumsum(counts)
    moment = np.cumsum(counts * centers)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (moment[-1] * weight / weight[-1] - moment) ** 2 / (weight * (weight[-1] - weight))
    threshold = edges[1:][int(np.nanargmax(np.where(np.isfinite(between), between, -1)))]
    found = (_peak(flat[flat <= threshold], low), _peak(flat[flat > threshold], high))
    for ends in ((0.0, 1.0), (-1.0, 1.0)):
        near, beyond = 0.05 * (ends[1] - ends[0]), 0.01 * (ends[1] - ends[0])
        if -beyond <= low - ends[0] < near and -beyond <= ends[1] - high < near:
            pairs = zip(ends, found, strict=True)
            a, b = (end if not clear or abs(value - end) < 2 * beyond else value for end, (value, clear) in pairs)
            return a, b
    return found[0][0], found[1][0]


def _peak(values: Array, default: float) -> tuple[float, bool]:
    """The most frequent value, and whether it stands out: the median of the highest bin, whose mean the interfaces' tails would
    draw in.
    """
    if not len(values) or values.min() == values.max():
        return (float(values[0]) if len(values) else default), True
    counts, edges = np.histogram(values, max(8, min(64, len(values) // 16)))
    best = int(counts.argmax())
    inside = values[(values >= edges[best]) & (values <= edges[best + 1])]
    return float(np.median(inside)), bool(counts[best] > 3 * counts.mean())


def from_array(
    values: Any,
    spacing: Sequence[float] | None = None,
    boundary: Sequence[str] | None = None,
    levels: Sequence[float] | None = None,
    source: str = "image",
    time: float | None = None,
) -> Image:
    """An image from an array: whole numbers of few distinct values are labels, anything else is a field of two phases.

    Args:
        values: the axes are x, y, z in this order; nothing varies along one of length 1.

    Raises:
        ConfigError: NaN, too few voxels or axes, levels that are equal.
    """
    array = voxels.checked(values, source)
    space = tuple(spacing) if spacing is not None else (1.0,) * array.ndim
    if len(space) != array.ndim or min(space) <= 0:
        raise ConfigError("spacing", f"is {list(space)}; {array.ndim} positive numbers are expected for {source}")
    walls = tuple(boundary) if boundary is not None else ("periodic",) * array.ndim
    if levels is None and (array.dtype.kind in "iub" or _whole(array)):
        distinct = np.unique(array)
        grey = array.dtype.kind == "f" or (array.dtype.kind == "u" and array.dtype.itemsize == 1)
        if len(distinct) <= (_FEW_LABELS if grey else _MOST_LABELS):
            numbers = np.searchsorted(distinct, array).astype(np.int32)
            names = tuple(f"{v:g}" for v in distinct.astype(float))
            return Image("labels", numbers, space, walls, time=time, source=source, names=names)
    if levels is not None and (len(levels) != 2 or not levels[0] != levels[1]):
        raise ConfigError(
            "levels", f"is {list(levels)}; the field's values in the two phases are expected, e.g. [0, 1]"
        )
    pair = (float(levels[0]), float(levels[1])) if levels is not None else two_levels(array.astype(float))
    return Image("field", array, space, walls, pair, time, source)


def read_file(path: Path, levels: Sequence[float] | None = None) -> Image:
    """An image from a TIFF, PNG or npy file, or the last of a NetCDF file.

    Arrays have the axes x, y, z in their order; pictures the rows along x and the columns along y; stacks of pages the pages
    along x, the rows along y and the columns along z. Axes of NetCDF files go by their names, see `Snapshots`.

    Args:
        levels: values in the two phases; by default found.

    Raises:
        ConfigError: no such file, a format that is not known, or content that is no image.
    """
    suffix = path.suffix.lower()
    if not os.path.exists(path):
        raise ConfigError(str(path), "there is no such file or folder")
    spacing = None
    try:
        if suffix == ".npy":
            array = read_array(path)
        elif suffix in (*TIFF, ".png"):
            array, spacing = read_pixels(path)
        elif suffix == ".nc":
            return Snapshots(path, None, levels)[-1]
        else:
            raise ConfigError(str(path), f"is no image that can be read; expected {', '.join(_IMAGES)} or a run folder")
    except ConfigError:
        raise
    except Exception as error:  # what the readers raise on a damaged file is anything
        raise ConfigError(
            str(path), f"cannot be read: {' '.join(str(error).split()) or type(error).__name__}"
        ) from error
    return from_array(array, spacing, None, levels, path.name)


class Snapshots:
    """The snapshots of a run (or of any NetCDF file), read one at a time.

    Args:
        path: a run folder or a NetCDF file.
        field: name of the variable; by default one with components or an order parameter, of a run else the first.
        levels: values of the field in its two phases; by default found from the last snapshot.

    Raises:
        ConfigError: no such file, variable or axis; several images and no choice.

    Axes named x, y, z may come in any order; nothing varies along those that are missing before the last (x and y of ``c(z)``).
    Without such names the axes are x, y, z in their order. The spacing is that of the coordinates, or 1; along an axis that is
    missing or has one voxel, the smallest of the others.
    """

    def __init__(self, path: Path, field: str | None = None, levels: Sequence[float] | None = None) -> None:
        file = path / "fields.nc" if path.is_dir() else path
        if not file.is_file():
            raise ConfigError(str(path), "holds no run: fields.nc is missing", "give a run folder or an image file")
        try:
            self.data = open_dataset(file)
        except Exception as error:
            # Where no reader takes the file, the message is a manual of readers.
            what = "is empty" if not file.stat().st_size else "is no NetCDF file, or a damaged one"
            text = what if isinstance(error, ValueError) else f"cannot be read: {' '.join(str(error).split())}"
            raise ConfigError(str(file), text) from error
        self.source = str(path)
        names = [str(n) for n, v in self.data.data_vars.items() if self._space(v) and v.dtype.kind in "fiub"]
        if not names:
            raise ConfigError(str(file), f"has no image; its variables are {', '.join(map(str, self.data.data_vars))}")
        if field is not None and field not in names:
            from .materials import unknown

            raise unknown("field", field, names, "image variable")
        single = not path.is_dir() and path.name != "fields.nc"
        self.field = field or self._default(names, single)
        self.variable = self.data[self.field]
        self.space = self._space(self.variable)
        others = [str(d) for d in self.variable.dims if d not in ("time", *self.space)]
        self.component = next((d for d in others if d.startswith("component")), None)
        for dim in others:
            if dim != self.component and self.variable.sizes[dim] > 1:
                raise ConfigError(
                    str(file),
                    f"{self.field} has the axis {dim!r}, of which nothing is known; known are time, component, x, y, z",
                    "write one image, or rename the axis",
                )
        self.variable = self.variable.isel({dim: 0 for dim in others if dim != self.component})
        self.times = self.data["time"].values.astype(float) if "time" in self.variable.dims else np.array([np.nan])
        if not len(self.times):
            raise ConfigError(str(file), "holds no snapshots yet")
        walls = str(self.data.attrs.get("boundary", "")).split()
        known = walls if len(walls) == len(self.space) else ["periodic"] * len(self.space)
        self.missing = [i for i, name in enumerate(AXES) if self._misses(name)]
        found = [self._step(d) for d in self.space]
        # Any thickness does where nothing varies, but one of another order of magnitude makes a cell of needles or flakes.
        thin = min((s for s in found if s is not None), default=1.0)
        boundary, steps = list(known), [thin if s is None else s for s in found]
        for i in self.missing:
            boundary.insert(i, "periodic")
            steps.insert(i, thin)
        self.boundary = tuple(boundary)
        self.spacing = tuple(steps)
        self.levels = tuple(levels) if levels is not None else None

    @staticmethod
    def _space(variable: Any) -> list[str]:
        named = [d for d in AXES if d in variable.dims]
        if named:
            return named
        rest = [str(d) for d in variable.dims if d != "time" and not str(d).startswith("component")]
        return rest if 1 <= len(rest) <= 3 else []

    def _misses(self, axis: str) -> bool:
        named = [d for d in self.space if d in AXES]
        return bool(named) and axis not in named and axis < named[-1]

    def _default(self, names: list[str], single: bool) -> str:
        components = [n for n in names if any(str(d).startswith("component") for d in self.data[n].dims)]
        order = [n for n in names if n.startswith(("eta", "phi"))]
        if single and len(names) > 1 and not (components or order):
            raise ConfigError("field", "is not given, and the file has several images", f"one of {', '.join(names)}")
        return (components or order or names)[0]

    def _step(self, dim: str) -> float | None:
        """Distance of the voxels' centres, 1 without coordinates, None of one voxel."""
        if self.data.sizes[dim] < 2:
            return None
        if dim not in self.data.coords:
            return 1.0
        values = self.data[dim].values.astype(float)
        return float(abs(values[-1] - values[0]) / (len(values) - 1)) or 1.0

    def __len__(self) -> int:
        return len(self.times)

    def __getitem__(self, number: int) -> Image:
        chosen = self.variable.isel(time=number) if "time" in self.variable.dims else self.variable
        order = ([self.component] if self.component else []) + self.space
        values = chosen.transpose(*order).values
        for axis in self.missing:
            values = np.expand_dims(values, axis + bool(self.component))
        time = float(self.times[number])
        when = None if np.isnan(time) else time
        if self.component and values.shape[0] > 1:
            for k, image in enumerate(values):
                voxels.checked(image, f"{self.source}: {self.field} {k + 1}")
            return Image("fields", values, self.spacing, self.boundary, time=when, source=self.source)
        if self.component:
            values = values[0]
        if self.levels is None and values.dtype.kind == "f":
            last = self.variable.isel(time=-1).values if "time" in self.variable.dims else values
            self.levels = two_levels(np.asarray(last, float))
        return from_array(values, self.spacing, self.boundary, self.levels, f"{self.source}: {self.field}", when)
