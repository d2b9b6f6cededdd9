"""What a run leaves behind: times landed on, contents of the files, and clear ends to runs that go wrong."""

from __future__ import annotations

import logging
import os
import resource
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import phasefield as pf
from phasefield.api import spec_of
from phasefield.errors import ConfigError, Diverged, OutputError, PhasefieldError
from phasefield.signals import listening
from phasefield.store import RunFolder, load_checkpoint

TINY = ("grid.shape=[8,8]", "threads.cpu=1", "device=cpu", "output.picture=false")


def go(folder: Path, *overrides: str) -> pf.Run:
    return pf.run(*TINY, f"output.dir={folder}", *overrides)


@pytest.mark.parametrize(
    ("every", "times"),
    [
        ("0.1", [n * 0.1 for n in range(11)]),
        ("0.3", [0, 0.3, 0.6, 3 * 0.3, 1.0]),
        ("{times: [0.25, 0.7, 5]}", [0, 0.25, 0.7, 1.0]),
        ("{times: [0, 0.5, 1]}", [0, 0.5, 1.0]),
        ("{per_decade: 1, start: 0.01}", [0, 0.01, 0.1, 1.0]),
    ],
    ids=str,
)
def test_snapshots_are_at_their_times_exactly(tmp_path: Path, every: str, times: list[float]) -> None:
    run = go(tmp_path / "run", "time.end=1", f"output.every={every}", "output.history={steps: 1000000}")
    assert run.fields.time.values.tolist() == times
    # Every snapshot has its row of the history.
    assert run.history.time.values.tolist() == times


def test_a_hundred_periods(tmp_path: Path) -> None:
    fixed = ("time.adaptive=false", "time.dt=0.05")
    run = go(tmp_path / "run", "time.end=10", "output.every={steps: 1000000}", "output.history=0.1", *fixed)
    assert run.history.time.values.tolist() == [min(n * 0.1, 10.0) for n in range(101)]
    assert int(run.history.step[-1]) == 200


FIXED = ("model=cahn_hilliard", "initial.c=0.5+0.1*cos(pi*x/4)", "time.adaptive=false", "output.history={steps: 1}")


@pytest.mark.parametrize(
    ("keys", "steps", "end", "snapshots", "told"),
    [
        # The default plan, a tenth of the end, has two steps' time between its snapshots.
        (("time.dt=5", "time.end=10"), 2, 10, [0, 5, 10], "at 0, 5, 10"),
        (("time.dt=3", "time.end=10", "output.every=5"), 4, 12, [0, 6, 12], "the run ends at 12"),
        (("time.dt=0.1", "time.end=0.7", "output.every=0.35"), 7, 0.7, [0, 0.4, 0.7], "at 0, 0.4, 0.7"),
        (("time.dt=0.1", "time.end=1", "output.every={times: [0.3, 0.7]}"), 10, 1, [0, 0.3, 0.7, 1], ""),
        (("time.dt=0.3333333333333333", "time.end=1", "output.every=1"), 3, 1, [0, 1], ""),
        (("time.dt=7", "time.end=2", "output.every=2"), 1, 7, [0, 7], "the run ends at 7"),
    ],
    ids=str,
)
def test_fixed_steps_are_those_asked_for(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    keys: tuple[str, ...],
    steps: int,
    end: float,
    snapshots: list[float],
    told: str,
) -> None:
    with caplog.at_level("WARNING", logger="phasefield"):
        run = go(tmp_path / "run", *FIXED, *keys)
    dt = float(keys[0].split("=")[1])
    assert np.array_equal(run.history.dt, [0.0, *[dt] * steps])
    assert float(run.history.time[-1]) == end
    assert run.fields.time.values.tolist() == snapshots
    for text in (caplog.text, (run.path / "run.log").read_text()):
        assert text.count(told) == 1 if told else "time.dt" not in text


def test_outputs_change_nothing_about_fixed_steps(tmp_path: Path) -> None:
    """Nor does a run that is taken up again, with times that are no multiples of the step."""
    last = []
    for name, every in (("none", "output.every={steps: 100}"), ("many", "output.every=0.07")):
        run = go(tmp_path / name, *FIXED, "time.dt=0.1", "time.end=2.05", every)
        last.append(run.fields.c.isel(time=-1).values.tobytes())
    go(tmp_path / "parts", *FIXED, "time.dt=0.1", "time.end=0.95", "output.every={steps: 100}")
    run = pf.resume(tmp_path / "parts", "time.end=2.05")
    last.append(run.fields.c.isel(time=-1).values.tobytes())
    assert run.history.time.values.tolist() == [round(0.1 * n, 1) for n in range(22)]
    assert last[0] == last[1] == last[2]


