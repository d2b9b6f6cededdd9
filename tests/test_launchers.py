"""Launchers: members of a sweep in other processes, told of signals, none lost; and a call that is one of many says so once.

What needs a Slurm is in test_slurm.py.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import yaml
from test_cli import TINY, Command, phasefield, process

import phasefield as pf
from phasefield import presets
from phasefield.backend.ranks import apart
from phasefield.errors import PhasefieldError
from phasefield.tasks import OneOfMany, check_alone

__all__ = ["phasefield"]

#: A run of 10 steps, and one that does not come to its end here.
SHORT = f"{TINY} time.adaptive=false time.dt=0.01"
LONG = f"{SHORT} output.every=1e8 time.end=1e5"


def test_members_at_once_and_only_what_is_missing(phasefield: Command, tmp_path: Path) -> None:
    """One that fails takes no other along. Given again, the command runs this one alone."""
    line = f"run -m {SHORT} 'initial.c=0.5,log(d)' hydra/launcher=local hydra.launcher.n_jobs=2 output.dir=many"
    answer = phasefield(line)
    assert answer.code == 1
    assert answer.err.startswith("processes: 2, threads of each: 1, runs: 2")
    *_, last = answer.err.strip().split("\n\n")
    assert last.splitlines()[0] == "many: 2 runs, 1 done, 1 failed"
    assert last.splitlines()[2].split()[:4] == ["1", "initial.c='log(d)'", "2", "initial.c:"]
    assert int(pf.open_run("many/0").history.step[-1]) == 10
    before = {p: p.stat().st_mtime_ns for p in tmp_path.glob("many/0/*")}
    again = phasefield(f"{line} output.resume=auto")
    assert again.code == 1, again.err
    assert "many: 1 of 2 runs are done" in again.err
    assert "runs: 1\n" in again.err
    assert "many: 2 runs, 1 done, 1 failed" in again.err
    assert {p: p.stat().st_mtime_ns for p in tmp_path.glob("many/0/*")} == before


def _begun(*folders: str) -> None:
    end = time.monotonic() + 120
    while not all((Path(f) / "checkpoint.npz").exists() for f in folders):
        assert time.monotonic() < end
        time.sleep(0.05)


def _processes(parent: int) -> list[int]:
    """Processes that were started by one and do not merely keep its books."""
    children = subprocess.run(
        ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(parent)], capture_output=True, text=True
    ).stdout
    return [int(line.split()[0]) for line in children.splitlines() if "resource_tracker" not in line]


@pytest.mark.slow
def test_signals_reach_every_member(phasefield: Command, tmp_path: Path) -> None:
    line = f"run -m {LONG} seed=1,2,3 hydra/launcher=local hydra.launcher.n_jobs=2 output.dir=many"
    # The command alone is told, as by a batch system.
    child = process(*shlex.split(line))
    _begun("many/0", "many/1")
    workers = _processes(child.pid)
    child.send_signal(signal.SIGTERM)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 143, err
    assert "many: 3 runs, 0 done, 0 failed, 3 stopped or not started" in err
    assert [row.split()[2] for row in err.splitlines() if row.startswith("  ")] == ["code", "143", "143", "-"]
    assert not [pid for pid in workers if os.path.exists(f"/proc/{pid}")]
    # A process that is killed takes no other along; the command, killed, leaves nothing behind that runs.
    child = process(*shlex.split(f"{line} output.resume=auto"))
    stamps = [Path(f"many/{k}/run.log").stat().st_mtime_ns for k in "01"]
    while [Path(f"many/{k}/run.log").stat().st_mtime_ns for k in "01"] == stamps or len(_processes(child.pid)) < 2:
        time.sleep(0.05)
    time.sleep(1)
    workers = _processes(child.pid)
    child.kill()
    child.communicate(timeout=60)
    end = time.monotonic() + 60
    while [pid for pid in workers if os.path.exists(f"/proc/{pid}")] and time.monotonic() < end:
        time.sleep(0.1)
    assert not [pid for pid in workers if os.path.exists(f"/proc/{pid}")]
    steps = [int(pf.open_run(f"many/{k}").history.step[-1]) for k in "01"]
    assert min(steps) > 0
    answer = phasefield("resume many time.max_steps=" + str(max(steps) + 10))
    assert answer.code == 0, answer.err


@pytest.mark.slow
def test_a_killed_member_takes_no_other_along(phasefield: Command, tmp_path: Path) -> None:
    line = f"run -m {LONG.replace('1e5', '1e5,0.1,0.2')} hydra/launcher=local hydra.launcher.n_jobs=2 output.dir=many"
    child = process(*shlex.split(line))
    _begun("many/0")
    while [yaml.safe_load(p.read_text())["code"] for p in tmp_path.glob("many/[12]/member.yaml")] != [0, 0]:
        time.sleep(0.05)
    before = {pid: _seconds(pid) for pid in _processes(child.pid)}
    time.sleep(1)
    os.kill(max(before, key=lambda pid: _seconds(pid) - before[pid]), signal.SIGKILL)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 1, err
    assert "run 0: its process was lost" in err
    assert "many: 3 runs, 2 done, 0 failed, 1 stopped" in err
    assert "lost: its process was killed" in err


def _seconds(pid: int) -> float:
    """Processor time of a process."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.slow
