"""The normal of an interface: its names in expressions, what may be written in it, and the directions that it may have.

n = -grad u/|grad u| points to where u falls, out of the phase of the higher value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from ..errors import ConfigError, ExpressionError
from ..symbolic import Symbols, parse

Array = NDArray[np.float64]

NAMES = ("n_x", "n_y", "n_z", "theta")
NORMAL = sp.symbols("n_x n_y n_z", real=True)
THETA = sp.Symbol("theta", real=True)

#: Directions that are looked at along a circle, and over a sphere.
_CIRCLE, _SPHERE = 7200, 12000
#: How far a multiple of theta may be from a whole number.
_DIFFERENT = 1e-9


def uses_normal(value: Any, key: str, parameters: Sequence[str]) -> bool:
    """Whether a value of ``kappa`` is an expression in the normal.

    Raises:
        ConfigError: it is, and a parameter has one of these names.
    """
    if not isinstance(value, str):
        return False
    used = {name for name in NAMES if name in _words(value)}
    if taken := sorted(used & set(parameters)):
        raise ConfigError(
            f"model.parameters.{taken[0]}", f"{key} uses this name for the normal of an interface", "rename it"
        )
    return bool(used)


def _words(text: str) -> set[str]:
    return set("".join(c if c.isalnum() or c == "_" else " " for c in text).split())


def expression(key: str, text: str, parameters: Mapping[str, float], moving: Sequence[str], axes: int) -> sp.Expr:
    """A text in `NORMAL` and the parameters: without the angle, and without components that the grid has not.

    Args:
        key: where it stands. parameters: constants, and values of those that depend on time, whose names are ``moving``.
        axes: of the grid.

    Raises:
        ConfigError, ExpressionError: a text that cannot be read, one that depends on time, or an angle where it has no meaning.
    """
    expr = parse(text, key, Symbols({}, tuple(parameters), (*NAMES, "t")))
    timed = {s.name for s in expr.free_symbols} & {"t", *moving}
    if timed:
        raise ConfigError(
            key, f"depends on time by {min(timed)}; a coefficient that depends on the normal is a constant in time"
        )
    if THETA in expr.free_symbols:
        if axes == 3:
            raise ConfigError(
                key,
                f"{text} has the angle theta, which is not defined at the poles of three dimensions",
                "write it in n_x, n_y and n_z: (n_x**2 + n_y**2)**3*cos(6*theta) is n_x**6 - 15*n_x**4*n_y**2 + "
                "15*n_x**2*n_y**4 - n_y**6",
            )
        expr = _without_angle(expr, key, text, parameters)
    if axes < 3:
        expr = expr.xreplace(dict.fromkeys(NORMAL[axes:], sp.S.Zero))
    return expr


def _without_angle(expr: sp.Expr, key: str, text: str, parameters: Mapping[str, float]) -> sp.Expr:
    """Sines and cosines of multiples of theta as products of the normal's components."""
    values = {sp.Symbol(name, real=True): sp.Float(v, 17) for name, v in parameters.items()}

    def fail(problem: str) -> ExpressionError:
        return ExpressionError(
            key, text, max(0, text.find("theta")), problem, "write it as in 1 + 0.05*cos(4*(theta - 0.1))"
        )

    def rewritten(call: sp.Expr) -> sp.Expr:
        argument = sp.expand(call.args[0])
        times = argument.coeff(THETA, 1)
        phase = argument.coeff(THETA, 0)
        if sp.expand(argument - times * THETA - phase) != 0 or not (times.free_symbols | phase.free_symbols) <= set(
            values
        ):
            raise fail("the argument of a sine or cosine is not a multiple of theta plus a constant")
        number = float(times.xreplace(values))
        if abs(number - round(number)) > _DIFFERENT:
            raise fail(
                f"it would jump where the angle wraps around: theta is multiplied by {number:g}, no whole number"
            )
        cosine, sine = _multiple(round(number))
        if isinstance(call, sp.cos):
            return sp.cos(phase) * cosine - sp.sin(phase) * sine
        return sp.sin(phase) * cosine + sp.cos(phase) * sine

    found = expr.replace(lambda e: isinstance(e, sp.cos | sp.sin) and THETA in e.free_symbols, rewritten)
    if THETA in found.free_symbols:
        raise fail("theta stands outside of a sine or cosine, where it would jump as the angle wraps around")
    return found


def _multiple(m: int) -> tuple[sp.Expr, sp.Expr]:
    """cos(m theta) and sin(m theta) from those of theta, n_x and n_y, by doubling: exact to round-off for any m."""
    result, power = (sp.S.One, sp.S.Zero), (NORMAL[0], NORMAL[1])
    for bit in reversed(bin(abs(m))[2:]):
        if bit == "1":
            result = (
                result[0] * power[0] - result[1] * power[1],
                result[0] * power[1] + result[1] * power[0],
            )
        power = (power[0] ** 2 - power[1] ** 2, 2 * power[0] * power[1])
    return result[0], result[1] if m >= 0 else -result[1]


def unit(p: Sequence[sp.Expr]) -> tuple[list[sp.Expr], sp.Expr]:
    """n = -p/|p| and |p| in a form that neither overflows nor loses digits, whatever unit p has; without a gradient n = -e_x.

    kappa has no value there, but e and de/dp vanish with p.
    """
    most = sp.Max(*(sp.Abs(q) for q in p)) if len(p) > 1 else sp.Abs(p[0])
    # Cases keep SymPy from multiplying powers out, so that every quotient is computed once.
    scaled = [sp.Piecewise((q / most, most > 0), (sp.Integer(a == 0), True)) for a, q in enumerate(p)]
    length = sp.sqrt(sum(q**2 for q in scaled))
    normal = [sp.Piecewise((-q / length, most > 0), (-sp.Integer(a == 0), True)) for a, q in enumerate(scaled)]
    return normal, most * length


def directions(axes: int) -> Array:
    """Unit vectors all over a pair of points, a circle or a sphere, shape ``(axes, count)``."""
    if axes == 1:
        return np.array([[1.0, -1.0]])
    if axes == 2:
        angles = 2 * math.pi * np.arange(_CIRCLE) / _CIRCLE
        return np.stack([np.cos(angles), np.sin(angles)])
    # A spiral of the golden angle covers the sphere evenly.
    heights = 1 - (2 * np.arange(_SPHERE) + 1) / _SPHERE
    turns = math.pi * (3 - math.sqrt(5)) * np.arange(_SPHERE)
    ring = np.sqrt(1 - heights**2)
    rest = np.stack([ring * np.cos(turns), ring * np.sin(turns), heights])
    corners = np.array([(x, y, z) for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1) if x or y or z]).T
    return np.concatenate([corners / np.linalg.norm(corners, axis=0), rest], axis=1)


def told(n: Array) -> str:
    return "n = (" + ", ".join(f"{round(float(c), 4) + 0.0:.4g}" for c in n) + ")"
