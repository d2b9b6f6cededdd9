"""Checks of the GPU that are too large or too slow for tests; each prints a line per case and writes JSON.

    python scripts/gpu_checks.py agreement --json agreement.json   # CPU and GPU after 100 steps
    python scripts/gpu_checks.py graphs --json graphs.json         # graphs against plain launches: bits and times
    python scripts/gpu_checks.py large --json large.json           # grids that fill the card, against a coarse grid on the CPU
    python scripts/gpu_checks.py homogenize --json homogenize.json # effective properties: CPU and GPU, and times of large images

The exit status is 0 only if every case is within its bounds.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import sympy as sp

from phasefield.api import spec_of
from phasefield.backend import Backend, Forward, Layout, Run, cells_of, select
from phasefield.codegen import Kernel
from phasefield.errors import PhasefieldError
from phasefield.homogenize import tensors
from phasefield.homogenize.solver import CellProblem, Options
from phasefield.integrators import SCHEMES, Integrator
from phasefield.models import SpectralSplit
from phasefield.simulation import Simulation, build_model

PRECIPITATE = (
    "model=precipitate",
    "initial.c={kind: circles, count: 3, radius: [5, 7], inside: 0.7, outside: 0.35, width: 2.0}",
    "initial.eta={kind: circles, count: 3, radius: [5, 7], inside: 1.0, outside: 0.0, width: 2.0}",
)
AGREEMENT = {
    "plane": ("model=cahn_hilliard", "grid.shape=[256,192]"),
    "space": ("model=cahn_hilliard", "grid.shape=[64,48,40]"),
    "no-flux": ("model=cahn_hilliard", "grid.shape=[96,80]", "grid.boundary=no-flux"),
    "grains": ("model=grain_growth", "initial.eta={kind: voronoi, grains: 12}", "grid.shape=[64,72]"),
    "precipitate": (*PRECIPITATE, "grid.shape=[96,100]"),
    "logarithms": ("model=flory_huggins", "grid.shape=[96,80]"),
}
GRAPHS = ([64, 64], [128, 128], [256, 256], [512, 512], [1024, 1024], [32] * 3, [64] * 3, [128] * 3)
LARGE = ((1536, "double", "imex1"), (2048, "single", "imex1"), (1536, "double", "etdms2"))
#: Property, voxels per axis, contrast of two random phases, loads, seconds that a load may take.
IMAGES = (("stiffness", 256, 10.0, 6, 2.0 / 6), ("conductivity", 512, 100.0, 3, 2.0))
STEPS = 100

Row = dict[str, Any]


def run(spec: Any, backend: Backend, steps: int) -> Simulation:
    sim = Simulation(spec, backend=backend)
    for _ in range(steps):
        sim.advance(1e6)
    return sim


def agreement(device: str) -> Iterator[Row]:
    """Largest deviation of the cells from the CPU's, over the largest cell."""
    for name, overrides in AGREEMENT.items():
        for precision, adaptive, bound in (("double", True, 1e-10), ("double", False, 1e-10), ("single", False, 1e-4)):
            spec = spec_of(
                "time.end=1e6", "time.dt=0.01", "time.tolerance=1e-3", f"time.adaptive={adaptive}",
                f"precision={precision}", *overrides,
            )  # fmt: skip
            cells = []
            for kind in ("cpu", device):
                sim = run(spec, select(kind, precision), STEPS)  # type: ignore[arg-type]
                cells.append(cells_of(sim.layout, sim.backend.to_host(sim.observe(sim.carry)[0])))
            deviation = float(np.abs(cells[1] - cells[0]).max() / np.abs(cells[0]).max())
            yield {
                "case": name, "precision": precision, "adaptive": adaptive, "steps": STEPS,
                "deviation": deviation, "bound": bound, "passed": deviation < bound,
            }  # fmt: skip


