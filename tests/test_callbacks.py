"""Functions that are called between steps: when, with what, and what becomes of the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import phasefield as pf
from phasefield.callbacks import Moment
from phasefield.errors import ConfigError
from phasefield.schedule import WallTime
from phasefield.store import load_checkpoint

KEYS = ("model=allen_cahn", "grid.shape=[12,12]", "device=cpu", "output.picture=false", "output.kernels=false")


def times(every: Any, tmp_path: Path, *keys: str) -> list[float]:
    seen: list[float] = []
    pf.run(*KEYS, "time.end=3", f"output.dir={tmp_path}/run", *keys, callbacks=[(every, lambda m: seen.append(m.time))])
    return seen


@pytest.mark.parametrize(
    ("every", "expected"),
    [
        (0.7, [0.0, 0.7, 2 * 0.7, 3 * 0.7, 4 * 0.7]),
        ({"times": [0.3, 1.1, 99]}, [0.3, 1.1]),
        ({"per_decade": 1, "start": 0.25}, [0.0, 0.25, 2.5]),
    ],
)
def test_steps_land_on_their_times(every: Any, expected: list[float], tmp_path: Path) -> None:
    assert times(every, tmp_path) == expected


def test_fixed_steps_pass_their_times_and_say_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    keys = ("time.adaptive=false", "time.dt=0.25", "time.end=1")
    assert times(0.3, tmp_path, *keys) == [0.0, 0.5, 0.75, 1.0]
    assert "callbacks[0] = 0.3 does not fall on steps of time.dt = 0.25" in caplog.text


def test_steps_and_the_clock_count_too(tmp_path: Path) -> None:
    steps: list[int] = []
    both = [({"steps": 4}, lambda m: steps.append(m.step)), ({"wall": 1e-9}, lambda m: steps.append(-m.step))]
    run = pf.run(*KEYS, "time.end=1", f"output.dir={tmp_path}/run", callbacks=both)
    last = int(run.history.step[-1])
    assert [s for s in steps if s > 0] == list(range(4, last + 1, 4))
    assert [-s for s in steps if s < 0] == list(range(1, last + 1))


def test_the_clock_is_a_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("phasefield.schedule.clock.monotonic", lambda: now[0])
    plan = WallTime(60.0)
    fired = []
    for now[0] in (130.0, 160.0, 170.0, 221.0, 300.0):
        fired.append(plan.due(0.0, 1))
        if now[0] == 221.0:
            now[0] = 250.0
            plan.restart()
    assert fired == [False, True, False, True, False]


def test_a_callback_sees_what_the_files_hold(tmp_path: Path) -> None:
    seen: list[Moment] = []

    def look(moment: Moment) -> None:
        assert moment.fields["eta"].shape == (4, 12, 12)
        moment.fields["eta"][:] = 0.0  # its own
        assert moment.values["mean_eta"].shape == (4,)
        seen.append(moment)

    keys = ("model=grain_growth", "model.fields.eta.components=4", "initial.eta={kind: voronoi, grains: 4}")
    options = ("time.end=2", "output.every=1", "output.history=1", f"output.dir={tmp_path}/run")
    run = pf.run(*KEYS[1:], *keys, *options, callbacks=[(1.0, look)])
    assert [m.time for m in seen] == [0.0, 1.0, 2.0]
    history, other = run.history, [pf.run(*KEYS[1:], *keys, *options[:-1], f"output.dir={tmp_path}/other")][0]
    for i, moment in enumerate(seen):
        assert moment.values["free_energy"] == float(history.free_energy[i])
        assert moment.step == int(history.step[i])
    assert np.array_equal(run.fields.eta.values, other.fields.eta.values)  # outputs at the same times, the same bits


def test_a_callback_may_stop_the_run_which_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    """What has been called before a checkpoint is not called again, what comes after it is."""
    seen: list[float] = []

    def note(moment: Moment) -> None:
        seen.append(moment.time)
        if moment.time == 1.0:
            moment.stop()

    run = pf.run(*KEYS, "time.end=2", f"output.dir={tmp_path}/run", callbacks=[(0.5, note)])
    assert run.outcome is not None
    assert run.outcome.reason == "stopped"
    assert seen == [0.0, 0.5, 1.0]
    resumed = pf.resume(run.path, callbacks=[(0.5, note)])
    assert resumed.outcome is not None
    assert resumed.outcome.reason == "finished"
    assert seen == [0.0, 0.5, 1.0, 1.5, 2.0]
    whole = pf.run(*KEYS, "time.end=2", f"output.dir={tmp_path}/whole", callbacks=[(0.5, lambda m: None)])
    ends = [load_checkpoint(r.path / "checkpoint.npz")[0]["u"] for r in (resumed, whole)]
    assert np.array_equal(*ends)


def test_an_exception_ends_the_run_with_its_files_closed(tmp_path: Path) -> None:
    def fail(moment: Moment) -> None:
        if moment.time > 0:
            raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        pf.run(*KEYS, "time.end=2", f"output.dir={tmp_path}/run", "output.history={steps: 1}", callbacks=[(1.0, fail)])
    found = pf.open_run(tmp_path / "run")
    assert len(found.history.time) > 5  # rows that waited are there
    assert "no more" in (tmp_path / "run" / "run.log").read_text()
    resumed = pf.resume(tmp_path / "run")
    assert resumed.outcome is not None
    assert resumed.outcome.reason == "finished"
    assert float(resumed.history.time[-1]) == 2.0


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ([("soon", print)], "callbacks[0]"),
        ([(1.0, print), (2.0, 3)], "callbacks[1]"),
        ([({"wall": -1}, print)], "wall"),
    ],
)
def test_what_is_no_callback_is_refused_before_anything_is_written(wanted: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        pf.run(*KEYS, f"output.dir={tmp_path}/run", callbacks=wanted)
    assert said in str(error.value)
    assert not (tmp_path / "run").exists()
