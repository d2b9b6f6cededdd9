"""Sweeps: every member's fate is told, none stops the others, and the folder is one thing."""

from __future__ import annotations

import logging
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import yaml
from test_cli import TINY, Command, phasefield, process

import phasefield as pf
from phasefield import config, sweep
from phasefield.errors import OutputError
from phasefield.specs import RunSpec
from phasefield.store import RunFolder, write_text
from phasefield.sweep.checking import complaints

__all__ = ["phasefield"]


def test_a_failure_is_told_and_stops_nobody(phasefield: Command, tmp_path: Path) -> None:
    # The middle one is refused only when its initial condition is made.
    level = logging.getLogger().level
    answer = phasefield(f"run -m {TINY} 'initial.c=0.5,log(d),0.4' output.dir=many")
    assert answer.code == 1
    assert logging.getLogger().level == level  # of the program that called, which Hydra sets
    assert answer.out.count("fields in fields.nc") == 2
    *_, last = answer.err.strip().split("\n\n")
    assert last.splitlines()[0] == "many: 3 runs, 2 done, 1 failed"
    rows = [line.split() for line in last.splitlines()[1:]]
    assert rows[0] == ["run", "overrides", "code", "outcome"]
    assert rows[1][:4] == ["1", "initial.c='log(d)'", "2", "initial.c:"]
    assert len(rows) == 2
    told = yaml.safe_load((tmp_path / "many" / "1" / "member.yaml").read_text())
    assert (told["code"], told["text"]) == (2, "failed")

    # The whole is reported: pages of those that ran, the reason of the one that did not.
    answer = phasefield("report many")
    assert answer.code == 0, answer.err
    page = (tmp_path / "many" / "index.html").read_text()
    assert page.count('href="') == 2
    assert "unknown name &#x27;d&#x27;" in page
    assert (tmp_path / "many" / "2" / "report.html").is_file()

    # Exported, too; what wants one run names some.
    answer = phasefield("export many format=xdmf")
    assert (answer.code, answer.err.splitlines()[0]) == (
        1,
        "phasefield: error: many/1: holds neither fields.nc nor properties.nc",
    )
    assert [(tmp_path / "many" / k / "fields.xdmf").is_file() for k in "012"] == [True, False, True]
    answer = phasefield("export many format=xdmf output=a.xdmf")
    assert (answer.code, "3 runs" in answer.err) == (2, True)
    for one in ("view many", "homogenize many material=cu"):
        answer = phasefield(one)
        assert (answer.code, answer.out) == (2, "")
        assert "holds a sweep\n  give one of its runs: many/0, ... many/2" in answer.err
    for call in (lambda: pf.open_run("many"), lambda: pf.resume("many"), pf.Run(Path("many")).report):
        with pytest.raises(pf.OutputError, match="holds a sweep\n  give one of its runs"):
            call()

    # A slip of the pen changes nothing.
    answer = phasefield("resume many tim.end=0.2")
    assert (answer.code, answer.out) == (2, "")
    assert told == yaml.safe_load((tmp_path / "many" / "1" / "member.yaml").read_text())

    # And goes on: those that ended as well, to a later end; the failed one is tried again.
    answer = phasefield("resume many time.end=0.2")
    assert answer.code == 1
    assert "1 failed" in answer.err
    assert [float(xr.load_dataset(tmp_path / "many" / k / "history.nc").time[-1]) for k in "02"] == [0.2, 0.2]


def test_nothing_starts_unless_all_can(phasefield: Command, tmp_path: Path) -> None:
    answer = phasefield(f"run -m {TINY} seed=1,2 time.dt=0.1,-1")
    assert (answer.code, answer.out) == (2, "")
    assert "2 of 4 runs of the sweep cannot be made; none was started" in answer.err
    assert "  1 (seed=1 time.dt=-1): time.dt: is -1" in answer.err
    assert not list(tmp_path.iterdir())
    answer = phasefield(f"run -m {TINY} seed=1,2 hydra/launcher=nonsense output.dir=many")
    assert answer.code == 2
    assert not list(tmp_path.iterdir())


def test_folders_are_not_mixed(phasefield: Command, tmp_path: Path) -> None:
    assert phasefield(f"run -m {TINY} seed=1,2 output.dir=many").code == 0
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    for line in (f"run -m {TINY} seed=3,4 output.dir=many", f"run {TINY} output.dir=many"):
        answer = phasefield(line)
        assert answer.code == 2
        assert "many: " in answer.err
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before
    assert "would be another folder for every run" in phasefield(f"run -m {TINY} seed=1,2 'output.dir=o_${{seed}}'").err
    # Without a name, every sweep gets a folder of its own, also within a second.
    for _ in range(2):
        assert phasefield(f"run -m {TINY} seed=1,2").code == 0
    assert len(list((tmp_path / "runs").iterdir())) == 2


