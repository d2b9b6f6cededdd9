"""Pictures and the HTML report of a run folder (``config.yaml``, ``history.nc``, ``fields.nc``, ``run.log``, ``properties.nc``).

:func:`picture` draws the last snapshot, quickly; :func:`report` draws everything and writes one self-contained page.
Matplotlib and xarray are imported when needed, and the caller's backend and rcParams stay as they are.
"""

from __future__ import annotations

import base64
import html
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from phasefield.drawing import (
    COLORMAP,
    COLORS,
    NOT_FINITE,
    Panel,
    Picture,
    Strip,
    blank,
    columns_of,
    decades_of,
    draw_line,
    draw_strips,
    finish_axes,
    finite_range,
    is_math,
    log_axis,
    log_time,
    palette,
    png_of,
    safe,
    span_of,
    style,
    times_of,
    title_of,
    unit_of,
    when_of,
)
from phasefield.errors import OutputError
from phasefield.property_pictures import property_pictures

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["picture", "radial_structure_factor", "report"]

Array = NDArray[Any]

SPACE = ("x", "y", "z")
SNAPSHOTS = 6  # panels in a row of snapshots
LOG_LINES = 40  # lines of run.log shown in the report
FULL_LIMIT = 2**28  # values of one snapshot read at once; larger ones are shown by their slices only


# ---------------------------------------------------------------------------------------------------------------- API


def picture(folder: str | Path) -> Path:
    """Draw the last snapshot of every field to ``folder/fields.png``.

    Args:
        folder: the run folder; only ``fields.nc`` is read.

    Returns:
        The path of the picture.

    Raises:
        OutputError: ``fields.nc`` is missing, unreadable or empty, or the picture cannot be written.
    """
    folder = _folder(folder)
    with _open(folder, "fields.nc") as data, style():
        fields = _fields(data, folder)
        last = data.sizes["time"] - 1
        when = when_of(times_of(data)[last], data)
        if len(fields[0].space) == 1:
            figure = _profiles(fields, [last], data)
        else:
            strips = []
            for field in fields:
                strip = _strips(field, _slices(field, last, every=True), shared=False)[0]
                heads = [" · ".join(filter(None, (field.name, panel.title, when))) for panel in strip.panels[:1]]
                heads += [panel.title for panel in strip.panels[1:]]
                panels = [replace(panel, title=head) for panel, head in zip(strip.panels, heads, strict=True)]
                strips.append(replace(strip, panels=panels))
            figure = draw_strips(strips, cap=5.0)
        return _write(folder / "fields.png", png_of(figure))


def report(folder: str | Path, reference: Sequence[str | Path] = ()) -> Path:
    """Write ``folder/report.html``, a self-contained page, and its pictures, ``folder/report/*.png``.

    Args:
        folder: the run folder; ``fields.nc`` and ``history.nc`` are required, ``config.yaml``, ``run.log`` and ``properties.nc``
            optional.
        reference: CSV files with columns time and free energy, drawn over the free-energy curve and labelled by their
            file stem.

    Returns:
        The path of the page.

    Raises:
        OutputError: a file is missing, unreadable or empty, or the report cannot be written.
    """
    folder = _folder(folder)
    references = [_reference(Path(path)) for path in reference]
    with _open(folder, "fields.nc") as data, _open(folder, "history.nc") as history, style():
        fields = _fields(data, folder)
        figures, warnings = _field_figures(fields, data)
        figures += _curve_figures(history, [field.name for field in fields], references)
        attrs = {**history.attrs, **data.attrs}
        formula = _formula(str(attrs.get("model_formula", "")))
        facts = _key_figures(data, history, fields)
        drawn, more_facts, more_warnings = property_pictures(folder / "properties.nc")
        figures, facts, warnings = figures + drawn, facts + more_facts, warnings + more_warnings
        page = _page(folder, attrs, formula, facts, warnings, figures)
    for figure in figures:
        _write(folder / "report" / f"{figure.name}.png", figure.png)
    return _write(folder / "report.html", page.encode())


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


# ------------------------------------------------------------------------------------------------------------ reading


