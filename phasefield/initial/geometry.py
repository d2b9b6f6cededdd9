"""Distances and profiles on a grid, whatever is placed there."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np

from ..errors import ConfigError
from ..grid import Axis
from .options import Array, Option, Target, read_at_least_zero, read_component, read_number


def nearest_image(offset: Array, axis: Axis) -> Array:
    return offset - axis.length * np.round(offset / axis.length) if axis.boundary == "periodic" else offset


def distance_of(squares: Sequence[Array]) -> Array:
    """Distances from squared offsets per axis, over the outer product of the axes."""
    return np.sqrt(reduce(np.add.outer, squares))


def profile(distance: Array, o: Mapping[str, Any]) -> Array:
    if o["width"] == 0:
        return np.where(distance <= 0, o["inside"], o["outside"])
    return o["outside"] + (o["inside"] - o["outside"]) * 0.5 * (1 - np.tanh(distance / (math.sqrt(2) * o["width"])))


def place(target: Target, component: int | None, values: Array) -> Array:
    """The field whose only values, or those of one component, are given, in all cells or those of some rows; the other components
    are zero.
    """
    if component is None:
        return values[None]
    out = np.zeros((target.n, *values.shape))
    out[component - 1] = values
    return out


PROFILE = {
    "inside": Option(read_number, 1.0),
    "outside": Option(read_number, 0.0),
    "width": Option(read_at_least_zero, 0.0),
    "component": Option(read_component, None),
}


def check_component(target: Target, component: int | None, otherwise: str = "") -> None:
    if target.components is not None and component is None:
        raise ConfigError(
            f"{target.key}.component",
            f"missing: field {target.name!r} has {target.components} components",
            f"set component to a number from 1 to {target.components}{otherwise}",
        )
