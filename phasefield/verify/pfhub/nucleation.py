"""Benchmarks 8a and 8b: one nucleus about the critical radius, and 25 at random places. Solid fraction over time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from . import community
from .benchmark import Benchmark, Case, Curve, Panel, Question, Runs, Table

Array = np.ndarray

#: Radii of 8a in critical radii, 5, in the order of its files.
_RADII = (0.99, 1.00, 1.01)
_TIGHT = 0.01
#: Of 8b: realisations, nuclei, their radius and the edge of the square, in critical radii; cells.
_REALISATIONS, _NUCLEI, _RADIUS, _EDGE, _CELLS = 10, 25, 2.2, 500.0, 500
_FRACTION = "mean_eta"


def benchmarks() -> Iterator[Benchmark]:
    yield _critical()
    yield _many()


def _critical() -> Benchmark:
    def case(name: str, radius: float, *more: str) -> Case:
        return Case(name, ("experiment=pfhub/8a", f"model.parameters.r0={5 * radius:g}", *more))

    cases = [case(f"radius_{r:.2f}", r) for r in _RADII]
    cases += [
        case("converged_0.99", 0.99, f"time.tolerance={_TIGHT}"),
        case("converged_1.01", 1.01, f"time.tolerance={_TIGHT}"),
    ]
    cases += [case("cells_125", 1.01, "grid.shape=[125,125]"), case("cells_500", 1.01, "grid.shape=[500,500]")]

    def panels(runs: Runs) -> list[Panel]:
        curves = []
        for r in _RADII:
            theirs = community.curves("8a", y="solid_fraction", end=f"_{r:.2f}")
            curves += [Curve(f"{label}, {r:.2f} r*", x, y) for label, (x, y) in theirs.items()]
            run = runs[f"radius_{r:.2f}"]
            curves.append(Curve(f"phasefield, {r:.2f} r*", run.time, run.values(_FRACTION), ours=True))
        return [
            Panel(
                "8a",
                "8a: solid fraction over time, nuclei of 0.99, 1 and 1.01 critical radii.",
                "time",
                "solid fraction",
                curves,
            )
        ]

    def tables(runs: Runs) -> list[Table]:
        made = []
        for number, r in enumerate(_RADII, start=1):
            run = runs[f"radius_{r:.2f}"]
            columns = {"time": run.time, "fraction": run.values(_FRACTION), "energy": run.values("free_energy")}
            what = f"solid fraction and energy over time, {r:.2f} r*"
            made.append(Table(f"data_{number}", f"data_{number}.csv", what, columns, "time", "fraction"))
        for number, name in enumerate(("radius_0.99", "radius_1.00", "radius_1.01", "cells_125"), start=1):
            x, y, phi = runs[name].final("eta")
            left, right = np.meshgrid(x, y, indexing="ij")
            columns = {"x": left.ravel(), "y": right.ravel(), "phi": phi.ravel()}
            made.append(
                Table(
                    f"phase_field_{number}",
                    f"data_phase_field_{number}.csv",
                    f"field at t = 200, {name}",
                    columns,
                    "x",
                    "y",
                )
            )
        return made

    questions = [
        Question(
            "8a/0.99",
            "solid fraction at t = 200 from 0.99 critical radii: it dissolves",
            "classical nucleation",
            lambda runs: runs["radius_0.99"].at(200.0, _FRACTION),
            lambda runs: 0.0,
            1e-6,
            relative=False,
        ),
        Question(
            "8a/0.99 dissolves",
            "when its fraction has halved",
            f"the same at a tolerance of {_TIGHT:g}",
            lambda runs: _halved(runs, "radius_0.99"),
            lambda runs: _halved(runs, "converged_0.99"),
            0.01,
        ),
        Question(
            "8a/1.01 grows",
            "solid fraction at t = 200 from 1.01 critical radii",
            f"the same at a tolerance of {_TIGHT:g}",
            lambda runs: runs["radius_1.01"].at(200.0, _FRACTION),
            lambda runs: runs["converged_1.01"].at(200.0, _FRACTION),
            0.02,
            note=lambda runs: (
                f"fraction at t = 100 {runs['radius_1.01'].at(100.0, _FRACTION):.4g}, upload of finite volumes 0.01647"
            ),
        ),
        Question(
            "8a/mesh",
            "the same on 250 x 250 cells",
            "on 500 x 500 cells",
            lambda runs: runs["radius_1.01"].at(200.0, _FRACTION),
            lambda runs: runs["cells_500"].at(200.0, _FRACTION),
            0.02,
        ),
    ]
    return Benchmark("8a", 1, "one nucleus about the critical radius", cases, questions, panels, tables, 0.3)


def _halved(runs: Runs, name: str) -> float:
    fraction = runs[name].values(_FRACTION)
    return float(np.interp(-0.5 * fraction[0], -fraction, runs[name].time))


def nuclei(seed: int) -> Callable[[], Mapping[str, Array]]:
    """The start of a realisation of 8b: the sum of the profiles of nuclei at random places, capped at 1, shape of the grid."""

    def made() -> Mapping[str, Array]:
        centres = np.random.default_rng([8, seed]).uniform(0, _EDGE, (_NUCLEI, 2))
        x = (np.arange(_CELLS) + 0.5) * _EDGE / _CELLS
        phi = np.zeros((_CELLS, _CELLS))
        for centre in centres:
            dx, dy = ((x - c + _EDGE / 2) % _EDGE - _EDGE / 2 for c in centre)
            phi += 0.5 * (1 - np.tanh((np.hypot(dx[:, None], dy) - _RADIUS) / np.sqrt(2)))
        return {"eta": np.minimum(phi, 1.0)}

    return made


def avrami(time: Array, fraction: Array) -> float:
    """Exponent n of 1 - exp(-k t^n), fitted over -2 < log(-log(1 - Y)) < 0 as the specification asks."""
    with np.errstate(divide="ignore", invalid="ignore"):
        left = np.log(-np.log(1 - np.clip(fraction, 0, 1 - 1e-12)))
        good = (left > -2) & (left < 0) & (time > 0)
    return float(np.polyfit(np.log(time[good]), left[good], 1)[0])


def _many() -> Benchmark:
    names = [f"realisation_{i}" for i in range(1, _REALISATIONS + 1)]
    cases = [Case(n, ("experiment=pfhub/8b",), nuclei(i)) for i, n in enumerate(names, start=1)]

    def mean(runs: Runs) -> tuple[Array, Array]:
        time = np.arange(0, 201, 2.0)
        return time, np.mean([np.interp(time, runs[n].time, runs[n].values(_FRACTION)) for n in names], axis=0)

    def panels(runs: Runs) -> list[Panel]:
        curves = [Curve("_", runs[n].time, runs[n].values(_FRACTION)) for n in names]
        curves.append(Curve("mean", *mean(runs), ours=True))
        return [
            Panel(
                "8b", "8b: solid fraction over time, ten realisations and their mean.", "time", "solid fraction", curves
            )
        ]

    def tables(runs: Runs) -> list[Table]:
        made = []
        for number, n in enumerate(names, start=1):
            columns = {
                "time": runs[n].time,
                "fraction": runs[n].values(_FRACTION),
                "energy": runs[n].values("free_energy"),
            }
            made.append(
                Table(f"data_{number}", f"data_{number}.csv", f"realisation {number}", columns, "time", "fraction")
            )
        return made

    question = Question(
        "8b/Avrami",
        "exponent n of the mean of ten realisations",
        "2: nuclei there from the start, fronts of constant speed (JMAK)",
        lambda runs: avrami(*mean(runs)),
        lambda runs: 2.0,
        0.3,
        relative=False,
        note=lambda runs: (
            "single realisations " + " ".join(f"{avrami(runs[n].time, runs[n].values(_FRACTION)):.2f}" for n in names)
        ),
    )
    return Benchmark("8b", 1, "25 nuclei at random places", cases, [question], panels, tables, 1.0)
