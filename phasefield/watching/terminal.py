"""A run in a terminal: a snapshot in half blocks (two pixels a character), the last row of the history, the energy's curve."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import OutputError
from ..report.drawing import Array, reduced
from ..report.standing import standing
from ..report.views import color_table, colored
from ..signals import Stop
from .look import Look

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_BARS = "▁▂▃▄▅▆▇█"
_SHADES = " .:-=+*#%@"
#: How much red, green and blue add to the brightness of a colour (ITU-R BT.601).
_BRIGHTNESS = np.array([0.299, 0.587, 0.114])


def half_blocks(colors: Array) -> RenderableType:
    """Pixels, shape (rows, columns, 3), uint8, two a character: the upper is the sign's colour, the lower that behind it."""
    from rich.text import Text

    if colors.shape[0] % 2:
        colors = np.concatenate([colors, colors[-1:]])
    text = Text(no_wrap=True)
    for upper, lower in zip(colors[::2], colors[1::2], strict=True):
        for a, b in zip(upper.tolist(), lower.tolist(), strict=True):
            text.append("▀", style=f"rgb({a[0]},{a[1]},{a[2]}) on rgb({b[0]},{b[1]},{b[2]})")
        text.append("\n")
    text.right_crop(1)
    return text


def shades(values: Array, limits: tuple[float, float]) -> RenderableType:
    """Values as characters of growing weight, one a pixel, for terminals without colours; a question mark where not finite."""
    from rich.text import Text

    low, high = limits
    finite = np.isfinite(values)
    places = (np.where(finite, values, low) - low) / ((high - low) or 1.0) * len(_SHADES)
    signs = np.where(finite, np.array(list(_SHADES))[np.clip(places, 0, len(_SHADES) - 1).astype(int)], "?")
    return Text("\n".join("".join(row) for row in signs), no_wrap=True)


def sparkline(values: Array, width: int) -> str:
    """A curve in a line of characters, evenly over its points; blanks where it is not finite."""
    if not values.size:
        return ""
    values = values[np.linspace(0, values.size - 1, min(width, values.size)).round().astype(int)]
    finite = np.isfinite(values)
    if not finite.any():
        return " " * values.size
    low, high = float(values[finite].min()), float(values[finite].max())
    places = (np.where(finite, values, low) - low) / ((high - low) or 1.0) * len(_BARS)
    return "".join(_BARS[min(int(p), len(_BARS) - 1)] if ok else " " for p, ok in zip(places, finite, strict=True))


def _fitted(image: Array, width: int, height: int, tall: float) -> Array:
    """An image with at most ``width`` columns and ``height`` rows: cells as larger blocks, or means over several.

    Args:
        tall: height of what a row is shown as, in widths of a column.
    """
    rows, columns = image.shape[:2]
    scale = min(width / columns, height * tall / rows, 8.0)
    if scale < 1:
        means = reduced(image.astype(float), max(1, int(max(rows, columns) * scale)))
        image = means.astype(image.dtype)
    down, along = max(1, int(rows * scale / tall)), max(1, int(columns * scale))
    rows, columns = image.shape[:2]
    return image[(np.arange(down) * rows) // down][:, (np.arange(along) * columns) // along]


def snapshot(
    look: Look, console: Console, index: int, field: str | None, slice_: str | None, colormap: str
) -> RenderableType:
    """A snapshot as text, with what it is and its range."""
    from rich.console import Group
    from rich.text import Text

    picture = look.picture(index, field, slice_, most=512)
    coloured = console.color_system in ("256", "truecolor") and (console.encoding or "").startswith("utf")
    lines = max(4, console.height - 9)  # the rest is for text
    rows, tall = (2 * lines, 1.0) if coloured else (lines, 2.0)  # a character is about twice as high as it is wide
    image = _fitted(picture.image, min(console.width, 120), rows, tall)
    title = Text(picture.title)
    if picture.limits is None:
        if coloured:
            return Group(title, half_blocks(image))
        return Group(title, shades(image @ _BRIGHTNESS, (0.0, 255.0)), Text("the brightness of the map's colours"))
    limits = look.limits(field) or picture.limits
    if not limits[1] > limits[0]:
        limits = (limits[0] - 0.5, limits[0] + 0.5)
    if not coloured:
        return Group(
            title, shades(image, limits), Text(f"{limits[0]:.4g} '{_SHADES[0]}' to {limits[1]:.4g} '{_SHADES[-1]}'")
        )
    table = color_table(colormap)
    ramp = table[np.linspace(0, 255, 24).astype(int)]
    bar = Text(f"{limits[0]:.4g} ")
    for red, green, blue in ramp.tolist():
        bar.append(" ", style=f"on rgb({red},{green},{blue})")
    bar.append(f" {limits[1]:.4g}")
    return Group(title, half_blocks(colored(image, limits, table)), bar)


def screen(look: Look, console: Console, field: str | None, slice_: str | None, colormap: str) -> RenderableType:
    """All that is shown of a run."""
    from rich.console import Group
    from rich.text import Text

    state = standing(look.folder.path)
    parts: list[RenderableType] = [Text(f"{look.folder.path}: {state.text}", style="bold")]
    row = look.row()
    if row:
        parts.append(
            Text("  ".join(f"{name} {value:.5g}" for name, value in row[:7]), overflow="ellipsis", no_wrap=True)
        )
    energy = look.energy()
    if energy.size > 1:
        curve = sparkline(energy, min(console.width, 120) - 12)
        if (console.encoding or "").startswith("utf"):
            parts.append(Text(f"free energy {curve}"))
    times = look.summary().get("times", []) if look.folder.fields.exists() else []
    if times:
        parts.append(Text(f"t = {times[-1]:.5g}, snapshot {len(times)} of {len(times)}"))
        parts.append(snapshot(look, console, -1, field, slice_, colormap))
    else:
        parts.append(Text("no snapshot yet"))
    return Group(*parts)


def follow(look: Look, console: Console, every: float, stop: Stop, *arguments: Any) -> None:
    """Shows a run and what is new of it, until it ends or a signal comes."""
    from rich.live import Live

    before = look.version()
    with Live(screen(look, console, *arguments), console=console, auto_refresh=False) as live:
        live.refresh()
        while stop.received is None and standing(look.folder.path).running:
            _sleep(every, stop)
            if (now := look.version()) != before:
                before = now
                live.update(screen(look, console, *arguments), refresh=True)
        if look.version() != before:
            live.update(screen(look, console, *arguments), refresh=True)


def _sleep(seconds: float, stop: Stop) -> None:
    end = time.monotonic() + seconds
    while stop.received is None and (left := end - time.monotonic()) > 0:
        time.sleep(min(0.1, left))


def console_of() -> Console:
    """The terminal, in as many colours as it has; of a file or a pipe plain text.

    Raises:
        OutputError: there is no standard output.
    """
    from rich.console import Console

    if sys.stdout is None:
        raise OutputError("there is no standard output to show the run on")
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else 100
    return Console(file=sys.stdout, highlight=False, markup=False, emoji=False, soft_wrap=True, width=width)
