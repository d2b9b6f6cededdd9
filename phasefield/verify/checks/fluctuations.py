"""Thermal noise against what is known of equilibrium and of the first stage of decomposition.

A mode that nothing but noise and its own stiffness move has the variance kT/(f'' + kappa k^2) per volume (Cook, Acta Metall. 18
(1970) 297), whatever its mobility, the step and the scheme are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import reduce

import numpy as np

from ...simulation import Simulation
from ..check import Check
from ..problems import Machine, field_values, run

Array = np.ndarray

#: kT, f'' and kappa of the quadratic energy.
KT, CURVATURE, KAPPA = 0.3, 1.5, 0.7
#: Shells of modes with like k^2.
_SHELLS = 8


def modes(sim: Simulation) -> tuple[Array, Array, Array]:
    """Of every mode k^2, the number of independent numbers that it stands for, and V |u_k|^2, times the volume: the structure
    factor of the first component but for chance. Arrays of the modes' shape.
    """
    layout, grid = sim.layout, sim.grid
    k2, weight = (
        reduce(join, np.ix_(*(getattr(axis, name) for axis in grid.axes))).reshape(layout.modes)
        for name, join in (("k2", np.add), ("weight", np.multiply))
    )
    numbers = sim.backend.to_host(sim.carry.u)[0].reshape(*layout.modes, layout.parts).astype(float)
    power = grid.volume * (numbers**2).sum(axis=-1)
    return (k2, weight, power) if layout.parts == 2 else (k2, np.ones_like(k2), weight * power)


def harmonic(machine: Machine, kinetics: str, *keys: str) -> Simulation:
    """A field with the energy f'' u^2/2 + kappa/2 |grad u|^2 and noise, from rest."""
    return machine.simulation(
        "model=allen_cahn",
        f"model.energy={CURVATURE}/2*eta**2",
        f"model.fields.eta.kinetics={kinetics}",
        "model.fields.eta.mobility=1.3",
        f"model.fields.eta.kappa={KAPPA}",
        f"model.fields.eta.noise={KT}",
        "initial.eta=0.0",
        "time.adaptive=false",
        *keys,
    )


def deviations(sim: Simulation, samples: int, every: int, skip: int) -> Array:
    """How far the structure factor of every shell is from kT/(f'' + kappa k^2), in standard errors.

    Args:
        samples: number of states, ``every`` steps apart so that they are independent; ``skip`` steps come before.
    """
    found: Array | float = 0.0
    for i in range(skip + samples * every):
        sim.advance(math.inf)
        if i >= skip and (i - skip) % every == 0:
            k2, numbers, power = modes(sim)
            found = found + power
    scaled = found / samples * (CURVATURE + KAPPA * k2) / KT
    moving = (k2 > 0) | (not sim.model.order_parameters[0].kinetics.conserved)
    result = []
    for members in np.array_split(np.argsort(np.where(moving, k2, -1.0), axis=None, kind="stable"), _SHELLS):
        weight = (numbers * moving).flat[members]
        result.append(
            ((weight * scaled.flat[members]).sum() / weight.sum() - 1) * math.sqrt(samples * weight.sum() / 2)
        )
    return np.array(result)


def cook(machine: Machine) -> tuple[Array, Array]:
    """Structure factor by shells of a mixture that noise alone has decomposed for a while: over that of the linear theory, and
    its standard error.

    S = q kT (exp(2 R t) - 1)/R with R = -q (f'' + kappa k^2), from a uniform state.
    """
    kT, end = 1e-8, 6.0
    sim = machine.simulation(
        "model=cahn_hilliard_landau",
        "initial.phi=0.0",
        f"model.fields.phi.noise={kT}",
        "grid.shape=[192,192]",
        "grid.length=192",
        "time.adaptive=false",
        "time.dt=0.02",
        f"time.end={end}",
    )
    k2, numbers, power = modes(run(sim, end))
    rate = k2 * (1 - k2)
    exact = np.where(rate == 0, 2 * k2 * kT * end, k2 * kT * np.expm1(2 * rate * end) / np.where(rate == 0, 1, rate))
    ratios, errors = [], []
    for low, high in zip(bounds := np.linspace(0, 1.5, 7), bounds[1:], strict=False):
        inside = (k2 > low) & (k2 <= high)
        weight = numbers[inside].sum()
        ratios.append((numbers * power)[inside] @ (1 / exact[inside]) / weight)
        errors.append(math.sqrt(2 / weight))
    return np.array(ratios), np.array(errors)


def boltzmann(machine: Machine, scheme: str = "etdms3") -> tuple[float, float]:
    """Mean square of independent cells (no gradient energy) in a double well, and that of one cell's Boltzmann distribution."""
    kT, cell = 0.15, 0.8**2
    sim = machine.simulation(
        "model=cahn_hilliard_landau",
        "model.fields.phi.kinetics=nonconserved",
        "model.fields.phi.kappa=0.0",
        f"model.fields.phi.noise={kT}",
        "model.fields.phi.stabilizer=2.5",
        "initial.phi=0.0",
        "grid.shape=[64,64]",
        f"grid.length={64 * 0.8}",
        "time.adaptive=false",
        "time.dt=0.02",
        f"time.scheme={scheme}",
    )
    run(sim, 8.0)
    found = []
    for end in np.arange(8.0, 40.0, 2.0):
        found.append(np.mean(field_values(run(sim, end)) ** 2))
    u = np.linspace(-3, 3, 4001)
    p = np.exp(-cell / kT * (-(u**2) / 2 + u**4 / 4))
    return float(np.mean(found)), float((u**2 * p).sum() / p.sum())


