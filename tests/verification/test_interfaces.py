"""Decomposition and interfaces against theory: dispersion, surface energy, curvature, shrinking circles."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import pytest
from verify import MACHINE, field_values, run, specify, steps

from phasefield.models import analysis
from phasefield.simulation import Simulation, build_model
from phasefield.verify.checks import growth, interfaces
from phasefield.verify.landau import GAMMA, LANDAU, PHASE, SIGMA, WIDTH, A, B


def test_dispersion_of_single_modes() -> None:
    """Growth rate -M k^2 (A + gamma k^2) of modes too small to interact, below, at and above the fastest."""
    measured, formula, theory = growth.mixture(MACHINE)
    np.testing.assert_allclose(theory, formula, rtol=1e-12)
    print("relative errors of the rates", np.abs(measured / formula - 1).max())
    np.testing.assert_allclose(measured, formula, rtol=1e-6)


def test_fastest_growing_wave() -> None:
    """From white noise, the wave that stands out is k_max = sqrt(-A/(2 gamma))."""
    k_max = math.sqrt(-A / (2 * GAMMA))
    length = 2 * math.pi * 40 / k_max
    sim = Simulation(
        specify(
            *LANDAU,
            "grid.shape=[256]",
            f"grid.length={length}",
            "time.adaptive=false",
            "time.scheme=etdrk4",
            "time.dt=0.05",
            "initial.phi={kind: noise, mean: 0, amplitude: 1e-8}",
        )
    )
    before = np.abs(np.fft.rfft(field_values(sim)[0]))[1:]
    growth = np.log(np.abs(np.fft.rfft(field_values(run(sim, 4.0))[0]))[1:] / before)
    assert 1 + int(np.argmax(growth)) == 40
    assert analysis.fastest_growing_wavenumber(sim.model, {"phi": 0.0}) == pytest.approx(k_max, rel=1e-12)


def test_flat_interface_energy_and_profile() -> None:
    """Two walls far apart relax to tanh(x/width) and to the energy 2 sigma above that of the phases."""
    found = interfaces.flat(MACHINE)
    print(f"sigma {found.energy:.8f}, relative error {found.energy / SIGMA - 1:.1e}, profile error {found.profile:.1e}")
    assert found.energy == pytest.approx(SIGMA, rel=1e-4)
    assert analysis.interface_energy(build_model(specify(*LANDAU)), -PHASE, PHASE) == pytest.approx(SIGMA, rel=1e-8)
    assert found.profile < 1e-3


def test_gibbs_thomson() -> None:
    """A relaxed disc of radius R has mu = sigma/(2 phi_e R).

    The formula is the sharp-interface limit. For a well that is symmetric about its middle the correction of first order in
    width/R vanishes with the Tolman length (Fisher and Wortis, Phys. Rev. B 29 (1984) 6252); what is left at radii of 12 and
    18 widths is below 1 %. Cells wider than half the width pin the interface and shift mu by as much.
    """
    errors = []
    for radius, length in ((12.0, 48.0), (18.0, 60.0)):
        n = int(2 * length)
        sim = Simulation(
            specify(
                *LANDAU,
                f"grid.shape=[{n},{n}]",
                f"grid.length={length}",
                "time.end=400",
                f"initial.phi={{kind: circles, centers: [[{length / 2},{length / 2}]], radii: {radius}, "
                f"inside: {PHASE}, outside: {-PHASE}, width: {WIDTH / math.sqrt(2)}}}",
            )
        )
        run(sim, 400.0)
        phi = field_values(sim)[0]
        middle = phi[n // 2]
        walls = interfaces.crossings(sim.grid.axes[1].centers, middle)
        found = (walls[1] - walls[0]) / 2
        # In equilibrium the potential is uniform; far from the interface it is f' alone.
        corner, centre = (float(A * v + B * v**3) for v in (phi[0, 0], phi[n // 2, n // 2]))
        assert corner == pytest.approx(centre, rel=0.01)
        mu = SIGMA / (2 * PHASE * found)
        errors.append(centre / mu - 1)
        print(f"R = {found:.3f}: mu {centre:.6f} against {mu:.6f}, relative error {errors[-1]:.2%}")
    assert max(map(abs, errors)) < 0.01


def _areas(sims: Iterable[Simulation], inside: float) -> list[tuple[float, float]]:
    """Time and area of the cells above ``inside``'s middle, by the mean of a field of levels -1 and 1."""
    return [(s.carry.t, s.grid.volume * float((field_values(s)[0] + 1).mean()) / 2) for s in sims]


def shrinking_rate(*overrides: str, radius: float = 20.0, end: float = 100.0) -> float:
    """Measured dR^2/dt of a circle, from the times in the middle of the run."""
    length = 64.0
    sim = Simulation(
        specify(
            "model=allen_cahn",
            "grid.shape=[96,96]",
            f"grid.length={length}",
            f"initial.eta={{kind: circles, centers: [[32,32]], radii: {radius}, inside: 1, outside: -1, width: 1}}",
            f"time.end={end}",
            *overrides,
        )
    )
    history = np.array(_areas(steps(sim, end), 1.0))
    late = history[history[:, 0] >= 0.2 * end]
    return float(np.polyfit(late[:, 0], late[:, 1] / math.pi, 1)[0])


def test_circle_shrinks_by_its_curvature() -> None:
    """dR^2/dt = -2 L kappa (Allen and Cahn 1979) with the default scheme and step control."""
    rate = shrinking_rate()
    print(f"dR^2/dt = {rate:.4f}, relative error {rate / -2 - 1:.2%}")
    assert rate == pytest.approx(-2.0, rel=0.01)


def test_first_order_scheme_with_large_steps_is_slow() -> None:
    """The stabiliser of the first-order scheme damps the motion it should follow: small steps or a second order are needed."""
    slow = shrinking_rate("time.scheme=imex1", "time.adaptive=false", "time.dt=1.0")
    fine = shrinking_rate("time.scheme=imex1", "time.adaptive=false", "time.dt=0.02", end=40.0)
    print(f"imex1: {slow:.3f} with dt = 1, {fine:.3f} with dt = 0.02")
    assert slow > -1.0
    assert fine == pytest.approx(-2.0, rel=0.07)
