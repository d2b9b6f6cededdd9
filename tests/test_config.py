"""From overrides to a specification: every documented key works, every mistake gets one readable message."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from phasefield import config
from phasefield.api import spec_of
from phasefield.errors import ConfigError, PhasefieldError
from phasefield.simulation import Simulation, build_model, initial_cells
from phasefield.specs import RunSpec

TINY = ("grid.shape=[8,8]", "threads.cpu=1", "device=cpu", "time.end=1")

WRONG = [
    # overrides, key the message starts with, what it says
    (["grid.shpe=[64,64]"], "grid.shpe", "did you mean grid.shape?"),
    (["gird.shape=[64,64]"], "gird", "did you mean grid?"),
    (["dt=0.1"], "dt", "did you mean time.dt?"),
    (["+foo=1"], "foo", "keys at the top: model, initial, grid"),
    (["model.fields.c.mobilty=3"], "model.fields.c.mobilty", "did you mean model.fields.c.mobility?"),
    (["~grid"], "~grid", "cannot be removed"),
    (["=3"], "'=3'", "key=value"),
    (["model=cahn_hillard"], "model", "did you mean 'cahn_hilliard'?"),
    (["model="], "model", "presets: allen_cahn, block_copolymer"),
    (["model=null"], "configuration", "by its name"),
    (["experiment=1a"], "experiment", "did you mean 'pfhub/1a'?"),
    (["experiment=pfhub/1x"], "experiment", "pfhub/1a_periodic"),
    (["grid.shape=64"], "grid.shape", "not a list"),
    (["grid.shape=[]"], "grid.shape", "0 axes"),
    (["grid.shape=[8,8,8,8]"], "grid.shape", "4 axes"),
    (["grid.shape=[0,8]"], "grid.shape", "at least 2"),
    (["grid.shape=[64.5,64]"], "grid.shape[0]", "'64.5'; a whole number"),
    (["grid.shape=[64,64"], "grid.shape", "lacks ']'"),
    (["grid.shape=[64,64]]"], "grid.shape", "too many"),
    (["grid.shape=[1000000,1000000]"], "grid.shape", "GiB are free"),
    (["grid.shape=[100000000000000000000,2]"], "grid.shape", "GiB are free"),
    (["grid.length=-1"], "grid.length", "> 0"),
    (["grid.length=nan"], "grid.length", "finite"),
    (["grid.length=[1,2,3]"], "grid.length", "one per axis (x, y)"),
    (["grid.length=${foo}"], "grid.length", "${foo}"),
    (["grid.boundary=perodic"], "grid.boundary", "periodic, no-flux, fixed"),
    (["grid=3"], "grid", "group of keys"),
    (["time=null"], "time", "null"),
    (["time.end="], "time.end", "a number is expected"),
    (["time.end=abc"], "time.end", "'abc'; a number"),
    (["time.end=inf"], "time.end", "finite"),
    (["time.dt=-1"], "time.dt", "> 0"),
    (["time.dt=nan"], "time.dt", "finite"),
    (["time.end=???"], "time.end", "is missing"),
    (["time.adaptive=maybe"], "time.adaptive", "true or false"),
    (["time.adaptive=false"], "time.dt", "step size"),
    (["time.scheme=etdms9"], "time.scheme", "etdms2"),
    (["time.dt_min=2", "time.dt_max=1"], "time.dt_min", "above"),
    (["time.tolerance=0"], "time.tolerance", "> 0"),
    (["seed=1.5"], "seed", "whole number"),
    (["seed=-1"], "seed", "2**63"),
    (["seed=1,2"], "seed", "add -m"),
    (["device=tpu"], "device", "auto, cpu or gpu"),
    (["precision=half"], "precision", "double or single"),
    (["threads.cpu=0"], "threads.cpu", "1 to 1024"),
    (["output.every=0"], "output.every", "{steps: n}"),
    (["output.every={step: 5}"], "output.every", "{steps: n}"),
    (["output.history={per_decade: 1.5, start: 1}"], "output.history.per_decade", "whole number"),
    (["output.every=1e-12"], "output.every", "longer period"),
    (["output.dir="], "output.dir", "empty"),
    (["output.observables=[foo]"], "output.observables", "free_energy"),
    (["output.checkpoint=-1"], "output.checkpoint", ">= 0"),
    (["model.parameters.W=abc"], "model.parameters.W", "a number"),
    (["model.parameters.W=nan"], "model.parameters.W", "finite"),
    (["model.parameters.V=3"], "model.parameters.V", "parameters of this model: W, a, b"),
    (["model.fields.c.mobility=-1"], "model.fields.c.mobility", ">= 0"),
    (["model.fields.c.kappa=nan"], "model.fields.c.kappa", "finite"),
    (["model.fields.c.kappa=foo"], "model.fields.c.kappa", "unknown name 'foo'"),
    (["model.fields.c.kinetics=conserve"], "model.fields.c.kinetics", "nonconserved"),
    (["model.fields.c.components=0"], "model.fields.c.components", "1 to 1000"),
    (["model.fields.c.components=1.5"], "model.fields.c.components", "whole number"),
    (["model.fields.d.mobility=1"], "model.fields.d.kinetics", "is missing"),
    (["model.fields.d=3"], "model.fields.d", "group of keys"),
    (["model.energy=W*(c-a"], "model.energy", "never closed"),
    (["model.energy="], "model.energy", "empty"),
    (["model.energy=c^2"], "model.energy", "powers with **"),
    (["model.energy=c=2"], "model.energy", "c=2"),
    (["model.energy=W*foo"], "model.energy", "allowed names: c, W, a, b"),
    (["model.energy=piecewise(1,c>0.5,0)"], "model.energy", "not differentiable"),
    (["initial=3"], "initial", "initial.name=value"),
    (["initial.d=3"], "initial.d", "no such field"),
    (["initial.c=null", "model.fields.c.initial=null"], "initial.c", "every field needs an initial condition"),
    (["initial.c=0.5+"], "initial.c", "invalid syntax"),
    (["initial.c='0.5"], "initial.c", "unterminated"),
    (["initial.c={kind: circles, radii: 3"], "initial.c", "lacks '}'"),
    (["initial.c={kind: nois}"], "initial.c.kind", "did you mean 'noise'?"),
    (["initial.c={kind: noise, meen: 1}"], "initial.c.meen", "did you mean 'mean'?"),
    (["initial.c={kind: file, path: /nowhere.npy}"], "initial.c.path", "no file"),
    (["initial.c={kind: noise, mean: 0.5}"], "initial.c.amplitude", "missing: kind 'noise' needs it"),
    (["model=grain_growth", "initial.eta.grains=1e9"], "initial.eta.grains", "more than the grid has cells (64)"),
    (["model=precipitate"], "initial.c.count", "set a smaller initial.c.count or initial.c.radius"),
    (["experiment=shrinking_circle", "grid.length=32"], "initial.eta.radii", "cover the whole grid"),
    (["experiment=shrinking_circle", "grid.length=16", "grid.boundary=no-flux"], "initial.eta.centers[0]", "larger grid.length"),
    (["initial.c={kind: circles, count: 1000000000, radius: 1}"], "initial.c.count", "more room than the grid has"),
    (["grid.units=parsec"], "grid.units", "no known unit"),
    (["grid.units=s"], "grid.units", "a length is expected, e.g. nm"),
    (["time.units=nm"], "time.units", "a time is expected, e.g. s"),
    (["model.fields.c.units=atoms"], "model.fields.c.units", "no known unit"),
    (["model=mine.yaml"], "model", "there is no file mine.yaml"),
    (["hydra.searchpath=[file:///nowhere]"], "hydra.searchpath", "there is no folder /nowhere"),
    (["hydra.searchpath=[pkg://nowhere.at.all]"], "hydra.searchpath", "there is no package nowhere.at.all"),
]  # fmt: skip


@pytest.mark.parametrize(("overrides", "key", "says"), WRONG)
def test_mistakes(overrides: list[str], key: str, says: str) -> None:
    small = [t for t in TINY if t.split("=")[0] not in {o.split("=")[0] for o in overrides} and "~" not in overrides[0]]
    with pytest.raises(ConfigError) as caught:
        Simulation(spec_of(*small, *overrides))
    message = str(caught.value)
    assert message.startswith(f"{key}: "), message
    assert says in message
    for jargon in ("full_key", "object_type", "DictConfig", "ListConfig", "GridSpec", "merging override", "provider"):
        assert jargon not in message
    assert len(message.splitlines()) <= 5


def test_a_diverging_start_is_no_configuration() -> None:
    with pytest.raises(PhasefieldError, match=r"field 'phi'.*not finite"):
        Simulation(spec_of(*TINY, "model=flory_huggins", "initial.phi=1.5"))


def test_initial_file_of_the_wrong_shape(tmp_path: Path) -> None:
    import numpy as np

    np.save(tmp_path / "c.npy", np.zeros((8, 9)))
    with pytest.raises(ConfigError, match=r"initial\.c.*\n?.*9"):
        Simulation(spec_of(*TINY, f"initial.c={{kind: file, path: {tmp_path}/c.npy}}"))


def test_gpu_without_one() -> None:
    from phasefield.backend.cuda import why_unavailable

    if why_unavailable() is None:
        pytest.skip("there is a GPU")
    with pytest.raises(PhasefieldError, match=r"device=gpu: .*\n  Use device=cpu"):
        Simulation(spec_of(*TINY[:2], "device=gpu"))


def value(spec: RunSpec, path: str) -> object:
    found: object = spec
    for name in path.split("."):
        found = found[name] if isinstance(found, dict) else getattr(found, name)
    return found


RIGHT = [
    (["model.energy=W*(c-a)**2*(b-c)**2", "model.parameters.W=5"], "model.energy", "W*(c-a)**2*(b-c)**2"),
    (["model.energy=W * (c - a)**2"], "model.energy", "W * (c - a)**2"),
    (["model.energy='c**2'"], "model.energy", "c**2"),
    (["model.energy=piecewise(c**2, c<0, 0)+c**4"], "model.energy", "piecewise(c**2, c<0, 0)+c**4"),
    (["model.parameters.W=-5"], "model.parameters.W", -5.0),
    (["model.parameters={W: 1e-2}"], "model.parameters.W", 0.01),
    (["model.fields.c.mobility=2*W"], "model.fields.c.mobility", "2*W"),
    (["model.fields.c.kappa=0.5"], "model.fields.c.kappa", 0.5),
    (["model=grain_growth", "model.fields.eta.components=3"], "model.fields.eta.components", 3),
    (["model.fields.c.kinetics=nonconserved"], "model.fields.c.kinetics", "nonconserved"),
    (["initial.c=0.5"], "initial.c", 0.5),
    (["initial.c=-1e-3"], "initial.c", -1e-3),
    (["initial.c=0.5+0.1*cos(2*pi*x/64)*exp(-(y-3)**2/8)"], "initial.c", "0.5+0.1*cos(2*pi*x/64)*exp(-(y-3)**2/8)"),
    (["initial.c=piecewise(0.2, x<10, piecewise(0.1, y>=3, 0.8))"], "initial.c",
     "piecewise(0.2, x<10, piecewise(0.1, y>=3, 0.8))"),
    (["initial.c={kind: circles, centers: [[1,2]], radii: 3}"], "initial.c",
     {"kind": "circles", "centers": [[1, 2]], "radii": 3}),
    (["initial.c={kind: noise, mean: 0.5+0.1*cos(x)*max(x, y), amplitude: 0.01}"], "initial.c",
     {"kind": "noise", "mean": "0.5+0.1*cos(x)*max(x, y)", "amplitude": 0.01}),
    (["initial={c: 0.5+sin(x)}"], "initial.c", "0.5+sin(x)"),
    (["initial.c.mean=0.4"], "initial.c", {"mean": 0.4}),
    (["initial.c.mean=0.4+0.1*sin(x)"], "initial.c", {"mean": "0.4+0.1*sin(x)"}),
    (["model=grain_growth", "model.fields.eta.components=2", "initial.eta=[sin(x), 0.5]"], "initial.eta",
     ["sin(x)", 0.5]),
    (["experiment=shrinking_circle", "initial.eta.radii=20"], "initial.eta",
     {"kind": "circles", "centers": [[64, 64]], "radii": 20, "inside": 1, "outside": -1, "width": 1}),
    (["experiment=shrinking_circle", "initial.eta={kind: noise, mean: 0, amplitude: 1}"], "initial.eta",
     {"kind": "noise", "mean": 0, "amplitude": 1}),
    (["model=precipitate", "initial.c={kind: circles, centers: [[1,2]], radii: 3}"], "initial.c",
     {"kind": "circles", "centers": [[1, 2]], "radii": 3}),
    (["experiment=shrinking_circle", "initial.eta.kind=noise", "initial.eta.mean=0", "initial.eta.amplitude=1"], "initial.eta",
     {"kind": "noise", "mean": 0, "amplitude": 1}),
    (['initial.c={"kind": "noise", "mean": 0.5, "amplitude": 0.01}'], "initial.c",
     {"kind": "noise", "mean": 0.5, "amplitude": 0.01}),
    (["grid.units=nm"], "grid.units", "nm"),
    (["model.fields.c.units=mol/m^3"], "model.fields.c.units", "mol/m^3"),
    (["grid.shape=[16]"], "grid.shape", [16]),
    (["grid.shape=[4,5,6]"], "grid.shape", [4, 5, 6]),
    (["grid.length=7"], "grid.length", 7),
    (["grid.length=[3,4.5]"], "grid.length", [3, 4.5]),
    (["grid.boundary=[periodic, no-flux]"], "grid.boundary", ["periodic", "no-flux"]),
    (["time.scheme=sbdf2"], "time.scheme", "sbdf2"),
    (["time.adaptive=false", "time.dt=1e-2"], "time.dt", 0.01),
    (["time.tolerance=1e-4"], "time.tolerance", 1e-4),
    (["time.end = 5"], "time.end", 5.0),
    (["output.dir=my runs (1), a=b"], "output.dir", "my runs (1), a=b"),
    (["title=it's 5 % \\ \"odd\""], "title", "it's 5 % \\ \"odd\""),
    (["output.every=5"], "output.every", 5),
    (["output.every={steps: 5}"], "output.every", {"steps": 5}),
    (["output.every.steps=5"], "output.every", {"steps": 5}),
    (["output.every={times: [1, 2.5, 1e2]}"], "output.every", {"times": [1, 2.5, 100.0]}),
    (["experiment=pfhub/1a", "output.every={steps: 5}"], "output.every", {"steps": 5}),
    (["experiment=pfhub/1a", "initial.c.mean=0.4"], "initial.c", {"mean": 0.4}),
    (["device=cpu"], "device", "cpu"),
    (["precision=single"], "precision", "single"),
    (["seed=7"], "seed", 7),
    (["time.dt=0.2", "output.every=${time.dt}"], "output.every", 0.2),
]  # fmt: skip


@pytest.mark.parametrize(("overrides", "path", "expected"), RIGHT)
def test_documented_keys(overrides: list[str], path: str, expected: object) -> None:
    spec = spec_of(*overrides)
    assert value(spec, path) == expected
    # And the file in the run folder says the same.
    assert config.to_spec(OmegaConf.create(config.to_yaml(config.compose(overrides)))) == spec


def test_a_kind_replaces_the_condition_of_the_preset() -> None:
    circle = "{kind: circles, centers: [[4, 4]], radii: 2, inside: 0.7, outside: 0.35}"
    start = initial_cells_of(
        "model=precipitate", f"initial.c={circle}", "initial.eta={kind: circles, count: 1, radius: 2}"
    )
    assert sorted(set(start[0].ravel())) == [0.35, 0.7]
    assert sorted(set(start[1].ravel())) == [0.0, 1.0]
    # Without a kind, keys of the preset's are changed.
    start = initial_cells_of("initial.c.mean=0.25")
    assert abs(start[0].mean() - 0.25) < 1e-15
    assert 0.04 < abs(start[0] - 0.25).max() <= 0.1


def initial_cells_of(*overrides: str) -> np.ndarray:
    spec = spec_of(*TINY, *overrides)
    return initial_cells(spec, build_model(spec), spec.grid.build())


def test_presets_that_are_files(tmp_path: Path) -> None:
    model = "energy: c**4/4 - c**2/2\nfields: {c: {kinetics: conserved, initial: 0.1*sin(x)}}\n"
    (tmp_path / "my model.yaml").write_text(model)
    (tmp_path / "two.yml").write_text("defaults: [{override /model: spinodal}]\ngrid: {shape: [4, 4]}\n")
    spec = spec_of(f"model={tmp_path}/my model.yaml", "model.fields.d.kinetics=nonconserved")
    assert (spec.model.name, list(spec.model.fields)) == ("my model", ["c", "d"])
    spec = spec_of(f"experiment={tmp_path}/two.yml")
    assert (spec.model.name, spec.grid.shape) == ("spinodal", [4, 4])
    for text, says in (
        ("energy: [", "cannot be read"),
        ("- 1", "holds no mapping"),
        ("energi: c", "the key 'energi', which means nothing there\n  keys of a model: name,"),
        ("grid: {}", r"experiment=.*my model.yaml"),
        ("energy: [1, 2]", r"^model\.energy: is \[1, 2\]; text is expected"),
        (
            "energy: c\nfields: {c: {kinetic: conserved}}",
            r"^model\.fields\.c\.kinetic: .*did you mean model\.fields\.c\.kinetics",
        ),
    ):
        (tmp_path / "my model.yaml").write_text(text)
        with pytest.raises(ConfigError, match=says):
            spec_of(f"model={tmp_path}/my model.yaml")


def test_a_new_field() -> None:
    energy = "model.energy=W*(c-a)**2*(b-c)**2+d**2"
    spec = spec_of(
        *TINY, "model.fields.d.kinetics=nonconserved", "model.fields.d.mobility=2*W", "initial.d=0.1*sin(x)", energy
    )
    sim = Simulation(spec)
    assert [f.name for f in sim.model.order_parameters] == ["c", "d"]
    assert sim.model.order_parameters[1].mobility == 2.0
    again = spec_of(*TINY, "model.fields.d={kinetics: nonconserved, mobility: 2*W}", "initial.d=0.1*sin(x)", energy)
    assert again == spec
    assert list(spec_of(*TINY).model.fields) == ["c"]
    # Touching a known field does not move it.
    assert list(spec_of("model=precipitate", "model.fields.eta.mobility=2").model.fields) == ["c", "eta"]


def test_of_run_refuses_what_is_no_configuration(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    for text in ("time: [1, 2", "time: {edn: 3}", "- 1\n- 2", "time: {end: abc}", "\x00"):
        path.write_text(text)
        with pytest.raises(ConfigError, match=r"config\.yaml"):
            config.of_run(path)
    path.write_text(config.to_yaml(config.compose(TINY)))
    loaded = config.of_run(path, ["time.end=1e-1", "output.every={steps: 2}", "output.dir=a b"])
    spec = config.to_spec(loaded)
    assert (spec.time.end, spec.output.every, spec.output.dir) == (0.1, {"steps": 2}, "a b")
    for override in ("time.edn=3", "time.end=abc", "model=spinodal", "foo", "seed=1,2", "~time"):
        with pytest.raises(ConfigError):
            config.of_run(path, [override])


KEYS = [
    "model", "experiment", "model.energy", "model.parameters.W", "model.fields.c.mobility", "model.fields.c.kappa",
    "model.fields.c.kinetics", "model.fields.c.components", "model.fields.c.source", "model.fields.d.kinetics", "initial",
    "initial.c", "initial.c.mean", "initial.d", "grid", "grid.shape", "grid.length", "grid.boundary", "grid.dealias", "time",
    "time.scheme", "time.adaptive", "time.dt", "time.tolerance", "time.end", "time.dt_max", "output.every", "output.history",
    "output.observables", "output.compression", "device", "precision", "seed", "threads.cpu", "title", "nonsense", "grid.shape.0",
]  # fmt: skip
VALUES = [
    "0", "1", "-1", "0.5", "nan", "inf", "1e300", "1e-300", "null", "true", "", "abc", "[8,8]", "[8]", "[4,4,4]", "[1,2", "{}",
    "{steps: 2}", "{kind: noise, mean: 0.5, amplitude: 0.1}", "{kind: circles, count: 2, radius: 1}", "c**2", "c**4-c**2",
    "sin(x)", "log(c)", "1/0", "x", "c+", "'", '"', "${seed}", "${oops}", "${", "a=b", "1,2", "spinodal", "allen_cahn",
    "conserved", "nonconserved", "no-flux", "[periodic,no-flux]", "cpu", "single", "sbdf2", "???", "[[1],{a: b}]", "é", "\\", "%",
]  # fmt: skip


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from(VALUES)), min_size=1, max_size=3))
def test_any_configuration_runs_or_gets_a_message(pairs: Sequence[tuple[str, str]]) -> None:
    with contextlib.suppress(PhasefieldError):
        sim = Simulation(spec_of(*TINY, "time.dt=1e-3", *(f"{key}={text}" for key, text in pairs)))
        if sim.spec.time.end < 1e6 and sim.grid.cells < 10_000:
            sim.advance(sim.spec.time.end)
