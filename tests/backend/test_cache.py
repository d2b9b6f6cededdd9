"""A cache folder that is damaged, full or not to be written costs time, not the run."""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phasefield.backend import cache

SOURCE = """
from numba import njit, int64

@njit(int64(int64), cache=True)
def twice(n):
    return 2 * n

@njit(int64(int64), cache=True)
def square(n):
    return n * n
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("PHASEFIELD_CACHE", str(tmp_path / "cache"))
    forget()
    yield tmp_path / "cache"
    forget()


def forget() -> None:
    """As in a new process."""
    cache._told.clear()
    for name in [n for n in sys.modules if n.startswith("phasefield_kernel_tests_")]:
        del sys.modules[name]


def works() -> None:
    module = cache.load(SOURCE, "tests_")
    assert (module.twice(21), module.square(5)) == (42, 25)
    assert cache.load(SOURCE, "tests_") is module


def compiled(folder: Path) -> list[Path]:
    return sorted((folder / "kernels" / "__pycache__").glob("*.nb?"))


def hits() -> int:
    module = cache.load(SOURCE, "tests_")
    return sum(sum(f.stats.cache_hits.values()) for f in (module.twice, module.square))


def test_compiled_once(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    works()
    assert len(compiled(folder)) == 4
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}
    forget()
    assert hits() == 2
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()} == before
    assert caplog.text == ""


def middle(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2 :][:64] = bytes(64)
    data[len(data) // 2 : len(data) // 2 + 64] = bytes(64)
    path.write_bytes(data)


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "empty": lambda p: p.write_bytes(b""),
    "half": lambda p: p.write_bytes(p.read_bytes()[: p.stat().st_size // 2]),
    "garbage": lambda p: p.write_bytes(np.random.default_rng(1).bytes(p.stat().st_size)),
    "middle": middle,
    "folder": lambda p: (p.unlink(), p.mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("kind", ["nbi", "nbc", "sums", "py"])
def test_damaged_files_are_made_anew(folder: Path, caplog: pytest.LogCaptureFixture, kind: str, damage: str) -> None:
    works()
    files = [p for p in folder.rglob(f"*.{kind}") if p.is_file()]
    assert files
    for file in files:
        DAMAGE[damage](file)
    forget()
    with caplog.at_level(logging.WARNING, "phasefield"):
        works()
    assert len(caplog.records) == 1
    assert str(folder) in caplog.text
    if damage != "folder":  # what is no file stays where it is, and nothing is kept
        assert "made anew" in caplog.text
        forget()
        caplog.clear()
        assert hits() == 2
        assert caplog.text == ""


@pytest.mark.parametrize("known", [True, False])
def test_what_no_checksum_tells_of_is_not_run(folder: Path, caplog: pytest.LogCaptureFixture, known: bool) -> None:
    """After a kill or a power cut between the code and its checksum, or of one more file; it may be damaged anywhere."""
    works()
    for sums in folder.rglob("*.sums"):
        if known:
            sums.write_text(json.dumps({n: s for n, s in json.loads(sums.read_text()).items() if n.endswith(".nbi")}))
        else:
            sums.unlink()
    forget()
    assert hits() == 0
    assert "made anew" not in caplog.text


def test_plans_outlive_a_power_cut(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others would have other bits, so that a run that goes on with them were another."""
    synced: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(os.path.realpath(f"/proc/self/fd/{descriptor}"))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    path = cache.publish(folder / "fftw", "plans.wisdom", b"()", lasting=True)
    content, *names = synced
    assert Path(content).parent == path.parent, "the content, under another name"
    assert names[:3] == [str(p) for p in list(path.resolve().parents)[:3]], "then the name, and those of new folders"


def full(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def is_file(folder: Path, patch: pytest.MonkeyPatch) -> None:
    folder.write_text("")


def cannot_be_made(folder: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("PHASEFIELD_CACHE", "/proc/nowhere")


def is_full(folder: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(cache.tempfile, "mkstemp", full)


def numba_finds_it_full(folder: Path, patch: pytest.MonkeyPatch) -> None:
    from numba.core import caching

    patch.setattr(caching.IndexDataCacheFile, "save", full)


def long_name(folder: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("PHASEFIELD_CACHE", str(folder / ("x" * 300)))


@pytest.mark.parametrize(
    "fault", [is_file, cannot_be_made, is_full, numba_finds_it_full, long_name], ids=lambda f: f.__name__
)
def test_compiled_without_a_cache(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fault: Any
) -> None:
    fault(folder, monkeypatch)
    with caplog.at_level(logging.WARNING, "phasefield"):
        works()
        cache.load(SOURCE + "\n", "tests_")
    assert len(caplog.records) == 1
    assert "cannot be used" in caplog.text
    assert "PHASEFIELD_CACHE" in caplog.text


@pytest.mark.slow
def test_a_run_with_a_damaged_cache(tmp_path: Path) -> None:
    """Everything in it, plans of transforms too. A run that compiles has the bits of one that finds everything compiled."""
    Path(os.environ["PHASEFIELD_CACHE"]).mkdir(parents=True, exist_ok=True)
    shutil.copytree(
        os.environ["PHASEFIELD_CACHE"],
        tmp_path / "cache",
        ignore=lambda d, names: [n for n in names if n.startswith(".")],
    )
    command = [
        sys.executable,
        "-m",
        "phasefield.cli",
        "grid.shape=[8,8]",
        "time.end=0.05",
        "output.picture=false",
        "threads.cpu=1",
    ]
    environment = {**os.environ, "PHASEFIELD_CACHE": str(tmp_path / "cache")}
    for name in ("first", "second", "third"):
        done = subprocess.run(
            [*command, f"output.dir={tmp_path}/{name}"], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("made anew") == (name == "second")
        if name == "first":
            for file in (p for p in (tmp_path / "cache").rglob("*") if p.is_file()):
                DAMAGE["garbage"](file)
    from phasefield.store import load_checkpoint

    first, *others = (
        load_checkpoint(tmp_path / name / "checkpoint.npz")[0]["u"] for name in ("first", "second", "third")
    )
    assert np.array_equal(*others)
    np.testing.assert_allclose(first, others[0], rtol=1e-10, atol=1e-12)
