"""What a model tells the step control: where the first step begins, and what bounds the others beside their error."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .errors import ConfigError
from .grid import Grid
from .integrators import OWN, SCHEMES, AdaptiveSteps, Carry, Controller, Integrator, Trial, recall, share
from .models import Amplification, EnergyModel, SourceResolution, SpectralSplit, energy_noise
from .models.parameters import telling
from .models.spectrum import Spectrum
from .specs import TimeSpec

#: Fluctuations, and rises of an energy, that are round-off, in units of the precision's epsilon.
_ROUNDOFF = 64.0
#: Share of the time to the end up to which a first step may be wrong about a field that starts from zero.
_BEGINNING = 1e-3
#: Share of the tolerance with sources in t where a scheme's error is that of a result which it improves upon: what oscillates
#: gains less from the order beyond than what creeps. Estimates of a scheme's own error are what they are.
_TIMED = 0.25


def adaptive_steps(
    time: TimeSpec,
    model: EnergyModel,
    grid: Grid,
    integrator: Integrator,
    split: SpectralSplit,
    samples: np.ndarray,
    energy_scale: float,
) -> AdaptiveSteps:
    """The steps of a model on a grid.

    Args:
        split: what the integrator integrates, with S of every component as it is now.
        samples: states of the fields, shape ``(components, n)``, for sources that depend on them.
        energy_scale: what round-off of the free energy is relative to.
    """
    spectrum = Spectrum(model)
    courses = list(model.courses.values())
    times = telling(courses, 0.0, time.end) if courses else [0.0]
    highest = np.max([spectrum.moved(t).bounds(grid)[1] for t in times], axis=0)
    epsilon = float(np.finfo(integrator.backend.dtype).eps)
    sources = SourceResolution.build(model, grid, samples, time.end)
    scheme = integrator.scheme
    improved = scheme.order >= scheme.error_order
    tolerance = time.tolerance * (_TIMED if improved and sources is not None else 1.0)
    dt = time.dt or first_step(model, spectrum, grid, split.stabilizers, time.end)
    controller = Controller(
        tolerance=tolerance,
        order=scheme.error_order - 1,
        groups=list(model.slices().values()),
        epsilon=epsilon,
        dt=dt,
        first=min(dt, _BEGINNING * time.end),
        dt_min=time.dt_min or 0.0,
        dt_max=time.dt_max or math.inf,
        stiffness=stiffness(model, spectrum, grid, split.stabilizers),
        bodies=model.bodies,
        share=share(scheme.order),
        recall=recall(tolerance if improved else tolerance / OWN, scheme.error_order - 1),
    )

    def noise(carry: Carry, trial: Trial, t_new: float) -> float:
        now, *later = (model.moving(t) for t in (carry.t, 0.5 * (carry.t + t_new), t_new))
        if any(other != now for other in later):
            return math.inf  # who changes a parameter does work
        sums = sum(abs(part) for part in carry.energies.values()) + energy_scale
        sizes = [math.hypot(*pair) for pair in zip(trial.mean, trial.fluctuation, strict=True)]
        return energy_noise(split.stabilizers, highest, grid.volume, sizes, sums, _ROUNDOFF * epsilon)

    growth = Amplification(model, grid, _ROUNDOFF * epsilon)
    return AdaptiveSteps(integrator, controller, time.end, noise if model.gradient_flow else None, growth, sources)


def check_noise(time: TimeSpec, model: EnergyModel) -> None:
    """Refuses steps that thermal noise cannot take, and a strength of it that is none on the way.

    Raises:
        ConfigError: there is one.
    """
    if not model.noisy:
        return
    name = next(f.name for f in model.order_parameters if f.values["noise"] != 0)
    if time.adaptive:
        raise ConfigError(
            "time.adaptive",
            f"is true, and model.fields.{name}.noise needs fixed steps: to take back steps by what chance brought would bias it",
            "set time.adaptive=false and time.dt=...",
        )
    if SCHEMES[time.scheme].spread is None:
        fit = [scheme for scheme, found in SCHEMES.items() if found.spread is not None]
        raise ConfigError(
            "time.scheme",
            f"is {time.scheme}, whose steps take no noise as model.fields.{name}.noise has it",
            f"choose one of {', '.join(fit)}",
        )
    strengths = [f.values["noise"] for f in model.order_parameters if not isinstance(f.values["noise"], float)]
    times = telling(strengths, 0.0, time.end) if strengths else []
    for term in model.terms:
        for t in times:
            term.scalars(t)


def first_step(model: EnergyModel, spectrum: Spectrum, grid: Grid, stabilizers: Sequence[float], end: float) -> float:
    """A step short against the fastest growth that the stabilisers allow for; the controller takes it from there."""
    fastest = stiffness(model, spectrum, grid, stabilizers)
    return min(0.02 / fastest, end) if fastest > 0 else end


def stiffness(model: EnergyModel, spectrum: Spectrum, grid: Grid, stabilizers: Sequence[float]) -> float:
    """The fastest rate of the waves of an interface's width, for which A = S, 1/time."""
    _, most = grid.wavenumbers
    return max(
        f.kinetics.operator(f.mobility * s, min(spectrum.reach(s, i) ** 2, most))
        for i, ((f, _), s) in enumerate(zip(model.components, stabilizers, strict=True))
    )
