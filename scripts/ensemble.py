"""Throughput of many small runs: processes one after the other, one process, and ``hydra/launcher=ensemble``.

    python scripts/ensemble.py                                    # the table of docs/performance.md
    python scripts/ensemble.py --members 4 --rounds 1 --steps 200 # tiny, to see that it runs

Two figures. *Whole*: members as a user would run them, start-up, files and pictures counted. *Steps*: what is left of it when
runs are long, from the difference between many equal steps and few. The ways take turns, and the median of the rounds is reported
with its spread, for machines are shared and their speed drifts. Beside wall time stands the processor time of all processes and
threads of a way, which other programs change less. Compiled kernels are in the cache before it begins.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

PROBLEM = ["model=spinodal", "device=cpu"]
LAUNCHER = "hydra/launcher=ensemble"


def phasefield(*words: str) -> None:
    """A command line in a process of its own."""
    code = "from phasefield.cli import main; main()"
    subprocess.run([sys.executable, "-c", code, *words], check=True, capture_output=True)


class Cost(NamedTuple):
    """Seconds: of the clock, and of processors in all processes that were started."""

    wall: float
    cpu: float


def cost(work: Callable[[Path], None]) -> Cost:
    with tempfile.TemporaryDirectory() as folder:
        start, before = time.perf_counter(), _processors()
        work(Path(folder))
        return Cost(time.perf_counter() - start, _processors() - before)


def _processors() -> float:
    """Processor seconds of all children that have ended, and of theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def ways(keys: list[str], members: int) -> dict[str, Callable[[Path], None]]:
    """Name -> the members run that way in a folder."""

    def processes(folder: Path) -> None:
        for seed in range(members):
            phasefield("run", *keys, f"seed={seed}", f"output.dir={folder / str(seed)}")

    def sweep(*more: str) -> Callable[[Path], None]:
        many = ["run", "-m", *keys, f"seed=range({members})", *more]
        return lambda folder: phasefield(*many, f"output.dir={folder / 'many'}")

    return {"processes": processes, "one process": sweep(), "ensemble": sweep(LAUNCHER)}


def spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=64)
    parser.add_argument("--cells", type=int, default=64, help="along x and y")
    parser.add_argument("--end", type=float, default=200.0, help="time.end of whole runs")
    parser.add_argument("--steps", type=int, default=10000, help="of long runs")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, help="JSON file")
    given = parser.parse_args()

    grid = [*PROBLEM, f"grid.shape=[{given.cells},{given.cells}]"]
    whole = ways([*grid, f"time.end={given.end}"], given.members)
    equal = [*grid, "time.adaptive=false", "time.dt=0.1", "output.picture=false", "output.every={steps: 1000000}"]
    few = max(2, given.members // 8)
    long, short = (ways([*equal, f"time.end={0.1 * n}"], few) for n in (given.steps, given.steps // 10))
    cost(whole["ensemble"])
    cost(short["ensemble"])
    found: dict[str, dict[str, list[float]]] = {"whole": {}, "steps": {}}
    processors: dict[str, list[float]] = {}
    for _ in range(given.rounds):
        for name, way in whole.items():
            taken = cost(way)
            found["whole"].setdefault(name, []).append(given.members / taken.wall)
            processors.setdefault(name, []).append(taken.cpu / given.members)
        for name in ("one process", "ensemble"):
            stepping = cost(long[name]).wall - cost(short[name]).wall
            found["steps"].setdefault(name, []).append(few * (given.steps - given.steps // 10) / stepping)
    told = {
        "phasefield": version("phasefield"),
        "machine": platform.processor() or platform.machine(),
        "members": given.members,
        "cells": given.cells,
        "whole: members/s": {name: spread(values) for name, values in found["whole"].items()},
        "whole: processor seconds a member": {name: spread(values) for name, values in processors.items()},
        "steps: member steps/s": {name: spread(values) for name, values in found["steps"].items()},
    }
    for part, of, base in (("whole", "members/s", "processes"), ("steps", "member steps/s", "one process")):
        rounds = found[part]
        ratio = spread([a / b for a, b in zip(rounds["ensemble"], rounds[base], strict=True)])
        told[f"{part}: ensemble to {base}"] = ratio
        for name, values in rounds.items():
            s = spread(values)
            print(f"{part:6} {name:12} {s['median']:10.4g} {of} ({s['least']:.4g} to {s['most']:.4g})")
        print(f"{part:6} ensemble to {base}: {ratio['median']:.3g} ({ratio['least']:.3g} to {ratio['most']:.3g})")
    for name, values in processors.items():
        s = spread(values)
        print(f"whole  {name:12} {s['median']:10.4g} processor s a member ({s['least']:.4g} to {s['most']:.4g})")
    if given.output:
        given.output.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
