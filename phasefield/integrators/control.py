"""Where the size of a step is chosen: how long one may be, and what makes it acceptable."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .state import Trial

#: What `Integrator.drift` finds.
Drift = Sequence[tuple[float, float]]
#: Of a field: error and change in a step, the size that round-off is taken of, and its own.
_Verdict = tuple[float, float, float, float]

#: Longest step against the time in which the fastest fluctuation grows by a factor of e. What noise grows into decides the path
#: of a coarsening: at 0.1 one of ten runs took another path late, at 0.07, for 8 % more steps of PFHub 1b to t = 100, none did.
_FOLLOWED = 0.07
#: What a fluctuation's growth by a factor of e may be off by. A scheme of order p gets about (dt rate)^p of it wrong, so that the
#: second order has to take shorter steps than paths ask for. (Where L is implicit it is two to four times that.)
_PER_FOLD = 1e-3
#: Steps between two looks at what waits in an unstable state, where that bounds them more than the growth of fluctuations by this
#: factor; and at most, once their number has doubled often enough. A look costs half a step; of small grids, one or two.
_WATCHED, _MORE, _WATCHED_FOR = 8, 1.05, 256
#: Growth of fluctuations by the values that a state really takes, against that by a Gaussian's of their mean and size, from which
#: on it counts instead; and by how much the latter may grow until it is looked at anew. Samples are small: what differs by less
#: may be chance.
_EASED, _STALE = 0.5, 1.5
#: What is left after a step of the drift of the rates before it.
_REMAINS = 0.9
#: Steps between two looks at the drift, each of which costs a fifth of one: while it is within a factor of `_NEAR` of bounding
#: them, and else. With 32 in the place of 16, fronts 9 apart had gone a twentieth of their time before the drift was seen.
_LOOK, _SELDOM, _NEAR = 8, 16, 2.0
#: Error, in units of what is allowed, that says that a step could be of any length.
_NOTHING = 1e-3
#: Share by which a field's size and its change in a step may differ where it was zero before.
_ALL = 1e-3
#: Rate of change, against that of fluctuations which all grow as the fastest, below which a state rests.
_RESTING = 1e-4


@dataclass
class Controller:
    """Chooses step sizes so that the local error of a step stays below ``tolerance`` times what the step changes.

    Small beside the change, not beside the field, means that rates have a relative error of about the tolerance however slow
    they are: an interface that creeps is as accurate as one that runs, as long as errors do not add up, which is looked after
    besides (``drifts``). What a step changes is taken at the largest rate of
    the last few steps, for a rate that passes through zero is not to be resolved there, but at no more than what there is of
    the field, and not below round-off.

    The PI law follows Gustafsson, ACM Trans. Math. Softw. 17 (1991) 533. Growth is capped below the ratio up to which
    variable-step BDF2 is known to be stable for gradient flows (4.86: Liao, Ji, Wang and Zhang, J. Sci. Comput. 92 (2022) 52).

    Attributes:
        tolerance: local error of a step relative to the change it makes.
        order: order of that ratio in dt, one less than the order of the error estimate.
        groups: the components of every field, which are judged together.
        epsilon: unit round-off of the state.
        share: longest step against the time in which the fastest fluctuation grows by a factor of e, see `share`.
        dt: the next step to try. dt_min, dt_max: bounds on it.
        last: ratio of error to tolerance at the last accepted step (0 before the first).
        rejected: number of rejected steps so far.
        rates: rate of change of every field (root mean square) and supply over the last steps, decaying. spans: the step that
            each was found at.
        peaks: largest root mean square of every field so far; before the first step, what one step of what is to come changes.
        longest: the longest step accepted so far. first: a step that is short for what starts from 0, too.
        limit: bound on the step from the growth of fluctuations, for states like that of ``seen``: means and fluctuations.
        eased: the growth rate that ``limit`` was last checked at, and the share of it that the values of the state leave.
        ahead: likewise from that of what lies in an unstable state, for a front to invade.
        resting: whether the state does not change as it would if it grew like that: phases in equilibrium are no fluctuations.
        stiffness: of the stabilised modes, 1/time.
        bodies: fields that act on each other, by their numbers in ``groups``; none for every field by itself.
        recall: steps for which a rate is remembered, see `recall`.
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
    share: float = _FOLLOWED
    last: float = 0.0
    rejected: int = 0
    rates: list[float] = field(default_factory=list)
    spans: list[float] = field(default_factory=list)
    peaks: list[float] = field(default_factory=list)
    longest: float = 0.0
    first: float = 0.0
    limit: float = math.inf
    eased: tuple[float, float] = (0.0, 1.0)
    ahead: float = math.inf
    resting: bool = False
    seen: list[float] = field(default_factory=list)
    stiffness: float = 0.0
    bodies: Sequence[Sequence[int]] = ()
    recall: float = 1.0
    drifts: list[tuple[float, float, float]] = field(default_factory=list)
    holds: float = math.inf
    unseen: int = _SELDOM

    def __post_init__(self) -> None:
        self.first = self.first or self.dt

    #: The trial that was judged last, and the verdict.
    _verdict: tuple[Trial | None, list[_Verdict]] = field(default=(None, []), init=False, repr=False)

    @property
    def fresh(self) -> bool:
        """Whether no step has been accepted yet."""
        return not self.rates

    def foresee(self, trial: Trial) -> None:
        """Takes what a step would change at a later time, when sources are at their largest.

        A field that they lift out of nothing is followed from the round-off of that on: a Gaussian's rise from its tail passes
        through hundreds of powers of ten, which all would be resolved alike.
        """
        found = [math.hypot(*trial.change[part]) for part in self.groups]
        peaks = self.peaks or [0.0] * len(found)
        self.peaks = [max(old, new) if math.isfinite(new) else old for old, new in zip(peaks, found, strict=True)]

    #: What the ratio of error to tolerance settles at.
    aim = 0.57
    growth = 2.0
    shrink = 0.2
    #: What is left of a past rate after ``recall`` steps as long as that which it was found at; more after shorter ones, or steps
    #: that shrink before a rate that passes through zero would forget what it had been and resolve the zero.
    memory = 0.7
    #: Round-off of a step, in units of the state's: transforms, sums of terms that cancel.
    noise = 64.0

    def ratio(self, trial: Trial, size: float) -> float:
        """Largest error relative to what is allowed, over all fields and supplies (NaN if the step is not finite)."""
        worst = 0.0
        judged = self._judged(trial)
        past = self.rates or [0.0] * len(judged)
        for (error, change, state, own), rate, left in zip(judged, past, self._left(size) or past, strict=True):
            allowed = self.tolerance * max(change, min(left * rate * size, own)) + self._floor(state, size)
            ratio = error / allowed if allowed > 0 else (math.inf if error > 0 else 0.0 * error)
            if rate == 0 and abs(own - change) <= _ALL * change and size <= self.first:
                # A field leaves zero as a power of time: what a step gets wrong is part of what it does, however short it is.
                ratio = min(ratio, 1.0) if math.isfinite(error) else ratio
            if not ratio <= worst:  # a NaN stays
                worst = ratio
        return worst

    def _left(self, size: float) -> list[float]:
        """What is left of every past rate after a step of this size."""
        spans = self.spans or [size] * len(self.rates)  # checkpoints of earlier versions know none
        return [self.memory ** (min(1.0, size / span) / self.recall) for span in spans]

    def _floor(self, state: float, step: float) -> float:
        """Round-off of a step of what has this size; where modes are stiff, that of N remains for many."""
        return (self.noise + self.stiffness * step) * self.epsilon * state

    def _judged(self, trial: Trial) -> list[_Verdict]:
        """What is said of all that is judged by itself: fields, and amounts that sources supply."""
        if self._verdict[0] is trial:  # it is asked for before and after a step is accepted
            return self._verdict[1]
        found = []
        for part, peak in zip(self.groups, self.peaks or [0.0] * len(self.groups), strict=True):
            # Of a field that dies away what is below the round-off of its past is nothing to follow.
            own = math.hypot(*trial.mean[part], *trial.fluctuation[part])
            found.append((math.hypot(*trial.error[part]), math.hypot(*trial.change[part]), max(own, peak), own))
        if trial.supply:
            state, own = (max(sizes) for sizes in list(zip(*found, strict=True))[2:])
            found += [(error, change, state, own) for error, change in trial.supply]
        self._verdict = trial, found
        return found

    def accepted(self, trial: Trial, ratio: float, size: float, drift: Drift | None = None) -> None:
        """Sets the next step after an accepted one, of which ``drift`` may tell what it has lastingly wrong."""
        judged = self._judged(trial)
        self.peaks = [state for *_, state, _ in judged[: len(self.groups)]]
        rates = [change / size for _, change, *_ in judged]
        old = [left * rate for left, rate in zip(self._left(size), self.rates, strict=True)] or [0.0] * len(rates)
        # Where errors are nothing, steps double and few of them pass in a long time: what died away in it is not remembered.
        old = [
            rate if error > _NOTHING * self.tolerance * max(change, rate * size) else 0.0
            for (error, change, *_), rate in zip(judged, old, strict=True)
        ]
        kept = self.spans or [size] * len(rates)
        self.spans = [size if now >= past else span for now, past, span in zip(rates, old, kept, strict=True)]
        self.rates = [max(now, past) for now, past in zip(rates, old, strict=True)]
        self.longest = max(self.longest, size)
        fluctuations = [math.hypot(*trial.fluctuation[part]) for part in self.groups]
        self.resting = all(
            rate * min(self.limit, self.ahead) < self.share * _RESTING * fluctuation
            or fluctuation < self._floor(state, size)
            for rate, fluctuation, (*_, state, _) in zip(self.rates, fluctuations, judged, strict=False)
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

    def _follow(self, drift: Drift, judged: Sequence[_Verdict], size: float) -> None:
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
                error / self._floor(state, size) if state > 0 else 0.0
                for error, _, state, _ in (judged[i] for i in body)
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
        factor = (self.aim / ratio) ** (1 / self.order) if math.isfinite(ratio) else 0.25
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

    def survey(self, trial: Trial, rate: float) -> None:
        """Takes the growth rate of fluctuations like those of a step that was accepted."""
        self.seen = [*trial.mean, *trial.fluctuation]
        self.limit = self.followed(rate * self._eased(rate))
        self.dt = self._bound(self.dt)

    def _eased(self, rate: float) -> float:
        checked, share = self.eased
        return share if rate < _STALE * checked else 1.0

    def ease(self, rate: float, measured: float) -> None:
        """Takes the growth rate that the values of a state give, beside that of fluctuations like its own."""
        self.eased = rate, (measured / rate if measured < _EASED * rate else 1.0)
        self.limit = self.followed(rate * self.eased[1])

    def watching(self, step: int) -> bool:
        """Whether to look for what waits in an unstable state, after the step of this number."""
        if step % _WATCHED:
            return step == 1
        return self.limit > _MORE * self.ahead or step & (step - 1) == 0 or step % _WATCHED_FOR == 0

    def followed(self, rate: float) -> float:
        """The longest step that follows what grows at this rate."""
        return self.share / rate if rate > 0 else math.inf

    def watch(self, rate: float) -> None:
        """Takes the growth rate of what lies in an unstable state."""
        self.ahead = self.followed(rate)
        self.dt = self._bound(self.dt)

    #: What a checkpoint keeps.
    STATE = (
        "dt",
        "last",
        "rejected",
        "rates",
        "spans",
        "peaks",
        "longest",
        "first",
        "limit",
        "eased",
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


def recall(tolerance: float, order: int) -> float:
    """How many steps a past rate is remembered for: a sixth of those in which a rate may change by all of itself.

    Args:
        tolerance: of the error of a step that an estimate stands for.
    """
    return max(1.0, (Controller.aim * tolerance) ** (-1 / order) / 6)


def _mean(past: float, now: float, left: float) -> float:
    """A mean in which the share ``left`` of the past remains."""
    return left * past + (1 - left) * now


def share(order: int) -> float:
    """The longest step of a scheme of this order against the time in which the fastest fluctuation grows by a factor of e."""
    return min(_FOLLOWED, _PER_FOLD ** (1 / order))
