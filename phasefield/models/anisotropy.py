"""Gradient energy coefficients that depend on the normal: kappa(n), and the numbers that a run takes of it.

    e(p) = kappa(n)/2 |p|^2,  p = grad u,  n = -p/|p|

n points to where u falls, out of the phase of the higher value. e is homogeneous of degree two in p, so that nothing here has a
length or a size of its own. A flat interface of normal n has the energy gamma(n) ~ sqrt(kappa(n)) and a width alike (Kobayashi,
Physica D 63 (1993) 410; McFadden, Wheeler, Braun, Coriell and Sekerka, Phys. Rev. E 48 (1993) 2016). Orientations are all stable
where e is convex: where its Hessian has no negative eigenvalue, which in two dimensions says that the stiffness
gamma + gamma'' is nowhere negative, for gamma^3 (gamma + gamma'') = kappa (kappa + kappa''/2) - (kappa'/2)^2 up to a factor.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from ..errors import ConfigError
from ..grid import Grid
from ..symbolic import differentiate
from .normal import NORMAL, directions, expression, told, unit

Array = NDArray[np.float64]

_P = sp.symbols("p_x p_y p_z", real=True)

#: Directions in a circle around an extreme, and circles that it is followed in.
_AROUND, _ROUNDS = 96, 5
#: Part of |p| over which the force is differentiated, and of the largest eigenvalue up to which a negative one is the error of
#: that.
_STEP, _ROUNDOFF = 1e-5, 1e-7
#: Part beyond which values that should agree do not.
_DIFFERENT = 1e-9
#: Halvings of the way between two directions, and what is left of a change of the force by then that is a jump.
_HALVINGS, _JUMP = 24, 0.1


@dataclass(frozen=True)
class Anisotropy:
    """kappa(n) of a field.

    Attributes:
        expr: kappa in `NORMAL` and the parameters; in `NORMAL` off the unit sphere it means nothing. text: as it is written.
        least, most: of kappa over all directions, energy density x length^2.
        weakest, stiffest: the least and the largest eigenvalue of the Hessian of e over all directions, in the same unit.
        worst: the direction of the former.
        mirrored: for every axis of the grid, whether kappa is the same on both sides of a plane across it. turned: the same of
            half a turn about the axis.
        numbers: kappa, force and Hessian in numbers.
    """

    expr: sp.Expr
    text: str
    least: float
    most: float
    weakest: float
    stiffest: float
    worst: tuple[float, ...]
    mirrored: tuple[bool, ...]
    turned: tuple[bool, ...]
    numbers: Numbers = field(compare=False, repr=False)

    def __str__(self) -> str:
        return self.text

    @property
    def words(self) -> str:
        """What it does, in a line."""
        stable = "every orientation is stable" if self.convex else "some orientations are unstable"
        return (
            f"kappa from {self.least:.5g} to {self.most:.5g} with the normal n = -grad u/|grad u|; interface energy and width go "
            f"with its root; {stable} (second derivatives of the energy from "
            f"{self.weakest + 0.0:.4g} to {self.stiffest:.4g})"
        )

    @property
    def reference(self) -> float:
        """kappa_ref of L."""
        return self.stiffest

    @property
    def convex(self) -> bool:
        """Whether no orientation is missing from equilibrium shapes."""
        return self.weakest >= -_ROUNDOFF * self.stiffest


def read(key: str, text: str, parameters: Mapping[str, float], moving: Sequence[str], axes: int) -> Anisotropy:
    """kappa(n) from a text.

    Args:
        key: where it stands. parameters: constants, and values of those that depend on time, whose names are ``moving``.
        axes: of the grid.

    Raises:
        ConfigError, ExpressionError: a text that cannot be read, a kappa that is somewhere not positive or has a kink, or an
            angle where it has no meaning.
    """
    # A run reads its model several times, and looking at all directions takes a tenth of a second.
    return _read(key, text, tuple(parameters.items()), tuple(moving), axes)


@lru_cache(64)
def _read(key: str, text: str, known: tuple[tuple[str, float], ...], moving: tuple[str, ...], axes: int) -> Anisotropy:
    parameters = dict(known)
    expr = expression(key, text, parameters, moving, axes)
    return made(expr, text, parameters, axes, key)


def made(expr: sp.Expr, text: str, parameters: Mapping[str, float], axes: int, key: str) -> Anisotropy:
    """The law of an expression in `NORMAL` and the parameters; raises what `read` does."""
    numbers = Numbers(expr, parameters, axes, key, text)
    return Anisotropy(expr, text, numbers=numbers, **numbers.found())


def check(law: Anisotropy, key: str, grid: Grid, regular: bool) -> None:
    """Refuses a law that does not fit a grid's walls, or is too strong to be followed.

    Args:
        regular: whether another term bounds the energy of short waves.

    Raises:
        ConfigError: it does not.
    """
    for axis, (name, boundary) in enumerate(zip(grid.names, grid.boundary, strict=True)):
        walls = (
            ("no-flux", law.mirrored[axis], "a reflection across"),
            ("fixed", law.turned[axis], "half a turn about"),
        )
        for wall, fits, symmetry in walls:  # axes of unlike walls have both in their name
            if fits or wall not in boundary:
                continue
            raise ConfigError(
                key,
                f"{law.text} changes with {symmetry} {name}, which {wall} walls along {name} need not to",
                f"turn it into the axes of the grid, or set grid.boundary to periodic along {name}",
            )
    if not law.convex and not regular:
        raise ConfigError(
            key,
            f"{law.text} is so strong that some orientations are unstable: the stiffness of an interface with "
            f"{told(np.array(law.worst))} is negative, and the equation has no solution",
            "make it weaker ((1 + delta*cos(m*theta))**2 needs delta <= 1/(m**2 - 1)); or set convexify: true, which leaves "
            "those orientations out in two dimensions; or bound the curvature of corners by operator: beta*k2**2 with beta > 0",
        )


# -- forces ------------------------------------------------------------------------------------------------------------


def excess(law: Anisotropy, p: Sequence[sp.Expr], reference: sp.Expr) -> tuple[list[sp.Expr], sp.Expr]:
    """de/dp and e less those of a constant ``reference``, from the gradient's components along the axes of the grid.

    de/dp = kappa p - |p|/2 (g - n (n.g)), g = dkappa/dn. Across an interface it is along Cahn and Hoffman's vector (Acta Metall.
    22 (1974) 1205).
    """
    normal, size = unit(p)
    table: dict[sp.Expr, sp.Expr] = dict(zip(NORMAL, normal, strict=False))
    slopes = [_slope(law, a).xreplace(table) for a in range(len(p))]
    kappa = law.expr.xreplace(table)
    along = sum(n * g for n, g in zip(normal, slopes, strict=True))
    force = [size * ((reference - kappa) * n - (g - n * along) / 2) for n, g in zip(normal, slopes, strict=True)]
    return force, (kappa - reference) / 2 * size**2


def _slope(law: Anisotropy, axis: int) -> sp.Expr:
    return differentiate(law.expr, NORMAL[axis], "kappa", law.text, allow_jumps=True)


def potential(law: Anisotropy, u: sp.Expr, places: Sequence[sp.Symbol]) -> sp.Expr:
    """-div de/dp of a field in closed form, in its coordinates."""
    p = _P[: len(places)]
    length = sp.sqrt(sum(q**2 for q in p))
    energy = law.expr.xreplace({n: -q / length for n, q in zip(NORMAL, p, strict=False)}) / 2 * length**2
    slopes = {q: sp.diff(u, x) for q, x in zip(p, places, strict=True)}
    return -sum((sp.diff(sp.diff(energy, q).xreplace(slopes), x) for q, x in zip(p, places, strict=True)), sp.S.Zero)


# -- numbers -----------------------------------------------------------------------------------------------------------


class Numbers:
    """What a kappa(n) is in numbers.

    Raises:
        ConfigError, ExpressionError: see `read`.
    """

    def __init__(self, expr: sp.Expr, parameters: Mapping[str, float], axes: int, key: str, text: str) -> None:
        self._axes, self._key, self._text = axes, key, text
        values = {sp.Symbol(name, real=True): sp.Float(v, 17) for name, v in parameters.items()}
        slopes = [differentiate(expr, n, key, text, allow_jumps=True) for n in NORMAL[:axes]]
        self._law = _function(NORMAL[:axes], [e.xreplace(values) for e in (expr, *slopes)])

    def kappa(self, n: Array) -> Array:
        """At directions, shape ``(axes, count)``."""
        return self._law(n)[0]

    def force(self, p: Array) -> Array:
        """de/dp at gradients p other than 0, shape ``(axes, count)``."""
        size = np.linalg.norm(p, axis=0)
        n = -p / size
        kappa, *slopes = self._law(n)
        g = np.array(slopes)
        return np.asarray(kappa * p - 0.5 * size * (g - n * (n * g).sum(axis=0)))

    def corner(self, n: Array) -> Array:
        """Cahn and Hoffman's vector xi = grad (|v| gamma(v)) at v = n, for gamma = sqrt(kappa): shape ``(axes, count)``.

        Its end traces the equilibrium shape of a crystal, with ears where orientations are missing.
        """
        return np.asarray(-self.force(-n) / np.sqrt(self.kappa(n)))

    def stiffness(self, n: Array) -> Array:
        """Eigenvalues of the Hessian of e, ascending: shape ``(count, axes)``."""
        columns = []
        for axis in range(self._axes):
            moved = np.zeros((self._axes, 1))
            moved[axis] = _STEP
            columns.append((self.force(moved - n) - self.force(-moved - n)) / (2 * _STEP))
        matrices = np.moveaxis(np.array(columns), 2, 0)
        return np.asarray(np.linalg.eigvalsh(0.5 * (matrices + matrices.transpose(0, 2, 1))))

    def found(self) -> dict[str, Any]:
        """The attributes of `Anisotropy`, checked."""
        n = directions(self._axes)
        kappa = self.kappa(n)
        if not np.isfinite(kappa).all():
            raise ConfigError(self._key, f"{self._text} is not finite at {told(n[:, ~np.isfinite(kappa)][:, 0])}")
        low, at = self._extreme(lambda n: self.kappa(n), n)
        if low <= 0:
            raise ConfigError(
                self._key,
                f"{self._text} is {low:.6g} at {told(at)}; it must be > 0 in every direction",
                "make the anisotropy weaker",
            )
        high = -self._extreme(lambda n: -self.kappa(n), n)[0]
        self._check_kinks()
        weakest, worst = self._extreme(lambda n: self.stiffness(n)[:, 0], n)
        stiffest = -self._extreme(lambda n: -self.stiffness(n)[:, -1], n)[0]
        if not math.isfinite(stiffest):
            raise ConfigError(self._key, f"the second derivatives of {self._text} are not finite in some direction")
        mirrored: list[bool] = []
        turned: list[bool] = []
        for axis in range(self._axes):
            other = n.copy()
            other[axis] *= -1
            for found, there in ((mirrored, other), (turned, -other)):
                found.append(bool(np.abs(self.kappa(there) - kappa).max() <= _DIFFERENT * high))
        return {
            "least": low,
            "most": high,
            "weakest": weakest,
            "stiffest": stiffest,
            "worst": tuple(map(float, worst)),
            "mirrored": tuple(mirrored),
            "turned": tuple(turned),
        }

    def _extreme(self, function: Callable[[Array], Array], n: Array) -> tuple[float, Array]:
        """The least value of a function of the direction, and where."""
        values = function(n)
        best = n[:, int(np.argmin(values))]
        least, reach = float(values.min()), 0.05
        for _ in range(_ROUNDS if self._axes > 1 else 0):
            near = _around(best, reach)
            values = function(near)
            if float(values.min()) < least:
                least, best = float(values.min()), near[:, int(np.argmin(values))]
            reach /= 8
        return least, best

    def _check_kinks(self) -> None:
        """Refuses a kappa whose derivative jumps: e would have no Hessian there, and L no bound of it."""
        if self._axes == 1:
            return
        for circle in _circles(self._axes):
            force = self.force(-circle)
            place = int(np.linalg.norm(np.roll(force, -1, axis=1) - force, axis=0).argmax())
            start, end = circle[:, place], circle[:, (place + 1) % circle.shape[1]]
            before, jump = None, 0.0
            for _ in range(_HALVINGS):  # a jump stays in one of the halves as it is, what is steep is halved
                middle = (start + end) / np.linalg.norm(start + end)
                forces = self.force(-np.stack([start, middle, end], axis=1))
                jumps = np.linalg.norm(np.diff(forces, axis=1), axis=0)
                start, end = (start, middle) if jumps[0] > jumps[1] else (middle, end)
                jump = float(jumps.max())
                before = jump if before is None else before
            if before is not None and jump > _JUMP * before > 0:
                raise ConfigError(
                    self._key,
                    f"{self._text} has a kink at {told(start)}",
                    "round it, as in sqrt(0.01 + n_x**2) in place of abs(n_x)",
                )


def _function(symbols: Sequence[sp.Symbol], exprs: Sequence[sp.Expr]) -> Callable[[Array], Array]:
    compiled = sp.lambdify(list(symbols), list(exprs), "numpy", cse=True)

    def at(n: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.array([np.broadcast_to(np.asarray(v, dtype=float), n.shape[1:]) for v in compiled(*n)])

    return at


def _around(n: Array, reach: float) -> Array:
    """Unit vectors within an angle of one."""
    if n.size == 2:
        angles = math.atan2(n[1], n[0]) + reach * np.linspace(-1, 1, _AROUND + 1)
        return np.stack([np.cos(angles), np.sin(angles)])
    across = np.linalg.svd(n[None])[2][1:]
    angles, radii = np.meshgrid(2 * math.pi * np.arange(12) / 12, reach * np.arange(1, 9) / 8)
    moved = n[:, None] + (across.T @ np.stack([np.cos(angles), np.sin(angles)]).reshape(2, -1)) * radii.ravel()
    moved = np.concatenate([n[:, None], moved], axis=1)
    return np.asarray(moved / np.linalg.norm(moved, axis=0))


def _circles(axes: int) -> list[Array]:
    """Great circles, shape ``(axes, count)`` each."""
    circle = directions(2)
    if axes == 2:
        return [circle]
    rng = np.random.Generator(np.random.Philox(1))
    frames = [np.eye(3), *(np.linalg.qr(rng.normal(size=(3, 3)))[0] for _ in range(6))]
    return [frame[:, [a, b]] @ circle for frame in frames for a, b in ((0, 1), (1, 2), (0, 2))]
