"""What a model's energy says of a start before it is run: phases, stability, interfaces, the critical nucleus.

All of it is of the energy as configured and of the values that the run starts from. What has no meaning for a model is left out,
with the reason (`Theory.missing`): no number stands in its place.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ..grid import Grid
from .analysis import Array, Density
from .energy import EnergyModel
from .equations import Equation, equations
from .phases import Transition, transitions
from .spectrum import Spectrum

#: Energies that differ by less than this part of the barrier between them are equal.
_LEVEL = 1e-8
#: Part of the barrier up to which the potentials at the ends of a path may do work along it.
_REST = 1e-4
#: Points between two phases where the sign of the curvature is looked at.
_POINTS = 4001


@dataclass(frozen=True)
class Phases:
    """Two phases of a scalar field.

    Attributes:
        field: its name. low, high: its values in them. conserved: whether these share a tangent of f (binodal), or are wells.
        energies: f in both, energy density. level: whether both are in equilibrium with each other: a common tangent, or wells
            equally deep. potential: the slope of the common tangent, 0 between wells.
        unstable: intervals between them where f'' < 0 (spinodal), ends to round-off.
        mean: of the start. standing: of a homogeneous state of that mean: ``unstable``, ``metastable`` or ``stable``.
        fraction: of volume that takes the value ``high`` in equilibrium, by the lever rule; None if the mean is not between.
    """

    field: str
    low: float
    high: float
    conserved: bool
    energies: tuple[float, float]
    level: bool
    potential: float
    unstable: tuple[tuple[float, float], ...]
    mean: float
    standing: str
    fraction: float | None = None


@dataclass(frozen=True)
class Interface:
    """A flat interface between two phases.

    Attributes:
        start, end: component -> value in the phases on its two sides.
        energy: per area, energy density x length: exact for one scalar field; for several the integral along the straight path,
            of which the interface energy is the least, so that it is at most this. None where the phases are not in equilibrium.
        bound: whether ``energy`` is such an upper bound. driven: difference of f that moves it, energy density, levelled out
            in ``energy``; 0 in equilibrium.
        widths: component -> from 5 to 95 %, length. stretch: factor of energy and width in the direction of the largest kappa
            where kappa depends on the axis or the normal; both are those of the least kappa.
    """

    start: dict[str, float]
    end: dict[str, float]
    energy: float | None
    bound: bool
    driven: float
    widths: dict[str, float]
    stretch: float = 1.0


@dataclass(frozen=True)
class Nucleus:
    """The critical nucleus of a phase in a homogeneous metastable state, by the sharp-interface estimate R = (d - 1) sigma/|dF|.

    (Gibbs and Thomson.) Good where R is large beside the interface width: dF small beside the barrier.

    Attributes:
        matrix, phase: values around it and of what nucleates. driving: |dF|, energy density: of a nonconserved field the
            difference of f between the wells; of a conserved one f(matrix) + f'(matrix) (phase - matrix) - f(phase) with f' alike
            in both (the parallel tangent).
        radius: R, length.
    """

    matrix: float
    phase: float
    driving: float
    radius: float


@dataclass(frozen=True)
class Theory:
    """What is known of a model and a start before it runs.

    Attributes:
        equations: of motion. phases, interfaces, nucleus: see there. missing: subject -> why nothing is said of it.
    """

    equations: Sequence[Equation]
    phases: Sequence[Phases] = ()
    interfaces: Sequence[Interface] = ()
    nucleus: Nucleus | None = None
    missing: dict[str, str] = field(default_factory=dict)


def theory(model: EnergyModel, grid: Grid, sample: Array) -> Theory:
    """The theory of a model for initial values.

    Args:
        sample: cells of the initial values, extremes among them, shape ``(components, n)``; the last column is the mean.
    """
    found = Theory(equations(model))
    if not Spectrum(model).plain:
        why = "a nonlocal term of the energy decides about patterns, which f and kappa alone do not tell"
        return replace(found, missing=dict.fromkeys(("phases", "interfaces", "nucleus"), why))
    with np.errstate(all="ignore"):
        density = Density(model)
        met = transitions(model, density, sample)
        if len(model.components) > 1:
            return _several(replace(found, interfaces=[_interface(model, density, t) for t in met]))
        return _scalar(found, model, density, met, grid.dim, sample[0])


def _several(found: Theory) -> Theory:
    why = "they are found for one scalar field, and this model couples several components"
    found.missing.update({"phases": why, "spinodal": why, "nucleus": why.replace("they are", "it is")})
    if not found.interfaces:
        found.missing["interfaces"] = "no two wells of the energy were found that the start runs down to"
    return found


def _scalar(
    found: Theory, model: EnergyModel, density: Density, met: Sequence[Transition], dim: int, values: Array
) -> Theory:
    f, mean = model.order_parameters[0], float(values[-1])
    met = [t for t in met if not f.kinetics.conserved or _tangent(density, float(t.start[0]), float(t.end[0]))]
    if not met:
        found = replace(found, interfaces=())
        found.missing.update(_without(density, f.kinetics.conserved, f.kappa, values))
        return found
    found = replace(found, interfaces=[_interface(model, density, t) for t in met])
    phases = [_phases(model, density, float(t.start[0]), float(t.end[0]), mean) for t in met]
    found = replace(found, phases=phases)
    nucleus, why = _nucleus(density, phases, found.interfaces, dim, f.anisotropy is not None)
    if why:
        found.missing["nucleus"] = why
    return replace(found, nucleus=nucleus)


def _tangent(density: Density, a: float, b: float) -> bool:
    """Whether two phases share a tangent of f, to round-off of what stands between them."""
    f, mu, _ = density.second(np.linspace(a, b, _POINTS))
    level = 0.5 * float(mu[0] + mu[-1])
    height = float(np.max(f - f[0] - level * (np.linspace(a, b, _POINTS) - a)))
    apart = abs(float(mu[-1] - mu[0]) * (b - a)), abs(float(f[-1] - f[0]) - level * (b - a))
    return height > 0 and max(apart) <= _REST * height


def _convex(density: Density, values: Array) -> bool:
    """Whether f bends up all over the range of the start and as far again on both sides, kinks included."""
    mean, span = values[-1], max(float(np.ptp(values)), 1e-3 * abs(float(values[-1])), 1e-3)
    u = np.linspace(mean - 2 * span, mean + 2 * span, _POINTS)
    f = density.second(u)[0]
    bend = f[2:] - 2 * f[1:-1] + f[:-2]
    bend = bend[np.isfinite(bend)]
    return not bend.size or bool(bend.min() >= -1e-12 * np.abs(f[np.isfinite(f)]).max())


def _without(density: Density, conserved: bool, kappa: float, values: Array) -> dict[str, str]:
    """Why a scalar model has no interface."""
    mean = float(values[-1])
    if kappa == 0:
        why = "kappa is 0: without gradient energy an interface has no width and no energy"
    elif conserved and not _convex(density, values):
        why = "f is not convex near the start, but no two phases that share a tangent were found in the numbers' range"
    elif conserved:
        why = "f'' is nowhere negative near the start: a single phase, no tangent touches f twice"
    else:
        why = "the start does not lie between two minima of f that a barrier parts"
    bend = float(density.second(np.array([mean]))[2, 0])
    stability = f"f'' = {bend:.4g} at the mean of the start, {mean:.4g}"
    return {
        "phases": f"{why}; {stability}",
        "interfaces": "there are none without two phases",
        "nucleus": "there is none without two phases",
    }


# -- phases ------------------------------------------------------------------------------------------------------------


def _phases(model: EnergyModel, density: Density, a: float, b: float, mean: float) -> Phases:
    (f_a, f_b), (mu_a, mu_b), _ = density.second(np.array([a, b]))
    order = model.order_parameters[0]
    conserved = order.kinetics.conserved
    unstable = _unstable(density, a, b)
    top = float(density.second(np.linspace(a, b, _POINTS))[0].max())
    level = conserved or abs(f_a - f_b) <= _LEVEL * (top - min(f_a, f_b))
    within = a < mean < b
    fraction = (mean - a) / (b - a) if conserved and within else None
    if any(low < mean < high for low, high in unstable):
        standing = "unstable"
    elif conserved:
        standing = "metastable" if within else "stable"
    else:
        in_low = mean <= (unstable[0][0] if unstable else 0.5 * (a + b))
        standing = "metastable" if not level and (f_a > f_b) == in_low else "stable"
    tangent = 0.5 * (float(mu_a) + float(mu_b)) if conserved else 0.0
    energies = float(f_a), float(f_b)
    known = (bool(level), tangent, unstable, mean, standing, fraction)
    return Phases(order.name, a, b, conserved, energies, *known)


def _unstable(density: Density, a: float, b: float) -> tuple[tuple[float, float], ...]:
    """Where f'' < 0 between a and b, the ends of every interval to round-off."""
    # Dense at the ends, where energies with logarithms vary fast.
    points = 0.5 * (a + b) - 0.5 * (b - a) * np.cos(np.linspace(0, math.pi, _POINTS))

    def bend(u: float) -> float:
        return float(density.second(np.array([u]))[2, 0])

    negative = density.second(points)[2] < 0
    edges = np.flatnonzero(np.diff(negative))
    crossings = [_crossing(bend, float(points[i]), float(points[i + 1])) for i in edges]
    ends = [a] * bool(negative[0]) + crossings + [b] * bool(negative[-1])
    return tuple(zip(ends[::2], ends[1::2], strict=True))


def _crossing(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a function changes sign, by bisection to round-off."""
    below = function(low) < 0
    while low < (middle := 0.5 * (low + high)) < high:
        low, high = (middle, high) if (function(middle) < 0) == below else (low, middle)
    return high


