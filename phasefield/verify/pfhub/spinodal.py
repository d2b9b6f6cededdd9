"""Benchmarks 1a and 1b: spinodal decomposition; 2a and 2b: Ostwald ripening. Free energy over time."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from . import community
from .benchmark import Benchmark, Case, Curve, Panel, Question, Runs, Table

#: Names and titles; how far the run and its converged one go; times at which they are compared; minutes.
_SQUARES = {
    "1a": ("spinodal decomposition, periodic square", 10000.0, 10000.0, (1.0, 10.0, 100.0, 1000.0, 10000.0), 0.3),
    "1b": ("spinodal decomposition, square without flux", 10000.0, 10000.0, (1.0, 10.0, 100.0, 1000.0, 10000.0), 0.3),
    "2a": ("Ostwald ripening, periodic square", 1000.0, 100.0, (1.0, 10.0, 100.0), 1.0),
    "2b": ("Ostwald ripening, square without flux", 1000.0, 100.0, (1.0, 10.0, 100.0), 1.5),
}
#: Tolerance of the converged run. What is allowed at the default tolerance, 0.05, of the rates.
_TIGHT, _ALLOWED = 0.01, 0.01
#: What PRISMS-PF's application CHiMaD_benchmark2a has at two times: without flux, with every pair of variants counted once, on
#: 192 x 192 linear elements in steps of 0.001; and what is allowed of it.
_PRISMS, _NEAR = {1.0: 3486.538997, 5.0: 2794.077052}, 0.002


def benchmarks() -> Iterator[Benchmark]:
    for name, (title, end, far, times, minutes) in _SQUARES.items():
        experiment = f"experiment=pfhub/{name}"
        cases = [
            Case("default", (experiment, f"time.end={end:g}")),
            Case("converged", (experiment, f"time.end={far:g}", f"time.tolerance={_TIGHT}")),
        ]
        questions = [_question(name, time) for time in times]
        if name == "2b":
            cases.append(Case("pairs_once", (experiment, "model.parameters.alpha=2.5", f"time.end={max(_PRISMS):g}")))
            questions += [_against_prisms(time, energy) for time, energy in _PRISMS.items()]
        yield Benchmark(
            name,
            1,
            title,
            cases,
            questions,
            _panels(name, title),
            _tables(name),
            minutes,
        )


def _question(name: str, time: float) -> Question:
    return Question(
        f"{name}/F({time:g})",
        f"free energy at t = {time:g} with the defaults",
        f"the same at a tolerance of {_TIGHT:g}",
        lambda runs: runs["default"].at(time),
        lambda runs: runs["converged"].at(time),
        _ALLOWED,
        note=lambda runs: community.spread(name, time),
    )


def _against_prisms(time: float, energy: float) -> Question:
    return Question(
        f"2b/PRISMS-PF({time:g})",
        f"free energy at t = {time:g} with every pair of variants counted once",
        "PRISMS-PF, 192 x 192 linear elements",
        lambda runs: runs["pairs_once"].at(time),
        lambda runs: energy,
        _NEAR,
    )


def _panels(name: str, title: str) -> Callable[[Runs], list[Panel]]:
    def made(runs: Runs) -> list[Panel]:
        others = [Curve(label, x, y) for label, (x, y) in community.curves(name).items()]
        ours = Curve("phasefield", runs["default"].time, runs["default"].values("free_energy"), ours=True)
        caption = f"{name}: {title}. Free energy over time, uploads of the community thin."
        return [Panel(name, caption, "time", "free energy", [*others, ours], log="x")]

    return made


def _tables(name: str) -> Callable[[Runs], list[Table]]:
    def made(runs: Runs) -> list[Table]:
        run = runs["default"]
        columns = {"time": run.time, "free_energy": run.values("free_energy")}
        return [
            Table("free_energy", f"free_energy_{name}.csv", "free energy over time", columns, "time", "free_energy")
        ]

    return made
