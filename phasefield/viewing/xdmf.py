"""XDMF: a small XML file that tells ParaView, VisIt and others where in a NetCDF-4 (HDF5) file the fields of each time lie.

Format: https://www.xdmf.org/index.php/XDMF_Model_and_Format, version 2. Nothing is copied; the file that is told of has to stay
where it is, seen from the XML. ParaView reads it with its "Xdmf Reader"; the one of version 3 (seen in 5.11) finds no numbers in
slabs of HDF5 files.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import h5py

from ..errors import ConfigError, OutputError, Unreadable
from ..formats import make_parent, replaceable
from ..store import SPACE, expanded, write_text
from .settings import FieldKeys
from .source import Lattice, opened

MARK = "written by phasefield export, xdmf"
_KINDS = {"f": "Float", "i": "Int", "u": "UInt"}


@dataclass(frozen=True)
class _Array:
    """A dataset of the file: its name, shape with or without time in front, type in the words of XDMF."""

    name: str
    shape: tuple[int, ...]
    over_time: bool
    kind: str
    bytes: int


def write(source: str | Path, keys: FieldKeys) -> tuple[list[Path], str]:
    """Writes the XML.

    Raises:
        ConfigError: the target is another's, or cannot name the file. OutputError: a file that XDMF cannot tell of.
    """
    with opened(source) as there:
        found = there.quantities
        target = expanded(keys.output) if keys.output else there.path.with_suffix(".xdmf")
        replaceable(target, MARK.encode(), "file of XDMF", there.path)
        times, lattice = there.times.tolist(), there.lattice(found[0].data)
        path = there.path
    arrays = _arrays(path, lattice)
    make_parent(target)
    near = os.path.relpath(os.path.realpath(path), os.path.realpath(target.parent))
    if ":" in near or near != near.strip():
        raise ConfigError(
            "output", f"XDMF cannot name {near}: a colon ends the name of a file", "write the XML beside the source"
        )
    write_text(target, "\n".join(_lines(near, arrays, lattice, times)) + "\n")
    names = ", ".join(a.name for a in arrays)
    return [
        target
    ], f"{len(times)} snapshots of {names}, which stay in {near}\nParaView asks for a reader: choose Xdmf Reader"


def _arrays(path: Path, lattice: Lattice) -> list[_Array]:
    """What lies on the cells. By HDF5's own names and shapes, for it is these that the XML speaks of."""
    shape = lattice.shape[::-1]
    order = list(reversed(SPACE))[3 - len(shape) :]
    found = []
    try:
        with h5py.File(path) as file:
            for name, data in file.items():
                if not isinstance(data, h5py.Dataset) or data.dtype.kind not in _KINDS:
                    continue
                dims = [axis[0].name.rpartition("/")[2] if len(axis) else "" for axis in data.dims]
                over_time = dims[:1] == ["time"]
                if dims[over_time:] == order:
                    found.append(_Array(name, data.shape, over_time, _KINDS[data.dtype.kind], data.dtype.itemsize))
    except OSError as error:
        raise Unreadable(
            path, f"is no NetCDF-4 file, which XDMF tells of\n  format=vtkhdf copies it ({error})"
        ) from None
    if not found:
        raise OutputError(
            f"{path}: its fields do not lie in the order {', '.join(order)}, as those of an earlier version\n"
            "  format=vtkhdf copies them into that order"
        )
    return found


def _lines(file: str, arrays: list[_Array], lattice: Lattice, times: list[float]) -> Iterator[str]:
    # Of fewer dimensions the cells are one layer or one row in space: VTK's reader puts meshes of two dimensions into another
    # plane, and of one dimension there are none.
    missing = 3 - len(lattice.shape)
    nodes = [*[2] * missing, *(n + 1 for n in lattice.shape[::-1])]
    spacing = [*[min(lattice.spacing)] * missing, *lattice.spacing[::-1]]
    origin = [*[0.0] * missing, *lattice.origin[::-1]]
    yield '<?xml version="1.0" encoding="utf-8"?>'
    yield f"<!-- {MARK} -->"
    yield '<Xdmf Version="2.0">\n <Domain>\n  <Grid Name="run" GridType="Collection" CollectionType="Temporal">'
    for index, time in enumerate(times):
        yield f'   <Grid Name="cells" GridType="Uniform">\n    <Time Value="{time!r}"/>'
        yield f'    <Topology TopologyType="3DCoRectMesh" Dimensions="{_numbers(nodes)}"/>'
        yield '    <Geometry GeometryType="ORIGIN_DXDYDZ">'
        for values in (origin, spacing):
            yield (
                f'     <DataItem Dimensions="{len(values)}" NumberType="Float" Precision="8" Format="XML">'
                f"{_numbers(values)}</DataItem>"
            )
        yield "    </Geometry>"
        for array in arrays:
            yield from _attribute(file, array, index)
        yield "   </Grid>"
    yield "  </Grid>\n </Domain>\n</Xdmf>"


def _attribute(file: str, array: _Array, index: int) -> Iterator[str]:
    inner = array.shape[array.over_time :]
    cells = [*[1] * (3 - len(inner)), *inner]
    kind = f'NumberType="{array.kind}" Precision="{array.bytes}"'
    where = (
        f'<DataItem Format="HDF" {kind} Dimensions="{_numbers(array.shape)}">'
        f"{escape(file)}:/{escape(array.name)}</DataItem>"
    )
    yield f'    <Attribute Name={quoteattr(array.name)} AttributeType="Scalar" Center="Cell">'
    if array.over_time:
        start, stride, count = [index, *[0] * len(inner)], [1] * (1 + len(inner)), [1, *inner]
        yield f'     <DataItem ItemType="HyperSlab" {kind} Dimensions="{_numbers(cells)}">'
        yield (
            f'      <DataItem Dimensions="3 {1 + len(inner)}" NumberType="Int" Format="XML">'
            f"{_numbers([*start, *stride, *count])}</DataItem>"
        )
        yield f"      {where}\n     </DataItem>"
    else:
        yield f"     {where}"
    yield "    </Attribute>"


def _numbers(values: list[int] | list[float] | tuple[int, ...]) -> str:
    return " ".join(map(repr, values))
