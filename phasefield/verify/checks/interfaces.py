"""Interfaces: energy, profile, motion by curvature and by a driving force, phases that coexist."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

from ...integrators import SCHEMES
from ...models import analysis
from ..check import Check
from ..landau import LANDAU, PHASE, SIGMA, WIDTH, A, B
from ..problems import Machine, field_values, run, steps

Array = np.ndarray


@dataclass(frozen=True)
class Flat:
    """A relaxed flat interface.

    Attributes:
        energy: per area. width: w of PHASE tanh(x/w) from its slope at 0. profile: largest distance from that profile.
    """

    energy: float
    width: float
    profile: float


@functools.cache
def flat(machine: Machine) -> Flat:
    """Two walls far apart relax to tanh(x/WIDTH) and to the energy 2 SIGMA above that of the phases."""
    length = 48.0
    sim = machine.simulation(
        *LANDAU,
        "grid.shape=[192]",
        f"grid.length={length}",
        "time.end=200",
        # A start that is off in width, height and position of the walls' profile.
        f"initial.phi={0.8 * PHASE}*tanh((12 - abs(x - 24))/{1.7 * WIDTH})",
    )
    run(sim, 200.0)
    _, values = sim.observe(sim.carry)
    # Mass puts the walls where it wants: the bulk is at the common tangent, energy -A^2/(4B) per length.
    energy = (values["free_energy"] + A**2 / (4 * B) * length) / 2
    phi, x = field_values(sim)[0], sim.grid.coordinates()[0]
    wall = 24 - crossings(x, phi)[0]
    profile = PHASE * np.tanh((wall - np.abs(x - 24)) / WIDTH)
    modes = 2j * math.pi * np.fft.rfftfreq(phi.size, length / phi.size) * np.fft.rfft(phi)
    steepest = (
        np.fft.irfft(np.pad(modes, (0, 15 * modes.size)), 16 * phi.size) * 16
    )  # the slope on a grid 16 times as fine
    return Flat(float(energy), PHASE / float(steepest.max()), float(np.abs(phi - profile).max()))


def crossings(x: Array, phi: Array) -> list[float]:
    """Where a profile passes 0, by linear interpolation."""
    i = np.flatnonzero(np.diff(np.sign(phi)))
    return list(x[i] - phi[i] * (x[i + 1] - x[i]) / (phi[i + 1] - phi[i]))


@dataclass(frozen=True)
class Shrinking:
    """How a circle or sphere shrank: dR^2/dt in the later part, and the steps taken."""

    rate: float
    steps: int


def shrinking(machine: Machine, dimension: int, n: int, radius: float, end: float, *overrides: str) -> Shrinking:
    """A circle or sphere of an order parameter, M = kappa = 1, in cells of edge 1.

    An octant between mirrors, so that the volume gives R to round-off.
    """
    kind = {2: "circles", 3: "spheres"}[dimension]
    sim = machine.simulation(
        "model=allen_cahn",
        f"grid.shape={[n] * dimension}",
        "grid.boundary=no-flux",
        f"initial.eta={{kind: {kind}, centers: [{[0.0] * dimension}], radii: {radius}, inside: 1, outside: -1, width: 1}}",
        f"time.end={end}",
        *overrides,
    )
    whole = {2: math.pi / 4, 3: math.pi / 6}[dimension]
    found = [(s.carry.t, (n**dimension * (field_values(s)[0].mean() + 1) / 2 / whole)) for s in steps(sim, end)]
    t, volume = np.array(found).T
    late = t > 0.2 * end
    rate = float(np.polyfit(t[late], volume[late] ** (2 / dimension), 1)[0])
    return Shrinking(rate, sim.carry.step)


def front_speed(machine: Machine, scheme: str) -> tuple[float, int]:
    """Speed of a front driven by h = 0.2, f' = (eta^2 - 1)(eta - h), and the steps to t = 100."""
    sim = machine.simulation(
        "model=allen_cahn",
        "model.energy=(1-eta**2)**2/4-h*(eta-eta**3/3)",
        "+model.parameters.h=0.2",
        "grid.shape=[128]",
        "grid.length=64",
        "grid.boundary=no-flux",
        "initial.eta=tanh((10-x)/sqrt(2))",
        "time.end=100",
        f"time.scheme={scheme}",
    )
    found = np.array([(s.carry.t, 32 * (field_values(s)[0].mean() + 1)) for s in steps(sim, 100.0)])
    late = found[found[:, 0] > 20]
    return float(np.polyfit(late[:, 0], late[:, 1], 1)[0]), sim.carry.step


@functools.cache
def annihilation() -> float:
    """When two fronts 7 apart have met (mean at 0.98), by an implicit solver of the same modes."""
    k = 2 * math.pi * np.fft.rfftfreq(80, 32 / 80)

    def slope(_: float, eta: Array) -> Array:
        return eta - eta**3 - np.fft.irfft(k**2 * np.fft.rfft(eta), 80)

    def met(_: float, eta: Array) -> float:
        return float(eta.mean()) - 0.98

    met.terminal = True  # type: ignore[attr-defined]
    x = 0.4 * (np.arange(80) + 0.5)
    start = 1 - np.tanh((x - 12.5) / math.sqrt(2)) + np.tanh((x - 19.5) / math.sqrt(2))
    return float(solve_ivp(slope, (0, 600), start, "Radau", rtol=1e-6, atol=1e-9, events=met).t_events[0][0])


