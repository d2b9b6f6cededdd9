"""Pieces that pictures are made of: images to scale with a colour scale, curves, labels. Matplotlib is imported when needed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import Unreadable
from .home import settle

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[Any]


COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#444444")  # Okabe & Ito (2008)
COLORMAP = "viridis"
NOT_FINITE = "#d9d9d9"
STYLE = {
    "font.size": 11.0,
    "axes.titlesize": 11.0,
    "axes.labelsize": 11.0,
    "xtick.labelsize": 10.0,
    "ytick.labelsize": 10.0,
    "legend.fontsize": 10.0,
    "legend.frameon": False,
    "axes.linewidth": 0.8,
    "axes.grid": False,
    "axes.formatter.limits": (-3, 4),
    "axes.formatter.use_mathtext": True,
    "axes.formatter.useoffset": False,
    "lines.linewidth": 1.8,
    "lines.markersize": 4.5,
    "image.origin": "lower",
}


def unit_of(attrs: Mapping[Any, Any]) -> str:
    unit = str(attrs.get("units", "")).strip()
    return "" if unit.lower() in ("", "1", "-", "none", "dimensionless", "nondimensional") else unit


def times_of(data: xr.Dataset) -> Array:
    values = data["time"].values  # xarray counts from 0 where the coordinate variable is missing
    return values.astype(float) if values.dtype.kind in "fiu" else np.arange(values.size, dtype=float)


def when_of(time: float, data: xr.Dataset) -> str:
    return f"t = {time:.4g} {unit_of(data['time'].attrs)}".rstrip()


def title_of(array: xr.DataArray, default: str) -> str:
    """Axis label: long name and unit."""
    name, unit = str(array.attrs.get("long_name", "") or default), unit_of(array.attrs)
    return f"{name} ({unit})" if unit else name


@dataclass(frozen=True)
class Picture:
    """A finished picture: file stem, section of the page, caption (plain text) and PNG bytes."""

    name: str
    section: str
    caption: str
    png: bytes


@dataclass(frozen=True)
class Span:
    """One axis of an image: label and outer cell edges."""

    label: str
    low: float
    high: float


@dataclass(frozen=True)
class Panel:
    """An image, indexed [right, up] or [component, right, up], later [right, up, rgb]; ``limits`` of its own colour scale."""

    image: Array
    right: Span
    up: Span
    title: str
    limits: tuple[float, float] | None = None


@dataclass(frozen=True)
class Strip:
    """Images with one colour scale and one colourbar (none where they are RGB, ``limits`` None), or one for every panel."""

    panels: list[Panel]
    label: str
    limits: tuple[float, float] | None
    shared: bool  # the panels share their axes: inner tick labels are left out


@contextmanager
def style() -> Iterator[None]:
    settle()
    import matplotlib.style

    with matplotlib.style.context(["default", STYLE]):  # leaves the backend alone, restores the rest
        yield


def blank(width: float, height: float, layout: Any = None) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=150, layout=layout)
    FigureCanvasAgg(figure)
    return figure


#: In the head of every picture, by which a later report knows its own.
SIGNATURE = "phasefield report, drawn by Matplotlib"


def drawn_here(path: Path) -> bool:
    """Whether a picture is one that `png_of` made.

    Raises:
        Unreadable: it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return SIGNATURE.encode() in file.read(1024)
    except OSError as error:
        raise Unreadable(path, f"cannot be read: {error.strerror or error}") from error


def png_of(figure: Figure) -> bytes:
    buffer = BytesIO()
    known = {"Software": SIGNATURE}
    figure.savefig(buffer, format="png", bbox_inches="tight", pad_inches=0.1, facecolor="white", metadata=known)
    return buffer.getvalue()


def is_math(text: str) -> bool:
    from matplotlib.mathtext import MathTextParser

    try:
        MathTextParser("path").parse(text)
    except (ValueError, RuntimeError):
        return False
    return True


def safe(text: object) -> str:
    """Text from a file, harmless to draw: mathtext only where it parses."""
    line = " ".join(str(text).split())
    line = line if len(line) <= 90 else line[:89] + "…"
    return line if "$" not in line or is_math(line) else line.replace("$", r"\$")


def finite_range(arrays: Iterable[Array]) -> tuple[float, float]:
    """Range of the finite values, widened where it is empty or only round-off."""
    low, high = math.inf, -math.inf
    for array in arrays:
        finite = array[np.isfinite(array)]
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    if low > high:
        return 0.0, 1.0
    scale = max(abs(low), abs(high))
    if high - low <= 1e-6 * scale or scale == 0.0:
        margin = 0.01 * scale or 1.0
        return low - margin, high + margin
    return low, high


