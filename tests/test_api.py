"""The same from Python."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import phasefield as pf
from phasefield import config
from phasefield.api import open_run, run_config

TINY = ("grid.shape=[8,8]", "threads.cpu=1", "device=cpu", "output.picture=false", "time.end=1")


def test_run_and_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = pf.run("model=spinodal", *TINY, "output.dir=out", seed=3)
    assert run.path == Path("out")
    assert (np.diff(run.history.free_energy) <= 0).all()
    assert run.fields.c.shape == (11, 8, 8)
    assert run.history.attrs["seed"] == 3
    assert "phasefield.run('model=spinodal'" in run.history.attrs["command"]
    assert np.array_equal(open_run("out").fields.c, run.fields.c)
    # Without a folder, each run gets one of its own.
    assert len({pf.run(*TINY, time="{max_steps: 1}").path for _ in range(3)}) == 3
    assert (tmp_path / "runs").is_dir()


@pytest.mark.parametrize(
    "overrides",
    [
        ("initial.c=0.5+0.1*cos(2*pi*x/8)",),
        ("initial.c={kind: noise, mean: 0.5+0.1*sin(x), amplitude: 0.01}", "output.every={times: [0.5]}"),
        ("model=grain_growth", "model.fields.eta.components=3", "initial.eta.grains=3", "time.tolerance=1e-5"),
        ("experiment=pfhub/1b", "grid.shape=[8,8]", "time.end=1"),
    ],
    ids=str,
)
def test_config_yaml_reproduces_the_run(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    first = pf.run(*TINY, *overrides, f"output.dir={tmp_path}/first")
    text = (tmp_path / "first" / "config.yaml").read_text()
    assert "${" not in text
    second = run_config(config.load(tmp_path / "first" / "config.yaml", [f"output.dir={tmp_path}/second"]))
    for name in first.fields.data_vars:
        assert np.array_equal(first.fields[name], second.fields[name])
    assert text.replace("first", "second") == (tmp_path / "second" / "config.yaml").read_text()


def test_errors_are_exceptions(tmp_path: Path) -> None:
    with pytest.raises(pf.ConfigError, match=r"grid\.shpe"):
        pf.run("grid.shpe=[8,8]")
    with pytest.raises(pf.PhasefieldError, match="no such run folder"):
        pf.resume(tmp_path / "nowhere")
