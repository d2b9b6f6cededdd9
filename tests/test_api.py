"""The same from Python."""

from __future__ import annotations

import platform
import re
import threading
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_cli import Command, phasefield

import phasefield as pf
from phasefield import config
from phasefield.api import run_config

__all__ = ["phasefield"]

TINY = ("grid.shape=[8,8]", "threads.cpu=1", "device=cpu", "output.picture=false", "time.end=1")


def test_run_and_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = pf.run("model=spinodal", *TINY, "output.dir=out", seed=3)
    assert run.path == Path("out")
    assert (np.diff(run.history.free_energy) <= 0).all()
    assert run.fields.c.shape == (11, 8, 8)
    assert run.history.attrs["seed"] == 3
    assert "phasefield.run('model=spinodal'" in run.history.attrs["command"]
    assert np.array_equal(pf.open_run("out").fields.c, run.fields.c)
    # Without a folder, each run gets one of its own.
    assert len({pf.run(*TINY, time="{max_steps: 1}").path for _ in range(3)}) == 3
    assert (tmp_path / "runs").is_dir()


@pytest.mark.parametrize(
    "overrides",
    [
        ("initial.c=0.5+0.1*cos(2*pi*x/8)",),
        ("initial.c={kind: noise, mean: 0.5+0.1*sin(x), amplitude: 0.01}", "output.every={times: [0.5]}"),
        ("model=grain_growth", "model.fields.eta.components=3", "initial.eta.grains=3", "time.tolerance=0.02"),
        ("experiment=pfhub/1b", "grid.shape=[8,8]", "time.end=1"),
    ],
    ids=str,
)
def test_config_yaml_reproduces_the_run(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    first = pf.run(*TINY, *overrides, f"output.dir={tmp_path}/first")
    text = (tmp_path / "first" / "config.yaml").read_text()
    assert "${" not in text
    second = run_config(config.of_run(tmp_path / "first" / "config.yaml", [f"output.dir={tmp_path}/second"]))
    for name in first.fields.data_vars:
        assert np.array_equal(first.fields[name], second.fields[name])
    assert text.replace("first", "second") == (tmp_path / "second" / "config.yaml").read_text()


def test_errors_are_exceptions(tmp_path: Path) -> None:
    with pytest.raises(pf.ConfigError, match=r"grid\.shpe"):
        pf.run("grid.shpe=[8,8]")
    with pytest.raises(pf.PhasefieldError, match="no such run folder"):
        pf.resume(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: pf.run({"model": "spinodal"}), "is no override; text is expected"),  # type: ignore[arg-type]
        (lambda: pf.explain(None), "None: is no override"),  # type: ignore[arg-type]
        (lambda: pf.resume(3), "3: is no path"),  # type: ignore[arg-type]
        (lambda: pf.open_run(None), "None: is no path"),  # type: ignore[arg-type]
        (lambda: pf.run(*TINY, callbacks=3), "callbacks: is 3; a list of pairs"),  # type: ignore[arg-type]
        (lambda: pf.Simulation("model=spinodal"), "a RunSpec is expected"),  # type: ignore[arg-type]
        (
            lambda: pf.Grid((8, 8), (1.0,), ("fixed", "fixed")),
            "grid: has a shape, lengths and a boundary of 2, 1 and 2",
        ),
        (lambda: pf.Grid((8,), (-1.0,), ("fixed",)), "grid.length: is -1.0"),
        (lambda: pf.Grid((8,), (1.0,), ("fixd",)), "grid.boundary: is 'fixd'"),
        (lambda: pf.Grid((8.5,), (1.0,), ("fixed",)), "grid.shape: has 8.5 cells"),  # type: ignore[arg-type]
    ],
)
def test_what_python_hands_over_is_checked(call: Callable[[], Any], says: str) -> None:
    with pytest.raises(pf.ConfigError) as caught:
        call()
    assert says in str(caught.value)


