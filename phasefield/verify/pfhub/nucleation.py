"""Benchmarks 8a to 8c: a nucleus about the critical radius, 25 at random places, 100 at random times too. Solid fraction."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ... import api
from ...initial import cell_noise
from ...problem import build_model
from . import community
from .benchmark import Benchmark, Case, Curve, Panel, Question, Runs, Table

Array = np.ndarray
#: When nuclei appear, and their places, shape ``(n, 2)``.
Nuclei = tuple[Array, Array]

#: Radii of 8a in critical radii, 5, in the order of its files.
_RADII = (0.99, 1.00, 1.01)
_TIGHT = 0.01
#: Of 8b and 8c: realisations. Of 8b: nuclei, their radius and the edge of the square, in critical radii; cells.
_REALISATIONS, _NUCLEI, _RADIUS, _EDGE, _CELLS = 10, 25, 2.2, 500.0, 500
#: Seeds of 8c for which its Poisson process draws exactly the hundred nuclei that the specification asks for.
SEEDS = (19, 20, 34, 64, 67, 111, 189, 195, 206, 218)
#: Length of the line along which their front runs.
_LINE = 400.0
#: Places along an edge at which it is looked whether circles cover them.
_SAMPLES = 250
_FRACTION = "mean_eta"


def benchmarks() -> Iterator[Benchmark]:
    yield _critical()
    yield _at_once()
    yield _all_along()


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


def _at_start(seed: int) -> Nuclei:
    """The nuclei of a realisation of 8b."""
    return np.zeros(_NUCLEI), np.random.default_rng([8, seed]).uniform(0, _EDGE, (_NUCLEI, 2))


def drawn(seed: int) -> Nuclei:
    """The nuclei that a realisation of 8c draws, those in what has transformed among them: a constant rate knows no state."""
    spec = api.spec_of("experiment=pfhub/8c", f"seed={seed}")
    grid, (field,) = spec.grid.build(), build_model(spec).order_parameters
    law = field.values["nucleation"]
    chance = -math.expm1(-float(law.rate) * grid.cell_volume * law.every)
    times, cells = [], []
    for moment in range(1, round(spec.time.end / law.every) + 1):
        numbers = cell_noise(seed, f"model.fields.{field.name}.nucleation/{moment}", 0, grid.cells, "uniform")
        found = np.flatnonzero(0.5 + 0.5 * numbers < chance)
        times += [moment * law.every] * len(found)
        cells += found.tolist()
    x, y = np.unravel_index(cells, grid.shape)
    return np.array(times), np.stack([grid.axes[0].centers[x], grid.axes[1].centers[y]], axis=1)


def circles(time: Array, nuclei: Nuclei, edge: float, speed: float) -> Array:
    """What circles cover of a periodic square that grow from nuclei, dR/dt = speed - 1/R, a share for each time."""
    age = np.linspace(0, time[-1], 20001)
    radius = np.full(age.size, _RADIUS)
    for i, step in enumerate(np.diff(age)):
        middle = radius[i] + step / 2 * (speed - 1 / radius[i])
        radius[i + 1] = radius[i] + step * (speed - 1 / middle)
    x = (np.arange(_SAMPLES) + 0.5) * edge / _SAMPLES
    reached = np.full((_SAMPLES, _SAMPLES), np.inf)
    for start, centre in zip(*nuclei, strict=True):
        dx, dy = ((x - c + edge / 2) % edge - edge / 2 for c in centre)
        distance = np.hypot(dx[:, None], dy)
        np.minimum(reached, start + np.interp(distance, radius, age, right=np.inf), out=reached)
    return np.searchsorted(np.sort(reached, axis=None), time, side="right") / reached.size


def nuclei(seed: int) -> Callable[[], Mapping[str, Array]]:
    """The start of a realisation of 8b: the sum of the profiles of nuclei at random places, capped at 1, shape of the grid."""

    def made() -> Mapping[str, Array]:
        _, centres = _at_start(seed)
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


@dataclass(frozen=True)
class _Realisations:
    """Runs of a benchmark that differ by chance alone.

    Attributes:
        name: of the benchmark. runs: names of their cases. end: of the runs. what: in words.
        nuclei: of a run, by its number from 0. edge: of the square.
    """

    name: str
    runs: Sequence[str]
    end: float
    what: str
    nuclei: Callable[[int], Nuclei]
    edge: float

    @property
    def times(self) -> Array:
        """101 of them, from 0 to the end."""
        return np.linspace(0, self.end, 101)

    def mean(self, runs: Runs) -> tuple[Array, Array]:
        """Times and the mean of the solid fractions then."""
        each = [np.interp(self.times, runs[n].time, runs[n].values(_FRACTION)) for n in self.runs]
        return self.times, np.mean(each, axis=0)

    @cached_property
    def _starts(self) -> list[Nuclei]:
        return [self.nuclei(i) for i in range(len(self.runs))]

    def covered(self, runs: Runs) -> Array:
        """What circles from the same nuclei cover then, in the mean, with the speed of the flat front."""
        speed = front_speed(runs["front"].time, runs["front"].values(_FRACTION))
        return np.mean([circles(self.times, start, self.edge, speed) for start in self._starts], axis=0)

    def panels(self, runs: Runs) -> list[Panel]:
        curves = [Curve("_", runs[n].time, runs[n].values(_FRACTION)) for n in self.runs]
        curves.append(Curve("mean", *self.mean(runs), ours=True))
        curves.append(Curve("circles", self.times, self.covered(runs), ours=True))
        caption = (
            f"{self.name}: solid fraction over time, {self.what}: ten realisations, their mean, and the mean of circles from "
            "the same nuclei."
        )
        return [Panel(self.name, caption, "time", "solid fraction", curves)]

    def tables(self, runs: Runs) -> list[Table]:
        made = []
        for number, name in enumerate(self.runs, start=1):
            run = runs[name]
            columns = {"time": run.time, "fraction": run.values(_FRACTION), "energy": run.values("free_energy")}
            file = f"data_{number}"
            made.append(Table(file, f"{file}.csv", f"realisation {number}", columns, "time", "fraction"))
        return made

    def exponent(self, n: float, theory: str) -> Question:
        """Whether the mean has Avrami's exponent."""
        return Question(
            f"{self.name}/Avrami",
            "exponent n of the mean of ten realisations",
            f"{n:g}: {theory} (JMAK)",
            lambda runs: avrami(*self.mean(runs)),
            lambda runs: n,
            0.3,
            relative=False,
            note=lambda runs: (
                "single realisations "
                + " ".join(f"{avrami(runs[r].time, runs[r].values(_FRACTION)):.2f}" for r in self.runs)
            ),
        )

    def as_circles(self) -> Question:
        """Whether what the runs do is what circles from their nuclei do, whatever these are by chance."""

        def said(runs: Runs) -> str:
            speed = front_speed(runs["front"].time, runs["front"].values(_FRACTION))
            return f"v = {speed:.4f}; their exponent {avrami(self.times, self.covered(runs)):.3f}"

        return Question(
            f"{self.name}/circles",
            "largest difference of the mean solid fraction from what circles cover that grow from the same nuclei",
            "dR/dt = v - 1/R, v of a flat front in one dimension",
            lambda runs: float(np.abs(self.mean(runs)[1] - self.covered(runs)).max()),
            lambda runs: 0.0,
            0.01,
            relative=False,
            note=said,
        )


