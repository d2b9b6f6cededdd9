"""Adaptive steps of a simulation: which are tried, what makes one acceptable, and when they lead nowhere."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .grid import Grid
from .integrators import Carry, Controller, Integrator, Trial
from .models import Amplification, EnergyModel, SourceResolution, energy_noise
from .specs import TimeSpec

log = logging.getLogger("phasefield")

#: Fluctuations that are round-off, in units of the precision's epsilon.
_ROUNDOFF = 64.0
#: Longest step against the time in which the fastest fluctuation grows by a factor of e. What noise grows into decides the path
#: of a coarsening: at 0.1 its error was most of the whole, at 0.07 for 8 % more steps in all it is a third.
_FOLLOWED = 0.07
#: Share of the tolerance with sources in t: what oscillates gains less from an order beyond the estimate's than what creeps.
_TIMED = 0.25
#: Steps over which the progress of a run is judged; steps left at which it is said that few will wait for the end, at which
#: the run gives up; how far below its longest step a step has collapsed.
_JUDGED, _LONG, _ENDLESS, _COLLAPSED = 1000, 1e7, 1e9, 1e-7


class NoWay(Exception):
    """No step leads on, or none to the end: why, and what to do."""

    def __init__(self, reason: str, hint: str) -> None:
        super().__init__(reason)
        self.reason, self.hint = reason, hint


class AdaptiveSteps:
    """Takes the steps of an integrator by the error of their rates, and by all else that bounds them.

    Args:
        time: the keys under ``time``. samples: states of the fields, shape ``(components, n)``, for sources that depend on them.
        energy_scale: what round-off of the free energy is relative to. first: size of the first step. epsilon: unit round-off.
    """

    def __init__(
        self,
        time: TimeSpec,
        model: EnergyModel,
        grid: Grid,
        integrator: Integrator,
        samples: np.ndarray,
        energy_scale: float,
        first: float,
        epsilon: float,
    ) -> None:
        self._model, self._grid, self._integrator = model, grid, integrator
        self._end, self._samples, self._energy_scale = time.end, samples, energy_scale
        self._epsilon = epsilon
        self._sources = SourceResolution.build(model, grid, samples, time.end)
        self._amplification = Amplification(model, grid, _ROUNDOFF * epsilon)
        self.controller = Controller(
            tolerance=time.tolerance * (1.0 if self._sources is None else _TIMED),
            order=integrator.scheme.error_order - 1,
            groups=list(model.slices().values()),
            epsilon=epsilon,
            dt=time.dt or first,
            dt_min=time.dt_min or 0.0,
            dt_max=time.dt_max or math.inf,
        )
        self._refusal, self._told = "", set[str]()
        self._milestone: tuple[int, float, float] | None = None

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            "controller": self.controller.state(),
            "sources": {} if self._sources is None else self._sources.state(),
            "energy_scale": self._energy_scale,
            "samples": self._samples.tolist(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on as the run that made a checkpoint."""
        self.controller.restore(state["controller"])
        if self._sources is not None:
            self._sources.restore(state["sources"])

    def advance(self, carry: Carry, target: float, stabilizers: Sequence[float]) -> None:
        """One accepted step, not beyond ``target``, which is met exactly.

        Raises:
            NoWay: no acceptable step exists, or steps would not come to the end.
        """
        controller, integrator = self.controller, self._integrator
        floor = max(controller.dt_min, 1e-14 * max(target, 1e-300), 1e-15 * self._end)
        for _ in range(200):
            if self._sources is not None:
                controller.dt = self._sources.limit(carry.t, controller.dt)
                self._tell("sources", self._sources.note)
            size, t_new = landing(carry.t, controller.dt, target)
            trial = integrator.attempt(carry, size, t_new)
            ratio = controller.ratio(trial, size)
            forced = size <= floor * 1.001 and controller.dt_min > 0
            if ratio <= 1.0 or (forced and math.isfinite(ratio)):
                why = self._objection(carry, trial, stabilizers)
                if not why:
                    controller.accepted(trial, ratio, size)
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

    def _objection(self, carry: Carry, trial: Trial, stabilizers: Sequence[float]) -> str:
        """Why a completed step is no good, or nothing."""
        if not math.isfinite(trial.energy):
            return "the free energy is not finite"
        if self._model.gradient_flow:
            sums = abs(carry.bulk) + abs(carry.gradient) + self._energy_scale
            sizes = [math.hypot(*pair) for pair in zip(trial.mean, trial.fluctuation, strict=True)]
            noise = energy_noise(self._model, self._grid, stabilizers, sizes, sums, _ROUNDOFF * self._epsilon)
            if trial.energy > carry.energy + noise:
                return "the free energy rises"
        return ""

    def _after(self, carry: Carry, trial: Trial) -> None:
        """What an accepted step means for the next ones."""
        # The growth of fluctuations bounds them: an error there is small beside that of the pattern which grows from it.
        if self.controller.changed(trial):
            rate = self._amplification.rate(trial.mean, trial.fluctuation)
            self.controller.survey(trial, _FOLLOWED / rate if rate > 0 else math.inf)
        self._judge(carry)
        if self._sources is not None and (now := self._sources.switch(carry.t)) is not None:
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
