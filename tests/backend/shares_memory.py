"""The most memory that processes take while they homogenize, beyond what a small case leaves: bytes of each, one a line.

    mpirun -n 2 python shares_memory.py FOLDER PROPERTY           # of FOLDER/128.npy, see `body`

Pages that processes share count in parts, so that the processes of a machine add up (`Pss` of Linux).
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import numpy as np

from phasefield.backend import together, world
from phasefield.homogenize.command import run

SOFT, HARD = "{conductivity: 1, stiffness: {E: 2, nu: 0.3}}", "{conductivity: 5, stiffness: {E: 8, nu: 0.2}}"
MATERIAL = f"material={{phases: {{a: {SOFT}, b: {HARD}}}}}"
KEYS = (MATERIAL, "levels=[0,1]", "two_grid=false", "mixing=false", "descriptors=false", "solver.tolerance=1e-2")
SIDE, SMALL = 128, 16


def body(side: int) -> np.ndarray:
    """A diffuse field with interfaces of three voxels."""
    k = np.arange(side) * 2 * np.pi / side
    x, y, z = np.meshgrid(k, k, k, indexing="ij", sparse=True)
    wave = (
        np.sin(2 * x + np.cos(y)) + np.sin(2 * y + np.cos(z + 1)) + np.sin(2 * z + np.sin(x)) + 0.4 * np.sin(3 * x - z)
    )
    return np.asarray(0.5 + 0.5 * np.tanh(wave * side / (6 * np.pi)))


def held() -> int:
    """Bytes of this process now."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def most(folder: Path, name: str) -> int:
    """The most bytes beyond those that are held after a small case, which has loaded everything."""

    def solve(side: int) -> None:
        together(lambda: run(folder / f"{side}.npy", [*KEYS, f"properties=[{name}]", f"output={folder}/memory.nc"]))

    solve(SMALL)
    before = highest = held()
    ended = threading.Event()

    def watch() -> None:
        nonlocal highest
        while not ended.is_set():
            highest = max(highest, held())
            time.sleep(0.005)

    watcher = threading.Thread(target=watch)
    watcher.start()
    solve(SIDE)
    ended.set()
    watcher.join()
    return highest - before


if __name__ == "__main__":
    found = world().gather(most(Path(sys.argv[1]), sys.argv[2]))
    print(*found or (), sep="\n", end="\n" if found else "", flush=True)
