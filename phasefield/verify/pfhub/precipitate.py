"""Benchmarks 4a to 4h: a misfitting precipitate in a cubic matrix, of the same stiffness or a tenth stiffer. Energies and shape.

A quarter is computed, between planes of symmetry: the mirror images are a periodic array under no mean stress, where the
specification has a square free of traction. In plane strain; the specification does not say whether there is a misfit across the
plane, so that there is none in the runs that are handed in, and another run has it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from . import community
from .benchmark import Benchmark, Case, Curve, Made, Panel, Question, Runs, Table

Array = np.ndarray

#: Nominal radius in nm, whether the precipitate is stiffer, whether it begins as an ellipse.
_PROBLEMS = {
    "4a": (20, False, False),
    "4b": (75, False, False),
    "4c": (20, True, False),
    "4d": (75, True, False),
    "4e": (20, False, True),
    "4f": (75, False, True),
    "4g": (20, True, True),
    "4h": (75, True, True),
}
#: Of the small ones and the large ones: cells of the quarter, of the finer and of the coarser grid, minutes.
_CELLS = {20: (320, 400, 240, 1.0), 75: (900, 1200, 750, 60.0)}
#: What is allowed between grids, of energies and of lengths.
_ALLOWED = 1e-3
#: Angles at which the contour is looked for in a quarter, ends included, and distance between points of a ray, nm.
_ANGLES, _STEP = 33, 0.05


def benchmarks() -> Iterator[Benchmark]:
    for name, (radius, stiffer, oval) in _PROBLEMS.items():
        cells, fine, coarse, minutes = _CELLS[radius]
        key = f"experiment=pfhub/{name}"

        def case(label: str, n: int, *more: str, key: str = key) -> Case:
            return Case(label, (key, f"grid.shape=[{n},{n}]", *more))

        across = "model.fields.eta.eigenstrain={strain: [0.005,0.005,0.005], interpolation: smooth}"
        cases = [
            case("default", cells),
            case("finer", fine),
            case("coarser", coarse),
            case("misfit_across", cells, across),
        ]
        title = f"a misfitting {'ellipse' if oval else 'disk'} of {radius} nm"
        title += ", a tenth stiffer than its matrix" if stiffer else ""
        yield Benchmark(
            name,
            1,
            title,
            cases,
            _questions(name),
            _panels(name, title),
            _tables(name),
            minutes,
        )


# -- shape -------------------------------------------------------------------------------------------------------------


def contour(x: Array, y: Array, eta: Array) -> tuple[Array, Array]:
    """Angles from x to y and distances from the origin at which eta is 1/2, in a quarter between planes of symmetry.

    Args:
        x, y: centres of cells. eta: (len(x), len(y)), of which splines of fifth degree go on beyond the planes.
    """
    from scipy.ndimage import map_coordinates

    steps = 2 * x[0], 2 * y[0]
    angles = np.linspace(0, np.pi / 2, _ANGLES)
    r = np.arange(0.0, min(x[-1], y[-1]), _STEP)
    rays = [np.outer(f(angles), r) / step - 0.5 for f, step in zip((np.cos, np.sin), steps, strict=True)]
    values = map_coordinates(eta, rays, order=5, mode="reflect")
    found = []
    for ray in values:
        inside = np.flatnonzero(ray >= 0.5)
        if not inside.size or inside[-1] + 1 == r.size:
            found.append(math.nan)
            continue
        last = int(inside[-1])
        found.append(r[last] + _STEP * (ray[last] - 0.5) / (ray[last] - ray[last + 1]))
    return angles, np.array(found)


def sizes(run: Made, last: bool = False) -> dict[str, Array]:
    """Half-lengths along the axes and the diagonal and the area of the precipitate, at the times of the snapshots or the last."""
    from ...store import open_dataset

    rows: dict[str, list[float]] = {name: [] for name in ("time", "a_10", "a_01", "a_d", "precipitate_area")}
    with open_dataset(run.path / "fields.nc") as data:
        count = data.sizes["time"]
        for number in range(count - 1 if last else 0, count):
            at = data["eta"].isel(time=number).transpose("x", "y")
            angles, radii = contour(at.x.values, at.y.values, at.values)
            rows["time"].append(float(at.time))
            rows["a_10"].append(float(radii[0]))
            rows["a_01"].append(float(radii[-1]))
            rows["a_d"].append(float(np.interp(math.atan2(radii[-1], radii[0]), angles, radii)))
            # The contour is even about both axes: the trapezoidal rule converges like a Fourier series.
            squares = radii**2
            rows["precipitate_area"].append(
                float(2 * (angles[1] - angles[0]) * (squares.sum() - (squares[0] + squares[-1]) / 2))
            )
    return {name: np.array(values) for name, values in rows.items()}


def _last(name: str) -> Callable[[Made], float]:
    return lambda run: float(sizes(run, last=True)[name][-1])


def _energy(name: str) -> Callable[[Made], float]:
    """Of the whole square."""
    return lambda run: 4 * float(run.values(name)[-1])


# -- questions and files -----------------------------------------------------------------------------------------------


def _questions(name: str) -> list[Question]:
    what: dict[str, tuple[str, Callable[[Made], float]]] = {
        "F": ("free energy at the end", _energy("free_energy")),
        "F_el": ("elastic energy at the end", _energy("free_energy_elastic")),
        "a_10": ("half-length along x at the end", _last("a_10")),
        "a_d": ("half-length along the diagonal at the end", _last("a_d")),
    }

    def question(key: str, words: str, of: Callable[[Made], float]) -> Question:
        return Question(
            f"{name}/{key}",
            words,
            "the same on a finer grid",
            lambda runs: of(runs["default"]),
            lambda runs: of(runs["finer"]),
            _ALLOWED,
            note=lambda runs: (
                f"on a coarser grid {of(runs['coarser']):.7g}; "
                f"with the misfit across the plane too {of(runs['misfit_across']):.5g}" + _uploads(name, key)
            ),
        )

    return [question(key, words, of) for key, (words, of) in what.items()]


def _uploads(name: str, key: str) -> str:
    column = {"F": "total_free_energy", "F_el": "elastic_free_energy"}.get(key)
    curves = community.curves(name, y=column) if column else {}
    return "".join(f"; {label} has {y[-1]:.5g} in the end" for label, (_, y) in curves.items())


def _panels(name: str, title: str) -> Callable[[Runs], list[Panel]]:
    def made(runs: Runs) -> list[Panel]:
        others = [Curve(label, x, y) for label, (x, y) in community.curves(name, y="total_free_energy").items()]
        ours = [
            Curve(words, runs[case].time[1:], 4 * runs[case].values("free_energy")[1:], ours=True)
            for case, words in (("default", "phasefield"), ("misfit_across", "phasefield, misfit across too"))
        ]
        caption = f"{name}: {title}. Free energy over time, uploads thin."
        return [Panel(name, caption, "time", "free energy, aJ", [*others, *ours], log="x")]

    return made


def _tables(name: str) -> Callable[[Runs], list[Table]]:
    def made(runs: Runs) -> list[Table]:
        run = runs["default"]
        shape = sizes(run)

        def energy(part: str) -> Array:
            return np.interp(shape["time"], run.time, 4 * run.values(part))

        columns = {
            "time": shape["time"],
            "a_01": shape["a_01"],
            "a_10": shape["a_10"],
            "a_d": shape["a_d"],
            "elastic_free_energy": energy("free_energy_elastic"),
            "gradient_free_energy": energy("free_energy_gradient"),
            "precipitate_area": shape["precipitate_area"],
            "total_free_energy": energy("free_energy"),
        }
        angles, radii = contour(*run.final("eta"))
        edge = {"x": radii * np.cos(angles), "y": radii * np.sin(angles)}
        return [
            Table("free_energy", f"{name}.csv", "sizes and energies over time", columns, "time", "total_free_energy"),
            Table("contour", f"{name}_contour.csv", "contour eta = 0.5 at the end, a quarter", edge, "x", "y"),
        ]

    return made
