"""What a point of a macro-scale model asks of the microstructure: stress (flux) and consistent tangent for a strain (gradient).

Anything with the method `Micro.solve` will do; here are cells of voxels, a homogenized tensor, and any function (a
surrogate). Macro-scale vectors have as many components as the model has: of gradients 2 or 3, of strains in Mandel form
xx, yy, sqrt2 xy in two dimensions (plane strain) and 6 in three.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ...errors import ConfigError
from ...mechanics.nonlinear import NonlinearCell
from ...mechanics.tensors import PLANE, Array


@dataclass(frozen=True)
class Response:
    """The answer of a microstructure.

    Attributes:
        flux: mean stress (Mandel) or flux, tensor times gradient without a minus sign, (n,). tangent: its derivative, (n, n).
        state: what a later solve starts from; the caller's, never changed by the micro problem. None if it needs none.
        energy: mean density of the energy; NaN where it is not known.
        hill: Hill-Mandel residual ``|<s:e> - <s>:<e>|``, relative, of the load and of the loads that the tangent comes from; NaN
            where there are no local fields.
        iterations: Newton steps and iterations of conjugate gradients.
    """

    flux: Array
    tangent: Array
    state: Any = None
    energy: float = float("nan")
    hill: float = float("nan")
    iterations: tuple[int, int] = (0, 0)


class Micro(Protocol):
    """A microstructure below a point.

    Attributes:
        size: components of the macro-scale strain or gradient.
    """

    @property
    def size(self) -> int: ...

    def solve(self, gradient: Array, state: Any = None) -> Response:
        """The response to a strain or gradient (size,), from a state of an earlier one."""


@dataclass(frozen=True)
class CellState:
    """Where a cell's solve starts: a fluctuation, the strain it belongs to, and how it changes with the strain."""

    gradient: Array
    fluctuation: np.ndarray
    modes: np.ndarray


@dataclass(frozen=True)
class CellMicro:
    """A cell of voxels; its solves start from the earlier solution, carried on along its tangent.

    Args:
        cell: of two axes for a model in the plane. dimension: of the macro-scale model; by default as many as the image has axes.
    """

    cell: NonlinearCell
    dimension: int = 0

    def __post_init__(self) -> None:
        axes = self.cell.index.ndim
        object.__setattr__(self, "dimension", self.dimension or axes)
        if self.dimension not in (2, 3) or axes > self.dimension:
            raise ConfigError(
                "dimension", f"is {self.dimension} for an image of {axes} axes; 2 or 3, and no fewer, is expected"
            )

    @property
    def components(self) -> tuple[int, ...]:
        """Those of the cell's strain or gradient that the macro-scale model has."""
        if self.dimension == 3:
            return tuple(range(self.cell.size))
        return PLANE if self.cell.size == 6 else (0, 1)

    @property
    def size(self) -> int:
        return len(self.components)

    def solve(self, gradient: Array, state: CellState | None = None) -> Response:
        """See `Micro`.

        Raises:
            NotConverged: see `NonlinearCell.solve`.
        """
        gradient, own = np.asarray(gradient, float), list(self.components)
        if gradient.shape != (len(own),):
            raise ConfigError("gradient", f"has the shape {gradient.shape}; ({len(own)},) is expected")
        mean = np.zeros(self.cell.size)
        mean[own] = gradient
        start = None
        if state is not None:
            start = state.fluctuation + np.tensordot(gradient - state.gradient, state.modes, 1)
        found = self.cell.solve(mean, start)
        tangent = self.cell.tangent(found, own)
        return Response(
            found.stress[own],
            tangent.matrix[own],
            CellState(gradient, found.fluctuation, tangent.modes),
            found.energy,
            max(found.hill, tangent.hill),
            (len(found.steps), found.iterations + tangent.iterations),
        )


@dataclass(frozen=True)
class Homogenized:
    """A homogenized tensor, (n, n): in the plane of a (6, 6) stiffness (Mandel) the plane-strain part, of a (3, 3) conductivity
    the part of x and y.
    """

    tensor: Array

    @classmethod
    def of(cls, tensor: Array, dimension: int) -> Homogenized:
        """The part of a (6, 6) or (3, 3) tensor that a model of two or three dimensions has."""
        own = list(range(len(tensor)) if dimension == 3 else (PLANE if len(tensor) == 6 else (0, 1)))
        return cls(np.asarray(tensor, float)[np.ix_(own, own)])

    @property
    def size(self) -> int:
        return len(self.tensor)

    def solve(self, gradient: Array, state: Any = None) -> Response:
        flux = self.tensor @ gradient
        return Response(flux, self.tensor, energy=0.5 * float(gradient @ flux))

    def solve_all(self, gradients: Array) -> tuple[Array, Array]:
        """Fluxes (points, n) and tangents (points, n, n) of all points at once."""
        return gradients @ self.tensor.T, np.broadcast_to(self.tensor, (len(gradients), *self.tensor.shape))


@dataclass(frozen=True)
class Function:
    """Any function of the strain (gradient) that gives stress (flux) and tangent, ``f(gradient) -> (flux, tangent)``: a
    surrogate, a law of one's own. For several processes it has to be one that can be pickled, defined in a module.
    """

    function: Callable[[Array], tuple[Array, Array]]
    size: int

    def solve(self, gradient: Array, state: Any = None) -> Response:
        flux, tangent = (np.asarray(each, float) for each in self.function(gradient))
        if flux.shape != (self.size,) or tangent.shape != (self.size, self.size):
            raise ConfigError(
                "function",
                f"gave {flux.shape} and {tangent.shape}; ({self.size},) and ({self.size}, {self.size}) are expected",
            )
        return Response(flux, tangent)


def tangent_error(micro: Micro, gradient: Array, step: float = 1e-3, state: Any = None) -> float:
    """How far the tangent is from central differences of the flux (of fourth order), relative to its largest component.

    Args:
        step: of the differences, relative to the largest component of the gradient.
    """
    gradient = np.asarray(gradient, float)
    here = micro.solve(gradient, state)
    h = step * (float(np.abs(gradient).max()) or 1.0)

    def along(direction: Array) -> Array:
        one, two, minus_one, minus_two = (
            micro.solve(gradient + k * h * direction, here.state).flux for k in (1, 2, -1, -2)
        )
        return np.asarray((8 * (one - minus_one) - (two - minus_two)) / (12 * h))

    slopes = np.stack([along(direction) for direction in np.eye(micro.size)], axis=1)
    return float(np.abs(slopes - here.tangent).max() / np.abs(here.tangent).max())


def check(micro: Micro, sizes: Sequence[int]) -> None:
    """Raises ConfigError if a microstructure has not as many components as a model asks for."""
    if micro.size not in sizes:
        raise ConfigError("micro", f"has {micro.size} components; {' or '.join(map(str, sizes))} are expected")
