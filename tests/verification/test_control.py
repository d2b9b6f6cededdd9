"""What the step control must not take pains with: rates that pass through zero, phases that are no fluctuations."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path

import numpy as np
import pytest
from verify import field_values, run, specify

import phasefield as pf
from phasefield import api
from phasefield.models import Amplification
from phasefield.simulation import Simulation


def test_a_mobility_that_passes_through_zero_is_not_resolved_there() -> None:
    """d eta/dt = -sin(t)^2 eta/2: steps that shrank with the rate took 1463 of them to t = 10, most of them about its zeros."""
    law = "model.fields.eta.mobility=0.5*sin(t)**2"
    sim = Simulation(
        specify("model=allen_cahn", "model.energy=eta**2/2", law, "grid.shape=[8]", "initial.eta=1", "time.end=10")
    )
    found = float(field_values(run(sim, 10.0)).mean())
    assert found == pytest.approx(math.exp(-(10 / 4 - math.sin(20) / 8)), rel=0.005)
    assert sim.carry.step < 500


@pytest.mark.parametrize(("scheme", "steps"), [("imex1", 1500), ("etd1", 1500), ("etdms2", 200), ("etdms3", 120)])
def test_what_oscillates_takes_the_steps_of_its_tolerance(scheme: str, steps: int) -> None:
    """The mean under 0.02 cos(t), which a scheme of first order followed through every zero in tens of thousands."""
    keys = "model=cahn_hilliard", "model.fields.c.source=0.02*cos(t)", "initial.c=0.5", "grid.shape=[8]", "time.end=10"
    sim = run(Simulation(specify(*keys, f"time.scheme={scheme}")), 10.0)
    assert float(field_values(sim).mean()) == pytest.approx(0.5 + 0.02 * math.sin(10), abs=0.005 * 0.02)
    assert sim.carry.step < steps


def test_what_starts_from_zero_is_not_jumped_over() -> None:
    """d eta/dt = t^3 with no time scale of its own: the first step was as long as the run."""
    keys = "model=allen_cahn", "model.energy=0*eta", "model.fields.eta.source=t**3", "initial.eta=0", "grid.shape=[8]"
    found = float(field_values(run(Simulation(specify(*keys, "time.end=50")), 50.0)).mean())
    assert found == pytest.approx(50**4 / 4, rel=0.01)


def test_growth_is_that_of_the_values_which_a_state_takes() -> None:
    """The same as that of its mean and size while it is a Gaussian fluctuation, and none in phases."""
    noise = np.random.default_rng(1).normal(size=4096)

    def rates(model: str, cells: np.ndarray) -> tuple[float, float]:
        sim = Simulation(specify(f"model={model}", "grid.shape=[4096]", "initial.eta=0.1"))
        growth = Amplification(sim.model, sim.grid, 1e-14)
        sample, sizes = [cells.reshape(-1, *sim.layout.cells)[growth.picks[0]]], cells.std(axis=1).tolist()
        return growth.rate(cells.mean(axis=1).tolist(), sizes), growth.measured(sample, sizes)

    expected, found = rates("allen_cahn", 0.1 + 0.2 * noise[None, :])
    assert found == pytest.approx(expected, rel=0.03)
    expected, found = rates("grain_growth", np.repeat(np.eye(3), [2000, 1500, 596], axis=1))
    assert expected > 0.1
    assert found == 0


def test_a_target_that_is_not_ahead_is_refused() -> None:
    sim = Simulation(specify("model=allen_cahn", "grid.shape=[8]", "time.end=1"))
    run(sim, 1.0)
    for target in (1.0, 0.5, math.nan):
        with pytest.raises(ValueError, match="the state is at t = 1 already"):
            sim.advance(target)


def test_what_follows_a_mobility_goes_on_with_it() -> None:
    """References of a mobility follow it in time, and so does the growth of fluctuations: a resumed run has the same bits."""
    keys = (
        "model=allen_cahn", "model.fields.eta.mobility=(0.2+sin(t)**2)*(1+eta**2)", "grid.shape=[32]", "time.end=20",
        "initial.eta={kind: noise, mean: 0, amplitude: 0.1}",
    )  # fmt: skip
    whole = Simulation(specify(*keys))
    while whole.carry.step < 120:
        whole.advance(20.0)
    arrays, numbers = whole.state()
    kept = {name: array.copy() for name, array in arrays.items()}
    part = Simulation(specify(*keys), checkpoint=(kept, json.loads(json.dumps(numbers))))
    for _ in range(20):
        whole.advance(20.0)
        part.advance(20.0)
    assert part.carry.sizes == whole.carry.sizes
    assert (field_values(part) == field_values(whole)).all()


def test_a_later_end_is_told_where_steps_were_made_for_an_earlier_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """S covers what parameters and walls do until the end, so that results are not those of a longer run to the last bit; so does
    the mesh of times that steps follow a source or a mobility by."""
    keys = "grid.shape=[8]", "time.end=1", "output.picture=false", "device=cpu"
    caplog.set_level(logging.INFO, "phasefield")
    laws = (
        ("moving", "model.parameters.W=1+0.3*sin(t)", True), ("still", "model.parameters.W=1", False),
        ("fed", "model.fields.c.source=0.1*sin(t)", True), ("slow", "model.fields.c.mobility=2+sin(t)", True),
    )  # fmt: skip
    for name, law, moves in laws:
        pf.run("model=cahn_hilliard", law, *keys, f"output.dir={tmp_path}/{name}")
        caplog.clear()
        pf.resume(tmp_path / name, "time.end=2")
        assert ("time.end was 1 when this run began" in caplog.text) == moves


@pytest.mark.parametrize("stepping", ["time.adaptive=true", "time.adaptive=false"])
def test_a_later_end_has_the_stabiliser_that_it_needs(stepping: str) -> None:
    """W grows after the end that S was made for: fixed steps went on with the old S, adaptive ones for as many steps again."""
    keys = (
        "model=allen_cahn", "model.energy=W*(1-eta**2)**2/4", "+model.parameters.W=1+t", "grid.shape=[8]", stepping,
        "time.dt=0.125", "initial.eta=0.9",
    )  # fmt: skip
    first = run(Simulation(specify(*keys, "time.end=1")), 1.0)
    assert first.stabilizers == pytest.approx([4.0], rel=0.01)
    arrays, numbers = first.state()
    kept = {name: array.copy() for name, array in arrays.items()}
    numbers = json.loads(json.dumps(numbers))
    assert Simulation(specify(*keys, "time.end=1"), checkpoint=(dict(kept), numbers)).stabilizers == first.stabilizers
    later = Simulation(specify(*keys, "time.end=9"), checkpoint=(kept, numbers))
    assert later.stabilizers == pytest.approx([20.0], rel=0.01)
    assert float(field_values(run(later, 9.0)).mean()) == pytest.approx(1.0, abs=1e-6)


def test_times_that_differ_by_round_off_are_one(tmp_path: Path) -> None:
    """3 times 0.1 is not 0.3 in binary numbers: no step of what is between them, which would end what steps know of the past."""
    made = api.run(
        "model=allen_cahn", "grid.shape=[8]", "time.end=0.4", "output.every={times: [0.3]}", "output.history=0.1",
        "output.picture=false", "device=cpu", "threads.cpu=1", f"output.dir={tmp_path / 'run'}",
    )  # fmt: skip
    times = made.history.time.values
    assert made.fields.time.values.tolist() == [0.0, 0.3, 0.4]
    assert np.diff(times).min() > 1e-6