def _folder(folder: str | Path) -> Path:
    path = Path(folder)
    if not path.is_dir():
        raise OutputError(f"{path}: no such run folder\n  Give the folder a run wrote (it holds fields.nc).")
    return path


@contextmanager
def _open(folder: Path, name: str) -> Iterator[xr.Dataset]:
    path = folder / name
    if not path.is_file():
        raise OutputError(f"{path}: missing, so this is no run folder\n  Give the folder a run wrote, or run it again.")
    if path.stat().st_size == 0:
        raise OutputError(f"{path}: the file is empty (0 bytes)\n  The run stopped before it wrote; run it again.")
    import xarray as xr

    try:
        # Times stay numbers: with units such as "s" xarray would turn them into dates.
        data = xr.open_dataset(path, decode_times=False, cache=False)
        data.load() if name == "history.nc" else None
    except Exception as error:  # the engines raise whatever their library raises for a broken file
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        hint = "It is truncated or no NetCDF file, or a run is still writing it; wait for the run or run it again."
        raise OutputError(f"{path}: cannot be read ({reason[:160]})\n  {hint}") from error
    with data:
        if "time" not in data.dims:
            raise OutputError(f"{path}: has no dimension 'time'\n  Give the folder of a phasefield run.")
        try:
            yield data
        except (OSError, RuntimeError) as error:
            if name == "history.nc":
                raise  # read at once above: the fault is another's
            # Headers can be whole while the data behind them are not.
            hint = "The file is damaged or on a failing disk; restore it or run again."
            raise OutputError(f"{path}: cannot be read to its end ({error})\n  {hint}") from error


@dataclass(frozen=True)
class _Field:
    """An order parameter; ``data`` is read lazily and ordered (time, [component,] x, ...)."""

    name: str
    label: str
    unit: str
    data: xr.DataArray
    component: str | None
    space: tuple[str, ...]

    def values(self, index: int, **planes: int) -> Array:
        """Snapshot ``index`` (or planes of it) as ([component,] x, ...), floating."""
        array = np.asarray(self.data.isel(time=index, **planes).values)  # type: ignore[arg-type]
        return array if array.dtype.kind == "f" else array.astype(float)


def _fields(data: xr.Dataset, folder: Path) -> list[_Field]:
    path = folder / "fields.nc"
    if data.sizes["time"] == 0:
        raise OutputError(f"{path}: holds no snapshot\n  The run stopped before its first output; run it again.")
    fields = []
    for key, array in data.data_vars.items():
        name = str(key)
        space = tuple(d for d in SPACE if d in array.dims)
        others = [str(d) for d in array.dims if d != "time" and d not in space]
        if not space or "time" not in array.dims or len(others) > 1 or array.dtype.kind not in "fiub" or not array.size:
            continue
        component = others[0] if others else None
        array = array.transpose("time", *others, *space)
        if component and array.sizes[component] == 1:
            array, component = array.isel({component: 0}), None
        unit = unit_of(array.attrs)
        long_name = str(array.attrs.get("long_name", "") or name)
        label = long_name if name in long_name.split() or long_name == name else f"{long_name} {name}"
        fields.append(_Field(name, label + (f" ({unit})" if unit else ""), unit, array, component, space))
    if not fields:
        raise OutputError(f"{path}: holds no field with dimensions (time, x, ...)\n  Run again with a field to output.")
    dimension = len(fields[0].space)
    return [field for field in fields if len(field.space) == dimension]


def _pick(times: Array, count: int = SNAPSHOTS) -> list[int]:
    """Up to ``count`` snapshots evenly spaced in time (in its logarithm over more than two decades), ends included."""
    n = times.size
    if n <= count:
        return list(range(n))
    if not np.isfinite(times).all() or not (np.diff(times) > 0).all():
        return sorted({round(i) for i in np.linspace(0, n - 1, count)})
    axis = times - times[0]
    if decades_of(axis) > 2:
        axis = np.log(np.maximum(axis, axis[1] / 10))  # the initial state takes the decade before the first output
    picked = [0]
    for rest in range(count - 1, 0, -1):
        # Spacing the rest anew after each choice keeps the choices apart and leaves enough for the end.
        target = axis[picked[-1]] + (axis[-1] - axis[picked[-1]]) / rest
        nearest = int(np.abs(axis - target).argmin())
        picked.append(min(max(nearest, picked[-1] + 1), n - rest))
    return picked