# -- interfaces --------------------------------------------------------------------------------------------------------


def _interface(model: EnergyModel, density: Density, t: Transition) -> Interface:
    names = [s.name for s in model.unknowns]
    fields = [f for f, _ in model.components]
    energy, driven = _path_energy(model, density, t.start, t.end)
    widths = {n: float(w) for n, w in zip(names, t.widths, strict=True) if math.isfinite(w)}
    stretch = max(f.stretch for f in fields)
    start, end = (dict(zip(names, map(float, values), strict=True)) for values in (t.start, t.end))
    return Interface(start, end, energy, len(names) > 1, driven, widths, stretch)


def _path_energy(model: EnergyModel, density: Density, start: Array, end: Array) -> tuple[float | None, float]:
    """int sqrt(2 K (f - tangent)) ds along the straight line between two phases, K = sum kappa_i jump_i^2, and what drives it.

    The interface energy is the least of this over all paths (Cahn and Hilliard, J. Chem. Phys. 28 (1958) 258, eq. 2.20). A
    difference of f that drives the interface is levelled out along s^2 (3 - 2 s), as where widths are found.
    """
    jump = end - start
    conserved = np.array([f.kinetics.conserved for f, _ in model.components])
    stiff = float(sum(f.kappa * d**2 for (f, _), d in zip(model.components, jump, strict=True)))
    f, *mu = density(np.stack([start, end], axis=1))
    potentials = np.array(mu)
    tilt = float((0.5 * potentials.sum(axis=1) * jump)[conserved].sum())
    step = float(f[1] - f[0]) - tilt
    last, total, height = math.nan, None, 0.0
    for count in (32, 64, 128, 256, 512, 1024):
        nodes, weights = np.polynomial.legendre.leggauss(count)
        angle = 0.5 * math.pi * (nodes + 1)
        s = 0.5 - 0.5 * np.cos(angle)
        values = density(start[:, None] + jump[:, None] * s)[0]
        excess = values - f[0] - tilt * s - step * s**2 * (3 - 2 * s)
        height = float(excess.max())
        if not (np.isfinite(excess).all() and height > 0 and excess.min() > -1e-6 * height):
            return None, step
        found = float(weights @ (np.sqrt(2 * stiff * np.maximum(excess, 0)) * np.sin(angle))) * 0.25 * math.pi
        if abs(found - last) <= 1e-10 * found:
            total = found
            break
        last = found
    # At rest: a nonconserved component has no potential, a conserved one the same on both sides.
    work = np.where(conserved, np.abs(potentials[:, 1] - potentials[:, 0]), np.abs(potentials).max(axis=1)) * np.abs(
        jump
    )
    if work.max() > _REST * height:
        total = None
    return total, step if abs(step) > _LEVEL * height else 0.0