def meeting(machine: Machine, scheme: str) -> tuple[float, int]:
    """When these fronts meet in a run, and its steps. They approach as exp(-sqrt(2) d) and ever faster."""
    sim = machine.simulation(
        "model=allen_cahn",
        "grid.shape=[80]",
        "grid.length=32",
        "initial.eta=1-tanh((x-12.5)/sqrt(2))+tanh((x-19.5)/sqrt(2))",
        "time.end=600",
        f"time.scheme={scheme}",
    )
    t, mean = np.array([(s.carry.t, field_values(s)[0].mean()) for s in steps(sim, 600.0)]).T
    return float(np.interp(0.98, mean, t)), sim.carry.step


#: Interaction parameter of the blend.
CHI = 2.5


def blend(machine: Machine) -> float:
    """The dilute phase of a relaxed blend of equal chains, far from its interfaces."""
    sim = machine.simulation(
        "model=flory_huggins",
        f"model.parameters.chi={CHI}",
        "grid.shape=[128]",
        "grid.length=64",
        "grid.boundary=no-flux",
        "initial.phi=0.5-0.3*tanh((x-32)/2)",
        "time.end=2000",
    )
    return float(field_values(run(sim, 2000.0))[0, -1])


def binodal() -> float:
    """The same on paper: log(phi/(1 - phi)) = chi (2 phi - 1), phi < 1/2."""
    return float(brentq(lambda p: math.log(p / (1 - p)) - CHI * (2 * p - 1), 1e-6, 0.4, xtol=1e-15))


def binodal_of_the_model(machine: Machine) -> float:
    """The same from the energy's text."""
    model = machine.simulation("model=flory_huggins", f"model.parameters.chi={CHI}", "grid.shape=[8]").model
    return analysis.binodal(model, (1e-4, 1 - 1e-4))[0]


def ripening(machine: Machine, tolerance: float) -> float:
    """When the smaller of two droplets, which dissolves into the larger one, has half of its area left."""
    sim = machine.simulation(
        "model=cahn_hilliard_landau",
        "grid.shape=[64,32]",
        "initial.phi={kind: circles, centers: [[16,16],[48,16]], radii: [9,6], inside: 1, outside: -1, width: 1}",
        "time.end=1500",
        f"time.tolerance={tolerance}",
    )
    found = [(s.carry.t, float((field_values(s)[0][32:] + 1).sum())) for s in steps(sim, 1500.0)]
    t, area = np.array(found).T
    return float(np.interp(-0.5 * area[0], -area, t))


def checks() -> Iterator[Check]:
    yield Check(
        "interfaces/energy",
        "energy of a flat interface",
        "(2 sqrt(2)/3) sqrt(gamma) (-A)^1.5/B (Cahn and Hilliard 1958)",
        lambda machine: flat(machine).energy,
        SIGMA,
        allowed=1e-6,
        single=1e-3,
        relative=True,
    )
    yield Check(
        "interfaces/width",
        "width w of the profile tanh(x/w)",
        "sqrt(-2 gamma/A)",
        lambda machine: flat(machine).width,
        WIDTH,
        allowed=1e-4,
        single=1e-3,
        relative=True,
    )
    yield Check(
        "interfaces/profile",
        "largest distance from the profile",
        "sqrt(-A/B) tanh(x/w)",
        lambda machine: flat(machine).profile,
        0.0,
        allowed=1e-4,
        single=1e-3,
    )
    yield Check(
        "interfaces/circle",
        "dR^2/dt of a shrinking circle, default scheme and tolerance",
        "-2 M kappa (Allen and Cahn 1979)",
        lambda machine: shrinking(machine, 2, 64, 44.0, 240.0).rate,
        -2.0,
        allowed=0.005,
        single=0.005,
        relative=True,
    )
    yield Check(
        "interfaces/sphere",
        "dR^2/dt of a shrinking sphere",
        "-4 M kappa",
        lambda machine: shrinking(machine, 3, 48, 34.0, 100.0).rate,
        -4.0,
        allowed=0.005,
        single=0.005,
        relative=True,
        full=True,
    )
    for scheme in SCHEMES:
        yield Check(
            f"interfaces/front {scheme}",
            f"speed of a driven front, adaptive {scheme}",
            "sqrt(2) h, h = 0.2",
            functools.partial(_speed, scheme=scheme),
            math.sqrt(2) * 0.2,
            allowed=0.01,
            single=0.01,
            relative=True,
            full=True,
        )
    for scheme in SCHEMES:
        yield Check(
            f"interfaces/meeting {scheme}",
            f"when two fronts 7 apart have met, adaptive {scheme}",
            "the same modes by an implicit Runge-Kutta method (Radau) to 1e-6",
            functools.partial(_late, scheme=scheme),
            0.0,
            allowed=0.005,
            full=True,
        )
    yield Check(
        "interfaces/binodal",
        "dilute phase of a relaxed polymer blend, chi = 2.5",
        "log(phi/(1 - phi)) = chi (2 phi - 1)",
        blend,
        binodal(),
        allowed=1e-4,
        single=1e-3,
        relative=True,
        full=True,
    )
    yield Check(
        "interfaces/common tangent",
        "the same from the energy's text",
        "log(phi/(1 - phi)) = chi (2 phi - 1)",
        binodal_of_the_model,
        binodal(),
        allowed=1e-10,
        single=1e-10,
        relative=True,
        full=True,
    )
    yield Check(
        "interfaces/ripening",
        "relative error of the time in which half of a dissolving droplet is gone",
        "the same at a tolerance of 0.005",
        lambda machine: ripening(machine, 0.05) / ripening(machine, 0.005) - 1,
        0.0,
        allowed=0.01,
        full=True,
    )


def _speed(machine: Machine, scheme: str) -> float:
    return front_speed(machine, scheme)[0]


def _late(machine: Machine, scheme: str) -> float:
    return meeting(machine, scheme)[0] / annihilation() - 1
