"""Logarithms beyond the end of their domain: what they become, who is told, and blends that start from pure phases."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import sympy as sp
from verify import model_of, run, specify

import phasefield as pf
from phasefield.models import EnergyModel, below, bounds, continued
from phasefield.simulation import Simulation

PURE = (
    "model=flory_huggins",
    "grid.shape=[64]",
    "initial.phi={kind: slab, axis: x, from: 16, to: 48, inside: 1, outside: 0, width: 1}",
)


def blend(energy: str, **parameters: float) -> EnergyModel:
    fields = [{"name": n, "kinetics": "conserved", "mobility": 1.0, "kappa": 1.0} for n in "ab"]
    return EnergyModel.build("test", energy, fields, parameters)


@pytest.mark.parametrize(
    ("energy", "arguments"),
    [
        ("a*log(a) + b*log(b)", "a, b"),
        ("(1 - a - b)*log(1 - a - b)/n + a*log(a)/n", "-a - b + 1, a"),
        ("a*log(a/(1 - a)) + b**2", "1 - a, a"),
        ("log(a**2*b)*b", "a, b"),
        ("a*log(n*a/(1 - b))", "1 - b, a"),
        ("sqrt(a) + b**1.5 + a**n", "a, b"),
        ("log(1 + a**2) + 1/a + b**-2 + sqrt(a**2 + b**2) + log(n)", ""),
    ],
)
def test_arguments_are_found_and_the_energy_is_smooth(energy: str, arguments: str) -> None:
    model = blend(energy, n=2.5)
    wanted = [sp.sympify(x, {s.name: s for s in model.unknowns}) for x in arguments.split(", ") if x]
    initial = np.array([[0.2, 0.4], [0.1, 0.3]])
    found = bounds(model, initial, 1e-3)
    other = continued(model, found)
    assert {a for a, _ in below(other, found)} == set(wanted)
    expressions = [model.energy, *model.potentials, *model.hessian]
    swapped = [other.energy, *other.potentials, *other.hessian]
    inside = np.random.default_rng(1).uniform(0.01, 0.45, (2, 50))
    np.testing.assert_allclose(other.evaluate(swapped, inside), model.evaluate(expressions, inside), rtol=1e-12)
    for argument, bound in below(other, found):  # across the bound, and on to beyond the end of the domain
        s = next(s for s in model.unknowns if s in argument.free_symbols)
        point = np.array([[0.3], [0.3]])
        i = model.unknowns.index(s)
        slope = float(argument.coeff(s))
        rest = argument.xreplace({u: sp.Float(0.3) for u in model.unknowns if u != s})
        at = float(sp.solve(rest - bound, s)[0])
        below_, above = (point.copy() for _ in range(2))
        below_[i], above[i] = at - 1e-9 * bound * np.sign(slope), at + 1e-9 * bound * np.sign(slope)
        np.testing.assert_allclose(*(other.evaluate(swapped, p) for p in (below_, above)), rtol=1e-6, atol=1e-9)
        beyond = point.copy()
        beyond[i] = at - 3 * bound * np.sign(slope)
        assert np.isfinite(other.evaluate(swapped, beyond)).all()


def test_bounds_have_the_size_of_the_arguments() -> None:
    model = blend("a*log(a) + b*log(1 - b)")
    found = bounds(model, np.array([[1e-12, 3e-12], [0.0, 0.5]]), 1e-6)
    assert sorted(b for _, b in below(continued(model, found), found)) == pytest.approx([3e-18, 1e-6])


def test_a_start_far_outside_is_left_to_fail() -> None:
    model = model_of("flory_huggins")
    for initial, arguments in ((np.full((1, 4), 1.5), {"phi"}), (np.array([[-1e-6, 0.5, 1.0]]), {"phi", "1 - phi"})):
        found = bounds(model, initial, 1e-7)
        assert {str(a) for a, _ in below(continued(model, found), found)} == arguments


@pytest.mark.parametrize(("chi", "energy"), [(2.5, -5.334013), (4.5, 0.440189), (8.0, 1.358563)])
def test_a_blend_from_pure_phases(chi: float, energy: float) -> None:
    """F(5) against an implicit solution: SciPy's Radau at rtol 1e-10 for the cells with the same Laplacian."""
    sim = run(Simulation(specify(*PURE, f"model.parameters.chi={chi}", "time.end=5")), 5.0)
    print(chi, sim.carry.step, sim.rejected, sim.carry.energy)
    assert sim.carry.energy == pytest.approx(energy, rel=1e-3)
    assert sim.carry.step < 3000


def test_resumes_to_the_same_bits_across_changes_of_the_stabiliser() -> None:
    spec = specify(*PURE, "time.end=5")
    sim = Simulation(spec)
    first = sim.stabilizers
    for _ in range(20):
        sim.advance(5.0)
    other = Simulation(spec, sim.state())
    for s in (sim, other):
        for _ in range(30):
            s.advance(5.0)
    assert first != other.stabilizers == sim.stabilizers
    np.testing.assert_array_equal(sim.backend.to_host(sim.carry.u), other.backend.to_host(other.carry.u))


def test_visits_are_counted_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    overrides = (*PURE, "device=cpu", "threads.cpu=1", "output.observables=[free_energy]", "output.picture=false")
    with caplog.at_level(logging.WARNING, "phasefield"):
        history = pf.run(*overrides, "time.end=1e-3", f"output.dir={tmp_path / 'run'}").history
    assert history.continued_cells[0] > 10
    assert history.continued_cells[-1] == 0
    assert "phi < 1e-07" in history.continued_cells.long_name
    told = [r.getMessage() for r in caplog.records if "continued" in r.getMessage()]
    assert len(told) == 1
    assert "model.log_bound" in told[0]
    assert "log_bound: 1.0e-07" in (tmp_path / "run" / "config.yaml").read_text()
    assert "log" in history.attrs["model_formula"]
    assert "cases" not in history.attrs["model_formula"]
