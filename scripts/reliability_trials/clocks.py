"""Clocks that jump."""

from __future__ import annotations

import os
import random
import shutil
import time
from pathlib import Path

import reliability_faults as faults

from .common import LONG, Found, complain, goes_on, scratch


def jumping_clock(seed: int) -> None:
    """From here on the time of day jumps by up to a day, forwards and backwards, whenever it is asked for."""
    draw, now, now_ns = random.Random(seed), time.time, time.time_ns
    time.time = lambda: now() + draw.uniform(-86400, 86400)  # type: ignore[assignment]
    time.time_ns = lambda: now_ns() + draw.randrange(-86400, 86400) * 10**9  # type: ignore[assignment]


def clocked(cache: Path, seed: int, right: str) -> Found:
    """Runs stopped by time.wall, with checkpoints by their cost, under a jumping clock, their files dated years off."""
    draw = random.Random(seed)
    with scratch() as place:
        own = place / "cache"
        shutil.copytree(cache, own)
        os.environ["PHASEFIELD_CACHE"] = str(own)
        words = [w for w in LONG if not w.startswith("output.checkpoint")]
        wrong, stops, code = [], 0, 85
        while code == 85 and stops < 4 and not wrong:
            began = time.monotonic()
            code = faults.call([*words, "time.wall=0.9"], place, before=lambda s=seed + stops: jumping_clock(s))  # type: ignore[misc]
            took = time.monotonic() - began
            wrong += complain(place, code, (0, 85))
            if code == 85 and took > 30:
                wrong.append(f"stopped after {took:.1f} s")
            stops += code == 85
            for file in [*own.rglob("*"), *(place / "run").rglob("*")]:
                # numba takes a source of another date for another source: its compiled code is then made anew.
                if file.suffix != ".py":
                    os.utime(file, (t := time.time() + draw.uniform(-3e8, 3e8), t))
        if not wrong and stops == 0:
            wrong.append("never stopped by time.wall")
        wrong += goes_on(place, words, right)
        return Found(f"{stops} stops", [f"clock seed {seed}: {w}" for w in wrong], figures={"stops": stops})
