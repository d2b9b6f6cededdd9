"""What is written of walls: conditions on them, read and checked against the grid, each other and the energy.

How a field meets them: `phasefield.models.walls`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy as sp

from ..errors import ConfigError, guess
from .parameters import TIME

if TYPE_CHECKING:
    from ..grid import Grid
    from .energy import EnergyModel
    from .fields import OrderParameter
    from .reading import Reader

#: Name of a wall -> its axis and side, as meshes of boxes name them (MOOSE's GeneratedMesh).
WALLS = {"left": (0, 0), "right": (0, 1), "bottom": (1, 0), "top": (1, 1), "back": (2, 0), "front": (2, 1)}
#: What stands at a wall, by the kind of its condition.
_FIXED, _FREE = ("value", "potential"), ("slope", "flux", "energy", "angle")
#: What depends on the fields rather than on place and time.
_OF_FIELDS = ("energy", "angle")
#: Places along an axis of a wall at which data are looked at.
_PLACES = 33
#: Times besides 0 by which data are told apart, of every size that a unit may give them, the plainest first.
_TIMES = 1.2345 * 10.0 ** np.array(sorted(range(-9, 10), key=abs))
#: Moments of a run at which data are looked at.
_MOMENTS = 65
#: Symbols of the coordinates, and functions that may jump or bend.
COORDINATES = sp.symbols("x y z", real=True)
ROUGH = (sp.Piecewise, sp.Abs, sp.Min, sp.Max, sp.sign, sp.Heaviside)
_EXAMPLE = "e.g. {left: {value: 1}, right: {value: 'sin(t)'}}"


@dataclass(frozen=True)
class Given:
    """What is given for one field on one wall.

    Attributes:
        conditions: expressions by the name of the condition, one for every component. texts: the same as written.
    """

    conditions: Mapping[str, tuple[sp.Expr, ...]]
    texts: Mapping[str, str]

    def __str__(self) -> str:
        return ", ".join(f"{name} {text}" for name, text in self.texts.items())


def read(key: str, given: Any, components: int, conserved: bool, reader: Reader) -> Data | None:
    """The data of a field's walls.

    Args:
        key: where they stand. given: wall -> condition -> number, expression, or one for every component.

    Raises:
        ConfigError, ExpressionError: another form, an unknown wall or condition, or two data of one kind.
    """
    if not isinstance(given, Mapping):
        raise ConfigError(key, f"is {given!r}; a mapping from walls to conditions is expected", _EXAMPLE)
    found = {}
    for wall, conditions in given.items():
        at = f"{key}.{wall}"
        if wall not in WALLS:
            raise ConfigError(at, f"there is no such wall{guess(str(wall), list(WALLS))}", f"walls: {', '.join(WALLS)}")
        if conditions is None:
            continue
        if not isinstance(conditions, Mapping):
            raise ConfigError(at, f"is {conditions!r}; a mapping is expected", _EXAMPLE)
        asked = {name: value for name, value in conditions.items() if value is not None}
        if unknown := [name for name in asked if name not in (*_FIXED, *_FREE)]:
            raise ConfigError(
                f"{at}.{unknown[0]}",
                f"there is no such condition{guess(str(unknown[0]), (*_FIXED, *_FREE))}",
                f"conditions: {', '.join((*_FIXED, *_FREE))}",
            )
        _check_number(at, list(asked), conserved)
        expressions = {
            name: _expressions(f"{at}.{name}", name, value, components, reader) for name, value in asked.items()
        }
        found[wall] = Given(expressions, {name: str(value) for name, value in asked.items()})
        _check_own(at, wall, found[wall])
    return Data(found) if any(g.conditions for g in found.values()) else None


class Data(dict[str, Given]):
    """Wall -> what is given there."""

    def __str__(self) -> str:
        return "; ".join(f"{wall}: {given}" for wall, given in self.items())


def _check_number(at: str, names: Sequence[str], conserved: bool) -> None:
    """One datum on a wall; of a conserved field one for the field and one for its potential."""
    own = [n for n in names if n not in ("potential", "flux")] if conserved else [n for n in names if n != "potential"]
    second = [n for n in names if n not in own]
    if (
        len(own) > 1
        or len(second) > 1
        or {"value", "flux"} <= set(names)
        or ("potential" in names and "value" not in names)
    ):
        what = f"has {' and '.join(names)}; one datum is expected" if len(names) > 1 else f"has {names[0]} alone"
        more = (
            ", for a conserved field a flux beside a slope, energy or angle, or a potential beside a value"
            if conserved
            else ""
        )
        raise ConfigError(at, what + more)
    if "potential" in names and not conserved:
        raise ConfigError(
            f"{at}.potential", "is of a field that is not conserved, which has no flux", "give a value alone"
        )


def _expressions(key: str, name: str, value: Any, components: int, reader: Reader) -> tuple[sp.Expr, ...]:
    if name == "angle":
        angle = reader.number(key, value)
        if angle > 180:
            raise ConfigError(key, f"is {angle:g}; degrees from 0 to 180 are expected")
        found: tuple[sp.Expr, ...] = (sp.Float(angle, 17),)
    elif name == "energy":
        found = reader.expressions(key, value, 1)
        if {*COORDINATES, TIME} & found[0].free_symbols:
            raise ConfigError(key, f"{value} depends on place or time; an expression in the fields is expected")
    else:
        found = reader.data(key, value, components)
    return found if len(found) == components else found * components


def _check_own(at: str, wall: str, given: Given) -> None:
    axis, side = WALLS[wall]
    for name, expressions in given.conditions.items():
        if any(COORDINATES[axis] in e.free_symbols for e in expressions):
            where = "where it is 0" if side == 0 else "where it is the length of the grid"
            raise ConfigError(
                f"{at}.{name}",
                f"{given.texts[name]} depends on {'xyz'[axis]}, along which the wall has one place",
                where,
            )


def conditions_of(boundary: str) -> tuple[str, str]:
    """What the two walls of an axis hold: ``value`` or ``slope``; empty where there are none."""
    return {
        "periodic": ("", ""),
        "no-flux": ("slope", "slope"),
        "fixed": ("value", "value"),
        "fixed-no-flux": ("value", "slope"),
        "no-flux-fixed": ("slope", "value"),
    }[boundary]


def check(model: EnergyModel, grid: Grid, given: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuses data that do not fit a grid, each other, or the energy.

    Raises:
        ConfigError, ExpressionError: with the key at fault.
    """
    for f in model.order_parameters:
        data: Data | None = f.values.get("walls")
        for wall, found in (data or {}).items():
            _check_wall(model, grid, f.name, wall, found)
            _check_finite(model, grid, f"model.fields.{f.name}.walls.{wall}", wall, found)
    lifting = model.lifting
    assert lifting is not None
    for i, (f, _) in enumerate(model.components):
        key = f"model.fields.{f.name}.walls"
        lifting.check_seams(i, key)
        if lifting.values[i] != 0 and (told := _elsewhere(f)):
            raise ConfigError(
                key, f"holds values or slopes of a field with {told}",
                "fluxes, wall energies and angles can stand beside it",
            )  # fmt: skip
    lifting.check_values()
    for i, (f, _) in enumerate(model.components):
        if f.values.get("walls") is not None:
            lifting.check_made(i, f.name)


