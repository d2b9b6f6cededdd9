"""Grain growth against von Neumann and Mullins: dA/dt = (pi/3) L kappa (n - 6) for a grain with n neighbours in the plane."""

from __future__ import annotations

import math

import numpy as np
import pytest
from verify import field_values, run, specify

from phasefield.simulation import Simulation

LENGTH, CELLS, MOST = 88.0, 72, 8
MOBILITY, KAPPA = 1.0, 2.0


def rosette(n: int, radius: float) -> list[str]:
    """A disc in the middle of n equal sectors, as one expression per component; components beyond n + 1 are empty."""
    x, y = f"(x - {LENGTH / 2})", f"(y - {LENGTH / 2})"
    outside = f"(1 + tanh((sqrt({x}**2 + {y}**2) - {radius})/2))/2"
    grains = [f"1 - {outside}"]
    for i in range(n):
        # A sector is where two rays have it on their inner side; no ray is parallel to a wall.
        low, high = (2 * math.pi * (i + side) / n + 0.2 for side in (0, 1))
        left = f"(1 + tanh(({y}*{math.cos(low)} - {x}*{math.sin(low)})/2))/2"
        right = f"(1 - tanh(({y}*{math.cos(high)} - {x}*{math.sin(high)})/2))/2"
        grains.append(f"{outside}*{left}*{right}")
    return grains + ["0"] * (MOST - n)


def area_rate(n: int, radius: float, start: float, end: float) -> float:
    """Mean rate of the middle grain's area between two times; the junctions find their angles before ``start``."""
    spec = specify(
        "model=grain_growth",
        f"model.fields.eta={{components: {MOST + 1}, kappa: {KAPPA}, mobility: {MOBILITY}}}",
        f"grid.shape=[{CELLS},{CELLS}]",
        f"grid.length={LENGTH}",
        "grid.boundary=no-flux",
        f"time.end={end}",
        components=MOST + 1,
    )
    spec.initial["eta"] = rosette(n, radius)
    sim = Simulation(spec)
    areas = []
    for time in (start, end):
        squares = field_values(run(sim, time)) ** 2
        areas.append(sim.grid.volume * float((squares[0] / squares.sum(axis=0)).mean()))
    print(f"n = {n}: area {areas[0]:.1f} to {areas[1]:.1f} in {sim.carry.step} steps")
    return (areas[1] - areas[0]) / (end - start)


@pytest.fixture(scope="module")
def rates() -> dict[int, float]:
    return {n: area_rate(n, radius, 30.0, 80.0) for n, radius in ((4, 22.0), (8, 20.0))}


@pytest.mark.parametrize("n", [4, 8])
def test_rate_follows_the_number_of_neighbours(rates: dict[int, float], n: int) -> None:
    expected = math.pi / 3 * MOBILITY * KAPPA * (n - 6)
    print(f"n = {n}: dA/dt = {rates[n]:.3f}, expected {expected:.3f}")
    assert rates[n] == pytest.approx(expected, rel=0.1)


def test_slopes_are_opposite(rates: dict[int, float]) -> None:
    assert np.isclose(rates[8] / rates[4], -1, atol=0.12)


@pytest.mark.slow
@pytest.mark.parametrize("n", [3, 5, 6, 7])
def test_other_numbers_of_neighbours(n: int) -> None:
    rate, unit = area_rate(n, 22.0, 30.0, 80.0), math.pi / 3 * MOBILITY * KAPPA
    print(f"n = {n}: dA/dt = {rate:.3f}, expected {unit * (n - 6):.3f}")
    assert rate == pytest.approx(unit * (n - 6), abs=0.12 * unit * max(1, abs(n - 6)))
