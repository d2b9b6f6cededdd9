"""Crash-safe changes of a file in place: a rollback journal below HDF5."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from .files import sync_folder
from .streams import Stream

_PAGE = 4096
_MAGIC = b"pfjournl"
_HEADER = struct.Struct("<8sQ")
_ENTRY = struct.Struct("<QQ")
_CRC = struct.Struct("<I")
READER_PATIENCE = 0.5  # seconds


def journal_of(path: Path) -> Path:
    return path.with_name(path.name + ".journal")


def _write_all(descriptor: int, data: bytes | bytearray | memoryview, offset: int) -> None:
    view = memoryview(data).cast("B")
    while view:
        done = os.pwrite(descriptor, view, offset)
        view, offset = view[done:], offset + done


def _checked(data: bytes) -> bytes:
    return data + _CRC.pack(zlib.crc32(data))


def recover(path: Path) -> None:
    """Undo an unfinished change of ``path``, if there is one. Raises OSError and keeps the journal if it cannot."""
    journal = journal_of(path)
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
    sync_folder(path.parent)


class Transaction(Stream):
    """A file object for HDF5 whose changes happen to the file altogether or not at all.

    Bytes beyond the file's old end are written straight away: no reader looks there yet. Changes of older bytes (a few
    pages of metadata, as a rule) stay in memory until ``commit``, which first saves the old bytes in the journal. So a
    file is inconsistent for the microseconds of a few writes only, and readers are kept out for that long.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._pages: dict[int, bytearray] = {}
        self._file = os.open(path, os.O_RDWR)
        self._old_size = os.fstat(self._file).st_size
        super().__init__(self._old_size)
        self._direct_from = -(-self._old_size // _PAGE) * _PAGE
        try:
            self._journal = os.open(journal_of(path), os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)
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
        sync_folder(self.path.parent)
        with without_readers(self._file, patience) as alone:
            for number, page in sorted(self._pages.items()):
                _write_all(self._file, page[: max(0, self._size - number * _PAGE)], number * _PAGE)
            os.ftruncate(self._file, max(self._size, self._old_size))
        os.fsync(self._file)
        os.unlink(journal_of(self.path))
        sync_folder(self.path.parent)
        if self._size < self._old_size:  # only now: the journal holds no copy of a cut-off tail
            with suppress(OSError):  # a longer file does no harm
                os.ftruncate(self._file, self._size)
        return alone


@contextmanager
def without_readers(descriptor: int, patience: float) -> Iterator[bool]:
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
