"""Image files by their suffix: each format is one function from a path to a `Raster`, for initial conditions and homogenization.

NetCDF is apart: such files hold several variables and times, see `raster` for their axes and `is_netcdf` for which they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigError, Unreadable
from .hdf5 import DREAM3D, HDF5, has_dimensions, read_hdf5
from .pixels import LOSSY, PICTURES
from .raster import ARRAYS, NETCDF, Raster, as_told, read_indexed, read_picture
from .slices import read_slices
from .volumes import METAIMAGE, RAW, Raw, read_metaimage, read_raw
from .vtk_files import VTK, read_vtk


@dataclass(frozen=True)
class Asked:
    """What is said of a file besides its name.

    Attributes:
        dim: how many axes are wanted, None for as many as there are. numbers: whether pixels are numbers of labels rather than
            shades, which counts for palettes.
        variable: which of the arrays in the file, by its name or path. axes: what the file's axes are, in their order, as
            ``zyx`` or ``z-yx`` (y falls). raw: how a file without a header is laid out.
        mapped: whether values may stay in the file until they are looked at, where the format lets them.
    """

    dim: int | None = None
    numbers: bool = False
    variable: str | None = None
    axes: str | None = None
    raw: Raw | None = None
    mapped: bool = False


Reader = Callable[[Path, Asked], Raster]


@dataclass(frozen=True)
class Format:
    """How files of a kind are read, and which of `Asked.variable`, ``axes`` and ``raw`` mean something for them."""

    read: Reader
    understands: tuple[str, ...] = ()


#: Formats by suffix, in lower case with its dot.
FORMATS: dict[str, Format] = {}
#: What to say of keys that a file has no use for.
_WHERE = {
    "variable": "files that hold several arrays (NetCDF, HDF5, DREAM.3D, VTK)",
    "axes": "arrays whose axes have no names (.npy, raw, HDF5)",
    "raw": f"files without a header ({', '.join(RAW)})",
}


def image_format(*suffixes: str, understands: tuple[str, ...] = ()) -> Callable[[Reader], Reader]:
    """Registers the reader of files with these suffixes."""

    def register(reader: Reader) -> Reader:
        FORMATS.update(dict.fromkeys((s.lower() for s in suffixes), Format(reader, understands)))
        return reader

    return register


@image_format(*PICTURES)
def _picture(path: Path, asked: Asked) -> Raster:
    raster = read_picture(path, asked.dim, asked.numbers)
    if path.suffix.lower() not in LOSSY:
        return raster
    return raster.with_word("compressed with losses, so that grey values are not exact, least of all at interfaces")


@image_format(*ARRAYS, understands=("axes",))
def _array(path: Path, asked: Asked) -> Raster:
    return as_told(read_indexed(path, asked.mapped), asked.axes)


@image_format(*RAW, understands=("axes", "raw"))
def _raw(path: Path, asked: Asked) -> Raster:
    return as_told(read_raw(path, asked.raw, asked.mapped), asked.axes)


@image_format(*METAIMAGE)
def _metaimage(path: Path, asked: Asked) -> Raster:
    return read_metaimage(path, asked.mapped)


@image_format(*HDF5, understands=("variable", "axes"))
def _hdf5(path: Path, asked: Asked) -> Raster:
    return read_hdf5(path, asked.variable, asked.axes)


@image_format(DREAM3D, understands=("variable",))
def _dream3d(path: Path, asked: Asked) -> Raster:
    return read_hdf5(path, asked.variable)


@image_format(*VTK, understands=("variable",))
def _vtk(path: Path, asked: Asked) -> Raster:
    return read_vtk(path, asked.variable)


#: What to do about a file that cannot be read.
DAMAGED = "is it complete, and of the type that its suffix says?"


def unreadable(path: Path, error: Exception) -> tuple[str, str]:
    """What is wrong with a file of which a reader raised an error, and what to do about it."""
    if isinstance(error, Unreadable):
        return error.reason, error.hint
    with suppress(OSError):
        if path.is_file() and not path.stat().st_size:
            return "is empty", "restore it, or make it again"
    text = " ".join(str(error).split())
    return f"cannot be read: {text or type(error).__name__}", DAMAGED


def is_netcdf(path: Path) -> bool:
    """Whether a file goes by the names of dimensions and coordinates; HDF5 files without any are read as arrays."""
    suffix = path.suffix.lower()
    return suffix in NETCDF and (suffix not in HDF5 or has_dimensions(path))


def is_image(path: Path) -> bool:
    """Whether a file is of a kind that can be read, by its suffix."""
    return path.suffix.lower() in (*FORMATS, *NETCDF)


def is_picture(path: Path) -> bool:
    """Whether a file is a picture, and so may be a slice of a stack, by its suffix."""
    return path.suffix.lower() in PICTURES


def known() -> str:
    """The suffixes of all files that can be read, for messages."""
    return ", ".join(dict.fromkeys((*NETCDF, *FORMATS)))


def read_raster(
    path: Path, asked: Asked | None = None, name: str | None = None, keys: Mapping[str, str] | None = None
) -> Raster:
    """The values of an image file whose suffix is among `FORMATS`, or of a folder of slices.

    Args:
        name: what messages call the file. keys: what the attributes of ``asked`` are called where the user gives them.

    Raises:
        ConfigError: a file that holds no image; something asked that means nothing for it. The key is the file's or the user's.
            Others: whatever the format's library raises on a damaged file.
    """
    asked = asked or Asked()
    called = {k: (keys or {}).get(k, k) for k in _WHERE}
    form = Format(_folder) if path.is_dir() else FORMATS[path.suffix.lower()]
    for what, where in _WHERE.items():
        if getattr(asked, what) is not None and what not in form.understands:
            raise ConfigError(called[what], f"applies to {where}, not to {name or path.name}", "remove this key")
    if not path.is_dir() and not path.is_file() and path.exists():
        raise ConfigError(name or str(path), "is a pipe or a device", "give a file")
    try:
        return form.read(path, asked)
    except ConfigError as error:
        if error.key not in called:
            raise
        raise ConfigError(called[error.key], error.problem, error.hint) from None


def _folder(path: Path, asked: Asked) -> Raster:
    return read_slices(path, asked.numbers)


def files_of(path: Path) -> list[Path]:
    """The files that an image was read from: the pictures of a folder of slices, the data beside a header."""
    from .slices import slices_in
    from .volumes import data_file

    if path.is_dir():
        with suppress(ConfigError):
            return slices_in(path)
        return []
    if path.suffix.lower() in METAIMAGE:
        with suppress(ConfigError, OSError, ValueError):
            return [path, *data_file(path)]
    return [path]