def test_nothing_to_open(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place, says in (("nowhere", "no such folder"), ("", "holds no run"), ("file", "is a file")):
        with pytest.raises(pf.PhasefieldError, match=says):
            pf.open_run(tmp_path / place)


def test_values_from_python(tmp_path: Path) -> None:
    spec = pf.run(
        grid={"shape": np.array([8, 8]), "length": 4, "units": "nm", "boundary": ("periodic", "no-flux")},
        time={"end": np.float64(0.5), "adaptive": True, "units": "s"},
        initial={"c": {"kind": "noise", "mean": "0.5 + 0.1*sin(x)", "amplitude": 0.01}},
        model={"energy": "W*(c-a)**2*(b-c)**2", "parameters": {"W": 2}},
        output={"dir": tmp_path / "a, b", "observables": ["free_energy", "interface_area", "characteristic_length"]},
        title="it's 5 %, \"odd\"",
        device="cpu",
        threads={"cpu": 1},
    )  # fmt: skip
    config = (tmp_path / "a, b" / "config.yaml").read_text()
    assert "mean: 0.5 + 0.1*sin(x)" in config
    assert spec.history.attrs["title"] == 'it\'s 5 %, "odd"'
    # Units are written where they belong, and times stay numbers.
    units = {
        name: spec.history[name].attrs["units"]
        for name in ("interface_area_c", "characteristic_length_c", "free_energy")
    }
    assert units == {
        "interface_area_c": "nm",
        "characteristic_length_c": "nm",
        "free_energy": "energy density x nm^2",
    }
    assert spec.fields.x.attrs["units"] == "nm"
    assert float(spec.fields.time[-1]) == 0.5
    with pytest.raises(pf.ConfigError, match=r"time\.end: is of type object"):
        pf.run(time={"end": object()})


@pytest.mark.parametrize("components", [None, 3])
def test_an_array_is_the_initial_condition(tmp_path: Path, components: int | None) -> None:
    rng = np.random.default_rng(1)
    keys = ["model=allen_cahn"] if components is None else ["model=grain_growth", "model.fields.eta.components=3"]
    values = rng.uniform(0, 1, (6, 8) if components is None else (3, 6, 8)).astype(np.float32)
    more = (*TINY[1:], "grid.shape=[6,8]", *keys)
    first = pf.run(*more, output={"dir": tmp_path / "first"}, initial={"eta": values})
    np.testing.assert_allclose(first.fields.eta[0], values, atol=1e-14)
    # The folder explains itself, also where it was moved to: the same again, and on from there.
    (tmp_path / "first").rename(tmp_path / "moved")
    again = run_config(config.of_run(tmp_path / "moved" / "config.yaml", [f"output.dir={tmp_path}/again"]))
    moved = pf.open_run(tmp_path / "moved")
    assert np.array_equal(again.fields.eta, moved.fields.eta)
    pf.resume(tmp_path / "moved", time={"end": 1.5})
    # What has named axes goes by their names.
    state = moved.fields.eta[-1].transpose("y", "x", ...)
    third = pf.run(*more, initial={"eta": state}, output={"dir": tmp_path / "third"})
    np.testing.assert_allclose(third.fields.eta[0], moved.fields.eta[-1].transpose(..., "x", "y"), atol=1e-14)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (np.zeros((8, 9)), r"shape \(8, 9\); the cells of the grid are \(8, 8\)\n  set grid.shape=\[8, 9\]"),
        (np.zeros((2, 8, 8)), "for c has no components"),
        (np.full((8, 8), np.nan), "64 of the 64 values of the array are not finite"),
        (np.zeros((8, 8), complex), "array of complex128"),
    ],
)
def test_arrays_that_do_not_fit(tmp_path: Path, values: np.ndarray, says: str) -> None:
    with pytest.raises(pf.ConfigError, match=says):
        pf.run(*TINY, initial={"c": values}, output={"dir": tmp_path / "out"})
    assert not list(tmp_path.iterdir())


def test_runs_in_threads_at_the_same_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    alone = [pf.run(*TINY, f"seed={seed}", output={"dir": f"alone{seed}"}) for seed in (1, 2)]
    found: dict[int, pf.Run] = {}

    def go(seed: int) -> None:
        found[seed] = pf.run(*TINY, f"seed={seed}")  # both in the same second, without a folder

    threads = [threading.Thread(target=go, args=(seed,)) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({run.path for run in found.values()}) == 2
    for seed, run in zip((1, 2), alone, strict=True):
        assert np.array_equal(found[seed].fields.c, run.fields.c)
        log = (found[seed].path / "run.log").read_text()
        assert (log.count(" cells, adaptive"), log.count("finished at")) == (1, 1)


def test_within_an_application_of_hydra(tmp_path: Path) -> None:
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    with initialize_config_dir(str(tmp_path), version_base="1.2"):
        theirs = GlobalHydra.instance().hydra
        assert config.compose(TINY).grid.shape == [8, 8]
        assert GlobalHydra.instance().hydra is theirs


def test_the_page_of_the_api_holds_all_names_and_no_other() -> None:
    page = (Path(__file__).parents[1] / "docs" / "api.md").read_text()
    rows = re.findall(r"(?m)^\| `(\w+)` \| (.+) \|$", page)
    assert [name for name, _ in rows if name != "__version__"] == [name for name in pf.__all__ if name != "__version__"]
    assert {"__version__"} < {name for name, _ in rows} == set(dir(pf))
    for name in pf.__all__:
        assert getattr(pf, name).__doc__
    assert pf.__version__ == metadata.version("phasefield")


def test_a_former_name_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(pf._FORMER, "simulate", ("run", "0.3"))
    with pytest.warns(
        DeprecationWarning, match=r"phasefield\.simulate is now phasefield\.run; .* goes in version 0\.3"
    ):
        assert pf.simulate is pf.run
    with pytest.raises(AttributeError, match="simulat"):
        pf.simulat  # noqa: B018


def test_what_is_installed_is_told(phasefield: Command) -> None:
    answer = phasefield("--version")
    first, python, cpu, gpu = answer.out.splitlines()
    assert first.split()[:2] == ["phasefield", pf.__version__]
    assert python.startswith(f"Python {platform.python_version()} on ")
    assert re.match(r"cpu: .+ threads? \(pyfftw [\d.]+, llvmlite [\d.]+, numba [\d.]+\)", cpu)
    assert re.match(r"gpu: (none \(.+\)|\w.*)$", gpu)
