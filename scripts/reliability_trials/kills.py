"""Kills at operations on files and at moments."""

from __future__ import annotations

import contextlib
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import reliability_faults as faults
from reliability_faults import Fault

from .common import ERROR, KINDS, Found, bits, complain, goes_on, said, state, workshop


def at_operation(kind: str, fault: Fault, cache: Path, right: str) -> Found:
    """A kill, a signal or an error at one operation on files; then the same command."""
    with workshop(cache) as place:
        words = KINDS[kind]
        fault = replace(fault, below=str(place / "run"))
        code = faults.call(words, place, fault)
        found = Found(state(place))
        if fault.kind in ("kill", "torn"):
            found.fired = code == -signal.SIGKILL
            allowed: Sequence[int] = (0, -signal.SIGKILL)
        elif fault.kind == "signal":
            stopped = 85 if fault.number == signal.SIGUSR1 else 128 + fault.number
            allowed = (0, stopped)
            found.fired = code != 0
        else:
            allowed = (0, *ERROR)
            found.fired = code != 0
        found.wrong = complain(place, code, allowed) + goes_on(place, words, right)
        if found.wrong:
            found.wrong = [f"{kind} {fault.kind} {fault.number or ''} at {fault.at}: {w}" for w in found.wrong]
        return found


def real(words: Sequence[str], place: Path) -> subprocess.Popen[bytes]:
    """The command in a process that starts Python anew."""
    with open(place / "said.txt", "ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "phasefield", *words],
            cwd=place,
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
        )


def at_moments(kind: str, cache: Path | None, seed: int, kills: int, lasts: float, right: str) -> Found:
    """Kills at ``kills`` random moments of as many starts of the same command, each within ``lasts`` seconds; then it goes on.

    Args:
        cache: None for an empty one, so that kernels are compiled under the kills; FFTW's plans are then made too, and the
            unbroken run that is compared with takes those of this cache.
    """
    draw = random.Random(seed)
    with workshop(cache) as place:
        seen, words = [], KINDS[kind]
        for _ in range(kills):
            child = real(words, place)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(draw.uniform(0.0, lasts))
            child.kill()
            code = child.wait()
            seen.append(state(place) if code == -signal.SIGKILL else "after the end")
            if code not in (0, -signal.SIGKILL):
                return Found("", [f"{kind} seed {seed}: exit code {code}: {said(place)[-1500:]}"])
        found = Found(", ".join(seen))
        if cache is None:
            # The bits belong to the plans of this cache.
            code = faults.call(words, place)
            mine = bits(place / "run") if code == 0 else ""
            shutil.rmtree(place / "run", ignore_errors=True)
            right = mine
        found.wrong = [f"{kind} seed {seed} ({found.what}): {w}" for w in goes_on(place, words, right)]
        return found
