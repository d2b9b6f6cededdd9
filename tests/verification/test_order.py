"""Accuracy in time of every scheme and in space of the spectral method."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from verify import MACHINE, model_of, run, specify

import phasefield as pf
from phasefield.integrators import SCHEMES
from phasefield.simulation import Simulation
from phasefield.specs import SHIPPED
from phasefield.verify.checks import order


def test_help_knows_all_schemes() -> None:
    assert sorted(SHIPPED) == sorted(SCHEMES)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_order_on_a_gradient_flow(scheme: str) -> None:
    measured = order.order_on_a_gradient_flow(MACHINE, scheme)
    print(f"{scheme}: {measured:.3f}")
    assert measured == pytest.approx(SCHEMES[scheme].order, abs=0.1)


def test_outputs_between_steps_leave_the_order_alone(tmp_path: Path) -> None:
    """Steps that were shortened to land on outputs would break the sequence that a multistep scheme lives on."""
    reference, errors = order.converged(MACHINE), []
    for i in (1, 2):
        run = pf.run(
            "model=cahn_hilliard_landau", "grid.shape=[8]", f"grid.length={4 * math.pi}", "device=cpu",
            "time.adaptive=false", f"time.dt={order.LARGEST[3] / 2**i}", "time.end=1", "output.every=0.0317",
            "initial.phi=0.1+0.5*cos(x/2)+0.1*sin(x)", "output.picture=false", f"output.dir={tmp_path}/{i}",
        )  # fmt: skip
        assert int(run.history.step[-1]) == round(2**i / order.LARGEST[3])
        errors.append(np.abs(run.fields.phi.isel(time=-1).values - reference).max())
    assert math.log2(errors[0] / errors[1]) == pytest.approx(3, abs=0.1)


@pytest.mark.parametrize("preset", [pytest.param("allen_cahn", marks=pytest.mark.slow), "cahn_hilliard"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_order_with_a_source_that_moves(scheme: str, preset: str) -> None:
    """Also checks the times at which stages are evaluated."""
    measured = order.order_with_a_source(MACHINE, scheme, preset)
    print(f"{scheme} {preset}: {measured:.3f}")
    assert measured == pytest.approx(SCHEMES[scheme].order, abs=0.1)


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
