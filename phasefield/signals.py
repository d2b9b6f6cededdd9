"""Signals that ask the program to stop: none is lost, and none interrupts what must not be.

A handler that raises is not enough: what is raised inside a callback from C (of the compiler, of ctypes, of a finaliser) is
thrown away there, and inside a library it may come out as an error of another name. So a signal is noted first. While nothing is
at stake it is raised at once, again at the next `check`, and in place of whatever error came out at the end; while files
are being written (`deferred`) it is only noted, and the loop of time steps looks for it.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

#: SIGTERM and SIGUSR1 come from batch systems, SIGHUP from a terminal that is closed.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)


class Stopped(KeyboardInterrupt):
    """A signal asked to stop.

    Args:
        number: of the signal. meanwhile: what became of the work.
    """

    exit_code: int | None = None  # where it is not that of the signal

    def __init__(self, number: int, meanwhile: str = "") -> None:
        self.number = number
        super().__init__(f"stopped by signal {number}" + (f"; {meanwhile}" if meanwhile else ""))


class Stop:
    """What has been heard.

    Attributes:
        received: number of the first signal since the last was obeyed. meanwhile: for the message of `Stopped`.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self.meanwhile = ""
        self._deferred = 0
        self._at_once = False
        self._before: dict[int, Any] = {}

    def _handle(self, number: int, frame: Any) -> None:
        again = self.received is not None
        self.received = self.received or number
        if not self._deferred or (again and number == signal.SIGINT):  # asked twice: now
            self._at_once = True
            raise Stopped(number, self.meanwhile)

    def check(self) -> None:
        """Raises a signal that was noted, unless it has to wait."""
        if self.received is not None and not self._deferred:
            raise Stopped(self.received, self.meanwhile)

    def note(self, number: int) -> None:
        """Notes a signal that another process was sent, to be raised or looked for like one of this process's own."""
        self.received = self.received or number

    def __enter__(self) -> Stop:
        global _current
        if not _main():  # signals are the main thread's
            return self
        for number in SIGNALS:
            if (
                signal.getsignal(number) is not signal.SIG_IGN
            ):  # nohup, and shells for jobs in the background, ignore some
                self._before[number] = signal.signal(number, self._handle)
        self._hook, sys.unraisablehook = sys.unraisablehook, self._unraisable
        _current = self
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        global _current
        if not _main():
            return
        self._deferred += 1  # what comes now is told at the end
        _current = None
        sys.unraisablehook = self._hook
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if isinstance(error, GeneratorExit):  # it was raised between `listening` and what was to be done within it
            return
        if self.received is not None and not isinstance(error, KeyboardInterrupt) and (error is None or self._at_once):
            # What came out of a library that was interrupted is not worth telling.
            raise Stopped(self.received, self.meanwhile) from None

    def _unraisable(self, what: Any) -> None:
        if not isinstance(what.exc_value, Stopped):  # it is noted, and will be raised where it is heard
            self._hook(what)


_current: Stop | None = None


@contextmanager
def listening() -> Iterator[Stop]:
    """Notes signals from here on; within another one, or in a thread other than the main one, nothing changes.

    Raises:
        Stopped: at any moment, unless `deferred`.
    """
    if _current is not None and _main():
        yield _current
    else:
        with Stop() as stop:
            yield stop


@contextmanager
def deferred() -> Iterator[Stop]:
    """Signals are noted only. Who has obeyed one sets ``received`` to None; else it is raised afterwards.

    Raises:
        Stopped: at the start, one that was noted before.
    """
    with listening() as stop:
        stop.check()
        with held():
            yield stop


@contextmanager
def held() -> Iterator[Stop]:
    """Signals are noted only, those that were noted before as well; nothing is raised here or afterwards."""
    with listening() as stop:
        stop._deferred += 1
        try:
            yield stop
        finally:
            stop._deferred -= 1


def forked() -> None:
    """In a process that was forked from one that listens: nothing has been heard here, and nothing is at stake."""
    global _current
    if _current is not None:
        for number, handler in _current._before.items():
            signal.signal(number, handler)
    _current = None


def done() -> None:
    """From here on signals change nothing, for what is left to do is to leave."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def check() -> None:
    """Raises a signal that was noted, unless it has to wait; to be called now and then in work that takes long."""
    if _current is not None and _current.received is not None and _main():
        _current.check()


def _main() -> bool:
    return threading.current_thread() is threading.main_thread()