def graphs(make: Callable[[bool], Backend]) -> Iterator[Row]:
    """Microseconds per step with graphs and with plain launches, which have to give the same bits."""
    for shape in GRAPHS:
        for adaptive in (False, True):
            spec = spec_of(
                "model=cahn_hilliard",
                f"grid.shape={shape}",
                f"time.adaptive={adaptive}",
                "time.dt=0.01",
                "time.end=1e6",
            )
            micro, states = {}, []
            for on in (True, False):
                sim = run(spec, make(on), 20)
                sim.backend.synchronize()
                start = time.perf_counter()
                for _ in range(STEPS):
                    sim.advance(1e6)
                sim.backend.synchronize()
                micro["graphs" if on else "plain"] = 1e6 * (time.perf_counter() - start) / STEPS
                states.append(sim.backend.to_host(sim.carry.u).tobytes())
            yield {"shape": shape, "adaptive": adaptive, "us_per_step": micro, "passed": states[0] == states[1]}


class Waves:
    """A problem made of a few long waves, so that any grid has the same energies and amplitudes; built where it runs.

    Their energies are sums over all cells, so an index that goes astray in a large grid shows in them.
    """

    def __init__(self, n: int, precision: str, scheme: str, backend: Backend) -> None:
        spec = spec_of(
            "model=cahn_hilliard", f"grid.shape={[n] * 3}", "grid.length=[20,20,20]", "time.adaptive=false",
            "time.dt=0.05", "time.end=1e6", f"time.scheme={scheme}", f"precision={precision}",
        )  # fmt: skip
        model, self.layout = build_model(spec), Layout(spec.grid.build())
        split = SpectralSplit(model, self.layout, [1.0], monitor=True)
        kappas = [f.kappa for f, _ in model.components]
        self.backend = backend
        self.integrator = Integrator(SCHEMES[scheme], split, self.layout, backend, kappas, adaptive=False)
        x, y, z = (sp.cos(2 * sp.pi / 20 * s) for s in sp.symbols("x y z", real=True))
        start = (sp.Float(0.5) + sp.Float(0.1) * (x + y * z) + sp.Float(0.05) * x * y) / sp.Float(self.layout.grid.norm)
        fill = Run(Kernel("waves", "real", {"u": 1}, {"u": [start]}))
        state = backend.buffer(self.layout, 1)
        backend.program(self.layout, [fill, Forward("u", 1)])({"u": state})
        self.carry = self.integrator.start(state, 0.0)
        self.mean = self.modes()[0, 0, 0]

    def modes(self) -> np.ndarray:
        """The longest modes' amplitudes; phases depend on where the cells' centres are."""
        corner = self.backend.to_host(self.carry.u[:1, :3, :3, :6])[0]
        return np.hypot(corner[..., ::2], corner[..., 1::2])

    def step(self) -> float:
        self.integrator.step(self.carry, 0.05, self.carry.t + 0.05)
        return self.carry.bulk


def large(device: str, cases: Any = LARGE, coarse: int = 48, steps: int = 8) -> Iterator[Row]:
    """Energies and amplitudes of every step against a coarse grid's in double precision on the CPU."""
    for n, precision, scheme in cases:
        row: Row = {"shape": [n] * 3, "precision": precision, "scheme": scheme, "passed": False}
        bound = {"double": 1e-10, "single": 1e-5}[precision]
        try:
            reference = Waves(coarse, "double", scheme, select("cpu", "double"))
            backend = select(device, precision)
            before = backend.memory_available()
            waves = Waves(n, precision, scheme, backend)
            energies = [abs(waves.step() / reference.step() - 1) for _ in range(steps)]
            backend.synchronize()
            start = time.perf_counter()
            for _ in range(steps):
                waves.step()
            backend.synchronize()
            seconds = (time.perf_counter() - start) / steps
            for _ in range(steps):
                reference.step()
            modes, others = waves.modes(), reference.modes()
            row |= {
                "energy": max(energies), "modes": float(np.abs(modes - others).max() / others.max()),
                "mean_kept": bool(modes[0, 0, 0] == waves.mean), "bound": bound,
                "seconds_per_step": seconds, "cells_per_second": n**3 / seconds,
                "bytes_used": before - backend.memory_available(),
            }  # fmt: skip
            row["passed"] = max(row["energy"], row["modes"]) < bound and row["mean_kept"]
            del waves, backend
        except PhasefieldError as error:
            row["error"] = str(error)
        free()
        yield row


