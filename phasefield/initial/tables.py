"""Circles from a table of centres and radii."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import ConfigError
from ..tables import is_number, read_table
from .options import Array, Target

#: What the last column may be called, and what a radius is of it.
_SIZES = {"radius": 1.0, "r": 1.0, "diameter": 0.5, "d": 0.5}


def read_circles(target: Target, key: str, path: str) -> tuple[Array, list[float]]:
    """Centres (circles, axes) and radii from a text file.

    A header names the columns x, y, z (as many as the grid has axes) and radius or diameter, in any order; others are passed
    over. Without one they are x, y, z, radius.

    Raises:
        ConfigError: no such file, a column that is missing, a cell that is no number, a radius that is not positive.
    """
    place = target.base / Path(path).expanduser()
    names = target.grid.names
    form = f"a table with the columns {','.join(names)},radius is expected"
    try:
        rows = read_table(place)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(key, f"{place} cannot be read: {reason}", form) from error
    if not rows:
        raise ConfigError(key, f"{place} is empty", form)
    head = [c.lower() for c in rows[0][1]]
    if all(is_number(c) for c in head):
        columns, size = [*names, "radius"], "radius"
        if len(head) != len(columns):
            raise ConfigError(key, f"{place} has {len(head)} columns and no header", form)
    else:
        columns, rows = head, rows[1:]
        sizes = [c for c in columns if c in _SIZES]
        if not set(names) <= set(columns) or len(sizes) != 1 or len(set(columns)) < len(columns) or not rows:
            raise ConfigError(key, f"{place} has the columns {', '.join(head)} and {len(rows)} rows", form)
        size = sizes[0]
    wanted = [columns.index(c) for c in (*names, size)]
    values = np.empty((len(rows), len(wanted)))
    for k, (line, cells) in enumerate(rows):
        if len(cells) != len(columns):
            raise ConfigError(key, f"line {line} of {place} has {len(cells)} values for {len(columns)} columns")
        for m, column in enumerate(wanted):
            if not is_number(cells[column]):
                raise ConfigError(
                    key, f"line {line} of {place}: {columns[column]} is {cells[column]!r}; a number is expected"
                )
            values[k, m] = float(cells[column])
        if values[k, -1] <= 0:
            raise ConfigError(
                key, f"line {line} of {place}: {size} is {values[k, -1]:g}; a positive number is expected"
            )
    return values[:, :-1], (_SIZES[size] * values[:, -1]).tolist()
