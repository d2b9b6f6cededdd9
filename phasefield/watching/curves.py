"""Curves of a run's history and of its properties, in panels, thinned out to what a screen resolves."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..report.curves import family, observables_of
from ..report.drawing import Array, columns_of, decades_of, times_of, title_of, unit_of
from ..report.properties import series_of, tensors_of
from ..store import open_dataset

if TYPE_CHECKING:
    import xarray as xr

#: Points of a curve, and curves of a panel, that are shown at most.
POINTS, LINES = 800, 20


@dataclass
class Panel:
    """Curves on common axes.

    Attributes:
        label: of the upright axis. lines: name, times, values, whether dashed. log_x, log_y: what fits.
        more: curves that there are besides.
    """

    label: str
    lines: list[tuple[str, Array, Array, bool]] = field(default_factory=list)
    log_x: bool = False
    log_y: bool = False
    more: int = 0

    def add(self, name: str, times: Array, values: Array, dashed: bool = False) -> None:
        """Adds the columns of (rows, columns); rows without a number are left out."""
        for k in range(values.shape[1]):
            rows = np.flatnonzero(np.isfinite(values[:, k]) & np.isfinite(times))
            if not rows.size:
                continue
            if len(self.lines) >= LINES:
                self.more += 1
                continue
            rows = rows[thinned(rows.size)]
            label = name if values.shape[1] == 1 else f"{name}_{k + 1}"
            self.lines.append((label, times[rows], values[rows, k], dashed))


def thinned(count: int) -> Array:
    """Rows to show of many, dense enough on a linear and on a logarithmic axis; the first and the last among them."""
    if count <= POINTS:
        return np.arange(count)
    even = np.linspace(0, count - 1, POINTS // 2)
    falling = np.geomspace(1, count, POINTS // 2) - 1
    return np.unique(np.rint(np.concatenate([even, falling])).astype(np.intp))


def panels_of(history: xr.Dataset, names: list[str]) -> list[Panel]:
    """The panels of a history, of fields by their names, as a report arranges them."""
    t, present = times_of(history), observables_of(history)
    slow = decades_of(t)
    energies = sorted((n for n in present if n == "free_energy" or n.startswith("free_energy_")), key=len)
    found = []
    if energies:
        panel = Panel(title_of(history[energies[0]], "free energy"), log_x=slow > 2)
        for name in energies:
            label = "total" if name == "free_energy" else name.removeprefix("free_energy_")
            panel.add(label, t, columns_of(history[name]))
        found.append(panel)
    for prefix, label in (("characteristic_length", "characteristic length"), ("interface_area", "interface area")):
        curves = family(history, prefix, names)
        if curves:
            unit = unit_of(history[f"{prefix}_{curves[0][0]}"].attrs)
            panel = Panel(f"{label} ({unit})" if unit else label, log_x=slow > 1)
            for name, values in curves:
                panel.add(name, t, values)
            panel.log_y = panel.log_x and all((y > 0).all() for _, _, y, _ in panel.lines)
            found.append(panel)
    lows, highs = family(history, "min", names), family(history, "max", names)
    if lows or highs:
        panel = Panel("maximum, minimum (dashed)", log_x=slow > 2)
        for word, curves in (("max", highs), ("min", lows)):
            for name, values in curves:
                panel.add(f"{word} {name}", t, values, word == "min")
        found.append(panel)
    if means := family(history, "mean", names):
        panel = Panel("mean − initial mean", log_x=slow > 2)
        for name, values in means:
            panel.add(name, t, values - values[0])
        found.append(panel)
    if "dt" in present:
        values = columns_of(history["dt"])
        panel = Panel(title_of(history["dt"], "time step"), log_x=slow > 2, log_y=decades_of(values) > 1)
        panel.add("", t, values)
        found.append(panel)
    prefixes = ("mean", "min", "max", "interface_area", "characteristic_length")
    known = {"step", "dt", *energies, *(f"{p}_{n}" for p in prefixes for n in names)}
    for name in present:
        if name not in known and history[name].ndim <= 2:
            panel = Panel(title_of(history[name], name), log_x=slow > 2)
            panel.add("" if history[name].ndim == 1 else name, t, columns_of(history[name]))
            found.append(panel)
    return [panel for panel in found if panel.lines]


def properties_of(path: Path) -> list[Panel]:
    """Effective properties over time, from a properties.nc; nothing where there is none, or one state alone.

    Raises:
        Unreadable: a damaged file.
    """
    if not path.is_file():
        return []
    found = []
    with open_dataset(path) as data:
        if "time" not in data.coords or data.sizes["time"] < 2:
            return []
        times = times_of(data)
        stiffness, others = tensors_of(data)
        for name in (*stiffness, *others):
            label, series = series_of(data, name)
            panel = Panel(label, log_x=decades_of(times) > 2)
            for key, values in series:
                panel.add(key, times, values[:, None])
            found.append(panel)
    return [panel for panel in found if panel.lines]
