"""Benchmark 3a: a dendrite grows into an undercooled melt, a quarter of it. Tip position, solid fraction and energy over time."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from . import community
from .benchmark import Benchmark, Case, Curve, Made, Panel, Question, Runs, Table

Array = np.ndarray

#: Edge of the quarter, its undercooling, and lambda.
_EDGE, _UNDERCOOLING, _LAMBDA = 960.0, -0.3, 15.9566
#: The early growth in a smaller square: its edge, which heat has not reached by its end.
_EARLY, _EARLY_END = 240, 150.0
#: Relative differences that are allowed between grids, steps and sizes of the square.
_ALLOWED = 0.005


def benchmarks() -> Iterator[Benchmark]:
    key = "experiment=pfhub/3a"

    def early(name: str, cells: int, *more: str) -> Case:
        size = f"grid.shape=[{cells},{cells}]", f"grid.length={_EARLY}"
        return Case(name, (key, *size, f"time.end={_EARLY_END:g}", "output.every=15", *more))

    cases = [
        Case("default", (key,)),
        early("early", _EARLY),
        early("early_finer", _EARLY * 3 // 2),
        early("early_converged", _EARLY, "time.tolerance=0.01"),
    ]
    yield Benchmark("3a", 1, "a dendrite in an undercooled melt", cases, _questions(), _panels, _tables, 90.0)


def tip(x: Array, phi: Array) -> float:
    """Where phi falls through 0 along the x axis, a plane of symmetry half a cell below the first row.

    Args:
        x: centres of cells. phi: shape ``(len(x), len(y))``, whose cosine series is summed up on the axis.
    """
    from scipy.fft import dct

    waves = dct(phi, axis=1) / phi.shape[1]
    on_axis = waves.sum(axis=1) - 0.5 * waves[:, 0]
    last = int(np.flatnonzero(on_axis > 0)[-1])
    # The profile is a tanh across the axis: its argument is straight, phi is not.
    one, other = np.arctanh(np.clip(on_axis[last : last + 2], -1 + 1e-9, 1 - 1e-9))
    return float(x[last] + (x[last + 1] - x[last]) * one / (one - other))


def curves(run: Made) -> dict[str, Array]:
    """Tip position, solid fraction and free energy of the whole quarter at the snapshots; beyond a smaller square is melt."""
    from ...store import open_dataset

    rows: dict[str, list[float]] = {"time": [], "tip_position": [], "solid_fraction": [], "free_energy": []}
    with open_dataset(run.path / "fields.nc") as data:
        for number in range(data.sizes["time"]):
            at = data.isel(time=number).transpose("x", "y", ...)
            x, phi, h = at.x.values, at["phi"].values, at["h"].values
            area, time = (2 * x[0] * len(x)) ** 2, float(at.time)
            gradient = float(np.interp(time, run.time, run.values("free_energy_gradient")))
            beyond = (_EDGE**2 - area) * float(_density(np.array(-1.0), np.array(_UNDERCOOLING)))
            rows["time"].append(time)
            rows["tip_position"].append(tip(x, phi))
            rows["solid_fraction"].append(float((1 + phi).mean() / 2) * area / _EDGE**2)
            rows["free_energy"].append(gradient + float(_density(phi, h + phi / 2).mean()) * area + beyond)
    return {name: np.array(values) for name, values in rows.items()}


def _density(phi: Array, u: Array) -> Array:
    """f of the specification; with U held, what moves the phase is its derivative."""
    return np.asarray(-(phi**2) / 2 + phi**4 / 4 + _LAMBDA * u * phi * (1 - 2 * phi**2 / 3 + phi**4 / 5))


def _at(case: str, time: float, name: str) -> Callable[[Runs], float]:
    def found(runs: Runs) -> float:
        made = curves(runs[case])
        return float(np.interp(time, made["time"], made[name]))

    return found


def _uploads(time: float, name: str) -> Callable[[Runs], str]:
    return lambda runs: community.spread("3a", time, name)


def _questions() -> list[Question]:
    found = [
        Question(
            f"3a/{short} early",
            f"{words} at t = {_EARLY_END:g}",
            source,
            _at("early", _EARLY_END, name),
            _at(other, _EARLY_END, name),
            _ALLOWED,
            note=_uploads(_EARLY_END, name),
        )
        for short, words, name, source, other in (
            ("tip", "tip position", "tip_position", "on cells 2/3 as large", "early_finer"),
            ("fraction", "solid fraction", "solid_fraction", "at a tolerance of 0.01", "early_converged"),
        )
    ]
    found.append(
        Question(
            "3a/tip",
            f"tip position at t = {_EARLY_END:g} in the whole quarter",
            f"in a square of {_EARLY}",
            _at("default", _EARLY_END, "tip_position"),
            _at("early", _EARLY_END, "tip_position"),
            _ALLOWED,
            note=lambda runs: (
                f"at t = 1500 {_at('default', 1500.0, 'tip_position')(runs):.1f}, "
                f"{community.spread('3a', 1500.0, 'tip_position')}"
            ),
        )
    )
    return found


def _panels(runs: Runs) -> list[Panel]:
    made = []
    for name, words in (
        ("tip_position", "tip position"),
        ("solid_fraction", "solid fraction"),
        ("free_energy", "free energy"),
    ):
        others = [Curve(label, x, y) for label, (x, y) in community.curves("3a", y=name).items() if len(x) > 1]
        ours = curves(runs["default"])
        made.append(
            Panel(
                f"3a_{name}",
                f"3a: {words} over time, uploads thin.",
                "time",
                words,
                [*others, Curve("phasefield", ours["time"], ours[name], ours=True)],
            )
        )
    return made


def _tables(runs: Runs) -> list[Table]:
    ours = curves(runs["default"])

    def table(name: str) -> Table:
        columns = {"time": ours["time"], name: ours[name]}
        return Table(name, f"{name}.csv", f"{name.replace('_', ' ')} over time", columns, "time", name)

    x, y, phi = runs["default"].final("phi")
    edge = _contour(x, y, phi)
    contour = Table("contour", "contour.csv", "contour phi = 0 at t = 1500, a quarter", edge, "x", "y")
    return [table("tip_position"), table("solid_fraction"), table("free_energy"), contour]


def _contour(x: Array, y: Array, phi: Array) -> dict[str, Array]:
    """The line phi = 0, its longest piece, in order along it."""
    from contourpy import contour_generator

    lines = [np.asarray(line) for line in contour_generator(x, y, phi.T).lines(0.0)]
    longest = max(lines, key=len)
    return {"x": longest[:, 0], "y": longest[:, 1]}