def _reference(path: Path) -> tuple[str, Array, Array]:
    """Label, times and free energies of a CSV file: columns named so, else the first two."""
    try:
        lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"{path}: the reference cannot be read ({reason})\n  Give an existing CSV file.") from error
    rows: list[list[float]] = []
    header: list[str] = []
    for line in filter(str.strip, lines):
        cells = [c.strip(" \"'") for c in (line.split("," if "," in line else ";" if ";" in line else None))]
        try:
            rows.append([float(c) if c else math.nan for c in cells])
        except ValueError:
            header = header or [c.lower() for c in cells]
    time = next((i for i, c in enumerate(header) if c in ("time", "t") or c.startswith("time")), 0)
    energy = next((i for i, c in enumerate(header) if "energy" in c and i != time), 1 if time == 0 else 0)
    points = np.array([(r[time], r[energy]) for r in rows if len(r) > max(time, energy)], dtype=float).reshape(-1, 2)
    points = points[np.isfinite(points).all(axis=1)]
    if not points.size:
        hint = "Give a CSV file with the columns time and free_energy."
        raise OutputError(f"{path}: the reference holds no row of two numbers\n  {hint}")
    return path.stem, points[:, 0], points[:, 1]


# ------------------------------------------------------------------------------------------------------------ drawing


def _slices(field: _Field, index: int, *, every: bool) -> list[Panel]:
    """The snapshot as an image, or the mid-planes of a 3-D one (only the first, x-y, unless ``every``)."""
    spans = {dim: span_of(field.data, dim) for dim in field.space}
    if len(field.space) == 2:
        x, y = field.space
        return [Panel(field.values(index), spans[x], spans[y], "")]
    panels = []
    for right, up, normal in (("x", "y", "z"), ("x", "z", "y"), ("y", "z", "x"))[: 3 if every else 1]:
        middle = field.data.sizes[normal] // 2
        span = spans[normal]
        at = span.low + (middle + 0.5) * (span.high - span.low) / field.data.sizes[normal]
        image = field.values(index, **{normal: middle})
        panels.append(Panel(image, spans[right], spans[up], f"{normal} = {at:.4g} {span.label[3:-1]}".rstrip()))
    return panels


def _strips(field: _Field, panels: list[Panel], *, shared: bool) -> list[Strip]:
    """A scalar field as one strip; components as grain map and sum of squares."""
    if field.component is None:
        return [Strip(panels, field.label, finite_range(p.image for p in panels), shared)]
    squares = [np.square(panel.image, dtype=float).sum(axis=0) for panel in panels]
    colors = palette(field.data.sizes[field.component])
    finite = squares[-1][np.isfinite(squares[-1])]
    bulk = float(np.percentile(finite, 98)) if finite.size else 0.0
    maps = []
    for panel, total in zip(panels, squares, strict=True):
        known = np.isfinite(total)
        largest = np.where(known, np.abs(panel.image), 0.0).argmax(axis=0)
        shade = np.clip(np.where(known, total, 0.0) / bulk, 0, 1) ** 2 if bulk > 0 else np.ones_like(total)
        rgb = np.where(known[..., None], colors[largest] * shade[..., None], int(NOT_FINITE[1:3], 16) / 255)
        maps.append(replace(panel, image=rgb))
    unit = f" ({field.unit}$^2$)" if field.unit else ""
    low, high = finite_range(squares)
    sums = [replace(p, image=s, title=p.title) for p, s in zip(panels, squares, strict=True)]
    name = field.name.replace("$", r"\$")
    label = rf"$\Sigma_i$ {name}$_i^2${unit}"
    return [
        Strip(maps, field.label, None, shared),
        Strip(sums, label, (max(low, 0.0) if low < high else low, high), shared),
    ]


