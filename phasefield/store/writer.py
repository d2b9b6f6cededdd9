"""The background thread that writes."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

from ..errors import OutputError, PhasefieldError

_LARGE = 2**23


class Writer:
    """A background thread that runs jobs in order, so that the solver need not wait for the disk.

    At most ``depth`` jobs wait; then ``submit`` blocks. Arrays handed to a job must not be changed afterwards, and large ones
    (`large`) should go one at a time, which bounds the memory: ``flush`` before one is copied, or ``lend`` the original. The
    first failure is raised at the caller's next ``submit``, ``flush`` or ``close`` (an OutputError unless it is a
    PhasefieldError already), and later jobs are dropped.
    """

    @staticmethod
    def large(size: int) -> bool:
        """Whether arrays of so many bytes are too large to have several of them waiting."""
        return size > _LARGE

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

    def lend(self, function: Callable[..., Any], *args: Any) -> None:
        """`submit` for arrays that are only lent: returns when the job is through with them, which it says by calling its last
        argument, or has ended. Raises an earlier job's error.
        """
        returned = threading.Event()

        def job() -> None:
            try:
                function(*args, returned.set)
            finally:
                returned.set()

        self.submit(job)
        while not returned.wait(0.1):
            self._check()  # a job that is dropped returns nothing

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
