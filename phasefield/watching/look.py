"""What is told of a run, whatever shows it: how it stands, its fields and times, a snapshot, its curves and properties.

Everything is read from the folder as `phasefield report` reads it, and every file is closed again at once, so that a run that
goes on is never held up. One thread reads at a time, for HDF5 bears no more.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ..errors import OutputError, PhasefieldError, Unreadable
from ..report.curves import observables_of
from ..report.drawing import Array, columns_of, finite_range, reduced, span_of, times_of, unit_of
from ..report.page import key_figures
from ..report.properties import property_facts
from ..report.reading import Field, fields_of, opened
from ..report.standing import standing
from ..report.views import bulk_of, chosen, grain_map, labels_of, squares_of, view_of
from ..store import RunFolder, sweep_instead
from .curves import Panel, panels_of, properties_of

if TYPE_CHECKING:
    import xarray as xr

T = TypeVar("T")

_READING = threading.RLock()
#: A run may be in the middle of an append, for microseconds: what cannot be read then is tried again.
_TRIES, _PAUSE = 4, 0.05  # seconds


@dataclass(frozen=True)
class Picture:
    """A snapshot as it is shown.

    Attributes:
        image: values, [up, right], rows from the top down; of components the colours of the map of grains, (..., 3), uint8.
        limits: the least and the largest value in the picture; None of colours.
        title: the field, and the plane of a 3-D one. time: of the snapshot.
        cells: right and upwards, of which an image may have fewer.
    """

    image: Array
    limits: tuple[float, float] | None
    title: str
    time: float
    cells: tuple[int, int]


class Look:
    """A look at a run's folder, again and again.

    Raises:
        OutputError: of any method, the folder holds no run, or what cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.folder = RunFolder(path)

    def version(self) -> str:
        """Something that changes whenever there is something new; looks at no file's content but the checkpoint's head."""
        stamps = [standing(self.folder.path).kind]
        for path in (self.folder.fields, self.folder.history, self.folder.path / "properties.nc"):
            try:
                at = path.stat()
            except OSError:
                stamps.append("-")
            else:
                stamps.append(f"{at.st_mtime_ns:x}.{at.st_size:x}")
        return " ".join(stamps)

    def summary(self) -> dict[str, Any]:
        """All that is told of the run beside its pictures, in numbers, texts, lists and dictionaries."""
        state, version = standing(self.folder.path), self.version()
        if not self.folder.fields.exists():
            if state.kind == "none":
                what = sweep_instead(self.folder.path) or ("holds no run", "give the folder that a run writes")
                raise OutputError("{}: {}\n  {}".format(self.folder.path, *what))
            return {"kind": "run", "version": version, "standing": [state.kind, state.text], "title": "", "fields": []}

        def read() -> dict[str, Any]:
            with ExitStack() as stack:
                data = stack.enter_context(opened(self.folder.path, "fields.nc"))
                history = self._history(stack)
                if not data.sizes["time"]:
                    return {"title": str(data.attrs.get("title", "")), "fields": []}
                fields = fields_of(data, self.folder.path)
                return {
                    "title": str(data.attrs.get("title", "")),
                    "energy": str(data.attrs.get("model_energy", "")),
                    "clock": unit_of(data["time"].attrs),
                    "times": plain(times_of(data)),
                    "space": [_axis(fields[0], d) for d in fields[0].space],
                    "fields": [_field(f, history) for f in fields],
                    "facts": key_figures(data, history, fields) if history is not None else [],
                    "curves": [_panel(p) for p in panels_of(history, [f.name for f in fields])]
                    if history is not None
                    else [],
                }

        found = _patiently(read)
        found |= {"kind": "run", "version": version, "standing": [state.kind, state.text]}
        found["properties"], found["warnings"] = [], []
        path = self.folder.path / "properties.nc"
        try:
            found["properties"] = _patiently(lambda: property_facts(path))
            found["curves"] = found.get("curves", []) + [_panel(p) for p in _patiently(lambda: properties_of(path))]
        except (PhasefieldError, KeyError, ValueError, IndexError) as error:
            found["warnings"].append(f"properties.nc cannot be shown: {str(error).splitlines()[0][:160]}")
        return found

    def _history(self, stack: ExitStack) -> xr.Dataset | None:
        if not self.folder.history.exists():
            return None
        history = stack.enter_context(opened(self.folder.path, "history.nc"))
        return history if history.sizes["time"] else None

    def picture(self, index: int, name: str | None = None, slice_: str | None = None, most: int = 1024) -> Picture:
        """A snapshot.

        Args:
            index: counted from 0, or from the end if negative. name: of a field or component, see `views.chosen`.
            slice_: see `views.view_of`. most: pixels along a side; larger pictures are reduced to means over cells.

        Raises:
            ConfigError: no such field or slice. OutputError: no such snapshot.
        """

        def read() -> Picture:
            with opened(self.folder.path, "fields.nc") as data:
                view = view_of(chosen(fields_of(data, self.folder.path), name), slice_)
                count = data.sizes["time"]
                if not -count <= index < count:
                    raise OutputError(f"there are {count} snapshots, none of number {index}")
                values = view.values(index)
                now = float(times_of(data)[index])
            if view.field.component is not None:
                colors = grain_map(_flat(values, 1), bulk_of(squares_of(values)))
                image = np.round(255 * reduced(colors, most)).astype(np.uint8)
                return Picture(_upright(image), None, view.title, now, view.shape)
            image = _flat(values, 0)
            shown = image if view.up == "" else reduced(image, most)
            return Picture(_upright(shown), _limits(image), view.title, now, view.shape)

        return _patiently(read)

    def row(self) -> list[tuple[str, float]]:
        """The last row of the history, of scalars; empty where there is none yet."""

        def read() -> list[tuple[str, float]]:
            with ExitStack() as stack:
                history = self._history(stack)
                if history is None:
                    return []
                names = [n for n in observables_of(history) if history[n].ndim == 1]
                last = [(n, float(columns_of(history[n])[-1, 0])) for n in names]
                return [("time", float(times_of(history)[-1])), *last]

        return _patiently(read)

    def energy(self) -> Array:
        """The free energy over the rows of the history."""

        def read() -> Array:
            with ExitStack() as stack:
                history = self._history(stack)
                if history is None or "free_energy" not in history:
                    return np.empty(0)
                return columns_of(history["free_energy"])[:, 0]

        return _patiently(read)

    def limits(self, name: str | None) -> tuple[float, float] | None:
        """The least and the largest value over the run of a field or component, from the history; None where it does not tell."""

        def read() -> tuple[float, float] | None:
            with ExitStack() as stack:
                data = stack.enter_context(opened(self.folder.path, "fields.nc"))
                history = self._history(stack)
                fields = fields_of(data, self.folder.path)
                wanted = chosen(fields, name)
                for field in fields:
                    ranges = _ranges(field, history)
                    parts = [f"{field.name}_{label}" for label in labels_of(field)] or [field.name]
                    if ranges and wanted.name in parts:
                        return ranges[parts.index(wanted.name)]
                return None

        return _patiently(read)


