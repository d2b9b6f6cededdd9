"""Step-size control: a PI controller on the error of the rates, with what makes a step unacceptable in one place."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .base import Trial


@dataclass
class Controller:
    """Chooses step sizes so that the local error of a step stays below ``tolerance`` times what the step changes.

    Small beside the change, not beside the field, means that rates have a relative error of about the tolerance however slow
    they are: an interface that creeps is as accurate as one that runs. What a step changes is taken at the largest rate of
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
        longest: the longest step accepted so far.
        limit: bound on the step from the growth of fluctuations, for states like that of ``seen``: means and fluctuations.
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
    limit: float = math.inf
    seen: list[float] = field(default_factory=list)

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
            allowed = self.tolerance * max(change, self.memory * rate * size) + self.noise * self.epsilon * state
            ratio = error / allowed if allowed > 0 else (math.inf if error > 0 else 0.0 * error)
            if not ratio <= worst:  # a NaN stays
                worst = ratio
        return worst

    def _judged(self, trial: Trial) -> list[tuple[float, float, float]]:
        """Error, change and size of all that is judged by itself: fields, and amounts that sources supply."""
        found = []
        for part, peak in zip(self.groups, self.peaks or [0.0] * len(self.groups), strict=True):
            # Of a field that dies away what is below the round-off of its past is nothing to follow.
            state = max(math.hypot(*trial.mean[part], *trial.fluctuation[part]), peak)
            found.append((math.hypot(*trial.error[part]), math.hypot(*trial.change[part]), state))
        size = max((state for *_, state in found), default=0.0)
        return found + [(error, change, size) for error, change in trial.supply]

    def accepted(self, trial: Trial, ratio: float, size: float) -> None:
        """Sets the next step after an accepted one."""
        judged = self._judged(trial)
        self.peaks = [state for *_, state in judged[: len(self.groups)]]
        rates = [change / size for _, change, _ in judged]
        self.rates = [max(r, self.memory * old) for r, old in zip(rates, self.rates or rates, strict=True)]
        self.longest = max(self.longest, size)
        ratio = max(ratio, 1e-8)
        factor = (self.aim / ratio) ** (0.7 / self.order)
        if self.last > 0:
            factor *= (self.last / self.aim) ** (0.4 / self.order)
        # A step cut short to land on an output time says nothing against the step that was proposed.
        proposal = size * min(max(factor, self.shrink), self.growth)
        self.dt = self._bound(max(proposal, self.dt) if size < 0.999 * self.dt and ratio <= 1 else proposal)
        self.last = ratio

    def refused(self, ratio: float, size: float) -> None:
        """Sets the next step after a rejected one (``ratio`` NaN or infinite: not finite or energy rose)."""
        factor = (self.aim / ratio) ** (1 / self.order) if math.isfinite(ratio) and ratio > 1 else 0.25
        self.dt = self._bound(size * min(max(factor, self.shrink), 0.7))
        self.rejected += 1

    def _bound(self, size: float) -> float:
        return max(self.dt_min, min(size, self.dt_max, self.limit))

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

    #: What a checkpoint keeps.
    STATE = ("dt", "last", "rejected", "rates", "peaks", "longest", "limit", "seen")

    def state(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.STATE}

    def restore(self, state: Mapping[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)
