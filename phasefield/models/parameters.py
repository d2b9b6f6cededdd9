"""Parameters of a model: constants, and those that depend on time, by an expression or by a table.

What depends on time is a function of t alone, the same for every scheme: the integrator asks for it at the times of its stages.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import sympy as sp

from ..errors import ConfigError, ExpressionError
from ..symbolic import Symbols, parse
from ..tables import is_number, read_table

TIME = sp.Symbol("t", real=True)

#: Rows of a table; steps land on every corner that it has.
_MOST_ROWS = 2000
#: Change of a slope, against the steepest of the table, that is no corner.
_STRAIGHT = 1e-9
#: Times of a run at which the extremes of a parameter are looked for, and values between them that count.
_TIMES, _VALUES = 2001, 3
_EXPECTED = "a number, an expression in t, or {kind: table, path: FILE} is expected"


@dataclass(frozen=True)
class Course:
    """How a parameter depends on time.

    Attributes:
        text: as configured. expr: in t, the constants put in. points: of a table, times and values, shape ``(2, n)``.
    """

    text: str
    expr: sp.Expr
    points: np.ndarray | None = field(default=None, compare=False)

    @cached_property
    def _function(self) -> Callable[[float], float]:
        return sp.lambdify([TIME], self.expr, modules="math")

    def at(self, t: float) -> float:
        """The value at time ``t``."""
        if self.points is not None:
            return float(np.interp(t, *self.points))
        try:
            return float(self._function(t))
        except (ArithmeticError, ValueError, TypeError):
            return math.nan

    def __str__(self) -> str:
        return self.text

    def on(self, times: np.ndarray) -> np.ndarray:
        return np.array([self.at(float(t)) for t in times])


def read(given: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, Course]]:
    """The values of all parameters at t = 0, and the courses of those that depend on time.

    Raises:
        ConfigError, ExpressionError: what is neither a number, nor an expression in t and the constants, nor a table.
    """
    values: dict[str, float] = {}
    texts: dict[str, str] = {}
    courses: dict[str, Course] = {}
    for name, value in given.items():
        key = f"model.parameters.{name}"
        if isinstance(value, Mapping):
            courses[name] = _table(key, value)
        elif isinstance(value, str):
            texts[name] = value
        elif isinstance(value, bool) or not isinstance(value, int | float | np.number):
            raise ConfigError(key, f"is {value!r}", _EXPECTED)
        elif not math.isfinite(value):
            raise ConfigError(key, f"is {value}; a finite number is expected")
        else:
            values[name] = float(value)
    constants = {sp.Symbol(name, real=True): sp.Float(v, 17) for name, v in values.items()}
    for name, text in texts.items():
        key = f"model.parameters.{name}"
        try:
            expr = parse(text, key, Symbols({}, tuple(values), ("t",))).xreplace(constants)
        except ExpressionError as error:
            problem = error.problem.split("\n")[0]
            raise ExpressionError(
                key, text, error.position, problem, f"{_EXPECTED}; {error.hint}".rstrip("; ")
            ) from None
        if TIME in expr.free_symbols:
            courses[name] = Course(text, expr)
        else:
            values[name] = float(expr)
    for name, course in courses.items():
        values[name] = course.at(0.0)
    for name, value in values.items():
        if not math.isfinite(value):
            raise ConfigError(f"model.parameters.{name}", f"is {value} at t = 0; a finite number is expected")
    return {name: values[name] for name in given}, courses


def _table(key: str, given: Mapping[str, Any]) -> Course:
    if unknown := sorted(map(str, set(given) - {"kind", "path", "points"})):
        raise ConfigError(f"{key}.{unknown[0]}", "there is no such key", "keys of a table: kind, path, points")
    if given.get("kind") != "table":
        raise ConfigError(f"{key}.kind", f"is {given.get('kind')!r}", _EXPECTED)
    if given.get("points") is not None:
        try:
            points = np.array(given["points"], dtype=float).reshape(-1, 2).T
        except (TypeError, ValueError):
            raise ConfigError(f"{key}.points", "are no pairs of numbers", "[[t1, value1], [t2, value2], ...]") from None
        points = _checked(key, points, "points")
    elif given.get("path"):
        points = read_points(key, str(given["path"]))
    else:
        raise ConfigError(f"{key}.path", "is missing", "a file with the columns t,value")
    times, values = points
    slopes = np.concatenate([[0.0], np.diff(values) / np.diff(times), [0.0]])
    bends = np.diff(slopes)
    bends[np.abs(bends) <= _STRAIGHT * np.abs(slopes).max()] = 0.0
    # A polygon as a sum of ramps, one from every corner on.
    ramps = [
        sp.Float(b, 17) * sp.Piecewise((TIME - sp.Float(t, 17), sp.Float(t, 17) < TIME), (0, True))
        for t, b in zip(times, bends, strict=True)
        if b
    ]
    said = ", ".join(f"{t:.17g}: {v:.17g}" for t, v in points.T)
    return Course(f"table {{{said}}}", sp.Add(sp.Float(values[0], 17), *ramps), points)


def read_points(key: str, path: str) -> np.ndarray:
    """Times and values of a table in a file, with or without a header ``t,value``: shape ``(2, n)``.

    Raises:
        ConfigError: it cannot be read, or is no such table.
    """
    place = Path(path).expanduser()
    try:
        rows = read_table(place)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"{key}.path", f"{place} cannot be read: {reason}", "a table with the columns t,value"
        ) from error
    if rows and not any(is_number(c) for c in rows[0][1]):
        rows = rows[1:]
    for line, cells in rows:
        if len(cells) != 2 or not all(map(is_number, cells)):
            raise ConfigError(f"{key}.path", f"line {line} of {place} is {','.join(cells)}; t,value is expected")
    return _checked(
        f"{key}.path", np.array([[float(c) for c in cells] for _, cells in rows]).reshape(-1, 2).T, str(place)
    )


def _checked(key: str, points: np.ndarray, where: str) -> np.ndarray:
    count = points.shape[1]
    if not 1 <= count <= _MOST_ROWS:
        raise ConfigError(key, f"{where} has {count} rows; 1 to {_MOST_ROWS} are expected", "thin the table out")
    if not np.isfinite(points).all():
        raise ConfigError(key, f"{where} holds numbers that are not finite")
    if not (np.diff(points[0]) > 0).all():
        raise ConfigError(
            key, f"the times of {where} do not rise from row to row", "for a jump take two times close by"
        )
    return points


def filled(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Tables with what is in their files, as a run's configuration keeps them.

    Raises:
        ConfigError: a file that is no table.
    """
    found = {}
    for name, value in parameters.items():
        if (
            isinstance(value, Mapping)
            and value.get("kind") == "table"
            and value.get("path")
            and not value.get("points")
        ):
            points = read_points(f"model.parameters.{name}", str(value["path"])).T.tolist()
            value = {**value, "points": points}
        found[name] = value
    return found


