"""Charges in the potential that they and electrodes make: against an operator, finite differences, the equation, screening."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.fft import dctn, idctn
from scipy.sparse import diags, eye_array, kron
from scipy.sparse.linalg import spsolve
from verify import field_values, run, specify

from phasefield.errors import ConfigError
from phasefield.models.electric import potential
from phasefield.simulation import Simulation

BETWEEN = "model.electric={charge: 0.4*(c-0.3), permittivity: 2, potential: {left: 0, right: cos(pi*y/15)*(1+t)}}"
PLATE = (
    "model=cahn_hilliard",
    "grid.shape=[12,15]",
    "grid.boundary=no-flux",
    "initial.c=0.5+0.2*cos(pi*x/12)*cos(2*pi*y/15)",
)


def simulation(*keys: str) -> Simulation:
    return Simulation(specify(*keys))


@pytest.mark.parametrize("boundary", ["periodic", "no-flux"])
def test_one_charged_field_is_an_operator(boundary: str) -> None:
    """Without electrodes its energy is 1/2 sum z^2 |c|^2/(eps k^2), in L, to the last bits; the mean has no part in it."""
    keys = (
        "model=cahn_hilliard",
        "grid.shape=[16,12]",
        f"grid.boundary={boundary}",
        "initial.c=0.5+0.1*cos(pi*x/8)",
        "time.adaptive=false",
        "time.scheme=etdrk2",
        "time.dt=0.1",
        "model.fields.c.stabilizer=2",
    )
    charged = run(simulation(*keys, "model.electric={charge: 0.3*(c-0.5), permittivity: 0.2}"), 5.0)
    operator = run(simulation(*keys, "model.fields.c.operator=0.3**2/(0.2*k2)"), 5.0)
    np.testing.assert_allclose(field_values(charged), field_values(operator), atol=1e-12)
    theirs, ours = (sim.observe(sim.carry)[1] for sim in (operator, charged))
    assert ours["free_energy_electric"] == pytest.approx(theirs["free_energy_operator"], rel=1e-12)
    assert ours["free_energy_electric"] > 1e-3


def differences(c: np.ndarray, wall: np.ndarray, h: float) -> np.ndarray:
    """The potential between electrodes at x = 0 and, with the values of ``wall``, at the other end, by five-point differences."""
    n, m = c.shape
    second = [diags([np.ones(k - 1), -2 * np.ones(k), np.ones(k - 1)], [-1, 0, 1]).tolil() for k in (n, m)]
    for matrix, corner in zip(second, (-3.0, -1.0), strict=True):
        matrix[0, 0] = matrix[-1, -1] = corner
    laplacian = (kron(second[0], eye_array(m)) + kron(eye_array(n), second[1])) / h**2
    right = -0.4 * (c - 0.3) / 2
    right[-1] -= 2 * wall / h**2
    return spsolve(laplacian.tocsc(), right.ravel()).reshape(n, m)


def test_potential_between_electrodes() -> None:
    """Against finite differences, which come closer in second order, and one step against the equation written out."""
    errors = []
    for fine in (2, 4):
        spec = specify(*PLATE, f"grid.shape=[{12 * fine},{15 * fine}]", "grid.length=[12,15]", BETWEEN)
        sim = Simulation(spec)
        c = field_values(sim)[0]
        phi = potential(sim.model.settings["electric"], sim.grid, {"c": c})
        y = sim.grid.axes[1].centers
        errors.append(np.abs(phi - differences(c, np.cos(np.pi * y / 15), 1 / fine)).max())
    print(f"largest differences {errors[0]:.1e}, {errors[1]:.1e}")
    assert errors[1] < 2e-3
    assert errors[0] / errors[1] > 3.5
    dt = 1e-7
    sim = simulation(*PLATE, BETWEEN, "time.adaptive=false", "time.scheme=etd1", f"time.dt={dt}", "time.end=1")
    before, charged = field_values(sim)[0], sim.model.settings["electric"]
    energy = sim.observe(sim.carry)[1]
    sim.advance(1.0)
    k2 = np.add.outer(*((np.pi * np.arange(n) / n) ** 2 for n in (12, 15)))
    w, kappa, mobility = (
        sim.model.parameters["W"],
        sim.model.order_parameters[0].kappa,
        sim.model.order_parameters[0].mobility,
    )
    phi = potential(charged, sim.grid, {"c": before})
    mu = 2 * w * before * (1 - before) * (1 - 2 * before) + 0.4 * phi
    rate = idctn(-mobility * k2 * (dctn(mu) + kappa * k2 * dctn(before)))
    np.testing.assert_allclose((field_values(sim)[0] - before) / dt, rate, atol=1e-5 * np.abs(rate).max())
    rho, earthed = 0.4 * (before - 0.3), replace(charged, electrodes=dict.fromkeys(("left", "right"), 0))
    alone = potential(earthed, sim.grid, {"c": before})
    assert energy["free_energy_electric"] == pytest.approx((rho * alone).sum() / 2, rel=1e-10)
    assert energy["free_energy_electrodes"] == pytest.approx((rho * (phi - alone)).sum(), rel=1e-10)


def test_two_ions_screen_an_electrode() -> None:
    """Debye and Hueckel: ideal ions of both signs beside an electrode of small potential, phi = phi_0 sinh((L - x)/l)/sinh(L/l).

    With f = (a^2 + b^2)/2 about a mean, potentials are a + z phi and b - z phi, and 1/l^2 = 2 z^2/eps.
    """
    z, eps, length, top = 1.0, 2.0, 8.0, 0.1
    sim = simulation(
        "model=precipitate", "model.energy=c**2/2+eta**2/2", "model.fields.c.kappa=0", "model.fields.eta.kappa=0",
        "model.fields.eta.kinetics=conserved", "model.fields.eta.mobility=1", "initial.c=0", "initial.eta=0", "grid.shape=[64]",
        f"grid.length={length}", "grid.boundary=no-flux", "time.end=200", "time.tolerance=0.01",
        f"model.electric={{charge: {z}*c-{z}*eta, permittivity: {eps}, potential: {{left: {-top}, right: {top}}}}}",
    )  # fmt: skip
    a, b = field_values(run(sim, 200.0))
    assert abs(a.mean()) < 1e-12
    np.testing.assert_allclose(a, -b, atol=1e-9)
    phi = potential(sim.model.settings["electric"], sim.grid, {"c": a, "eta": b})
    x, screening = sim.grid.axes[0].centers - length / 2, math.sqrt(eps / (2 * z**2))
    exact = top * np.sinh(x / screening) / math.sinh(length / 2 / screening)
    np.testing.assert_allclose(phi, exact, atol=2e-4)
    np.testing.assert_allclose(a, -z * exact, atol=2e-3)


@pytest.mark.parametrize(
    ("electric", "key", "said"),
    [
        ("{charge: c**2, permittivity: 1}", ".charge", "is not linear in the fields"),
        ("{charge: x*c, permittivity: 1}", ".charge", "depends on place or time"),
        ("{charge: q*c, permittivity: 1}", ".charge", "'q'"),
        ("{charge: c}", ".permittivity", "is missing"),
        ("{charge: c, permittivity: 0}", ".permittivity", "is 0"),
        ("{charge: c, permittivity: 1, potential: {left: 1}}", ".potential", "names left of left, right"),
        ("{charge: c, permittivity: 1, potential: {front: 1}}", ".potential.front", "does not exist on a 2-D grid"),
        ("{charge: c, permittivity: 1, potential: {left: 0, right: sin(x)}}", ".potential.right", "depends on x"),
        ("{charge: c, permittivity: 1, potential: {left: 0, right: sin(y+t)}}", ".potential.right", "in time at once"),
        ("{charge: c, permittivity: 1, potential: {left: 0, right: 1/t}}", ".potential.right", "is nan at t = 0"),
        ("{charge: c, permittivity: 1, voltage: 3}", ".voltage", "voltage"),
    ],
)
def test_bad_charges_are_named(electric: str, key: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        simulation(*PLATE, f"model.electric={electric}")
    assert key.removeprefix(".") in str(caught.value)
    assert said in str(caught.value)


def test_electrodes_need_walls() -> None:
    keys: Any = (
        *PLATE,
        "grid.boundary=periodic",
        "model.electric={charge: c, permittivity: 1, potential: {left: 0, right: 1}}",
    )
    with pytest.raises(ConfigError, match="the grid is periodic along x"):
        simulation(*keys)