def _patiently(read: Callable[[], T]) -> T:
    """Reads, and again where a file was being changed."""
    for attempt in range(_TRIES):
        try:
            with _READING:
                return read()
        except (OutputError, OSError, RuntimeError) as error:
            if isinstance(error, OutputError) and not isinstance(error.__cause__, Unreadable | OSError | RuntimeError):
                raise
            if attempt == _TRIES - 1:
                if isinstance(error, OutputError):
                    raise
                raise OutputError(f"cannot be read: {error}") from error
        time.sleep(_PAUSE)
    raise AssertionError


def _flat(values: Array, outer: int) -> Array:
    """Values with two axes of space: a line is a picture one cell high."""
    return values if values.ndim == outer + 2 else values[..., None]


def _upright(image: Array) -> Array:
    """An image [right, up, ...] as rows from the top down."""
    return np.ascontiguousarray(image.swapaxes(0, 1)[::-1])


def _limits(values: Array) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)


def _axis(field: Field, dim: str) -> dict[str, Any]:
    span = span_of(field.data, dim)
    return {
        "name": dim,
        "unit": span.label[3:-1],
        "low": span.low,
        "high": span.high,
        "cells": field.data.sizes[dim],
    }


def _field(field: Field, history: xr.Dataset | None) -> dict[str, Any]:
    """A field with its components, and what their values are over the run, as far as the history tells."""
    return {
        "name": field.name,
        "label": field.label,
        "unit": field.unit,
        "parts": [f"{field.name}_{label}" for label in labels_of(field)],
        "ranges": _ranges(field, history),
    }


def _ranges(field: Field, history: xr.Dataset | None) -> list[tuple[float, float]]:
    names = f"min_{field.name}", f"max_{field.name}"
    if history is None or any(n not in history or history[n].dims[:1] != ("time",) for n in names):
        return []
    low, high = (columns_of(history[n]) for n in names)
    return [finite_range([low[:, k], high[:, k]]) for k in range(low.shape[1])]


def _panel(panel: Panel) -> dict[str, Any]:
    return {
        "label": panel.label,
        "log": [panel.log_x, panel.log_y],
        "more": panel.more,
        "lines": [{"name": n, "x": plain(x), "y": plain(y), "dashed": d} for n, x, y, d in panel.lines],
    }


def plain(values: Array) -> list[float | None]:
    """Numbers as JSON knows them: None for what is not finite."""
    return [float(v) if np.isfinite(v) else None for v in np.ravel(values)]
