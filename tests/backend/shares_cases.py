"""Homogenizations that one process and several do, to be compared.

    python shares_cases.py FOLDER NAME ...                        # one process: FOLDER/NAME.nc
    mpirun -n 2 python shares_cases.py FOLDER NAME ...            # FOLDER/WAY/NAME.nc for both WAYS, of more ranks for the first

The images are made where they are not there yet, by rank 0.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from phasefield.backend import together, world
from phasefield.errors import PhasefieldError
from phasefield.homogenize.command import run

#: By each other's memory, and by messages.
WAYS = ("alltoall", "alltoall:1")
SOFT = "material={phases: {matrix: {conductivity: 1, stiffness: {E: 3, nu: 0.3}, expansion: 2e-5}, inclusion: {conductivity: 20, stiffness: {E: 80, nu: 0.2}, expansion: 5e-6}}}"  # fmt: skip # noqa: E501
HARD = "material={phases: {matrix: {conductivity: 1, stiffness: {E: 1, nu: 0.3}}, inclusion: {conductivity: 4000, stiffness: {E: 3000, nu: 0.2}}}}"  # fmt: skip # noqa: E501
VOID = "material={phases: {pore: {conductivity: 0, stiffness: void}, solid: {conductivity: 3, stiffness: {E: 2, nu: 0.3}}}}"
RIGID = "material={phases: {matrix: {stiffness: {E: 2, nu: 0.3}}, grain: {stiffness: rigid}}}"
BOTH, HEAT, BODY = "properties=[conductivity,stiffness]", "properties=[conductivity]", "properties=[stiffness]"
QUICK = ("two_grid=false", "mixing=false")
#: Solved so closely that stopping an iteration earlier or later shows nowhere.
CLOSE = "solver.tolerance=1e-11"


def waves(shape: tuple[int, ...], seed: int = 0, width: float = 4.0) -> np.ndarray:
    """A diffuse two-phase field, about so many voxels from one phase to the other."""
    rng = np.random.default_rng(seed)
    at = np.meshgrid(*[np.arange(n) * 2 * np.pi / n for n in shape], indexing="ij")
    out = np.zeros(shape)
    for _ in range(6):
        k = rng.integers(-2, 3, len(shape))
        out += rng.normal() * np.cos(sum(a * b for a, b in zip(k, at, strict=True)) + rng.uniform(0, 6))
    return np.asarray(np.tanh(out / out.std() * 12 / width))


def ball(shape: tuple[int, ...], radius: float) -> np.ndarray:
    at = np.meshgrid(*[np.arange(n) - n / 2 + 0.3 for n in shape], indexing="ij")
    return np.asarray(sum(a**2 for a in at) < radius**2)


CASES: dict[str, tuple[Any, ...]] = {
    "diffuse": (lambda: waves((12, 11, 10)), SOFT, "properties=[conductivity,stiffness,expansion]"),
    "hard": (lambda: waves((10, 9, 12), 1), HARD, BOTH, *QUICK),
    "plane": (lambda: waves((17, 20)), SOFT, BOTH),
    "sheet": (lambda: waves((16, 13), 2), SOFT, BODY, "plane=stress", *QUICK),
    "labels": (lambda: (waves((13, 8, 9), 3) > 0).astype(np.uint8), SOFT, HEAT),
    "noise": (lambda: np.random.default_rng(4).integers(0, 2, (10, 9, 8), np.uint8), SOFT, BOTH),
    "few": (lambda: waves((3, 12, 8), 5), SOFT, HEAT),
    "steep": (lambda: np.clip(waves((12, 10, 8), 6, 0.7), -1, 1), SOFT, HEAT, "spacing=[1,2,0.5]", *QUICK),
    "smooth": (lambda: waves((12, 10, 8), 7, 40.0), SOFT, HEAT, "voxel=geometric", "levels=[-1,1]", *QUICK),
    "void": (lambda: ball((12, 10, 9), 3.2).astype(np.uint8) ^ 1, VOID, BOTH, *QUICK),
    "islands": (lambda: ball((12, 10, 9), 3.2).astype(np.uint8), VOID, HEAT, *QUICK),
    "layers": (lambda: np.tile((np.arange(12) % 6 > 2)[:, None, None], (1, 8, 9)).astype(np.uint8), VOID, HEAT, *QUICK),
    "rigid": (lambda: ball((12, 10, 9), 3.2).astype(np.uint8), RIGID, BODY, *QUICK),
    "grains": (lambda: np.random.default_rng(8).integers(0, 5, (12, 10, 8)), "material=cu", BODY, *QUICK),
    "single": (lambda: waves((12, 11, 10), 9), SOFT, HEAT, "solver.precision=single", *QUICK),
    "energy": (lambda: waves((12, 11, 10), 10), SOFT, BODY, "solver.criterion=energy", "solver.scheme=rotated", *QUICK),
}


def make(name: str, images: Path, folder: Path) -> None:
    """Homogenizes a case."""
    image, *keys = CASES[name]
    path = images / f"{name}.npy"

    def work() -> None:
        folder.mkdir(exist_ok=True, parents=True)
        if not path.exists():
            np.save(path, image())
        run(path, [*([] if name == "single" else [CLOSE]), *dict.fromkeys(keys), f"output={folder / name}.nc"])

    together(work)


if __name__ == "__main__":
    logging.basicConfig(format="%(message)s", level=logging.INFO if world().rank == 0 else logging.WARNING)
    for way in {1: ("",), 2: WAYS}.get(world().size, WAYS[:1]):
        os.environ["PHASEFIELD_RANKS_EXCHANGE"] = way or "auto"
        for case in sys.argv[2:] or CASES:
            try:
                make(case, Path(sys.argv[1]), Path(sys.argv[1]) / way)
            except PhasefieldError as error:
                if world().rank == 0:
                    print(f"{way} {case}: {error}", flush=True)
