"""What a report reads: the files of a run folder, and curves to compare with."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import OutputError, Unreadable
from ..store import SPACE, expanded, open_dataset, sweep_instead
from .drawing import Array, decades_of, unit_of

if TYPE_CHECKING:
    import xarray as xr

SNAPSHOTS = 6  # panels in a row of snapshots


def run_folder(folder: str | Path) -> Path:
    path = expanded(folder)
    if os.path.isfile(path):
        beside = path.with_name("fields.nc").is_file()
        hint = f": {path.parent}" if beside else " (it holds fields.nc)."
        raise OutputError(f"{path}: is a file, not a run folder\n  Give the folder a run wrote{hint}")
    if not os.path.isdir(path):
        raise OutputError(f"{path}: no such run folder\n  Give the folder a run wrote (it holds fields.nc).")
    return path


@contextmanager
def opened(folder: Path, name: str) -> Iterator[xr.Dataset]:
    path = folder / name
    if not os.path.isfile(path):
        if instead := sweep_instead(folder):
            raise OutputError("{}: {}\n  {}".format(folder, *instead))
        raise OutputError(f"{path}: missing, so this is no run folder\n  Give the folder a run wrote, or run it again.")
    try:
        data = open_dataset(path, cache=False)
        data.load() if name == "history.nc" else None
    except Exception as error:  # of what is opened, values may be missing
        hint = "It is truncated or no NetCDF file, or a run is still writing it; wait for the run or run it again."
        reason = error.reason if isinstance(error, Unreadable) else f"cannot be read: {error}"
        raise OutputError(f"{path}: {reason}\n  {hint}") from error
    with data:
        if "time" not in data.dims:
            raise OutputError(f"{path}: has no dimension 'time'\n  Give the folder of a phasefield run.")
        try:
            yield data
        except (OSError, RuntimeError) as error:
            if name == "history.nc":
                raise  # read at once above: the fault is another's
            # Headers can be whole while the data behind them are not.
            hint = "The file is damaged or on a failing disk; restore it or run again."
            raise OutputError(f"{path}: cannot be read to its end ({error})\n  {hint}") from error


@dataclass(frozen=True)
class Field:
    """An order parameter; ``data`` is read lazily, its axes in any order."""

    name: str
    label: str
    unit: str
    data: xr.DataArray
    component: str | None
    space: tuple[str, ...]

    def values(self, index: int, **planes: int) -> Array:
        """Snapshot ``index`` (or planes of it) as ([component,] x, ...), floating."""
        chosen = self.data.isel(time=index, **planes).load()  # type: ignore[arg-type]
        dims = [d for d in (self.component, *self.space) if d in chosen.dims]
        array = np.asarray(chosen.transpose(*dims).values)
        return array if array.dtype.kind == "f" else array.astype(float)


def fields_of(data: xr.Dataset, folder: Path) -> list[Field]:
    path = folder / "fields.nc"
    if data.sizes["time"] == 0:
        raise OutputError(f"{path}: holds no snapshot\n  The run stopped before its first output; run it again.")
    fields = []
    for key, array in data.data_vars.items():
        name = str(key)
        space = tuple(d for d in SPACE if d in array.dims)
        others = [str(d) for d in array.dims if d != "time" and d not in space]
        if not space or "time" not in array.dims or len(others) > 1 or array.dtype.kind not in "fiub" or not array.size:
            continue
        component = others[0] if others else None
        falling = [d for d in space if d in array.coords and float(array[d][-1]) < float(array[d][0])]
        array = array.isel({d: slice(None, None, -1) for d in falling})  # drawn as initial conditions are read
        if component and array.sizes[component] == 1:
            array, component = array.isel({component: 0}), None
        unit = unit_of(array.attrs)
        long_name = str(array.attrs.get("long_name", "") or name)
        label = long_name if name in long_name.split() or long_name == name else f"{long_name} {name}"
        fields.append(Field(name, label + (f" ({unit})" if unit else ""), unit, array, component, space))
    if not fields:
        raise OutputError(f"{path}: holds no field with dimensions (time, x, ...)\n  Run again with a field to output.")
    dimension = len(fields[0].space)
    return [field for field in fields if len(field.space) == dimension]


def pick(times: Array, count: int = SNAPSHOTS) -> list[int]:
    """Up to ``count`` snapshots evenly spaced in time (in its logarithm over more than two decades), ends included."""
    n = times.size
    if n <= count:
        return list(range(n))
    if not np.isfinite(times).all() or not (np.diff(times) > 0).all():
        return sorted({round(i) for i in np.linspace(0, n - 1, count)})
    axis = times - times[0]
    if decades_of(axis) > 2:
        axis = np.log(np.maximum(axis, axis[1] / 10))  # the initial state takes the decade before the first output
    picked = [0]
    for rest in range(count - 1, 0, -1):
        # Spacing the rest anew after each choice keeps the choices apart and leaves enough for the end.
        target = axis[picked[-1]] + (axis[-1] - axis[picked[-1]]) / rest
        nearest = int(np.abs(axis - target).argmin())
        picked.append(min(max(nearest, picked[-1] + 1), n - rest))
    return picked


def reference_of(path: Path) -> tuple[str, Array, Array]:
    """Label, times and free energies of a CSV file, from the columns named so; of one without a header the two columns.

    Raises:
        OutputError: the file cannot be read, or its columns are not those of a free energy over time.
    """
    hint = "Give a CSV file with the columns time and free_energy."
    try:
        lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"{path}: the reference cannot be read ({reason})\n  Give an existing CSV file.") from error
    lines = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    cells = [
        [c.strip(" \"'") for c in line.split("," if "," in line else ";" if ";" in line else None)] for line in lines
    ]
    header = [c.lower() for c in cells[0]] if cells and not all(_is_number(c) for c in cells[0]) else []
    if header:
        time = [i for i, c in enumerate(header) if re.match(r"(time|t)\b", c.replace("_", " "))]
        energy = [i for i, c in enumerate(header) if re.search(r"free[ _]?energy|^energy$|^f$", c)]
        if len(time) != 1 or len(energy) != 1:
            what = "time" if len(time) != 1 else "free_energy"
            how = "no column" if not (time if what == "time" else energy) else "several columns"
            raise OutputError(f"{path}: has {how} {what}; its columns are {', '.join(header)}\n  {hint}")
        columns = time[0], energy[0]
    elif cells and {len(row) for row in cells} != {2}:
        raise OutputError(
            f"{path}: has {len(cells[0])} columns and no header, so that none is known to be the time\n  {hint}"
        )
    else:
        columns = 0, 1
    points = []
    for number, row in enumerate(cells[bool(header) :], start=1 + bool(header)):
        pair = [row[k] if k < len(row) else "" for k in columns]
        if not all(_is_number(c) or not c for c in pair):
            raise OutputError(f"{path}: row {number} holds {' and '.join(map(repr, pair))}, not two numbers\n  {hint}")
        points.append([float(c) if c else math.nan for c in pair])
    table = np.array(points, dtype=float).reshape(-1, 2)
    table = table[np.isfinite(table).all(axis=1)]
    if not table.size:
        raise OutputError(f"{path}: the reference holds no row of two numbers\n  {hint}")
    return path.stem, table[:, 0], table[:, 1]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
