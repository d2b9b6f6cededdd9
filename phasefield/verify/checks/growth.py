"""Growth of small waves against the dispersion relation."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from ...models import analysis
from ...simulation import Simulation
from ..check import Check
from ..landau import GAMMA, LANDAU, A, M
from ..problems import Machine, field_values, run

Array = np.ndarray


def mixture(machine: Machine) -> tuple[Array, Array, Array]:
    """Rates of single modes of a mixture, too small to interact, below, at and above the fastest: measured, by
    -M k^2 (A + gamma k^2), and as `analysis.growth_rates` has them.
    """
    sim, k, measured = _rates(machine, "phi", (1, 3, 4, 5, 8, 11), *LANDAU)
    theory = analysis.growth_rates(sim.model, {"phi": 0.0}, k)[:, 0]
    return measured, -M * k**2 * (A + GAMMA * k**2), theory


def order_parameter(machine: Machine) -> tuple[Array, Array]:
    """Rates of single modes of an order parameter on the top of its barrier: measured, and 1 - k^2."""
    _, k, measured = _rates(machine, "eta", (0, 2, 5, 8, 11), "model=allen_cahn")
    return measured, 1 - k**2


def _rates(machine: Machine, field: str, modes: tuple[int, ...], *keys: str) -> tuple[Simulation, Array, Array]:
    """Simulation, wavenumbers and measured growth rates of small waves on a uniform field, by their numbers along the grid."""
    length, end = 40.0, 2.0
    start = "+".join(f"1e-8*cos({2 * m}*pi*x/{length})" for m in modes)
    sim = machine.simulation(
        *keys,
        "grid.shape=[64]",
        f"grid.length={length}",
        "time.adaptive=false",
        "time.scheme=etdrk4",
        "time.dt=0.005",
        f"initial.{field}={start}",
    )
    before = np.abs(np.fft.rfft(field_values(sim)[0]))
    after = np.abs(np.fft.rfft(field_values(run(sim, end))[0]))
    measured = np.log(after[list(modes)] / before[list(modes)]) / end
    return sim, 2 * math.pi * np.array(modes) / length, measured


def _error(measured: Array, exact: Array) -> float:
    return float(np.abs(measured / exact - 1).max())


def checks() -> Iterator[Check]:
    yield Check(
        "growth/cahn-hilliard",
        "largest relative error of the growth rates of six waves of a mixture",
        "-M k^2 (A + gamma k^2) (Cahn, Acta Metall. 9 (1961) 795)",
        lambda machine: _error(*mixture(machine)[:2]),
        0.0,
        allowed=1e-6,
        single=1e-4,
    )
    yield Check(
        "growth/allen-cahn",
        "largest relative error of the growth rates of five waves of an order parameter",
        "-M (f'' + kappa k^2) (Allen and Cahn, Acta Metall. 27 (1979) 1085)",
        lambda machine: _error(*order_parameter(machine)),
        0.0,
        allowed=1e-6,
        single=1e-4,
    )
