"""Pictures of the fields: snapshots, slices, profiles, structure factor."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from .drawing import (
    COLORMAP,
    COLORS,
    Array,
    Panel,
    Picture,
    Strip,
    blank,
    draw_line,
    draw_strips,
    finish_axes,
    finite_range,
    log_axis,
    palette,
    png_of,
    safe,
    span_of,
    times_of,
    when_of,
)
from .reading import Field, pick
from .views import PLANES, View, bulk_of, grain_map, squares_of

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

FULL_LIMIT = 2**28  # values of one snapshot read at once; larger ones are shown by their slices only


def radial_structure_factor(values: Array, spacing: Sequence[float]) -> tuple[Array, Array]:
    """Radially averaged structure factor ``S(k) = |FFT(u - mean(u))|^2 / N`` of a periodic field.

    Args:
        values: the field, any number of axes.
        spacing: cell size along each axis.

    Returns:
        The wavenumbers ``k`` (shell centres, ``2 pi / longest side`` apart, up to the smallest Nyquist wavenumber) and
        ``S(k)``, without the empty shells and the mean. Both are empty where no axis has two cells.
    """
    active = [(n, d) for n, d in zip(values.shape, spacing, strict=True) if n > 1]
    if not active:
        return np.empty(0), np.empty(0)
    power = np.abs(np.fft.rfftn(values - values.mean())) ** 2 / values.size
    squares = np.zeros(())
    for axis, (n, d) in enumerate(zip(values.shape, spacing, strict=True)):
        frequency = np.fft.rfftfreq(n, d) if axis == values.ndim - 1 else np.fft.fftfreq(n, d)
        squares = np.add.outer(squares, (2 * math.pi * frequency) ** 2)
    twice = np.full(power.shape[-1], 2.0)  # the half spectrum stands for its mirror image, except where it is its own
    twice[0] = 1.0
    if values.shape[-1] % 2 == 0:
        twice[-1] = 1.0
    weight = np.broadcast_to(twice, power.shape).ravel()
    step = 2 * math.pi / max(n * d for n, d in active)
    shell = np.rint(np.sqrt(squares) / step).astype(np.intp).ravel()
    count = np.bincount(shell, weight)
    total = np.bincount(shell, weight * power.ravel())
    nyquist = min(math.pi / d for _, d in active)
    keep = (count > 0) & (np.arange(count.size) > 0) & (np.arange(count.size) * step <= nyquist * (1 + 1e-9))
    return np.flatnonzero(keep) * step, total[keep] / count[keep]


def slices_of(field: Field, index: int, *, every: bool) -> list[Panel]:
    """The snapshot as an image, or the mid-planes of a 3-D one (only the first, x-y, unless ``every``)."""
    spans = {dim: span_of(field.data, dim) for dim in field.space}
    if len(field.space) == 2:
        x, y = field.space
        return [Panel(field.values(index), spans[x], spans[y], "")]
    panels = []
    for right, up, normal in PLANES[: 3 if every else 1]:
        view = View(field, right, up, normal, field.data.sizes[normal] // 2)
        where = view.title.removeprefix(f"{field.name}, ")
        panels.append(Panel(view.values(index), spans[right], spans[up], where))
    return panels


def strips_of(field: Field, panels: list[Panel], *, shared: bool) -> list[Strip]:
    """A scalar field as one strip; components as grain map and sum of squares."""
    if field.component is None:
        return [Strip(panels, field.label, finite_range(p.image for p in panels), shared)]
    squares = [squares_of(panel.image) for panel in panels]
    bulk = bulk_of(squares[-1])
    maps = [replace(panel, image=grain_map(panel.image, bulk)) for panel in panels]
    unit = f" ({field.unit}$^2$)" if field.unit else ""
    low, high = finite_range(squares)
    sums = [replace(p, image=s, title=p.title) for p, s in zip(panels, squares, strict=True)]
    name = field.name.replace("$", r"\$")
    label = rf"$\Sigma_i$ {name}$_i^2${unit}"
    return [
        Strip(maps, field.label, None, shared),
        Strip(sums, label, (max(low, 0.0) if low < high else low, high), shared),
    ]


def profiles(fields: list[Field], indices: list[int], data: xr.Dataset) -> Figure:
    """1-D fields over x, one line per snapshot (one per component where only one snapshot is drawn)."""
    from matplotlib import colormaps

    panels: list[tuple[Field, int | None]] = []
    for field in fields:
        n = field.data.sizes[field.component] if field.component else 0
        panels += [(field, i) for i in range(min(n, 6))] if n and len(indices) > 1 else [(field, None)]
    figure = blank(8.5, 0.6 + (3.4 if len(panels) == 1 else 2.3) * len(panels), "constrained")
    times = times_of(data)
    for row, (field, component) in enumerate(panels):
        axes = figure.add_subplot(len(panels), 1, row + 1)
        span = span_of(field.data, "x")
        size = field.data.sizes["x"]
        x = span.low + (np.arange(size) + 0.5) * (span.high - span.low) / size
        for order, index in enumerate(indices):
            values = field.values(index)
            if field.component and component is None:
                lines = [
                    (v, color, f"{field.name}[{i}]")
                    for i, (v, color) in enumerate(zip(values, palette(len(values)), strict=True))
                ]
            else:
                shade = 0.9 * (1 - order / max(len(indices) - 1, 1)) if len(indices) > 1 else 0.3
                lines = [
                    (
                        values if component is None else values[component],
                        colormaps[COLORMAP](shade),
                        when_of(times[index], data),
                    )
                ]
            for v, color, label in lines:
                draw_line(axes, x, v, label if len(lines) <= 8 else "", color=color)
        axes.set_xlim(span.low, span.high)
        axes.set_ylabel(safe(field.label if component is None else f"{field.name}[{component}]"))
        if row == 0:
            axes.set_title(when_of(times[indices[-1]], data) if len(indices) == 1 else "", loc="left")
        if (
            axes.get_legend_handles_labels()[0]
            and (len(indices) > 1 or field.component)
            and (row == 0 or field.component)
        ):
            axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
        finish_axes(axes)
        if row == len(panels) - 1:
            axes.set_xlabel(safe(span.label))
    return figure


def field_figures(fields: list[Field], data: xr.Dataset) -> tuple[list[Picture], list[str]]:
    """Pictures of the fields, and what the reader must be warned of."""
    times = times_of(data)
    last = times.size - 1
    indices = pick(times)
    count = f"all {times.size}" if len(indices) == times.size else f"{len(indices)} of {times.size}"
    shown = f"{count} snapshots" if times.size > 1 else "the only snapshot"
    figures: list[Picture] = []
    warnings: list[str] = []
    spectra: list[tuple[str, Array, Array]] = []
    boundary = re.findall(r"[a-z][a-z_-]+", str(data.attrs.get("boundary", "")).lower())
    periodic = bool(boundary) and set(boundary) == {"periodic"}
    for field in fields:
        dimension = len(field.space)
        stem = re.sub(r"[^\w.-]", "_", field.name)
        if dimension == 1:
            caption = f"{field.name}: {shown} over x."
            figures.append(Picture(f"field_{stem}", "Fields", caption, png_of(profiles([field], indices, data))))
        else:
            panels = []
            for index in indices:
                panel = slices_of(field, index, every=False)[0]
                panels.append(replace(panel, title=when_of(times[index], data)))
            where = f" in the mid-plane {slices_of(field, last, every=False)[0].title}" if dimension == 3 else ""
            if field.component:
                what = (
                    f"{field.name}: {shown}{where}. Top: grain map, coloured by the largest of the "
                    f"{field.data.sizes[field.component]} components and darkened where the sum of squares falls "
                    "below its bulk value. Bottom: sum of squares."
                )
            else:
                what = f"{field.name}: {shown}{where}, on one colour scale."
            strips = strips_of(field, panels, shared=True)
            figures.append(Picture(f"field_{stem}", "Fields", what, png_of(draw_strips(strips))))
            if dimension == 3:
                strips = strips_of(field, slices_of(field, last, every=True), shared=False)
                caption = f"{field.name}: orthogonal mid-planes at {when_of(times[last], data)}."
                figures.append(Picture(f"slices_{stem}", "Fields", caption, png_of(draw_strips(strips, cap=3.6))))
        if field.data.size // field.data.sizes["time"] > FULL_LIMIT:
            continue
        values = field.values(last)
        broken = int(values.size - np.isfinite(values).sum())
        if broken:
            warnings.append(
                f"{field.name}: {broken} of {values.size} values of the last snapshot are not finite (drawn grey)."
            )
        elif periodic and dimension > 1:
            scalar = np.square(values, dtype=float).sum(axis=0) if field.component else values
            spans = [span_of(field.data, dim) for dim in field.space]
            spacing = [(s.high - s.low) / n for s, n in zip(spans, scalar.shape, strict=True)]
            k, power = radial_structure_factor(scalar, spacing)
            if (power > 0).any():
                spectra.append((f"sum of {field.name}² " if field.component else field.name, k, power))
    if spectra:
        span = span_of(fields[0].data, fields[0].space[0])
        caption = f"Radially averaged structure factor S(k) = |FFT(u − mean)|²/N at {when_of(times[last], data)}."
        figures.append(Picture("structure_factor", "Structure", caption, png_of(_spectrum(spectra, span.label[3:-1]))))
    return figures, warnings


def _spectrum(spectra: list[tuple[str, Array, Array]], unit: str) -> Figure:
    figure = blank(6.4, 4.0, "constrained")
    axes = figure.add_subplot()
    peak = max(float(power.max()) for _, _, power in spectra)
    for i, (name, k, power) in enumerate(spectra):
        # Round-off, sixteen decades down, would hide the shape.
        good = power > 1e-12 * peak
        draw_line(axes, k[good], power[good], name, color=COLORS[i % len(COLORS)])
    log_axis(axes, "x")
    log_axis(axes, "y")
    axes.set_ylabel("structure factor S(k)")
    axes.set_xlabel(safe(f"wavenumber k (rad/{unit})" if unit else "wavenumber k"))
    axes.legend()
    finish_axes(axes)
    return figure
