"""Checks of the GPU that are too large or too slow for tests; each prints a line per case and writes JSON.

    python scripts/gpu_checks.py agreement --json agreement.json   # CPU and GPU after 100 steps
    python scripts/gpu_checks.py graphs --json graphs.json         # graphs against plain launches: bits and times
    python scripts/gpu_checks.py large --json large.json           # grids that fill the card, against a coarse grid on the CPU
    python scripts/gpu_checks.py homogenize --json homogenize.json # effective properties: CPU and GPU, and times of large images
    python scripts/gpu_checks.py pairs --json pairs.json           # the bare pair of transforms by the length of its rows
    python scripts/gpu_checks.py profile --json profile.json       # what each operation of a step and of a solve takes

The exit status is 0 only if every case is within its bounds.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import sympy as sp
from waves import Problem, chirp, filled, release

from phasefield.api import spec_of
from phasefield.backend import Apply, Backend, Layout, cells_of, select, traffic
from phasefield.errors import PhasefieldError
from phasefield.grid import Grid
from phasefield.mechanics import tensors
from phasefield.mechanics.cell import CellProblem
from phasefield.mechanics.options import Options
from phasefield.simulation import Simulation

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
#: Grids, to tell what a step costs on the host.
GRAPHS = ([64, 64], [128, 128], [256, 256], [512, 512], [1024, 1024], [32] * 3, [64] * 3, [128] * 3)
LARGE = ((1536, "double", "imex1"), (2048, "single", "imex1"), (1536, "double", "etdms2"))
#: Cells per axis, precision, scheme, adaptive: whose operations are timed one by one.
PROFILED = ((512, "single", "imex1", False), (512, "double", "imex1", False), (512, "double", "etdms3", True))
#: Property, voxels per axis, contrast of two random phases, loads, seconds that a load may take.
IMAGES = (("stiffness", 256, 10.0, 6, 2.0 / 6), ("conductivity", 512, 100.0, 3, 2.0))
#: Discretisation, grid and precisions of solutions that are compared with the CPU's.
COMPARED = (
    ("q1", (48, 45, 40), ("double", "single")),
    ("rotated", (48, 45, 40), ("double",)),
    ("q1", (128, 96), ("double",)),
)
STEPS = 100

Row = dict[str, Any]


def run(spec: Any, backend: Backend, steps: int) -> Simulation:
    sim = Simulation(spec, backend=backend)
    for _ in range(steps):
        sim.advance(1e6)
    return sim


def agreement(device: str, cases: Any = AGREEMENT, steps: int = STEPS) -> Iterator[Row]:
    """Largest deviation of the cells from the CPU's, over the largest cell."""
    for name, overrides in cases.items():
        for precision, adaptive, bound in (("double", True, 1e-10), ("double", False, 1e-10), ("single", False, 1e-4)):
            spec = spec_of(
                "time.end=1e6", "time.dt=0.01", "time.tolerance=1e-3", f"time.adaptive={adaptive}",
                f"precision={precision}", *overrides,
            )  # fmt: skip
            cells = []
            for kind in ("cpu", device):
                sim = run(spec, select(kind, precision), steps)  # type: ignore[arg-type]
                cells.append(cells_of(sim.layout, sim.backend.to_host(sim.observe(sim.carry)[0])))
            deviation = float(np.abs(cells[1] - cells[0]).max() / np.abs(cells[0]).max())
            yield {
                "case": name, "precision": precision, "adaptive": adaptive, "steps": steps,
                "deviation": deviation, "bound": bound, "passed": deviation < bound,
            }  # fmt: skip


def graphs(make: Callable[[bool], Backend], shapes: Any = GRAPHS, steps: int = STEPS) -> Iterator[Row]:
    """Microseconds per step with graphs and with plain launches, which have to give the same bits."""
    for shape in shapes:
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
                for _ in range(steps):
                    sim.advance(1e6)
                sim.backend.synchronize()
                micro["graphs" if on else "plain"] = 1e6 * (time.perf_counter() - start) / steps
                states.append(sim.backend.to_host(sim.carry.u).tobytes())
            yield {"shape": shape, "adaptive": adaptive, "us_per_step": micro, "passed": states[0] == states[1]}