def check(courses: Mapping[str, Course], end: float) -> None:
    """Refuses parameters that have no value at some time of a run until ``end``, as far as `_TIMES` times and corners tell.

    Raises:
        ConfigError: with the parameter and the time.
    """
    for name, course in courses.items():
        times = _times([course], 0.0, end)
        if (bad := ~np.isfinite(course.on(times))).any():
            raise ConfigError(
                f"model.parameters.{name}",
                f"{course.text} is not finite at t = {times[int(bad.argmax())]:.6g}; a finite number is expected until time.end",
                "hold it, as in piecewise(log(2 - t), t < 1, 0), or end before",
            )


def telling(courses: Sequence[Course], start: float, end: float) -> list[float]:
    """Times from ``start`` to ``end`` at which parameters take the values that they range over, the first one among them."""
    times = _times(courses, start, end)
    picks = {0}
    for course in courses:
        values = course.on(times)
        order = np.argsort(np.where(np.isfinite(values), values, np.nanmedian(values)))
        picks |= {int(order[round(q * (times.size - 1))]) for q in np.linspace(0, 1, _VALUES + 2)}
        levels = np.linspace(np.nanmin(values), np.nanmax(values), _VALUES + 2)
        picks |= {int(np.nanargmin(np.abs(values - level))) for level in levels}
    return [float(times[i]) for i in sorted(picks)]


def _times(courses: Sequence[Course], start: float, end: float) -> np.ndarray:
    return np.unique(np.concatenate([np.linspace(start, end, _TIMES), *_corners(courses, start, end)]))


def _corners(courses: Sequence[Course], start: float, end: float) -> list[np.ndarray]:
    """Where tables bend and conditions on t compare with numbers, and just behind."""
    found = [np.array([start, end])]
    for course in courses:
        numbers = [float(r.rhs) for r in course.expr.atoms(sp.Rel) if r.lhs == TIME and r.rhs.is_number]
        near = np.array([n for n in numbers if start <= n <= end])
        found += [near, np.minimum(np.nextafter(near, math.inf), end)]
    return found
