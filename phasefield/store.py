"""A run is a folder that explains itself: its names, its growing NetCDF files, its checkpoints, and who writes them.

Everything here keeps one promise: whatever happens to the process (a full disk, a kill at any instruction), what was
written before is still there and readable.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import io
import json
import os
import queue
import struct
import sys
import tempfile
import threading
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import h5netcdf
import h5py
import numpy as np

from phasefield.errors import CheckpointMismatch, OutputError, PhasefieldError

JSON = Any


def _sync_folder(folder: Path) -> None:
    """Make renames and removals in ``folder`` durable, where the filesystem can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """A new file that takes the place of ``path`` in one step when the block ends well, and leaves no trace if not."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error
        raise
    _sync_folder(path.parent)


# --------------------------------------------------------------------------------------------------------------------
# Crash-safe changes of a file in place
# --------------------------------------------------------------------------------------------------------------------

_PAGE = 4096
_MAGIC = b"pfjournl"
_HEADER = struct.Struct("<8sQ")
_ENTRY = struct.Struct("<QQ")
_CRC = struct.Struct("<I")
_READER_PATIENCE = 0.5  # seconds


def _journal_of(path: Path) -> Path:
    return path.with_name(path.name + ".journal")


def _write_all(descriptor: int, data: bytes | bytearray | memoryview, offset: int) -> None:
    view = memoryview(data).cast("B")
    while view:
        done = os.pwrite(descriptor, view, offset)
        view, offset = view[done:], offset + done


def _checked(data: bytes) -> bytes:
    return data + _CRC.pack(zlib.crc32(data))


def _recover(path: Path) -> None:
    """Undo an unfinished change of ``path``, if there is one. Raises OSError and keeps the journal if it cannot."""
    journal = _journal_of(path)
    try:
        data = journal.read_bytes()
    except FileNotFoundError:
        return
    start = _HEADER.size + _CRC.size
    if len(data) >= start and data[:8] == _MAGIC and _checked(data[: _HEADER.size]) == data[:start]:
        descriptor = os.open(path, os.O_RDWR)
        try:
            # An incomplete body fails its checksum: the file's old part was then not touched yet.
            body = data[start : -_CRC.size] if _checked(data[start : -_CRC.size]) == data[start:] else b""
            at = 0
            while at < len(body):
                offset, length = _ENTRY.unpack_from(body, at)
                at += _ENTRY.size + length
                _write_all(descriptor, body[at - length : at], offset)
            size = _HEADER.unpack_from(data)[1]
            if os.fstat(descriptor).st_size > size:
                os.ftruncate(descriptor, size)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    os.unlink(journal)
    _sync_folder(path.parent)


class _Transaction:
    """A file object for HDF5 whose changes happen to the file altogether or not at all.

    Bytes beyond the file's old end are written straight away: no reader looks there yet. Changes of older bytes (a few
    pages of metadata, as a rule) stay in memory until ``commit``, which first saves the old bytes in the journal. So a
    file is inconsistent for the microseconds of a few writes only, and readers are kept out for that long.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.error: OSError | None = None
        self._pages: dict[int, bytearray] = {}
        self._position = 0
        self._file = os.open(path, os.O_RDWR)
        self._old_size = self._size = os.fstat(self._file).st_size
        self._direct_from = -(-self._old_size // _PAGE) * _PAGE
        try:
            self._journal = os.open(_journal_of(path), os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)
        except OSError:
            os.close(self._file)
            raise
        try:
            self._journal_size = self._log(_checked(_HEADER.pack(_MAGIC, self._old_size)), 0)
        except OSError:
            self.close()
            raise

    def _log(self, data: bytes, offset: int) -> int:
        _write_all(self._journal, data, offset)
        return offset + len(data)

    def close(self) -> None:
        os.close(self._file)
        os.close(self._journal)

    # The file protocol that HDF5's driver for Python objects uses.

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        return self._position

    def tell(self) -> int:
        return self._position

    def flush(self) -> None:
        """Nothing to do before the commit."""

    def truncate(self, size: int | None = None) -> int:
        self._size = self._position if size is None else size
        return self._size

    def _page(self, offset: int) -> bytearray:
        """The page that holds ``offset``, kept from now on; zeros follow the end of the file."""
        number = offset // _PAGE
        if number not in self._pages:
            self._pages[number] = bytearray(os.pread(self._file, _PAGE, number * _PAGE).ljust(_PAGE, b"\0"))
        return self._pages[number]

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        total = len(view)
        while view:
            offset, start = self._position, self._position % _PAGE
            direct = offset >= self._direct_from
            count = len(view) if direct else min(len(view), _PAGE - start)
            if not direct and offset // _PAGE in self._pages:
                data = bytes(self._pages[offset // _PAGE][start : start + count])
            else:
                data = os.pread(self._file, count, offset).ljust(count, b"\0")
            view[:count] = data
            view = view[count:]
            self._position += count
        return total

    def read(self, count: int = -1) -> bytes:
        data = bytearray(max(0, self._size - self._position) if count < 0 else count)
        self.readinto(data)
        return bytes(data)

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        total = len(view)
        while view:
            offset, start = self._position, self._position % _PAGE
            if offset >= self._direct_from:
                count = len(view)
                try:
                    _write_all(self._file, view, offset)
                except OSError as error:
                    # HDF5 must never see a failing write (it could then not close its file): from here on all
                    # changes go to memory, and commit refuses.
                    self.error, self._direct_from = error, sys.maxsize
                    continue
            else:
                count = min(len(view), _PAGE - start)
                self._page(offset)[start : start + count] = view[:count]
            view = view[count:]
            self._position += count
        self._size = max(self._size, self._position)
        return total

    def commit(self, patience: float) -> bool:
        """Make the changes real, waiting ``patience`` seconds for readers; True if none was there in the end.

        Raises OSError; the caller then recovers from the journal.
        """
        if self.error:
            raise self.error
        entries = bytearray()
        for number in sorted(self._pages):
            offset = number * _PAGE
            old = os.pread(self._file, min(_PAGE, self._old_size - offset), offset)
            entries += _ENTRY.pack(offset, len(old)) + old
        self._log(_checked(bytes(entries)), self._journal_size)
        os.fsync(self._journal)
        _sync_folder(self.path.parent)
        with _without_readers(self._file, patience) as alone:
            for number, page in sorted(self._pages.items()):
                _write_all(self._file, page[: max(0, self._size - number * _PAGE)], number * _PAGE)
            os.ftruncate(self._file, max(self._size, self._old_size))
        os.fsync(self._file)
        os.unlink(_journal_of(self.path))
        _sync_folder(self.path.parent)
        if self._size < self._old_size:  # only now: the journal holds no copy of a cut-off tail
            with suppress(OSError):  # a longer file does no harm
                os.ftruncate(self._file, self._size)
        return alone


@contextmanager
def _without_readers(descriptor: int, patience: float) -> Iterator[bool]:
    """Hold the lock that HDF5 readers share, so that none opens a half-changed file; yields False without it.

    A reader that keeps the file open (a notebook) must not stop the run: after ``patience`` seconds the change goes
    ahead. Such a reader has to open the file again to see it.
    """
    give_up = time.monotonic() + patience
    busy = True
    while busy:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            busy = False
        except OSError as error:
            if error.errno != errno.EWOULDBLOCK:
                busy = False  # a filesystem without locks
            elif time.monotonic() >= give_up:
                break
            else:
                time.sleep(0.001)
    try:
        yield not busy
    finally:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)


# --------------------------------------------------------------------------------------------------------------------
# NetCDF files that grow by records
# --------------------------------------------------------------------------------------------------------------------

_CHUNK_BYTES = 4 << 20
_CHUNK_RECORDS = 1024
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


class RecordFile:
    """A NetCDF-4 file that grows along its unlimited dimension ``time``; see ``create`` and ``open``.

    Between calls the file is closed, so any NetCDF reader may open it while the run goes on. Each change is atomic
    (``_Transaction``): a process killed in the middle of one loses that change only, and ``open`` puts the file back
    into the state before. There must be one writer at a time; ``RunFolder.lock`` sees to that.
    """

    def __init__(self, path: Path, shapes: dict[str, tuple[int, ...]], length: int) -> None:
        self.path = path
        self._shapes = shapes
        self._length = length
        self._patience = _READER_PATIENCE

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
        with _replacing(path) as target:
            target.write(image.getbuffer())
            _journal_of(path).unlink(missing_ok=True)  # a journal left of the replaced file must not touch this one
        return cls(path, shapes, 0)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> RecordFile:
        """Open a file to append to, after undoing a change that a crash left unfinished.

        Raises:
            OutputError: the file is missing, unreadable, damaged, or was not made by ``create``.
        """
        path = Path(path)
        try:
            _recover(path)
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
                file[name].resize(end, axis=0)
                file[name][self._length :] = values
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
            _recover(self.path)
            transaction = _Transaction(self.path)
            with h5py.File(transaction, "r+") as file:
                yield file
            alone = transaction.commit(self._patience)
            self._patience = _READER_PATIENCE if alone else 0.0  # a lasting reader costs the wait only once
        except BaseException as error:
            advice = "free some space or fix the folder, then `phasefield resume` the run"
            try:
                _recover(self.path)
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


class Writer:
    """A background thread that runs jobs in order, so that the solver need not wait for the disk.

    At most ``depth`` jobs wait; then ``submit`` blocks, which bounds the memory. Arrays handed to a job must not be
    changed afterwards. The first failure is raised at the caller's next ``submit``, ``flush`` or ``close`` (an
    OutputError unless it is a PhasefieldError already), and later jobs are dropped.
    """

    def __init__(self, depth: int = 4) -> None:
        self._jobs: queue.Queue[tuple[Callable[..., Any], tuple[Any, ...]] | None] = queue.Queue(depth)
        self._error: PhasefieldError | None = None
        self._told = False
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="phasefield-writer", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                if self._error is None:
                    job[0](*job[1])
            except PhasefieldError as error:
                self._error = error
            except BaseException as error:
                self._error = OutputError(f"writing output failed: {type(error).__name__}: {error}")
                self._error.__cause__ = error
            finally:
                del job  # frees the arrays while waiting for the next job
                self._jobs.task_done()
        self._jobs.task_done()

    def _check(self) -> None:
        if self._error is not None:
            self._told = True
            raise self._error

    def submit(self, function: Callable[..., Any], *args: Any) -> None:
        """Queue ``function(*args)``; waits while the queue is full. Raises an earlier job's error."""
        if self._closed:
            raise RuntimeError("the writer is closed")
        self._check()
        self._jobs.put((function, args))

    def flush(self) -> None:
        """Wait until all jobs are done. Raises their first error."""
        self._jobs.join()
        self._check()

    def close(self) -> None:
        """Finish all jobs and the thread. Raises their first error unless the caller has had it already."""
        if not self._closed:
            self._closed = True
            self._jobs.put(None)
            self._thread.join()
            if not self._told:
                self._check()

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            self.close()
        except PhasefieldError as failure:
            if error is None:
                raise
            error.add_note(f"besides, {failure}")  # the caller's error came first


# --------------------------------------------------------------------------------------------------------------------
# Checkpoints
# --------------------------------------------------------------------------------------------------------------------

_FORMAT, _VERSION = "phasefield-checkpoint", 1
_HEAD = f"{_FORMAT}.json"
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


def save_checkpoint(path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray], meta: Mapping[str, JSON]) -> None:
    """Write ``arrays`` (numbers, any shape) and ``meta`` (JSON values) to ``path`` in one step.

    The file is an uncompressed .npz, readable by ``numpy.load`` too, that ends in the SHA-256 of all before it. Equal
    content gives equal bytes.

    Raises:
        OutputError: the file cannot be written; an older one at ``path`` is untouched.
    """
    head = {"format": _FORMAT, "version": _VERSION, "arrays": sorted(arrays), "meta": dict(meta)}
    with _replacing(Path(path)) as target:
        stream = _Hashing(target)
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr(_member(_HEAD), json.dumps(head, sort_keys=True))
            for name in sorted(arrays):
                with archive.open(_member(f"{name}.npy"), "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, np.asarray(arrays[name], order="C"), allow_pickle=False)
            archive.comment = b"0" * _DIGEST
        target.seek(-_DIGEST, os.SEEK_END)
        target.write(stream.sha.hexdigest().encode())


def load_checkpoint(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, JSON]]:
    """Read the arrays and the meta data that ``save_checkpoint`` wrote.

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
                return {name: archive[f"{name}.npy"] for name in head["arrays"]}, head["meta"]
    except FileNotFoundError as error:
        raise CheckpointMismatch(f"{path}: there is no checkpoint") from error
    except OSError as error:
        raise CheckpointMismatch(f"{path}: cannot be read: {error.strerror or error}") from error


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


# --------------------------------------------------------------------------------------------------------------------
# The folder
# --------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run and the names inside it."""

    path: Path

    @property
    def config(self) -> Path:
        """The complete configuration."""
        return self.path / "config.yaml"

    @property
    def history(self) -> Path:
        """Scalars over time."""
        return self.path / "history.nc"

    @property
    def fields(self) -> Path:
        """Fields over time."""
        return self.path / "fields.nc"

    @property
    def checkpoint(self) -> Path:
        """The state to resume from."""
        return self.path / "checkpoint.npz"

    @property
    def log(self) -> Path:
        """The messages of the run."""
        return self.path / "run.log"

    @property
    def kernels(self) -> Path:
        """The folder of generated source code."""
        return self.path / "kernels"

    @classmethod
    def create(cls, path: str | os.PathLike[str]) -> RunFolder:
        """Prepare a folder for a new run, with its parents; other files in it do not matter.

        Raises:
            OutputError: it already holds a run, or cannot be written; nothing has then been changed.
        """
        run = cls(Path(path))
        made: list[Path] = []
        try:
            for folder in reversed([run.path, *run.path.parents]):
                if not folder.exists():
                    folder.mkdir(exist_ok=True)
                    made.append(folder)
            names = {entry.name for entry in run.path.iterdir()}
            if found := [p.name for p in (*run._files(), run.kernels) if p.name in names]:
                raise OutputError(
                    f"{run.path}: already holds a run ({', '.join(found)})\n"
                    f"  choose another output.dir, continue with `phasefield resume {run.path}`, or delete it"
                )
            with tempfile.TemporaryFile(dir=run.path) as probe:
                probe.write(b"0")
        except OSError as error:
            for folder in reversed(made):
                with suppress(OSError):
                    folder.rmdir()
            raise OutputError(
                f"{run.path}: cannot be used as the run folder: {error.strerror or error}\n  choose another output.dir"
            ) from error
        return run

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> RunFolder:
        """The folder of an earlier run. Raises OutputError if there is no configuration or no checkpoint in it."""
        run = cls(Path(path))
        if not run.path.is_dir():
            raise OutputError(f"{run.path}: there is no such run folder")
        if missing := [p.name for p in (run.config, run.checkpoint) if not p.is_file()]:
            raise OutputError(f"{run.path}: holds no run that can be resumed: {' and '.join(missing)} missing")
        return run

    def _files(self) -> tuple[Path, ...]:
        return self.config, self.history, self.fields, self.checkpoint, self.log

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder against other writers. Raises OutputError if one holds it already.

        The lock ends with the process, however it ends; the file `.lock` stays and means nothing by itself.
        """
        try:
            descriptor = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written: {error.strerror or error}") from error
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno == errno.EWOULDBLOCK:
                    raise OutputError(f"{self.path}: another process is writing this run") from error
                # A filesystem without locks is no reason not to run.
            yield
        finally:
            os.close(descriptor)
