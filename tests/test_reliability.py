"""What docs/reliability.md shows, in small: what is written in which order, kills in its windows, two starts in one folder."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import reliability_disk as disks
import reliability_faults as faults
import reliability_mount as mounts
import reliability_trials as trials
from reliability_faults import Fault

import phasefield as pf
from phasefield import cli, running
from phasefield.backend.cache import cache_folder
from phasefield.callbacks import Moment
from phasefield.errors import OutputError
from phasefield.store import RunFolder, write_new

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "reliability.py"


@pytest.fixture(scope="module")
def operations(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[str, str]]]:
    """A run's folder, and its operations on files in order: their names, and those of the files below the folder."""
    place = tmp_path_factory.mktemp("whole")
    assert faults.call(trials.KINDS["plain"], place, Fault(below=str(place)), seen="seen.txt") == 0
    lines = (place / "seen.txt").read_text().splitlines()
    return place / "run", [(n, os.path.relpath(p, place / "run")) for n, p in (line.split(" ", 1) for line in lines)]


def test_what_is_there_after_a_power_failure(operations: tuple[Path, list[tuple[str, str]]]) -> None:
    """Content is on the disk before the name that promises it, and the name before what counts on it."""
    seen = operations[1]
    assert ("fsync", "..") in seen[: seen.index(("replace", "config.yaml"))], "the folder has its name"
    count = {"replace": 0, "journal": 0}
    for at, (name, path) in enumerate(seen):
        before, after = seen[:at], seen[at + 1 :]
        if name == "replace":
            count[name] += 1
            opened = max(n for n, s in enumerate(before) if s == ("open", f"{path}.tmp"))
            assert ("fsync", f"{path}.tmp") in before[opened:]
            assert after[0] == ("fsync", "."), f"the new name of {path} is not made durable at once"
        elif name == "fsync" and path.endswith(".journal"):
            count["journal"] += 1
            file = path.removesuffix(".journal")
            changed = after[: after.index(("unlink", path))]
            assert changed[0] == ("fsync", "."), "the journal has its name before the file is changed"
            assert set(changed[1:-1]) <= {("pwrite", file), ("ftruncate", file)}
            assert changed[-1] == ("fsync", file), "the file is whole on the disk before its journal goes"
            assert after[len(changed) + 1] == ("fsync", ".")
    # The configuration, two files of records, a checkpoint at the start, after every step and at the end.
    assert count["replace"] >= 3 + 5
    assert count["journal"] >= 5
    # A checkpoint counts on records: they are whole before it takes its name.
    named = [at for at, s in enumerate(seen) if s == ("replace", "checkpoint.npz")]
    for at in named:
        journals = [s for s in seen[:at] if s[1].endswith(".journal")]
        assert journals[-1][0] == "unlink"


def test_what_a_power_cut_may_leave() -> None:
    """Of a file that takes a name without being synced: an empty one, zeros, the old one, or nothing."""
    make = disks.Change
    old = [make("make", 1), make("write", 1, data=b"old"), make("name", 0, "a", of=1)]
    new = [
        make("make", 2),
        make("name", 0, "a.tmp", of=2),
        make("write", 2, data=b"news"),
        make("rename", 0, "a.tmp", "a", 2),
    ]

    def left(changes: list[disks.Change], what: str) -> dict[str, bytes | None]:
        return {path[2:]: data for path, data in disks.after_a_cut(old, changes, what).content() if path != "."}

    assert [left(new, what).get("a") for what in ("nothing", "names", "sizes", "contents")] == [
        b"old",
        b"",
        bytes(4),
        b"old",
    ]
    safe = [*new[:3], make("sync", 2), new[3]]
    assert {left(safe, what)["a"] for what in ("nothing", "names", "sizes", "contents")} == {b"old", b"news"}
    assert left([*safe, make("sync", 0)], "nothing") == {"a": b"news"}
    pages = make("write", 1, data=bytes(range(1, 65)) * 128)
    some = {disks.after_a_cut(old, [pages], "some", seed).content() for seed in range(20)}
    assert len(some) == 4, "each of two pages is there or not"


