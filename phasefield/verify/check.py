"""One rung of the ladder: a number that is known, how it is known, and what the program finds for it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from ..errors import PhasefieldError
from .problems import Machine

Verdict = Literal["within", "outside", "failed", "skipped"]


def judged(got: float, expected: float, allowed: float, relative: bool) -> Verdict:
    """Whether a number is as near to the expected one as is allowed; NaN never is."""
    scale = abs(expected) if relative else 1.0
    return "within" if abs(got - expected) <= allowed * scale else "outside"


class Skip(Exception):
    """Raised by a measurement that cannot be made on this machine; says why."""


@dataclass(frozen=True)
class Check:
    """A number that the program has to find.

    Attributes:
        name: ``topic/what``, unique in a ladder. what: the statement, in a line.
        source: how the expected value is known, a formula or a paper.
        measure: finds the number on a machine; raises `Skip` where it cannot.
        expected: the value. allowed: largest distance from it; of its size if ``relative``.
        single: the same in single precision; None where that says nothing.
        unit: of the numbers. full: whether the check is left to the full ladder.
    """

    name: str
    what: str
    source: str
    measure: Callable[[Machine], float]
    expected: float
    allowed: float
    single: float | None = None
    relative: bool = False
    unit: str = ""
    full: bool = False

    @property
    def topic(self) -> str:
        return self.name.partition("/")[0]

    def allowed_on(self, machine: Machine) -> float | None:
        """The largest distance from the expected value on a machine; None if the check is not made there."""
        return self.single if machine.precision == "single" else self.allowed

    def run(self, machine: Machine) -> Outcome:
        """Makes the check. Whatever goes wrong, but a signal, is a line of the table."""
        allowed = self.allowed_on(machine)
        start = time.perf_counter()
        got, note = math.nan, ""
        verdict: Verdict = "failed"
        if allowed is None:
            verdict, note = "skipped", "says nothing in single precision"
        else:
            try:
                got = float(self.measure(machine))
                verdict = judged(got, self.expected, allowed, self.relative)
            except Skip as reason:
                verdict, note = "skipped", str(reason)
            except PhasefieldError as error:
                note = str(error)
            except Exception as error:
                note = f"{type(error).__name__}: {error}"
        return Outcome(
            self.name,
            self.what,
            self.source,
            self.expected,
            got,
            self.allowed if allowed is None else allowed,
            self.relative,
            self.unit,
            verdict,
            time.perf_counter() - start,
            note,
        )


@dataclass(frozen=True)
class Outcome:
    """What came of a check.

    Attributes:
        name, what, source, expected, relative, unit: of the check. got: what was found, NaN if nothing was.
        allowed: on this machine. verdict: ``within`` or ``outside`` what is allowed; ``failed`` if it ended in an error,
            ``skipped`` if it was not made. seconds: it took. note: the error, the reason, or what else there is to say.
    """

    name: str
    what: str
    source: str
    expected: float
    got: float
    allowed: float
    relative: bool
    unit: str
    verdict: Verdict
    seconds: float
    note: str = ""

    @property
    def topic(self) -> str:
        return self.name.partition("/")[0]

    @property
    def good(self) -> bool:
        return self.verdict in ("within", "skipped")

    @property
    def deviation(self) -> float:
        """Distance from the expected value, in the measure that ``allowed`` is in."""
        scale = abs(self.expected) if self.relative else 1.0
        return abs(self.got - self.expected) / scale if scale else math.nan

    def to_json(self) -> dict[str, Any]:
        """Plain data; a number that is none is null."""
        return {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in vars(self).items()
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Outcome:
        """The inverse of `to_json`."""
        numbers = ("expected", "got", "allowed", "seconds")
        values: dict[str, Any] = {k: math.nan if v is None and k in numbers else v for k, v in data.items()}
        return cls(**values)
