"""NetCDF files that grow by records."""

from __future__ import annotations

import io
import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5netcdf
import h5py
import numpy as np

from ..boxes import Boxes
from ..errors import OutputError, Unwritable
from . import claim
from .files import replacing
from .journal import READER_PATIENCE, Transaction, journal_of, recover
from .layout import PART_AT, PART_OF, SPACE, TEXT, named_order, parts_of, put_attrs, put_characters, readable, text_of

_CHUNK_BYTES = 4 << 20
_CHUNK_RECORDS = 1024
_PART_BYTES = 4 * _CHUNK_BYTES
_SMALL_RECORD = 256  # bytes; smaller records share chunks: a chunk's index entry would outweigh its data


@dataclass(frozen=True)
class Variable:
    """A variable of a record file: ``dims[0]`` is ``"time"``, the others name coordinates of the file, x, y, z last.

    Attributes:
        later: whether files of earlier versions may lack it; their runs go on without.
    """

    name: str
    dims: tuple[str, ...]
    dtype: str
    attrs: Mapping[str, Any] = field(default_factory=dict)
    later: bool = False


def _storage(shape: tuple[int, ...], itemsize: int, compression: int) -> dict[str, Any]:
    """Chunks and filters for records of ``shape``."""
    chunk = list(shape)
    size = itemsize * int(np.prod(shape))
    if size <= _SMALL_RECORD:
        return {"chunks": (_CHUNK_RECORDS, *chunk)}
    while itemsize * int(np.prod(chunk)) > _CHUNK_BYTES:
        longest = chunk.index(max(chunk))
        chunk[longest] = -(-chunk[longest] // 2)
    filters = {"compression": "gzip", "compression_opts": compression, "shuffle": True} if compression else {}
    return {"chunks": (1, *chunk), **filters}


@dataclass(frozen=True)
class _Stored:
    """How a variable lies in the file: shape of a record in the order of names, its parts, their axes as they lie there."""

    shape: tuple[int, ...]
    parts: Mapping[str, tuple[int, ...]]
    axes: tuple[int, ...]

    def of(self, values: Any) -> Iterator[tuple[str, Any]]:
        """Names of the parts, and views of the values in each, time first."""
        for name, at in self.parts.items():
            of_part: Any = (slice(None), *at)
            yield name, values[of_part].transpose(0, *self.axes)


def _stored(disk: Mapping[str, tuple[Sequence[str], Sequence[int], Mapping[str, Any]]]) -> dict[str, _Stored]:
    """The variables that those of a file (axes, extents and attributes of each) belong to."""
    wholes: dict[str, _Stored] = {}
    for name, (dims, sizes, attrs) in disk.items():
        space = named_order(dims[1:])
        extents = dict(zip(dims, sizes, strict=True))
        shape, axes = tuple(extents[d] for d in space), tuple(1 + space.index(d) for d in dims[1:])
        at = tuple(int(k) for k in np.atleast_1d(attrs[PART_AT])) if PART_OF in attrs else ()
        whole = text_of(attrs[PART_OF]) if PART_OF in attrs else name
        known = wholes.get(whole, _Stored((0,) * len(at) + shape, {}, axes))
        outer = tuple(max(n, k + 1) for n, k in zip(known.shape, at, strict=False))
        wholes[whole] = _Stored(outer + shape, {**known.parts, name: at}, axes)
    return wholes


def _dims(data: h5py.Dataset) -> list[str]:
    """Names of the axes of a variable; made up for those that are no dimensions."""
    scales = [axis[0].name if len(axis) else None for axis in data.dims]  # without a name in a damaged file
    return [name.rpartition("/")[2] if name else f"axis{d}" for d, name in enumerate(scales)]


def _put(file: h5py.File, name: str, start: int, values: Any) -> None:
    """Adds records to a variable that has ``start`` of them, chunk by chunk where they have to be put into order.

    By h5py's low-level interface: the other one takes three times as long for a field of many components.
    """
    data = h5py.h5d.open(file.id, name.encode())
    count, *shape = values.shape
    data.set_extent((start + count, *shape))
    space = data.get_space()
    step = list(values.shape) if values.flags.c_contiguous else data.get_create_plist().get_chunk()
    for corner in itertools.product(*(range(0, n, c) for n, c in zip(values.shape, step, strict=True))):
        block = np.ascontiguousarray(values[tuple(slice(k, k + c) for k, c in zip(corner, step, strict=True))])
        space.select_hyperslab((start + corner[0], *corner[1:]), block.shape)
        data.write(h5py.h5s.create_simple(block.shape), space, block)


def _put_coordinate(file: h5netcdf.File, name: str, values: np.ndarray) -> Mapping[str, Any]:
    """Adds a coordinate; the attributes that it needs."""
    if values.dtype.kind == "U":
        put_characters(file, name, (name,), values)
        return TEXT
    values = readable(values)
    file.create_variable(name, (name,), values.dtype, data=values)
    return {}


class RecordFile:
    """A NetCDF-4 file that grows along its unlimited dimension ``time``; see ``create`` and ``open``.

    Callers name axes in the order time, others, x, y, z; how that lies in the file is `layout`'s matter, and older files are
    continued as they are.

    Between calls the file is closed, so any NetCDF reader may open it while the run goes on. Each change is atomic
    (``Transaction``): a process killed in the middle of one loses that change only, and ``open`` puts the file back
    into the state before. There must be one writer at a time; ``RunFolder.lock`` sees to that.
    """

    def __init__(self, path: Path, variables: dict[str, _Stored], length: int, attrs: Mapping[str, Any]) -> None:
        self.path = path
        #: Attributes of the file when it was opened.
        self.attrs = attrs
        self._variables = variables
        self._length = length
        self._patience = READER_PATIENCE

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of a record of each variable."""
        return {name: stored.shape for name, stored in self._variables.items()}

    def time(self, number: int) -> float:
        """Time of a record. Raises OutputError."""
        try:
            with open(self.path, "rb") as raw, h5py.File(raw, "r") as file:
                return float(file["time"][number])
        except (OSError, RuntimeError, ValueError) as error:
            raise OutputError(f"{self.path}: cannot be read: {error}") from error

    def __len__(self) -> int:
        """Number of records in the file."""
        return self._length

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        coords: Mapping[str, tuple[np.ndarray, Mapping[str, Any]]],
        variables: Sequence[Variable],
        attrs: Mapping[str, Any],
        compression: int = 4,
    ) -> RecordFile:
        """Write a file without records, replacing any file at ``path`` in one step.

        Args:
            coords: values, shape (n,), numbers or strings, and attributes of each fixed dimension.
            variables: the growing variables, among them ``time`` with ``dims == ("time",)``.
            attrs: attributes of the file; ``Conventions`` is added.
            compression: deflate level 0 (off) to 9, for variables with more than a few values per record.

        Raises:
            OutputError: the file cannot be written.
            ValueError: a variable does not start with ``time``, uses an unknown dimension or has axes in another order than that
                of the names, or there is no ``time``.
        """
        path = Path(path)
        if not any(v.name == "time" and v.dims == ("time",) for v in variables):
            raise ValueError('variables lack "time" with dims ("time",)')
        for variable in variables:
            if variable.dims[:1] != ("time",) or not set(variable.dims[1:]) <= set(coords):
                raise ValueError(f'{variable.name}: dims {variable.dims} must be "time", then coordinates')
            if named_order(variable.dims) != variable.dims:
                raise ValueError(f"{variable.name}: dims {variable.dims} must end in x, y, z")
        labels = {name: np.asarray(values).tolist() for name, (values, _) in coords.items() if name not in SPACE}
        taken = {*coords, *(v.name for v in variables)}
        sizes = {name: len(values) for name, (values, _) in coords.items()}
        # The empty file is small. Made in memory, it cannot fail half-way inside HDF5.
        image = io.BytesIO()
        texts: dict[str, Mapping[str, Any]] = {"/": {"Conventions": "CF-1.11", **attrs}}
        disk: dict[str, tuple[Sequence[str], Sequence[int], Mapping[str, Any]]] = {}
        with h5netcdf.File(image, "w") as file:
            file.dimensions = {"time": None, **sizes}
            for name, (values, coord_attrs) in coords.items():
                texts[name] = {**coord_attrs, **_put_coordinate(file, name, np.asarray(values))}
            for variable in variables:
                for part in parts_of(variable.name, variable.dims, labels, variable.attrs, taken):
                    dims = part.dims
                    shape = tuple(sizes[d] for d in dims[1:])
                    options = _storage(shape, np.dtype(variable.dtype).itemsize, compression)
                    file.create_variable(part.name, dims, variable.dtype, **options)
                    texts[part.name] = part.attrs
                    disk[part.name] = dims, (0, *shape), part.attrs
        with h5py.File(image, "r+") as raw:
            for name, text in texts.items():
                put_attrs(raw[name], text)
        with replacing(path) as target:
            target.write(image.getbuffer())
            journal_of(path).unlink(missing_ok=True)  # a journal left of the replaced file must not touch this one
        return cls(path, _stored(disk), 0, dict(attrs))

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> RecordFile:
        """Open a file to append to, after undoing a change that a crash left unfinished.

        Raises:
            OutputError: the file is missing, unreadable, damaged, or was not made by ``create``.
        """
        path = Path(path)
        try:
            recover(path)
            with open(path, "rb") as raw, h5py.File(raw, "r") as file:
                growing = {
                    name: data
                    for name, data in file.items()
                    if isinstance(data, h5py.Dataset) and data.maxshape and data.maxshape[0] is None
                }
                if "Conventions" not in file.attrs or "time" not in growing:
                    raise OutputError(f"{path}: is not a phasefield record file (no unlimited dimension `time`)")
                length = len(growing["time"])
                if any(len(data) != length for data in growing.values()):
                    raise OutputError(f"{path}: is damaged: its variables differ in their number of records")
                disk = {name: (_dims(data), data.shape, data.attrs) for name, data in growing.items()}
                texts = {name: text_of(v) if isinstance(v, bytes) else v for name, v in file.attrs.items()}
                return cls(path, _stored(disk), length, texts)
        except (OSError, RuntimeError, KeyError, ValueError) as error:  # what h5py raises on a damaged file
            raise OutputError(f"{path}: cannot be opened as a NetCDF-4 file: {error}") from error

    def append(self, records: Mapping[str, np.ndarray | Boxes]) -> None:
        """Append m >= 1 records: for each growing variable an array of shape (m, *shape of one record), axes in order of names.

        Arrays need not be contiguous; no copy larger than a chunk (4 MiB) is made of one that is not, nor of `Boxes`.

        Raises:
            OutputError: the records could not be written; the earlier ones are safe and none of the new ones is there.
            ValueError: a variable is missing or unknown, or a shape does not fit.
        """
        if set(records) != set(self._variables):
            raise ValueError(f"records of {sorted(records)} given, of {sorted(self._variables)} needed")
        count = np.shape(records["time"])[0] if np.ndim(records["time"]) else 0
        for name, stored in self._variables.items():
            if count < 1 or np.shape(records[name]) != (count, *stored.shape):
                raise ValueError(f"{name}: shape {np.shape(records[name])}, expected {(max(count, 1), *stored.shape)}")
        end = self._length + count
        with self._changing() as file:
            for name, values in records.items():
                for part, view in self._variables[name].of(values if isinstance(values, Boxes) else np.asarray(values)):
                    _put(file, part, self._length, view)
        self._length = end

    def truncate(self, n: int) -> None:
        """Keep the first ``n`` records (of a run that goes on from an earlier checkpoint).

        Raises:
            OutputError: there are fewer than ``n`` records, or the file cannot be written (it is then unchanged).
        """
        if not 0 <= n <= self._length:
            raise OutputError(f"{self.path}: holds {self._length} records, {n} were expected")
        if n < self._length:
            with self._changing() as file:
                for stored in self._variables.values():
                    for name in stored.parts:
                        file[name].resize(n, axis=0)
            self._length = n

    def set_attrs(self, attrs: Mapping[str, Any]) -> None:
        """Set attributes of the file: strings, numbers or 1-D arrays of numbers. Raises OutputError."""
        with self._changing() as file:
            put_attrs(file, attrs)

    @contextmanager
    def _changing(self) -> Iterator[h5py.File]:
        claim.check(self.path.parent)  # before anything of another process's is undone
        transaction = None
        try:
            recover(self.path)
            transaction = Transaction(self.path)
            with h5py.File(transaction, "r+") as file:
                yield file
            alone = transaction.commit(self._patience)
            self._patience = READER_PATIENCE if alone else 0.0  # a lasting reader costs the wait only once
        except BaseException as error:
            advice = "free some space or fix the folder"
            try:
                recover(self.path)
            except OSError as again:
                advice = (
                    f"undoing the change failed too ({again.strerror or again}), it is tried again at the next open"
                )
            cause = (transaction.error if transaction else None) or error
            if isinstance(cause, OSError | RuntimeError | KeyError):
                reason = getattr(cause, "strerror", None) or cause
                safe = f"; its {self._length} earlier records are safe" if self._length else ""
                raise Unwritable(f"{self.path}: cannot be written: {reason}", f"{safe}\n  {advice}") from cause
            raise
        finally:
            if transaction:
                transaction.close()
