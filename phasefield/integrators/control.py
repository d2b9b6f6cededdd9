"""Step-size control: a PI controller on the local error, with what makes a step unacceptable in one place."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

from .base import Trial


@dataclass
class Controller:
    """Chooses step sizes so that the local error per step stays at ``tolerance`` times the fluctuation of each field.

    The PI law follows Gustafsson, ACM Trans. Math. Softw. 17 (1991) 533. Growth is capped below the ratio up to which
    variable-step BDF2 is known to be stable for gradient flows (4.86: Liao, Ji, Wang and Zhang, J. Sci. Comput. 92 (2022) 52).

    Attributes:
        tolerance: relative local error per step.
        order: order of the error estimate in dt.
        dt: the next step to try. dt_min, dt_max: bounds on it.
        last: ratio of error to tolerance at the last accepted step (0 before the first).
        rejected: number of rejected steps so far.
    """

    tolerance: float
    order: int
    dt: float
    dt_min: float = 0.0
    dt_max: float = math.inf
    last: float = 0.0
    rejected: int = 0

    safety = 0.9
    growth = 2.0
    shrink = 0.2

    def ratio(self, trial: Trial, groups: dict[str, slice]) -> float:
        """Largest error relative to what is allowed, over all fields (NaN if the step is not finite)."""
        worst = 0.0
        for part in groups.values():
            error = math.sqrt(sum(e * e for e in trial.error[part]))
            scale = math.sqrt(sum(e * e for e in trial.scale[part]))
            ratio = error / (self.tolerance * scale) if scale > 0 else (math.inf if error > 0 else 0.0 * error)
            if not ratio <= worst:  # a NaN stays
                worst = ratio
        return worst

    def accepted(self, ratio: float, size: float) -> None:
        """Sets the next step after an accepted one."""
        ratio = max(ratio, 1e-8)
        factor = self.safety * ratio ** (-0.7 / self.order)
        if self.last > 0:
            factor *= self.last ** (0.4 / self.order)
        # A step cut short to land on an output time says nothing against the step that was proposed.
        proposal = size * min(max(factor, self.shrink), self.growth)
        self.dt = self._bound(max(proposal, self.dt) if size < 0.999 * self.dt and ratio <= 1 else proposal)
        self.last = ratio

    def refused(self, ratio: float, size: float) -> None:
        """Sets the next step after a rejected one (``ratio`` NaN or infinite: not finite or energy rose)."""
        factor = self.safety * ratio ** (-1 / self.order) if math.isfinite(ratio) and ratio > 1 else 0.25
        self.dt = self._bound(size * min(max(factor, self.shrink), 0.7))
        self.rejected += 1

    def _bound(self, size: float) -> float:
        return min(max(size, self.dt_min), self.dt_max)

    def state(self) -> dict[str, float]:
        """What a checkpoint keeps."""
        return {k: v for k, v in asdict(self).items() if k in ("dt", "last", "rejected")}