def _profiles(fields: list[_Field], indices: list[int], data: xr.Dataset) -> Figure:
    """1-D fields over x, one line per snapshot (one per component where only one snapshot is drawn)."""
    from matplotlib import colormaps

    panels: list[tuple[_Field, int | None]] = []
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


def _field_figures(fields: list[_Field], data: xr.Dataset) -> tuple[list[Picture], list[str]]:
    """Pictures of the fields, and what the reader must be warned of."""
    times = times_of(data)
    last = times.size - 1
    indices = _pick(times)
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
            figures.append(Picture(f"field_{stem}", "Fields", caption, png_of(_profiles([field], indices, data))))
        else:
            panels = []
            for index in indices:
                panel = _slices(field, index, every=False)[0]
                panels.append(replace(panel, title=when_of(times[index], data)))
            where = f" in the mid-plane {_slices(field, last, every=False)[0].title}" if dimension == 3 else ""
            if field.component:
                what = (
                    f"{field.name}: {shown}{where}. Top: grain map, coloured by the largest of the "
                    f"{field.data.sizes[field.component]} components and darkened where the sum of squares falls "
                    "below its bulk value. Bottom: sum of squares."
                )
            else:
                what = f"{field.name}: {shown}{where}, on one colour scale."
            strips = _strips(field, panels, shared=True)
            figures.append(Picture(f"field_{stem}", "Fields", what, png_of(draw_strips(strips))))
            if dimension == 3:
                strips = _strips(field, _slices(field, last, every=True), shared=False)
                caption = f"{field.name}: orthogonal mid-planes at {when_of(times[last], data)}."
                figures.append(Picture(f"slices_{stem}", "Fields", caption, png_of(draw_strips(strips, cap=3.6))))
        if math.prod(field.data.shape[1:]) > FULL_LIMIT:
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


# ------------------------------------------------------------------------------------------------------------- curves


def _family(history: xr.Dataset, prefix: str, names: Sequence[str]) -> list[tuple[str, Array]]:
    """The curves ``prefix_<field>``, in the order of the fields."""
    return [(n, columns_of(history[f"{prefix}_{n}"])) for n in names if f"{prefix}_{n}" in _observables(history)]


def _observables(history: xr.Dataset) -> list[str]:
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


def _curve_figures(
    history: xr.Dataset, names: Sequence[str], references: list[tuple[str, Array, Array]]
) -> list[Picture]:
    t = times_of(history)
    present = _observables(history)
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
        curves = _family(history, prefix, names)

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
            if any(np.isfinite(c).any() for _, c in _family(history, p, names))
        )
        figures.append(
            Picture("lengths", "Curves", caption[0].upper() + caption[1:] + ".", panels(2, lengths, 5.6 * len(lengths)))
        )

    means = _family(history, "mean", names)
    lows, highs = _family(history, "min", names), _family(history, "max", names)
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
            _plot_family(axes, t, [(name, curves)])
            log_time(axes, [t])
            axes.set_ylabel(safe(title_of(history[name], name)))
            if curves.shape[1] > 1:
                axes.legend()

        return function

    if others:
        png = panels(3, [other(name) for name in others], 4.2 * min(len(others), 3), 3.2)
        figures.append(Picture("other", "Other observables", ", ".join(others) + ".", png))
    return figures


# --------------------------------------------------------------------------------------------------------------- page


def _number(value: float, unit: str = "", digits: int = 6) -> str:
    return f"{value:.{digits}g}".replace("-", "−") + (f" {unit}" if unit else "")