def _elsewhere(f: OrderParameter) -> str:
    """What a field has that knows only the part of it in modes, without what walls bring in; nothing if it has none."""
    for name in ("operator", "eigenstrain"):
        if f.values.get(name) is not None:
            return f"an {name}, whose energy is known in modes alone"
    return "" if f.anisotropy is None else "a kappa that depends on the normal, which is that of the field in modes"


def _check_wall(model: EnergyModel, grid: Grid, field: str, wall: str, given: Given) -> None:
    axis, side = WALLS[wall]
    at = f"model.fields.{field}.walls.{wall}"
    if axis >= grid.dim:
        raise ConfigError(at, f"does not exist on a {grid.dim}-D grid; its walls: {', '.join(walls_of(grid))}")
    kind = conditions_of(grid.boundary[axis])[side]
    if not kind:
        raise ConfigError(
            at,
            f"holds data, but the grid is periodic along {'xyz'[axis]}",
            "set grid.boundary of this axis to no-flux or fixed",
        )
    allowed = _FIXED if kind == "value" else _FREE
    for name, expressions in given.conditions.items():
        if name not in allowed:
            other = "fixed" if name in _FIXED else "no-flux"
            raise ConfigError(
                f"{at}.{name}",
                f"is no datum of a {grid.boundary[axis]} axis",
                f"{name} needs grid.boundary={other} there",
            )
        for e in expressions:
            grid.check_coordinates((s.name for s in e.free_symbols), f"{at}.{name}", given.texts[name])
            if name in ("value", "slope", "potential") and e.has(*ROUGH) and e.free_symbols & set(COORDINATES):
                raise ConfigError(
                    f"{at}.{name}",
                    f"{given.texts[name]} may jump or bend along the wall",
                    "give what is smooth, e.g. with tanh",
                )
    f = next(f for f in model.order_parameters if f.name == field)
    if f.law is not None and f.law.cross:
        raise ConfigError(
            at,
            f"meets the mobility of {field}, which couples it to {', '.join(f.law.cross)}; the two do not go together yet",
            "let walls hold nothing, or give mobilities that do not couple fields",
        )
    if "flux" in given.conditions and f.law is None and not f.mobility:
        raise ConfigError(f"{at}.flux", f"goes into a field whose mobility is {f.mobility:g}", "give a mobility > 0")
    if "flux" in given.conditions and not f.kinetics.conserved and (f.law is not None or not f.kappa):
        raise ConfigError(
            f"{at}.flux",
            "needs a constant mobility and kappa > 0 in a field that is not conserved",
            "give the slope instead",
        )
    if "angle" in given.conditions and (len(model.components) > 1 or not f.kappa):
        raise ConfigError(
            f"{at}.angle",
            "is known for a model of one field without components and with kappa > 0 alone",
            "give the energy of the wall",
        )
    if "flux" in given.conditions and not f.kinetics.conserved and "kappa" in f.courses:
        raise ConfigError(
            f"{at}.flux",
            "needs a kappa that does not depend on time in a field that is not conserved",
            "give the slope",
        )
    if "angle" in given.conditions and "kappa" in f.courses:
        raise ConfigError(f"{at}.angle", "follows from kappa, which depends on time", "give the energy of the wall")
    if "angle" in given.conditions and (moving := {s.name for s in model.energy.free_symbols} & set(model.courses)):
        raise ConfigError(
            f"{at}.angle",
            f"follows from the energy, whose parameter {min(moving)} depends on time",
            "give the energy of the wall",
        )


