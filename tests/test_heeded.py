"""Keys that are set and that nothing heeds are told, and none of a preset is."""

from __future__ import annotations

import pytest

import phasefield as pf
from phasefield import presets
from phasefield.api import spec_of
from phasefield.heeded import idle
from phasefield.problem import build_model


def told(*overrides: str) -> dict[str, str]:
    spec = spec_of(*overrides)
    return dict(idle(spec, build_model(spec)))


@pytest.mark.parametrize("preset", presets.names("model"))
def test_every_key_of_a_preset_is_heeded(preset: str) -> None:
    assert told(f"model={preset}", "time.tolerance=0.01", "time.dt_max=1") == {}


@pytest.mark.parametrize(
    ("keys", "key", "why"),
    [
        (("time.adaptive=false", "time.dt=1", "time.tolerance=0.01"), "time.tolerance", "time.adaptive is false"),
        (("time.adaptive=false", "time.dt=1", "time.dt_max=3"), "time.dt_max", "time.adaptive is false"),
        (("model.log_bound=1e-5",), "model.log_bound", "no logarithm"),
        (("time.dt=0.1",), "time.dt", "the first step alone"),
        (("initial.c=0.5+0.1*cos(x)", "seed=2"), "seed", "nothing is random"),
        (
            ("initial.c={kind: circles, radii: 3, centers: [[8, 8]], spacing: 2}",),
            "initial.c.spacing",
            "count is not given",
        ),
        (
            ("initial.c={kind: sum, terms: [{kind: noise, amplitude: 0, distribution: normal}, 0.5]}",),
            "initial.c.terms[0].distribution",
            "initial.c.terms[0].amplitude is 0",
        ),
        (
            ("model.fields.c.noise=1e-3", "model.fields.c.mobility=0"),
            "model.fields.c.noise",
            "model.fields.c.mobility is 0",
        ),
        (("model.fields.c.force=c*cos(x)", "model.fields.c.mobility=0"), "model.fields.c.force", "multiplies it"),
        (("grid.boundary=no-flux", "model.fields.c.walls={left: {}}"), "model.fields.c.walls.left", "no datum"),
        (
            ("grid.boundary=no-flux", "model.fields.c.walls={left: {energy: 2*W}}"),
            "model.fields.c.walls.left.energy",
            "whatever the fields are",
        ),
        (
            ("model.fields.c.eigenstrain=0.01", "model.elastic={stiffness: {E: 200, nu: 0.3}, unit: 1 GPa}"),
            "model.elastic.unit",
            "neither the stiffness nor the load",
        ),
        (
            (
                "model.fields.c.eigenstrain=0.01",
                "model.elastic={stiffness: {E: 200, nu: 0.3}, orientation: {euler: [0.1, 0.2, 0.3]}}",
            ),
            "model.elastic.orientation",
            "is the same in it",
        ),
        (("homogenize.levels=2",), "homogenize", "names no effective property"),
        (("model.fields.c.convexify=true",), "model.fields.c.convexify", "does not depend on the normal"),
    ],
)
def test_what_nothing_heeds_is_told(keys: tuple[str, ...], key: str, why: str) -> None:
    found = told("model=cahn_hilliard", *keys)
    assert list(found) == [key]
    assert why in found[key]


@pytest.mark.parametrize(
    ("law", "why"),
    [("rate: 0, radius: 2, every: 1", "no nucleus ever appears"), ("rate: 1, radius: 2, every: 11", "time.end is 10")],
)
def test_nuclei_that_never_appear_are_told(law: str, why: str) -> None:
    found = told("model=allen_cahn", "time.end=10", f"model.fields.eta.nucleation={{{law}}}")
    assert why in found["model.fields.eta.nucleation"]


@pytest.mark.parametrize(
    "keys",
    [
        ("initial.c={kind: sum, terms: [{kind: noise, amplitude: 0.1}, 0.5]}",),
        ("initial.c={kind: circles, count: 2, radius: 3, spacing: 1}",),
        ("initial.c=0.5", "model.fields.c.noise=1e-3"),
        ("time.adaptive=false", "time.dt=0.1"),
    ],
)
def test_what_something_heeds_is_not_told(keys: tuple[str, ...]) -> None:
    assert told("model=cahn_hilliard", *keys, *("seed=2",) * ("time.dt=0.1" not in keys)) == {}


def test_a_parameter_of_a_file_that_no_expression_has_is_told() -> None:
    """One of the command line is refused: it is a slip of the pen."""
    spec = spec_of("model=cahn_hilliard")
    spec.model.parameters["WW"] = 2.0
    assert [key for key, _ in idle(spec, build_model(spec))] == ["model.parameters.WW"]


def test_a_parameter_of_the_initial_values_is_heeded() -> None:
    assert told("model=cahn_hilliard", "+model.parameters.a=0.1", "initial.c=0.5+a*cos(x)") == {}


def test_it_is_told_by_a_run(tmp_path, caplog: pytest.LogCaptureFixture) -> None:  # type: ignore[no-untyped-def]
    keys = (
        "model=allen_cahn",
        "grid.shape=[8]",
        "time.end=1",
        "time.adaptive=false",
        "time.dt=0.5",
        "output.picture=false",
    )
    pf.run(*keys, "time.tolerance=0.01", "device=cpu", f"output.dir={tmp_path}/run")
    assert "time.tolerance: is set, and nothing heeds it: time.adaptive is false" in caplog.text
