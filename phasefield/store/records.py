"""NetCDF files that grow by records."""

from __future__ import annotations

import io
import itertools
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5netcdf
import h5py
import numpy as np

from ..errors import OutputError
from .files import replacing
from .journal import READER_PATIENCE, Transaction, journal_of, recover

_CHUNK_BYTES = 4 << 20
_CHUNK_RECORDS = 1024
_PART_BYTES = 4 * _CHUNK_BYTES
_SMALL_RECORD = 256  # bytes; smaller records share chunks: a chunk's index entry would outweigh its data


@dataclass(frozen=True)
class Variable:
    """A variable of a record file: ``dims[0]`` is ``"time"``, the others name coordinates of the file."""

    name: str
    dims: tuple[str, ...]
    dtype: str
    attrs: Mapping[str, Any] = field(default_factory=dict)


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


def _parts(chunks: Sequence[int], shape: Sequence[int], itemsize: int) -> Iterator[tuple[slice, ...]]:
    """Whole chunks, in their order, that together make up about `_PART_BYTES` or one chunk."""
    steps = list(shape)
    for axis in range(len(shape)):
        if itemsize * math.prod(steps) > _PART_BYTES:
            rest = itemsize * math.prod(steps[axis + 1 :])
            steps[axis] = min(shape[axis], chunks[axis] * max(1, _PART_BYTES // (rest * chunks[axis])))
    starts = (range(0, n, max(1, step)) for n, step in zip(shape, steps, strict=True))
    for corner in itertools.product(*starts):
        yield tuple(slice(i, min(i + step, n)) for i, step, n in zip(corner, steps, shape, strict=True))


class RecordFile:
    """A NetCDF-4 file that grows along its unlimited dimension ``time``; see ``create`` and ``open``.

    Between calls the file is closed, so any NetCDF reader may open it while the run goes on. Each change is atomic
    (``Transaction``): a process killed in the middle of one loses that change only, and ``open`` puts the file back
    into the state before. There must be one writer at a time; ``RunFolder.lock`` sees to that.
    """

    def __init__(self, path: Path, shapes: dict[str, tuple[int, ...]], length: int) -> None:
        self.path = path
        self._shapes = shapes
        self._length = length
        self._patience = READER_PATIENCE

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
            ValueError: a variable does not start with ``time`` or uses an unknown dimension, or there is no ``time``.
        """
        path = Path(path)
        if not any(v.name == "time" and v.dims == ("time",) for v in variables):
            raise ValueError('variables lack "time" with dims ("time",)')
        for variable in variables:
            if variable.dims[:1] != ("time",) or not set(variable.dims[1:]) <= set(coords):
                raise ValueError(f'{variable.name}: dims {variable.dims} must be "time", then coordinates')
        shapes = {v.name: tuple(len(coords[dim][0]) for dim in v.dims[1:]) for v in variables}
        # The empty file is small. Made in memory, it cannot fail half-way inside HDF5.
        image = io.BytesIO()
        with h5netcdf.File(image, "w") as file:
            file.dimensions = {"time": None, **{name: len(values) for name, (values, _) in coords.items()}}
            file.attrs.update({"Conventions": "CF-1.11", **attrs})
            for name, (values, coord_attrs) in coords.items():
                values = np.asarray(values)
                dtype = h5py.string_dtype() if values.dtype.kind == "U" else values.dtype
                coord = file.create_variable(name, (name,), dtype, data=values.astype(dtype))
                coord.attrs.update(coord_attrs)
            for variable in variables:
                options = _storage(shapes[variable.name], np.dtype(variable.dtype).itemsize, compression)
                created = file.create_variable(variable.name, variable.dims, variable.dtype, **options)
                created.attrs.update(variable.attrs)
        with replacing(path) as target:
            target.write(image.getbuffer())
            journal_of(path).unlink(missing_ok=True)  # a journal left of the replaced file must not touch this one
        return cls(path, shapes, 0)

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
                return cls(path, {name: data.shape[1:] for name, data in growing.items()}, length)
        except (OSError, RuntimeError, KeyError, ValueError) as error:  # what h5py raises on a damaged file
            raise OutputError(f"{path}: cannot be opened as a NetCDF-4 file: {error}") from error

    def append(self, records: Mapping[str, np.ndarray]) -> None:
        """Append m >= 1 records: for each growing variable an array of shape (m, *shape of one record).

        Raises:
            OutputError: the records could not be written; the earlier ones are safe and none of the new ones is there.
            ValueError: a variable is missing or unknown, or a shape does not fit.
        """
        if set(records) != set(self._shapes):
            raise ValueError(f"records of {sorted(records)} given, of {sorted(self._shapes)} needed")
        count = np.shape(records["time"])[0] if np.ndim(records["time"]) else 0
        for name, shape in self._shapes.items():
            if count < 1 or np.shape(records[name]) != (count, *shape):
                raise ValueError(f"{name}: shape {np.shape(records[name])}, expected {(max(count, 1), *shape)}")
        end = self._length + count
        with self._changing() as file:
            for name, values in records.items():
                data = file[name]
                data.resize(end, axis=0)
                for part in _parts(data.chunks, np.shape(values), data.dtype.itemsize):
                    # HDF5 takes contiguous arrays only: a part is what is copied at a time.
                    data[(slice(self._length + part[0].start, self._length + part[0].stop), *part[1:])] = np.asarray(
                        values
                    )[part]
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
                for name in self._shapes:
                    file[name].resize(n, axis=0)
            self._length = n

    def set_attrs(self, attrs: Mapping[str, Any]) -> None:
        """Set attributes of the file: strings, numbers or 1-D arrays of numbers. Raises OutputError."""
        with self._changing() as file, h5netcdf.File(file, "r+") as netcdf:
            netcdf.attrs.update(attrs)

    @contextmanager
    def _changing(self) -> Iterator[h5py.File]:
        transaction = None
        try:
            recover(self.path)
            transaction = Transaction(self.path)
            with h5py.File(transaction, "r+") as file:
                yield file
            alone = transaction.commit(self._patience)
            self._patience = READER_PATIENCE if alone else 0.0  # a lasting reader costs the wait only once
        except BaseException as error:
            advice = "free some space or fix the folder, then `phasefield resume` the run"
            try:
                recover(self.path)
            except OSError as again:
                advice = (
                    f"undoing the change failed too ({again.strerror or again}), it is tried again at the next open"
                )
            cause = (transaction.error if transaction else None) or error
            if isinstance(cause, OSError | RuntimeError | KeyError):
                reason = getattr(cause, "strerror", None) or cause
                raise OutputError(
                    f"{self.path}: cannot be written: {reason}; its {self._length} earlier records are safe\n  {advice}"
                ) from cause
            raise
        finally:
            if transaction:
                transaction.close()
