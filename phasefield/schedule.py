"""When something is due: at times without drift, at steps, or by the clock; and when steps of equal length are."""

from __future__ import annotations

import math
import time as clock
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from .errors import ConfigError

#: Times of a plan that are compared with those of steps.
_LOOK = 1000


class Schedule:
    """Fires at a sequence of times, or every so many steps.

    ``count`` is how often it has fired; with it a resumed run goes on as if it had not stopped.
    """

    def __init__(self, every_steps: int | None = None) -> None:
        self.every_steps = every_steps
        self.count = 0

    def time(self, index: int) -> float:
        """Time of firing ``index``; infinite when there is none."""
        return math.inf

    @property
    def next_time(self) -> float:
        return self.time(self.count)

    def due(self, t: float, step: int) -> bool:
        """Whether it fires now; counts if so. Adaptive steps land on due times exactly, equal ones pass them."""
        fired = False
        while self.time(self.count) <= t:
            self.count += 1
            fired = True
        return fired or bool(self.every_steps and step % self.every_steps == 0)


class Thinning(Schedule):
    """Every step at first, then at 5 % more steps each time: as dense as a curve over a logarithmic axis can show.

    A row of history costs most of a step, so what is recorded of a long run has to thin out to stay cheap.
    """

    dense, growth = 20, 1.05

    def step(self, index: int) -> int:
        """Step of firing ``index``."""
        return index if index < self.dense else math.ceil(self.dense * self.growth ** (index - self.dense))

    def due(self, t: float, step: int) -> bool:
        fired = False
        while self.step(self.count) <= step:
            self.count += 1
            fired = True
        return fired


class EveryTime(Schedule):
    """At start + n * period, computed by multiplication so that errors do not add up."""

    def __init__(self, period: float, start: float = 0.0) -> None:
        super().__init__()
        self.period, self.start = period, start

    def time(self, index: int) -> float:
        return self.start + index * self.period


class AtTimes(Schedule):
    """At listed times."""

    def __init__(self, times: Sequence[float]) -> None:
        super().__init__()
        self.times = sorted(times)

    def time(self, index: int) -> float:
        return self.times[index] if index < len(self.times) else math.inf


class Logarithmic(Schedule):
    """At 0 and then ``per_decade`` times per decade from ``start`` on."""

    def __init__(self, per_decade: int, start: float) -> None:
        super().__init__()
        self.per_decade, self.start = per_decade, start

    def time(self, index: int) -> float:
        if index == 0:
            return 0.0
        exponent = (index - 1) / self.per_decade
        return self.start * 10**exponent if exponent < 308 else math.inf


class WallTime(Schedule):
    """Every so many seconds of real time, counted from the last time; a resumed run begins to count anew."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds
        self.restart()

    def restart(self) -> None:
        """Counts from now on."""
        self._last = clock.monotonic()

    def due(self, t: float, step: int) -> bool:
        fired = clock.monotonic() - self._last >= self.seconds
        if fired:
            self.restart()
        return fired


class Beat:
    """Times of equal steps: ``start + n dt`` at step ``first + n``, of the decimal numbers as written: 3 steps of 0.1 make 0.3.

    Attributes:
        dt: size of a step. slack: how far two times may lie apart to be the same.
    """

    def __init__(self, dt: float, start: float = 0.0, first: int = 0) -> None:
        self.dt, self.start, self.first = float(dt), float(start), first
        self.slack = 1e-9 * self.dt
        self._dt, self._start = Fraction(repr(self.dt)), Fraction(repr(self.start))

    def time(self, step: int) -> float:
        return float(self._start + (step - self.first) * self._dt)

    def at(self, t: float) -> float:
        """Time of the first step that reaches ``t``."""
        return self.time(self.first + math.ceil((t - self.slack - self.start) / self.dt))

    def shifted(self, plan: Schedule, end: float) -> list[float]:
        """When a plan fires if only steps count, in order; nothing if every one of its times is that of a step."""
        asked = [t for t in map(plan.time, range(_LOOK)) if self.start <= t <= end + self.slack]
        steps = [self.at(t) for t in asked]
        same = all(abs(a - b) <= self.slack for a, b in zip(asked, steps, strict=True))
        return [] if same else list(dict.fromkeys(steps))

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps: arguments of another one that goes on alike."""
        return {"dt": self.dt, "start": self.start, "first": self.first}


def build(spec: Any, key: str) -> Schedule:
    """A schedule from its configuration.

    Args:
        spec: a period in time; ``{steps: n}``; ``{times: [...]}``; ``{per_decade: n, start: t}``; or ``{wall: seconds}``.

    Raises:
        ConfigError: anything else.
    """
    hint = "give a period in time, {steps: n}, {times: [t1, t2, ...]}, {per_decade: n, start: t} or {wall: seconds}"

    def positive(name: str, value: Any, kind: type = float) -> Any:
        ok = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0
        if not ok or (kind is int and value != int(value)):
            raise ConfigError(
                name, f"is {value!r}; a positive {'whole number' if kind is int else 'number'} is expected", hint
            )
        return kind(value)

    if not isinstance(spec, Mapping):
        return EveryTime(positive(key, spec))
    keys = set(spec)
    if keys == {"steps"}:
        return Schedule(positive(f"{key}.steps", spec["steps"], int))
    if keys == {"wall"}:
        return WallTime(positive(f"{key}.wall", spec["wall"]))
    if keys == {"times"}:
        times = spec["times"]
        if not isinstance(times, Sequence) or isinstance(times, str) or not times:
            raise ConfigError(f"{key}.times", f"is {times!r}; a list of times is expected", hint)
        if any(not isinstance(t, int | float) or isinstance(t, bool) or not math.isfinite(t) or t < 0 for t in times):
            raise ConfigError(f"{key}.times", f"is {times!r}; finite times >= 0 are expected", hint)
        return AtTimes([float(t) for t in times])
    if keys == {"per_decade", "start"}:
        return Logarithmic(
            positive(f"{key}.per_decade", spec["per_decade"], int), positive(f"{key}.start", spec["start"])
        )
    raise ConfigError(
        key, f"has the keys {', '.join(sorted(map(str, keys))) or 'of no kind'}, which is no schedule", hint
    )
