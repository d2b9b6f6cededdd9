"""Grain growth against von Neumann and Mullins: dA/dt = (pi/3) L kappa (n - 6) for a grain with n neighbours in the plane.

The law is that of sharp boundaries. Where three boundaries of finite width meet there is less gradient, and so less energy
and less friction, than they would have by themselves, which speeds junctions up ("Junctions of grains" in docs/theory.md).
The preset's mobility is lower there by as much; with a constant one,

    d/dt [A - (2/sqrt 3) a n r] = (pi/3) L kappa (n - 6),

a = -tau/sigma the energy that a junction lacks as a length of boundary, r the distance of the n corners from the middle of a
regular grain. a is measured at rest here, the mobility derived from it, and that the rest is of second order in width/size
is asserted.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import pytest
from verify import field_values, run, specify

from phasefield.simulation import Simulation

MOBILITY, KAPPA, M = 1.0, 2.0, 1.0
#: A constant mobility in place of the preset's.
CONSTANT = f"model.fields.eta.mobility={MOBILITY}"
#: Of the boundary (1 + tanh(x/(2 width)))/2, and its energy.
WIDTH = math.sqrt(KAPPA / (2 * M))
SIGMA = KAPPA / (3 * WIDTH)
UNIT = math.pi / 3 * MOBILITY * KAPPA


def simulation(
    size: tuple[float, ...], cells: tuple[int, ...], start: Any, components: int, boundary: str, *more: str
) -> Simulation:
    spec = specify(
        "model=grain_growth",
        f"model.fields.eta={{components: {components}, kappa: {KAPPA}}}",
        f"grid.shape={list(cells)}",
        f"grid.length={list(size)}",
        f"grid.boundary={boundary}",
        "time.end=1000",
        *more,
        components=components,
    )
    spec.initial["eta"] = start
    return Simulation(spec)


def rosette(n: int, radius: float, middle: float, turn: float, sectors: int) -> list[str]:
    """A disc about (middle, middle) amid ``sectors`` sectors of n equal ones, centred on turn, turn + 2 pi/n, ..."""
    x, y = f"(x - {middle})", f"(y - {middle})"
    outside = f"(1 + tanh((sqrt({x}**2 + {y}**2) - {radius})/2))/2"
    grains = [f"1 - {outside}"]
    for i in range(sectors):
        low, high = (turn + 2 * math.pi * (i + side) / n for side in (-0.5, 0.5))
        left = f"(1 + tanh(({y}*{math.cos(low)} - {x}*{math.sin(low)})/2))/2"
        right = f"(1 - tanh(({y}*{math.cos(high)} - {x}*{math.sin(high)})/2))/2"
        grains.append(f"{outside}*{left}*{right}")
    return grains


def grain(n: int, radius: float, length: float, *more: str) -> tuple[Simulation, float, int]:
    """A regular grain with n neighbours, the coordinate of its middle, and how many times the grid holds it.

    Where four divides n, walls through the middle of two sides leave a quarter; else it is whole, with no ray along a wall.
    """
    if n % 4 == 0:
        components, middle, parts, start = 4, 0.0, 4, rosette(n, radius, 0.0, 0.0, n // 4 + 1)
    else:
        components, middle, parts, start = 8, length / 2, 1, rosette(n, radius, length / 2, 0.2, n)
    cells = round(length / WIDTH)
    start += ["0"] * (components - len(start))
    return simulation((length, length), (cells, cells), start, components, "no-flux", *more), middle, parts


def area(sim: Simulation, parts: int) -> float:
    """Area (volume) of the first grain, of which the grid holds one of ``parts`` equal parts."""
    squares = field_values(sim) ** 2
    return parts * sim.grid.volume * float((squares[0] / squares.sum(axis=0)).mean())


def reach(sim: Simulation, middle: float) -> float:
    """Mean distance of the first grain's corners, where three order parameters overlap, from its middle."""
    first, *others = field_values(sim) ** 2
    overlap = first * (sum(others) ** 2 - sum(q**2 for q in others))
    distance = np.hypot(*np.meshgrid(*(axis.centers - middle for axis in sim.grid.axes), indexing="ij"))
    return float((overlap * distance).sum() / overlap.sum())


