"""Wall time: how long a job may run, and how often it writes down where it is."""

from __future__ import annotations

import math
import re
import time
from contextlib import suppress
from typing import Any

from .errors import ConfigError

#: When this process began to be ours; what a batch system's limit counts from, but for the start of Python.
STARTED = time.monotonic()

#: The exit code of a run that was stopped to be continued, which job scripts ask for a requeue.
WANTS_MORE = 85

_UNITS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_PARTS = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(min|s|m|h|d)(?![a-z])\s*")
_CLOCK = re.compile(r"(?:(\d+)-)?(\d+):(\d\d)(?::(\d\d))?")
#: Seconds between failures of a machine, preemptions and limits among them, for the interval of checkpoints.
BETWEEN_FAILURES = 86400.0
#: Bounds of that interval.
_SHORTEST, _LONGEST = 10.0, 3600.0


def seconds(value: Any, key: str) -> float:
    """Seconds of ``90``, ``"90s"``, ``"1h30m"``, ``"1d"``, or as Slurm writes them, ``"02:00:00"``, ``"1-12:00:00"``.

    Raises:
        ConfigError: anything else, or nothing above zero.
    """
    found = math.nan
    if isinstance(value, int | float) and not isinstance(value, bool):
        with suppress(OverflowError):
            found = float(value)
    elif isinstance(value, str):
        text = value.strip()
        if re.fullmatch(r"\d+(\.\d*)?|\.\d+", text):
            found = float(text)
        elif clock := _CLOCK.fullmatch(text):
            days, first, second, third = clock.groups()
            # Of two numbers Slurm takes the first for minutes, behind days for hours.
            if third is None and days is None:
                found = 60.0 * int(first) + int(second)
            else:
                found = 86400.0 * int(days or 0) + 3600.0 * int(first) + 60.0 * int(second) + int(third or 0)
        elif text and re.fullmatch(rf"(?:{_PARTS.pattern})+", text):
            found = sum(float(number) * _UNITS[unit] for number, unit in _PARTS.findall(text))
    if not 0 < found < math.inf:
        raise ConfigError(key, f"is {value!r}; a time above zero is expected, e.g. 90s, 30m, 2h, 1h30m or 02:00:00")
    return found


def interval(cost: float, age: float = BETWEEN_FAILURES) -> float:
    """Seconds between checkpoints that cost ``cost`` seconds each, such that writing them and doing lost work again cost least.

    Young, Commun. ACM 17 (1974) 530; Daly, Future Gener. Comput. Syst. 22 (2006) 303, to first order. Failures are commonest soon
    after a start (Schroeder, Gibson, IEEE Trans. Dependable Secure Comput. 7 (2010) 337), so the time between them is taken to be
    no longer than the run has lasted, as far as checkpoints then take no more than a hundredth of it.

    Args:
        age: seconds that the run has lasted.
    """
    cost = max(cost, 0.0)
    steady = min(max(math.sqrt(2 * cost * BETWEEN_FAILURES), _SHORTEST), _LONGEST)
    return min(steady, max(math.sqrt(2 * cost * age), 100 * cost, _SHORTEST))


class Deadline:
    """The end of the time that a run has.

    Args:
        limit: seconds; None for no end. began: since when they count, by the monotonic clock.
    """

    def __init__(self, limit: float | None, began: float | None = None) -> None:
        self._at = math.inf if limit is None else (time.monotonic() if began is None else began) + limit
        self._last, self._longest = math.inf, 0.0  # what is before the first step is no step

    def near(self, cost: float) -> bool:
        """Whether one more step as long as the longest of late, and a checkpoint of ``cost`` seconds, would end too late.

        Never before the first step: a run that is taken up again and again has to come on.
        """
        if self._at == math.inf:
            return False
        now = time.monotonic()
        if self._last == math.inf:
            self._last = now
            return False
        self._longest = max(now - self._last, 0.9 * self._longest)
        self._last = now
        return now + self._longest + 2 * cost + _SPARE >= self._at


#: Seconds that closing files and leaving takes.
_SPARE = 0.5
