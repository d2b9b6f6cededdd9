"""Signals, and the end of the time that a run has."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from pathlib import Path

import reliability_faults as faults

from .common import LONG, Found, complain, goes_on, workshop


def signalled(number: int, cache: Path, seed: int, lasts: float, right: str) -> Found:
    """A signal at a random moment, again and again until the run is done."""
    draw = random.Random(seed)
    with workshop(cache) as place:
        seen: list[str] = []
        wrong: list[str] = []
        while len(seen) < 8:
            pid = faults.start(LONG, place)
            time.sleep(draw.uniform(0.0, lasts))
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
            code = faults.wait(pid)
            # Before our handlers are in place, and once the work is done, a signal ends Python as it does any program.
            bare = code in (-number, 70)
            seen.append("by itself" if bare else f"exit code {code}")
            if not bare:
                wrong += complain(place, code, (0, 85 if number == signal.SIGUSR1 else 128 + number))
                if (place / "run" / "config.yaml").exists() and not (place / "run" / "checkpoint.npz").exists():
                    wrong.append("stopped without a checkpoint")
            if code == 0 or wrong:
                break
        wrong += goes_on(place, LONG, right)
        return Found(", ".join(seen), [f"signal {number} seed {seed}: {w}" for w in wrong], len(seen) > 1)


def walled(cache: Path, seed: int, lasts: float, right: str) -> Found:
    """A random time.wall, up to six times or until the run is done."""
    draw = random.Random(seed)
    with workshop(cache) as place:
        seen, wrong = [], []
        code = 85
        while code == 85 and not wrong and len(seen) < 6:
            limit = draw.uniform(0.6, 0.6 + lasts)
            code = faults.call([*LONG, f"time.wall={limit:.3f}"], place)
            seen.append(code)
            wrong += complain(place, code, (0, 85))
            if code == 85 and not (place / "run" / "checkpoint.npz").exists():
                wrong.append("stopped without a checkpoint")
        wrong += goes_on(place, LONG, right)
        stops = seen.count(85)
        return Found(f"{stops} stops", [f"time.wall seed {seed}: {w}" for w in wrong], stops > 0, {"stops": stops})
