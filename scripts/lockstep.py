"""What small runs would gain on a CPU from being stepped together, in one array, instead of one after the other.

    python scripts/lockstep.py                             # the table of docs/cluster.md
    python scripts/lockstep.py --cells 16 --most 8 --rounds 1   # tiny, to see that it runs

Three figures for groups of members on one thread, in microseconds of its processor time for each member and step. *Step*: an
adaptive step as `Simulation` takes it, the members of a group in turns. *Passes*: transforms and kernels of such a step, those of
a group in one call of compiled code, with no Python in between: what no arrangement of members can do without. *Rest*: the Python
between them, the most that could be shared. A group of one is a run alone. All take the same steps in groups of every size.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from unittest.mock import patch

import numpy as np

from phasefield.api import spec_of
from phasefield.backend.workers import Workers, native
from phasefield.simulation import Simulation

#: Steps before anything is measured, and in a row.
_WARM, _STEPS = 100, 16
_Tables = tuple[np.ndarray, np.ndarray]


def member(cells: int, seed: int) -> Simulation:
    """A run that is on its way."""
    keys = ("model=spinodal", "device=cpu", "threads.cpu=1", "time.end=1e6")
    simulation = Simulation(spec_of(*keys, f"grid.shape=[{cells},{cells}]", f"seed={seed}"))
    for _ in range(_WARM):
        simulation.advance(1e6)
    return simulation


def passes(simulation: Simulation) -> _Tables:
    """Phases and operations (see ``backend/native.py``) of an attempted step of a new size."""
    found: list[_Tables] = []

    def run(self: Workers, job: np.ndarray, phases: np.ndarray, operations: np.ndarray, counters: np.ndarray) -> None:
        found.append((phases.copy(), operations.copy()))
        native().alone(phases, operations)

    carry = simulation.carry
    size = 0.999 * carry.dt_old
    with patch.object(Workers, "run", run):
        simulation.integrator.attempt(carry, size, carry.t + size)
    return joined(found)


def joined(tables: Sequence[_Tables]) -> _Tables:
    """What is done one after the other as one job."""
    ends = np.cumsum([0, *(len(operations) for _, operations in tables)])
    moved = [phases + np.array([start, start, 0]) for (phases, _), start in zip(tables, ends[:-1], strict=True)]
    return np.concatenate(moved), np.concatenate([operations for _, operations in tables])


def microseconds(work: Callable[[int], object], members: int, count: int) -> float:
    """Of a member and step, where ``work`` is a step of the group that begins with the member of a number."""
    start = time.thread_time()
    for first in range(0, members, count):
        for _ in range(_STEPS):
            work(first)
    return 1e6 * (time.thread_time() - start) / (members * _STEPS)


def measured(cells: int, groups: Sequence[int], rounds: int) -> list[dict[str, float]]:
    """A row for every size of a group."""
    members = [member(cells, seed) for seed in range(max(groups))]
    tables = [passes(simulation) for simulation in members]
    together = {(n, count): joined(tables[n : n + count]) for count in groups for n in range(0, len(members), count)}
    found: dict[tuple[str, int], list[float]] = {}

    def step(first: int, count: int) -> None:
        for simulation in members[first : first + count]:
            simulation.advance(1e6)

    def one_call(first: int, count: int) -> None:
        native().alone(*together[first, count])

    for _ in range(rounds):
        for count in groups:
            for name, work in (("step", step), ("passes", one_call)):
                taken = microseconds(partial(work, count=count), len(members), count)
                found.setdefault((name, count), []).append(taken)
    rows = []
    for count in groups:
        whole, part = (statistics.median(found[name, count]) for name in ("step", "passes"))
        rows.append({"cells": cells, "members": count, "step": whole, "passes": part, "rest": whole - part})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, nargs="+", default=[32, 64, 128], help="along x and y")
    parser.add_argument("--most", type=int, default=64, help="members of the largest group")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--output", type=Path, help="JSON file")
    given = parser.parse_args()
    groups = [count for count in (1, 8, 64) if count <= given.most]
    rows = [row for cells in given.cells for row in measured(cells, groups, given.rounds)]
    print("| cells | members | step us | passes us | rest us |\n| --- | --- | --- | --- | --- |")
    for row in rows:
        numbers = " | ".join(f"{row[name]:.1f}" for name in ("step", "passes", "rest"))
        print(f"| {row['cells']:.0f} x {row['cells']:.0f} | {row['members']:.0f} | {numbers} |")
    if given.output:
        told = {"machine": platform.processor() or platform.machine(), "rounds": given.rounds, "rows": rows}
        given.output.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
