"""The keys of the commands that show a run."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..errors import ConfigError
from ..keys import key
from ..report.drawing import COLORMAP
from ..report.views import color_table


@dataclass
class Shown:
    """What of a run is shown in a terminal."""

    field: str | None = key(None, "the field, or a component of it (eta_2); by default the first", value="text")
    slice: str | None = key(
        None, "plane of a 3-D field, AXIS:PLACE with a place from 0 to 1 along the axis; by default z:0.5", value="text"
    )
    colormap: str = key(COLORMAP, "a colour map of Matplotlib", value="text")

    def __post_init__(self) -> None:
        color_table(self.colormap)


@dataclass
class Watch(Shown):
    """How a run is watched."""

    terminal: bool = key(False, "show the run in this terminal, as without a display", flag="--terminal")
    once: bool = key(False, "print the run once, in the terminal, and end")
    port: int | None = key(None, "serve the page at this port of 127.0.0.1; by default at a free one")
    browser: bool = key(True, "open the page in the browser, where there is a display; false serves it without")
    every: float = key(2.0, "seconds between two looks for news, in the terminal")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.port is not None and not 0 <= self.port < 65536:
            raise ConfigError("port", f"is {self.port}; a number from 1 to 65535 is expected, or 0 for a free one")
        if self.port is not None and (self.terminal or self.once):
            raise ConfigError("port", "means nothing to the terminal", "leave out port=, or --terminal and once=")
        if not (math.isfinite(self.every) and self.every >= 0.1):
            raise ConfigError("every", f"is {self.every:g}; 0.1 seconds or more are expected")


@dataclass
class Glance(Shown):
    """How a snapshot is viewed."""

    time: float | None = key(None, "of the snapshot, the nearest one; by default the last")
    paraview: bool = key(True, "open the fields in ParaView where it is installed and there is a display")
