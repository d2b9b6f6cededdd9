"""Rank 0 leads: it runs the program as one process would and tells the others what of it is theirs to do.

So whatever is decided (a step's size, an end, a signal, what a user's function says) is decided once, and files have one
writer. A word is a name of `Member`'s methods with its arguments; data goes from rank to rank, and only what is to be known on
the host comes to rank 0.
"""

from __future__ import annotations

import functools
import signal
import traceback
from collections.abc import Callable
from typing import Any

from ...errors import DeviceError, PhasefieldError
from ...signals import SIGNALS, Stop, Stopped, deferred, held
from .guard import Guard
from .member import Member
from .world import World, world

#: What ends the service of the others.
_END = "end"


class Team:
    """All ranks, led from rank 0."""

    def __init__(self, of: World) -> None:
        self.world, self._own = of, Member(of)
        self._numbers = 0
        self._dropped: list[int] = []
        self._busy = False

    @property
    def own(self) -> Member:
        return self._own

    @functools.cached_property
    def machines(self) -> int:
        """How many machines the ranks are on."""
        count: int = self.do("machines")
        return count

    def number(self) -> int:
        """A new one, for an object that every rank has its part of."""
        self._numbers += 1
        return self._numbers

    def drop(self, number: int) -> None:
        """Says that nobody needs an object any more; the others hear of it with the next word."""
        self._dropped.append(number)

    def do(self, what: str, *arguments: Any, **own: Any) -> Any:
        """Lets every rank do something; what comes of it here. ``own`` is handed to this rank alone.

        Something that fails on one rank and not on others ends them all, for they wait for it.
        """
        with deferred() as stop:  # what comes meanwhile is heard with the next word
            self._heed(stop)
            self._say(what, arguments, False)
            found = getattr(self._own, what)(*arguments, **own)
            self._busy = False
        return found

    def _say(self, what: str, arguments: tuple[Any, ...], trial: bool) -> None:
        dropped, self._dropped = self._dropped, []
        self._busy = True
        self.world.say((dropped, what, arguments, trial))
        self._own.drop(dropped)

    def _heed(self, stop: Stop) -> None:
        """Notes signals that other ranks were sent."""
        for number in self.world.notices():
            stop.note(number)

    def try_to(self, what: str, *arguments: Any) -> None:
        """The same for what may fail here or there, and needs no other rank, or fails on all.

        Raises:
            PhasefieldError: of the first rank that failed.
        """
        with deferred() as stop:
            self._heed(stop)
            self._say(what, arguments, True)
            found = self.world.gather(_tried(self._own, what, arguments))
            self._busy = False
        assert found is not None
        for rank, error in enumerate(found):
            if error is not None:
                raise DeviceError(f"on rank {rank}: {error}" if rank else str(error))

    def end(self, result: Any, failure: tuple[str, int] | None = None) -> None:
        """Lets the others go, with a result or with what went wrong and its exit code."""
        if self._busy:
            message, code = failure or ("interrupted", 1)
            if code == 1:
                traceback.print_exc()
            self.world.abort(message, code)
        with held():
            self.world.say((self._dropped, _END, (result, failure), False))
            self._dropped, self.world.leading = [], False


def _tried(member: Member, what: str, arguments: tuple[Any, ...]) -> str | None:
    """What went wrong, if anything."""
    try:
        getattr(member, what)(*arguments)
    except (PhasefieldError, MemoryError, ImportError, OSError) as error:
        return told_of(error)[0]
    return None


@functools.cache
def team() -> Team:
    """The team that this process, of rank 0, leads."""
    return Team(world())


class Elsewhere(PhasefieldError):
    """What rank 0 was doing has failed, which it says itself.

    Args:
        code: the exit code.
    """

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.exit_code = code


def serve() -> Any:
    """Does what rank 0 says until it ends; what that gave.

    Signals are rank 0's to obey, which is told of them: what they mean for the run is said like all else.

    Raises:
        Elsewhere: it failed.
    """
    here = world()
    member = Member(here)
    with held() as stop:
        if stop.received is not None:
            here.notify(stop.received)
            stop.received = None
    before = {
        number: signal.signal(number, lambda number, frame: here.notify(number))
        for number in SIGNALS
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        while True:
            dropped, what, arguments, trial = here.hear()
            member.drop(dropped)
            if what == _END:
                break
            if trial:
                here.gather(_tried(member, what, arguments))
            else:
                getattr(member, what)(*arguments)
    except BaseException as error:
        told, code = told_of(error)
        if code == 1:
            traceback.print_exc()
        here.abort(told, code)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    result, failure = arguments
    if failure is not None:
        raise Elsewhere(*failure)
    return result


def told_of(error: BaseException) -> tuple[str, int]:
    """What is said of an error, and its exit code: 1, as of any Python program, for those that nobody has foreseen."""
    code = getattr(error, "exit_code", None)
    if isinstance(error, MemoryError):
        return f"out of memory: {error}\n  use fewer cells or precision=single", 2
    if isinstance(error, ImportError):
        return f"{error}\n  every rank needs the same environment", 2
    if isinstance(error, OSError):
        where = "" if error.filename is None else f"{error.filename}: "
        return f"{where}{error.strerror or error}", 2
    if isinstance(error, Stopped):
        return str(error), 128 + error.number if code is None else code
    return (f"{type(error).__name__}: {error}", 1) if code is None else (str(error), code)


def together(work: Callable[[], Any]) -> Any:
    """What ``work`` gives, done at rank 0 with the help of all, and then known to all.

    If a rank of this machine ends meanwhile, all do.

    Raises:
        whatever ``work`` raises, at rank 0; `Elsewhere` at the others.
    """
    here = world()
    if here.size == 1 or (here.rank == 0 and here.leading):
        return work()
    with held():
        guard = Guard(here)
        if here.rank != 0:
            try:
                return serve()
            finally:
                guard.dismissed()
    try:
        return _lead(work)
    except BaseException as error:
        if here.leading:  # the others were not let go
            here.abort(*told_of(error))
        raise
    finally:
        guard.dismissed()


def _lead(work: Callable[[], Any]) -> Any:
    lead = team()
    lead.world.leading = True
    try:
        result = work()
    except BaseException as error:
        lead.end(None, told_of(error))
        raise
    lead.end(result)
    return result
