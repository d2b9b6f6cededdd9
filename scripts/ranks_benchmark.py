"""Time of a step over several ranks against one process with as many threads, interleaved.

    mpirun -n 2 python scripts/ranks_benchmark.py                      # the table of docs/ranks.md
    mpirun -n 2 python scripts/ranks_benchmark.py --shapes 512x512 64x64x64 --rounds 7
    mpirun -n 2 python scripts/ranks_benchmark.py --quick              # tiny, to see that it runs

In every round each way takes some steps: one process with N threads (the other ranks sleep meanwhile), N ranks of one thread that
share all memory, N that have parts and read each other's, N that have parts and exchange messages. Ratios are those of the
medians over the rounds, with the quartiles of the ratios of single rounds, for machines are shared and their speed drifts.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from phasefield.api import spec_of
from phasefield.backend import Backend, together, world
from phasefield.backend.cpu import CpuBackend
from phasefield.backend.ranks.backend import RanksBackend, SharedBackend
from phasefield.simulation import Simulation

WAYS = ("shared", "alltoall", "messages")
SHAPES = ("512x512", "1024x1024", "2048x2048", "64x64x64", "128x128x128")


def stepper(shape: tuple[int, ...], backend: Backend[Any], scheme: str) -> Callable[[int], float]:
    """A function that takes some steps of a Cahn-Hilliard problem and gives the seconds for one."""
    spec = spec_of(
        "model=cahn_hilliard", f"grid.shape={list(shape)}", f"time.scheme={scheme}", "time.adaptive=false",
        "time.dt=0.01", "time.end=1e9", "output.observables=[free_energy]",
    )  # fmt: skip
    simulation = Simulation(spec, backend=backend)

    def steps(count: int) -> float:
        simulation.advance(1e9)  # wakes whoever sleeps
        start = time.perf_counter()
        for _ in range(count):
            simulation.advance(1e9)
        return (time.perf_counter() - start) / count

    return steps


def measure(shape: tuple[int, ...], scheme: str, rounds: int, seconds: float) -> dict[str, Any]:
    ranks = world().size
    ways: dict[str, Callable[[int], float]] = {
        "threads": stepper(shape, CpuBackend("double", ranks), scheme),
        "shared": stepper(shape, SharedBackend("double", 1), scheme),
        "alltoall": stepper(shape, RanksBackend("double", 1), scheme),
        "messages": stepper(shape, RanksBackend("double", 1, 1), scheme),
    }
    counts = {name: max(2, math.ceil(seconds / steps(3))) for name, steps in ways.items()}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, steps in ways.items():
            times[name].append(steps(counts[name]))
    found: dict[str, Any] = {"shape": shape, "scheme": scheme, "ranks": ranks, "rounds": rounds}
    found |= {f"{name}_ms": 1e3 * statistics.median(values) for name, values in times.items()}
    for name in WAYS:
        single = [a / b for a, b in zip(times[name], times["threads"], strict=True)]
        low, _, high = statistics.quantiles(single, n=4)
        found[name] = {"ratio": found[f"{name}_ms"] / found["threads_ms"], "quartiles": [low, high]}
    return found


def table(keys: argparse.Namespace) -> list[dict[str, Any]]:
    rows = []
    print(
        f"{'grid':>14} {'threads':>10} {'shared':>22} {'alltoall':>22} {'messages':>22}   (ms a step, ratio, quartiles)",
        flush=True,
    )
    for text in ["32x32", "16x16x16"] if keys.quick else keys.shapes:
        row = measure(tuple(map(int, text.split("x"))), keys.scheme, keys.rounds, keys.seconds)
        rows.append(row)
        told = f"{text:>14} {row['threads_ms']:10.3f}"
        for name in WAYS:
            ratio, (low, high) = row[name]["ratio"], row[name]["quartiles"]
            told += f" {row[f'{name}_ms']:8.3f} {ratio:5.2f} {low:4.2f}-{high:4.2f}"
        print(told, flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", default=SHAPES, help="grids, as 512x512")
    parser.add_argument("--scheme", default="etdms3")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.3, help="of a round of one way")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--output", type=Path, help="a JSON file for the table")
    keys = parser.parse_args()
    if world().size < 2:
        sys.exit("start it with mpirun -n N")
    os.environ.pop("PHASEFIELD_RANKS_EXCHANGE", None)
    rows = together(lambda: table(keys))
    if keys.output is not None and world().rank == 0:
        keys.output.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
