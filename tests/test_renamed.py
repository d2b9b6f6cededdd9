"""Keys that were renamed: their former names work and warn, then are refused; what earlier versions wrote is read on."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from test_cli import Command, phasefield

import phasefield as pf
from phasefield.config import current, renaming
from phasefield.errors import CheckpointMismatch
from phasefield.keys.renamed import RENAMED, Renamed
from phasefield.store import load_checkpoint, save_checkpoint

__all__ = ["phasefield"]

BASE = "device=cpu threads.cpu=1 output.picture=false"


@pytest.fixture(autouse=True)
def former(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names that never were: in their group, moved to another one, and in every field."""
    run = [
        Renamed("time.stop", "time.end", "99.0"),
        Renamed("mesh.cells", "grid.shape", "99.0"),
        Renamed("model.fields.*.diffusivity", "model.fields.*.mobility", "99.0"),
        Renamed("time.length", "time.end", "0.1"),
    ]
    monkeypatch.setitem(RENAMED, "run", run)
    monkeypatch.setitem(RENAMED, "homogenize", [Renamed("stuff", "material", "99.0")])
    monkeypatch.setattr(renaming, "_told", set())


def test_a_former_name_works_and_warns_once(
    phasefield: Command, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "my.yaml").write_text("mesh: {cells: [8, 8]}\nmodel: {fields: {c: {diffusivity: 2.0}}}\n")
    answer = phasefield(f"run experiment=my.yaml {BASE} time.stop=0.1 output.dir=a")
    assert answer.code == 0, answer.err
    assert caplog.text.count("time.stop is now time.end; the former name goes in version 99.0\n") == 1
    told = yaml.safe_load((tmp_path / "a" / "config.yaml").read_text())
    assert (told["time"]["end"], told["grid"]["shape"], told["model"]["fields"]["c"]["mobility"]) == (0.1, [8, 8], 2.0)
    assert "mesh" not in told
    run = pf.run(*BASE.split(), time={"stop": 0.1}, mesh={"cells": [8, 8]}, output={"dir": tmp_path / "b"})
    assert run.history.time[-1] == 0.1
    # Of a command that takes another's keys besides, of all runs of a sweep, and of a section.
    assert "time stepping" in phasefield("explain mesh.cells=[8,8] --theory").out.lower()
    answer = phasefield(f"run -m {BASE} mesh.cells=[8,8] time.stop=0.1,0.2 output.dir=many")
    assert answer.code == 0, answer.err
    assert [pf.open_run(f"many/{k}").history.time[-1] for k in "01"] == [0.1, 0.2]
    assert current(["+homogenize.stuff=cu"], "run") == ["+homogenize.material=cu"]


@pytest.mark.parametrize(
    ("keys", "key", "says"),
    [
        ("time.length=1", "time.length", "is now time.end\n  write time.end=..."),
        ("time.stop=1 time.end=2", "time.stop", "is now time.end, which is given too\n  leave one of them out"),
        ("'time={stop: 1}'", "time.stop", "is now time.end\n  write time.end instead"),
    ],
)
def test_what_is_refused(phasefield: Command, keys: str, key: str, says: str) -> None:
    answer = phasefield(f"run {BASE} {keys}")
    assert (answer.code, answer.out) == (2, "")
    assert f"error: {key}: {says}" in answer.err


def test_what_an_earlier_version_wrote(phasefield: Command, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The files of a run and of a sweep say the former names, also one that nobody may type any more."""
    answer = phasefield(f"run -m {BASE} grid.shape=[8,8] time.end=0.1 seed=1,2 output.dir=many")
    assert answer.code == 0, answer.err
    for name in ("many/0", "many/1"):
        config = yaml.safe_load((tmp_path / name / "config.yaml").read_text())
        config["mesh"] = {"cells": config["grid"].pop("shape")}
        config["time"]["length"] = config["time"].pop("end")
        config["model"]["fields"]["c"]["diffusivity"] = config["model"]["fields"]["c"].pop("mobility")
        (tmp_path / name / "config.yaml").write_text(yaml.safe_dump(config))
        arrays, meta = load_checkpoint(tmp_path / name / "checkpoint.npz")
        known = meta["identity"]
        known["mesh.cells"] = known.pop("grid.shape")
        known["model.fields.c.diffusivity"] = known.pop("model.fields.c.mobility")
        save_checkpoint(tmp_path / name / "checkpoint.npz", arrays, meta)
    for file in ("many/sweep.yaml", "many/0/member.yaml", "many/1/member.yaml"):
        text = (tmp_path / file).read_text()
        (tmp_path / file).write_text(text.replace("grid.shape=", "mesh.cells=").replace("time.end=", "time.length="))
    answer = phasefield("resume many/0")
    assert (answer.code, "already ended" in answer.err, "is now" in caplog.text) == (0, True, False)
    answer = phasefield("resume many time.stop=0.2")
    assert answer.code == 0, answer.err
    assert "time.stop is now time.end" in answer.err + caplog.text
    assert pf.open_run("many/1").history.time[-1] == 0.2
    with pytest.raises(CheckpointMismatch, match=r"grid\.shape = \[8, 8\], this run has \[16, 16\]"):
        pf.resume("many/0", "mesh.cells=[16,16]")
    # The same command as then takes the sweep up.
    answer = phasefield(f"run -m {BASE} mesh.cells=[8,8] time.end=0.1 seed=1,2 output.dir=many output.resume=auto")
    assert (answer.code, "all done" in answer.err) == (0, True), answer.err
