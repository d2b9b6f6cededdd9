"""A run while it goes on: one picture in the notebook, drawn anew every so often."""

from __future__ import annotations

import logging
import math
import sys
import time as clock
from collections.abc import Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from ..grid import Grid
from ..observables import OBSERVABLES
from ..report.drawing import COLORMAP, NOT_FINITE, blank, draw_line, finish_axes, safe, style
from ..report.reading import fields_of
from ..report.snapshots import slices_of, strips_of
from ..specs import RunSpec
from ..store import RunFolder

if TYPE_CHECKING:
    from pathlib import Path

    import xarray as xr
    from matplotlib.axes import Axes

    from ..callbacks import Moment

log = logging.getLogger("phasefield")

#: Fields that are drawn: more would be too small to see anything in.
_MOST = 3


def in_notebook() -> bool:
    """Whether a notebook shows what this process displays; IPython is not loaded to find out."""
    module = sys.modules.get("IPython")
    shell = module.get_ipython() if module is not None else None
    return shell is not None and hasattr(shell, "kernel")


class Live:
    """The picture of a run, and a callback that draws it: last state and curves of what changes.

    Args:
        spec: of the run. show: is handed the PNG of every picture; None shows it in the notebook, always in the same place.
        share: of the time that drawing may take; calls that come sooner are passed over.
    """

    def __init__(self, spec: RunSpec, show: Any = None, share: float = 0.2) -> None:
        self._spec, self._grid = spec, spec.grid.build()
        self._show = _InPlace() if show is None else show
        self._rows: list[Mapping[str, Any]] = []
        self._failed = False
        self._share, self._rest = share, -math.inf  #: until when nothing is drawn
        #: Effective properties take many steps' time, so that curves do without the history where it holds some.
        self._cheap = set(spec.output.observables) <= set(OBSERVABLES)

    def __call__(self, moment: Moment) -> None:
        """Draws the state between two steps. A picture that fails is told once and ends no run."""
        if (begin := clock.monotonic()) < self._rest:
            return
        self._rows.append(dict(moment.values) if self._cheap else {"time": moment.time, "dt": moment.dt})
        self._draw(lambda: _dataset(self._spec, self._grid, moment), self._curves(), moment.time)
        self._rest = begin + (clock.monotonic() - begin) / self._share

    def finish(self, folder: Path) -> None:
        """Draws what the run has come to, from its files."""
        from ..store import open_dataset

        place = RunFolder(folder)
        with open_dataset(place.fields) as data, open_dataset(place.history) as history:
            if not data.sizes["time"]:
                return
            last = data.isel(time=[-1]).load()
            curves = {str(n): (history.time.values, history[n].values) for n in history if history[n].ndim == 1}
            self._draw(lambda: last, curves, float(last.time[0]))

    def _curves(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        times = np.array([row["time"] for row in self._rows])
        names = [n for n, v in self._rows[-1].items() if np.ndim(v) == 0]
        return {n: (times, np.array([row.get(n, np.nan) for row in self._rows], dtype=float)) for n in names}

    def _draw(self, state: Any, curves: Mapping[str, tuple[np.ndarray, np.ndarray]], time: float) -> None:
        if self._failed:
            return
        try:
            self._show(picture(state(), curves, time, self._spec.time.end))
        except Exception as error:
            self._failed = True
            log.warning(
                "the picture of the run cannot be drawn, it goes on without: %s: %s", type(error).__name__, error
            )


class _InPlace:
    """Shows pictures in the notebook, each in place of the one before."""

    def __init__(self) -> None:
        self._handle: Any = None

    def __call__(self, png: bytes) -> None:
        from IPython.display import Image, display

        image = Image(data=png, format="png", width=760)
        if self._handle is None:
            self._handle = display(image, display_id=True)
        else:
            self._handle.update(image)


def picture(data: xr.Dataset, curves: Mapping[str, tuple[np.ndarray, np.ndarray]], time: float, end: float) -> bytes:
    """A PNG of one state beside curves of free energy and characteristic length, or of the step.

    Args:
        data: one snapshot as in fields.nc. curves: times and values by the names of history.nc.
    """
    from pathlib import Path

    with style():
        fields = fields_of(data, Path())[:_MOST]
        wanted = [n for n in curves if n == "free_energy" or n.startswith("characteristic_length")][:3] or ["dt"]
        wanted = [n for n in wanted if n in curves]
        # Of one size and arrangement, so that nothing jumps, and without a layout engine, which takes as long as all the rest.
        width, height = 4.4 * len(fields) + 4.2, 4.0
        figure = blank(width, height)
        place = {"left": 0.6 / width, "right": 1 - 0.2 / width, "bottom": 0.45 / height, "top": 1 - 0.75 / height}
        grid = figure.add_gridspec(max(len(wanted), 1), len(fields) + 1, wspace=0.42, hspace=0.55, **place)
        for column, field in enumerate(fields):
            axes = figure.add_subplot(grid[:, column])
            if len(field.space) == 1:
                _profile(axes, field)
            else:
                _plane(axes, field)
            axes.set_title(safe(field.label))
        for row, name in enumerate(wanted):
            axes = figure.add_subplot(grid[row, len(fields)])
            draw_line(axes, *curves[name])
            axes.set_title(safe(name.replace("_", " ")), fontsize=10)
            finish_axes(axes)
        figure.suptitle(f"t = {time:.5g} of {end:g}", x=0.01, y=0.98, ha="left")
        buffer = BytesIO()
        figure.savefig(buffer, format="png", dpi=110, facecolor="white")
        return buffer.getvalue()


def _plane(axes: Axes, field: Any) -> None:
    """The state, or the middle plane of a body; of components the map of the largest."""
    strip = strips_of(field, slices_of(field, 0, every=False), shared=False)[0]
    panel = strip.panels[0]
    image = panel.image.swapaxes(0, 1)
    edges = (panel.right.low, panel.right.high, panel.up.low, panel.up.high)
    limits = panel.limits or strip.limits
    if limits is None:
        axes.imshow(image, extent=edges)
    else:
        shown = axes.imshow(np.ma.masked_invalid(image), COLORMAP, vmin=limits[0], vmax=limits[1], extent=edges)
        axes.figure.colorbar(shown, cax=axes.inset_axes((1.03, 0.0, 0.04, 1.0)))
    axes.set_facecolor(NOT_FINITE)


def _profile(axes: Axes, field: Any) -> None:
    values = field.values(0)
    x = np.arange(values.shape[-1]) + 0.5 if "x" not in field.data.coords else field.data["x"].values
    for line in np.atleast_2d(values):
        draw_line(axes, x, line)
    finish_axes(axes)


def _dataset(spec: RunSpec, grid: Grid, moment: Moment) -> xr.Dataset:
    """The state as one snapshot of fields.nc."""
    import xarray as xr

    centers = {
        name: (name, axis.centers, {"units": grid.units}) for name, axis in zip(grid.names, grid.axes, strict=True)
    }
    found = {}
    for name, values in moment.fields.items():
        field = spec.model.fields[name]
        own = [f"component_{name}"] if field.components is not None else []
        attrs = {"long_name": field.description or name, "units": field.units}
        found[name] = (("time", *own, *grid.names), values[None], attrs)
    return xr.Dataset(found, {"time": [moment.time], **centers})
