"""Picture of apparent properties against the size of the samples, as textbooks of representative volume elements show it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..store import open_dataset
from ..units import scaled
from .drawing import COLORS, Array, blank, png_of, safe, style, unit_of

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

#: What is drawn besides the mean: variable, label, colour, marker.
_BOUNDARIES = (
    ("scalar_kinematic", "uniform strain (KUBC)", COLORS[1], "^"),
    ("scalar_static", "uniform traction (TUBC)", COLORS[2], "v"),
)
_BOUNDS = (("scalar_voigt", "Voigt", "-."), ("scalar_reuss", "Reuss", ":"))


def statistics_picture(path: Path) -> bytes:
    """A PNG of a file of statistics: a row per property, a panel per invariant, and one of the scatter where there are two sizes.

    Raises:
        Unreadable: it cannot be read.
    """
    import h5netcdf

    with h5netcdf.File(path, "r") as file:
        names = list(file.groups)
    groups = []
    for name in names:
        with open_dataset(path, group=name) as data:
            groups.append((name, data.load()))
    several = groups[0][1].sizes["size"] > 1
    with open_dataset(path) as root:
        unit, dim = unit_of(root["size"].attrs), int(root.attrs["dimension"])
        voxels = root["voxels"].values.tolist()
    panels = max(g.sizes["scalar"] for _, g in groups) + several
    with style():
        figure = blank(4.6 * panels, 3.9 * len(groups), "constrained")
        for row, (name, data) in enumerate(groups):
            for k, scalar in enumerate(data["scalar"].values):
                axes = figure.add_subplot(len(groups), panels, row * panels + k + 1)
                _against_size(axes, data, k, f"{name.replace('_', ' ')} {scalar}", unit, voxels)
            if several:
                axes = figure.add_subplot(len(groups), panels, row * panels + data.sizes["scalar"] + 1)
                _scatter(axes, data, unit, dim, voxels)
        return png_of(figure)


def _size_axis(axes: Axes, sizes: Array, unit: str, voxels: list[Any]) -> None:
    factor, unit = scaled(unit, sizes)
    axes.set_xscale("log")
    axes.set_xlim(sizes.min() / 1.35, sizes.max() * 1.35)
    axes.set_xticks(sizes, [f"{s / factor:.4g}\n({v} voxels)" for s, v in zip(sizes, voxels, strict=True)])
    axes.set_xticks([], minor=True)
    axes.set_xlabel("edge of the samples L" + (f" ({safe(unit)})" if unit else ""))


def _against_size(axes: Axes, data: xr.Dataset, k: int, title: str, unit: str, voxels: list[Any]) -> None:
    """Means with confidence intervals, single samples scattered behind, boundary conditions and bounds."""
    sizes, factor, of = (
        data["size"].values,
        *scaled(unit_of(data["scalar_mean"].attrs), data["scalar_mean"].values[:, k]),
    )

    def column(name: str) -> Array:
        return np.asarray(data[name].values[:, k] / factor)

    mean, std, low, high = (column(f"scalar_{name}") for name in ("mean", "std", "ci_low", "ci_high"))
    axes.fill_between(
        sizes, mean - std, mean + std, color=COLORS[0], alpha=0.15, linewidth=0, label="± one standard deviation"
    )
    if len(sizes) == 1:
        axes.errorbar(sizes, mean, std, color=COLORS[0], alpha=0.3, linewidth=6)
    periodic = "periodic (PBC)" if "scalar_kinematic" in data else "mean"
    axes.errorbar(
        sizes,
        mean,
        [mean - low, high - mean],
        color=COLORS[0],
        marker="o",
        capsize=4,
        label=f"{periodic}, interval of the mean",
    )
    for name, label, color, marker in _BOUNDARIES:
        if name in data:
            axes.plot(sizes, column(name), color=color, marker=marker, linewidth=1.2, label=label)
    inside = [mean - std, mean + std, low, high, *(column(n) for n, *_ in _BOUNDARIES if n in data)]
    bottom, top = min(map(np.min, inside)), max(map(np.max, inside))
    room = 1.5 * (top - bottom) or abs(top) * 0.1 or 1.0
    for name, label, line in _BOUNDS:
        values = column(name) if name in data else np.array([np.nan])
        if np.isfinite(values).all() and bottom - room < values.min() and values.max() < top + room:
            across = sizes if len(sizes) > 1 else sizes[0] * np.array([0.8, 1.25])
            shown = np.broadcast_to(values, across.shape)
            axes.plot(across, shown, color="#444444", linestyle=line, linewidth=1.0, label=label)
    axes.set_ylabel(safe(title + (f" ({of})" if of else "")))
    counts = ", ".join(f"{n}" for n in data["samples"].values)
    axes.set_title(f"samples: {counts}", fontsize=9)
    _size_axis(axes, sizes, unit, voxels)
    low_limit, high_limit = axes.get_ylim()
    axes.set_ylim(low_limit, high_limit + 0.55 * (high_limit - low_limit))  # room for the legend
    axes.legend(fontsize=8, loc="upper right")


def _scatter(axes: Axes, data: xr.Dataset, unit: str, dim: int, voxels: list[Any]) -> None:
    """Standard deviation over the size, its fit and the slope that it comes to in the end.

    All sizes are relative to one mean, that of the largest: the fit is of the variance itself, and lies on the points.
    """
    sizes = data["size"].values
    line = np.geomspace(sizes.min(), sizes.max(), 50)
    first, highest, lowest = 0.0, 0.0, np.inf
    for k, name in enumerate(data["scalar"].values):
        spread = data["scalar_std"].values[:, k] / np.abs(data["scalar_mean"].values[-1, k])
        if not (spread > 0).all():
            continue
        exponent = float(data["exponent"].values[k])
        axes.plot(
            sizes,
            100 * spread,
            color=COLORS[k],
            marker="o",
            linestyle="",
            label=f"{name}: Var ~ $L^{{{-exponent:.2f}}}$",
        )
        middle = np.exp(np.mean(np.log(spread) + exponent / 2 * np.log(sizes)))
        axes.plot(line, 100 * middle * line ** (-exponent / 2), color=COLORS[k], linewidth=1.2)
        first, highest = max(first, float(spread[0])), max(highest, float(spread.max()))
        lowest = min(lowest, float(spread.min()))
    if highest:
        axes.plot(
            line,
            130 * first * (line / sizes.min()) ** (-dim / 2),
            color="#444444",
            linestyle="--",
            linewidth=1.0,
            label=f"slope of $L^{{-{dim}}}$",
        )
        axes.set_yscale("log")
        axes.set_ylim(60 * min(lowest, first * (sizes.max() / sizes.min()) ** (-dim / 2)), 100 * highest * 5)
    for each in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        each(lambda value, _: f"{value:g}")
    axes.set_ylabel("standard deviation of one sample\n(% of the mean at the largest size)")
    _size_axis(axes, sizes, unit, voxels)
    axes.legend(fontsize=8, loc="upper right")