# -- nucleus -----------------------------------------------------------------------------------------------------------


def _nucleus(
    density: Density, phases: Sequence[Phases], interfaces: Sequence[Interface], dim: int, turning: bool
) -> tuple[Nucleus | None, str]:
    """The critical nucleus, or why there is none."""
    pairs = list(zip(phases, interfaces, strict=True))
    met = next(((p, i) for p, i in pairs if p.standing == "metastable"), None)
    if met is None:
        if any(p.standing == "unstable" for p, _ in pairs):
            return None, "the mean of the start is unstable: it decomposes without nuclei"
        if not phases[0].conserved and all(p.level for p in phases):
            return None, "the wells are equally deep: nothing drives a nucleus, and every closed interface shrinks"
        return None, "the mean of the start is a stable phase: nothing nucleates in it"
    if dim == 1:
        return None, "in one dimension interfaces have no curvature"
    p, interface = met
    if interface.energy is None:
        return None, "the interface energy is not known"
    if turning:
        return None, "the interface energy depends on the normal, and so does the radius"
    if p.conserved:
        pair = _parallel(density, p)
        if pair is None:
            return None, "no phase beyond the barrier has the potential of the mean of the start"
        phase, driving = pair
        matrix = p.mean
    else:
        matrix, phase = (p.low, p.high) if p.energies[0] > p.energies[1] else (p.high, p.low)
        driving = abs(p.energies[0] - p.energies[1])
    return Nucleus(matrix, phase, driving, (dim - 1) * interface.energy / driving), ""


def _parallel(density: Density, p: Phases) -> tuple[float, float] | None:
    """The phase across the barrier whose potential is that of the mean, and the driving force towards it."""
    if not p.unstable:
        return None
    f_mean, level, _ = (float(v) for v in density.second(np.array([p.mean]))[:, 0])
    above = p.mean < p.unstable[0][0]
    edge, well = (p.unstable[-1][1], p.high) if above else (p.unstable[0][0], p.low)

    def excess(u: float) -> float:
        return float(density.second(np.array([u]))[1, 0]) - level

    # The potential rises from the spinodal outwards; beyond the binodal it passes that of the supersaturated mean.
    for step in itertools.islice((2.0**k for k in itertools.count(-6)), 40):
        far = well + step * (well - edge)
        while not math.isfinite(excess(far)) and abs(far - well) > 1e-12 * abs(well - edge):
            far = 0.5 * (far + well)
        if excess(far) * excess(edge) < 0:
            phase = _crossing(excess, edge, far) if edge < far else _crossing(excess, far, edge)
            value = float(density.second(np.array([phase]))[0, 0])
            driving = f_mean + level * (phase - p.mean) - value
            return (phase, driving) if driving > 0 else None
    return None
