"""Images of which every one of several processes reads its own planes.

What can be read by part is: arrays and volumes are mapped, of HDF5 files a block is read, of stacks of pages one page after the
other. Of other files rank 0 reads the whole and hands the planes out.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ConfigError
from ..planes import Group, Planes
from .formats import Asked, read_raster, unreadable
from .raster import ARRAYS, Array, Raster
from .volumes import METAIMAGE, RAW

#: Files whose values are left where they are until they are looked at.
MAPPED = (*ARRAYS, *RAW, *METAIMAGE)
#: Bytes of a file that are looked at before its pages are let go of.
_BLOCK = 1 << 26


def read_share(path: Path, asked: Asked, group: Group, keys: dict[str, str]) -> tuple[Raster, Planes]:
    """The values of this process's planes of an image file, and which these are; arguments and errors as in `read_raster`."""
    mapped = path.suffix.lower() in MAPPED
    alone = Planes(group)

    def opened() -> Raster | None:
        if not mapped and group.rank != 0:
            return None
        try:
            return read_raster(path, replace(asked, mapped=mapped), keys=keys)
        except ConfigError:
            raise
        except Exception as error:  # what the readers raise on a damaged file is anything
            raise ConfigError(str(path), *unreadable(path, error)) from error

    raster = alone.agreed(opened)
    if not mapped:
        return handed_out(raster, group)
    assert raster is not None
    planes = Planes(group, raster.values.shape[0] if raster.values.ndim else 0)
    return replace(raster, values=copied(raster.values, planes.mine)), planes


def handed_out(whole: Raster | None, group: Group) -> tuple[Raster, Planes]:
    """A raster that rank 0 has, by planes."""
    words: Raster | None = None if whole is None else replace(whole, values=np.zeros(0))
    told = Planes(group).first((words, 0 if whole is None else len(whole.values)))
    assert told[0] is not None
    planes = Planes(group, told[1])
    parts: list[Any] = [None] * group.size
    if whole is not None:
        shares = [planes.share(rank) for rank in range(group.size)]
        parts = [np.ascontiguousarray(whole.values[s.start : s.stop]) for s in shares]
    own = group.exchange(parts)[0]
    said = f"rank 0 read the whole, which files like this are read by: {', '.join(MAPPED)} and NetCDF are read by part"
    return replace(told[0], values=own).with_word(said), planes


def copied(values: Array, mine: range) -> Array:
    """Some planes of an array that lies in a file, a part of the file after the other."""
    out = np.empty((len(mine), *values.shape[1:]), values.dtype.newbyteorder("="))
    # The slowest axis in the file: what is taken of it at once lies together.
    slowest = int(np.argmax(np.abs(values.strides)))
    count = len(mine) if slowest == 0 else values.shape[slowest]
    step = max(1, int(_BLOCK * count // max(1, values.nbytes)))
    for at in range(0, count, step):
        block: list[Any] = [slice(None)] * values.ndim
        block[slowest] = slice(at, min(at + step, count))
        part = values[mine.start : mine.stop]
        out[tuple(block)] = part[tuple(block)]
        _let_go(values)
    return out


def _let_go(values: Any) -> None:
    """Lets the system take the pages of a mapped file back."""
    import mmap

    while values is not None and not isinstance(values, mmap.mmap):
        values = getattr(values, "_mmap", None) or getattr(values, "base", None)
    if values is not None and hasattr(mmap, "MADV_DONTNEED"):
        values.madvise(mmap.MADV_DONTNEED)
