"""What no step may change or raise: the mean of a conserved field, and the free energy."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..check import Check
from ..problems import Machine, steps


@dataclass(frozen=True)
class Decomposition:
    """What a coarsening mixture kept: largest change of the mean mode, largest rise of the energy relative to its scale."""

    drift: float
    rise: float


@functools.cache
def decomposition(machine: Machine) -> Decomposition:
    """A mixture on 48 x 48 cells to t = 100, by default; energies are recomputed from the state after every step."""
    sim = machine.simulation("model=cahn_hilliard_landau", "grid.shape=[48,48]", "initial.phi.mean=0.1", "time.end=100")

    def mean() -> float:
        return float(sim.backend.to_host(sim.carry.u)[0, 0, 0, 0].real)

    def energy() -> float:
        return float(sim.observe(sim.carry)[1]["free_energy"])

    before = sim.observe(sim.carry)[1]
    scale = abs(before["free_energy_bulk"]) + 1e-3 * sim.grid.volume * max(sim.stabilizers)
    means, energies = [mean()], [energy()]
    for _ in steps(sim, 100.0):
        means.append(mean())
        energies.append(energy())
    return Decomposition(float(np.ptp(means)), float(np.diff(energies).max()) / scale)


def checks() -> Iterator[Check]:
    yield Check(
        "conservation/mass",
        "largest change of the mean of a conserved field in 200 steps",
        "none, to the bit",
        lambda machine: decomposition(machine).drift,
        0.0,
        allowed=0.0,
        single=0.0,
    )
    yield Check(
        "conservation/energy",
        "largest rise of the free energy in a step, in units of its round-off's scale (below 0: a fall)",
        "dF/dt <= 0",
        lambda machine: max(decomposition(machine).rise, 0.0),
        0.0,
        allowed=1e-14,
        single=1e-6,
    )
