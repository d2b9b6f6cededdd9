"""Runs that one process and several make, to be compared.

    python ranks_cases.py FOLDER NAME ...                         # one process: FOLDER/NAME
    mpirun -n 2 python ranks_cases.py FOLDER NAME ...             # FOLDER/WAY/NAME for every one of WAYS

A name may be followed by ``/STEPS``: the run stops after so many steps, and goes on if it is there already.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import phasefield as pf
from phasefield.backend import world
from phasefield.errors import PhasefieldError

#: How ranks exchange: by each other's memory, by messages, by both, and not at all.
WAYS = ("alltoall", "alltoall:1", "alltoall:2", "shared")
SMALL = ("output.picture=false", "output.every=2.5", "time.end=5", "seed=3")
CASES: dict[str, tuple[str, ...]] = {
    "plane": ("grid.shape=[32,48]",),
    "odd": ("grid.shape=[15,17]",),
    "solid": ("grid.shape=[12,14,10]", "time.end=2"),
    "no-flux": ("grid.shape=[24,20]", "grid.boundary=no-flux"),
    "fixed": ("grid.shape=[13,20]", "grid.boundary=[fixed,no-flux]"),
    "mixed": ("grid.shape=[10,12,9]", "grid.boundary=[periodic,no-flux,fixed]", "time.end=1"),
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
    "phases": (
        "model=cahn_hilliard",
        "grid.shape=[24,20]",
        "model.elastic={material: ni_ni3al, unit: 1 GPa, every: 2}",
        "model.fields.c.eigenstrain=0.01",
        "time.max_steps=12",
    ),
    "normal": ("model=crystal_shape", "grid.shape=[32,32]", "time.max_steps=10"),
    "noise": ("experiment=thermal_noise", "grid.shape=[32,32]", "time.max_steps=10"),
    "nuclei": ("experiment=nucleation_growth", "grid.shape=[48,48]", "time.max_steps=30", "time.end=60"),
    "walls": (
        "model=cahn_hilliard",
        "grid.shape=[20,18]",
        "grid.boundary=[fixed-no-flux,no-flux]",
        "model.fields.c.walls={left: {value: 0.3+0.1*sin(t)}, right: {flux: 0.01}, top: {angle: 60}}",
    ),
    "mobility": (
        "model=cahn_hilliard",
        "grid.shape=[14,13]",
        "grid.boundary=[no-flux,fixed]",
        "model.fields.c.mobility=1-0.5*c**2",
        "time.max_steps=10",
    ),
    # Of four ranks each has a pencil of these.
    "pencils": ("grid.shape=[3,13,11]", "time.max_steps=30"),
    "pencils-walls": (
        "model=cahn_hilliard",
        "grid.shape=[3,13,9]",
        "grid.boundary=[periodic,no-flux,fixed]",
        "model.fields.c.mobility=1-0.5*c**2",
        "time.max_steps=10",
    ),
    "pencils-normal": (
        "model=crystal_shape",
        "model.fields.phi.kappa=1+0.2*(n_x**4+n_y**4+n_z**4)",
        "grid.shape=[3,12,10]",
        "grid.boundary=no-flux",
        "time.max_steps=10",
    ),
    "pencils-noise": ("experiment=thermal_noise", "grid.shape=[3,16,16]", "time.max_steps=5"),
    "electrodes": (
        "model=cahn_hilliard",
        "grid.shape=[20,18]",
        "grid.boundary=no-flux",
        "model.electric={charge: 0.3*c, permittivity: 2, potential: {left: 0, right: sin(y/4)*cos(t)}}",
    ),
}


def make(name: str, folder: Path, *keys: str) -> None:
    """Makes a run, or goes on with it."""
    name, _, steps = name.partition("/")
    more = [*keys, f"time.max_steps={steps}"] if steps else [*keys]
    if world().broadcast((folder / name).exists()):
        pf.resume(folder / name, *more)
    else:
        pf.run(*SMALL, *CASES[name], *more, f"output.dir={folder / name}")


if __name__ == "__main__":
    for way in WAYS if world().size > 1 else ("",):
        os.environ["PHASEFIELD_RANKS_EXCHANGE"] = way
        if way == "alltoall:2" and world().size == 2:
            continue
        for case in sys.argv[2:] or CASES:
            try:
                make(case, Path(sys.argv[1]) / way)
            except PhasefieldError as error:
                if world().rank == 0:
                    print(f"{way} {case}: {error}", flush=True)
