"""A gradient coefficient for every axis is a grid that is stretched, and fronts across the axes have the energies of theirs."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sympy as sp
from verify import X, Y, field_values, run, specify

from phasefield.errors import ConfigError
from phasefield.models.analysis import manufactured_source
from phasefield.simulation import Simulation, build_model

START = "initial.eta=0.1+0.6*cos(2*pi*{x})*cos(2*pi*{y})+0.2*sin(2*pi*{y})"


@pytest.mark.parametrize("boundary", [pytest.param("periodic", marks=pytest.mark.slow), "[no-flux,periodic]"])
def test_one_coefficient_per_axis_is_a_stretched_grid(boundary: str) -> None:
    """kappa_y = 4 kappa_x on a square is kappa_x on half the height: the same equation in every mode."""
    common = ("model=allen_cahn", "grid.shape=[24,16]", f"grid.boundary={boundary}", "time.end=1.5")
    along = ("grid.length=[24,24]", "model.fields.eta.kappa=[0.5,2]", START.format(x="x/24", y="y/24"))
    stretched = ("grid.length=[24,12]", "model.fields.eta.kappa=0.5", START.format(x="x/24", y="y/12"))
    one, other = (run(Simulation(specify(*common, *keys)), 1.5) for keys in (along, stretched))
    assert one.carry.step == other.carry.step > 10
    assert np.abs(field_values(one) - field_values(other)).max() < 1e-11
    per_area = [{n: e / s.grid.volume for n, e in s.carry.energies.items()} for s in (one, other)]
    assert per_area[0] == pytest.approx(per_area[1], rel=1e-10)


@pytest.mark.parametrize(("axis", "kappa"), [("x", 16.0), ("y", 4.0)])
def test_a_front_has_the_energy_of_its_axis(axis: str, kappa: float) -> None:
    """2 sqrt(2 kappa_a)/3 per length for f = (1 - eta^2)^2/4, equally in bulk and gradient."""
    sim = Simulation(
        specify(
            "model=allen_cahn",
            "grid.shape=[48,48]",
            "grid.boundary=no-flux",
            "model.fields.eta.kappa={x: 16, y: 4}",
            f"initial.eta=tanh(({axis}-24)/sqrt(2*{kappa}))",
        )
    )
    seen = sim.observe(sim.carry)[1]
    assert seen["free_energy"] == pytest.approx(48 * 2 * math.sqrt(2 * kappa) / 3, rel=2e-5)
    assert seen["free_energy_gradient"] == pytest.approx(seen["free_energy_bulk"], rel=1e-4)


def test_sources_that_are_manufactured_know_the_axes() -> None:
    model = build_model(specify("model=allen_cahn", "model.fields.eta.kappa=[3,5]"))
    source = manufactured_source(model, {"eta": sp.cos(X) + sp.cos(2 * Y)})["eta"]
    local = source - (3 * sp.cos(X) + 20 * sp.cos(2 * Y)) * model.order_parameters[0].mobility
    assert local.subs({X: sp.pi / 2, Y: sp.pi / 4}).evalf() == pytest.approx(0, abs=1e-14)
    assert source.subs({X: 0, Y: sp.pi / 4}).evalf() == pytest.approx(3, abs=1e-12)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("[1,2,3]", "has 3 entries for 2 axes"),
        ("{x: 1, z: 2}", "is for x, z"),
        ("[1,-2]", "is -2.0; a finite number >= 0"),
        ("[1,foo]", "unknown name 'foo'"),
    ],
)
def test_what_fits_no_axes_is_refused(value: str, said: str) -> None:
    with pytest.raises(ConfigError, match=r"model\.fields\.eta\.kappa") as error:
        Simulation(specify("model=allen_cahn", "grid.shape=[8,8]", f"model.fields.eta.kappa={value}"))
    assert said in str(error.value)
