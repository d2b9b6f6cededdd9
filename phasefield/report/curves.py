"""Pictures of the history: energy, means, lengths, steps and whatever else was observed."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .drawing import (
    COLORS,
    Array,
    Picture,
    blank,
    columns_of,
    decades_of,
    draw_line,
    finish_axes,
    log_axis,
    log_time,
    png_of,
    safe,
    times_of,
    title_of,
    unit_of,
)

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes


#: Characters that a label along the smallest panel has room for.
_LABEL = 28


def family(history: xr.Dataset, prefix: str, names: Sequence[str]) -> list[tuple[str, Array]]:
    """The curves ``prefix_<field>``, in the order of the fields."""
    return [(n, columns_of(history[f"{prefix}_{n}"])) for n in names if f"{prefix}_{n}" in observables_of(history)]


def observables_of(history: xr.Dataset) -> list[str]:
    return [
        str(name)
        for name, array in history.data_vars.items()
        if "time" in array.dims and array.dtype.kind in "fiub" and array.size
    ]


def _plot_family(axes: Axes, t: Array, curves: list[tuple[str, Array]], **options: Any) -> None:
    """One colour per curve where there are few, else one per field."""
    each = sum(values.shape[1] for _, values in curves) <= len(COLORS)
    drawn = 0
    for i, (name, values) in enumerate(curves):
        n = values.shape[1]
        for j in range(n):
            color = COLORS[(drawn if each else i) % len(COLORS)]
            label = name if n == 1 else f"{name}[{j}]" if each else f"{name}[0…{n - 1}]" if j == 0 else ""
            thin = {} if n == 1 or each else {"linewidth": 0.8, "alpha": 0.6}
            draw_line(axes, t, values[:, j], label if name else "", **{"color": color, **thin, **options})
            drawn += 1


def curve_figures(
    history: xr.Dataset, names: Sequence[str], references: list[tuple[str, Array, Array]]
) -> list[Picture]:
    t = times_of(history)
    present = observables_of(history)
    clock = title_of(history["time"], "time") if "time" in history.coords else "row"
    figures: list[Picture] = []
    if t.size == 0:
        return figures

    def panels(count: int, draw: Sequence[Callable[[Axes], None]], width: float = 6.4, height: float = 4.0) -> bytes:
        rows = math.ceil(len(draw) / count)
        figure = blank(width, height * rows, "constrained")
        for i, function in enumerate(draw):
            axes = figure.add_subplot(rows, min(count, len(draw)), i + 1)
            function(axes)
            axes.set_xlabel(safe(clock))
            finish_axes(axes)
        return png_of(figure)

    energies = [n for n in present if n == "free_energy" or n.startswith("free_energy_")]

    def energy(axes: Axes) -> None:
        for i, name in enumerate(sorted(energies, key=lambda n: n != "free_energy")):
            label = "total" if name == "free_energy" else name.removeprefix("free_energy_")
            width = 2.4 if name == "free_energy" else 1.4
            draw_line(axes, t, columns_of(history[name])[:, 0], label, color=COLORS[i % len(COLORS)], linewidth=width)
        for i, (label, time, value) in enumerate(references):
            color = COLORS[(len(energies) + i) % len(COLORS)]
            draw_line(axes, time, value, label, color=color, linestyle=(0, (4, 2)), linewidth=1.4, marker="")
        log_time(axes, [t, *(time for _, time, _ in references)])
        array = history[energies[0]] if energies else history["time"]
        axes.set_ylabel(safe(title_of(history["free_energy"] if "free_energy" in energies else array, "free energy")))
        axes.legend()

    if energies or references:
        caption = "Free energy and its parts."
        if references:
            caption += " Dashed: reference " + ", ".join(label for label, _, _ in references) + "."
        figures.append(Picture("energy", "Curves", caption, panels(1, [energy])))

    if "dt" in present:

        def timestep(axes: Axes) -> None:
            values = columns_of(history["dt"])[:, 0]
            draw_line(axes, t, values, color=COLORS[0])
            log_time(axes, [t])
            if decades_of(values) > 1:
                log_axis(axes, "y")
            axes.set_ylabel(safe(title_of(history["dt"], "time step")))

        figures.append(Picture("timestep", "Curves", "Time step over time.", panels(1, [timestep])))

    lengths: list[Callable[[Axes], None]] = []
    for prefix, default in (("characteristic_length", "characteristic length"), ("interface_area", "interface area")):
        curves = family(history, prefix, names)

        def length(axes: Axes, prefix: str = prefix, default: str = default, curves: Any = curves) -> None:
            _plot_family(axes, t, curves)
            if log_time(axes, [t], 1.0) and all((c[np.isfinite(c)] > 0).any() for _, c in curves):
                log_axis(axes, "y")
            unit = unit_of(history[f"{prefix}_{curves[0][0]}"].attrs)
            axes.set_ylabel(safe(f"{default} ({unit})" if unit else default))
            if len(curves) > 1 or curves[0][1].shape[1] > 1:
                axes.legend()

        if any(np.isfinite(c).any() for _, c in curves):
            lengths.append(length)
    if lengths:
        caption = " and ".join(
            d
            for p, d in (("characteristic_length", "characteristic length"), ("interface_area", "interface area"))
            if any(np.isfinite(c).any() for _, c in family(history, p, names))
        )
        figures.append(
            Picture("lengths", "Curves", caption[0].upper() + caption[1:] + ".", panels(2, lengths, 5.6 * len(lengths)))
        )

    means = family(history, "mean", names)
    lows, highs = family(history, "min", names), family(history, "max", names)
    unit = next((unit_of(history[f"mean_{n}"].attrs) for n, _ in means), "")
    suffix = f" ({unit})" if unit else ""

    def drift(axes: Axes) -> None:
        _plot_family(axes, t, [(name, values - values[0]) for name, values in means])
        log_time(axes, [t])
        axes.set_ylabel(safe(f"mean − initial mean{suffix}"))
        axes.legend()

    def ranges(axes: Axes) -> None:
        _plot_family(axes, t, highs)
        _plot_family(axes, t, [("", values) for _, values in lows], linestyle=(0, (4, 2)))
        log_time(axes, [t])
        axes.set_ylabel(safe(f"maximum (solid), minimum (dashed){suffix}"))
        if highs:
            axes.legend()

    draw = ([drift] if means else []) + ([ranges] if lows or highs else [])
    if draw:
        caption = "Change of the field means since the start" if means else ""
        caption += (", and " if means and (lows or highs) else "") + ("extreme values" if lows or highs else "")
        figures.append(
            Picture("means", "Curves", caption[0].upper() + caption[1:] + ".", panels(2, draw, 5.6 * len(draw)))
        )

    prefixes = ("mean", "min", "max", "interface_area", "characteristic_length")
    known = {"step", "dt", *energies, *(f"{p}_{n}" for p in prefixes for n in names)}
    others = [name for name in present if name not in known and history[name].ndim <= 2]

    def other(name: str) -> Callable[[Axes], None]:
        def function(axes: Axes) -> None:
            curves = columns_of(history[name])[:, :64]
            rows = np.isfinite(curves).any(axis=1)  # what is costly was computed at some times only
            _plot_family(axes, t[rows], [(name, curves[rows])])
            log_time(axes, [t[rows]])
            title = safe(title_of(history[name], name))
            axes.set_ylabel(title if "$" in title else textwrap.fill(title, _LABEL))
            if curves.shape[1] > 1:
                axes.legend()

        return function

    if others:
        png = panels(3, [other(name) for name in others], 4.2 * min(len(others), 3), 3.2)
        figures.append(Picture("other", "Other observables", ", ".join(others) + ".", png))
    return figures
