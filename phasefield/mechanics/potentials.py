"""Potentials of nonlinear phases: a density of energy as a function of strain or gradient, whose slope is the stress or flux.

Conductivity that depends on the gradient and nonlinear elasticity at small strains are the same thing here: a density ``w(e)``,
from which SymPy makes the flux ``dw/de`` and the tangent ``d2w/de2``. A phase without an expression is quadratic.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from ..errors import ConfigError
from ..symbolic import variations
from . import tensors
from .tensors import Array

#: Names that an expression may use: of a gradient, of a strain (components of the tensor), and what stands for invariants.
GRADIENT = ("gx", "gy", "gz")
STRAIN = tuple(f"e{name}" for name in tensors.NAMES)
_TRACE, _SQUARE = "exx + eyy + ezz", "exx**2 + eyy**2 + ezz**2 + 2*(eyz**2 + exz**2 + exy**2)"
INVARIANTS = {
    3: {"g2": "gx**2 + gy**2 + gz**2"},
    6: {"tr": _TRACE, "e2": _SQUARE, "d2": f"{_SQUARE} - ({_TRACE})**2/3"},
}


class Potential(Protocol):
    """A density of energy of strains (points, 6) in Mandel form, or gradients (points, 3).

    Attributes:
        size: 6 or 3.
    """

    size: int

    def energy(self, strain: Array) -> Array:
        """(points,)"""

    def flux(self, strain: Array) -> Array:
        """Stress (Mandel) or flux, (points, size)."""

    def tangent(self, strain: Array) -> Array:
        """Its derivative, symmetric, (points, size, size)."""


class Quadratic:
    """``w = 1/2 e : C : e``; C is a (6, 6) Mandel stiffness or a (3, 3) conductivity."""

    def __init__(self, tensor: Array) -> None:
        self.tensor = np.asarray(tensor, float)
        self.size = len(self.tensor)

    def energy(self, strain: Array) -> Array:
        return np.asarray(0.5 * np.einsum("pi,ij,pj->p", strain, self.tensor, strain))

    def flux(self, strain: Array) -> Array:
        return np.asarray(strain @ self.tensor)

    def tangent(self, strain: Array) -> Array:
        return np.broadcast_to(self.tensor, (len(strain), self.size, self.size))


class Expression:
    """A density as an expression.

    Args:
        text: of the gradient ``gx, gy, gz`` and its square ``g2``; or of the strain tensor's components ``exx, eyy, ezz,
            eyz, exz, exy``, its trace ``tr``, its square ``e2 = e : e`` and that of its deviator, ``d2``. E.g. ``k*g2/2 +
            b*g2**2/4``: the conductivity ``k + b g2``; ``K*tr**2/2 + G*d2``: Hooke's law.
        elastic: whether of a strain. parameters: constants by name. key: what holds the text, for messages.

    Raises:
        ExpressionError: see `symbolic.parse`; also energies that jump.
    """

    def __init__(
        self, text: str, elastic: bool, parameters: Mapping[str, float] | None = None, key: str = "energy"
    ) -> None:
        self.text, self.elastic, self.parameters, self.key = text, elastic, dict(parameters or {}), key
        self.size = 6 if elastic else 3
        names = STRAIN if elastic else GRADIENT
        self._factor = tensors.FACTOR if elastic else np.ones(3)
        self._functions = variations(text, key, names, INVARIANTS[self.size], self.parameters)

    def __reduce__(self) -> Any:  # compiled functions do not travel to other processes
        return Expression, (self.text, self.elastic, self.parameters, self.key)

    def _at(self, order: int, strain: Array) -> Array:
        values = self._functions[order](np.asarray(strain).T / self._factor[:, None]).T
        if not np.isfinite(values).all():
            worst = strain[np.flatnonzero(~np.isfinite(values).all(axis=1))[0]] / self._factor
            what = ("the energy", "the slope of the energy", "the curvature of the energy")[order]
            at = ", ".join(f"{v:.3g}" for v in worst)
            raise ConfigError(
                self.key,
                f"{what} {self.text!r} is not finite at the {'strain' if self.elastic else 'gradient'} ({at})",
                "the energy has to be twice differentiable wherever the solution goes, also at zero",
            )
        return values

    def energy(self, strain: Array) -> Array:
        return self._at(0, strain)[:, 0]

    def flux(self, strain: Array) -> Array:
        return self._at(1, strain) / self._factor

    def tangent(self, strain: Array) -> Array:
        return self._at(2, strain).reshape(-1, self.size, self.size) / np.outer(self._factor, self._factor)
