"""Conjugate gradients for several right-hand sides side by side, with a preconditioner and a say in when to stop.

``A u = b`` for a symmetric positive semidefinite A, from the residual r of some u. A `LinearSystem` knows A and the vectors, a
`Preconditioner` M, and one `Progress` per right-hand side watches the number that is wanted (`convergence`). Those that are done
wait for the others with steps of length zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

import numpy as np

from .convergence import Progress
from .tensors import Array

#: Vectors, of as many right-hand sides as there are; whatever the system takes them for.
F = TypeVar("F")
F_contra = TypeVar("F_contra", contravariant=True)


class LinearSystem(Protocol[F_contra]):
    """The operator A and the updates of vectors, in place; what is returned has one number, or one row, per right-hand side."""

    def multiply(self, p: F_contra, w: F_contra) -> tuple[Array, Array]:
        """``w = A p``; returns ``p . A p``, and what else of p the `Progress` is told."""

    def advance(
        self, alpha: Array, u: F_contra, r: F_contra, p: F_contra, w: F_contra, scaling: F_contra | None = None
    ) -> None:
        """``u += alpha p; r -= alpha w; w = scaling r``; no ``scaling`` means 1."""

    def direction(self, beta: Array, p: F_contra, w: F_contra, scaling: F_contra | None = None) -> None:
        """``p = scaling w + beta p``"""


class Preconditioner(Protocol[F]):
    """A symmetric positive definite ``M = S N S`` close to the inverse of A; S is diagonal and left to the updates of vectors.

    Attributes:
        name: as options call it. scaling: S, None for 1. lowest: no eigenvalue of M A is below, 0 where none is known.
        stepwise: whether convergence in steps is common, which a window of iterations does not show.
    """

    name: str
    scaling: F | None
    stepwise: bool

    @property
    def lowest(self) -> float: ...

    def inner(self, w: F) -> Array:
        """``w = N w``; returns ``w . N w`` per right-hand side."""

    @property
    def nbytes(self) -> int:
        """Bytes of what is held."""


def conjugate_gradients(
    system: LinearSystem[F],
    preconditioner: Preconditioner[F],
    progress: Sequence[Progress],
    fields: tuple[F, F, F, F],
    volume: int = 1,
) -> None:
    """Iterates until every right-hand side is done.

    Args:
        fields: the solution u, the residual r, a direction p of zeros, and w = S r; all are overwritten.
        volume: what products are divided by for ``progress``, the number of voxels for means.

    Raises:
        NotConverged: a right-hand side gives up, see `Progress`.
    """
    u, r, p, w = fields
    scaling = preconditioner.scaling
    rz = preconditioner.inner(w)
    system.direction(np.zeros(len(rz)), p, w, scaling)
    for each, residual in zip(progress, rz.tolist(), strict=True):
        each.begin(residual / volume)
    while not all(each.done for each in progress):
        pw, sums = system.multiply(p, w)
        for each, curvature in zip(progress, pw.tolist(), strict=True):
            if not each.done and not curvature > 0:
                each.stuck(curvature)
        active = np.array([not each.done for each in progress])
        if not active.any():
            break
        alpha = np.divide(rz, pw, out=np.zeros(len(rz)), where=active)
        system.advance(alpha, u, r, p, w, scaling)
        new = preconditioner.inner(w)
        for i in np.flatnonzero(active).tolist():
            progress[i].step(float(alpha[i]), float(rz[i]) / volume, sums[i] / volume, float(new[i]) / volume)
        system.direction(np.divide(new, rz, out=np.zeros(len(rz)), where=active), p, w, scaling)
        rz = new


class ArrayUpdates:
    """The updates of vectors that are NumPy arrays, (right-hand sides, ...)."""

    def advance(self, alpha: Array, u: Array, r: Array, p: Array, w: Array, scaling: Array | None = None) -> None:
        """``u += alpha p; r -= alpha w; w = scaling r``"""
        alpha = alpha.reshape(-1, *(1,) * (u.ndim - 1))
        u += alpha * p
        r -= alpha * w
        w[...] = r if scaling is None else scaling * r

    def direction(self, beta: Array, p: Array, w: Array, scaling: Array | None = None) -> None:
        """``p = scaling w + beta p``"""
        p *= beta.reshape(-1, *(1,) * (p.ndim - 1))
        p += w if scaling is None else scaling * w


class Identity:
    """No preconditioner, of vectors that are NumPy arrays."""

    name = "none"
    scaling: Array | None = None
    lowest = 0.0
    stepwise = False
    nbytes = 0

    def inner(self, w: Array) -> Array:
        return np.array([float(np.vdot(each, each)) for each in w])
