"""Forces, which derive from no energy: their part in a solution, the slope that steps feel, the growth that is followed."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sympy as sp
from verify import T, X, field_values, run, solve, specify

from phasefield.errors import ConfigError
from phasefield.models import Amplification
from phasefield.models.analysis import manufactured_source
from phasefield.simulation import Simulation, build_model


def test_a_force_is_part_of_what_a_solution_is_made_for() -> None:
    spec = specify(
        "model=cahn_hilliard", "model.fields.c.force=0.3*c**2+0.2*sin(x)*cos(t)", "grid.shape=[24]", f"grid.length={2 * math.pi}",
        "time.scheme=etdms3", "time.adaptive=false", f"time.dt={1 / 512}",
    )  # fmt: skip
    solution = {"c": sp.Rational(1, 2) + sp.cos(X) * (1 + T) / 5}
    _, error = solve(spec, solution, manufactured_source(build_model(spec), solution), 0.25)
    print(f"{error:.1e}")
    assert error < 1e-7


@pytest.mark.parametrize("scheme", ["etdms3", "imex1"])
def test_the_stabiliser_covers_the_slope_of_a_force(scheme: str) -> None:
    """A relaxation by a force alone, which an explicit step took 9259 and 4364 steps for."""
    keys = "model=allen_cahn", "model.energy=0*eta", "model.fields.eta.kappa=0", "grid.shape=[8]", "initial.eta=0.1"
    force = "model.fields.eta.force=-100*(1+0.5*sin(2*pi*x/8))*(eta-0.5)"
    sim = Simulation(specify(*keys, force, "time.end=50", f"time.scheme={scheme}"))
    steepest = 100 * (1 + 0.5 * math.sin(2 * math.pi * 2.5 / 8))
    assert sim.stabilizers[0] == pytest.approx(sim.scheme.margin * steepest, rel=0.1)
    np.testing.assert_allclose(field_values(run(sim, 50.0)), 0.5, atol=1e-6)
    print(scheme, sim.carry.step)
    assert sim.carry.step < 400


def test_growth_by_a_force_is_followed_as_that_by_an_energy() -> None:
    rates = []
    for keys in (("model.energy=-eta**2/2",), ("model.energy=0*eta", "model.fields.eta.force=eta")):
        sim = Simulation(specify("model=allen_cahn", "grid.shape=[16]", "initial.eta=0.1", *keys))
        rates.append(Amplification(sim.model, sim.grid, 1e-14).rate([0.0], [1e-3]))
    assert rates[1] == pytest.approx(rates[0], rel=1e-9)


@pytest.mark.parametrize(
    ("key", "law", "text"),
    [("mobility", "{c: 1.0, d: 0.1*sqrt(d)}", "0.1*sqrt(d)"), ("source", "log(d)", "log(d)"), ("force", "x*log(d)", "x*log(d)")],
)  # fmt: skip
def test_what_is_no_number_at_the_start_is_refused_by_name(key: str, law: str, text: str) -> None:
    second = ("+model.fields.d={kinetics: conserved, kappa: 1.0, mobility: 1.0}", "+initial.d=0.3+0.4*cos(2*pi*x/8)")
    keys = "model=cahn_hilliard", *second, "initial.c=0.5", "grid.shape=[8]", f"model.fields.c.{key}={law}"
    with pytest.raises(ConfigError, match=r"is nan in cell \(3\), where c = 0.5, d = -0.06955") as caught:
        Simulation(specify(*keys))
    assert caught.value.key == f"model.fields.c.{key}"
    assert str(caught.value).startswith(f"model.fields.c.{key}: {text} is nan")
