"""`phasefield.models.analysis` against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from verify import PRESETS, model_of, specify

from phasefield.errors import ConfigError, NotConverged
from phasefield.models import EnergyModel, analysis
from phasefield.simulation import build_model


def landau(a: float = -1.3, b: float = 0.7, gamma: float = 0.4, mobility: float = 2.1) -> EnergyModel:
    return build_model(
        specify(
            "model=cahn_hilliard_landau",
            f"model.parameters={{A: {a}, B: {b}}}",
            f"model.fields.phi.kappa={gamma}",
            f"model.fields.phi.mobility={mobility}",
        )
    )


def test_landau_closed_forms() -> None:
    model, (a, b, gamma, mobility) = landau(), (-1.3, 0.7, 0.4, 2.1)
    k = np.linspace(0, 3, 31).reshape(1, 31)
    rates = analysis.growth_rates(model, {"phi": 0.0}, k)
    assert rates.shape == (1, 31, 1)
    np.testing.assert_allclose(rates[..., 0], -mobility * k**2 * (a + gamma * k**2), rtol=1e-13, atol=1e-13)
    assert analysis.fastest_growing_wavenumber(model, {"phi": 0.0}) == pytest.approx(
        math.sqrt(-a / (2 * gamma)), rel=1e-12
    )
    phase = math.sqrt(-a / b)
    assert analysis.binodal(model) == pytest.approx((-phase, phase), rel=1e-12)
    sigma = 2 * math.sqrt(2) / 3 * math.sqrt(gamma) * (-a) ** 1.5 / b
    assert analysis.interface_energy(model, -phase, phase) == pytest.approx(sigma, rel=1e-10)
    assert analysis.interface_energy(model, phase, -phase) == pytest.approx(sigma, rel=1e-10)


def test_tilted_well_has_the_same_interface() -> None:
    """A term linear in the concentration moves the tangent and nothing else."""
    spec = specify("model=cahn_hilliard", "model.energy=W*(c - a)**2*(b - c)**2 + 0.37*c")
    tilted = build_model(spec)
    phases = analysis.binodal(tilted)
    assert phases == pytest.approx((0.0, 1.0), abs=1e-12)
    assert analysis.interface_energy(tilted, *phases) == pytest.approx(math.sqrt(2) / 6, rel=1e-10)


@pytest.mark.parametrize("chi", [2.2, 3.0, 5.0])
def test_flory_huggins_binodal(chi: float) -> None:
    """For equal chains the binodal satisfies log(phi/(1 - phi)) = chi (2 phi - 1)."""
    low, high = analysis.binodal(build_model(specify("model=flory_huggins", f"model.parameters.chi={chi}")))
    assert math.log(low / (1 - low)) == pytest.approx(chi * (2 * low - 1), rel=1e-10)
    assert low + high == pytest.approx(1, abs=1e-11)


def test_asymmetric_blend_satisfies_gibbs() -> None:
    model = build_model(specify("model=flory_huggins", "model.parameters={NA: 2.0, NB: 1.0, chi: 2.0}"))
    low, high = analysis.binodal(model)
    f, mu = model.evaluate([model.energy, model.potentials[0]], np.array([[low, high]]))
    assert mu[0] == pytest.approx(mu[1], abs=1e-12)
    assert f[1] - f[0] == pytest.approx(mu[0] * (high - low), abs=1e-12)
    assert analysis.interface_energy(model, low, high) > 0


@pytest.mark.parametrize("preset", PRESETS)
def test_growth_rates_of_every_preset(preset: str) -> None:
    """The fastest wavenumber is where the largest rate peaks, and short waves always decay."""
    model = model_of(preset)
    state = {s.name: 0.45 for s in model.unknowns}
    fastest = analysis.fastest_growing_wavenumber(model, state)
    peak = analysis.growth_rates(model, state, fastest)[-1]
    assert (analysis.growth_rates(model, state, np.linspace(0, 4, 801))[:, -1] <= peak + 1e-12).all()
    assert (analysis.growth_rates(model, state, 1e3) < 0).all()


def test_errors() -> None:
    model = model_of("allen_cahn")
    with pytest.raises(ConfigError, match="no value for eta"):
        analysis.growth_rates(model, {}, 1.0)
    with pytest.raises(ConfigError, match="outside the domain"):
        analysis.growth_rates(model_of("flory_huggins"), {"phi": -0.5}, 1.0)
    with pytest.raises(ConfigError, match="kappa = 0"):
        analysis.fastest_growing_wavenumber(
            build_model(specify("model=spinodal", "model.fields.c.kappa=0")), {"c": 0.5}
        )
    with pytest.raises(ConfigError, match="one scalar field"):
        analysis.binodal(model_of("precipitate"))
    with pytest.raises(ConfigError, match="do not coexist"):
        analysis.interface_energy(model, -0.9, 1.0)
    with pytest.raises(ConfigError, match="no expression for eta"):
        analysis.manufactured_source(model, {})
    with pytest.raises(NotConverged, match="convex"):
        analysis.binodal(build_model(specify("model=flory_huggins", "model.parameters.chi=1.5")))
    with pytest.raises(NotConverged, match="common tangent"):
        analysis.equilibrium_phases(model, 0.9, 1.1)