def test_sixteen_at_once_on_an_empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One compiles and the others wait: files of the cache are whole, and all runs have the bits that a run alone has."""
    monkeypatch.chdir(tmp_path)
    seeds = ",".join(map(str, range(16)))
    line = f"run -m {SHORT} seed={seeds} hydra/launcher=local hydra.launcher.n_jobs=16 output.dir=many"
    child = process(*shlex.split(line), PHASEFIELD_CACHE="cache")  # a relative one as well
    _, err = child.communicate(timeout=280)
    assert child.returncode == 0, err
    assert "damaged" not in err
    assert "cannot be used" not in err
    assert {p.name for p in tmp_path.iterdir()} == {"cache", "many"}
    kernels = sorted(p.name for p in tmp_path.glob("cache/kernels/*.py"))
    for seed in (0, 9):
        alone = process("run", *SHORT.split(), f"seed={seed}", f"output.dir=alone{seed}", PHASEFIELD_CACHE="cache")
        assert alone.wait(120) == 0
        assert pf.open_run(f"alone{seed}").fields.c.equals(pf.open_run(f"many/{seed}").fields.c)
    assert sorted(p.name for p in tmp_path.glob("cache/kernels/*.py")) == kernels


def test_cores_are_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    from phasefield.launchers import cores, shares

    assert shares(8, 100) == (8, 1)
    assert shares(8, 3) == (3, 2)
    assert shares(8, 100, processes=2) == (2, 4)
    assert shares(8, 100, threads=3) == (2, 3)
    assert shares(2, 100, threads=4) == (1, 4)
    assert shares(2, 100, processes=16) == (16, 1)
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "1")
    assert cores() == 1
    for members in range(1, 40):
        for count in range(1, 40):
            processes, threads = shares(count, members)
            assert processes * threads <= count
            assert processes <= members


@pytest.mark.parametrize("name", presets.names("hydra/launcher"))
def test_what_is_missing_is_told_before_anything_is_made(
    phasefield: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Every launcher refuses keys that it has not, and says which extra it needs."""
    line = f"run -m {TINY} seed=1,2 hydra/launcher={name} output.dir=many"
    answer = phasefield(f"{line} hydra.launcher.n_job=2")
    assert answer.code == 2
    assert answer.err.startswith("phasefield: error: hydra.launcher.n_job: there is no such key")
    target = yaml.safe_load((presets.folder("hydra/launcher") / f"{name}.yaml").read_text())["_target_"]
    module = target.removeprefix("hydra_plugins.").rpartition(".")[0]
    monkeypatch.delitem(sys.modules, module, raising=False)
    for library in ("submitit", "joblib"):
        monkeypatch.setitem(sys.modules, library, None)
    if name in ("slurm", "local"):
        answer = phasefield(line)
        assert answer.code == 2
        assert answer.err.endswith(f"is not installed\n  pip install 'phasefield[{name}]'\n")
        assert len(answer.err.splitlines()) == 2
    assert not list(tmp_path.iterdir())


