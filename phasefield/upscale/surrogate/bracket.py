"""Estimates of third order that enclose the effective tensor, and the free matrix that lies between Reuss and Voigt.

With the phases' tensors C1, C2, their difference ``D = C2 - C1``, volume fractions c1, c2 and ``M = c2 C1 + c1 C2``, every
effective tensor of a two-phase body is

    C = R + c1 c2 D M^-1/2 X M^-1/2 D,    0 <= X <= 1,

X = 0 for Reuss' bound R and X = 1 for Voigt's; ``S = log(X (1 - X)^-1)`` is any symmetric matrix. ``S`` is the logarithm of
Hill's constraint tensor relative to M, which Hashin-Shtrikman and self-consistent estimates differ by (Hill, J. Mech. Phys.
Solids 13 (1965) 89; Walpole, ibid. 14 (1966) 151).

From the moments of an image follow an upper and a lower X: the energies of the best among the strains, and stresses, that a
phase's share causes in a homogeneous isotropic body of whatever constants (Beran, Nuovo Cimento 38 (1965) 771, for tensors
of any symmetry).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ...mechanics.tensors import FACTOR, PAIRS, Array
from .moments import Moments, monomials

#: Eigenvalues of X are kept so far from 0 and 1: layers reach both.
_EDGE = 1e-7
_SMALL = 1e-11


@dataclass(frozen=True)
class Mixture:
    """Two phases and their fractions.

    Attributes:
        first, second: tensors (n, n), positive definite. fraction: of the second.
    """

    first: Array
    second: Array
    fraction: float

    @property
    def voigt(self) -> Array:
        return (1 - self.fraction) * self.first + self.fraction * self.second

    @property
    def reuss(self) -> Array:
        return self.first @ np.linalg.solve(self.crossed, self.second)

    @property
    def crossed(self) -> Array:
        """``M``: the mean with fractions exchanged."""
        return self.fraction * self.first + (1 - self.fraction) * self.second

    @property
    def root(self) -> Array:
        """``M^-1/2``."""
        values, vectors = np.linalg.eigh(self.crossed)
        return vectors / np.sqrt(values) @ vectors.T

    @property
    def factor(self) -> Array:
        """``G = sqrt(c1 c2) M^-1/2 D``, so that Voigt - Reuss is ``G^T G``."""
        scale = np.sqrt(self.fraction * (1 - self.fraction))
        return scale * self.root @ (self.second - self.first)

    def effective(self, x: Array) -> Array:
        """The tensor of an X."""
        factor = self.factor
        lower = self.reuss
        out = lower + factor.T @ x @ factor
        return np.asarray((out + out.T) / 2)

    def position(self, tensor: Array) -> Array:
        """The X of a tensor; 0 in what the phases do not differ by."""
        inverse = np.linalg.pinv(self.factor, rcond=1e-9)
        x = inverse.T @ (tensor - self.reuss) @ inverse
        return np.asarray((x + x.T) / 2)

    def bracket(self, moments: Moments) -> tuple[Array, Array]:
        """Lower and upper X of an image.

        Args:
            moments: of order 4 for tensors of strains (n = 3, 6), of order 2 for those of gradients (n = 2, 3).
        """
        c1c2 = self.fraction * (1 - self.fraction)
        strains, stresses = trial_fields(moments.dim, moments.order)
        root = self.root
        y = (
            root_of(self.crossed)
            @ _gain(moments, strains, self.voigt, self.second - self.first)
            @ root_of(self.crossed)
        )
        s1, s2 = np.linalg.inv(self.first), np.linalg.inv(self.second)
        mean = (1 - self.fraction) * s1 + self.fraction * s2
        gain = _gain(moments, stresses, mean, s2 - s1)
        inner = (s2 - s1) @ self.reuss @ (s2 - s1)
        x = root @ gain @ np.linalg.solve(np.eye(len(gain)) - inner @ gain, root)
        x, y = (x + x.T) / (2 * c1c2), (y + y.T) / (2 * c1c2)
        return x, np.eye(len(y)) - y


def root_of(matrix: Array) -> Array:
    """The square root of a symmetric positive definite matrix."""
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray(vectors * np.sqrt(values) @ vectors.T)


def _gain(moments: Moments, fields: Array, mean: Array, difference: Array) -> Array:
    """``b^T A^-1 b`` with ``b = <chi' phi>`` and ``A = <phi (mean + difference chi') phi>`` of trial fields phi."""
    count, size, width = fields.shape
    flat = fields.reshape(-1, width)
    shape = (count, size, count, size)
    b = fields @ moments.first
    second, third = (flat @ m @ flat.T for m in (moments.second, moments.third))
    a = np.einsum("agbh,gh->ab", second.reshape(shape), mean) + np.einsum(
        "agbh,gh->ab", third.reshape(shape), difference
    )
    a[np.diag_indices(count)] += _SMALL * np.trace(a) / count + 1e-300
    return np.asarray(b.T @ np.linalg.solve(a, b))


def logit(x: Array) -> Array:
    """``log(X (1 - X)^-1)``, eigenvalues beyond 0 and 1 taken for next to them."""
    values, vectors = np.linalg.eigh(x)
    values = np.clip(values, _EDGE, 1 - _EDGE)
    return np.asarray(vectors * np.log(values / (1 - values)) @ vectors.T)


def expit(s: Array) -> Array:
    """The inverse of `logit`, strictly between 0 and 1."""
    values, vectors = np.linalg.eigh((s + s.T) / 2)
    limit = np.log((1 - _EDGE) / _EDGE)
    return np.asarray(vectors / (1 + np.exp(-np.clip(values, -limit, limit))) @ vectors.T)


@lru_cache
def trial_fields(dim: int, order: int) -> tuple[Array, Array]:
    """Strains that are compatible and stresses in equilibrium (gradients and fluxes), as combinations of the monomials.

    Returns:
        Two arrays (fields, components, monomials).
    """
    names = monomials(dim, order)
    unit = np.eye(len(names))

    def product(*axes: int) -> Array:
        """A product of fewer components is one of ``order``, as ``n . n = 1``."""
        if len(axes) == order:
            return unit[names.index(tuple(sorted(axes)))]
        return np.asarray(sum(product(*axes, m, m) for m in range(dim)))

    delta = np.eye(dim)
    if order == 2:
        along = np.stack([[product(i, j) for j in range(dim)] for i in range(dim)])
        return along, delta[..., None] * product() - along

    def across(i: int, j: int, k: int, m: int) -> Array:
        """``theta_ij theta_km`` with ``theta = 1 - n n``."""
        return (
            delta[i, j] * delta[k, m] * product()
            - delta[i, j] * product(k, m)
            - delta[k, m] * product(i, j)
            + product(i, j, k, m)
        )

    def shear(i: int, j: int, k: int, m: int) -> Array:
        mixed = delta[j, m] * product(i, k) + delta[i, m] * product(j, k)
        mixed = mixed + delta[j, k] * product(i, m) + delta[i, k] * product(j, m)
        return mixed / 4 - product(i, j, k, m)

    def turned(i: int, j: int, k: int, m: int) -> Array:
        return (across(i, k, j, m) + across(i, m, j, k)) / 2

    strains = [product, shear]
    stresses = [across] if dim == 2 else [across, turned]
    return _in_components(strains, dim), _in_components(stresses, dim)


def _in_components(functions: list, dim: int) -> Array:
    """Tensors of order 4 in Mandel form, one below the other."""
    at = [k for k, pair in enumerate(PAIRS) if max(pair) < dim]
    rows = []
    for function in functions:
        for a in at:
            rows.append([function(*PAIRS[a], *PAIRS[b]) * FACTOR[a] * FACTOR[b] for b in at])
    return np.array(rows)
