"""File objects for HDF5, which crashes after a failing write: such failures are kept, and told when HDF5 is done."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from typing import Any, BinaryIO


class Stream(ABC):
    """The file protocol that HDF5's driver for Python objects uses.

    Args:
        size: bytes that are there already.

    Attributes:
        error: the first write that failed.
    """

    def __init__(self, size: int = 0) -> None:
        self._position, self._size = 0, size
        self.error: OSError | None = None

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        return self._position

    def tell(self) -> int:
        return self._position

    def flush(self) -> None:  # noqa: B027 - nothing by default
        """Nothing to do before the end."""

    def truncate(self, size: int | None = None) -> int:
        self._size = self._position if size is None else size
        return self._size

    def read(self, count: int = -1) -> bytes:
        data = bytearray(max(0, self._size - self._position) if count < 0 else count)
        self.readinto(data)
        return bytes(data)

    @abstractmethod
    def readinto(self, buffer: Any) -> int:
        """Fills a buffer from the position on, with zeros behind the end."""

    @abstractmethod
    def write(self, data: Any) -> int:
        """Never fails."""


class Unfailing(Stream):
    """A new file; what follows a failure is dropped."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._descriptor = file.fileno()

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        view[:] = os.pread(self._descriptor, len(view), self._position).ljust(len(view), b"\0")
        self._position += len(view)
        return len(view)

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        total = len(view)
        try:
            while view and self.error is None:
                done = os.pwrite(self._descriptor, view, self._position)
                view, self._position = view[done:], self._position + done
        except OSError as error:
            self.error = error
        self._position += len(view)
        self._size = max(self._size, self._position)
        return total

    def check(self) -> None:
        """Raises the first failure."""
        if self.error is not None:
            raise self.error
        os.ftruncate(self._descriptor, self._size)
