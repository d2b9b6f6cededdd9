"""Where steps are chosen, accepted and landed: how long one may be, what makes it acceptable, and where it has to end."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from ..schedule import Beat
from .integrator import Integrator
from .state import Carry, Trial

#: What `Integrator.drift` finds.
Drift = Sequence[tuple[float, float]]

log = logging.getLogger("phasefield")

#: Longest step against the time in which the fastest fluctuation grows by a factor of e. What noise grows into decides the path
#: of a coarsening: at 0.1 one of ten runs took another path late, at 0.07, for 8 % more steps of PFHub 1b to t = 100, none did.
_FOLLOWED = 0.07
#: Steps between two looks at what waits in an unstable state, where that bounds them more than the growth of fluctuations by this
#: factor; and at most, once their number has doubled often enough. A look costs half a step; of small grids, one or two.
_WATCHED, _MORE, _WATCHED_FOR = 8, 1.05, 256
#: What is left after a step of the drift of the rates before it.
_REMAINS = 0.9
#: Steps between two looks at the drift, each of which costs a fifth of one: while it is within a factor of `_NEAR` of bounding
#: them, and else. With 32 in the place of 16, fronts 9 apart had gone a twentieth of their time before the drift was seen.
_LOOK, _SELDOM, _NEAR = 8, 16, 2.0
#: Share of the last step below which a step belongs to something that has just begun, where sources may do so.
_ABRUPT = 0.1
#: Share by which a field's size and its change in a step may differ where it was zero before.
_ALL = 1e-3
#: Rate of change, against that of fluctuations which all grow as the fastest, below which a state rests.
_RESTING = 1e-4
#: Steps over which the progress of a run is judged; steps left at which it is said that few will wait for the end, at which
#: the run gives up; how far below its longest step a step has collapsed.
_JUDGED, _LONG, _ENDLESS, _COLLAPSED = 1000, 1e7, 1e9, 1e-7


@dataclass
class Controller:
    """Chooses step sizes so that the local error of a step stays below ``tolerance`` times what the step changes.

    Small beside the change, not beside the field, means that rates have a relative error of about the tolerance however slow
    they are: an interface that creeps is as accurate as one that runs, as long as errors do not add up, which is looked after
    besides (``drifts``). What a step changes is taken at the largest rate of
    the last few steps, for a rate that passes through zero is not to be resolved there, and not below round-off.

    The PI law follows Gustafsson, ACM Trans. Math. Softw. 17 (1991) 533. Growth is capped below the ratio up to which
    variable-step BDF2 is known to be stable for gradient flows (4.86: Liao, Ji, Wang and Zhang, J. Sci. Comput. 92 (2022) 52).

    Attributes:
        tolerance: local error of a step relative to the change it makes.
        order: order of that ratio in dt, one less than the order of the error estimate.
        groups: the components of every field, which are judged together.
        epsilon: unit round-off of the state.
        dt: the next step to try. dt_min, dt_max: bounds on it.
        last: ratio of error to tolerance at the last accepted step (0 before the first).
        rejected: number of rejected steps so far.
        rates: rate of change of every field (root mean square) and supply over the last steps, decaying.
        peaks: largest root mean square of every field so far.
        longest: the longest step accepted so far. first: the first one tried, short also for what starts from 0.
        limit: bound on the step from the growth of fluctuations, for states like that of ``seen``: means and fluctuations.
        ahead: likewise from that of what lies in an unstable state, for a front to invade.
        resting: whether the state does not change as it would if it grew like that: phases in equilibrium are no fluctuations.
        stiffness: of the stabilised modes, 1/time.
        bodies: fields that act on each other, by their numbers in ``groups``; none for every field by itself.
        drifts: of every body, what its rate is lastingly off by, relative to it, and the power of the step that this belongs to,
            as means over the last steps; and its rate, decaying. holds: the bound on the step that follows.
        unseen: steps since the drift was looked at.
    """

    tolerance: float
    order: int
    groups: Sequence[slice]
    epsilon: float
    dt: float
    dt_min: float = 0.0
    dt_max: float = math.inf
    last: float = 0.0
    rejected: int = 0
    rates: list[float] = field(default_factory=list)
    peaks: list[float] = field(default_factory=list)
    longest: float = 0.0
    first: float = 0.0
    limit: float = math.inf
    ahead: float = math.inf
    resting: bool = False
    seen: list[float] = field(default_factory=list)
    stiffness: float = 0.0
    bodies: Sequence[Sequence[int]] = ()
    drifts: list[tuple[float, float, float]] = field(default_factory=list)
    holds: float = math.inf
    unseen: int = _SELDOM

    def __post_init__(self) -> None:
        self.first = self.first or self.dt

    #: The trial that was judged last, and the verdict.
    _verdict: tuple[Trial | None, list[tuple[float, float, float]]] = field(default=(None, []), init=False, repr=False)

    #: What the ratio of error to tolerance settles at.
    aim = 0.57
    growth = 2.0
    shrink = 0.2
    #: What is left of a past rate after a step.
    memory = 0.7
    #: Round-off of a step, in units of the state's: transforms, sums of terms that cancel.
    noise = 64.0

    def ratio(self, trial: Trial, size: float) -> float:
        """Largest error relative to what is allowed, over all fields and supplies (NaN if the step is not finite)."""
        worst = 0.0
        judged = self._judged(trial)
        for (error, change, state), rate in zip(judged, self.rates or [0.0] * len(judged), strict=True):
            allowed = self.tolerance * max(change, self.memory * rate * size) + self._floor(state, size)
            ratio = error / allowed if allowed > 0 else (math.inf if error > 0 else 0.0 * error)
            if rate == 0 and abs(state - change) <= _ALL * change and size <= self.first:
                # A field leaves zero as a power of time: what a step gets wrong is part of what it does, however short it is.
                ratio = min(ratio, 1.0) if math.isfinite(error) else ratio
            if not ratio <= worst:  # a NaN stays
                worst = ratio
        return worst

    def _floor(self, state: float, step: float) -> float:
        """Round-off of a step of what has this size; where modes are stiff, that of N remains for many."""
        return (self.noise + self.stiffness * step) * self.epsilon * state

    def _judged(self, trial: Trial) -> list[tuple[float, float, float]]:
        """Error, change and size of all that is judged by itself: fields, and amounts that sources supply."""
        if self._verdict[0] is trial:  # it is asked for before and after a step is accepted
            return self._verdict[1]
        found = []
        for part, peak in zip(self.groups, self.peaks or [0.0] * len(self.groups), strict=True):
            # Of a field that dies away what is below the round-off of its past is nothing to follow.
            state = max(math.hypot(*trial.mean[part], *trial.fluctuation[part]), peak)
            found.append((math.hypot(*trial.error[part]), math.hypot(*trial.change[part]), state))
        if trial.supply:
            size = max((state for *_, state in found), default=0.0)
            found += [(error, change, size) for error, change in trial.supply]
        self._verdict = trial, found
        return found

    def accepted(self, trial: Trial, ratio: float, size: float, drift: Drift | None = None) -> None:
        """Sets the next step after an accepted one, of which ``drift`` may tell what it has lastingly wrong."""
        judged = self._judged(trial)
        self.peaks = [state for *_, state in judged[: len(self.groups)]]
        rates = [change / size for _, change, _ in judged]
        self.rates = [max(r, self.memory * old) for r, old in zip(rates, self.rates or rates, strict=True)]
        self.longest = max(self.longest, size)
        fluctuations = [math.hypot(*trial.fluctuation[part]) for part in self.groups]
        self.resting = all(
            rate * min(self.limit, self.ahead) < _FOLLOWED * _RESTING * fluctuation
            or fluctuation < self._floor(state, size)
            for rate, fluctuation, (_, _, state) in zip(self.rates, fluctuations, judged, strict=False)
        )
        ratio = max(ratio, 1e-8)
        factor = (self.aim / ratio) ** (0.7 / self.order)
        if self.last > 0:
            factor *= (self.last / self.aim) ** (0.4 / self.order)
        self.unseen += 1
        if drift is not None:
            self._follow(drift, judged, size)
        # A step cut short to land on an output time says nothing against the step that was proposed.
        proposal = size * min(max(factor, self.shrink), self.growth)
        self.dt = self._bound(max(proposal, self.dt) if size < 0.999 * self.dt and ratio <= 1 else proposal)
        self.last = ratio

    @property
    def due(self) -> bool:
        """Whether the drift of the next step is to be looked at."""
        return self.unseen >= (_LOOK if self.holds < _NEAR * self.dt else _SELDOM) - 1

    def _follow(self, drift: Drift, judged: Sequence[tuple[float, float, float]], size: float) -> None:
        """Bounds the next steps by what is lastingly wrong with the rates.

        An error that is small beside the change of one step adds up along it where stiff modes creep, since an extrapolated N
        remembers (see `Scheme.drift`). What counts is the mean over some steps: what changes sign on the way does not add up.
        It is not a matter of the step at hand, so none is refused for it.
        """
        left = _REMAINS**self.unseen
        power = self.order + 1  # in stiff modes; one less elsewhere, which errs on the safe side
        bodies = self.bodies or [[i] for i in range(len(self.groups))]
        found = []
        for body, (past, steps, rate) in zip(bodies, self.drifts or [(0.0, 0.0, 0.0)] * len(bodies), strict=True):
            along, motion = (sum(v) for v in zip(*(pair for i in body for pair in drift[self.groups[i]]), strict=True))
            moved = math.sqrt(motion)
            fastest = max(moved / size, self.memory * rate)
            relative = along / (moved * fastest * size) if moved > 0 else 0.0
            # Round-off adds up as errors do: what an error is beside it, the drift may be beside the tolerance.
            above = max(
                error / self._floor(state, size) if state > 0 else 0.0 for error, _, state in (judged[i] for i in body)
            )
            most = self.tolerance * above
            relative = relative * most / (abs(relative) + most) if most > 0 else 0.0
            found.append((_mean(past, relative, left), _mean(steps, size**power, left), fastest))
        self.drifts, self.unseen = found, 0
        allowed = self.aim * self.tolerance
        self.holds = min(
            ((allowed * steps / abs(lasting)) ** (1 / power) for lasting, steps, _ in found if lasting),
            default=math.inf,
        )

    def refused(self, ratio: float, size: float) -> None:
        """Sets the next step after a rejected one (``ratio`` NaN or infinite: not finite or energy rose)."""
        factor = (self.aim / ratio) ** (1 / self.order) if math.isfinite(ratio) and ratio > 1 else 0.25
        self.dt = self._bound(size * min(max(factor, self.shrink), 0.7))
        self.rejected += 1

    def _bound(self, size: float) -> float:
        limit = math.inf if self.resting else min(self.limit, self.ahead)
        return max(self.dt_min, min(size, self.dt_max, limit, self.holds))

    def changed(self, trial: Trial) -> bool:
        """Whether the state has changed enough since the last survey for ``limit`` to be another."""
        if not self.seen:
            return True
        now, count = [*trial.mean, *trial.fluctuation], len(trial.mean)
        size = max(map(math.hypot, self.seen[:count], self.seen[count:]))
        return any(abs(a - b) > 0.05 * max(abs(b), 0.05 * size) for a, b in zip(now, self.seen, strict=True))

    def survey(self, trial: Trial, limit: float) -> None:
        self.seen, self.limit = [*trial.mean, *trial.fluctuation], limit
        self.dt = self._bound(self.dt)

    def watching(self, step: int) -> bool:
        """Whether to look for what waits in an unstable state, after the step of this number."""
        if step % _WATCHED:
            return step == 1
        return self.limit > _MORE * self.ahead or step & (step - 1) == 0 or step % _WATCHED_FOR == 0

    def watch(self, limit: float) -> None:
        self.ahead = limit
        self.dt = self._bound(self.dt)

    #: What a checkpoint keeps.
    STATE = (
        "dt",
        "last",
        "rejected",
        "rates",
        "peaks",
        "longest",
        "first",
        "limit",
        "ahead",
        "resting",
        "seen",
        "drifts",
        "holds",
        "unseen",
        "stiffness",
    )

    def state(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.STATE}

    def restore(self, state: Mapping[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)


def _mean(past: float, now: float, left: float) -> float:
    """A mean in which the share ``left`` of the past remains."""
    return left * past + (1 - left) * now


def _followed(rate: float) -> float:
    """The longest step that follows what grows at this rate."""
    return _FOLLOWED / rate if rate > 0 else math.inf


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

    def waiting(self, sample: Sequence[np.ndarray], fluctuation: Sequence[float], t: float) -> float:
        """In what lies in an unstable state, from the values at ``picks``."""


class Events(Protocol):
    """What happens at times of its own, which error estimates do not see coming; see `phasefield.models.SourceResolution`."""

    note: str

    def limit(self, t: float, size: float) -> float:
        """The largest step from ``t``, not above ``size``, that jumps over nothing."""

    def switch(self, t: float) -> float | None:
        """If the right-hand side jumps at ``t``: the first number from which on the new branch holds."""

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
        return carry.t

    def shorten(self) -> None:
        self.controller.dt, self.controller.last = max(0.05 * self.controller.dt, self.controller.dt_min), 0.0
        self.controller.drifts, self.controller.holds = [], math.inf

    def advance(self, carry: Carry, target: float) -> None:
        """One accepted step, not beyond ``target``, which is met exactly.

        Raises:
            NoWay: no acceptable step exists, or steps would not come to the end.
        """
        controller, integrator = self.controller, self._integrator
        floor = max(controller.dt_min, 1e-14 * max(target, 1e-300), 1e-15 * self._end)
        for _ in range(200):
            if self._events is not None:
                controller.dt = self._events.limit(carry.t, controller.dt)
                self._tell("sources", self._events.note)
            size, t_new = landing(carry.t, controller.dt, target)
            if self._events is not None and size < _ABRUPT * carry.dt_old:
                carry.sizes = []  # what comes is nothing that the past could tell, nor the estimates that rest on it
            trial = integrator.attempt(carry, size, t_new)
            ratio = controller.ratio(trial, size)
            forced = size <= floor * 1.001 and controller.dt_min > 0
            if ratio <= 1.0 or (forced and math.isfinite(ratio)):
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

    def _objection(self, carry: Carry, trial: Trial, t_new: float) -> str:
        """Why a completed step is no good, or nothing."""
        if trial.energies and not math.isfinite(trial.energy):
            return "the free energy is not finite"
        rise = trial.energy - carry.energy
        if self._noise is not None and rise > 0 and rise > self._noise(carry, trial, t_new):
            return "the free energy rises"
        return ""

    def _after(self, carry: Carry, trial: Trial) -> None:
        """What an accepted step means for the next ones."""
        # The growth of fluctuations bounds them: an error there is small beside that of the pattern which grows from it.
        if self._growth is not None and (self._growth.moving or self.controller.changed(trial)):
            self.controller.survey(trial, _followed(self._growth.rate(trial.mean, trial.fluctuation, carry.t)))
        if self._growth is not None and self.controller.watching(carry.step):
            sample = self._integrator.sample(carry, self._growth.picks)
            self.controller.watch(_followed(self._growth.waiting(sample, trial.fluctuation, carry.t)))
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