class Waves(Problem):
    """A problem made of a few long waves, so that any grid has the same energies and amplitudes.

    Their energies are sums over all cells, so an index that goes astray in a large grid shows in them.
    """

    def __init__(self, n: int, precision: str, scheme: str, backend: Backend) -> None:
        spec = spec_of(
            "model=cahn_hilliard", f"grid.shape={[n] * 3}", "grid.length=[20,20,20]", "time.adaptive=false",
            "time.dt=0.05", "time.end=1e6", f"time.scheme={scheme}", f"precision={precision}",
        )  # fmt: skip
        x, y, z = (sp.cos(2 * sp.pi / 20 * s) for s in sp.symbols("x y z", real=True))
        super().__init__(spec, backend, sp.Float(0.5) + sp.Float(0.1) * (x + y * z) + sp.Float(0.05) * x * y)
        self.mean = self.modes()[0, 0, 0]

    def modes(self) -> np.ndarray:
        """The longest modes' amplitudes; phases depend on where the cells' centres are."""
        corner = self.backend.to_host(self.carry.u[:1, :3, :3, :6])[0]
        return np.hypot(corner[..., ::2], corner[..., 1::2])

    def energy(self) -> float:
        """The bulk energy after one more step."""
        self.step(0.05)
        return self.carry.energies["bulk"]


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
            energies = [abs(waves.energy() / reference.energy() - 1) for _ in range(steps)]
            backend.synchronize()
            start = time.perf_counter()
            for _ in range(steps):
                waves.energy()
            backend.synchronize()
            seconds = (time.perf_counter() - start) / steps
            for _ in range(steps):
                reference.energy()
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
        release(device)
        yield row


def two_phases(name: str, shape: tuple[int, ...], contrast: float, device: str, **options: Any) -> CellProblem:
    """Voxels of two phases at random."""
    index = np.random.default_rng(1).integers(0, 2, shape, dtype=np.int32)
    soft = tensors.isotropic_stiffness(1.0, 1.0) if name == "stiffness" else np.eye(3)
    table = np.stack([soft, contrast * soft])
    return CellProblem(index, table, (1.0,) * len(shape), Options(device=device, **options))


def homogenization(device: str, images: Any = IMAGES, compared: Any = COMPARED) -> Iterator[Row]:
    """Mean stress or flux against the CPU's, and seconds a load on large images, at a tolerance of 1e-6."""
    for name in ("stiffness", "conductivity"):
        for scheme, shape, precisions in compared:
            for precision in precisions:
                bound = {"double": 1e-8, "single": 1e-3}[precision]
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
            u, _, p, w = problem.workspace.fields()
            operators = problem.operators
            milliseconds = {
                "apply": best_of(lambda k=operators, m=problem.tensors, u=u, w=w: k.apply(u, w, m)),
                "green": best_of(lambda k=operators, r=problem.preconditioner.reference, w=w: k.green(w, r)),
                "dot": best_of(lambda k=operators, p=p, w=w: k.dot(p, w)),
            }
            row |= {
                "seconds_per_load": seconds, "iterations": [s.iterations for s in solutions],
                "seconds_image_and_set_up": built - start, "seconds_first_load": first - built,
                "milliseconds": milliseconds,
                "bytes_per_voxel": problem.bytes_per_voxel, "mean": solutions[0].mean.tolist(),
                "hill": max(s.hill for s in solutions),
            }  # fmt: skip
            row["passed"] = seconds <= target and row["hill"] < 1e-6
            del problem, u, p, w, operators
        except PhasefieldError as error:
            row["error"] = str(error)
        release(device)
        yield row