def test_members_from_files_and_members_alike(phasefield: Command, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "energy: c**4/4 - c**2/2\nfields: {c: {kinetics: conserved, initial: 0.1*sin(x)}}\n"
    )
    assert phasefield(f"run -m {TINY} model=mine.yaml seed=1,1 output.dir=many").code == 0
    for file in (tmp_path / "many" / "1").iterdir():
        if file.is_file():
            file.unlink()  # never begun
    answer = phasefield("resume many")
    assert answer.code == 0, answer.err
    assert "many: 2 runs, all done" in answer.err
    assert f"model={tmp_path}/mine.yaml" in (tmp_path / "many" / "1" / "member.yaml").read_text()


def test_names_of_ones_own(phasefield: Command, tmp_path: Path) -> None:
    line = f"run -m {TINY} seed=1,2 'hydra.sweep.subdir=s${{seed}}' 'output.dir=my sweep'"
    assert phasefield(line).code == 0
    assert {p.name for p in (tmp_path / "my sweep").iterdir() if p.is_dir()} == {"s1", "s2"}
    answer = phasefield("resume 'my sweep' time.end=0.2")
    assert answer.code == 0, answer.err
    assert "2 runs, all done" in answer.err


def test_a_stopped_sweep_goes_on(phasefield: Command, tmp_path: Path) -> None:
    tiny = TINY.replace("time.end=0.1", "time.end=1e9")
    line = f"run -m {tiny} time.max_steps=200,300 time.dt_max=1e-3 output.every=1e8 output.dir=many"
    child = process(*shlex.split(line.replace("200,300", "1000000,300")))
    deadline = time.monotonic() + 120
    while not (tmp_path / "many" / "0" / "checkpoint.npz").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    # Of a run that is going, the report says so.
    reported = phasefield("report many/0")
    assert reported.code == 0, reported.err
    assert "<dd>running</dd>" in (tmp_path / "many" / "0" / "report.html").read_text()
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=120)
    assert child.returncode == 130, err
    assert "2 runs, 0 done, 0 failed, 2 stopped or not started" in err
    assert "continue with: phasefield resume many" in err
    phasefield("report many/0")
    assert "stopped before its end" in (tmp_path / "many" / "0" / "report.html").read_text()
    # An override holds for all members.
    steps = int(xr.load_dataset("many/0/history.nc").step[-1])
    answer = phasefield(f"resume many time.max_steps={steps + 20}")
    assert answer.code == 0, answer.err
    last = [int(xr.load_dataset(f"many/{k}/history.nc").step[-1]) for k in "01"]
    assert last[1] == steps + 20
    assert last[0] >= steps


def test_module_is_the_command(tmp_path: Path) -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "phasefield", "config", "show", "seed=7"], capture_output=True, text=True, cwd=tmp_path
    )
    assert (answer.returncode, answer.stderr) == (0, "")
    assert "seed: 7" in answer.stdout
    assert np.all([p.name != "runs" for p in tmp_path.iterdir()])


def test_members_that_differ_in_numbers_are_checked_without_composing_each() -> None:
    """What is refused is refused in the words of a composed configuration, and what is no number is composed."""
    built: list[str] = []

    def build(job: Sequence[str]) -> RunSpec:
        built.append(job[-1])
        return config.to_spec(config.compose(["model=spinodal", *job]))

    a = "model.parameters.rho"
    jobs = [[f"{a}={0.1 * n}", f"seed={n}"] for n in range(1, 400)]
    other = [[f"{a}=1", "seed=-1"], [f"{a}=1", "seed=1.5"], [f"{a}=sqrt(2)", "seed=1"], [f"{a}=x+", "time.end=soon"]]
    found = complaints([*jobs, *other], build)
    assert built == ["seed=1", "seed=-1", "seed=1.5", "seed=1", "time.end=soon"]
    assert {n - len(jobs): str(error).split(":")[0] for n, error in found.items()} == {
        0: "seed",
        1: "seed",
        3: "time.end",
    }