def _key_figures(data: xr.Dataset, history: xr.Dataset, fields: list[_Field]) -> list[tuple[str, str]]:
    names = [field.name for field in fields]
    present = _observables(history)
    times, t = times_of(data), times_of(history)
    unit = unit_of(history["time"].attrs) or unit_of(data["time"].attrs)
    grid = " × ".join(str(fields[0].data.sizes[d]) for d in fields[0].space)
    size = " × ".join(f"{s.high - s.low:.4g}" for s in (span_of(fields[0].data, d) for d in fields[0].space))
    length = span_of(fields[0].data, "x").label[3:-1] if "x" in fields[0].space else ""
    facts = [("Grid", grid), ("Domain", f"{size} {length}".strip())]
    facts.append(("Final time", _number(float(t[-1]) if t.size else float(times[-1]), unit)))
    if "step" in present:
        facts.append(("Steps", f"{int(columns_of(history['step'])[-1, 0]):d}"))
    facts.append(("Snapshots", str(times.size)))
    if "free_energy" in present:
        energy = columns_of(history["free_energy"])[:, 0]
        e_unit = unit_of(history["free_energy"].attrs)
        change = float(energy[-1]) - float(energy[0])
        relative = f" ({_number(100 * change / abs(energy[0]), digits=3)} %)" if energy[0] else ""
        facts.append(("Final free energy", _number(float(energy[-1]), e_unit, 8)))
        facts.append(("Energy change", _number(change, e_unit, 4) + relative))
    for name, values in _family(history, "mean", names):
        change_each = values[-1] - values[0]
        worst = float(change_each[np.abs(change_each).argmax()])
        most = ", largest of all components" if values.shape[1] > 1 else ""
        facts.append((f"Drift of mean {name}{most}", _number(worst, unit_of(history[f"mean_{name}"].attrs), 3)))
    for name, values in _family(history, "characteristic_length", names):
        if values.shape[1] == 1 or not np.isfinite(values[-1]).any():
            text = _number(float(values[-1, 0]), digits=4)
        else:
            finite = values[-1][np.isfinite(values[-1])]
            text = f"{_number(float(finite.min()), digits=4)} … {_number(float(finite.max()), digits=4)}"
        length_unit = unit_of(history[f"characteristic_length_{name}"].attrs)
        facts.append((f"Characteristic length of {name}", f"{text} {length_unit}".strip()))
    return facts


def _formula(latex: str) -> bytes | None:
    """The formula as a picture, or None where matplotlib cannot set it."""
    source = latex.strip().strip("$").strip()
    source = re.sub(r"\\[td]?frac(?![a-zA-Z])", r"\\dfrac", source)
    # Spellings of LaTeX that matplotlib's mathtext knows by another name.
    for old, new in ((r"\lvert", r"\vert "), (r"\rvert", r"\vert "), (r"\!", "")):
        source = source.replace(old, new)
    source = " ".join(source.split())
    if not source or "$" in source or not is_math(f"${source}$"):
        return None
    figure = blank(0.1, 0.1)
    figure.text(0, 0, f"${source}$", fontsize=15, math_fontfamily="cm")
    return png_of(figure)


