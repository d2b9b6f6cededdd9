"""``phasefield verify``: climbs a ladder and keeps what it finds as it goes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from ..backend import select
from ..errors import unknown
from . import folder as folders
from . import page
from .check import Check
from .ladder import LADDERS, choose, climb, ladder
from .record import Record
from .settings import Settings


class Job(Protocol):
    """A verification that is ready to begin.

    Attributes:
        record: of what has been found so far. folder: that holds it.
    """

    record: Record
    folder: Path

    @property
    def plan(self) -> str:
        """What is going to be done and how long it takes, where that is long; else empty."""

    def run(self, show: Callable[[str], None] | None = None) -> None:
        """Makes the checks; ``show`` is told what is being done.

        What is found is written after every check, so that a signal loses the one at hand alone.

        Raises:
            KeyboardInterrupt: a signal. OutputError: the folder cannot be written any more.
        """


class Climb:
    """The checks of a ladder, one by one; a `Job`."""

    plan = ""

    def __init__(self, checks: Sequence[Check], settings: Settings, record: Record, folder: Path) -> None:
        self._checks, self._machine = checks, settings.machine
        self.record, self.folder = record, folder

    def run(self, show: Callable[[str], None] | None = None) -> None:
        with folders.logged(self.folder):
            self._write()
            for outcome in climb(self._checks, self._machine, show):
                self.record.outcomes.append(outcome)
                self._write()

    def _write(self) -> None:
        self.record.write(self.folder)
        page.write(self.folder, self.record)


def prepare(name: str, settings: Settings, line: str = "", checks: Sequence[Check] | None = None) -> Job:
    """A verification, checked as far as can be without making it; its folder is there.

    Args:
        name: of the ladder. line: the command. checks: a ladder of one's own in place of the package's.

    Raises:
        ConfigError: there is no such ladder or check, or the folder holds something. DeviceError: there is no such device.
        OutputError: the folder cannot be made.
    """
    if named(name) == "pfhub":
        from .pfhub.command import prepare as benchmarks

        return benchmarks(settings, line)
    asked = asked_for(name, settings, checks)
    machine = facts_of(settings)
    record = Record(name, machine, line, [c.name for c in asked])
    return Climb(asked, settings, record, folders.new(settings.output))


def named(name: str) -> str:
    """The name of a ladder. Raises ConfigError if there is none of it."""
    if name not in LADDERS:
        raise unknown("verify", name, list(LADDERS), "ladder")
    return name


def asked_for(name: str, settings: Settings, checks: Sequence[Check] | None = None) -> list[Check]:
    """The checks of a ladder that are asked for. Raises ConfigError: there is none of that name."""
    every = ladder(name) if checks is None else list(checks)
    chosen = set(choose([c.name for c in every], settings.only))
    return [c for c in every if c.name in chosen]


def facts_of(settings: Settings) -> dict[str, Any]:
    """Device and precision as they come out. Raises DeviceError: there is no such device."""
    backend = select(settings.device, settings.precision, settings.threads)  # type: ignore[arg-type]
    return {"device": f"{backend.name} ({backend.description})", "precision": settings.precision}


def validate(name: str, settings: Settings) -> str:
    """What would be done, in a line. Raises as `prepare`."""
    if named(name) == "pfhub":
        from .pfhub.command import plan

        return plan(settings)
    return f"{len(asked_for(name, settings))} checks on {facts_of(settings)['device']}, {settings.precision} precision"