@cache
def junction() -> tuple[float, float]:
    """-tau/sigma of a honeycomb at rest, the energy that a junction lacks as a length of boundary; and the integral, per
    junction, of the products of three different eta^2 times half the squares of all gradients."""
    side, root = 12.0, math.sqrt(3)
    size, cells = (1.5 * side, 3 * root * side), (24, 84)
    x, y = np.meshgrid(*((np.arange(n) + 0.5) * a / n for n, a in zip(cells, size, strict=True)), indexing="ij")
    # Hexagons stand in columns 1.5 sides apart, each column half a hexagon higher; three colours take turns.
    distance = np.full((3, *cells), np.inf)
    for column in (-1, 0, 1, 2):
        for row in range(-3, 6):
            here = np.hypot(x - 1.5 * side * column, y - root * side * (row + (column % 2) / 2))
            color = (row + 2 * (column % 2)) % 3
            distance[color] = np.minimum(distance[color], here)
    near = np.exp(distance.min(axis=0) - distance)
    start = np.array([*(near / near.sum(axis=0)), 0 * x])
    sim = run(simulation(size, cells, start, 4, "[no-flux,periodic]", CONSTANT), 100.0)
    energy = float(sim.observe(sim.carry)[1]["free_energy"])
    eta = field_values(sim)
    whole = np.concatenate([eta, eta[:, ::-1]], axis=1)  # mirrored at the walls, it is periodic
    modes, spacing = np.fft.fft2(whole), [a / n for n, a in zip(cells, size, strict=True)]
    waves = [2j * np.pi * np.fft.fftfreq(n, h) for n, h in zip(whole.shape[1:], spacing, strict=True)]
    slopes = [np.fft.ifft2(modes * k).real for k in np.meshgrid(*waves, indexing="ij")]
    density = three(whole) * sum(slope**2 for slope in slopes).sum(axis=0) / 2
    # Six junctions, each with half of three sides; twelve in the mirrored cell.
    return 1.5 * side - energy / (6 * SIGMA), float(density.sum() * math.prod(spacing) / 12)


def three(eta: np.ndarray) -> np.ndarray:
    """Sum of the products of three different eta^2."""
    one, two, cubes = ((eta ** (2 * p)).sum(axis=0) for p in (1, 2, 3))
    return np.asarray((one**3 - 3 * one * two + 2 * cubes) / 6)


@cache
def rates(n: int, radius: float, length: float, start: float, end: float, *more: str) -> tuple[float, float]:
    """dA/dt of a regular grain in units of (pi/3) L kappa (n - 6), as it is and without what junctions add."""
    sim, middle, parts = grain(n, radius, length, *more)
    (old, old_reach), (new, new_reach) = ((area(run(sim, t), parts), reach(sim, middle)) for t in (start, end))
    push = 2 / math.sqrt(3) * junction()[0] * n * (new_reach - old_reach)
    law = UNIT * (n - 6) * (end - start)
    plain, without = (new - old) / law, (new - old - push) / law
    print(
        f"n = {n}, r = {new_reach:.1f}: {plain:.4f} of the law, {without:.4f} without junctions, {sim.carry.step} steps"
    )
    return plain, without


def test_junction_stores_less_energy_than_its_boundaries() -> None:
    """Without units and whatever m and kappa: 0.907 widths of boundary, as found by minimisation apart from this program."""
    assert junction()[0] == pytest.approx(0.9072 * WIDTH, rel=2e-3)


def test_mobility_gives_junctions_the_friction_that_they_lack() -> None:
    """1/L (1 + c sum of products of three eta^2): the excess of 1/L |grad eta|^2 vanishes at c = 396."""
    lacking, integral = junction()
    assert lacking * SIGMA / (KAPPA * integral) == pytest.approx(396, rel=2e-3)
    sim, _, _ = grain(4, 10.0, 20.0)
    law, eta = sim.model.order_parameters[0].law, np.random.default_rng(1).random((4, 9))
    assert law is not None
    assert sim.model.evaluate([law.entries[0]], eta)[0] == pytest.approx(MOBILITY / (1 + 396 * three(eta)))


