"""Very long runs."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from .common import PROBLEM, Found, complain, workshop
from .kills import real

#: Seconds after which a run has made all that it keeps.
_STARTING = 5.0


def endures(steps: int, size: int, outputs: int, every: float, cache: Path) -> Found:
    """A run of very many steps, whose memory and open files are looked at every ``every`` seconds."""
    with workshop(cache) as place:
        words = [
            *(w for w in PROBLEM if not w.startswith("grid")),
            f"grid.shape=[{size},{size}]",
            "time.adaptive=false",
            "time.dt=0.01",
            f"time.end={0.01 * steps!r}",
            f"output.every={{steps: {max(1, steps // 10)}}}",
            f"output.history={{steps: {max(1, steps // outputs)}}}",
            "output.checkpoint=10",
            "output.picture=false",
        ]
        began = time.monotonic()
        child = real(words, place)
        memory: list[tuple[float, int, int]] = []
        while child.poll() is None:
            time.sleep(every)
            with contextlib.suppress(OSError, StopIteration, ValueError):
                status = Path(f"/proc/{child.pid}/status").read_text().splitlines()
                resident = int(next(line for line in status if line.startswith("VmRSS")).split()[1])
                memory.append((time.monotonic() - began, resident, len(os.listdir(f"/proc/{child.pid}/fd"))))
        took = time.monotonic() - began
        found = Found(f"{steps} steps", complain(place, child.returncode, (0,)))
        # What starting takes is no growth: a tenth of the time, and seconds, have to pass before.
        settled = [m for m in memory if m[0] > max(0.1 * took, _STARTING)] or memory[-1:]
        start, end = settled[0][1], settled[-1][1]
        files = [m[2] for m in settled]
        found.figures = {
            "steps": steps, "rows": outputs, "seconds": round(took, 1), "ms_per_step": round(1e3 * took / steps, 4),
            "samples": len(settled), "resident_kB_first": start, "resident_kB_last": end,
            "growth_percent": round(100 * (end / start - 1), 3), "files_least": min(files), "files_most": max(files),
            "history_bytes_per_row": round((place / "run" / "history.nc").stat().st_size / outputs, 1),
        }  # fmt: skip
        if end > 1.01 * start:
            found.wrong.append(f"memory grew from {start} to {end} kB")
        return found
