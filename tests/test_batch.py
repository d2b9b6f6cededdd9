"""Jobs that are stopped and go on: one command for both, the limit of wall time, what wants a requeue."""

from __future__ import annotations

import math
import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

import phasefield as pf
from phasefield import cli, running, wall
from phasefield.errors import ConfigError

MODEL = [
    "model=allen_cahn",
    "grid.shape=[16,16]",
    "time.end=20",
    "time.adaptive=false",
    "time.dt=0.1",
    "output.picture=false",
]
AUTO = [*MODEL, "output.resume=auto"]


def code(*words: str) -> int:
    """The exit code of a command line; of keys that are given twice the last one stands in it."""
    last = {word.partition("=")[0]: word for word in words}
    with pytest.raises(SystemExit) as stop:
        cli.main(list(last.values()))
    return int(stop.value.code or 0)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def state(path: str) -> tuple[bytes, bytes]:
    """Every bit of the fields and of the times of a run's files."""
    run = pf.open_run(path)
    return run.fields.eta.values.tobytes(), run.history[["time", "free_energy"]].to_array().values.tobytes()


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90s", 90), ("30m", 1800), ("30min", 1800), ("2h", 7200), ("1h30m", 5400), ("1.5 h", 5400), (45, 45), ("45", 45),
     ("1d", 86400), ("02:00:00", 7200), ("10:30", 630), ("1-12:00:00", 129600), ("1-12:00", 129600)],
)  # fmt: skip
def test_wall_times(text: object, expected: float) -> None:
    assert wall.seconds(text, "time.wall") == expected


@pytest.mark.parametrize("text", ["2x", "", "h", "-1h", "0s", "1h 30", True, [1], math.nan, "1:2:3:4", 10**400])
def test_no_wall_times(text: object) -> None:
    with pytest.raises(ConfigError, match=r"time\.wall.*expected, e\.g\. 90s"):
        wall.seconds(text, "time.wall")


def test_checkpoints_cost_least_at_their_interval() -> None:
    """Of all intervals that of Young and Daly loses least: cost / T for writing, T / (2 M) for work done again."""
    cost, between = 0.7, wall.BETWEEN_FAILURES
    intervals = np.geomspace(20, 3000, 4000)
    best = intervals[np.argmin(cost / intervals + intervals / (2 * between))]
    assert wall.interval(cost) == pytest.approx(best, rel=2e-3)
    assert wall.interval(0.0) == 10.0
    assert wall.interval(1e6) == 3600.0
    # A run that has just begun writes them sooner, and never spends more than a hundredth of its time on them.
    ages = np.geomspace(1, wall.BETWEEN_FAILURES, 200)
    for cost in (0.005, 0.7, 5.0):
        early = np.array([wall.interval(cost, age) for age in ages])
        assert early[0] == max(10.0, 100 * cost) < early[-1] == wall.interval(cost)
        assert (np.diff(early) >= 0).all()
        assert (cost <= early / 100).all()


def test_a_deadline_lets_steps_end_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    deadline = wall.Deadline(60.0, began=95.0)
    taken = 0
    while not deadline.near(cost=2.0):
        taken, now[0] = taken + 1, now[0] + 7.0
    # 55 s are left: 7 steps take 49 and a checkpoint 2; an eighth step would end at 56.
    assert taken == 7
    assert not wall.Deadline(1.0, began=0.0).near(0.0), "a run has to come on"
    assert not wall.Deadline(None).near(1e9)


