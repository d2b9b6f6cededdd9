"""Memory that ranks of one machine share: an anonymous file that all map, which vanishes with the last of them."""

from __future__ import annotations

import mmap
import os
from contextlib import suppress
from typing import Any

import numpy as np

from ..workers import native, pause_address
from .world import Group

#: Sizes from which on large pages are asked for: shared memory has small ones by default, between which transforms along columns
#: would leap.
_LARGE = 2**22
#: Bytes at whose multiples the parts of windows begin: a small page.
_PAGE = 4096


def shared(group: Group, size: int) -> np.ndarray | None:
    """Zeroed bytes that all ranks see, each at an address of its own; None where they cannot, for all of them.

    All ranks call this at the same time.
    """
    handle, found = -1, None
    if group.rank == 0:
        with suppress(OSError):
            handle = os.memfd_create("phasefield")
            os.ftruncate(handle, size)
    owner, number = group.broadcast((os.getpid(), handle))
    with suppress(OSError, ValueError):
        own = handle if group.rank == 0 else os.open(f"/proc/{owner}/fd/{number}", os.O_RDWR)
        try:
            found = mmap.mmap(own, size)
        finally:
            if group.rank != 0:
                os.close(own)
    together: bool = all(group.everywhere(found is not None))
    if handle >= 0:
        os.close(handle)
    if not together or found is None:
        return None
    if size >= _LARGE:
        with suppress(OSError, AttributeError):
            found.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(found, np.uint8)


def array(group: Group, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    """Zeros that all ranks share.

    Raises:
        MemoryError: there is no more, or the ranks are not of one machine.
    """
    size = int(np.prod(shape)) * dtype.itemsize
    found = shared(group, max(size, 1))
    if found is None:
        raise MemoryError(f"{size} bytes cannot be shared")
    return found[:size].view(dtype).reshape(shape)


def owner(array: np.ndarray) -> mmap.mmap:
    """What lives as long as any view of a shared array."""
    found: Any = array
    while not isinstance(found, mmap.mmap):
        found = found.obj if isinstance(found, memoryview) else found.base
    return found


class Windows:
    """A part of memory for each of some ranks, which all of them may read.

    Args:
        group: the ranks. count, dtype: numbers of this rank's part, which may differ from others'.

    Attributes:
        own: this rank's part. all: the parts by rank.

    Raises:
        MemoryError: see `array`.
    """

    def __init__(self, group: Group, count: int, dtype: np.dtype[Any]) -> None:
        counts = [int(n) for n in group.everywhere(count)]
        sizes = [-(-n * dtype.itemsize // _PAGE) * _PAGE for n in counts]
        room = array(group, (sum(sizes),), np.dtype(np.uint8))
        starts = np.cumsum([0, *sizes[:-1]])
        self.all = [room[s : s + n * dtype.itemsize].view(dtype) for s, n in zip(starts, counts, strict=True)]
        self.own = self.all[group.rank]


class Meeting:
    """A place where ranks of one machine wait for each other, in less time than messages take.

    Args:
        group: the ranks.

    Raises:
        MemoryError: see `array`.
    """

    def __init__(self, group: Group) -> None:
        self._size = group.size
        self._meet, self._pause = native().meet, pause_address()
        self._arrived = array(group, (native().LINE,), np.dtype(np.int64))

    def __call__(self) -> None:
        """Comes back when all have called this."""
        if self._size > 1:
            self._meet(self._arrived, self._size, self._pause)
