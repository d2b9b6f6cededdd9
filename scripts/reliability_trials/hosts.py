"""Two hosts of one network filesystem: two mounts of one folder, each with a cache of its own."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import reliability_faults as faults

from .common import KINDS, Found, bits, complain, goes_on, said, state


@contextlib.contextmanager
def places(mounts: Sequence[Path]) -> Iterator[list[Path]]:
    """A new folder as each of the mounts shows it."""
    name = f"phasefield-reliability-{uuid.uuid4().hex[:12]}"
    (mounts[0] / name).mkdir()
    try:
        for mount in mounts:
            _wait_for(mount / name)
        yield [mount / name for mount in mounts]
    finally:
        shutil.rmtree(mounts[0] / name, ignore_errors=True)


def _wait_for(path: Path, patience: float = 90.0) -> None:
    """Until a path is seen, as a mount may know for a while that it is not there."""
    end = time.monotonic() + patience
    while not path.exists():
        if time.monotonic() > end:
            raise TimeoutError(f"{path}: is not seen; are the two folders mounts of the same?")
        time.sleep(0.2)


def moved(mounts: Sequence[Path], cache: Path, seed: int, kills: int, lasts: float, right: str) -> Found:
    """A run that is killed at random moments and goes on at once on the other mount, which has looked at the folder before."""
    draw = random.Random(seed)
    os.environ["PHASEFIELD_CACHE"] = str(cache)
    with places(mounts) as at:
        seen, words = [], KINDS["long"]
        for number in range(kills):
            pid = faults.start(words, at[number % 2], said=f"said.{number}.txt")
            end = time.monotonic() + draw.uniform(0.1, lasts)
            while time.monotonic() < end:
                _look(at[1 - number % 2] / "run")
                time.sleep(0.05)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            code = faults.wait(pid)
            seen.append(state(at[number % 2]) if code else "after the end")
            if code not in (0, -signal.SIGKILL, 2):
                return Found("", [f"seed {seed}: exit code {code}: {said(at[number % 2])[-800:]}"])
        found = Found(", ".join(seen))
        # What this mount has not seen yet it may refuse; then it sees it.
        last, wrong = at[kills % 2], []
        code = faults.call(words, last)
        if code:
            wrong, found.what = complain(last, code, (2,)), f"{found.what}; refused first"
            time.sleep(25)
        found.wrong = [f"seed {seed} ({found.what}): {w}" for w in (*wrong, *goes_on(last, words, right))]
        return found


def _look(folder: Path) -> None:
    """What a mount finds now it may show again later."""
    for name in ("", "config.yaml", "checkpoint.npz", "history.nc", "history.nc.journal", "fields.nc", ".lock"):
        with contextlib.suppress(OSError):
            os.stat(folder / name)


def crowd(mounts: Sequence[Path], starts: int) -> Found:
    """Starts at once on both mounts, in folders of their own, with one empty cache on the filesystem."""
    with places(mounts) as at:
        (at[0] / "cache").mkdir()
        _wait_for(at[1] / "cache")
        children = []
        for number in range(starts):
            folder = at[number % 2] / str(number)
            folder.mkdir()
            os.environ["PHASEFIELD_CACHE"] = str(at[number % 2] / "cache")
            children.append(faults.start(KINDS["plain"], folder))
        codes = [faults.wait(pid, 550) for pid in children]
        folders = [at[number % 2] / str(number) for number in range(starts)]
        wrong = [
            f"start {n}: {w}" for n, (f, c) in enumerate(zip(folders, codes, strict=True)) for w in complain(f, c, (0,))
        ]
        results = {bits(f / "run") for f in folders} if not wrong else set()
        if len(results) > 1:
            wrong.append(f"{len(results)} different results")
        told = sum("cannot be used" in said(f) or "damaged" in said(f) for f in folders)
        return Found(f"{starts} of code 0, {told} told of the cache" if not wrong else f"exit codes {codes}", wrong)


def both(mounts: Sequence[Path], cache: Path, right: str) -> Found:
    """The same command on both mounts at once, in one folder: one runs it, the other refuses, or the filesystem has no lock."""
    os.environ["PHASEFIELD_CACHE"] = str(cache)
    with places(mounts) as at:
        children = [faults.start(KINDS["long"], place, said=f"said.{n}.txt") for n, place in enumerate(at)]
        codes = sorted(faults.wait(pid) for pid in children)
        _wait_for(at[0] / "said.1.txt")
        texts = [(at[0] / f"said.{n}.txt").read_text() for n in (0, 1)]
        found = Found(f"exit codes {codes}")
        if codes not in ([0, 2], [0, 0]) or any("Traceback" in t for t in texts):
            found.wrong.append(f"exit codes {codes}: {[t[-400:] for t in texts]}")
        time.sleep(25)
        found.wrong += goes_on(at[0], KINDS["long"], right)
        return found
