"""Stopped anywhere and resumed, a run holds the bits of one that was never stopped."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from omegaconf import OmegaConf

import phasefield as pf
from phasefield.cli import main
from phasefield.config import of_run
from phasefield.errors import CheckpointMismatch, ConfigError, OutputError
from phasefield.simulation import Simulation
from phasefield.store import RecordFile, Writer, load_checkpoint, open_dataset, save_checkpoint

COMMON = ("threads.cpu=1", "device=cpu", "output.picture=false")


def same(a: Path, b: Path) -> None:
    """The two folders hold the same bits wherever the clock is not written."""
    for name in ("fields.nc", "history.nc"):
        with xr.open_dataset(a / name) as left, xr.open_dataset(b / name) as right:
            assert set(left.variables) == set(right.variables)
            for variable in left.variables:
                assert left[variable].dtype == right[variable].dtype
                assert np.array_equal(left[variable], right[variable], equal_nan=left[variable].dtype.kind == "f"), (
                    variable
                )
    assert (a / "checkpoint.npz").read_bytes() == (b / "checkpoint.npz").read_bytes()


@contextmanager
def signalled(at: int, number: int) -> Iterator[None]:
    """Sends this process a signal after ``at`` more steps."""
    advance, count = Simulation.advance, 0

    def counted(self: Simulation, target: float) -> None:
        nonlocal count
        advance(self, target)
        count += 1
        if count == at:
            os.kill(os.getpid(), number)

    Simulation.advance = counted  # type: ignore[method-assign]
    try:
        yield
    finally:
        Simulation.advance = advance  # type: ignore[method-assign]


CASES = {
    "etdms2": ("grid.shape=[16,16]", "time.end=2", "time.scheme=etdms2"),
    "sbdf2": ("grid.shape=[16,16]", "time.end=2", "time.scheme=sbdf2"),
    "etdrk4": ("grid.shape=[16,16]", "time.end=2", "time.scheme=etdrk4", "time.tolerance=0.002"),
    "etdms3": ("grid.shape=[16,16]", "time.end=2", "time.scheme=etdms3"),
    "etdms4": ("grid.shape=[16,16]", "time.end=2", "time.scheme=etdms4"),
    "etdms3 fixed": ("grid.shape=[16,16]", "time.end=2", "time.scheme=etdms3", "time.adaptive=false", "time.dt=0.03"),
    "etdms4 fixed": ("grid.shape=[16,16]", "time.end=2", "time.scheme=etdms4", "time.adaptive=false", "time.dt=0.03"),
    "etdms2 fixed": ("grid.shape=[16,16]", "time.end=2", "time.scheme=etdms2", "time.adaptive=false", "time.dt=0.03"),
    "sbdf2 fixed": ("grid.shape=[16,16]", "time.end=2", "time.scheme=sbdf2", "time.adaptive=false", "time.dt=0.03"),
    "etdrk4 fixed": ("grid.shape=[16,16]", "time.end=2", "time.scheme=etdrk4", "time.adaptive=false", "time.dt=0.03"),
    "grains": ("model=grain_growth", "model.fields.eta.components=3", "initial.eta.grains=3", "grid.shape=[16,16]", "time.end=2"),
    "no-flux": ("grid.shape=[12,10]", "grid.boundary=no-flux", "time.end=2", "precision=single", "time.tolerance=0.01"),
    "one axis": ("grid.shape=[32]", "time.end=2", "output.every={per_decade: 3, start: 0.01}", "output.history=0.07"),
}  # fmt: skip


@pytest.mark.parametrize(
    "kind",
    [(), pytest.param(("time.adaptive=false", "time.dt=0.03"), marks=pytest.mark.slow)],
    ids=["adaptive", "fixed"],
)
def test_stopped_among_the_first_steps(tmp_path: Path, kind: tuple[str, ...]) -> None:
    """Where the history is still filling up."""
    job = (*COMMON, "grid.shape=[16,16]", "time.end=0.3", "time.scheme=etdms4", *kind)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    pf.run(*job, f"output.dir={whole}")
    with signalled(1, signal.SIGTERM):
        pf.run(*job, f"output.dir={parts}")
    for _ in range(3):
        with signalled(1, signal.SIGTERM):
            assert pf.resume(parts).outcome.reason == "stopped"
    assert pf.resume(parts).outcome.reason == "finished"
    same(whole, parts)


#: Schemes and fields of other kinds with the same books to keep.
LONG = ("etdrk4", "etdrk4 fixed", "etdms4 fixed", "sbdf2 fixed", "no-flux")


@pytest.mark.parametrize("case", [pytest.param(c, marks=pytest.mark.slow if c in LONG else ()) for c in CASES])
def test_stop_and_resume(tmp_path: Path, case: str) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    pf.run(*COMMON, *CASES[case], f"output.dir={whole}")
    with signalled(7, signal.SIGTERM):
        run = pf.run(*COMMON, *CASES[case], f"output.dir={parts}")
    assert run.outcome.reason == "stopped"
    assert run.outcome.signal == signal.SIGTERM
    with signalled(1, signal.SIGUSR1):
        assert pf.resume(parts).outcome.signal == signal.SIGUSR1
    with signalled(13, signal.SIGINT):
        assert pf.resume(parts).outcome.signal == signal.SIGINT
    assert pf.resume(parts).outcome.reason == "finished"
    same(whole, parts)


def test_a_large_run_is_written_and_goes_on(tmp_path: Path) -> None:
    """Its arrays are lent to the writer one at a time (`Writer.large`), snapshots and checkpoints alike."""
    keys = (
        "model=allen_cahn",
        "grid.shape=[1200,1200]",
        "time.adaptive=false",
        "time.dt=0.1",
        "time.end=1",
        "output.every=0.5",
    )
    fast = ("output.picture=false", "device=cpu", "threads.cpu=2", "time.scheme=imex1")
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run = pf.run(*keys, *fast, f"output.dir={whole}")
    assert run.outcome is not None
    assert run.outcome.reason == "finished"
    assert Writer.large((whole / "checkpoint.npz").stat().st_size)
    with signalled(5, signal.SIGTERM):
        pf.run(*keys, *fast, f"output.dir={parts}")
    assert pf.resume(parts).outcome.reason == "finished"
    same(whole, parts)


def test_components_with_a_list_of_expressions_go_on(finished: Path, tmp_path: Path) -> None:
    config = OmegaConf.load(finished / "config.yaml")
    config.initial.c = ["0.5", "0.4"]
    OmegaConf.save(config, tmp_path / "config.yaml")
    assert list(of_run(tmp_path / "config.yaml").initial.c) == ["0.5", "0.4"]


def test_a_run_that_has_ended_is_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name, overrides, reason in (
        ("end", ("time.end=0.1",), "finished"),
        ("steps", ("time.end=9", "time.max_steps=5"), "max_steps"),
        ("steady", ("time.end=1e5", "initial.c=0.5", "time.steady=1e-8"), "steady"),
    ):
        folder = tmp_path / name
        pf.run(*COMMON, "grid.shape=[8,8]", *overrides, f"output.dir={folder}")
        before = {
            p: (p.stat().st_mtime_ns, p.read_bytes()) for p in folder.rglob("*") if p.is_file() and p.name != ".lock"
        }
        with caplog.at_level("INFO", logger="phasefield"):
            assert pf.resume(folder).outcome.reason == reason
        assert "nothing to do" in caplog.text
        assert {
            p: (p.stat().st_mtime_ns, p.read_bytes()) for p in folder.rglob("*") if p.is_file() and p.name != ".lock"
        } == before
        caplog.clear()


def test_a_later_end(tmp_path: Path) -> None:
    pf.run(*COMMON, "grid.shape=[8,8]", "time.end=1", f"output.dir={tmp_path}/run")
    run = pf.resume(tmp_path / "run", "time.end=2")
    assert run.outcome.reason == "finished"
    # Ten snapshots to the first end; from there on every tenth of the new end.
    assert run.fields.time.values.tolist() == [
        *(n * 0.1 for n in range(10)),
        1.0,
        *(n * 0.2 for n in range(6, 10)),
        2.0,
    ]
    assert (np.diff(run.history.time) > 0).all()
    assert "end: 2.0" in (tmp_path / "run" / "config.yaml").read_text()
    # Again, with a schedule of another kind.
    run = pf.resume(tmp_path / "run", "time.end=3", "output.every={times: [1.5, 2.5]}")
    assert run.fields.time.values[-2:].tolist() == [2.5, 3.0]


def test_another_fixed_step(tmp_path: Path) -> None:
    pf.run(
        *COMMON, "grid.shape=[8,8]", "time.end=1", "time.adaptive=false", "time.dt=0.1", f"output.dir={tmp_path}/run"
    )
    run = pf.resume(tmp_path / "run", "time.end=2", "time.dt=0.05")
    assert float(run.history.dt[-1]) == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("model.energy=c**2", "model.energy"),
        ("model.parameters.W=2", "model.parameters.W = 1.0, this run has 2.0"),
        ("model.fields.c.mobility=2", "model.fields.c.mobility"),
        ("model.fields.c.kappa=2", "model.fields.c.kappa"),
        ("model.fields.c.source=0.1", "model.fields.c.source"),
        ("model.fields.c.kinetics=nonconserved", "model.fields.c.kinetics"),
        ("grid.shape=[4,4]", "grid.shape"),
        ("grid.length=3", "grid.length"),
        ("grid.boundary=no-flux", "grid.boundary"),
        ("grid.dealias=true", "grid.dealias"),
        ("precision=single", "precision"),
        ("time.scheme=sbdf2", "time.scheme"),
        ("seed=2", "seed = 1, this run has 2"),
        ("initial.c=0.4", "initial.c"),
        ("initial.c.mean=0.4", "initial.c"),
        ("model.fields.c.stabilizer=3", "model.fields.c.stabilizer = auto, this run has 3"),
    ],
)
def test_other_physics(finished: Path, override: str, says: str) -> None:
    before = (finished / "config.yaml").read_text()
    with pytest.raises(CheckpointMismatch, match=r"checkpoint\.npz: was written with .*\n  .*only time\.end") as caught:
        pf.resume(finished, override)
    assert says in str(caught.value)
    assert (finished / "config.yaml").read_text() == before


@pytest.mark.parametrize(
    "override", ["output.dir=elsewhere", "output.observables=[free_energy]", "homogenize.material=cu"]
)
def test_keys_that_resuming_cannot_change(finished: Path, override: str) -> None:
    before = (finished / "config.yaml").read_text()
    with pytest.raises(ConfigError, match=override.partition("=")[0]):
        pf.resume(finished, "time.end=1", override)
    assert (finished / "config.yaml").read_text() == before


def test_what_the_files_say_already_is_warned_of(
    finished: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = shutil.copytree(finished, tmp_path / "run")
    changes = ("title=another", "output.compression=3", f"output.dir={run}", "output.picture=false")
    with caplog.at_level("WARNING", logger="phasefield"):
        pf.resume(run, "time.end=0.2", *changes)
    assert "title: stays ''" in caplog.text
    assert "output.compression: stays 0" in caplog.text
    assert "title: ''" in (run / "config.yaml").read_text()


def test_checkpoints_of_earlier_versions(finished: Path, tmp_path: Path) -> None:
    """They tell nothing of the seed, the initial state and the stabiliser; the configuration does."""
    run = shutil.copytree(finished, tmp_path / "run")
    arrays, meta = load_checkpoint(run / "checkpoint.npz")
    new = {key for key in meta["identity"] if key == "seed" or key.startswith("initial.") or key.endswith("stabilizer")}
    assert new == {"seed", "initial.c", "model.fields.c.stabilizer"}
    meta["identity"] = {key: value for key, value in meta["identity"].items() if key not in new}
    save_checkpoint(run / "checkpoint.npz", arrays, meta)
    for override in ("seed=2", "initial.c=0.4", "model.fields.c.stabilizer=3"):
        with pytest.raises(ConfigError, match=f"{override.partition('=')[0]}.*cannot become"):
            pf.resume(run, "time.end=0.2", override)
    assert pf.resume(run, "time.end=0.2").outcome.reason == "finished"


#: What makes another run of the same model, and in the last two as many records of the same variables.
OTHERS = {
    "another grid": ("grid.shape=[8,4]", "output.observables=[]"),
    "another seed": ("seed=2",),
    "another parameter": ("model.parameters.W=1.01",),
    "other times": ("time.end=0.05",),
}


@pytest.mark.parametrize("name", ["fields.nc", "history.nc"])
@pytest.mark.parametrize("fault", ["missing", "damaged", "shorter", *OTHERS])
def test_a_lost_file_is_begun_anew_where_asked_for(finished: Path, tmp_path: Path, name: str, fault: str) -> None:
    run = shutil.copytree(finished, tmp_path / "run")
    file = run / name
    if fault == "missing":
        file.unlink()
    elif fault == "damaged":
        file.write_bytes(file.read_bytes()[:1000])
    elif fault == "shorter":
        RecordFile.open(file).truncate(1)
    else:
        pf.run(*COMMON, "grid.shape=[8,8]", "time.end=0.1", *OTHERS[fault], f"output.dir={tmp_path}/other")
        shutil.copy(tmp_path / "other" / name, file)
    before = {p: p.read_bytes() for p in run.iterdir() if p.is_file() and p.name not in ("run.log", ".lock")}
    with pytest.raises(pf.PhasefieldError, match=rf"{name}(.|\n)*--new-files"):
        pf.resume(run, "time.end=0.2")
    assert {p: p.read_bytes() for p in before if p.name != "config.yaml"} == {
        p: b for p, b in before.items() if p.name != "config.yaml"
    }
    with signalled(1, signal.SIGTERM):
        assert pf.resume(run, "time.end=0.2", new_files=True).outcome.reason == "stopped"
    resumed = pf.resume(run)  # the new file counts from here on
    whole = pf.run(*COMMON, "grid.shape=[8,8]", "time.end=0.1", f"output.dir={tmp_path}/whole")
    whole = pf.resume(whole.path, "time.end=0.2")
    for part, all_ in ((resumed.fields, whole.fields), (resumed.history, whole.history)):
        kept = all_.sel(time=part.time)
        assert part.time[-1] == 0.2
        for variable in all_.data_vars:
            assert np.array_equal(part[variable], kept[variable], equal_nan=True), variable
    begun = xr.open_dataset(run / name, decode_times=False).time
    assert begun[0] == 0.1
    assert (run / f"{name}.1").exists() == (fault != "missing")
    if fault != "missing":
        assert (run / f"{name}.1").read_bytes() == before[file]


def test_a_picture_that_was_missed_is_drawn_on_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between the last checkpoint and the picture, then again with a picture of an earlier end."""
    run = tmp_path / "run"
    pf.run(*COMMON[:-1], "grid.shape=[8,8]", "time.end=0.1", f"output.dir={run}")
    for _ in range(2):
        with pytest.raises(SystemExit) as caught:
            main(["resume", str(run)])
        assert caught.value.code == 0
        drawn = (run / "fields.png").stat().st_mtime_ns
        with pytest.raises(SystemExit):
            main(["resume", str(run)])
        assert (run / "fields.png").stat().st_mtime_ns == drawn
        pf.resume(run, "time.end=0.2")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished") / "run"
    pf.run(*COMMON, "grid.shape=[8,8]", "time.end=0.1", f"output.dir={folder}")
    return folder


