"""Runs that are made by one process and by several, to be compared: ``python ranks_cases.py FOLDER [NAME ...]``."""

from __future__ import annotations

import sys
from pathlib import Path

import phasefield as pf

SMALL = ("output.picture=false", "output.every=2.5", "time.end=5", "seed=3")
CASES: dict[str, tuple[str, ...]] = {
    "plane": ("grid.shape=[32,48]",),
    "odd": ("grid.shape=[15,17]",),
    "solid": ("grid.shape=[12,14,10]", "time.end=2"),
    "no-flux": ("grid.shape=[24,20]", "grid.boundary=no-flux"),
    "fixed": ("grid.shape=[13,20]", "grid.boundary=[fixed,no-flux]"),
    "mixed": ("grid.shape=[10,12,9]", "grid.boundary=[periodic,no-flux,fixed]", "time.end=2"),
    "single": ("grid.shape=[32,32]", "precision=single"),
    "fixed-steps": ("grid.shape=[32,24]", "time.adaptive=false", "time.dt=0.01", "time.end=1", "output.every=0.5"),
    "etdrk4": ("grid.shape=[24,24]", "time.scheme=etdrk4"),
    "sbdf2": ("grid.shape=[24,24]", "time.scheme=sbdf2"),
    "grains": ("model=grain_growth", "grid.shape=[24,24]", "time.end=2"),
    "precipitate": ("model=precipitate", "grid.shape=[96,96]", "initial.c.count=3", "time.end=1"),
    "flory": ("model=flory_huggins", "grid.shape=[24,24]"),
    "spinodal": ("model=spinodal", "grid.shape=[32,32]"),
    "surface": ("model=surface_diffusion", "grid.shape=[32,32]", "time.end=1"),
    "crystal": ("model=phase_field_crystal", "grid.shape=[32,32]"),
    "copolymer": ("model=block_copolymer", "grid.shape=[32,32]"),
    "cuboids": ("model=cuboids", "grid.shape=[32,32]", "time.end=1"),
    "landau": ("model=cahn_hilliard_landau", "grid.shape=[32,32]"),
    "allen": ("model=allen_cahn", "grid.shape=[32,32]"),
}

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    for name in sys.argv[2:] or CASES:
        try:
            pf.run(*SMALL, *CASES[name], f"output.dir={folder / name}")
        except pf.errors.PhasefieldError as error:
            print(f"{name}: {error}", flush=True)
