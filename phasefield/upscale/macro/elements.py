"""Finite elements of scikit-fem: gradients and strains at quadrature points, forces and stiffness from fluxes and tangents."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...mechanics.tensors import FACTOR, PAIRS, PLANE, Array
from ..extras import needed


def skfem() -> Any:
    """scikit-fem.

    Raises:
        PhasefieldError: it is not installed.
    """
    needed("skfem")
    import skfem

    return skfem


class Elements:
    """A basis of scikit-fem for potentials (scalar elements) or displacements (vector elements).

    Args:
        basis: of a mesh of two or three dimensions.

    Attributes:
        dimension: 2 or 3. elastic: whether displacements. size: components of strain (Mandel) or gradient. points: quadrature
            points of all elements.
    """

    def __init__(self, basis: Any) -> None:
        fem = skfem()
        self.basis, self.dimension = basis, int(basis.mesh.dim())
        self.elastic = isinstance(basis.elem, fem.ElementVector)
        pairs = [PAIRS[p] for p in (PLANE if self.dimension == 2 else range(6))]
        factors = FACTOR[list(PLANE if self.dimension == 2 else range(6))]
        self.size = len(pairs) if self.elastic else self.dimension
        self._shape = (basis.mesh.nelements, basis.X.shape[-1])
        self.points = int(np.prod(self._shape))

        def strain(u: Any) -> Array:
            grad = np.asarray(u.grad)
            if not self.elastic:
                return grad
            return np.stack(
                [factor * (grad[i, j] + grad[j, i]) / 2 for (i, j), factor in zip(pairs, factors, strict=True)]
            )

        self._strain = strain

        @fem.LinearForm
        def force(v: Any, w: Any) -> Array:
            return np.asarray(np.einsum("i...,i...->...", np.asarray(w["flux"]), strain(v)))

        @fem.BilinearForm
        def stiffness(u: Any, v: Any, w: Any) -> Array:
            return np.asarray(np.einsum("i...,ij...,j...->...", strain(v), np.asarray(w["tangent"]), strain(u)))

        self._force, self._stiffness = force, stiffness

    def strains(self, values: Array) -> Array:
        """Strain (Mandel) or gradient at the quadrature points, (points, size), of nodal values (dofs,)."""
        return np.moveaxis(self._strain(self.basis.interpolate(values)), 0, -1).reshape(self.points, self.size)

    def force(self, flux: Array) -> Array:
        """Nodal forces (dofs,) of stresses or fluxes (points, size)."""
        field = np.moveaxis(flux.reshape(*self._shape, self.size), -1, 0)
        return np.asarray(self._force.assemble(self.basis, flux=field))

    def stiffness(self, tangent: Array) -> Any:
        """The sparse matrix (dofs, dofs) of tangents (points, size, size)."""
        field = np.moveaxis(tangent.reshape(*self._shape, self.size, self.size), (-2, -1), (0, 1))
        return self._stiffness.assemble(self.basis, tangent=field)

    @property
    def places(self) -> Array:
        """Where the quadrature points are, (points, dimension)."""
        return np.moveaxis(np.asarray(self.basis.global_coordinates()), 0, -1).reshape(self.points, self.dimension)

    def mean(self, values: Array) -> Array:
        """Mean over the body of values (points, ...) at the quadrature points."""
        weights = self.basis.dx.ravel()
        return np.asarray(np.tensordot(weights, values, 1) / weights.sum())
