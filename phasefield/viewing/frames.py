"""Frames of pictures and films: the snapshots that are asked for, cell by cell in colours of one range."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import ConfigError
from ..report.drawing import Array, finite_range, when_of
from ..report.views import View, bulk_of, chosen, color_table, colored, grain_map, squares_of, view_of
from ..signals import check
from .settings import FieldKeys
from .source import Source


@dataclass(frozen=True)
class Frames:
    """Snapshots to draw.

    Attributes:
        indices: which. limits: values of the first and the last colour; None of components, which have the colours of grains.
    """

    source: Source
    view: View
    indices: tuple[int, ...]
    limits: tuple[float, float] | None
    table: Array
    bulk: float

    @classmethod
    def of(cls, source: Source, keys: FieldKeys) -> Frames:
        """What the keys ask for.

        Raises:
            ConfigError: a field, slice, time or colour map that there is not. OutputError: nothing to draw.
        """
        field = chosen(source.fields, keys.field)
        if len(field.space) < 2:
            raise ConfigError(
                "format",
                f"{field.name} has one dimension, which makes no picture cell by cell",
                "phasefield report draws it as a curve",
            )
        view = view_of(field, keys.slice)
        indices = snapshots(source, keys)
        table = color_table(keys.colormap)
        if field.component is not None:
            if keys.range:
                raise ConfigError(
                    "range",
                    f"means nothing to the map of grains that is drawn of {field.name}",
                    f"draw a component, field={field.name}_1",
                )
            return cls(source, view, indices, None, table, bulk_of(squares_of(view.values(indices[-1]))))
        limits = (keys.range[0], keys.range[1]) if keys.range else finite_range(_each(view, indices))
        return cls(source, view, indices, limits, table, 0.0)

    @property
    def shape(self) -> tuple[int, int]:
        """Cells to the right and upwards."""
        return self.view.shape

    def colors(self, index: int) -> Array:
        """A snapshot as rows of pixels from the top down, shape (up, right, 3), uint8: one a cell."""
        values = self.view.values(index)
        if self.limits is None:
            colors = np.round(255 * grain_map(values, self.bulk)).astype(np.uint8)
        else:
            colors = colored(values, self.limits, self.table)
        return np.ascontiguousarray(colors.swapaxes(0, 1)[::-1])

    def when(self, index: int) -> str:
        return when_of(float(self.source.times[index]), self.source.data)

    @property
    def told(self) -> str:
        """What is drawn, in a line."""
        count = f"{len(self.indices)} snapshots" if len(self.indices) > 1 else self.when(self.indices[0])
        if self.limits is None:
            return f"{self.view.title}: {count}; the largest of the components, darker between grains"
        return f"{self.view.title}: {count}, colours from {self.limits[0]:.6g} to {self.limits[1]:.6g} at all times"


def _each(view: View, indices: Sequence[int]) -> Iterator[Array]:
    for index in indices:
        check()
        yield view.values(index)


def snapshots(source: Source, keys: FieldKeys) -> tuple[int, ...]:
    """The snapshots that ``time`` and ``every`` choose.

    Raises:
        ConfigError: a time beyond those that are kept.
    """
    times = source.times
    if keys.time is None:
        last = times.size - 1
        return tuple(sorted({*range(0, last + 1, keys.every), last}))
    low, high = float(times.min()), float(times.max())
    slack = 1e-9 * max(abs(low), abs(high))
    if not low - slack <= keys.time <= high + slack:
        raise ConfigError("time", f"is {keys.time:g}; there are snapshots from {low:g} to {high:g}")
    return (int(np.abs(times - keys.time).argmin()),)


def enlarged(colors: Array, scale: int) -> Array:
    """Every pixel as a square of ``scale`` x ``scale``."""
    return colors if scale == 1 else colors.repeat(scale, axis=0).repeat(scale, axis=1)
