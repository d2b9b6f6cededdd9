"""VTKHDF files: all snapshots of all fields as images whose cells hold the values, for ParaView 5.12 and newer.

Format: https://docs.vtk.org/en/latest/vtk_file_formats/vtkhdf_file_format (image data over time, version 2.0).
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from ..formats import make_parent, replaceable
from ..report.drawing import Array
from ..signals import check
from ..store import expanded, new_hdf5
from .settings import FieldKeys
from .source import Quantity, Source, opened

MARK = "written by phasefield export, vtkhdf"
_CHUNK_BYTES = 1 << 20


def write(source: str | Path, keys: FieldKeys) -> tuple[list[Path], str]:
    """Writes a VTKHDF file, numbers as they are; memory does not grow with the data.

    Raises:
        ConfigError: the target is another's. OutputError: there is nothing to write, or it cannot be written.
    """
    with opened(source) as there:
        target = expanded(keys.output) if keys.output else there.path.with_suffix(".vtkhdf")
        replaceable(target, MARK.encode(), "file of fields", there.path)
        found = there.quantities
        make_parent(target)
        with new_hdf5(target) as file:
            _fill(file, there, found)
        cells = " x ".join(map(str, there.lattice(found[0].data).shape))
        names = ", ".join(q.name + (f" ({len(q.labels)} components)" if q.component else "") for q in found)
        return [target], f"{there.times.size} snapshots of {cells} cells: {names}"


def _fill(file: h5py.File, source: Source, found: list[Quantity]) -> None:
    lattice, times = source.lattice(found[0].data), source.times
    missing = 3 - len(lattice.shape)
    cells = (*lattice.shape, *[0] * missing)  # an image of two dimensions is flat: its third extent is 0 to 0
    file.attrs["source"] = np.bytes_(MARK)
    group = file.create_group("VTKHDF")
    group.attrs["Version"] = np.array([2, 0], np.int64)
    group.attrs["Type"] = np.array(b"ImageData", h5py.string_dtype("ascii", 9))
    group.attrs["WholeExtent"] = np.array([end for n in cells for end in (0, n)], np.int64)
    group.attrs["Origin"] = np.array([*lattice.origin, *[0.0] * missing])
    group.attrs["Spacing"] = np.array([*lattice.spacing, *[1.0] * missing])
    group.attrs["Direction"] = np.eye(3).ravel()
    data = group.create_group("CellData")
    if times.size == 1:  # to VTK's reader one step is no series, and its arrays have no axis of time
        for quantity in found:
            _fill_snapshot(_create(data, quantity, (), lattice.shape[::-1]), (), quantity, 0)
        return
    steps = group.create_group("Steps")
    steps.attrs["NSteps"] = np.int64(times.size)
    steps["Values"] = times
    offsets = steps.create_group("CellDataOffsets")  # where a snapshot begins: ParaView crashes on a file without
    for quantity in found:
        count = times.size if "time" in quantity.data.dims else 1  # what does not change is shown again at every step
        offsets[quantity.name] = np.arange(times.size) % count
        stored = _create(data, quantity, (count,), lattice.shape[::-1])
        for index in range(count):
            _fill_snapshot(stored, (index,), quantity, index)


def _fill_snapshot(stored: h5py.Dataset, place: tuple[int, ...], quantity: Quantity, index: int) -> None:
    for rows, values in quantity.slabs(index):
        check()
        stored[(*place, rows)] = _numbers(values)


def _create(group: h5py.Group, quantity: Quantity, over: tuple[int, ...], shape: tuple[int, ...]) -> h5py.Dataset:
    """The array of a quantity: (time,) z, y, x, components last where there are some; chunks are rows of a snapshot."""
    inner = (*shape, *([len(quantity.labels)] if quantity.component else []))
    dtype = _numbers(np.empty(0, quantity.data.dtype)).dtype
    row = dtype.itemsize * int(np.prod(inner[1:]))
    rows = int(np.clip(_CHUNK_BYTES // max(1, row), 1, inner[0]))
    return group.create_dataset(quantity.name, (*over, *inner), dtype, chunks=(*(1 for _ in over), rows, *inner[1:]))


def _numbers(values: Array) -> Array:
    return values.astype(np.int8) if values.dtype.kind == "b" else values