def test_the_same_command_until_it_is_done(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Stopped by its wall time over and over, a run ends with the bits of an unbroken one, and then stays as it is."""
    assert code(*MODEL, "output.dir=whole") == 0
    steps = [0]

    def near(self: wall.Deadline, cost: float) -> bool:
        steps[0] += 1
        return steps[0] % 60 == 0

    monkeypatch.setattr(wall.Deadline, "near", near)
    codes = []
    while not codes or codes[-1] == wall.WANTS_MORE:
        codes.append(code(*AUTO, "output.dir=parts", "time.wall=1h"))
    assert codes == [85, 85, 85, 0]
    assert "or the same command" in capsys.readouterr().err
    assert state("parts") == state("whole")
    before = {p.name: p.stat().st_mtime_ns for p in Path("parts").iterdir() if p.suffix in (".nc", ".npz")}
    assert code(*AUTO, "output.dir=parts") == 0
    assert {name: (Path("parts") / name).stat().st_mtime_ns for name in before} == before
    assert "already ended (finished)" in caplog.text + capsys.readouterr().err


def test_a_longer_end_goes_on_and_another_problem_does_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert code(*AUTO, "output.dir=run") == 0
    assert code(*AUTO, "output.dir=run", "seed=5") == 2
    assert "seed" in capsys.readouterr().err
    assert code(*AUTO, "output.dir=run", "model.parameters.W=2") == 2
    assert code(*MODEL, "output.dir=run") == 2, "without auto a folder that holds a run is refused"
    assert code(*AUTO, "output.dir=run", "time.end=25") == 0
    assert float(pf.open_run("run").fields.time[-1]) == pytest.approx(25)
    assert code(*AUTO) == 2
    assert "output.dir" in capsys.readouterr().err


def test_what_was_killed_before_its_first_checkpoint_begins_anew(capsys: pytest.CaptureFixture[str]) -> None:
    assert code(*AUTO, "output.dir=run", "time.end=2") == 0
    Path("killed").mkdir()
    shutil.copy("run/config.yaml", "killed")
    Path("killed/history.nc").write_bytes(b"half a file")
    assert code(*AUTO, "output.dir=killed", "time.end=2") == 0
    assert pf.open_run("killed").fields.sizes["time"] > 1
    assert Path("killed/history.nc.1").read_bytes() == b"half a file"
    # What would be missed stays: a run that has lost its checkpoint, another program's configuration.
    Path("run/checkpoint.npz").unlink()
    with pytest.raises(pf.OutputError, match="checkpoint of their run is missing"):
        pf.resume("run")
    assert code(*AUTO, "output.dir=run", "time.end=2") == 2
    assert "checkpoint of their run is missing" in capsys.readouterr().err
    assert pf.open_run("run").fields.sizes["time"] > 1
    Path("other").mkdir()
    Path("other/config.yaml").write_text("database: here\n")
    assert code(*AUTO, "output.dir=other") == 2
    assert Path("other/config.yaml").read_text() == "database: here\n"


def test_a_notice_of_the_batch_system_wants_a_requeue() -> None:
    def notice(moment: pf.Moment) -> None:
        if moment.step == 30:
            os.kill(os.getpid(), signal.SIGUSR1)

    run = pf.run(*AUTO, "output.dir=run", callbacks=[({"steps": 10}, notice)])
    assert run.outcome is not None
    assert run.outcome.signal == signal.SIGUSR1
    from phasefield.commands.run import finish

    assert finish(run, automatic=True) == 85
    assert finish(run) == 128 + signal.SIGUSR1
    assert code(*AUTO, "output.dir=run") == 0


def test_arrays_have_to_be_the_same() -> None:
    keys = {
        "model": "allen_cahn",
        "grid": {"shape": [16, 16]},
        "output": {"dir": "run", "resume": "auto", "picture": False},
    }
    start = np.random.default_rng(1).standard_normal((16, 16))
    pf.run(**keys, initial={"eta": start}, time={"end": 2.0})
    again = pf.run(**keys, initial={"eta": start}, time={"end": 4.0})
    assert float(again.fields.time[-1]) == 4.0
    shutil.copytree("run", "copy")  # beside the one whose configuration names its own array
    copied = pf.run(**{**keys, "output": {**keys["output"], "dir": "copy"}}, initial={"eta": start}, time={"end": 5.0})
    assert float(copied.fields.time[-1]) == 5.0
    with pytest.raises(ConfigError, match=r"initial\.eta: is another array"):
        pf.run(**keys, initial={"eta": start + 1}, time={"end": 4.0})


def test_a_sweep_runs_what_is_missing(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    sweep = ["run", "-m", *AUTO, "time.end=2", "seed=1,2,3", "output.dir=many"]
    assert code(*sweep) == 0
    told = yaml.safe_load(Path("many/1/member.yaml").read_text())
    Path("many/1/member.yaml").write_text(yaml.safe_dump({**told, "code": 2, "text": "failed"}))
    for file in Path("many/1").glob("*.n*"):
        file.unlink()
    before = Path("many/0/fields.nc").stat().st_mtime_ns
    caplog.clear()
    capsys.readouterr()
    assert code(*sweep) == 0
    assert (caplog.text or capsys.readouterr().err).count("already ended") == 2
    assert pf.open_run("many/1").fields.sizes["time"] > 1
    assert Path("many/0/fields.nc").stat().st_mtime_ns == before
    assert code(*(w.replace("1,2,3", "1,2") for w in sweep)) == 2
    assert "another sweep, of 3 runs" in capsys.readouterr().err


def test_what_another_process_has_begun_and_ended_since_the_look_is_gone_on_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of two commands at once in one folder, each of a sweep's members is what the quicker one has made of it."""
    assert code(*AUTO, "output.dir=run", "time.end=1") == 0
    looked = iter([lambda wanted: None, running._to_go_on])
    monkeypatch.setattr(running, "_to_go_on", lambda wanted: next(looked)(wanted))
    assert code(*AUTO, "output.dir=run", "time.end=1") == 0
    assert next(looked, None) is None