def test_what_people_do_to_the_folders_of_members(phasefield: Command, tmp_path: Path) -> None:
    line = f"run -m {TINY} seed=1,2 output.resume=auto output.dir="
    many = tmp_path / "many"
    assert phasefield(line + "many").code == 0
    # Moved to where there is more room, with a copy of what it was before beside it, and all of it renamed.
    state = yaml.safe_load((many / "0" / "member.yaml").read_text())
    shutil.copytree(many / "0", many / "0_before")
    (many / "0_before" / "member.yaml").write_text(yaml.safe_dump(state | {"code": 143, "text": "stopped"}))
    (many / "1").rename(tmp_path / "room")
    (many / "1").symlink_to(tmp_path / "room")
    many.rename(tmp_path / "again")
    answer = phasefield(line + "again")
    assert (answer.code, "again: 2 runs, all done" in answer.err) == (0, True), answer.err
    # What its file no longer tells.
    for damage in ("members: 3", "members: [3]", "", "[1]"):
        (tmp_path / "again" / "sweep.yaml").write_text(damage)
        for command in (line + "again", "resume again"):
            answer = phasefield(command)
            assert (answer.code, "again/sweep.yaml: is damaged" in answer.err) == (2, True), answer.err
    assert phasefield("run -m seed=range(0) output.dir=none").err.startswith("phasefield: error: the sweep has no runs")
    assert not (tmp_path / "none").exists()


def test_two_members_of_one_folder(phasefield: Command, tmp_path: Path) -> None:
    """The first one keeps it and its record; of the second the table tells, and `resume` gives it a folder of its own."""
    answer = phasefield(f"run -m {TINY} seed=1,2 hydra.sweep.subdir=x output.dir=many")
    assert answer.code == 1
    assert "many: 2 runs, 1 done, 1 failed" in answer.err
    assert "many/x: is that of run 0, and cannot be that of run 1 too" in answer.err
    answer = phasefield("resume many")
    assert (answer.code, "many: 2 runs, all done" in answer.err) == (0, True), answer.err
    assert [pf.open_run(tmp_path / "many" / name).fields.attrs["seed"] for name in ("x", "1")] == [1, 2]
    assert not list((tmp_path / "many").glob("*.member.yaml"))


def test_what_cannot_be_written_in_its_folder_is_told_by_the_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a file system that has become read-only: an earlier word of the member must not pass for this one."""
    (tmp_path / "sweep.yaml").write_text("members: [[seed=1]]")
    sweep.run_member(tmp_path / "0", 0, ["seed=1"], lambda: 143)
    there = (tmp_path / "0" / "member.yaml").read_bytes()

    def refused(path: Path, text: str) -> None:
        if path.parent.name == "0":
            raise OutputError("Read-only file system")
        write_text(path, text)

    def fails() -> int:
        raise OutputError("many/0: cannot be written: Read-only file system")

    with monkeypatch.context() as change:
        change.setattr(sweep.member, "write_text", refused)
        assert sweep.run_member(tmp_path / "0", 0, ["seed=1"], fails) == 2
    assert (tmp_path / "0" / "member.yaml").read_bytes() == there
    (member,) = sweep.members(tmp_path)
    assert (member.name, member.code, member.error) == ("0", 2, "many/0: cannot be written: Read-only file system")
    sweep.run_member(tmp_path / "0", 0, ["seed=1"], lambda: 0)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["0", "sweep.yaml"]


def test_how_a_member_came_out_is_the_word_of_the_process_that_ran_it(tmp_path: Path) -> None:
    """Another command's, refused while that one computes, does not stand over it."""
    (tmp_path / "sweep.yaml").write_text("members: [[seed=1]]")

    run = RunFolder.create(tmp_path / "0")

    def refused() -> int:
        with run.lock():
            assert sweep.run_member(tmp_path / "0", 0, ["seed=1"], lambda: 0) == 0
            with run.lock():
                return 0

    assert sweep.run_member(tmp_path / "0", 0, ["seed=1"], refused) == 2
    (member,) = sweep.members(tmp_path)
    assert (member.code, member.text) == (0, "done")


def test_the_names_of_a_new_sweep_are_on_the_disk(
    phasefield: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a folder whose own name was never synced a power cut leaves nothing, whatever was synced in it."""
    synced: set[str] = set()
    sync = os.fsync

    def noted(descriptor: int) -> None:
        synced.add(os.readlink(f"/proc/self/fd/{descriptor}"))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    assert phasefield(f"run -m {TINY} seed=1 output.dir=deep/er/many").code == 0
    assert {str(tmp_path / name) for name in ("", "deep", "deep/er", "deep/er/many")} <= synced
