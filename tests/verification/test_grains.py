"""Grain growth against von Neumann and Mullins: dA/dt = (pi/3) L kappa (n - 6) for a grain with n neighbours in the plane.

The law is that of sharp boundaries. Where three boundaries of finite width meet there is by itself less energy than they have,
and so, by the same amount, less friction: junctions run ahead, and in space their lines pull the wrong way ("Junctions of
grains" in docs/theory.md). The preset's energy has two terms more, which make up for it. That a junction has no energy of its own
is measured at rest here, and that rates are then right to second order in width/size.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from sharp_grain import shrinking_rate
from verify import field_values, run, specify

from phasefield.simulation import Simulation

MOBILITY, KAPPA, M = 1.0, 2.0, 1.0
#: The energy without what makes up for junctions (Moelans, Blanpain and Wollants 2008, at gamma = 1.5).
PLAIN = "model.energy=m*((1 - sum(eta**2))**2/4 + (sum(eta**2)**2 - sum(eta**4))/2)"
#: Of the boundary (1 + tanh(x/(2 width)))/2, and its energy.
WIDTH = math.sqrt(KAPPA / (2 * M))
SIGMA = KAPPA / (3 * WIDTH)
UNIT = math.pi / 3 * MOBILITY * KAPPA
#: Of cells, the largest that narrow junctions bear.
SPACING = 0.8 * WIDTH


def simulation(
    size: tuple[float, ...], cells: tuple[int, ...], start: Any, components: int, boundary: str, *more: str
) -> Simulation:
    spec = specify(
        "model=grain_growth",
        f"model.fields.eta={{components: {components}, kappa: {KAPPA}, mobility: {MOBILITY}}}",
        f"model.parameters={{m: {M}}}",
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


def grain(n: int, radius: float, length: float, *more: str) -> tuple[Simulation, int]:
    """A regular grain with n neighbours, and into how many parts it is cut of which the grid holds one.

    Where four divides n, walls through the middle of two sides leave a quarter; else it is whole, with no ray along a wall.
    """
    if n % 4 == 0:
        components, parts, start = 4, 4, rosette(n, radius, 0.0, 0.0, n // 4 + 1)
    else:
        components, parts, start = 8, 1, rosette(n, radius, length / 2, 0.2, n)
    cells = round(length / SPACING)
    start += ["0"] * (components - len(start))
    return simulation((length, length), (cells, cells), start, components, "no-flux", *more), parts


def area(sim: Simulation, parts: int) -> float:
    """Area (volume) of the first grain, of which the grid holds one of ``parts`` equal parts."""
    squares = field_values(sim) ** 2
    return parts * sim.grid.volume * float((squares[0] / squares.sum(axis=0)).mean())


def junction(*more: str) -> float:
    """The energy of a junction of a honeycomb at rest beyond that of its boundaries, as a length of boundary in widths."""
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
    sim = run(simulation(size, cells, start, 4, "[no-flux,periodic]", *more), 60.0)
    # Six junctions, each with half of three sides.
    return (float(sim.observe(sim.carry)[1]["free_energy"]) / (6 * SIGMA) - 1.5 * side) / WIDTH


def rate(n: int, radius: float, length: float, start: float, end: float, *more: str) -> float:
    """dA/dt of a regular grain in units of (pi/3) L kappa (n - 6)."""
    sim, parts = grain(n, radius, length, *more)
    old, new = (area(run(sim, t), parts) for t in (start, end))
    found = (new - old) / (UNIT * (n - 6) * (end - start))
    print(f"n = {n}, sqrt(A) = {math.sqrt(new) / WIDTH:.1f} widths: {found:.4f} of the law, {sim.carry.step} steps")
    return found


@pytest.mark.parametrize(("more", "excess"), [((), 0.0), ((PLAIN,), -0.907)])
def test_junction_has_the_energy_of_its_boundaries(more: tuple[str, ...], excess: float) -> None:
    """Without units and whatever m and kappa; without the two terms it lacks 0.907 widths of boundary."""
    assert junction(*more) == pytest.approx(excess, abs=0.002)


def test_boundary_moves_by_its_curvature() -> None:
    """Two grains keep eta_1 + eta_2 = 1, and a disc of one loses 2 pi L kappa in area, besides (width/radius)^2."""
    start = rosette(4, 20.0, 0.0, 0.0, 0)
    sim = simulation(
        (28.0, 28.0), (35, 35), [*start, f"1 - ({start[0]})", "0", "0"], 4, "no-flux", "time.tolerance=0.01"
    )
    old, new = (area(run(sim, t), 4) for t in (12.0, 32.0))
    assert np.abs(field_values(sim).sum(axis=0) - 1).max() < 1e-12
    rate = (new - old) / 20 / (-2 * math.pi * MOBILITY * KAPPA)
    print(f"disc: {rate:.5f} of 2 pi L kappa")
    assert rate == pytest.approx(1 + 1.37 * WIDTH**2 * math.pi / ((old + new) / 2), abs=1e-3)


@pytest.mark.parametrize(("n", "radius"), [(4, 20.0), (8, 18.0)])
def test_rate_follows_the_number_of_neighbours(n: int, radius: float) -> None:
    assert rate(n, radius, 40.0, 60.0, 80.0) == pytest.approx(1, abs=0.0025)


def test_what_is_left_at_junctions_is_of_second_order() -> None:
    """At half the size, in widths, it is 0.3 %; a constant mobility without the two terms leaves 10 %."""
    assert rate(4, 10.0, 20.0, 15.0, 20.0) == pytest.approx(1, abs=0.005)
    assert rate(4, 10.0, 20.0, 15.0, 20.0, PLAIN) == pytest.approx(1.10, abs=0.005)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "radius"), [(3, 20.0), (5, 20.0), (7, 18.0)])
def test_odd_numbers_of_neighbours(n: int, radius: float) -> None:
    assert rate(n, radius, 76.0, 40.0, 60.0) == pytest.approx(1, abs=0.003)


@pytest.mark.slow
def test_grain_of_six_faces() -> None:
    """In space a grain's shape stays, and so do d(V^2/3)/dt = (2/3) G L kappa and G, besides terms of (width/size)^2.

    G is that of sharp boundaries (`sharp_grain`). Lines where three grains meet would have a tension of their own, and pull
    outwards, without the two terms.
    """
    out, length = "(1 + tanh((sqrt(x**2 + y**2 + z**2) - 22)/2))/2", 34
    sectors = [
        f"{out}*(1 + tanh(({a} - {b})/sqrt(8)))/2*(1 + tanh(({a} - {c})/sqrt(8)))/2"
        for a, b, c in ("xyz", "yxz", "zxy")
    ]
    cells = round(length / SPACING)
    sim = simulation((length,) * 3, (cells,) * 3, [f"1 - {out}", *sectors], 4, "no-flux")  # an eighth
    old, new = (area(run(sim, t), 8) ** (2 / 3) for t in (60.0, 80.0))
    found = 1.5 * (new - old) / (20 * MOBILITY * KAPPA)
    print(f"V^(1/3) = {math.sqrt(new) / WIDTH:.1f} widths: G = {found:.3f}")
    assert found == pytest.approx(shrinking_rate(), rel=0.004)