def _tail(path: Path, lines: int) -> str | None:
    """The last lines of a text file without terminal colours, or None where it cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 65536))
            text = file.read().decode(errors="replace")
    except OSError:
        return None
    return "\n".join(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).splitlines()[-lines:])


POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
CSS = """
:root{--ink:#1d2429;--dim:#5c6770;--line:#dfe4e8;--soft:#f6f8f9}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1240px;padding:2.5rem 1.5rem 4rem;color:var(--ink);background:#fff;
font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
h1{margin:0;font-size:1.9rem;line-height:1.2;overflow-wrap:anywhere}
h2{margin:2.8rem 0 1rem;padding-bottom:.3rem;font-size:1.25rem;border-bottom:1px solid var(--line)}
.sub{margin:.4rem 0 0;color:var(--dim)}
.formula{margin:1.5rem 0;overflow-x:auto}
.formula img{display:block;max-width:none}
.facts{display:grid;grid-template-columns:repeat(auto-fill,minmax(190px,1fr));gap:1px;margin:1.5rem 0 0;
border:1px solid var(--line);border-radius:6px;overflow:hidden}
.facts div{padding:.7rem .9rem;background:#fff;box-shadow:0 0 0 1px var(--line)}
.facts dt{color:var(--dim);font-size:.82rem}
.facts dd{margin:0;font-size:1.08rem;font-weight:600;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
.warn{margin:1.5rem 0;padding:.7rem 1rem;border-left:4px solid #d55e00;background:#fdf3ec}
.grid{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(420px,100%),1fr));gap:1.5rem 2rem;align-items:start}
figure{margin:0 0 1.2rem}
figure.wide{grid-column:1/-1}
figure img{display:block;max-width:100%;height:auto;margin:0 auto}
figcaption{margin-top:.5rem;color:var(--dim);font-size:.9rem}
table{width:100%;border-collapse:collapse;font-size:.92rem}
th,td{padding:.4rem .7rem .4rem 0;border-bottom:1px solid var(--line);text-align:left;vertical-align:top;
overflow-wrap:anywhere}
th{width:13rem;font-weight:500;color:var(--dim)}
details{margin:1rem 0}
summary{cursor:pointer;font-weight:600}
pre{margin:.6rem 0 0;padding:1rem;max-height:36rem;overflow:auto;background:var(--soft);border:1px solid var(--line);
border-radius:6px;font:13px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
@media print{body{padding:0;max-width:none}figure,.facts{break-inside:avoid}pre{max-height:none}}
"""


def _page(
    folder: Path,
    attrs: Mapping[Any, Any],
    formula: bytes | None,
    facts: list[tuple[str, str]],
    warnings: list[str],
    figures: list[Picture],
) -> str:
    def esc(value: object) -> str:
        return html.escape(str(value))

    def image(png: bytes, alt: str, scale: float) -> str:
        # Width of a PNG: bytes 16 to 20 of its header. A nominal width keeps the type at one size across pictures.
        width = round(int.from_bytes(png[16:20], "big") * scale)
        return f'<img width="{width}" alt="{esc(alt)}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'

    title = str(attrs.get("title") or folder.resolve().name)
    sub = " · ".join(str(attrs[key]) for key in ("source", "date_created", "device", "precision") if attrs.get(key))
    out = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        # Even a page built from a hostile run folder may load nothing and run nothing.
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        f"<title>{esc(title)}</title>\n<style>{CSS}</style>\n</head>\n<body>\n<header>\n<h1>{esc(title)}</h1>",
        f'<p class="sub">{esc(sub)}</p>\n</header>' if sub else "</header>",
    ]
    if formula:
        out.append(f'<div class="formula">{image(formula, str(attrs["model_formula"]), 0.62)}</div>')
    elif attrs.get("model_formula"):
        out.append(f'<div class="formula"><code>{esc(attrs["model_formula"])}</code></div>')
    out += [f'<p class="warn">{esc(warning)}</p>' for warning in warnings]
    cells = "\n".join(f"<div><dt>{esc(name)}</dt><dd>{esc(value)}</dd></div>" for name, value in facts)
    out.append(f'<dl class="facts">\n{cells}\n</dl>')
    for section in dict.fromkeys(figure.section for figure in figures):
        out.append(f'<h2>{esc(section)}</h2>\n<div class="grid">')
        for figure in (f for f in figures if f.section == section):
            wide = "" if figure.name in ("energy", "timestep") else ' class="wide"'
            picture = image(figure.png, figure.caption, 0.62)
            out.append(f"<figure{wide}>{picture}<figcaption>{esc(figure.caption)}</figcaption></figure>")
        out.append("</div>")
    rows = "\n".join(f"<tr><th>{esc(key)}</th><td>{esc(value)}</td></tr>" for key, value in attrs.items())
    out.append(
        f"<h2>Provenance</h2>\n<table>\n<tr><th>folder</th><td>{esc(folder.resolve())}</td></tr>\n{rows}\n</table>"
    )
    try:
        config = (folder / "config.yaml").read_text(encoding="utf-8", errors="replace").rstrip()
    except OSError:
        config = "(config.yaml is missing)"
    out.append(f"<details><summary>Resolved configuration</summary><pre>{esc(config) or '(empty)'}</pre></details>")
    log = _tail(folder / "run.log", LOG_LINES)
    shown = "(run.log is missing)" if log is None else log or "(empty)"
    out.append(f"<h2>Log</h2>\n<pre>{esc(shown)}</pre>\n</body>\n</html>\n")
    return "\n".join(out)


def _write(path: Path, content: bytes) -> Path:
    try:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        hint = "Make room or make the folder writable, then try again."
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})\n  {hint}") from error
    return path