def palette(n: int) -> Array:
    """``n`` distinct colours of three lightness levels: golden-angle hues in OKLCH (Ottosson 2020), shape (n, 3)."""
    i = np.arange(n)
    light, chroma, hue = np.array([0.70, 0.82, 0.60])[i % 3], 0.115, np.deg2rad(250 + 137.508 * i)
    a, b = chroma * np.cos(hue), chroma * np.sin(hue)
    to_lms = np.array(
        [[1, 0.3963377774, 0.2158037573], [1, -0.1055613458, -0.0638541728], [1, -0.0894841775, -1.291485548]]
    )
    to_rgb = np.array(
        [
            [4.0767416621, -3.3077115913, 0.2309699292],
            [-1.2684380046, 2.6097574011, -0.3413193965],
            [-0.0041960863, -0.7034186147, 1.707614701],
        ]
    )
    linear = np.clip((np.stack([light, a, b], axis=1) @ to_lms.T) ** 3 @ to_rgb.T, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def span_of(data: xr.DataArray, dim: str) -> Span:
    centers = np.asarray(data[dim].values, dtype=float)
    if dim not in data.coords or centers.size == 0 or not np.isfinite(centers).all():
        centers = np.arange(data.sizes[dim]) + 0.5
    half = 0.5 * (centers[-1] - centers[0]) / (centers.size - 1) if centers.size > 1 else 0.5
    unit = unit_of(data[dim].attrs) if dim in data.coords else ""
    return Span(f"{dim} ({unit})" if unit else dim, float(centers[0] - half), float(centers[-1] + half))


def reduced(image: Array, most: int = 1024) -> Array:
    """Means over blocks of an image's pixels that leave at most ``most`` to each side: no picture here is larger, and matplotlib
    makes some ten copies of what it is given.
    """
    for axis in (0, 1):
        n = image.shape[axis]
        if (block := -(-n // most)) > 1:
            starts = np.arange(0, n, block)
            counts = np.diff([*starts, n]).reshape([-1 if a == axis else 1 for a in range(image.ndim)])
            image = np.add.reduceat(image, starts, axis=axis) / counts
    return image


def draw_strips(strips: list[Strip], cap: float = 3.4, width: float = 12.0) -> Figure:
    """Lay strips out below each other, to scale, in inches; ``cap`` limits the height of one strip's images.

    A fixed layout, because matplotlib's own solvers leave gaps around images of equal aspect and take twice the time.
    """
    from matplotlib.ticker import MaxNLocator

    head, foot, side, bar = 0.32, 0.58, 0.85, 0.15
    beside = 0.1 + bar + 0.55  # a bar between two panels, with its numbers
    plans = []
    for strip in strips:
        sides = [(abs(p.right.high - p.right.low), abs(p.up.high - p.up.low)) for p in strip.panels]
        least = max(max(pair) for pair in sides) / 25  # beyond 25:1 a picture to scale would be a hairline
        sizes = np.maximum(sides, least)
        gap, inner = (0.2, head + 0.1) if strip.shared else (side, head + foot)
        if any(p.limits for p in strip.panels):
            gap += beside
        count = len(sizes)
        best: tuple[float, int, float] = (0.0, count, 0.0)
        for columns in (c for c in range(count, 0, -1) if count % c == 0):
            lines = count // columns
            wide = sizes[:, 0].reshape(lines, columns).sum(axis=1).max()
            free = cap - (lines - 1) * head
            scale = float(min((width - gap * (columns - 1)) / wide, free / (lines * sizes[:, 1].max())))
            if scale > 1.4 * best[0]:  # one row is easier to read, unless it makes the images much smaller
                best = (scale, columns, wide * scale + gap * (columns - 1))
        scale, columns, wide = best
        row = sizes[:, 1].max() * scale
        plans.append((sizes * scale, columns, gap, row, row + inner, wide, (count // columns) * (row + inner)))

    total_w = side + max(plan[5] for plan in plans) + 1.2
    heights = [head + foot + plan[3] + plan[6] - plan[4] for plan in plans]
    total_h = sum(heights)
    figure = blank(total_w, total_h)

    def place(left: float, bottom: float, w: float, h: float) -> Axes:
        return figure.add_axes((left / total_w, bottom / total_h, w / total_w, h / total_h))

    top = total_h
    for strip, (sizes, columns, gap, row, pitch, wide, _), tall in zip(strips, plans, heights, strict=True):
        for i, (panel, (w, h)) in enumerate(zip(strip.panels, sizes, strict=True)):
            line, column = divmod(i, columns)
            before = sizes[i - column : i, 0].sum() + gap * column
            axes = place(side + before, top - head - row - line * pitch, w, h)
            edges = (panel.right.low, panel.right.high, panel.up.low, panel.up.high)
            image = reduced(panel.image.swapaxes(0, 1))
            limits = panel.limits or strip.limits
            if limits is None:
                axes.imshow(image, extent=edges, aspect="auto")
            else:
                low, high = limits
                axes.imshow(np.ma.masked_invalid(image), COLORMAP, vmin=low, vmax=high, extent=edges, aspect="auto")
            axes.set_facecolor(NOT_FINITE)
            ratio = abs(panel.up.high - panel.up.low) * w / (abs(panel.right.high - panel.right.low) * h)
            title = panel.title if math.isclose(ratio, 1) else f"{panel.title} (not to scale)"
            axes.set_title(safe(title.strip()), pad=5)
            axes.tick_params(length=3)
            for ticks, inches in ((axes.xaxis, w), (axes.yaxis, h)):
                ticks.set_major_locator(MaxNLocator(nbins=int(np.clip(inches / 0.5, 1, 5)), steps=[1, 2, 5, 10]))
            if not strip.shared or i + columns >= len(strip.panels):
                axes.set_xlabel(safe(panel.right.label), labelpad=2)
            else:
                axes.tick_params(bottom=False, labelbottom=False)
            if not strip.shared or column == 0:
                axes.set_ylabel(safe(panel.up.label))
            else:
                axes.tick_params(left=False, labelleft=False)
            if panel.limits is not None:
                own = place(side + before + w + 0.1, top - head - row - line * pitch, bar, h)
                _draw_bar(own, panel.limits, "", nbins=int(np.clip(h / 0.5, 1, 6)))
        if any(p.limits for p in strip.panels):  # one label for all bars: a single one may be too short for it
            right, middle = side + wide + beside, top + (foot - head - tall) / 2
            figure.text(right / total_w, middle / total_h, safe(strip.label), rotation=90, va="center")
        if strip.limits is not None:
            low, height = top - tall + foot, tall - head - foot
            more = max(0.0, 1.2 - height)  # a bar shorter than its label would be unreadable
            _draw_bar(place(side + wide + 0.18, low - more / 2, bar, height + more), strip.limits, strip.label)
        top -= tall
    return figure


def _draw_bar(axes: Axes, limits: tuple[float, float], label: str, nbins: int = 6) -> None:
    """A colour scale with round numbers."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.ticker import MaxNLocator

    colorbar = axes.figure.colorbar(ScalarMappable(Normalize(*limits), COLORMAP), cax=axes)
    colorbar.ax.yaxis.set_major_locator(MaxNLocator(nbins=nbins, steps=[1, 2, 5, 10]))
    colorbar.set_label(safe(label))


def decades_of(values: Array) -> float:
    """Decades between the smallest and the largest positive value."""
    positive = values[np.isfinite(values) & (values > 0)]
    return math.log10(positive.max()) - math.log10(positive.min()) if positive.size else 0.0


def draw_line(axes: Axes, x: Array, y: Array, label: str = "", **options: Any) -> None:
    good = np.isfinite(x)
    y = np.where(np.isfinite(y), y, np.nan)[good]
    marker = "o" if good.sum() <= 12 or np.isfinite(y).sum() < 2 else ""
    axes.plot(x[good], y, label=safe(label) or "_", **{"marker": marker, **options})


def finish_axes(axes: Axes) -> None:
    axes.grid(True, color="#e6e6e6", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def log_time(axes: Axes, times: Iterable[Array], decades: float = 2.0) -> bool:
    """Switch to logarithmic time where it spans more than ``decades``."""
    every = np.concatenate([np.ravel(t) for t in times])
    if decades_of(every) > decades:
        log_axis(axes, "x")
        return True
    return False


def log_axis(axes: Axes, which: str) -> None:
    """Logarithmic axis with plain numbers where they are short; time 0 is left out, not drawn at the edge."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    (axes.set_xscale if which == "x" else axes.set_yscale)("log", nonpositive="mask")
    axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = sorted(axis.get_view_interval())
    if low >= 1e-2 and high <= 1e4:
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    if high < 30 * low:
        axis.set_minor_locator(LogLocator(subs=(2, 5)))
        axis.set_minor_formatter(axis.get_major_formatter())
    else:
        axis.set_minor_formatter(NullFormatter())


def columns_of(array: xr.DataArray) -> Array:
    """A history variable as (time, columns)."""
    values = array.transpose("time", ...).values.astype(float)
    return values.reshape(values.shape[0], -1)
