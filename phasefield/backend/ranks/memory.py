"""Memory that the ranks of one machine share: an anonymous file that all map, which vanishes with the last of them."""

from __future__ import annotations

import mmap
import os
from contextlib import suppress
from typing import Any

import numpy as np

from .world import World

#: Sizes from which on large pages are asked for: shared memory has small ones by default, between which transforms along columns
#: would leap.
_LARGE = 2**22


def shared(world: World, size: int) -> np.ndarray | None:
    """Zeroed bytes that all ranks see, each at an address of its own; None where they cannot, for all of them.

    All ranks call this at the same time.
    """
    handle, found = -1, None
    if world.rank == 0:
        with suppress(OSError):
            handle = os.memfd_create("phasefield")
            os.ftruncate(handle, size)
    owner, number = world.broadcast((os.getpid(), handle))
    with suppress(OSError, ValueError):
        own = handle if world.rank == 0 else os.open(f"/proc/{owner}/fd/{number}", os.O_RDWR)
        try:
            found = mmap.mmap(own, size)
        finally:
            if world.rank != 0:
                os.close(own)
    together: bool = all(world.everywhere(found is not None))
    if handle >= 0:
        os.close(handle)
    if not together or found is None:
        return None
    if size >= _LARGE:
        with suppress(OSError, AttributeError):
            found.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(found, np.uint8)


def array(world: World, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    """Zeros that all ranks share.

    Raises:
        MemoryError: there is no more, or the ranks are not of one machine.
    """
    size = int(np.prod(shape)) * dtype.itemsize
    found = shared(world, max(size, 1))
    if found is None:
        raise MemoryError(f"{size} bytes cannot be shared")
    return found[:size].view(dtype).reshape(shape)


def owner(array: np.ndarray) -> mmap.mmap:
    """What lives as long as any view of a shared array."""
    found: Any = array
    while not isinstance(found, mmap.mmap):
        found = found.obj if isinstance(found, memoryview) else found.base
    return found
