"""Rank 0 leads: it runs the program as one process would and tells the others what of it is theirs to do.

So whatever is decided (a step's size, an end, a signal, what a user's function says) is decided once, and files have one
writer. A word is a name of `Member`'s methods with its arguments; data goes from rank to rank, and only what is to be known on
the host comes to rank 0.
"""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable
from typing import Any

from ...errors import DeviceError, PhasefieldError
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
        word = self._dropped, what, arguments, False
        self._dropped = []
        self._busy = True
        self.world.broadcast(word)
        self._own.drop(word[0])
        found = getattr(self._own, what)(*arguments, **own)
        self._busy = False
        return found

    def try_to(self, what: str, *arguments: Any) -> None:
        """The same for what may fail here or there, and needs no other rank.

        Raises:
            PhasefieldError: of the first rank that failed.
        """
        word = self._dropped, what, arguments, True
        self._dropped = []
        self._busy = True
        self.world.broadcast(word)
        self._own.drop(word[0])
        found = self.world.gather(_tried(self._own, what, arguments))
        self._busy = False
        assert found is not None
        for rank, error in enumerate(found):
            if error is not None:
                raise error if rank == 0 else type(error)(f"on rank {rank}: {error}")

    def end(self, result: Any) -> None:
        """Lets the others go; they return ``result``."""
        if self._busy:
            self.world.abort("interrupted while ranks computed together")
        self.world.broadcast((self._dropped, _END, (result,), False))


def _tried(member: Member, what: str, arguments: tuple[Any, ...]) -> PhasefieldError | None:
    try:
        getattr(member, what)(*arguments)
    except PhasefieldError as error:
        return error
    except MemoryError as error:
        return DeviceError(f"out of memory: {error}\n  use fewer cells or precision=single")
    return None


@functools.cache
def team() -> Team:
    """The team that this process, of rank 0, leads."""
    return Team(world())


def serve() -> Any:
    """Does what rank 0 says until it ends; what it ends with."""
    here = world()
    member = Member(here)
    while True:
        dropped, what, arguments, trial = here.broadcast()
        member.drop(dropped)
        if what == _END:
            return arguments[0]
        if trial:
            here.gather(_tried(member, what, arguments))
            continue
        try:
            getattr(member, what)(*arguments)
        except BaseException as error:
            traceback.print_exc()
            here.abort(f"{type(error).__name__}: {error}")


def together(work: Callable[[], Any]) -> Any:
    """What ``work`` gives, done at rank 0 with the help of all; at the others that result once it is there.

    Raises:
        whatever ``work`` raises, at rank 0; the others get None then.
    """
    here = world()
    if here.size == 1:
        return work()
    if here.rank != 0:
        return serve()
    result = None
    try:
        result = work()
        return result
    finally:
        team().end(result)
