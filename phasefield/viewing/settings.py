"""The keys of the formats of fields."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..errors import ConfigError
from ..keys import key
from ..report.drawing import COLORMAP


@dataclass
class FieldKeys:
    """What of a run is written, and how it is drawn."""

    output: str | None = key(
        None, "the file to write, of many pictures the folder; by default beside the source", value="text"
    )
    field: str | None = key(
        None, "png, mp4: the field, or a component of it (eta_2); by default the first", value="text"
    )
    time: float | None = key(None, "the one snapshot to draw, the nearest to this time; by default all")
    every: int = key(1, "png, mp4: draw every n-th snapshot, and the last")
    slice: str | None = key(
        None,
        "png, mp4: plane of a 3-D field, AXIS:PLACE with a place from 0 to 1 along the axis; by default z:0.5",
        value="text",
    )
    colormap: str = key(COLORMAP, "png, mp4: a colour map of Matplotlib", value="text")
    range: list[float] = key(
        [],
        "png, mp4: values of the first and the last colour; by default the least and the largest of what is drawn, one "
        "range for all times",
    )
    scale: int | None = key(
        None, "png, mp4: pixels along the edge of a cell; by default 1, of a film as many as make it 480 pixels long"
    )
    fps: float = key(10.0, "mp4: snapshots a second")

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ConfigError("every", f"is {self.every}; a number of 1 or more is expected")
        if self.time is not None and not math.isfinite(self.time):
            raise ConfigError("time", f"is {self.time}; a number is expected")
        if self.time is not None and self.every != 1:
            raise ConfigError(
                "every", "means nothing beside time=, which chooses one snapshot", "leave one of them out"
            )
        if self.scale is not None and not 1 <= self.scale <= 64:
            raise ConfigError("scale", f"is {self.scale}; a number from 1 to 64 is expected")
        if not (math.isfinite(self.fps) and 0 < self.fps <= 120):
            raise ConfigError("fps", f"is {self.fps:g}; a number above 0, at most 120, is expected")
        if self.range:
            low, high = self.range if len(self.range) == 2 else (math.nan, math.nan)
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise ConfigError(
                    "range", f"is {self.range}; two numbers are expected, the smaller first", "range=[0,1]"
                )