def two_phases(name: str, shape: tuple[int, ...], contrast: float, device: str, **options: Any) -> CellProblem:
    """Voxels of two phases at random."""
    index = np.random.default_rng(1).integers(0, 2, shape, dtype=np.int32)
    soft = tensors.isotropic_stiffness(1.0, 1.0) if name == "stiffness" else np.eye(3)
    table = np.stack([soft, contrast * soft])
    return CellProblem(index, table, (1.0,) * len(shape), Options(device=device, **options))


def homogenization(device: str, images: Any = IMAGES) -> Iterator[Row]:
    """Mean stress or flux against the CPU's, and seconds a load on large images, at a tolerance of 1e-6."""
    for name in ("stiffness", "conductivity"):
        for scheme, shape in (("q1", (48, 45, 40)), ("rotated", (48, 45, 40)), ("q1", (128, 96))):
            for precision, bound in (("double", 1e-8), ("single", 1e-3)):
                more = {"scheme": scheme, "precision": precision, "tolerance": bound / 10}
                found = []
                for kind in ("cpu", device):
                    problem = two_phases(name, shape, 10.0, kind, **more)
                    found.append(problem.solve(np.linspace(1.0, 0.3, problem.size)).mean)
                deviation = float(np.abs(found[1] - found[0]).max() / np.abs(found[0]).max())
                yield {
                    "case": name, "shape": shape, "scheme": scheme, "precision": precision, "deviation": deviation,
                    "bound": bound, "passed": deviation < bound,
                }  # fmt: skip
    for name, n, contrast, loads, target in images:
        row: Row = {
            "case": name,
            "shape": [n] * 3,
            "contrast": contrast,
            "target_seconds_per_load": target,
            "passed": False,
        }
        try:
            start = time.perf_counter()
            problem = two_phases(name, (n, n, n), contrast, device)
            built = time.perf_counter()
            problem.solve(np.eye(problem.size)[0])
            first = time.perf_counter()
            solutions = [problem.solve(load) for load in np.eye(problem.size)[:loads]]
            seconds = (time.perf_counter() - first) / loads
            u, _, p, w = problem._buffers()
            kernels = problem.kernels
            milliseconds = {
                "apply": best_of(lambda k=kernels, m=problem.material, u=u, w=w: k.apply(u, w, m)),
                "green": best_of(lambda k=kernels, r=problem._reference, w=w: k.green(w, r)),
                "dot": best_of(lambda k=kernels, p=p, w=w: k.dot(p, w)),
            }
            row |= {
                "seconds_per_load": seconds, "iterations": [s.iterations for s in solutions],
                "seconds_image_and_set_up": built - start, "seconds_first_load": first - built,
                "milliseconds": milliseconds,
                "bytes_per_voxel": problem.bytes_per_voxel, "mean": solutions[0].mean.tolist(),
                "hill": max(s.hill for s in solutions),
            }  # fmt: skip
            row["passed"] = seconds <= target and row["hill"] < 1e-6
            del problem, u, p, w, kernels
        except PhasefieldError as error:
            row["error"] = str(error)
        free()
        yield row


def best_of(call: Callable[[], Any], repeats: int = 5) -> float:
    """Milliseconds of the fastest of some calls, each of which waits for the device."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(1e3 * (time.perf_counter() - start))
    return min(times)


def free() -> None:
    """Gives the pool's memory back, so that the next case finds all of it."""
    gc.collect()
    if "cupy" in sys.modules:
        sys.modules["cupy"].get_default_memory_pool().free_all_blocks()


def with_graphs(on: bool) -> Backend:
    from phasefield.backend.cuda import CudaBackend

    return CudaBackend("double", graphs=on)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("check", choices=("agreement", "graphs", "large", "homogenize"))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = []
    checks = {
        "agreement": lambda: agreement("gpu"),
        "graphs": lambda: graphs(with_graphs),
        "large": lambda: large("gpu"),
        "homogenize": lambda: homogenization("gpu"),
    }
    for row in checks[options.check]():
        rows.append(row)
        print(json.dumps(row), flush=True)
        if options.json:  # at once: what was found stays if a later case fails
            options.json.parent.mkdir(parents=True, exist_ok=True)
            options.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0 if all(row["passed"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