def test_boundary_moves_by_its_curvature() -> None:
    """Two grains keep eta_1 + eta_2 = 1, and a disc of one loses 2 pi L kappa in area, besides (width/radius)^2."""
    start = rosette(4, 20.0, 0.0, 0.0, 0)
    sim = simulation(
        (28.0, 28.0), (28, 28), [*start, f"1 - ({start[0]})", "0", "0"], 4, "no-flux", "time.tolerance=0.01"
    )
    old, new = (area(run(sim, t), 4) for t in (12.0, 32.0))
    assert np.abs(field_values(sim).sum(axis=0) - 1).max() < 1e-12
    rate = (new - old) / 20 / (-2 * math.pi * MOBILITY * KAPPA)
    print(f"disc: {rate:.5f} of 2 pi L kappa")
    assert rate == pytest.approx(1 + 1.37 * WIDTH**2 * math.pi / ((old + new) / 2), abs=1e-3)


@pytest.mark.parametrize(("n", "radius"), [(4, 20.0), (8, 18.0)])
def test_rate_follows_the_number_of_neighbours(n: int, radius: float) -> None:
    assert rates(n, radius, 40.0, 60.0, 80.0)[0] == pytest.approx(1, abs=0.003)


def test_what_junctions_add_is_of_first_order() -> None:
    """At constant mobility it doubles with half the size, in widths. What is left without it grows fourfold."""
    (plain, without), (half, half_without) = (
        rates(4, 20.0, 40.0, 60.0, 80.0, CONSTANT),
        rates(4, 10.0, 20.0, 15.0, 20.0, CONSTANT),
    )
    print(f"{half - 1:.4f} and {plain - 1:.4f}: order {math.log2((half - 1) / (plain - 1)):.2f}")
    assert math.log2((half - 1) / (plain - 1)) == pytest.approx(1.1, abs=0.1)
    assert abs(without - 1) < abs(half_without - 1) / 3 < 0.003


def test_what_is_left_at_junctions_is_of_second_order() -> None:
    plain, half = (rates(4, 20.0 * s, 40.0 * s, 60.0 * s**2, 80.0 * s**2)[0] for s in (1, 0.5))
    print(f"{half - 1:.4f} and {plain - 1:.4f}: order {math.log2((half - 1) / (plain - 1)):.2f}")
    assert math.log2((half - 1) / (plain - 1)) == pytest.approx(2, abs=0.2)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "radius"), [(3, 20.0), (5, 20.0), (7, 18.0)])
def test_odd_numbers_of_neighbours(n: int, radius: float) -> None:
    assert rates(n, radius, 76.0, 40.0, 60.0)[0] == pytest.approx(1, abs=0.003)


@pytest.mark.slow
@pytest.mark.parametrize(("more", "excess"), [((), -0.025), ((CONSTANT,), 0.060)])
def test_grain_of_six_faces(more: tuple[str, ...], excess: float) -> None:
    """In space a grain's shape stays, and so do d(V^2/3)/dt = (2/3) G L kappa and G, besides terms of width/size.

    G = -5.66 is what both mobilities tend to. Lines where three grains meet have a tension as well, tau, that no mobility takes
    away.
    """
    out, length = "(1 + tanh((sqrt(x**2 + y**2 + z**2) - 22)/2))/2", 34
    sectors = [
        f"{out}*(1 + tanh(({a} - {b})/sqrt(8)))/2*(1 + tanh(({a} - {c})/sqrt(8)))/2"
        for a, b, c in ("xyz", "yxz", "zxy")
    ]
    start = [f"1 - {out}", *sectors]
    sim = simulation((length,) * 3, (length,) * 3, start, 4, "no-flux", *more)  # an eighth
    old, new = (area(run(sim, t), 8) ** (2 / 3) for t in (60.0, 80.0))
    found = 1.5 * (new - old) / (20 * MOBILITY * KAPPA)
    print(f"V^(1/3) = {math.sqrt(new):.1f}: G = {found:.3f}")
    assert found == pytest.approx(-5.66 * (1 + excess), rel=0.005)
