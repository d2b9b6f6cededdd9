"""Image files by their suffix: each format is one function from a path to a `Raster`, for initial conditions and homogenization.

NetCDF is apart: such files hold several variables and times, see `raster` for their axes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from .pixels import PICTURES
from .raster import ARRAYS, Raster, read_indexed, read_picture

#: From a path to values with the axes x, y, z. The second argument is how many axes are wanted, None for as many as there are;
#: the third, whether pixels are numbers of labels rather than shades, which counts for palettes.
Reader = Callable[[Path, int | None, bool], Raster]

#: Readers by suffix, in lower case with its dot.
FORMATS: dict[str, Reader] = {}


def image_format(*suffixes: str) -> Callable[[Reader], Reader]:
    """Registers the reader of files with these suffixes."""

    def register(reader: Reader) -> Reader:
        FORMATS.update(dict.fromkeys((s.lower() for s in suffixes), reader))
        return reader

    return register


@image_format(*PICTURES)
def _picture(path: Path, dim: int | None, numbers: bool) -> Raster:
    return read_picture(path, dim, numbers)


@image_format(*ARRAYS)
def _array(path: Path, dim: int | None, numbers: bool) -> Raster:
    return read_indexed(path)


def read_raster(path: Path, dim: int | None = None, numbers: bool = False) -> Raster:
    """The values of an image file whose suffix is among `FORMATS`; for the arguments see `Reader`.

    Raises:
        ConfigError: a file that holds no image. Others: whatever the format's library raises on a damaged file.
    """
    return FORMATS[path.suffix.lower()](path, dim, numbers)