#: A flat front of 8b and 8c in one dimension, far from its walls.
_FRONT = Case(
    "front",
    (
        "experiment=pfhub/8b", "grid.shape=[800]", f"grid.length={_LINE}", "grid.boundary=no-flux", "time.end=300",
        "initial.eta=0.5*(1-tanh((x-20)/sqrt(2)))", "output.history=10", f"time.tolerance={_TIGHT}",
    ),
)  # fmt: skip


def front_speed(time: Array, fraction: Array) -> float:
    """Of the front of the case ``front``, from its second half."""
    late = time > time[-1] / 2
    return float(np.polyfit(time[late], _LINE * fraction[late], 1)[0])


def _named(count: int) -> list[str]:
    return [f"realisation_{i}" for i in range(1, count + 1)]


def _at_once() -> Benchmark:
    names = _named(_REALISATIONS)
    cases = [*(Case(n, ("experiment=pfhub/8b",), nuclei(i)) for i, n in enumerate(names, start=1)), _FRONT]
    of = _Realisations("8b", names, 200.0, "25 nuclei at once", lambda i: _at_start(i + 1), _EDGE)
    asked = [of.exponent(2.0, "nuclei there from the start, fronts of constant speed"), of.as_circles()]
    return Benchmark("8b", 1, "25 nuclei at random places", cases, asked, of.panels, of.tables, 1.0)


def _all_along() -> Benchmark:
    names = _named(len(SEEDS))
    cases = [*(Case(n, ("experiment=pfhub/8c", f"seed={seed}")) for n, seed in zip(names, SEEDS, strict=True)), _FRONT]
    of = _Realisations("8c", names, 600.0, "100 nuclei at random times", lambda i: drawn(SEEDS[i]), 1000.0)
    asked = [of.exponent(3.0, "nuclei at a constant rate, fronts of constant speed"), of.as_circles()]
    return Benchmark("8c", 1, "100 nuclei at random times and places", cases, asked, of.panels, of.tables, 5.0)
