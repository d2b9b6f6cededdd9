"""Work against precision of every scheme on PFHub 1a (periodic, band-limited start) and 1b (no-flux) up to t = 100.

Every scheme runs over tolerances and fixed steps; the free energy at t = 1, 10 and 100 is compared with a reference, the pairs of
transforms are counted and the stepping is timed. Building, compiling and planning are not timed: every run is made once, short,
before it is timed. Writes a JSON file and a picture.

python scripts/work_precision.py [--quick] [--out docs/results] [--schemes etdms3 etdms2 ...]
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from phasefield.api import spec_of
from phasefield.errors import PhasefieldError
from phasefield.integrators import SCHEMES
from phasefield.simulation import Simulation

TIMES = (1.0, 10.0, 100.0)
LENGTH, WELLS, RHO, KAPPA, MOBILITY = 200.0, (0.3, 0.7), 5.0, 2.0, 5.0
TOLERANCES = (0.2, 0.05, 0.02, 5e-3, 1e-3, 2e-4)
STEPS = (1.0, 0.5, 0.25, 0.1, 0.05)
#: A run with more pairs than this is given up.
MOST_PAIRS = 20_000


@dataclass
class Point:
    """One run: its setting, what it cost and the relative error of the free energy at every one of `TIMES`."""

    solver: str
    setting: str
    pairs: int
    steps: int
    rejected: int
    seconds: float
    errors: list[float]

    @property
    def error(self) -> float:
        return math.nan if any(map(math.isnan, self.errors)) else max(self.errors)


def band_limited_start(n: int) -> np.ndarray:
    """The initial formula of PFHub 1a at 400 x 400 nodes, cut to the modes of ``n`` x ``n``: all grids solve one problem."""
    fine = 400
    x, y = np.meshgrid(*(2 * [np.arange(fine) * LENGTH / fine]), indexing="ij")
    bracket = np.cos(0.105 * x) * np.cos(0.11 * y) + (np.cos(0.13 * x) * np.cos(0.087 * y)) ** 2
    c = 0.5 + 0.01 * (bracket + np.cos(0.025 * x - 0.15 * y) * np.cos(0.07 * x - 0.02 * y))
    modes = np.fft.fftshift(np.fft.fft2(c))
    low, high = fine // 2 - n // 2 + 1, fine // 2 + n // 2
    kept = np.zeros((n, n), complex)
    kept[1:, 1:] = modes[low:high, low:high]
    return np.asarray(np.fft.ifft2(np.fft.ifftshift(kept)).real * (n / fine) ** 2)


def build(problem: str, n: int, scheme: str, setting: tuple[str, float], folder: Path) -> Simulation:
    """A simulation of PFHub ``problem`` on ``n`` x ``n`` cells with an adaptive (``tol``) or fixed (``dt``) step."""
    overrides = [f"experiment=pfhub/{problem}", f"grid.shape=[{n},{n}]", f"time.scheme={scheme}", "device=cpu"]
    if problem == "1a":
        path = folder / f"start_{n}.npy"
        if not path.exists():
            np.save(path, band_limited_start(n))
        overrides.append(f"initial.c={{kind: file, path: {path}}}")
    kind, value = setting
    overrides += [f"time.tolerance={value}"] if kind == "tol" else ["time.adaptive=false", f"time.dt={value}"]
    return Simulation(spec_of(*overrides, "output.observables=[free_energy]"))


def measure(sim: Simulation) -> tuple[list[float], int, float]:
    """Free energies at `TIMES`, pairs of transforms and seconds of stepping; NaN from where the run broke down."""
    each = 1 + len(sim.scheme.stages)
    pairs, energies = 0, []
    seconds = 0.0
    for target in TIMES:
        start = time.perf_counter()
        try:
            while sim.carry.t < target and pairs < MOST_PAIRS:
                sim.advance(target)
                pairs = each * (sim.carry.step + sim.rejected)
        except PhasefieldError:
            break
        seconds += time.perf_counter() - start
        if sim.carry.t < target:
            break
        energies.append(sim.observe(sim.carry)[1]["free_energy"])
    return energies + [math.nan] * (len(TIMES) - len(energies)), pairs, seconds


def reference(problem: str, n: int, folder: Path, tolerances: tuple[float, float]) -> tuple[list[float], float]:
    """Free energies with etdms4 on the same grid, and the largest relative difference to a run with a larger tolerance."""
    loose, tight = (measure(build(problem, n, "etdms4", ("tol", tol), folder))[0] for tol in tolerances)
    return tight, max(abs(a / b - 1) for a, b in zip(loose, tight, strict=True))


def all_settings(quick: bool) -> list[tuple[str, float]]:
    """Tolerances and fixed steps of the diagram."""
    settings = [("tol", v) for v in TOLERANCES[: 2 if quick else None]]
    return settings + [("dt", v) for v in STEPS[: 1 if quick else None]]


def points_of(
    problem: str, n: int, scheme: str, exact: list[float], folder: Path, settings: list[tuple[str, float]]
) -> Iterator[Point]:
    """Runs of a scheme, one after the other."""
    for kind in dict.fromkeys(kind for kind, _ in settings):  # compiles, plans and warms up
        warm = build(problem, n, scheme, (kind, 1e-3), folder)
        for _ in range(5):
            warm.advance(TIMES[-1])
    for setting in settings:
        sim = build(problem, n, scheme, setting, folder)
        energies, pairs, seconds = measure(sim)
        errors = [abs(a / b - 1) for a, b in zip(energies, exact, strict=True)]
        name = f"{setting[0]}={setting[1]:g}"
        yield Point(scheme, name, pairs, sim.carry.step, sim.rejected, seconds, errors)


# ---------------------------------------------------------------------------------------------------------------------
# Others, for comparison.


def _energy(c: np.ndarray, k2: np.ndarray) -> float:
    """Free energy of periodic cells."""
    a, b = WELLS
    modes = np.fft.fft2(c) / c.size
    bulk = np.mean(RHO * (c - a) ** 2 * (b - c) ** 2)
    return float(LENGTH**2 * (bulk + KAPPA / 2 * np.sum(k2 * np.abs(modes) ** 2)))


def _wavenumbers(n: int) -> np.ndarray:
    k = 2 * np.pi * np.fft.fftfreq(n, LENGTH / n)
    return np.asarray(k[:, None] ** 2 + k**2)


def numpy_sbdf2(n: int, dt: float, exact: list[float]) -> Point:
    """What one writes in twenty lines: stabilised SBDF2 with numpy's rfft2."""
    k2 = _wavenumbers(n)
    half, stabilizer = k2[:, : n // 2 + 1], 1.6
    linear, (a, b) = -MOBILITY * half * (stabilizer + KAPPA * half), WELLS

    def slope(u: np.ndarray) -> np.ndarray:
        c = np.fft.irfft2(u, s=(n, n))
        force = 2 * RHO * (c - a) * (b - c) * (a + b - 2 * c) - stabilizer * c
        return np.asarray(-MOBILITY * half * np.fft.rfft2(force))

    u = np.fft.rfft2(band_limited_start(n))
    u_old = n_old = u
    energies, step, start, seconds = [], 0, time.perf_counter(), 0.0
    while len(energies) < len(TIMES):
        now = slope(u)
        if step == 0:
            new = (u + dt * now) / (1 - dt * linear)
        else:
            new = (2 * u - u_old / 2 + dt * (2 * now - n_old)) / (1.5 - dt * linear)
        u, u_old, n_old, step = new, u, now, step + 1
        if step * dt >= TIMES[len(energies)] * (1 - 1e-9):
            seconds += time.perf_counter() - start
            energies.append(_energy(np.fft.irfft2(u, s=(n, n)), k2))
            start = time.perf_counter()
    errors = [abs(e / r - 1) for e, r in zip(energies, exact, strict=True)]
    return Point("numpy SBDF2", f"dt={dt:g}", step, step, 0, seconds, errors)


def exponax_etdrk(n: int, dt: float, exact: list[float], order: int = 2) -> Point:
    """exponax's Cahn-Hilliard stepper (ETDRK of order 2 or 4, no stabiliser, no dealiasing) in double precision.

    With c = m + h v, m the middle and h half the distance of the wells: v_t = 4 M rho h^2 lap(v^3 - v - kappa/(4 rho h^2) lap v).
    """
    import exponax
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    middle, half = sum(WELLS) / 2, (WELLS[1] - WELLS[0]) / 2
    curvature = 4 * RHO * half**2
    stepper = exponax.stepper.reaction.CahnHilliard(
        2,
        LENGTH,
        n,
        dt,
        diffusivity=MOBILITY * curvature,
        gamma=KAPPA / curvature,
        order=order,
        dealiasing_fraction=1.0,
    )
    energies, seconds, t, steps = [], 0.0, 0.0, 0
    advance = jax.jit(lambda u, count: jax.lax.fori_loop(0, count, lambda _, v: stepper(v), u))
    u = (jnp.asarray(band_limited_start(n))[None] - middle) / half
    advance(u, 1).block_until_ready()
    for target, truth in zip(TIMES, exact, strict=True):
        count = round((target - t) / dt)
        start = time.perf_counter()
        u = advance(u, count).block_until_ready()
        seconds += time.perf_counter() - start
        steps, t = steps + count, target
        energies.append(abs(_energy(middle + half * np.asarray(u[0]), _wavenumbers(n)) / truth - 1))
    return Point(f"exponax ETDRK{order}", f"dt={dt:g}", order * steps, steps, 0, seconds, energies)


def peers(n: int, exact: list[float], quick: bool) -> Iterator[Point]:
    """Other solvers on the periodic problem; those that are not installed are left out."""
    for dt in STEPS[1 : 2 if quick else None]:
        yield numpy_sbdf2(n, dt, exact)
    if importlib.util.find_spec("exponax"):
        for dt in STEPS[1 : 2 if quick else None]:
            yield exponax_etdrk(n, dt, exact)
            yield exponax_etdrk(n, dt, exact, 4)


#: Free energy of the band-limited 1a problem at `TIMES`, converged in space and time; runs are ``(grid, scheme, tolerance)``.
CONVERGED = (318.8582002, 297.9673703, 136.812952)
RACE = {1e-3: [(108, "etdms3", 0.2), (128, "etdms3", 0.05)], 1e-5: [(160, "etdms3", 2e-3), (160, "etdms4", 0.05)]}
RACE_PEERS = {1e-3: (128, 2, 0.25, 0.1), 1e-5: (160, 4, 0.25, 0.01)}


def race(folder: Path, rounds: int) -> Iterator[tuple[float, int, Point, float]]:
    """Seconds to 1e-3 and 1e-5 of the converged solution, grid included: target, grid, median run and its spread."""
    exact = list(CONVERGED)
    for target, runs in RACE.items():
        jobs: list[tuple[int, Any]] = [(n, partial(_mine, n, scheme, tol, folder)) for n, scheme, tol in runs]
        n, order, step, other = RACE_PEERS[target]
        jobs.append((n, partial(numpy_sbdf2, n, other, exact)))
        if importlib.util.find_spec("exponax"):
            jobs.append((n, partial(exponax_etdrk, n, step, exact, order)))
        found: list[list[Point]] = [[job() for _, job in jobs] for _ in range(rounds)]
        for i, (grid, _) in enumerate(jobs):
            points = sorted((run[i] for run in found), key=lambda p: p.seconds)
            yield target, grid, points[rounds // 2], points[-1].seconds - points[0].seconds


def _mine(n: int, scheme: str, tolerance: float, folder: Path) -> Point:
    return next(points_of("1a", n, scheme, list(CONVERGED), folder, [("tol", tolerance)]))


# ---------------------------------------------------------------------------------------------------------------------


def draw(results: dict[str, list[Point]], path: Path) -> None:
    """Error against seconds, a panel per problem: lines for tolerances, dotted for fixed steps, crosses for others."""
    figure = Figure(figsize=(11, 4.8), layout="constrained")
    for axes, (problem, points) in zip(
        figure.subplots(1, len(results), squeeze=False)[0], results.items(), strict=True
    ):
        for color, scheme in enumerate(SCHEMES):
            for kind, style in (("tol", "o-"), ("dt", "s:")):
                mine = [
                    p for p in points if p.solver == scheme and p.setting.startswith(kind) and math.isfinite(p.error)
                ]
                label = scheme if kind == "tol" else None
                axes.plot(
                    [p.seconds for p in mine], [p.error for p in mine], style, c=f"C{color}", ms=3.5, lw=1, label=label
                )
        for marker, other in zip(
            "x+*", dict.fromkeys(p.solver for p in points if p.solver not in SCHEMES), strict=False
        ):
            mine = [p for p in points if p.solver == other and math.isfinite(p.error)]
            axes.plot([p.seconds for p in mine], [p.error for p in mine], f"k{marker}", label=other)
        axes.set(xscale="log", yscale="log", xlabel="seconds of stepping", title=f"PFHub {problem} to t = 100")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7.5)
    figure.axes[0].set_ylabel("largest relative error of the free energy")
    figure.savefig(path, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a small grid and few runs")
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    parser.add_argument("--schemes", nargs="+", default=list(SCHEMES), choices=SCHEMES)
    options = parser.parse_args()
    grids = {"1a": 64, "1b": 64} if options.quick else {"1a": 128, "1b": 128}
    results: dict[str, list[Point]] = {}
    doubts: dict[str, float] = {}
    with TemporaryDirectory() as name:
        folder = Path(name)
        for problem, n in grids.items():
            exact, doubts[problem] = reference(problem, n, folder, (1e-2, 1e-3) if options.quick else (2e-4, 2e-5))
            print(f"{problem} {n}x{n}: F = {exact}, uncertain by {doubts[problem]:.1e}", flush=True)
            results[problem] = []
            settings = all_settings(options.quick)
            runs = [points_of(problem, n, s, exact, folder, settings) for s in options.schemes]
            for point in (p for run in [*runs, peers(n, exact, options.quick) if problem == "1a" else ()] for p in run):
                results[problem].append(point)
                print(
                    f"{point.solver:15s} {point.setting:10s} {point.pairs:6d} pairs {point.rejected:4d} rejected "
                    f"{point.seconds:8.4f} s  {' '.join(f'{e:.1e}' for e in point.errors)}",
                    flush=True,
                )
        races = [] if options.quick else list(race(folder, 5))
        for target, grid, point, spread in races:
            print(
                f"to {target:g}: {point.solver:15s} {grid}x{grid} {point.setting:10s} {point.pairs:6d} pairs "
                f"{point.seconds:8.4f} s (spread {spread:.4f})  worst error {point.error:.1e}",
                flush=True,
            )
    options.out.mkdir(parents=True, exist_ok=True)
    content: dict[str, Any] = {
        problem: {"grid": grids[problem], "uncertainty": doubts[problem], "points": [asdict(p) for p in points]}
        for problem, points in results.items()
    }
    content["race"] = [{"target": target, "grid": grid, **asdict(p), "spread": s} for target, grid, p, s in races]
    (options.out / "work_precision.json").write_text(json.dumps(content, indent=1))
    draw(results, options.out / "work_precision.png")


if __name__ == "__main__":
    main()