def pairs(backend: Any, n: int = 512, rows: Sequence[int] = (514, 528, 544), repeats: int = 20) -> Iterator[Row]:
    """Milliseconds of a forward and an inverse transform, in place with rows of some lengths and out of place.

    cuFFT's passes along the other axes stride by whole rows, and not every stride suits the memory.
    """
    kind = np.result_type(np.dtype(backend.dtype), np.complex64)
    for row, apart in (*((row, False) for row in rows), (rows[0], True)):
        forward, inverse = (backend.plan((n, n, n), 1, direction, row) for direction in (True, False))
        layout = Layout(Grid((n, n, row - 2), (1.0,) * 3, ("periodic",) * 3))
        cells = filled(backend, layout, chirp(3), transform=False)
        other = backend.buffer(layout, 1) if apart else cells
        modes = other.view(kind)

        def pair(cells: Any = cells, modes: Any = modes, forward: Any = forward, inverse: Any = inverse) -> None:
            with backend.stream:
                forward.fft(cells, modes, -1)
                inverse.fft(modes, cells, 1)
            backend.synchronize()

        for _ in range(2):
            pair()
        yield {
            "shape": [n] * 3, "precision": backend.precision, "row": row, "in_place": not apart,
            "milliseconds": best_of(pair, repeats), "passed": True,
        }  # fmt: skip
        del cells, other, modes, forward, inverse, pair
        release("gpu")


def profile(make: Callable[[str], Any], cases: Any = PROFILED, repeats: int = 10) -> Iterator[Row]:
    """Milliseconds and registers of every operation of a step, launched one by one."""
    for n, precision, scheme, adaptive in cases:
        backend = make(precision)
        spec = spec_of(
            "model=cahn_hilliard", f"grid.shape={[n] * 3}", f"time.adaptive={adaptive}", "time.dt=0.01", "time.end=1e6",
            f"time.scheme={scheme}", f"precision={precision}",
        )  # fmt: skip
        problem = Problem(spec, backend, chirp(3))
        program = problem.integrator._method.update
        times: list[list[float]] = [[] for _ in program._steps]

        def timed(step: Any, found: list[float], backend: Any = backend) -> Callable[[Any, Any], None]:
            def run(arrays: Any, scalars: Any) -> None:
                backend.synchronize()
                start = time.perf_counter()
                step(arrays, scalars)
                backend.synchronize()
                found.append(1e3 * (time.perf_counter() - start))

            return run

        program._recorder.recording = False
        program._steps = [timed(step, found) for step, found in zip(program._steps, times, strict=True)]
        for _ in range(repeats):
            problem.step()
        kernels = iter(program.kernels)
        operations = []
        for operation, found in zip(program.operations, times, strict=True):
            kernel = next(kernels) if isinstance(operation, Apply) else None
            moved = traffic(problem.layout, [operation]) * problem.grid.cells * np.dtype(backend.dtype).itemsize
            operations.append(
                {
                    "operation": kernel.kernel.name if kernel else type(operation).__name__.lower(),
                    "registers": kernel.registers if kernel else None,
                    "milliseconds": sorted(found)[len(found) // 2],
                    "bytes": moved,
                }
            )
        row = {"shape": [n] * 3, "precision": precision, "scheme": scheme, "adaptive": adaptive}
        yield row | {"operations": operations, "passed": True}
        del problem, program, backend, kernels
        release("gpu")


def best_of(call: Callable[[], Any], repeats: int = 5) -> float:
    """Milliseconds of the fastest of some calls, each of which waits for the device."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(1e3 * (time.perf_counter() - start))
    return min(times)


def with_graphs(on: bool) -> Backend:
    from phasefield.backend.cuda import CudaBackend

    return CudaBackend("double", graphs=on)


CHECKS: dict[str, Callable[[], Iterator[Row]]] = {
    "agreement": lambda: agreement("gpu"),
    "graphs": lambda: graphs(with_graphs),
    "large": lambda: large("gpu"),
    "homogenize": lambda: homogenization("gpu"),
    "pairs": lambda: itertools.chain.from_iterable(pairs(select("gpu", p)) for p in ("single", "double")),
    "profile": lambda: profile(lambda precision: select("gpu", precision)),  # type: ignore[arg-type]
}


def parser() -> argparse.ArgumentParser:
    out = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    out.add_argument("check", choices=list(CHECKS))
    out.add_argument("--json", type=Path)
    return out


def main() -> int:
    options = parser().parse_args()
    rows = []
    for row in CHECKS[options.check]():
        rows.append(row)
        print(json.dumps(row), flush=True)
        if options.json:  # at once: what was found stays if a later case fails
            options.json.parent.mkdir(parents=True, exist_ok=True)
            options.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0 if all(row["passed"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
