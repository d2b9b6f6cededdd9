"""Coherent mixtures of stress-free strains in a body of one stiffness, in closed form (Khachaturyan, Theory of Structural
Transformations in Solids, Wiley 1983, ch. 8).

With stress-free strains e_p phi_p(x) the energy per volume of the body in equilibrium is

    W = 1/2 sum over k != 0 of B_pq(n) phi_p^(k) phi_q^(k)*  +  W_0(<phi>),      n = k/|k|
    B_pq(n) = e_p : C : e_q  -  (n . s_p) . A(n)^-1 . (s_q . n),                 s_p = C : e_p,  A_ik = C_ijkl n_j n_l

Each mode is a laminate: B is what is left when it relaxes by displacements along its wave. It depends on the direction alone,
is even in n, and as a matrix never negative. W_0, of the mean values, is what the load leaves: strains that are held make it
cost, stresses that are held move it by their work, which W counts (it is the energy of the body and of its load together).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from . import tensors
from .tensors import Array

#: A polynomial in the components of a direction: exponents of n_x, n_y, n_z -> coefficient.
Polynomial = dict[tuple[int, int, int], float]
#: Coefficients below this part of the largest are round-off.
_NOTHING = 1e-13
#: Directions that are looked at for the largest value of B.
_DIRECTIONS = 4000


@dataclass(frozen=True)
class Load:
    """What a body is held by, component by component (Mandel order, tensor components).

    Attributes:
        strain: mean strain; None where it is free. stress: mean stress there; what is given nowhere is 0.
    """

    strain: tuple[float | None, ...] = (None,) * 6
    stress: tuple[float | None, ...] = (None,) * 6


class CoherentBody:
    """A homogeneous elastic body with stress-free strains.

    Args:
        stiffness: (6, 6), Mandel. strains: (m, 6), Mandel: one for each phi_p. load: what holds it.
        thin: a sheet in the plane xy, free of stress along z (plane stress); else three-dimensional, also where nothing varies
            along some of its axes.
    """

    def __init__(self, stiffness: Array, strains: Array, load: Load | None = None, thin: bool = False) -> None:
        self._solid, self._given = np.asarray(stiffness, float), np.asarray(strains, float)
        self._load = load or Load()
        self._axes = (0, 1) if thin else (0, 1, 2)
        self._parts = list(tensors.PLANE) if thin else list(range(6))
        self.stiffness = tensors.embed_plane(tensors.plane_stress(self._solid)) if thin else self._solid
        self.strains = self._given * np.isin(np.arange(6), self._parts)
        self._pull = self.strains @ self.stiffness

    # -- waves ---------------------------------------------------------------------------------------------------------

    def modulus(self, direction: Sequence[float] | Array) -> Array:
        """B of directions (..., 3), of any length but 0: (..., m, m), in the unit of the stiffness."""
        n = np.asarray(direction, float)
        n = n / np.linalg.norm(n, axis=-1, keepdims=True)
        axes = list(self._axes)
        acoustic = np.einsum("ijkl,...j,...l->...ik", self._tensor, n, n)[..., axes, :][..., axes]
        pull = np.einsum("pij,...j->...ip", tensors.to_matrix(self._pull), n)[..., axes, :]
        relaxed = np.swapaxes(pull, -1, -2) @ np.linalg.solve(acoustic, pull)
        return np.asarray(self.strains @ self._pull.T - relaxed)

    @cached_property
    def _tensor(self) -> Array:
        """C_ijkl, (3, 3, 3, 3)."""
        entries = tensors.to_matrix(np.swapaxes(tensors.to_matrix(self.stiffness), 0, 2))
        return np.asarray(np.transpose(entries, (1, 0, 2, 3)))

    def polynomials(self, axes: int = 3) -> tuple[list[list[Polynomial]], Polynomial]:
        """Numerators P_pq and the denominator D of B_pq = P_pq(n)/D(n) for unit vectors along so many axes, homogeneous and of
        the same degree.

        Monomials that are odd in some component change sign with it. Without them numerator and denominator are means over its
        two signs: so a mode that stands for both, the highest of an even number of cells, gets a B that is not negative either.
        """
        size = len(self._axes)
        acoustic = [[_second(self._tensor[i, :, k, :]) for k in range(size)] for i in range(size)]
        pulls = [[_first(row) for row in tensors.to_matrix(s)[:size]] for s in self._pull]
        determinant = _determinant(acoustic)
        held = self.strains @ self._pull.T
        numerators: list[list[Polynomial]] = []
        for p, left in enumerate(pulls):
            numerators.append([])
            for q, right in enumerate(pulls):
                relaxed: Polynomial = {}
                for i in range(size):
                    for k in range(size):
                        cofactor = _determinant(_minor(acoustic, k, i))
                        sign = -1.0 if (i + k) % 2 else 1.0
                        _add(relaxed, _times(_times(left[i], cofactor), right[k]), sign)
                whole: Polynomial = {}
                _add(whole, determinant, float(held[p, q]))
                _add(whole, relaxed, -1.0)
                scale = float(np.sqrt(held[p, p] * held[q, q])) * _size(determinant)
                numerators[-1].append(_cleaned(whole, axes, scale))
        return numerators, _cleaned(determinant, axes, _size(determinant))

    def largest(self, axes: int) -> Array:
        """The largest B_pp over all directions along so many axes, or of the mean, (m,)."""
        if axes == 1:
            n = np.array([[1.0, 0.0, 0.0]])
        elif axes == 2:
            angle = np.linspace(0, np.pi, 720, endpoint=False)
            n = np.stack([np.cos(angle), np.sin(angle), np.zeros_like(angle)], axis=-1)
        else:  # Fibonacci's lattice
            i = np.arange(_DIRECTIONS)
            z, angle = (2 * i + 1) / _DIRECTIONS - 1, np.pi * (1 + np.sqrt(5)) * i
            r = np.sqrt(1 - z**2)
            n = np.stack([r * np.cos(angle), r * np.sin(angle), z], axis=-1)
        waves = np.einsum("npp->np", self.modulus(n)).max(axis=0)
        return np.asarray(np.maximum(waves, np.diag(self.mean_modulus)))

    def mirrored(self, axis: int) -> bool:
        """Whether a plane across an axis is one of symmetry, of the stiffness, of every stress-free strain and of the load."""
        mirror = np.eye(3)
        mirror[axis, axis] = -1.0
        turn = tensors.rotation_mandel(mirror)
        odd = np.diag(turn) < 0
        held = [v for v, o in zip((*self._load.strain, *self._load.stress), (*odd, *odd), strict=True) if o]
        scale = 1e-9 * np.abs(self._solid).max()
        same = np.abs(turn @ self._solid @ turn.T - self._solid).max() <= scale
        strains = np.abs(self._given[:, odd]).max(initial=0.0) <= 1e-9 * np.abs(self._given).max(initial=0.0)
        return bool(same and strains and not any(held))

    # -- mean values ---------------------------------------------------------------------------------------------------

    @cached_property
    def _held(self) -> tuple[list[int], list[int], Array, Array, Array, Array]:
        """Components of which the strain is held, and of which it is free; stiffness of the former with the latter relaxed, what
        the free strains follow those by, the strain and the stress held."""
        fixed = [c for c in self._parts if self._load.strain[c] is not None]
        free = [c for c in self._parts if c not in fixed]
        c = self.stiffness
        follow = -np.linalg.solve(c[np.ix_(free, free)], c[np.ix_(free, fixed)])
        relaxed = c[np.ix_(fixed, fixed)] + c[np.ix_(fixed, free)] @ follow
        strain = np.array([self._load.strain[i] or 0.0 for i in fixed]) * tensors.FACTOR[fixed]
        stress = np.array([self._load.stress[i] or 0.0 for i in free]) * tensors.FACTOR[free]
        return fixed, free, relaxed, follow, strain, stress

    @cached_property
    def mean_modulus(self) -> Array:
        """A of W_0 = 1/2 A_pq <phi_p> <phi_q> + b_p <phi_p> + c, (m, m)."""
        fixed, _, relaxed, *_ = self._held
        e = self.strains[:, fixed]
        return np.asarray(e @ relaxed @ e.T)

    @cached_property
    def mean_force(self) -> Array:
        """b of W_0, (m,)."""
        fixed, free, relaxed, follow, strain, stress = self._held
        e = self.strains
        return np.asarray(-e[:, fixed] @ (relaxed @ strain - follow.T @ stress) - e[:, free] @ stress)

    @cached_property
    def mean_energy(self) -> float:
        """c of W_0."""
        _, free, relaxed, follow, strain, stress = self._held
        loose = np.linalg.solve(self.stiffness[np.ix_(free, free)], stress)
        return float(0.5 * strain @ relaxed @ strain - 0.5 * stress @ loose - stress @ (follow @ strain))

    def mean_stress(self, means: Array) -> Array:
        """Mean stress (6,), Mandel, at mean values ``means`` of the phi_p, (m,)."""
        fixed, free, relaxed, follow, strain, stress = self._held
        out = np.zeros(6)
        elastic = strain - (np.asarray(means) @ self.strains)[fixed]
        out[free] = stress
        out[fixed] = relaxed @ elastic - follow.T @ stress
        return out

    def mean_strain(self, means: Array) -> Array:
        """Mean strain (6,), Mandel: the mean stress-free strain and what the mean stress adds."""
        out = np.asarray(means) @ self._given + np.linalg.solve(self._solid, self.mean_stress(means))
        out[self._held[0]] = self._held[4]
        return np.asarray(out)


# -- polynomials -------------------------------------------------------------------------------------------------------


def value(polynomial: Polynomial, squares: Sequence[Array], products: dict[tuple[int, int], Array]) -> Array | float:
    """A polynomial of even degree from n_x^2, n_y^2, n_z^2 and the products n_a n_b, a < b, which may be another kind of mean."""
    total: Array | float = 0.0
    for exponents, coefficient in polynomial.items():
        term: Array | float = coefficient
        for a, exponent in enumerate(exponents):
            for _ in range(exponent // 2):
                term = term * squares[a]
        odd = [a for a in range(3) if exponents[a] % 2]
        if odd:
            term = term * products[odd[0], odd[1]]
        total = total + term
    return total


def _first(vector: Array) -> Polynomial:
    return {(int(a == 0), int(a == 1), int(a == 2)): float(v) for a, v in enumerate(vector)}


def _second(matrix: Array) -> Polynomial:
    out: Polynomial = {}
    for j in range(3):
        for m in range(3):
            _add(out, _times(_first(np.eye(3)[j]), _first(np.eye(3)[m])), float(matrix[j, m]))
    return out


def _add(into: Polynomial, other: Polynomial, factor: float) -> None:
    for key, coefficient in other.items():
        if coefficient and factor:
            into[key] = into.get(key, 0.0) + factor * coefficient


def _times(one: Polynomial, other: Polynomial) -> Polynomial:
    out: Polynomial = {}
    for (a, b, c), left in one.items():
        for (d, e, f), right in other.items():
            if left and right:
                key = (a + d, b + e, c + f)
                out[key] = out.get(key, 0.0) + left * right
    return out


def _minor(matrix: list[list[Polynomial]], row: int, column: int) -> list[list[Polynomial]]:
    return [[e for k, e in enumerate(r) if k != column] for i, r in enumerate(matrix) if i != row]


def _determinant(matrix: list[list[Polynomial]]) -> Polynomial:
    if len(matrix) == 1:
        return dict(matrix[0][0])
    out: Polynomial = {}
    for k, first in enumerate(matrix[0]):
        _add(out, _times(first, _determinant(_minor(matrix, 0, k))), -1.0 if k % 2 else 1.0)
    return out


def _size(polynomial: Polynomial) -> float:
    return max(map(abs, polynomial.values()), default=0.0)


def _cleaned(polynomial: Polynomial, axes: int, scale: float) -> Polynomial:
    """Without other axes, and without what is round-off beside ``scale``."""
    return {m: c for m, c in sorted(polynomial.items()) if abs(c) > _NOTHING * scale and not any(m[axes:])}