def test_slurm_where_there_is_none(phasefield: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    answer = phasefield(f"run -m {TINY} seed=1,2 hydra/launcher=slurm output.dir=many")
    assert answer.code == 2
    assert answer.err.startswith("phasefield: error: hydra/launcher=slurm: there is no Slurm here")
    answer = phasefield(f"run -m {TINY} seed=1,2 hydra/launcher=slurm hydra.launcher.time=soon output.dir=many")
    assert answer.code == 2
    assert "hydra.launcher.time: is 'soon'; a time above zero is expected" in answer.err
    # Without -m there is nothing to launch.
    answer = phasefield(f"run {TINY} hydra/launcher=slurm output.dir=one")
    assert (answer.code, "add -m" in answer.err) == (2, True)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_other_commands_have_the_same_launchers(phasefield: Command, tmp_path: Path) -> None:
    np.save("image.npy", np.indices((8, 8)).sum(0) % 3 == 0)
    line = "homogenize image.npy material=epoxy_glass voxel=laminate,sharp two_grid=false device=cpu"
    assert phasefield(f"{line} -m output=plain").code == 0
    answer = phasefield(f"{line} -m output=many hydra/launcher=local")
    assert answer.code == 0, answer.err
    for k in "01":
        one, other = (xr.load_dataset(tmp_path / name / k / "properties.nc") for name in ("plain", "many"))
        assert one.equals(other)


@pytest.mark.parametrize(
    ("environment", "count", "first"),
    [
        ({"SLURM_STEP_NUM_TASKS": "4", "SLURM_NTASKS": "4", "SLURM_PROCID": "0"}, 4, True),
        ({"SLURM_STEP_NUM_TASKS": "4", "SLURM_NTASKS": "4", "SLURM_PROCID": "3"}, 4, False),
        ({"PMI_SIZE": "2", "PMI_RANK": "1"}, 2, False),
        ({"OMPI_COMM_WORLD_SIZE": "8", "OMPI_COMM_WORLD_RANK": "0"}, 8, True),
        # A batch script may start 4 tasks, and is one; so is a step of one task, a script submitted in a step, a shell in a job.
        ({"SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_JOB_ID": "7"}, 1, True),
        ({"SLURM_STEP_NUM_TASKS": "1", "SLURM_NTASKS": "4", "SLURM_PROCID": "0", "PMI_SIZE": "1"}, 1, True),
        ({"SLURM_STEP_NUM_TASKS": "4", "SLURM_STEP_ID": "0", "SLURM_NTASKS": "1", "SLURM_PROCID": "0"}, 1, True),
        ({"SLURM_NTASKS": "4"}, 1, True),
        ({}, 1, True),
    ],
)  # fmt: skip
def test_one_of_many(environment: dict[str, str], count: int, first: bool) -> None:
    if count == 1:
        check_alone(environment)
        return
    with pytest.raises(OneOfMany, match=f"^{count} tasks were started") as refused:
        check_alone(environment)
    assert refused.value.first == first
    assert isinstance(refused.value, PhasefieldError)


@pytest.mark.parametrize(
    ("commands", "folders", "alone"),
    [
        (["run seed=0", "run seed=1", "run seed=2"], ["", "", ""], True),
        (["run seed=0", "run seed=1", "run seed=2"], ["a", "b", "c"], True),
        (["run seed=0", "run seed=1", "run seed=2"], ["a", "b", "./a"], False),
        (["run", "run", "run"], ["", "", ""], False),
    ],
)
def test_tasks_that_have_nothing_to_do_with_each_other(
    commands: list[str], folders: list[str], alone: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All see the same, twice in one step; who does not come holds nobody up for ever."""
    monkeypatch.setenv("PHASEFIELD_CACHE", str(tmp_path))
    monkeypatch.setattr(apart, "_LAST", 0.5)

    def task(number: int) -> list[bool]:
        step = {"SLURM_JOB_ID": "7", "SLURM_STEP_NUM_TASKS": "3", "SLURM_NTASKS": "3", "SLURM_PROCID": str(number)}
        assert not apart.apart(["run"], "", {**step, "PMI_RANK": str(number)})  # MPI joins them: nothing is asked
        return [apart.apart(commands[number].split(), folders[number], step) for _ in range(2)]

    with ThreadPoolExecutor() as crew:
        assert list(crew.map(task, range(3))) == [[alone] * 2] * 3
        assert list(crew.map(task, range(2))) == [[False] * 2] * 2


def test_only_the_first_of_many_speaks(phasefield: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PMI_SIZE", "2")
    answers = []
    for rank in "01":
        monkeypatch.setenv("PMI_RANK", rank)
        answers.append(phasefield(f"run -m {TINY} seed=1,2 output.dir=run"))
    assert [a.code for a in answers] == [2, 2]
    assert answers[0].err.startswith("phasefield: error: 2 tasks were started")
    assert answers[1].err == ""
    assert not list(tmp_path.iterdir())
    assert phasefield("--version").code == 0
