"""Electrostatics of charged fields: what is written of it, and the potential that a grid's waves make of charges and electrodes.

    eps lap phi = -rho,   rho linear in the fields;   F = 1/2 int rho phi_own dV + int rho phi_outer dV

phi_own is that of the charges between earthed electrodes, phi_outer that of the electrodes alone, so that dF/drho = phi at given
potentials of the electrodes. Walls without an electrode are insulated, dphi/dn = 0. Both are closed forms: phi_own is
rho/(eps k^2) in the basis that vanishes on electrodes; phi_outer is harmonic, waves along an electrode and hyperbolic functions
across.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from ..errors import ConfigError, unknown
from .parameters import TIME
from .wall_data import WALLS, conditions_of

if TYPE_CHECKING:
    from ..grid import Axis, Grid
    from .reading import Reader

KEY = "model.electric"
_KEYS = ("charge", "permittivity", "potential")
_EXAMPLE = f"e.g. {KEY}={{charge: 'z*(c - 0.5)', permittivity: 90}}"
_X = sp.symbols("x y z", real=True)

Array = NDArray[np.floating]


@dataclass(frozen=True)
class Charged:
    """Electrostatics of a model.

    Attributes:
        charges: component -> charge per volume and unit of the field. constant: charge per volume that is always there.
        permittivity: eps, charge^2/(energy x length). electrodes: wall -> its potential, energy/charge, in x, y, z and t.
        said: as it is written.
    """

    charges: Mapping[str, float]
    constant: float
    permittivity: float
    electrodes: Mapping[str, sp.Expr]
    said: str

    def __str__(self) -> str:
        return self.said


def read(given: Any, reader: Reader) -> Charged | None:
    """What stands at ``model.electric``.

    Raises:
        ConfigError, ExpressionError: an unknown key, a charge that is not linear in the fields, or no permittivity.
    """
    if given is None:
        return None
    if not isinstance(given, Mapping):
        raise ConfigError(KEY, f"is {given!r}; a mapping is expected", _EXAMPLE)
    for name in given:
        if name not in _KEYS:
            raise unknown(KEY, str(name), _KEYS, "key")
    for name in ("charge", "permittivity"):
        if given.get(name) is None:
            raise ConfigError(f"{KEY}.{name}", "is missing", _EXAMPLE)
    permittivity = reader.number(f"{KEY}.permittivity", given["permittivity"])
    if permittivity == 0:
        raise ConfigError(f"{KEY}.permittivity", "is 0; a number > 0 is expected")
    charges, constant = _linear(str(given["charge"]), reader)
    potentials = given.get("potential") or {}
    if not isinstance(potentials, Mapping):
        raise ConfigError(
            f"{KEY}.potential",
            f"is {potentials!r}; a mapping from walls to potentials is expected",
            "{left: 0, right: 1}",
        )
    for wall in potentials:
        if wall not in WALLS:
            raise unknown(f"{KEY}.potential", str(wall), tuple(WALLS), "wall")
    electrodes = {w: reader.data(f"{KEY}.potential.{w}", v, 1)[0] for w, v in potentials.items() if v is not None}
    said = f"charge {given['charge']}, permittivity {permittivity!r}, potential {dict(potentials)}"
    return Charged(charges, constant, permittivity, electrodes, said)


def _linear(text: str, reader: Reader) -> tuple[dict[str, float], float]:
    key = f"{KEY}.charge"
    (rho,) = reader.expressions(key, text, 1)
    if {*_X, TIME} & rho.free_symbols:
        raise ConfigError(key, f"{text} depends on place or time; an expression in the fields is expected")
    found = {s: sp.simplify(rho.diff(s)) for s in reader.unknowns if s in rho.free_symbols}
    if not found or any(z.free_symbols & set(found) for z in found.values()):
        raise ConfigError(key, f"{text} is not linear in the fields", "e.g. z*(c - 0.5), or z_1*c_1 + z_2*c_2")
    rest = rho.xreplace(dict.fromkeys(found, sp.S.Zero))
    return (
        {s.name: reader.number(key, str(z), signed=True) for s, z in found.items()},
        reader.number(key, str(rest), signed=True),
    )


def flips(grid: Grid, electrodes: Mapping[str, Any]) -> tuple[int, ...]:
    """Axes along which the potential lies in the other basis than the fields.

    Raises:
        ConfigError: electrodes on walls that the grid has not, or at one wall alone of an axis with two alike.
    """
    found = []
    for d, boundary in enumerate(grid.boundary):
        walls = [name for name, (axis, _) in WALLS.items() if axis == d]
        named = [wall for wall in walls if wall in electrodes]
        own = conditions_of(boundary)
        if not own[0]:
            if named:
                raise ConfigError(
                    f"{KEY}.potential.{named[0]}",
                    f"is of a wall, but the grid is periodic along {'xyz'[d]}",
                    "set grid.boundary",
                )
            continue
        wanted = tuple("value" if wall in electrodes else "slope" for wall in walls)
        if wanted == own:
            continue
        if wanted != conditions_of(grid.axes[d].flipped.boundary):
            raise ConfigError(
                f"{KEY}.potential",
                f"names {' and '.join(named) or 'no wall'} of {', '.join(walls)}, where grid.boundary is {boundary}",
                "name both walls or none where these are alike for the fields, one where they are not",
            )
        found.append(d)
    if strange := [w for w in electrodes if WALLS[w][0] >= grid.dim]:
        raise ConfigError(f"{KEY}.potential.{strange[0]}", f"does not exist on a {grid.dim}-D grid")
    return tuple(found)


def parts(electrodes: Mapping[str, sp.Expr]) -> list[tuple[str, sp.Expr, sp.Expr]]:
    """Wall, factor in t and potential along the wall, of electrodes that are not earthed.

    Raises:
        ConfigError: a potential that is no product of the two.
    """
    found = []
    for wall, potential in electrodes.items():
        if potential == 0:
            continue
        timed, along = sp.factor_terms(potential).as_independent(*_X, as_Add=False)
        if TIME in along.free_symbols:
            raise ConfigError(
                f"{KEY}.potential.{wall}",
                f"{potential} varies along the wall and in time at once",
                "give a product of both",
            )
        found.append((wall, timed, along))
    return found


def green(grid: Grid, permittivity: float) -> Array:
    """1/(eps k^2) in every mode, 0 for the mean, shape of the modes."""
    k2 = reduce(np.add.outer, [axis.k2 for axis in grid.axes])
    return np.divide(1.0, permittivity * k2, out=np.zeros_like(k2), where=k2 > 0)


def outer(grid: Grid, wall: str, along: sp.Expr) -> Array:
    """The harmonic potential with ``along`` at one electrode, the others earthed, in cells: shape of the grid.

    Args:
        grid: with the boundaries of the potential.
    """
    d, side = WALLS[wall]
    axis, others = grid.axes[d], [e for e in range(grid.dim) if e != d]
    values = np.zeros([grid.axes[e].n for e in others])
    centers = np.meshgrid(*(grid.axes[e].centers for e in others), indexing="ij")
    values += sp.lambdify([_X[e] for e in others], along, "numpy")(*centers)
    squares = np.zeros(values.shape)
    for place, e in enumerate(others):
        forward, k2 = _waves(grid.axes[e])
        values = np.moveaxis(np.tensordot(forward.T, values, (1, place)), 0, place)
        squares = squares + k2.reshape([-1 if p == place else 1 for p in range(len(others))])
    distance = axis.length - axis.centers if side else axis.centers
    far = conditions_of(axis.boundary)[1 - side]
    profile = _profile(np.sqrt(squares)[..., None], distance, axis.length, far) * values[..., None]
    for place, e in enumerate(others):
        profile = np.moveaxis(np.tensordot(_waves(grid.axes[e])[0], profile, (1, place)), 0, place)
    return np.moveaxis(profile, -1, d)


def _profile(k: Array, s: Array, length: float, far: str) -> Array:
    """1 at s = 0 and 0, or without slope, at s = length, of waves k along the wall: without overflow."""
    sign = -1.0 if far == "value" else 1.0
    flat = 1 - s / length if far == "value" else np.ones_like(s)
    safe = np.where(k > 0, k, 1.0)
    bent = np.exp(-safe * s) * (1 + sign * np.exp(-2 * safe * (length - s))) / (1 + sign * np.exp(-2 * safe * length))
    return np.asarray(np.where(k > 0, bent, flat))


def _waves(axis: Axis) -> tuple[Array, Array]:
    """The orthonormal waves of an axis at its cells, one a column, shape ``(n, n)``, and their squared wavenumbers."""
    n, x = axis.n, axis.centers[:, None]
    k: Array
    if axis.boundary == "periodic":
        k = 2 * np.pi / axis.length * np.concatenate([np.arange(n // 2 + 1), np.arange(1, (n + 1) // 2)])
        sine = np.arange(n) > n // 2
    else:
        first = {"no-flux": 0.0, "fixed": 1.0}.get(axis.boundary, 0.5)
        k = np.pi / axis.length * (first + np.arange(n))
        sine = np.full(n, axis.boundary.startswith("fixed"))
    waves: Array = np.where(sine, np.sin(k * x), np.cos(k * x))
    return waves / np.sqrt((waves**2).sum(axis=0)), k**2


def potential(charged: Charged, grid: Grid, cells: Mapping[str, Array], t: float = 0.0) -> Array:
    """phi in cells, energy/charge, from the fields: component -> cells, each of the grid's shape.

    Raises:
        ConfigError: as `flips` and `parts`.
    """
    own = grid.flipped(flips(grid, charged.electrodes))
    rho: Array = np.full(grid.shape, charged.constant)
    for name, z in charged.charges.items():
        rho = rho + z * cells[name]
    k2 = reduce(np.add.outer, [_waves(axis)[1] for axis in own.axes])
    for d, axis in enumerate(own.axes):
        rho = np.moveaxis(np.tensordot(_waves(axis)[0].T, rho, (1, d)), 0, d)
    phi: Array = np.divide(rho, charged.permittivity * k2, out=np.zeros_like(rho), where=k2 > 0)
    for d, axis in enumerate(own.axes):
        phi = np.moveaxis(np.tensordot(_waves(axis)[0], phi, (1, d)), 0, d)
    for wall, timed, along in parts(charged.electrodes):
        phi = phi + float(timed.subs(TIME, t)) * outer(own, wall, along)
    return np.asarray(phi)
