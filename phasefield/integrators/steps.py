"""Who takes the steps of a run: equal ones, or those that a controller proposes, judged, dropped or accepted, and landed."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from ..schedule import Beat
from .control import Controller
from .integrator import Integrator
from .state import Carry, Trial

log = logging.getLogger("phasefield")

#: Share of the last step below which a step belongs to something that has just begun, where sources may do so.
_ABRUPT = 0.1
#: Units in the last place by which times may differ that are one and the same.
_SAME = 8
#: Steps over which the progress of a run is judged; steps left at which it is said that few will wait for the end, at which
#: the run gives up; how far below its longest step a step has collapsed.
_JUDGED, _LONG, _ENDLESS, _COLLAPSED = 1000, 1e7, 1e9, 1e-7


class NoWay(Exception):
    """No step leads on, or none to the end: why, and what to do."""

    def __init__(self, reason: str, hint: str) -> None:
        super().__init__(reason)
        self.reason, self.hint = reason, hint


class Growth(Protocol):
    """How fast the fastest fluctuation of a state grows, 1/time, 0 for none; means and fluctuations as in `Trial`.

    Attributes:
        picks: places in a buffer of cells that `waiting` looks at.
    """

    @property
    def picks(self) -> Sequence[tuple[slice, ...]]: ...

    @property
    def moving(self) -> bool:
        """Whether the rate of one and the same state depends on time."""

    def rate(self, mean: Sequence[float], fluctuation: Sequence[float], t: float) -> float:
        """About the mean of a state, at time ``t``."""

    def use(self, mobilities: Sequence[float]) -> None:
        """Takes other mobilities of the components."""

    def measured(self, sample: Sequence[np.ndarray], fluctuation: Sequence[float], t: float) -> float:
        """About the values at ``picks`` instead."""

    def waiting(self, sample: Sequence[np.ndarray], fluctuation: Sequence[float], t: float) -> float:
        """In what lies in an unstable state, from the values at ``picks``."""


class Events(Protocol):
    """What happens at times of its own, which error estimates do not see coming; see `phasefield.models.SourceResolution`."""

    note: str

    def limit(self, t: float, size: float) -> float:
        """The largest step from ``t``, not above ``size``, that jumps over nothing."""

    def switch(self, t: float) -> float | None:
        """If the right-hand side jumps at ``t``: the first number from which on the new branch holds."""

    def summits(self) -> Sequence[float]:
        """Times at which what happens is at its largest, as far as it has been looked at."""

    def state(self) -> dict[str, Any]: ...

    def restore(self, state: Mapping[str, Any]) -> None: ...


class Steps(Protocol):
    """Takes the steps of a run."""

    @property
    def rejected(self) -> int:
        """Number of steps that were tried in vain."""

    def advance(self, carry: Carry, target: float) -> None:
        """One accepted step.

        Raises:
            NoWay: there is none.
        """

    def reached(self, carry: Carry) -> float:
        """Time up to which the state has come: what is due by then is due now."""

    def shorten(self) -> None:
        """What was known of step sizes belongs to another splitting."""

    def use(self, mobilities: Sequence[float]) -> None:
        """Takes other mobilities of the components, which fluctuations grow by."""


class FixedSteps:
    """Equal steps, every one taken whole: what falls between two of them waits for the second.

    Attributes:
        beat: when they are.
    """

    rejected = 0

    def __init__(self, integrator: Integrator, beat: Beat) -> None:
        self._integrator, self.beat = integrator, beat

    def advance(self, carry: Carry, target: float) -> None:
        """A step, to ``target`` if that is where it ends but for round-off."""
        t_new = self.beat.time(carry.step + 1)
        self._integrator.step(carry, self.beat.dt, target if abs(t_new - target) <= self.beat.slack else t_new)

    def reached(self, carry: Carry) -> float:
        return carry.t + self.beat.slack

    def shorten(self) -> None:
        pass

    def use(self, mobilities: Sequence[float]) -> None:
        pass


class AdaptiveSteps:
    """Takes the steps of an integrator by the error of their rates, and by all else that bounds them.

    Args:
        controller: proposes sizes. end: of the run.
        noise: the rise of the energy in a step to a time that round-off explains; None where the energy may rise.
        growth, events: what bounds steps besides; None for nothing.
    """

    def __init__(
        self,
        integrator: Integrator,
        controller: Controller,
        end: float,
        noise: Callable[[Carry, Trial, float], float] | None = None,
        growth: Growth | None = None,
        events: Events | None = None,
    ) -> None:
        self._integrator, self.controller, self._end = integrator, controller, end
        self._noise, self._growth, self._events = noise, growth, events
        self._refusal, self._told = "", set[str]()
        self._milestone: tuple[int, float, float] | None = None

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            "controller": self.controller.state(),
            "sources": {} if self._events is None else self._events.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on as the run that made a checkpoint."""
        self.controller.restore(state["controller"])
        if self._events is not None:
            self._events.restore(state["sources"])

    @property
    def rejected(self) -> int:
        return self.controller.rejected

    def reached(self, carry: Carry) -> float:
        # Times that are the same but for round-off, such as 0.3 and 3 times 0.1, must not leave a step of it between them.
        return carry.t + _SAME * math.ulp(carry.t)

    def shorten(self) -> None:
        self.controller.dt, self.controller.last = max(0.05 * self.controller.dt, self.controller.dt_min), 0.0
        self.controller.drifts, self.controller.holds = [], math.inf

    def use(self, mobilities: Sequence[float]) -> None:
        if self._growth is not None:
            self._growth.use(mobilities)

    def advance(self, carry: Carry, target: float) -> None:
        """One accepted step, not beyond ``target``, which is met exactly.

        Raises:
            NoWay: no acceptable step exists, or steps would not come to the end.
            ValueError: the target is not ahead.
        """
        if not target > carry.t:
            raise ValueError(f"a step to t = {target:g} is none: the state is at t = {carry.t:g} already")
        controller, integrator = self.controller, self._integrator
        floor = max(controller.dt_min, 1e-14 * max(target, 1e-300), 1e-15 * self._end)
        for _ in range(200):
            if self._events is not None:
                controller.dt = self._events.limit(carry.t, controller.dt)
                if controller.fresh:
                    self._foresee(carry)
                self._tell("sources", self._events.note)
            size, t_new = landing(carry.t, controller.dt, target)
            if self._events is not None and size < _ABRUPT * carry.dt_old:
                carry.sizes = []  # what comes is nothing that the past could tell, nor the estimates that rest on it
            trial = integrator.attempt(carry, size, t_new)
            ratio = controller.ratio(trial, size)
            forced = size <= floor * 1.001 and controller.dt_min > 0
            if ratio <= 1 or (forced and math.isfinite(ratio)):
                why = self._objection(carry, trial, t_new)
                if not why:
                    drift = integrator.drift(carry, size, t_new) if controller.due else None
                    controller.accepted(trial, ratio, size, drift)
                    integrator.accept(carry, trial, size, t_new)
                    self._after(carry, trial)
                    return
                ratio = math.inf
            elif not math.isfinite(ratio):
                why = "the step is not finite"
            else:
                why = "the local error stays above the tolerance"
            self._refusal = why
            if size <= floor:
                break
            controller.refused(ratio, size)
        raise NoWay(
            f"{self._refusal}, even with dt = {size:.3g}",
            "check the initial values and the energy's domain, or loosen time.tolerance",
        )

    def _foresee(self, carry: Carry) -> None:
        """Looks at the steps that would be taken from here if it were the time when sources are at their largest."""
        assert self._events is not None
        now, size = carry.t, self.controller.dt
        for t in self._events.summits():
            carry.t = t
            try:
                self.controller.foresee(self._integrator.attempt(carry, size, t + size))
            finally:
                carry.t = now

    def _objection(self, carry: Carry, trial: Trial, t_new: float) -> str:
        """Why a completed step is no good, or nothing."""
        if trial.energies and not math.isfinite(trial.energy):
            return "the free energy is not finite"
        rise = trial.energy - carry.energy
        if self._noise is not None and rise > trial.inexact and rise > self._noise(carry, trial, t_new) + trial.inexact:
            return "the free energy rises"
        return ""

    def _after(self, carry: Carry, trial: Trial) -> None:
        """What an accepted step means for the next ones."""
        controller, growth = self.controller, self._growth
        # The growth of fluctuations bounds them: an error there is small beside that of the pattern which grows from it.
        if growth is not None and (growth.moving or controller.changed(trial)):
            controller.survey(trial, growth.rate(trial.mean, trial.fluctuation, carry.t))
        if growth is not None and controller.watching(carry.step):
            sample = self._integrator.sample(carry, growth.picks)
            rate = 0.0 if growth.moving else growth.rate(trial.mean, trial.fluctuation, carry.t)
            if rate > 0:
                controller.ease(rate, growth.measured(sample, trial.fluctuation, carry.t))
            controller.watch(growth.waiting(sample, trial.fluctuation, carry.t))
        self._judge(carry)
        if self._events is not None and (now := self._events.switch(carry.t)) is not None:
            self._integrator.restart(carry, max(now, carry.t))

    def _judge(self, carry: Carry) -> None:
        """Tells of steps that have collapsed, and ends a run that would not."""
        size = self.controller.dt
        if self._milestone is None:
            self._milestone = carry.step, carry.t, size
        step, time, before = self._milestone
        if carry.step - step < _JUDGED:
            return
        self._milestone = carry.step, carry.t, size
        left = (self._end - carry.t) / (carry.t - time) * (carry.step - step) if carry.t > time else math.inf
        if (
            size > 1.5 * before or left < _LONG or size >= self.controller.dt_max
        ):  # what was asked for has not collapsed
            return
        why = (
            f"the last one refused: {self._refusal}" if self._refusal else "none was refused for anything but its error"
        )
        reason = f"at steps of {size:.3g} ({why}) there are some {left:.2g} left to time.end = {self._end:.6g}"
        hint = "check the energy's domain, the resolution and the sources, or loosen time.tolerance"
        if left > _ENDLESS or size < _COLLAPSED * self.controller.longest:
            raise NoWay(reason, hint)
        self._tell("steps", f"{reason}; {hint}")

    def _tell(self, subject: str, text: str) -> None:
        """A warning, once for every subject."""
        if text and subject not in self._told:
            self._told.add(subject)
            log.warning("%s", text)


def landing(t: float, proposal: float, target: float) -> tuple[float, float]:
    """Step and end time: the last steps before a target are evened out instead of leaving a sliver."""
    rest = target - t
    if proposal >= rest * (1 - 1e-9):
        return rest, target
    if proposal > 0.5 * rest:
        return 0.5 * rest, t + 0.5 * rest
    return proposal, t + proposal
