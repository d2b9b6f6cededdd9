"""Volumes without a format of their own: raw numbers, laid out as somebody says, and MetaImage, whose header says it.

MetaImage: https://itk.org/Wiki/ITK/MetaIO/Documentation. In both x runs fastest.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from .pixels import positive
from .raster import AXES, Raster

RAW = (".raw", ".vol", ".bin")
METAIMAGE = (".mhd", ".mha")
#: Numbers by what people call them.
TYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64")
ORDERS = {"little": "<", "big": ">"}
_ELEMENTS = {
    "MET_UCHAR": "uint8", "MET_CHAR": "int8", "MET_USHORT": "uint16", "MET_SHORT": "int16", "MET_UINT": "uint32",
    "MET_INT": "int32", "MET_ULONG": "uint32", "MET_LONG": "int32", "MET_ULONG_LONG": "uint64", "MET_LONG_LONG": "int64",
    "MET_FLOAT": "float32", "MET_DOUBLE": "float64",
}  # fmt: skip
_FORM = "for example {shape: [256, 256, 256], type: uint8}, the shape along x, y, z"


@dataclass(frozen=True)
class Raw:
    """How a file without a header is laid out; x runs fastest.

    Attributes:
        shape: voxels along x, y, z. type: of the numbers, out of `TYPES`. byteorder: ``little`` or ``big``. skip: bytes before
            the first number.
    """

    shape: tuple[int, ...]
    type: str
    byteorder: str = "little"
    skip: int = 0

    @classmethod
    def of(cls, given: Any, key: str) -> Raw:
        """From a mapping.

        Raises:
            ConfigError: a key that is missing or unknown, a value that will not do; under ``key``.
        """
        if not hasattr(given, "items"):
            raise ConfigError(key, f"is {given!r}; a mapping is expected", _FORM)
        keys = {str(k): v for k, v in given.items()}
        if extra := sorted(map(str, set(keys) - {"shape", "type", "byteorder", "skip"})):
            raise ConfigError(f"{key}.{extra[0]}", "is no key of a layout", "known: shape, type, byteorder, skip")
        for name in ("shape", "type"):
            if keys.get(name) is None:
                raise ConfigError(f"{key}.{name}", "is missing", _FORM)
        shape = [keys["shape"]] if isinstance(keys["shape"], int) else list(keys["shape"])
        if not 1 <= len(shape) <= 3 or not all(type(n) is int and n > 0 for n in shape):
            raise ConfigError(f"{key}.shape", f"is {keys['shape']}; one to three positive whole numbers are expected")
        kind, order = str(keys["type"]), str(keys.get("byteorder", "little"))
        if kind not in TYPES:
            raise ConfigError(f"{key}.type", f"is {kind!r}; expected one of {', '.join(TYPES)}")
        if order not in ORDERS:
            raise ConfigError(f"{key}.byteorder", f"is {order!r}; little or big is expected")
        skip = keys.get("skip", 0)
        if type(skip) is not int or skip < 0:
            raise ConfigError(f"{key}.skip", f"is {skip!r}; a number of bytes, 0 or more, is expected")
        return cls(tuple(shape), kind, order, skip)

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(ORDERS[self.byteorder] + np.dtype(self.type).str[1:])

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def read_raw(path: Path, raw: Raw | None, mapped: bool = False) -> Raster:
    """The numbers of a file without a header.

    Args:
        mapped: leave them in the file.

    Raises:
        ConfigError: no layout, under the key ``raw``, or one of another size than the file has.
    """
    if raw is None:
        raise ConfigError("raw", f"is missing: {path.name} does not say how its {path.stat().st_size} bytes lie", _FORM)
    size = path.stat().st_size
    if size != raw.skip + raw.bytes:
        shape = " x ".join(map(str, raw.shape))
        wanted = f"{shape} numbers of {raw.type}" + (f" after {raw.skip} bytes" if raw.skip else "")
        raise ConfigError(
            "raw",
            f"asks for {wanted}, {raw.skip + raw.bytes} bytes; {path.name} has {size}",
            "correct shape, type or skip",
        )
    return Raster(_numbers(path, raw, mapped), _axes(len(raw.shape)), full=_full(raw))


def _numbers(path: Path, raw: Raw, mapped: bool) -> NDArray[Any]:
    if mapped:
        return np.memmap(path, raw.dtype, "r", raw.skip, raw.shape[::-1]).T
    values = np.fromfile(path, raw.dtype, math.prod(raw.shape), offset=raw.skip)
    return _native(values.reshape(raw.shape[::-1]).T)


def _native(values: NDArray[Any]) -> NDArray[Any]:
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def _full(raw: Raw) -> float | None:
    kind = np.dtype(raw.type)
    return float(np.iinfo(kind).max) if kind.kind == "u" else None


def _axes(dim: int) -> str:
    return f"the axes are {', '.join(AXES[:dim])}" + (", x fastest" if dim > 1 else "")


# -- MetaImage ---------------------------------------------------------------------------------------------------------


def read_metaimage(path: Path, mapped: bool = False) -> Raster:
    """A volume with a header (.mhd with the numbers in a file beside it, .mha with them behind it); its lengths are mm.

    Args:
        mapped: leave numbers that are not compressed in the file.

    Raises:
        ConfigError: what the header says is not one image of 2 or 3 axes along x, y, z; the key is the file.
    """
    head, end = _header(path)
    name = str(path)
    shape = tuple(_whole(head, "DimSize", name))
    if len(shape) not in (2, 3) or _whole(head, "NDims", name) != [len(shape)]:
        raise ConfigError(
            name, f"says NDims = {head.get('NDims')}, DimSize = {head.get('DimSize')}; 2 or 3 axes are expected"
        )
    if head.get("ElementNumberOfChannels", "1") != "1":
        raise ConfigError(name, f"has {head['ElementNumberOfChannels']} numbers in a voxel", "save one channel")
    if head.get("BinaryData", "True").lower() != "true":
        raise ConfigError(name, "holds numbers as text", "save it as binary data")
    kind = _ELEMENTS.get(head.get("ElementType", ""))
    if kind is None:
        raise ConfigError(name, f"says ElementType = {head.get('ElementType')}; known: {', '.join(_ELEMENTS)}")
    big = head.get("ElementByteOrderMSB", head.get("BinaryDataByteOrderMSB", "False")).lower() == "true"
    raw = Raw(shape, kind, "big" if big else "little")
    values = _elements(path, head, end, raw, mapped)
    signs = _directions(head, len(shape), name)
    flipped = values[tuple(slice(None, None, s) for s in signs)]
    falls = [f"{a} falls in the file and was turned round" for a, s in zip(AXES, signs, strict=False) if s < 0]
    steps = head.get("ElementSpacing", head.get("ElementSize"))
    spacing, odd = None, list[str]()
    if steps is not None:
        spacing, odd = positive(_reals(steps, len(shape), "ElementSpacing", name), "ElementSpacing")
    if steps is not None and spacing is None:
        raise ConfigError(name, f"says ElementSpacing = {steps}; {len(shape)} positive numbers are expected")
    told = [*falls, *odd, *(["its lengths are taken for mm, as MetaImage has it"] if spacing else [])]
    metres = spacing and tuple(1e-3 * s for s in spacing)
    return Raster(flipped, _axes(len(shape)), metres, "m" if spacing else "", _full(raw), 0, tuple(told))


def data_file(path: Path) -> list[Path]:
    """Where the numbers of a header lie, if in a file of their own."""
    head, _ = _header(path)
    where = head.get("ElementDataFile", "LOCAL")
    return [] if where.upper() == "LOCAL" else [path.parent / where]


def _header(path: Path) -> tuple[dict[str, str], int]:
    """Its entries, and where it ends: the line of the data's place is the last."""
    head: dict[str, str] = {}
    with open(path, "rb") as file:
        for _ in range(200):
            line = file.readline(4096)
            name, sign, value = line.decode("latin-1").partition("=")
            if not line or not sign:
                break
            head[name.strip()] = value.strip()
            if name.strip() == "ElementDataFile":
                end = file.tell()
                if value.strip().upper() != "LOCAL" and (rest := file.read(4096).strip()):
                    late = rest.decode("latin-1").partition("=")[0].strip()
                    raise ConfigError(
                        str(path), f"says {late} behind ElementDataFile, the last entry", "put that line last"
                    )
                return head, end
    raise ConfigError(str(path), "has no header of MetaImage that ends in ElementDataFile", "is it complete?")