def test_what_cannot_be_resumed(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no such run folder"):
        pf.resume(tmp_path / "nowhere")
    with pytest.raises(OutputError, match="holds no run"):
        pf.resume(tmp_path)

    def broken(name: str, change: Callable[[Path], object]) -> Path:
        shutil.copytree(finished, tmp_path / name)
        change(tmp_path / name)
        return tmp_path / name

    def cut(path: Path) -> None:
        path.write_bytes(path.read_bytes()[:-100])

    lost = broken("lost", lambda p: (p / "checkpoint.npz").unlink())
    with pytest.raises(OutputError, match="records, but the checkpoint of their run is missing"):
        pf.resume(lost)
    early = broken("early", lambda p: [(p / n).unlink() for n in ("checkpoint.npz", "history.nc", "fields.nc")])
    with pytest.raises(OutputError, match=r"before its first checkpoint.*\n  delete the folder"):
        pf.resume(early)
    for name, change, error in (
        ("cut", lambda p: cut(p / "checkpoint.npz"), "truncated or damaged"),
        ("foreign", lambda p: np.savez(p / "checkpoint.npz", u=np.zeros(3)), "not a phasefield checkpoint"),
        ("text", lambda p: (p / "checkpoint.npz").write_text("hello"), "not a phasefield checkpoint"),
        ("config", lambda p: (p / "config.yaml").write_text("grid: ["), r"config\.yaml"),
        ("nofields", lambda p: (p / "fields.nc").unlink(), r"fields\.nc"),
        ("fields", lambda p: (p / "fields.nc").write_text("hello"), r"fields\.nc"),
    ):
        folder = broken(name, change)
        with pytest.raises(pf.PhasefieldError, match=error):
            pf.resume(folder, "time.end=0.2")


def test_records_beyond_an_earlier_end_are_not_lost(tmp_path: Path) -> None:
    """A checkpoint older than the last records, as a killed run leaves it, and an end between the two."""
    folder = tmp_path / "run"
    pf.run(*COMMON, "grid.shape=[8,8]", "time.end=0.1", f"output.dir={folder}")
    early = (folder / "checkpoint.npz").read_bytes()
    pf.resume(folder, "time.end=0.4")
    (folder / "checkpoint.npz").write_bytes(early)
    before = {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file() and p.name != ".lock"}
    with pytest.raises(ConfigError, match=r"time.end: is 0.2, but .*fields.nc holds records to 0.4"):
        pf.resume(folder, "time.end=0.2")
    assert {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file() and p.name != ".lock"} == before
    assert pf.resume(folder).outcome.reason == "finished"
    assert float(pf.open_run(folder).fields.time[-1]) == pytest.approx(0.4)


def test_killed_at_random_moments(tmp_path: Path) -> None:
    busy = (*COMMON, "grid.shape=[16,16]", "time.end=10", "output.every={steps: 1}", "output.history={steps: 1}")
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    pf.run(*busy, "output.checkpoint=0", "output.kernels=false", f"output.dir={whole}")
    rng = random.Random(3)
    killed, early = 0, 0
    while killed < 8:
        if (pid := os.fork()) == 0:
            try:
                if (parts / "checkpoint.npz").exists():
                    pf.resume(parts)
                else:
                    pf.run(*busy, "output.checkpoint=0", "output.kernels=false", f"output.dir={parts}")
            finally:
                os._exit(0)
        give_up = time.monotonic() + 20
        while killed >= 2 and not (parts / "checkpoint.npz").exists() and time.monotonic() < give_up:
            time.sleep(0.001)
        time.sleep(rng.uniform(0.0, 0.3))
        os.kill(pid, signal.SIGKILL)
        if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0:
            break
        killed += 1
        if not (parts / "checkpoint.npz").exists():
            early += 1
            shutil.rmtree(parts, ignore_errors=True)
    assert killed - early >= 2
    assert pf.resume(parts).outcome.reason == "finished"
    same(whole, parts)


def as_written_before(path: Path) -> None:
    """Rewrites a fields.nc as earlier versions did: axes x before y, a component axis, strings of variable length."""
    with open_dataset(path) as data:
        old = data.load().rename({}).copy()
    old.time.attrs["axis"], old.x.attrs["axis"] = "T", "X"
    old.to_netcdf(
        path, engine="h5netcdf", unlimited_dims=["time"], encoding={n: {"chunksizes": None} for n in old.data_vars}
    )
    with xr.open_dataset(path) as raw:
        assert raw.eta.dims == ("time", "component_eta", "x", "y")


def test_a_run_of_an_earlier_version_goes_on_in_its_own_layout(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for folder in (whole, parts):
        with signalled(9 if folder == parts else 10**9, signal.SIGTERM):
            pf.run(*COMMON, *CASES["grains"], f"output.dir={folder}")
    as_written_before(parts / "fields.nc")
    pf.resume(parts)
    with xr.open_dataset(parts / "fields.nc") as raw:
        assert raw.eta.dims == ("time", "component_eta", "x", "y")
    left, right = pf.open_run(whole).fields, pf.open_run(parts).fields
    assert left.eta.dims == right.eta.dims
    assert np.array_equal(left.time, right.time)
    assert np.array_equal(left.eta, right.eta)
