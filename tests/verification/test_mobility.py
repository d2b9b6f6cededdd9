"""Mobilities that depend on the fields and on time."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import sympy as sp
from test_manufactured import END, LENGTH, STEP, TOLERANCE, pattern
from verify import field_values, run, solve, specify, steps

from phasefield.backend import Forward, Inverse
from phasefield.backend.operations import transforms_of
from phasefield.errors import ConfigError, Diverged, ExpressionError
from phasefield.integrators import SCHEMES
from phasefield.models import referenced
from phasefield.models.analysis import manufactured_source
from phasefield.simulation import Simulation, build_model

LANDAU = "model=cahn_hilliard_landau"
DEGENERATE = "model.fields.c.mobility=16*c**2*(1 - c)**2"


def simulation(*keys: str) -> Simulation:
    return Simulation(specify(*keys))


def small(*keys: str) -> Simulation:
    return simulation("model=cahn_hilliard", "grid.shape=[24,20]", "time.end=50", *keys)


# -- the equation ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "boundary", "cells", "law"),
    [
        ("cahn_hilliard_landau", ("periodic", "periodic"), 32, "1/2 + phi**2/2 + sin(3*t)/4"),
        ("cahn_hilliard_landau", ("no-flux",), 48, "1 + phi/4"),
        ("cahn_hilliard_landau", ("fixed", "no-flux"), 32, "1 - phi**2/2"),
        ("cahn_hilliard_landau", ("periodic", "no-flux"), 32, "[1 + phi/4, 1/2 - phi/8]"),
        ("cahn_hilliard_landau", ("periodic", "no-flux"), 32, "[1, 1/4]"),
        ("allen_cahn", ("no-flux", "fixed"), 32, "1/4 + eta**2 + t"),
        pytest.param(
            "cahn_hilliard_landau", ("periodic", "fixed", "no-flux"), 20, "1 - phi**2/2", marks=pytest.mark.slow
        ),
        pytest.param(
            "cahn_hilliard_landau", ("periodic",) * 3, 20, "[1, 1 + phi/4, 1 - phi/4]", marks=pytest.mark.slow
        ),
    ],
    ids=str,
)
def test_manufactured_solutions(model: str, boundary: tuple[str, ...], cells: int, law: str) -> None:
    """On all boundaries, in one to three dimensions, with laws along the axes and in time."""
    name = {"cahn_hilliard_landau": "phi", "allen_cahn": "eta"}[model]
    spec = specify(
        f"model={model}", f"grid.shape={[cells] * len(boundary)}".replace(" ", ""), f"grid.length={LENGTH}",
        f"grid.boundary=[{','.join(boundary)}]", "time.scheme=etdms2", "time.adaptive=false", f"time.dt={STEP}",
        f"model.fields.{name}.mobility={law}", f"time.end={END}",
    )  # fmt: skip
    solution = {name: sp.Rational(3, 5) * pattern(boundary, 0)}
    _, error = solve(spec, solution, manufactured_source(build_model(spec), solution), END)
    print(f"{model} {'/'.join(boundary)} {law}: relative error {error:.1e}")
    assert error < TOLERANCE


def relaxed(scheme: str, dt: float, model: str, law: str) -> np.ndarray:
    sim = simulation(
        f"model={model}", "grid.shape=[8]", f"grid.length={4 * math.pi}", "time.adaptive=false",
        f"time.scheme={scheme}", f"time.dt={dt}", "time.end=1", law,
    )  # fmt: skip
    return field_values(run(sim, 1.0))[0]


CASES = {
    "conserved": (
        LANDAU.removeprefix("model="),
        "model.fields.phi={mobility: 1/2 + phi**2/2 + sin(3*t)/4, initial: 0.1+0.5*cos(x/2)+0.1*sin(x)}",
    ),
    "nonconserved": (
        "allen_cahn",
        "model.fields.eta={mobility: 1/2 + eta**2/2 + sin(3*t)/4, initial: 0.1+0.5*cos(x/2)+0.1*sin(x)}",
    ),
}


@pytest.fixture(scope="module", params=CASES)
def problem(request: pytest.FixtureRequest) -> tuple[str, str, np.ndarray]:
    model, law = CASES[request.param]
    return model, law, relaxed("etdrk4", 1 / 1024, model, law)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_order_in_time(scheme: str, problem: tuple[str, str, np.ndarray]) -> None:
    model, law, reference = problem
    order = SCHEMES[scheme].order
    errors = [
        np.abs(relaxed(scheme, (1 / 256 if order == 1 else 1 / 64) / 2**i, model, law) - reference).max()
        for i in (1, 2)
    ]
    measured = math.log2(errors[0] / errors[1])
    print(f"{scheme}: {measured:.3f}, errors {errors[0]:.1e} {errors[1]:.1e}")
    assert measured == pytest.approx(order, abs=0.15)


@pytest.mark.parametrize("boundary", ["periodic", "no-flux"])
def test_a_law_that_is_constant_is_the_constant(boundary: str) -> None:
    """Also where L is made with another reference, so that the fluxes carry the difference; such a text alone is a number."""
    start = "initial.c=0.5+0.2*cos(2*pi*x/24)*cos(2*pi*y/20)"
    keys = (f"grid.boundary={boundary}", start, "time.scheme=etdrk4", "time.adaptive=false", "time.dt=0.02")
    plain, varying, simplified = (small(*keys, f"model.fields.c.mobility={m}") for m in ("2", "2 + 1e-30*c", "2 + 0*c"))
    assert (plain.model.varies, varying.model.varies, simplified.model.varies) == (False, True, False)
    other = referenced(varying.model, [(3.0,)])
    varying.split.stabilize(varying.stabilizers, other)
    varying.integrator.restart(varying.carry, 0.0)
    found = [field_values(run(sim, 4.0)) for sim in (plain, varying)]
    difference = np.abs(found[0] - found[1]).max()
    print(f"{boundary}: {difference:.1e}")
    assert 0 < difference < 1e-8