def check_until(model: EnergyModel, grid: Grid, end: float) -> None:
    """Refuses data without a value, or with one outside of the energy's domain, at some time of a run.

    Raises:
        ConfigError: with the key, the place and the time.
    """
    times = np.linspace(0.0, end, _MOMENTS)[1:].tolist()
    for f in model.order_parameters:
        data: Data | None = f.values.get("walls")
        for wall, found in (data or {}).items():
            _check_finite(model, grid, f"model.fields.{f.name}.walls.{wall}", wall, found, times)
    if model.lifting is not None and any(TIME in w.free_symbols for w in map(sp.sympify, model.lifting.values)):
        model.lifting.check_values(times)


def _check_finite(
    model: EnergyModel, grid: Grid, at: str, wall: str, given: Given, times: Sequence[float] = (0.0,)
) -> None:
    """Refuses data without a value somewhere on their wall, its edges included, at some of the times. Raises ConfigError."""
    axis, side = WALLS[wall]
    along = [
        np.array([a.length * side]) if d == axis else np.linspace(0, a.length, _PLACES) for d, a in enumerate(grid.axes)
    ]
    places = np.stack([p.ravel() for p in np.meshgrid(*along, indexing="ij")])
    names = COORDINATES[: grid.dim]
    for name, expressions in given.conditions.items():
        if name in _OF_FIELDS:
            continue
        for e in expressions:
            in_time = model.in_time(e)
            function = sp.lambdify([*names, TIME], in_time, "numpy")
            for t in times if TIME in in_time.free_symbols else times[:1]:
                with np.errstate(all="ignore"):
                    values = np.broadcast_to(np.asarray(function(*places, np.float64(t)), float), places.shape[1:])
                if (bad := np.flatnonzero(~np.isfinite(values))).size:
                    where = ", ".join(f"{x} = {v:g}" for x, v in zip(grid.names, places[:, bad[0]], strict=True))
                    raise ConfigError(
                        f"{at}.{name}",
                        f"{given.texts[name]} has no finite value at {where}, t = {t:g}",
                        "give one that has",
                    )


def walls_of(grid: Grid) -> list[str]:
    return [name for name, (axis, _) in WALLS.items() if axis < grid.dim]


def times_of(data: Iterable[sp.Expr]) -> list[float]:
    """Times by which to tell whether data agree: 0 alone where they are constant. Many begin at 0 everywhere, and agree then."""
    moving = [e for e in data if TIME in e.free_symbols]
    if not moving:
        return [0.0]
    sides = [side for e in moving for r in e.atoms(sp.Rel) if TIME in r.args for side in r.args if side.is_number]
    corners = [0.0, *sorted({float(t) for t in sides if math.isfinite(t) and t > 0})]
    between = [0.5 * (a + b) for a, b in pairwise(corners)]
    return [0.0, *map(float, _TIMES), *between, *corners[1:]]
