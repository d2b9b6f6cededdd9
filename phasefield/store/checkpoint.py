"""The state of a run in one file, with its checksum."""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..boxes import Boxes
from ..errors import CheckpointMismatch
from .files import replacing

JSON = Any


_FORMAT, _VERSION = "phasefield-checkpoint", 1
#: Bytes of an array that lies elsewhere, as many as are fetched at a time.
_PIECE = 2**22
_HEAD = f"{_FORMAT}.json"
#: Where the header of a file in an archive has the lengths of its name and of what follows that; both lie behind these.
_NAME_LENGTH = 26
_DIGEST = hashlib.sha256().digest_size * 2


class _Hashing(io.RawIOBase):
    """A write-only stream that hashes what passes; not seekable, so that zipfile never goes back over its output."""

    def __init__(self, target: BinaryIO) -> None:
        self._target = target
        self.sha = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.sha.update(data)
        return self._target.write(data)


def _member(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))  # no clock: equal content, equal bytes
    info.external_attr = 0o644 << 16
    return info


def save_checkpoint(
    path: str | os.PathLike[str],
    arrays: Mapping[str, np.ndarray | Boxes],
    meta: Mapping[str, JSON],
    done: Callable[[], None] = lambda: None,
) -> None:
    """Write ``arrays`` (numbers, any shape) and ``meta`` (JSON values) to ``path`` in one step.

    The file is an uncompressed .npz, readable by ``numpy.load`` too, that ends in the SHA-256 of all before it. Equal
    content gives equal bytes. ``done`` is called when the arrays have been read.

    Raises:
        OutputError: the file cannot be written; an older one at ``path`` is untouched.
    """
    head = {"format": _FORMAT, "version": _VERSION, "arrays": sorted(arrays), "meta": dict(meta)}
    with replacing(Path(path)) as target:
        stream = _Hashing(target)
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr(_member(_HEAD), json.dumps(head, sort_keys=True))
            for name in sorted(arrays):
                with archive.open(_member(f"{name}.npy"), "w", force_zip64=True) as member:
                    _write_array(member, arrays[name])
            archive.comment = b"0" * _DIGEST
        done()
        target.seek(-_DIGEST, os.SEEK_END)
        target.write(stream.sha.hexdigest().encode())


def _write_array(member: Any, array: Any) -> None:
    """What numpy.save would write, without a contiguous copy of all components at once."""
    if isinstance(array, Boxes):
        header = {"descr": np.lib.format.dtype_to_descr(array.dtype), "fortran_order": False, "shape": array.shape}
        np.lib.format.write_array_header_1_0(member, header)
        for piece in array.pieces(_PIECE):
            member.write(piece.data)
        return
    array = np.asarray(array)
    if array.flags.c_contiguous or array.dtype.hasobject:
        np.lib.format.write_array(member, array, allow_pickle=False)
        return
    header = {"descr": np.lib.format.dtype_to_descr(array.dtype), "fortran_order": False, "shape": array.shape}
    np.lib.format.write_array_header_1_0(member, header)
    for part in array:
        member.write(np.ascontiguousarray(part).data)


def load_checkpoint(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, JSON]]:
    """Read the arrays and the meta data that ``save_checkpoint`` wrote.

    The arrays stay in the file, which is mapped, until somebody looks at them: a large state is never there twice.

    Raises:
        CheckpointMismatch: the file is missing, unreadable, truncated, damaged, foreign or of a newer format.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            if not _is_checkpoint(file):
                raise CheckpointMismatch(f"{path}: is not a phasefield checkpoint")
            if not _is_intact(file):
                raise CheckpointMismatch(f"{path}: is truncated or damaged (its checksum does not match)")
            file.seek(0)
            with np.load(file, allow_pickle=False) as archive:
                head = json.loads(archive[_HEAD])
                if head["version"] != _VERSION:
                    raise CheckpointMismatch(
                        f"{path}: has checkpoint format {head['version']}, this version of phasefield reads {_VERSION}"
                    )
                return {name: _mapped(file, archive, name) for name in head["arrays"]}, head["meta"]
    except FileNotFoundError as error:
        raise CheckpointMismatch(f"{path}: there is no checkpoint") from error
    except OSError as error:
        raise CheckpointMismatch(f"{path}: cannot be read: {error.strerror or error}") from error


def _mapped(file: BinaryIO, archive: Any, name: str) -> np.ndarray:
    """An array where it lies in the file, which is not compressed."""
    info = archive.zip.getinfo(f"{name}.npy")
    file.seek(info.header_offset + _NAME_LENGTH)
    file.seek(sum(struct.unpack("<HH", file.read(4))), os.SEEK_CUR)
    np.lib.format.read_magic(file)
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    if math.prod(shape) == 0 or fortran or dtype.hasobject or info.compress_type != zipfile.ZIP_STORED:
        return archive[f"{name}.npy"]
    return np.memmap(file, dtype, "r", file.tell(), shape)


def _is_checkpoint(file: BinaryIO) -> bool:
    start = file.read(30 + len(_HEAD))
    return start[:4] == b"PK\3\4" and start[30:] == _HEAD.encode()


def _is_intact(file: BinaryIO) -> bool:
    sha = hashlib.sha256()
    left = file.seek(0, os.SEEK_END) - _DIGEST
    file.seek(0)
    while left > 0 and (block := file.read(min(left, 1 << 20))):
        sha.update(block)
        left -= len(block)
    sha.update(b"0" * _DIGEST)
    return file.read() == sha.hexdigest().encode()
