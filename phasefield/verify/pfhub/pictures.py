"""Curves of ours against those of others."""

from __future__ import annotations

from ...report.drawing import COLORS, Picture, blank, finish_axes, log_axis, png_of, safe, style
from .benchmark import Panel


def draw(panel: Panel) -> Picture:
    """A panel as a picture of a page."""
    with style():
        figure = blank(7.6, 4.4, "constrained")
        axes = figure.add_subplot()
        others = [c for c in panel.curves if not c.ours]
        for number, curve in enumerate(others):
            color = COLORS[number % len(COLORS)]
            marker = "o" if curve.x.size < 12 else ""
            axes.plot(
                curve.x, curve.y, color=color, lw=1.0, alpha=0.75, marker=marker, ms=3, label=safe(curve.label) or "_"
            )
        dashes = ("-", "--", ":")
        for number, curve in enumerate(c for c in panel.curves if c.ours):
            marker = "o" if curve.x.size < 12 else ""
            axes.plot(curve.x, curve.y, "k", ls=dashes[number % 3], lw=2.0, marker=marker, label=safe(curve.label))
        for which in panel.log:
            log_axis(axes, which)
        axes.set_xlabel(safe(panel.x))
        axes.set_ylabel(safe(panel.y))
        finish_axes(axes)
        axes.legend(fontsize=8)
        return Picture(panel.name, "Curves", panel.caption, png_of(figure))
