"""Runs and sweeps as HTML. Whatever comes from a file is escaped, and what cannot be read is said, not raised."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import PhasefieldError
from ..report import last_picture
from ..report.reading import opened
from ..report.standing import standing

if TYPE_CHECKING:
    import xarray as xr

_TABLE = '<table style="font-size:0.9em">'
_LEFT = "text-align:left"


def run_html(path: Path) -> str:
    """A run: name, how it stands, its times, the last snapshot, the last row of its history."""
    name = html.escape(path.resolve().name)
    out = [f"<div><b>{name}</b> <code>{html.escape(str(path))}</code>"]
    try:
        out.append(f"<div>{html.escape(standing(path).text)}</div>")
        out.append(f"<div>{_times(path)}</div>")
        out.append(_image(last_picture(path), f"last snapshot of {name}"))
        out.append(_row(path))
    except (PhasefieldError, OSError) as error:  # showing a run must not fail where it merely has not got so far
        out.append(f"<pre>{html.escape(str(error))}</pre>")
    return "\n".join([*out, "</div>"])


def sweep_html(path: Path, rows: Sequence[tuple[str, Sequence[str], str]]) -> str:
    """A sweep as a table.

    Args:
        rows: of every member its name, the overrides that tell it from the others, and how it came out.
    """
    keys = list(dict.fromkeys(o.partition("=")[0] for _, overrides, _ in rows for o in overrides))
    head = "".join(f'<th style="{_LEFT}">{html.escape(k)}</th>' for k in ("run", *keys, "outcome"))
    lines = []
    for name, overrides, outcome in rows:
        values = dict(o.partition("=")[::2] for o in overrides)
        cells = (name, *(values.get(key, "") for key in keys), outcome)
        lines.append(f"<tr>{''.join(f'<td style={_quote(_LEFT)}>{html.escape(c)}</td>' for c in cells)}</tr>")
    title = (
        f"<div><b>{html.escape(path.resolve().name)}</b> <code>{html.escape(str(path))}</code>, {len(rows)} runs</div>"
    )
    return f"<div>{title}\n{_TABLE}<tr>{head}</tr>\n" + "\n".join(lines) + "</table></div>"


def _quote(text: str) -> str:
    return f'"{text}"'


def _times(path: Path) -> str:
    with opened(path, "fields.nc") as data:
        times, unit = data["time"].values, str(data["time"].attrs.get("units", "1"))
    if not times.size:
        return ""
    shown = "" if unit == "1" else f" {html.escape(unit)}"
    return f"{times.size} snapshots from time {float(times[0]):g} to {float(times[-1]):g}{shown}"


def _image(png: bytes, alt: str) -> str:
    data = base64.b64encode(png).decode()
    return f'<img style="max-width:min(100%,560px)" alt="{alt}" src="data:image/png;base64,{data}">'


def _row(path: Path) -> str:
    with opened(path, "history.nc") as history:
        if not history.sizes["time"]:
            return ""
        lines = [
            f'<tr><td style="{_LEFT}">{html.escape(name)}</td><td style="{_LEFT}">{html.escape(value)}</td>'
            f'<td style="{_LEFT}">{html.escape(unit)}</td></tr>'
            for name, value, unit in _values(history)
        ]
    return f"<details><summary>last row of the history</summary>{_TABLE}{''.join(lines)}</table></details>"


def _values(history: xr.Dataset) -> Iterator[tuple[str, str, str]]:
    last: Any = history.isel(time=-1)
    for name in ("time", *map(str, history.data_vars)):
        values = np.atleast_1d(last[name].values).ravel()
        if values.dtype.kind not in "fiu":
            continue
        shown = ", ".join(f"{v:.6g}" for v in values[:8]) + (", ..." if values.size > 8 else "")
        unit = str(history[name].attrs.get("units", ""))
        yield name, shown, "" if unit == "1" else unit