def test_records_by_steps(tmp_path: Path) -> None:
    fixed = ("time.adaptive=false", "time.dt=0.125", "time.end=1")
    run = go(tmp_path / "run", "output.every={steps: 3}", "output.history={steps: 2}", *fixed)
    assert run.fields.time.values.tolist() == [0, 0.375, 0.75, 1.0]
    assert run.history.step.values.tolist() == [0, 2, 3, 4, 6, 8]
    assert np.array_equal(run.history.dt[1:], np.full(5, 0.125))


@pytest.mark.parametrize(("precision", "waves"), [("double", 1e-13), ("single", 1e-4)])
def test_what_is_uniform_has_no_length(precision: str, waves: float) -> None:
    """What varies by its rounding alone has neither a characteristic length nor interfaces."""
    x = np.arange(16)
    for rest, uniform in ((waves, False), (0.3 * np.finfo("d" if precision == "double" else "f").eps, True)):
        values = 0.7 * (1 + rest * np.sin(np.pi * x / 4)[:, None] * np.ones(8))
        spec = spec_of("model=cahn_hilliard", "grid.shape=[16,8]", f"precision={precision}", "device=cpu")
        spec.initial["c"] = values
        simulation = pf.Simulation(spec)
        told = simulation.observe(simulation.carry)[1]
        assert np.isnan(told["characteristic_length_c"]) == uniform == (told["interface_area_c"] == 0)
        if not uniform:
            assert told["characteristic_length_c"] == pytest.approx(8, rel=0.05)


def test_files_explain_themselves(tmp_path: Path) -> None:
    run = go(
        tmp_path / "run",
        "model=precipitate",
        "initial.c={kind: noise, mean: 0.5, amplitude: 0.1}",
        "initial.eta=0.5+0.1*sin(x)",
        "grid.shape=[8,6,4]",
        "grid.length=[16,12,8]",
        "time.end=0.1",
        "seed=5",
    )
    with xr.open_dataset(run.path / "fields.nc") as fields, xr.open_dataset(run.path / "history.nc") as history:
        assert fields.c.dims == fields.eta.dims == ("time", "z", "y", "x")
        assert fields.c.shape == (11, 4, 6, 8)
        assert run.fields.c.dims == ("time", "x", "y", "z")
        assert np.array_equal(run.fields.c, fields.c.transpose("time", "x", "y", "z"))
        assert fields.x.values.tolist() == [1, 3, 5, 7, 9, 11, 13, 15]
        assert {"step", "dt", "free_energy", "free_energy_bulk", "free_energy_gradient"} <= set(history)
        for name in ("c", "eta"):
            for what in ("mean", "min", "max", "interface_area", "characteristic_length"):
                assert history[f"{what}_{name}"].attrs["long_name"]
            last = fields[name].isel(time=-1)
            assert float(history[f"mean_{name}"][-1]) == pytest.approx(float(last.mean()), rel=1e-12)
            assert float(history[f"min_{name}"][-1]) == float(last.min())
            assert float(history[f"max_{name}"][-1]) == float(last.max())
        assert np.allclose(history.free_energy, history.free_energy_bulk + history.free_energy_gradient, rtol=1e-12)
        assert (np.diff(history.free_energy) <= 0).all()
        for data in (fields, history):
            assert data.attrs["Conventions"].startswith("CF-1")
            assert data.attrs["source"].startswith("phasefield ")
            assert data.attrs["model"] == "precipitate"
            assert data.attrs["seed"] == 5
            for name in (
                "title",
                "git_commit",
                "python",
                "libraries",
                "device",
                "precision",
                "command",
                "history",
                "model_energy",
            ):
                assert name in data.attrs
            assert all(v.attrs["units"] for v in data.variables.values() if v.dtype.kind != "O")
    assert "finished at time 0.1" in (run.path / "run.log").read_text()
    assert any((run.path / "kernels").iterdir())


def test_components_have_a_dimension(tmp_path: Path) -> None:
    run = go(
        tmp_path / "run",
        "model=grain_growth",
        "model.fields.eta.components=3",
        "time.end=0.01",
        "grid.shape=[16]",
        "initial.eta.grains=3",
    )
    assert run.fields.eta.dims == ("time", "component_eta", "x")
    assert run.fields.eta.shape[1:] == (3, 16)
    assert run.history.mean_eta.dims == ("time", "component_eta")


def test_ends(tmp_path: Path) -> None:
    run = go(tmp_path / "steps", "time.end=5", "time.max_steps=7")
    assert (run.outcome.reason, int(run.history.step[-1])) == ("max_steps", 7)
    run = go(tmp_path / "steady", "initial.c=0.5", "time.end=1e6", "time.steady=1e-9")
    assert run.outcome.reason == "steady"
    assert float(run.history.time[-1]) < 1e6


