"""Benchmark 6a: a charged concentration that unmixes between two electrodes. Free energy over time."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from . import community
from .benchmark import Benchmark, Case, Curve, Made, Panel, Question, Runs, Table

Array = np.ndarray

_EXPERIMENT = "experiment=pfhub/6a"
#: Free energy of the start: its bulk and gradient part by Gauss's quadrature of the formula, 76.25946, and the electric one of
#: five-point differences on 200 x 200 and 400 x 400 cells, 106.81118 and 106.80620, extrapolated.
_START = 183.06401
_TIMES, _TIGHT, _ALLOWED = (1.0, 10.0, 100.0, 400.0), 0.01, 0.01
_FINE = 200
_LENGTH = 100.0


def benchmarks() -> Iterator[Benchmark]:
    cases = [
        Case("default", (_EXPERIMENT,)),
        Case("converged", (_EXPERIMENT, f"time.tolerance={_TIGHT}")),
        Case(f"cells_{_FINE}", (_EXPERIMENT, f"grid.shape=[{_FINE},{_FINE}]", "time.end=100")),
    ]
    start = Question(
        "6a/F(0)",
        "free energy of the start",
        "quadrature of the formula, five-point differences for the potential, extrapolated",
        lambda runs: energy(runs["default"], 0.0),
        lambda runs: _START,
        2e-4,
    )
    fine = [
        Question(
            f"6a/mesh({time:g})",
            f"free energy at t = {time:g} on 100 x 100 cells",
            f"on {_FINE} x {_FINE} cells",
            lambda runs, time=time: energy(runs["default"], time),  # type: ignore[misc]
            lambda runs, time=time: energy(runs[f"cells_{_FINE}"], time),  # type: ignore[misc]
            _ALLOWED,
        )
        for time in (10.0, 100.0)
    ]
    questions = [start, *map(_question, _TIMES), *fine]
    title = "spinodal decomposition of a charged concentration between two electrodes"
    yield Benchmark("6a", 0, title, cases, questions, partial(_panels, title), _tables, 0.4)


def energies(run: Made) -> Array:
    """The energy that the benchmark asks for, with half of k c Phi: of what the electrodes do, half as much as the model has."""
    return np.asarray(run.values("free_energy") - 0.5 * run.values("free_energy_electrodes"))


def energy(run: Made, time: float) -> float:
    """The same at a time."""
    return float(np.interp(time, run.time, energies(run)))


def _question(time: float) -> Question:
    return Question(
        f"6a/F({time:g})",
        f"free energy at t = {time:g} with the defaults",
        f"the same at a tolerance of {_TIGHT:g}",
        lambda runs: energy(runs["default"], time),
        lambda runs: energy(runs["converged"], time),
        _ALLOWED,
        note=lambda runs: community.spread("6a", time),
    )


def _panels(title: str, runs: Runs) -> list[Panel]:
    others = [Curve(label, x, y) for label, (x, y) in community.curves("6a").items()]
    ours = Curve("phasefield", runs["default"].time, energies(runs["default"]), ours=True)
    return [
        Panel(
            "6a",
            f"6a: {title}. Free energy over time, uploads of the community thin.",
            "time",
            "free energy",
            [*others, ours],
            log="x",
        )
    ]


def _tables(runs: Runs) -> list[Table]:
    run = runs["default"]
    columns = {
        "time": run.time,
        "free_energy": energies(run),
        "total_solute": run.values("mean_c") * _LENGTH**2,
    }
    made = [Table("free_energy", "free_energy_6a.csv", "free energy over time", columns, "time", "free_energy")]
    x, y, c = run.final("c")
    phi = _potential(c)
    for name, at, along, pick in (("x", x, y, _row), ("y", y, x, _column)):
        other = "y" if name == "x" else "x"
        cut = {other: along, "concentration": pick(c, at), "potential": pick(phi, at)}
        what = f"concentration and potential at t = 400 along {name} = {_LENGTH / 2:g}"
        made.append(Table(f"cut_{name}", f"cut_{name}_6a.csv", what, cut, other, "potential"))
    return made


def _row(values: Array, at: Array) -> Array:
    return np.asarray([np.interp(_LENGTH / 2, at, line) for line in values.T])


def _column(values: Array, at: Array) -> Array:
    return _row(values.T, at)


def _potential(c: Array) -> Array:
    """Phi in cells."""
    from ... import config
    from ...models.electric import potential
    from ...problem import build_model

    spec = config.to_spec(config.compose([_EXPERIMENT, f"grid.shape={list(c.shape)}"]))
    return potential(build_model(spec).settings["electric"], spec.grid.build(), {"c": c})
