"""Cost of a fixed Cahn-Hilliard step against the bare pair of transforms it contains, measured in one process.

    python scripts/benchmark.py                        # CPU, the standard grids
    python scripts/benchmark.py --device gpu --json docs/results/benchmark.json
    python scripts/benchmark.py --quick                # tiny, to see that it runs

The bare pair is the planned, aligned, in-place real transform and its inverse, with the same threads. Step and pair
alternate, and the median of the rounds is reported with its spread, for machines are shared and their speed drifts.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np

from phasefield.api import spec_of
from phasefield.provenance import version
from phasefield.simulation import Simulation

GRIDS = {
    "cpu": ([512, 512], [1024, 1024], [2048, 2048], [128, 128, 128]),
    "gpu": ([512, 512], [2048, 2048], [256] * 3, [512] * 3),
}


def timed(function: Any, repeats: int, synchronize: Any) -> float:
    """Seconds per call."""
    synchronize()
    start = time.perf_counter()
    for _ in range(repeats):
        function()
    synchronize()
    return (time.perf_counter() - start) / repeats


def resident() -> int:
    """Resident memory of this process in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(shape: list[int], scheme: str, device: str, precision: str, rounds: int, seconds: float) -> dict[str, Any]:
    """One row of the table."""
    spec = spec_of(
        "model=cahn_hilliard", f"grid.shape={shape}", f"time.scheme={scheme}", "time.adaptive=false",
        "time.dt=0.01", "time.end=1e9", f"device={device}", f"precision={precision}", "output.observables=[free_energy]",
    )  # fmt: skip
    before = resident()
    sim = Simulation(spec)
    grown = resident() - before
    backend, layout = sim.backend, sim.layout
    work = backend.buffer(layout, 1)
    transform = backend.transform(layout, 1)

    def pair() -> None:
        transform.forward(work)
        transform.inverse(work)

    def step() -> None:
        sim.integrator.step(sim.carry, 0.01, sim.carry.t + 0.01)

    for warm in (pair, step):
        timed(warm, 3, backend.synchronize)
    repeats = max(3, int(seconds / timed(step, 3, backend.synchronize)))
    pairs, steps = [], []
    for _ in range(rounds):
        pairs.append(timed(pair, repeats, backend.synchronize))
        work *= 0  # unscaled round trips grow
        steps.append(timed(step, repeats, backend.synchronize))
    ratios = [s / p for s, p in zip(steps, pairs, strict=True)]
    field_bytes = int(np.prod(shape)) * np.dtype(backend.dtype).itemsize
    return {
        "shape": shape, "scheme": scheme, "precision": precision,
        "step_ms": 1e3 * statistics.median(steps), "pair_ms": 1e3 * statistics.median(pairs),
        "ratio": statistics.median(ratios), "ratio_min": min(ratios), "ratio_max": max(ratios),
        "cells_per_second": float(np.prod(shape)) / statistics.median(steps),
        "resident_fields": grown / field_bytes, "device": backend.description,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
    parser.add_argument("--precision", choices=("double", "single"), default="double")
    parser.add_argument("--schemes", nargs="+", default=["imex1", "etdms2", "sbdf2"])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    grids = [[64, 64]] if options.quick else [list(g) for g in GRIDS[options.device]]
    rows = []
    print(
        f"{'grid':>16} {'scheme':>8} {'step ms':>9} {'pair ms':>9} {'ratio':>6} {'min-max':>12} {'Mcells/s':>9} {'fields':>7}"
    )
    for shape in grids:
        for scheme in options.schemes:
            row = measure(
                shape, scheme, options.device, options.precision, options.rounds, 0.01 if options.quick else 0.3
            )
            rows.append(row)
            print(
                f"{'x'.join(map(str, shape)):>16} {scheme:>8} {row['step_ms']:9.3f} {row['pair_ms']:9.3f} {row['ratio']:6.2f} "
                f"{row['ratio_min']:5.2f}-{row['ratio_max']:5.2f} "
                f"{row['cells_per_second'] / 1e6:9.1f} {row['resident_fields']:7.2f}",
                flush=True,
            )
    if options.json:
        record = {"version": version(), "platform": platform.platform(), "numpy": np.__version__, "rows": rows}
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
