"""Accuracy in time of every scheme and in space of the spectral method."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import sympy as sp
from verify import T, X, field_values, model_of, run, solve, specify

import phasefield as pf
from phasefield.integrators import SCHEMES
from phasefield.models.analysis import manufactured_source
from phasefield.simulation import Simulation
from phasefield.specs import SHIPPED

#: Largest step of each order: small enough for the leading error term, large enough to stay clear of round-off. The grids are
#: coarse, for it is the ordinary differential equations of their few modes that are solved to the order of the scheme.
LARGEST = {1: 1 / 256, 2: 1 / 64, 3: 1 / 64, 4: 1 / 64}


def decomposition(scheme: str, dt: float) -> np.ndarray:
    sim = Simulation(
        specify(
            "model=cahn_hilliard_landau",
            "grid.shape=[8]",
            f"grid.length={4 * math.pi}",
            "time.adaptive=false",
            f"time.scheme={scheme}",
            f"time.dt={dt}",
            "initial.phi=0.1+0.5*cos(x/2)+0.1*sin(x)",
        )
    )
    return field_values(run(sim, 1.0))[0]


@pytest.fixture(scope="module")
def reference() -> np.ndarray:
    return decomposition("etdrk4", 1 / 2048)


def test_help_knows_all_schemes() -> None:
    assert sorted(SHIPPED) == sorted(SCHEMES)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_order_on_a_gradient_flow(scheme: str, reference: np.ndarray) -> None:
    order = SCHEMES[scheme].order
    errors = [np.abs(decomposition(scheme, LARGEST[order] / 2**i) - reference).max() for i in (1, 2)]
    measured = math.log2(errors[0] / errors[1])
    print(f"{scheme}: {measured:.3f}, errors {errors[0]:.1e} {errors[1]:.1e}")
    assert measured == pytest.approx(order, abs=0.1)


def test_outputs_between_steps_leave_the_order_alone(tmp_path: Path, reference: np.ndarray) -> None:
    """Steps that were shortened to land on outputs would break the sequence that a multistep scheme lives on."""
    errors = []
    for i in (1, 2):
        run = pf.run(
            "model=cahn_hilliard_landau", "grid.shape=[8]", f"grid.length={4 * math.pi}", "device=cpu",
            "time.adaptive=false", f"time.dt={LARGEST[3] / 2**i}", "time.end=1", "output.every=0.0317",
            "initial.phi=0.1+0.5*cos(x/2)+0.1*sin(x)", "output.picture=false", f"output.dir={tmp_path}/{i}",
        )  # fmt: skip
        assert int(run.history.step[-1]) == round(2**i / LARGEST[3])
        errors.append(np.abs(run.fields.phi.isel(time=-1).values - reference).max())
    assert math.log2(errors[0] / errors[1]) == pytest.approx(3, abs=0.1)


@pytest.mark.parametrize("preset", [pytest.param("allen_cahn", marks=pytest.mark.slow), "cahn_hilliard"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_order_with_a_source_that_moves(scheme: str, preset: str) -> None:
    """Also checks the times at which stages are evaluated."""
    order, model = SCHEMES[scheme].order, model_of(preset)
    name = model.unknowns[0].name
    solution = {name: sp.Rational(2, 5) + sp.cos(X / 2) * (sp.Rational(3, 10) + sp.sin(2 * T) / 5)}
    source = manufactured_source(model, solution)
    errors = []
    for i in (1, 2):
        spec = specify(
            f"model={preset}",
            "grid.shape=[8]",
            f"grid.length={4 * math.pi}",
            "time.adaptive=false",
            f"time.scheme={scheme}",
            f"time.dt={LARGEST[order] / 2**i}",
        )
        errors.append(solve(spec, solution, source, 1.0)[1])
    measured = math.log2(errors[0] / errors[1])
    print(f"{scheme} {preset}: {measured:.3f}, errors {errors[0]:.1e} {errors[1]:.1e}")
    assert measured == pytest.approx(order, abs=0.1)


def spectrum(preset: str, boundary: str, n: int) -> np.ndarray:
    """Amplitude of the first 49 modes after a run with the same steps and stabiliser on every grid: only space differs."""
    name = model_of(preset).unknowns[0].name
    sim = Simulation(
        specify(
            f"model={preset}",
            f"model.fields.{name}.stabilizer=1",
            f"grid.shape=[{n}]",
            f"grid.length={4 * math.pi}",
            f"grid.boundary={boundary}",
            "time.adaptive=false",
            "time.scheme=etdrk4",
            "time.dt=0.02",
            f"initial.{name}=0.1+0.7*cos(x/2)",
        )
    )
    modes = sim.backend.to_host(run(sim, 1.0).carry.u)[0, 0, 0]
    amplitude = np.abs(modes.view(complex) if sim.grid.complex_modes else modes)[:49]
    return np.pad(amplitude, (0, 49 - amplitude.size))


@pytest.mark.parametrize("boundary", ["periodic", "no-flux"])
@pytest.mark.parametrize("preset", ["allen_cahn", "cahn_hilliard_landau"])
def test_error_in_space_falls_faster_than_any_power(preset: str, boundary: str) -> None:
    """The rate of convergence itself grows with the number of cells, until nothing is left."""
    reference = spectrum(preset, boundary, 96)
    errors = [np.abs(spectrum(preset, boundary, n) - reference).max() for n in (8, 16, 32, 64)]
    print(preset, boundary, [f"{e:.1e}" for e in errors])
    powers = [math.log2(a / b) for a, b in itertools.pairwise(errors[:3])]
    assert powers[1] > powers[0] + 2
    assert errors[-1] < 1e-12