WILD = ("model=allen_cahn", "time.scheme=imex1", "model.fields.eta.stabilizer=0", "time.adaptive=false", "time.dt=5")


def test_diverging_in_the_middle(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(Diverged) as caught:
        go(tmp_path / "run", "time.end=1000", "output.every=50", "output.checkpoint=0", *WILD)
    error = caught.value
    assert error.step > 1
    assert error.field == "eta"
    assert f"after step {error.step} at time {error.time:.6g}, field 'eta'" in str(error)
    assert f"is {tmp_path}/run/checkpoint.npz" in str(error)
    assert "time.dt" in str(error)
    arrays, meta = load_checkpoint(tmp_path / "run" / "checkpoint.npz")
    assert all(np.isfinite(a).all() for a in arrays.values())
    assert f"last good checkpoint, step {meta['carry']['step']} at time {meta['carry']['t']:.6g}" in str(error)
    assert np.isfinite(xr.load_dataset(tmp_path / "run" / "fields.nc").eta).all()
    assert "diverged" in (tmp_path / "run" / "run.log").read_text()
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR]  # the caller shows it


@pytest.mark.parametrize(
    ("overrides", "error"),
    [
        (["model=flory_huggins", "initial.phi=1.5"], Diverged),
        (["model=flory_huggins", "initial.phi=-0.1", "time.adaptive=false", "time.dt=1"], Diverged),
        (["time.dt=-1"], ConfigError),
        (["output.every={step: 5}"], ConfigError),
        (["output.observables=[nope]"], ConfigError),
        (["initial.c=sqrt(-x)"], ConfigError),
    ],
    ids=str,
)
def test_nothing_is_left_of_a_run_that_could_not_start(
    tmp_path: Path, overrides: list[str], error: type[Exception]
) -> None:
    with pytest.raises(error):
        go(tmp_path / "a" / "b", "time.end=1", *overrides)
    assert not list(tmp_path.iterdir())


def test_folders_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "run", Path("/proc/nowhere")):
        with pytest.raises(OutputError, match=f"{folder}.*\n  choose another"):
            go(folder, "time.end=0.01")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_folder_holds_one_run(tmp_path: Path) -> None:
    go(tmp_path, "time.end=0.01")
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    with pytest.raises(OutputError, match="already holds a run"):
        go(tmp_path, "time.end=0.01")
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before


def test_two_processes_in_one_folder(tmp_path: Path) -> None:
    go(tmp_path, "time.end=0.01")
    with RunFolder(tmp_path).lock(), pytest.raises(OutputError, match="another process"):
        pf.resume(tmp_path, "time.end=0.02")


def in_child(work: Any) -> int:
    """Runs ``work`` in a fork and returns its exit status: 0 fine, 2 a message, 1 anything else."""
    if (pid := os.fork()) == 0:
        code = 1
        try:
            work()
            code = 0
        except PhasefieldError:
            code = 2
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def limited(size: int, work: Any) -> Any:
    def limited_work() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        work()

    return limited_work


def test_a_full_disk(tmp_path: Path) -> None:
    busy = ("time.end=20", "output.every={steps: 1}", "grid.shape=[32,32]", "output.compression=0", "time.max_steps=60")
    whole = go(tmp_path / "whole", *busy)
    # Full from the start: nothing remains.
    for size in (0, 300, 3000):
        assert in_child(limited(size, lambda: go(tmp_path / "never", *busy))) == 2
        assert not (tmp_path / "never").exists()
    # Full in the middle: what is there is good, and the run goes on once there is room.
    assert in_child(limited(150_000, lambda: go(tmp_path / "full", *busy))) == 2
    assert 1 < len(xr.load_dataset(tmp_path / "full" / "fields.nc").time) < len(whole.fields.time)
    pf.resume(tmp_path / "full")
    assert np.array_equal(pf.open_run(tmp_path / "full").fields.c, whole.fields.c)


def test_a_run_in_another_thread(tmp_path: Path) -> None:
    found: list[Any] = []

    def work() -> None:
        with listening() as stop:
            found.append(stop.received)
        found.append(go(tmp_path / "run", "time.end=0.01").outcome.reason)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [None, "finished"]


def test_an_initial_file(tmp_path: Path) -> None:
    values = np.random.default_rng(1).random((8, 8))
    np.save(tmp_path / "c.npy", values)
    run = go(tmp_path / "run", "time.end=0.01", f"initial.c={{kind: file, path: {tmp_path}/c.npy}}")
    assert np.allclose(run.fields.c[0], values, atol=1e-14)
