"""Threads that take part in jobs: they look out for work for a while after the last one and sleep otherwise."""

from __future__ import annotations

import ctypes
import functools
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np

from . import cache

#: Looks for work before a thread goes to sleep, each some tenths of a microsecond: longer than what is done between two steps.
_PATIENCE = 20000


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


class Workers:
    """The calling thread and ``threads - 1`` others."""

    def __init__(self, threads: int) -> None:
        self._native, self._pause = native(), pause_address()
        self.threads = threads
        self._control = np.zeros(self._native.SLEEPING + self._native.LINE * threads, np.int64)
        self._control[self._native.SEQUENCE] = 1
        self._turn = threading.Lock()
        self._calls = {thread: threading.Lock() for thread in range(1, threads)}
        for thread, call in self._calls.items():
            call.acquire()
            threading.Thread(target=self._serve, args=(thread,), name=f"phasefield-{thread}", daemon=True).start()

    def _serve(self, thread: int) -> None:
        while True:
            self._native.serve(self._control, thread, self.threads, self._pause, _PATIENCE)
            self._calls[thread].acquire()

    def run(self, job: np.ndarray, phases: np.ndarray, operations: np.ndarray, counters: np.ndarray) -> None:
        """Does a job (see ``native.py``) with all threads. ``job`` holds addresses and lengths of the tables."""
        native, control = self._native, self._control
        if not self._calls:
            native.alone(phases, operations)
            return
        with self._turn:
            try:
                if native.start(control, job.ctypes.data, phases, operations, counters, self.threads, self._pause):
                    self._wake()
            finally:
                if control[native.SEQUENCE] % 2 == 0:
                    native.finish(control, phases, operations, counters, self.threads, self._pause)

    def _wake(self) -> None:
        for thread, call in self._calls.items():
            if self._control[self._native.SLEEPING + self._native.LINE * thread]:
                self._native.wake(self._control, thread)
                call.release()


@functools.cache
def workers(threads: int) -> Workers:
    """The one pool of this process for a number of threads."""
    return Workers(threads)


# Threads do not survive a fork.
os.register_at_fork(after_in_child=workers.cache_clear)
