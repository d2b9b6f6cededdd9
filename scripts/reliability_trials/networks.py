"""Filesystems that show late what another host did."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import reliability_faults as faults
from reliability_faults import Fault

from .common import KINDS, Found, bits, complain, goes_on, said, scratch, workshop


def begun(place: Path, kind: str) -> None:
    """A run that was killed on its way, after a checkpoint."""
    count = faults.call(KINDS[kind], place, Fault("kill", 3, name="checkpoint.npz.tmp", below=str(place / "run")))
    assert count == -signal.SIGKILL, said(place)


def seen_late(name: str, looks: int, number: int, cache: Path, right: str) -> Found:
    """A file of a run killed on another host is not seen, or answers with an error, at the first ``looks`` looks at it."""
    with workshop(cache) as place:
        begun(place, "plain")
        fault = Fault("error", 1, looks, number, looks=True, name=name, below=str(place / "run"))
        code = faults.call(KINDS["plain"], place, fault)
        found = Found(f"exit code {code}")
        found.wrong = complain(place, code, (0, 2)) + goes_on(place, KINDS["plain"], right)
        found.wrong = [f"{name or 'any file'} seen late, {looks} looks, errno {number}: {w}" for w in found.wrong]
        return found


def cache_late(name: str, at: int, looks: bool, number: int, cache: Path, right: str) -> Found:
    """The cache answers with an error, or does not show a file that is there, at one operation or look."""
    with scratch() as place:
        own = place / "cache"
        shutil.copytree(cache, own)
        os.environ["PHASEFIELD_CACHE"] = str(own)
        fault = Fault("error", at, 3, number, looks=looks, name=name, below=str(own))
        code = faults.call(KINDS["plain"], place, fault)
        found = Found(f"exit code {code}")
        found.wrong = complain(place, code, (0,))
        if not found.wrong and bits(place / "run") != right:
            found.wrong.append("other bits than the unbroken run")
        found.wrong = [f"cache, {name or 'any file'}, errno {number} at {at}: {w}" for w in found.wrong]
        return found


def held_elsewhere(cache: Path, right: str) -> Found:
    """A lock that a dead host's server still holds: the run refuses, and goes on when it is given back."""
    import fcntl

    with workshop(cache) as place:
        begun(place, "plain")
        descriptor = os.open(place / "run" / ".lock", os.O_RDWR | os.O_CREAT)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        code = faults.call(KINDS["plain"], place)
        wrong = complain(place, code, (2,))
        os.close(descriptor)
        return Found(f"exit code {code}", wrong + goes_on(place, KINDS["plain"], right))
