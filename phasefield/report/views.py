"""What of a field is looked at: a component of it or all together, in 3-D a plane; and the colours of what is seen there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..errors import ConfigError, guess, unknown
from .drawing import COLORMAP, NOT_FINITE, Array, Span, palette, span_of
from .home import settle
from .reading import Field

#: Planes of a 3-D field: the axis to the right, the axis upwards, the normal.
PLANES = (("x", "y", "z"), ("x", "z", "y"), ("y", "z", "x"))
_GREY = int(NOT_FINITE[1:3], 16)


@dataclass(frozen=True)
class View:
    """A field as it is looked at.

    Attributes:
        field: with components only where all are seen together, as a map of grains.
        right, up: the axes of the picture; ``up`` is empty for a field of one dimension.
        normal, place: of the plane in a 3-D field, an index; empty and 0 otherwise.
    """

    field: Field
    right: str
    up: str = ""
    normal: str = ""
    place: int = 0

    @property
    def shape(self) -> tuple[int, int]:
        """Cells to the right and upwards."""
        return self.field.data.sizes[self.right], self.field.data.sizes[self.up] if self.up else 1

    @property
    def spans(self) -> tuple[Span, Span | None]:
        """The axes of the picture, with their outer edges."""
        return span_of(self.field.data, self.right), span_of(self.field.data, self.up) if self.up else None

    @property
    def title(self) -> str:
        """The field, and the plane in coordinates."""
        if not self.normal:
            return self.field.name
        span, n = span_of(self.field.data, self.normal), self.field.data.sizes[self.normal]
        at = span.low + (self.place + 0.5) * (span.high - span.low) / n
        return f"{self.field.name}, {self.normal} = {at:.4g} {span.label[3:-1]}".rstrip()

    def values(self, index: int) -> Array:
        """Snapshot ``index`` as [right, up] (or [right]), behind the components where there are some; only this is read."""
        return self.field.values(index, **({self.normal: self.place} if self.normal else {}))


def labels_of(field: Field) -> list[str]:
    """What the components of a field are called; none for a scalar."""
    if field.component is None:
        return []
    if field.component in field.data.coords:
        return [str(v) for v in field.data[field.component].values.tolist()]
    return [str(k + 1) for k in range(field.data.sizes[field.component])]


def part_of(field: Field, number: int) -> Field:
    """One component of a field, counted from 0, as a field of its own."""
    label = labels_of(field)[number]
    data = field.data.isel({field.component: number})
    return replace(field, name=f"{field.name}_{label}", label=f"{field.label} {label}", data=data, component=None)


def chosen(fields: Sequence[Field], name: str | None = None) -> Field:
    """A field by its name, or a component as it is called in the file (``eta_2``); the first field without a name.

    Raises:
        ConfigError: there is none of that name.
    """
    if not name:
        return fields[0]
    known = {field.name: field for field in fields}
    if name in known:
        return known[name]
    for field in fields:
        for number, label in enumerate(labels_of(field)):
            if name == f"{field.name}_{label}":
                return part_of(field, number)
    raise unknown("field", name, [*known, *(f"{f.name}_{k}" for f in fields for k in labels_of(f)[:4])], "field")


def view_of(field: Field, slice_: str | None = None) -> View:
    """The view of a field.

    Args:
        slice_: of a 3-D field, ``AXIS:PLACE``: the plane that an axis is normal to, at a place from 0 to 1 along it; by default
            ``z:0.5``.

    Raises:
        ConfigError: a slice that will not do, or one of a field that is not three-dimensional.
    """
    space = field.space
    if len(space) < 3:
        if slice_:
            raise ConfigError("slice", f"is {slice_}, but {field.name} has {len(space)} dimensions", "leave it out")
        return View(field, space[0], space[1] if len(space) > 1 else "")
    axis, _, text = (slice_ or "z:0.5").partition(":")
    try:
        place = float(text or 0.5)
    except ValueError:
        place = -1.0
    if axis not in space or not 0 <= place <= 1:
        raise ConfigError(
            "slice", f"is {slice_!r}; an axis and a place from 0 to 1 along it are expected", "as in slice=z:0.5"
        )
    right, up, normal = next(p for p in PLANES if p[2] == axis)
    n = field.data.sizes[normal]
    return View(field, right, up, normal, min(int(place * n), n - 1))


def color_table(name: str = COLORMAP) -> Array:
    """The 256 colours of one of Matplotlib's colour maps, shape (256, 3), uint8.

    Raises:
        ConfigError: there is no such map.
    """
    settle()
    from matplotlib import colormaps

    try:
        colors = colormaps[name](np.linspace(0, 1, 256))
    except KeyError:
        raise ConfigError(
            "colormap",
            f"there is no map {name!r}{guess(name, list(colormaps))}",
            "one of Matplotlib's: viridis, cividis, magma, gray, coolwarm, RdBu, ...",
        ) from None
    return np.round(255 * colors[:, :3]).astype(np.uint8)


def colored(values: Array, limits: tuple[float, float], table: Array) -> Array:
    """The colours of values, uint8 with an axis of 3 behind theirs; grey where they are not finite."""
    low, high = limits
    finite = np.isfinite(values)
    places = (np.where(finite, values, low) - low) * (256 / (high - low))
    colors = table[np.clip(places, 0, 255).astype(np.intp)]
    colors[~finite] = _GREY
    return colors


def bulk_of(squares: Array) -> float:
    """The sum of squares inside grains, which the boundaries between them fall below."""
    finite = squares[np.isfinite(squares)]
    return float(np.percentile(finite, 98)) if finite.size else 0.0


def squares_of(values: Array) -> Array:
    """The sum over components of the squares of values, [component, ...]."""
    return np.square(values, dtype=float).sum(axis=0)


def grain_map(values: Array, bulk: float) -> Array:
    """The colours of components, [component, right, up]: of the largest one, darker where the sum of squares is below ``bulk``.

    Returns:
        Shape (right, up, 3), from 0 to 1; grey where values are not finite.
    """
    total = squares_of(values)
    known = np.isfinite(total)
    largest = np.where(known, np.abs(values), 0.0).argmax(axis=0)
    shade = np.clip(np.where(known, total, 0.0) / bulk, 0, 1) ** 2 if bulk > 0 else np.ones_like(total)
    return np.where(known[..., None], palette(len(values))[largest] * shade[..., None], _GREY / 255)
