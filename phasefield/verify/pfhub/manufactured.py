"""Benchmarks 7a, 7b and 7c: a manufactured solution of the Allen-Cahn equation. Errors against grid and time step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from . import community
from .benchmark import Benchmark, Case, Curve, Made, Panel, Question, Runs, Table

Array = np.ndarray

_A1, _B1, _A2, _B2, _END = 0.0075, 8 * math.pi, 0.03, 22 * math.pi, 8.0
#: Thickness squared / 2 and speed of the waves.
_CONSTANTS = {"7a": (4e-4, math.pi / 16), "7b": (4e-4 / 256, math.pi / 16), "7c": (4e-4 / 256, 0.5)}
#: Cells along x of the default and of the runs in space; time steps of those in time, and their cells.
_DEFAULT, _CELLS, _STEPS, _FINE = 192, (96, 112, 128), (0.5, 0.25, 0.125), 256
_TIGHT = 0.01
#: Cells along x of the error levels of 7b and 7c, and what is allowed.
_LEVELS = {1280: 5e-3, 1536: 1e-3, 2048: 1e-4}
#: Their tolerance. The waves of 7c are faster: at 0.2 its error in time is the larger part on the finest grid, 1.0007e-4 in all.
_LOOSE = {"7b": 0.2, "7c": 0.1}
#: And how long they take.
_MINUTES = {"7b": 1.5, "7c": 3.0}


def solution(name: str, x: Array, y: Array, t: float) -> Array:
    """The field that was manufactured."""
    kappa, c2 = _CONSTANTS[name]
    alpha = 0.25 + _A1 * t * np.sin(_B1 * x) + _A2 * np.sin(_B2 * x + c2 * t)
    return 0.5 * (1 - np.tanh((y - alpha) / math.sqrt(2 * kappa)))


def error(name: str, run: Made) -> float:
    """L2 error of the last snapshot: the root of the integral of its square."""
    x, y, values = run.final("eta")
    exact = solution(name, x[:, None], y, _END)
    return float(np.sqrt(((values - exact) ** 2).sum() * (x[1] - x[0]) * (y[1] - y[0])))


def order(sizes: Array, errors: Array) -> float:
    """Exponent p of a fit errors ~ sizes^p."""
    return float(np.polyfit(np.log(sizes), np.log(errors), 1)[0])


def benchmarks() -> Iterator[Benchmark]:
    yield _refinement()
    for name in ("7b", "7c"):
        yield _levels(name)


def _shape(n: int) -> str:
    return f"grid.shape=[{n},{n // 2}]"


def _refinement() -> Benchmark:
    experiment = "experiment=pfhub/7a"
    space = [Case(f"cells_{n}", (experiment, _shape(n), f"time.tolerance={_TIGHT}")) for n in _CELLS]
    time = [
        Case(f"step_{dt:g}", (experiment, _shape(_FINE), "time.adaptive=false", f"time.dt={dt:g}")) for dt in _STEPS
    ]

    def spatial(runs: Runs) -> tuple[Array, Array]:
        """Cell sizes and errors within the window of the specification, 1e-4 to 5e-3."""
        return 1 / np.array(_CELLS), np.array([error("7a", runs[f"cells_{n}"]) for n in _CELLS])

    def temporal(runs: Runs) -> tuple[Array, Array]:
        return np.array(_STEPS), np.array([error("7a", runs[f"step_{dt:g}"]) for dt in _STEPS])

    def panels(runs: Runs) -> list[Panel]:
        made = []
        for what, column, points in (("spatial", "dx", spatial(runs)), ("temporal", "dt", temporal(runs))):
            others = [Curve(n, *c) for n, c in community.curves("7a", column, "L2_error", f"_{what}").items()]
            caption = f"7a: L2 error at t = 8 against the {'cell size' if what == 'spatial' else 'time step'}."
            curves = [*others, Curve("phasefield", *points, ours=True)]
            made.append(Panel(f"7a_{what}", caption, column, "L2 error", curves, log="xy"))
        return made

    def tables(runs: Runs) -> list[Table]:
        dx, in_space = spatial(runs)
        dt, in_time = temporal(runs)
        return [
            Table(
                "spatial",
                "spatial.csv",
                "L2 error against the cell size",
                {"mesh_size": dx, "L2_error": in_space},
                "mesh_size",
                "L2_error",
            ),
            Table(
                "temporal",
                "temporal.csv",
                "L2 error against the time step",
                {"time_step": dt, "L2_error": in_time},
                "time_step",
                "L2_error",
            ),
        ]

    questions = [
        Question(
            "7a/default",
            f"L2 error at t = 8 with the defaults on {_DEFAULT} x {_DEFAULT // 2} cells",
            "manufactured solution",
            lambda runs: error("7a", runs["default"]),
            lambda runs: 0.0,
            1e-4,
            relative=False,
            note=lambda runs: f"{runs['default'].steps} steps",
        ),
        Question(
            "7a/order in time",
            f"exponent of the L2 error against steps of {_STEPS[0]:g} to {_STEPS[-1]:g}",
            "order of etdms3",
            lambda runs: order(*temporal(runs)),
            lambda runs: 3.0,
            0.5,
            relative=False,
        ),
        Question(
            "7a/order in space",
            "exponent of the L2 error against the cell size, at least 4 (spectral: it grows as cells shrink)",
            "faster than any power",
            lambda runs: min(order(*spatial(runs)), 4.0),
            lambda runs: 4.0,
            1e-9,
            relative=False,
            note=lambda runs: f"{order(*spatial(runs)):.1f}",
        ),
    ]
    cases = (Case("default", (experiment,)), *space, *time)
    return Benchmark("7a", 0, "manufactured solution, refinement", cases, questions, panels, tables, 0.2)


def _levels(name: str) -> Benchmark:
    experiment = f"experiment=pfhub/{name}"

    def levels(runs: Runs) -> tuple[Array, Array]:
        """Real time and errors of the runs."""
        made = [runs[f"cells_{n}"] for n in _LEVELS]
        return np.array([m.seconds for m in made]), np.array([error(name, m) for m in made])

    def panels(runs: Runs) -> list[Panel]:
        caption = f"{name}: L2 error at t = 8 against the real time of the run."
        return [Panel(name, caption, "seconds", "L2 error", [Curve("phasefield", *levels(runs), ours=True)], log="xy")]

    def tables(runs: Runs) -> list[Table]:
        seconds, errors = levels(runs)
        columns = {"wall_time": seconds, "L2_error": errors, "mesh_size": 1 / np.array(list(_LEVELS))}
        return [Table("cost", "cost.csv", "L2 error against the real time", columns, "wall_time", "L2_error")]

    cases = [Case(f"cells_{n}", (experiment, _shape(n), f"time.tolerance={_LOOSE[name]:g}")) for n in _LEVELS]
    questions = [
        Question(
            f"{name}/{n} cells",
            f"L2 error at t = 8 on {n} x {n // 2} cells",
            "manufactured solution",
            _of_level(name, n),
            lambda runs: 0.0,
            allowed,
            relative=False,
            note=_note(n),
        )
        for n, allowed in _LEVELS.items()
    ]
    return Benchmark(
        name, 0, "manufactured solution, error against cost", cases, questions, panels, tables, _MINUTES[name]
    )


def _of_level(name: str, n: int) -> Callable[[Runs], float]:
    return lambda runs: error(name, runs[f"cells_{n}"])


def _note(n: int) -> Callable[[Runs], str]:
    return lambda runs: f"{runs[f'cells_{n}'].steps} steps, {runs[f'cells_{n}'].seconds:.0f} s"