def _elements(path: Path, head: dict[str, str], end: int, raw: Raw, mapped: bool) -> NDArray[Any]:
    where = head["ElementDataFile"]
    if "%" in where or where.upper().startswith("LIST"):
        raise ConfigError(str(path), f"keeps its slices in files of their own ({where})", "save it in one file")
    local = where.upper() == "LOCAL"
    file = path if local else path.parent / where
    if not file.is_file():
        raise ConfigError(
            str(path), f"says that its numbers are in {where}, which is not there", "put it beside the header"
        )
    skip = end if local else 0
    if not local and "HeaderSize" in head:
        skip = _whole(head, "HeaderSize", str(path))[0]
        skip = file.stat().st_size - raw.bytes if skip == -1 else skip
    if head.get("CompressedData", "False").lower() == "true":
        with open(file, "rb") as opened:
            opened.seek(skip)
            data = zlib.decompressobj().decompress(opened.read(), raw.bytes)
        have = len(data)
    else:
        data, have = b"", file.stat().st_size - skip
    if have < raw.bytes or skip < 0:
        shape = " x ".join(map(str, raw.shape))
        raise ConfigError(
            str(path),
            f"says {shape} numbers of {raw.type}, {raw.bytes} bytes; {file.name} has {have}",
            "is it complete?",
        )
    if data:
        return _native(np.frombuffer(data, raw.dtype).reshape(raw.shape[::-1]).T)
    return _numbers(file, Raw(raw.shape, raw.type, raw.byteorder, skip), mapped)


def _directions(head: dict[str, str], dim: int, name: str) -> list[int]:
    """1 or -1 along every axis."""
    text = head.get("TransformMatrix", head.get("Rotation", head.get("Orientation")))
    if text is None:
        return [1] * dim
    matrix = np.reshape(_reals(text, dim * dim, "TransformMatrix", name), (dim, dim))
    if not np.allclose(np.abs(matrix), np.eye(dim), atol=1e-6):
        raise ConfigError(name, f"is turned against its axes (TransformMatrix = {text})", "resample it along x, y, z")
    return [round(matrix[k, k]) for k in range(dim)]


def _reals(text: str, count: int, entry: str, name: str) -> list[float]:
    try:
        values = [float(v) for v in text.split()]
    except ValueError:
        values = []
    if len(values) != count:
        raise ConfigError(name, f"says {entry} = {text}; {count} numbers are expected")
    return values


def _whole(head: dict[str, str], entry: str, name: str) -> list[int]:
    try:
        values = [int(v) for v in head.get(entry, "").split()]
    except ValueError:
        values = []
    if not values or (entry == "DimSize" and min(values) < 1):
        raise ConfigError(name, f"says {entry} = {head.get(entry)}; whole numbers are expected")
    return values
