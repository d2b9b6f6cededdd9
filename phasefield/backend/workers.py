"""Threads that take part in jobs: they look out for work for a while after the last one and sleep otherwise."""

from __future__ import annotations

import ctypes
import functools
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import signals
from . import cache

#: Looks for work before a thread goes to sleep, each some tenths of a microsecond: longer than what is done between two steps.
_PATIENCE = 20000
#: Integers of an operation.
_OPERATION = 10


@functools.cache
def native() -> Any:
    """The compiled loops of ``native.py``."""
    return cache.load(Path(__file__).with_name("native.py").read_text(), "native")


@functools.cache
def pause_address() -> int:
    """The C function that offers the core to another thread."""
    address = ctypes.cast(ctypes.CDLL(None).sched_yield, ctypes.c_void_p).value
    assert address is not None
    return address


@functools.cache
def copy_address() -> int:
    """The C function that copies bytes."""
    address = ctypes.cast(ctypes.CDLL(None).memcpy, ctypes.c_void_p).value
    assert address is not None
    return address


class Workers:
    """The calling thread and ``threads - 1`` others.

    Args:
        offset, of: number of the first among all threads that share jobs, and how many there are; None for these alone.
    """

    def __init__(self, threads: int, offset: int = 0, of: int | None = None) -> None:
        self._native, self._pause = native(), pause_address()
        self.threads = threads
        self._offset, self._of = offset, of or threads
        self._control = np.zeros(self._native.SLEEPING + self._native.LINE * threads, np.int64)
        self._control[self._native.SEQUENCE] = 1
        self._turn = threading.Lock()
        self._calls = {thread: threading.Lock() for thread in range(1, threads)}
        for thread, call in self._calls.items():
            call.acquire()
            threading.Thread(target=self._serve, args=(thread,), name=f"phasefield-{thread}", daemon=True).start()

    def _serve(self, thread: int) -> None:
        while True:
            self._native.serve(self._control, thread, self._offset, self._of, self._pause, _PATIENCE)
            self._calls[thread].acquire()

    def counters(self, phases: int) -> np.ndarray:
        """Memory for the counters of a job."""
        return np.zeros(self._native.LINE * phases * (self._of + 1), np.int64)

    def run(self, job: np.ndarray, phases: np.ndarray, operations: np.ndarray, counters: np.ndarray) -> None:
        """Does a job (see ``native.py``) with all threads. ``job`` holds addresses and lengths of the tables."""
        signals.check()
        if not self._calls:
            self._native.alone(phases, operations)
            return
        self._share(job, phases, operations, counters, False)

    def _share(
        self, job: np.ndarray, phases: np.ndarray, operations: np.ndarray, counters: np.ndarray, begun: bool
    ) -> None:
        """Does a job with threads that have to be told; ``begun``: whether other processes do it too."""
        native, control = self._native, self._control
        tables = phases, operations, counters, self._offset, self._of, self._pause
        with self._turn:
            try:
                if native.start(control, job.ctypes.data, *tables, begun):
                    self._wake()
            finally:
                if control[native.SEQUENCE] % 2 == 0:
                    native.finish(control, *tables)

    def _wake(self) -> None:
        for thread, call in self._calls.items():
            if self._control[self._native.SLEEPING + self._native.LINE * thread]:
                self._native.wake(self._control, thread)
                call.release()


class Job:
    """Operations on tiles, phase by phase, for certain memory (see ``native.py``).

    Args:
        phases: per phase its operations and its number of tiles.
        kept: what the addresses in the operations belong to.

    Attributes:
        tiles: per phase, which may be changed between runs; 0 leaves a phase out.
    """

    def __init__(self, crew: Workers, phases: Sequence[tuple[Sequence[Sequence[int]], int]], kept: Any = None) -> None:
        self._crew, self._kept = crew, kept
        rows = [[*row, *[0] * (_OPERATION - len(row))] for operations, _ in phases for row in operations]
        self._operations = np.array(rows, np.int64).reshape(-1, _OPERATION)
        ends = np.cumsum([len(operations) for operations, _ in phases], dtype=np.int64)
        self._phases = np.zeros((len(phases), 3), np.int64)
        self._phases[1:, 0], self._phases[:, 1] = ends[:-1], ends
        self.tiles = self._phases[:, 2]
        self.tiles[:] = [tiles for _, tiles in phases]
        self._counters = crew.counters(len(phases))
        operations, counters = self._operations, self._counters
        tables = (address(self._phases), len(phases), address(operations), len(operations), address(counters))
        self._tables = np.array(tables, np.int64)

    def __call__(self, _: object = None) -> None:
        self._crew.run(self._tables, self._phases, self._operations, self._counters)


def address(array: np.ndarray) -> int:
    """Where an array begins."""
    return array.__array_interface__["data"][0]


@functools.cache
def workers(threads: int) -> Workers:
    """The one pool of this process for a number of threads."""
    return Workers(threads)


# Threads do not survive a fork.
os.register_at_fork(after_in_child=workers.cache_clear)