def capillary(machine: Machine, samples: int = 1500) -> tuple[Array, Array]:
    """Energy of an interface from its waves at rest, by four wavelengths, over 2 sqrt(2)/3, and its standard error.

    A height h has <|h_k|^2> = kT/(sigma k^2 L); that of the profile integrated has besides what the phases fluctuate.
    """
    kT, length, depth, apart = 0.01, 64, 40, 15
    sim = machine.simulation(
        "model=allen_cahn",
        f"model.fields.eta.noise={kT}",
        f"initial.eta=tanh((x-{depth // 2})/sqrt(2))",
        f"grid.shape=[{depth},{length}]",
        "grid.boundary=[no-flux,periodic]",
        "time.adaptive=false",
        "time.dt=0.25",
    )
    number = np.arange(1, 5)
    power, k = np.zeros(4), 2 * math.pi * number / length
    for i in range(samples):
        heights = 0.5 * field_values(run(sim, (i + 1) * apart))[0].sum(axis=0)
        power += np.abs(np.fft.rfft(heights)[number] / length) ** 2
    phases = depth * kT / (4 * length * (2 + k**2))
    sigma = kT / (k**2 * length * (power / samples - phases))
    # A wave forgets as exp(-k^2 t); two numbers a wave.
    return sigma / (2 * math.sqrt(2) / 3), np.sqrt(
        (1 + np.exp(-2 * k**2 * apart)) / (1 - np.exp(-2 * k**2 * apart)) / samples
    )


def _worst(machine: Machine, kinetics: str, *keys: str) -> float:
    return float(np.abs(deviations(harmonic(machine, kinetics, *keys), 200, 1, 1)).max())


def checks() -> Iterator[Check]:
    yield Check(
        "fluctuations/conserved",
        "largest distance of a shell's structure factor from equilibrium, in standard errors, at steps of any length",
        "kT/(f'' + kappa k^2) (Cook, Acta Metall. 18 (1970) 297)",
        lambda machine: _worst(machine, "conserved", "grid.shape=[48,32]", "time.dt=1e4"),
        0.0,
        allowed=4.0,
        single=4.0,
    )
    yield Check(
        "fluctuations/order-parameter",
        "the same of an order parameter between walls",
        "kT/(f'' + kappa k^2)",
        lambda machine: _worst(
            machine, "nonconserved", "grid.shape=[24,20]", "grid.boundary=[no-flux,fixed]", "time.dt=100"
        ),
        0.0,
        allowed=4.0,
        single=4.0,
    )

    def decomposition(machine: Machine) -> float:
        ratios, errors = cook(machine)
        return float(np.abs((ratios - 1) / errors).max())

    yield Check(
        "fluctuations/decomposition",
        "largest distance of a shell's structure factor from the linear theory with noise, in standard errors",
        "q kT (exp(2 R t) - 1)/R, R = -q (f'' + kappa k^2) (Cook 1970)",
        decomposition,
        0.0,
        allowed=4.0,
    )

    def distribution(machine: Machine) -> float:
        found, exact = boltzmann(machine)
        return found / exact - 1

    yield Check(
        "fluctuations/distribution",
        "relative error of the mean square of cells that jump in a double well",
        "exp(-f dV/kT) (Boltzmann)",
        distribution,
        0.0,
        allowed=0.02,
        full=True,
    )