@pytest.mark.parametrize(
    ("kind", "operation"),
    [
        ("torn", ("pwrite", "history.nc")),
        pytest.param("kill", ("replace", "config.yaml"), marks=pytest.mark.slow),
        pytest.param("kill", ("replace", "fields.nc"), marks=pytest.mark.slow),
        pytest.param("kill", ("unlink", "history.nc.journal"), marks=pytest.mark.slow),
        ("kill", ("replace", "checkpoint.npz")),
    ],
)
def test_killed_at_an_operation(
    operations: tuple[Path, list[tuple[str, str]]], kind: str, operation: tuple[str, str]
) -> None:
    """Windows that random moments hardly find: scripts/reliability.py goes through all of them."""
    run, everywhere = operations
    seen = [s for s in everywhere if not s[1].startswith("..")]
    at = seen.index(operation, len(seen) // 2 if kind == "torn" else 0) + 1
    found = trials.at_operation("plain", Fault(kind, at), cache_folder(), trials.bits(run))
    assert found.fired
    assert not found.wrong


def test_the_beginning_of_a_run_is_removed_in_an_order_that_a_kill_may_break_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as anything is left that would be refused, the configuration is there, which tells that it may go."""
    real = os.unlink
    for kill_at in range(12):
        folder = RunFolder(tmp_path / str(kill_at))
        folder.kernels.mkdir(parents=True)
        for path in (folder.config, folder.history, folder.fields, folder.log, folder.kernels / "step.py"):
            path.touch()
        done = 0

        def unlink(*args: Any, **kwargs: Any) -> None:
            nonlocal done
            if done == kill_at:  # noqa: B023
                raise KeyboardInterrupt
            real(*args, **kwargs)
            done += 1

        monkeypatch.setattr(os, "unlink", unlink)
        with suppress(KeyboardInterrupt):
            folder.discard()
        monkeypatch.undo()
        if not folder.config.exists():
            RunFolder.create(folder.path)
    assert not folder.config.exists()


def test_a_lock_that_lost_its_name_keeps_nobody_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One opens the lock's file, its holder removes it and ends: the lock is then taken on the file that has the name."""
    folder, real = RunFolder(tmp_path), os.open
    taken: list[Any] = []

    def opened(path: Any, *args: Any) -> int:
        descriptor = real(path, *args)
        if not taken and str(path).endswith(".lock"):
            taken.append(1)
            os.unlink(path)
        return descriptor

    monkeypatch.setattr(os, "open", opened)
    refused = pytest.raises(OutputError, match="another process is writing this run")
    with folder.lock(), refused, RunFolder(tmp_path).lock():
        pass
    assert taken


@pytest.mark.parametrize("resume", ["never", "auto"])
def test_a_run_that_ended_meanwhile_is_not_begun_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resume: str
) -> None:
    """Between the look at the folder and the lock another process may do the whole run, which auto takes for what it is."""
    keys = [
        "model=allen_cahn",
        "grid.shape=[8,8]",
        "time.max_steps=2",
        "output.picture=false",
        f"output.dir={tmp_path}/run",
    ]
    lock, first = RunFolder.lock, [True]

    @contextmanager
    def late(self: RunFolder) -> Iterator[None]:
        if first.pop():
            first.append(False)
            pf.run(*keys, "output.dir=" + str(tmp_path / "run"))
        else:
            first.append(False)
        with lock(self):
            yield

    monkeypatch.setattr(RunFolder, "lock", late)
    if resume == "auto":
        assert pf.run(*keys, "output.resume=auto").outcome.reason == "max_steps"  # type: ignore[union-attr]
    else:
        with pytest.raises(OutputError, match="already holds a run"):
            pf.run(*keys)
    assert pf.open_run(tmp_path / "run").history.step[-1] == 2
    assert pf.resume(tmp_path / "run").outcome.reason == "max_steps"  # type: ignore[union-attr]


@pytest.mark.parametrize("step", [0, 2])
def test_who_has_lost_a_folder_changes_nothing_in_it(tmp_path: Path, step: int) -> None:
    """Another host has taken it over, on a filesystem that keeps locks to each of them."""
    run = tmp_path / "run"
    kept: dict[Path, bytes] = {}

    def other(moment: Moment) -> None:
        if moment.step == step:
            (run / ".lock").write_text("node7 4321 0123\n")
            time.sleep(0.2)  # a change that is being written is ended
            while [*run.glob("*.journal"), *run.glob("*.tmp")]:
                time.sleep(0.02)
            kept.update((p, p.read_bytes()) for p in run.iterdir() if p.name != "run.log")

    keys = [w for w in trials.KINDS["plain"] if not w.startswith("output.dir")]
    with pytest.raises(OutputError, match="process 4321 on node7 has taken this run over"):
        pf.run(*keys, f"output.dir={run}", callbacks=[({"steps": 1}, other)])
    assert kept
    assert {p: p.read_bytes() for p in kept} == kept


@pytest.mark.slow
@pytest.mark.parametrize("step", [0, 2])
def test_without_locks_the_last_that_came_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """The other one ends its run, and it is whole."""
    keys = [*(w for w in trials.KINDS["plain"] if not w.startswith("output.dir")), f"output.dir={tmp_path}/run"]
    other: list[int] = []

    def no_locks(*_: Any) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    def second(moment: Moment) -> None:
        if moment.step == step and not other:
            other.append(subprocess.run([sys.executable, "-m", "phasefield", *keys], capture_output=True).returncode)

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(OutputError, match=r"process \d+ on .* has taken this run over"):
        pf.run(*keys, callbacks=[({"steps": 1}, second)])
    assert other == [0]
    before = trials.bits(tmp_path / "run")
    assert pf.run(*keys).outcome.reason == "max_steps"  # type: ignore[union-attr]
    assert trials.bits(tmp_path / "run") == before


@pytest.mark.parametrize(("resume", "code"), [("auto", 85), ("never", 138)])
def test_a_notice_during_the_start_wants_a_requeue_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resume: str, code: int
) -> None:
    """Kernels may take half a minute to compile, and a job may be preempted meanwhile."""
    monkeypatch.setattr(running, "simulation_of", lambda *_: os.kill(os.getpid(), signal.SIGUSR1))
    with pytest.raises(SystemExit) as stop:
        cli.main(["model=allen_cahn", f"output.dir={tmp_path}/run", f"output.resume={resume}"])
    assert stop.value.code == code
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "part",
    [
        "kills",
        "operations",
        "signals",
        "walls",
        "handlers",
        "disks",
        "reports",
        "late",
        pytest.param("power", marks=pytest.mark.skipif(not mounts.can_mount(), reason="needs FUSE and mfusepy")),
        "clocks",
        "crowds",
        "endurance",
    ],
)
def test_the_script_in_small(tmp_path: Path, part: str) -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, part, "--quick", "--out", tmp_path / "found.json"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads((tmp_path / "found.json").read_text())[part]["rows"]
    assert rows
    assert all(row["right"] == row["trials"] > 0 for row in rows.values())


def test_of_many_processes_one_writes_a_new_file_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With links and without them."""
    for links in (True, False):
        path = tmp_path / f"{links}.yaml"
        if not links:
            monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(PermissionError()))
        write_new(path, "first")
        with pytest.raises(FileExistsError):
            write_new(path, "second")
        assert path.read_text() == "first"
    assert len(list(tmp_path.iterdir())) == 2
