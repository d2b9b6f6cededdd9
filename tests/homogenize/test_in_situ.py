"""Effective properties among the observables of a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray

import phasefield as pf
from phasefield.api import resume, spec_of
from phasefield.errors import ConfigError
from phasefield.homogenize import command
from phasefield.running import simulation_of

_PHASES = (
    "{phases: {a: {stiffness: {E: 1, nu: 0.3}, conductivity: 1}, b: {stiffness: {E: 10, nu: 0.2}, conductivity: 10}}}"
)


def options(folder: Path, *more: str) -> list[str]:
    return [
        "model=spinodal", "grid.shape=[20,20]", "initial.c={kind: noise, mean: 0.5, amplitude: 0.1}", "time.end=40",
        "output.every=20", "output.history=20", "output.observables=[free_energy,stiffness,conductivity]",
        f"homogenize.material={_PHASES}", "homogenize.levels=[0.3,0.7]", f"output.dir={folder}", "output.picture=false", *more,
    ]  # fmt: skip


def test_properties_along_a_run_are_those_of_its_snapshots(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run = pf.run(*options(folder))
    history = run.history.load()
    material = tmp_path / "material.yaml"
    material.write_text(_PHASES)
    keys = [
        f"material={material}",
        "levels=[0.3,0.7]",
        "times=all",
        "two_grid=false",
        "mixing=false",
        "properties=[stiffness,conductivity]",
    ]
    target, _, _ = command.run(folder, keys)
    later = xarray.load_dataset(target, decode_times=False)
    np.testing.assert_allclose(history.stiffness.values, later.stiffness.values, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(history.conductivity.values, later.conductivity.values, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(history.stiffness_K, later.stiffness_K, rtol=1e-5)
    np.testing.assert_allclose(
        history.conductivity_mean, np.trace(later.conductivity.values, axis1=1, axis2=2) / 3, rtol=1e-5
    )
    assert list(history.row.values) == ["xx", "yy", "zz", "yz", "xz", "xy"]
    assert "free_energy" in history


def test_a_resumed_run_has_the_same_properties(tmp_path: Path) -> None:
    whole = pf.run(*options(tmp_path / "whole")).history.load()
    pf.run(*options(tmp_path / "parts", "time.max_steps=12"))
    parts = resume(tmp_path / "parts", "time.max_steps=null").history.load()
    np.testing.assert_array_equal(whole.stiffness.values[-1], parts.stiffness.values[-1])


@pytest.mark.parametrize(
    ("end", "reason"),
    [("time.max_steps=12", "max_steps"), ("time.steady=2.5", "steady"), ("time.end=2", "finished")],
)
def test_by_default_they_are_computed_for_snapshots(tmp_path: Path, end: str, reason: str) -> None:
    run = pf.run(*options(tmp_path / "run", "output.history=null", "output.every=1", end))
    assert run.outcome is not None
    assert run.outcome.reason == reason
    history, snapshots = run.history, run.fields.time.values
    known = np.isin(history.time.values, snapshots)
    assert history.time.values[-1] == snapshots[-1]
    assert known.sum() == len(snapshots) < len(known)
    assert np.isfinite(history.free_energy).all()
    for name in ("stiffness", "stiffness_K", "conductivity", "conductivity_mean"):
        finite = np.isfinite(history[name].values.reshape(len(known), -1))
        np.testing.assert_array_equal(finite.all(axis=1), known)
        np.testing.assert_array_equal(finite.any(axis=1), known)
        assert "NaN in other rows" in history[name].attrs["comment"]
    assert (
        "stiffness, conductivity: computed for snapshots only; set output.history" in (run.path / "run.log").read_text()
    )
    asked = pf.run(*options(tmp_path / "asked", "output.history={steps: 1}", "time.max_steps=2"))
    assert np.isfinite(asked.history.stiffness).all()
    assert "comment" not in asked.history.stiffness.attrs
    assert "for snapshots only" not in (asked.path / "run.log").read_text()


def test_order_parameters_make_a_polycrystal() -> None:
    keys = ["model=grain_growth", "grid.shape=[16,16]", "model.fields.eta.components=4", "homogenize.material=cu"]
    sim = simulation_of(spec_of(*keys, "output.observables=[stiffness]"))
    values = sim.observe(sim.carry)[1]
    assert values["stiffness"].shape == (6, 6)
    assert values["stiffness_K"] == pytest.approx((168.4e9 + 2 * 121.4e9) / 3, rel=1e-6)


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("homogenize.material=null", "homogenize.material: is not given"),
        ("homogenize.material=unobtainium", "homogenize.material"),
        ("homogenize.levels=null", "homogenize.levels: is missing"),
        ("homogenize.field=d", "homogenize.field"),
        ("homogenize.voxl=sharp", "voxl"),
        ("homogenize.solver.tolerance=much", "solver.tolerance"),
        ("output.observables=[stifness]", "stifness"),
        ("output.observables=[permittivity]", r"homogenize.material.phases.a.permittivity: is missing"),
        ("homogenize.material={phases: {a: void, b: void, c: void}}", r"homogenize.material.phases: has 3 phases"),
        ("grid.shape=[20]", r"homogenize.plane: is stress"),
    ],
)
def test_slips_of_the_pen(tmp_path: Path, key: str, says: str) -> None:
    more = ["homogenize.plane=stress"] if key.startswith("grid") else []
    with pytest.raises(ConfigError, match=says):
        simulation_of(spec_of(*options(tmp_path / "run", key, *more)))


def test_a_solve_that_fails_leaves_nan_and_a_message(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = pf.run(*options(tmp_path / "run", "homogenize.solver.max_iterations=1", "homogenize.solver.tolerance=1e-12"))
    history = run.history.load()
    assert np.isnan(history.stiffness.values[-1]).all()
    assert np.isnan(history.conductivity_mean.values[-1])
    assert np.isfinite(history.free_energy.values).all()
    assert "the solver stopped after 1 iterations" in caplog.text + (tmp_path / "run" / "run.log").read_text()


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("homogenize.fields=true", "homogenize.fields: means nothing along a run"),
        ("homogenize.boundary=all", "homogenize.boundary: is all, but a row holds one tensor"),
        ("homogenize={threads: 1, solver: {threads: 2}}", "is given twice, as threads and as solver.threads"),
    ],
)
def test_keys_that_make_no_sense_along_a_run(tmp_path: Path, key: str, message: str) -> None:
    given = [
        o
        for o in options(tmp_path / "run", key)
        if not (key.startswith("homogenize={") and o.startswith("homogenize.l"))
    ]
    with pytest.raises(ConfigError) as caught:
        pf.run(*given)
    assert message in str(caught.value)
