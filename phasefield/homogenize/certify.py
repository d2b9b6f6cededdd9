"""Bounds on the effective tensor of a voxel image, one tensor per voxel, that hold whatever the discretisation error.

Upper: the energy of any continuous displacement (potential), `CellProblem.energy`. Lower: by the principle of minimum
complementary energy stresses in equilibrium (fluxes without sources) ``s_j`` of mean ``e_j`` give ``C* >= B^-1``, where
``B_ij`` is the mean of ``s_i : C^-1 : s_j`` (Necas and Hlavacek 1981; Vondrejc, Zeman and Marek, Comput. Methods Appl. Mech.
Eng. 297 (2015) 258, with trigonometric polynomials). Both hold in the Loewner sense, for all loads at once, also for fields
that have not converged, up to rounding.

The stresses here are splines on the voxels: of degree d along an axis (piecewise constant, hat functions, quadratic with
continuous slope), with

    flux       q_a       degree 1 along a, 0 along the others       (lowest-order Raviart-Thomas)
    stress     s_aa      degree 2 along a, 0 along the others
               s_ab      degree 1 along a and b, 0 along the third

so that what must be continuous across the faces is, and differences of the coefficients on staggered places are the exact
divergence: equilibrium in every point is linear in them and diagonal in Fourier space. A voxel sees polynomials, whose energy is
summed exactly in orthonormal Legendre polynomials. Stresses of laminates along the axes are among them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from ..mechanics import tensors
from ..mechanics.conjugate_gradients import ArrayUpdates, Identity, conjugate_gradients
from ..mechanics.convergence import Progress
from ..mechanics.tensors import Array

_LINEAR, _QUADRATIC = math.sqrt(1 / 12), math.sqrt(1 / 180)
#: Coefficient of the orthonormal Legendre polynomial in a voxel, by (degree of the spline, of the polynomial): weights of the
#: coefficients by offset. Those of degree 1 stand at the lower face of their voxel, the others at its centre.
_STENCILS: dict[tuple[int, int], dict[int, float]] = {
    (0, 0): {0: 1.0},
    (1, 0): {0: 0.5, 1: 0.5},
    (1, 1): {0: -_LINEAR, 1: _LINEAR},
    (2, 0): {-1: 1 / 6, 0: 4 / 6, 1: 1 / 6},
    (2, 1): {-1: -_LINEAR / 2, 1: _LINEAR / 2},
    (2, 2): {-1: _QUADRATIC / 2, 0: -_QUADRATIC, 1: _QUADRATIC / 2},
}
#: The bound holds after any number of iterations; these are for a sharp one.
_ITERATIONS = 500


class Equilibrated(ArrayUpdates):
    """Stresses in equilibrium (fluxes without sources) on a periodic image.

    Args:
        index: entry of every voxel, (nx, ny, nz) or fewer axes. compliance: of every entry, (entries, 3, 3) or (entries, 6, 6)
            Mandel. spacing: edge lengths of a voxel.
    """

    def __init__(self, index: np.ndarray, compliance: Array, spacing: Sequence[float]) -> None:
        missing = 3 - index.ndim
        nx, ny, nz = index.shape + (1,) * missing
        self.shape = (nx, ny, nz)
        self.index = index.reshape(self.shape)
        steps = [*spacing, *(1.0,) * missing]
        self.size = compliance.shape[-1]
        ends = [(a, a) for a in range(3)] if self.size == 3 else list(tensors.PAIRS)
        self._degrees = [
            tuple((1 if self.size == 3 else (a == d) + (b == d)) if d in (a, b) else 0 for d in range(3))
            for a, b in ends
        ]
        self._modes: dict[tuple[int, ...], list[int]] = {}
        for component, degrees in enumerate(self._degrees):
            for mode in product(*(range(d + 1 if n > 1 else 1) for d, n in zip(degrees, self.shape, strict=True))):
                self._modes.setdefault(mode, []).append(component)
        self._compliance = {
            (i, j): compliance[:, i, j][self.index]
            for i in range(self.size)
            for j in range(i, self.size)
            if np.any(compliance[:, i, j])
        }
        turns = [np.exp(2j * np.pi * np.arange(n) / n) for n in self.shape]
        ahead = [(t - 1) / h for t, h in zip(turns, steps, strict=True)]
        ahead[2] = ahead[2][: self.shape[2] // 2 + 1]
        grid = [a.reshape([-1 if d == e else 1 for e in range(3)]) for d, a in enumerate(ahead)]
        rows = 1 if self.size == 3 else 3
        self._divergence: dict[tuple[int, int], Array] = {}  # by row and component
        for component, (a, b) in enumerate(ends):
            if rows == 1:
                self._divergence[0, component] = grid[a]
            elif a == b:
                self._divergence[a, component] = -np.conj(grid[a])
            else:  # Mandel components are sqrt2 times the tensor's
                self._divergence[a, component] = grid[b] / math.sqrt(2)
                self._divergence[b, component] = grid[a] / math.sqrt(2)
        modes = np.broadcast_shapes(*(g.shape for g in grid))
        square = np.zeros((*modes, rows, rows), complex)
        for (i, c), left in self._divergence.items():
            for (j, e), right in self._divergence.items():
                if c == e:
                    square[..., i, j] += left * np.conj(right)
        square[0, 0, 0] = np.eye(rows)
        self._inverse = np.linalg.inv(square)

    def project(self, stress: Array) -> Array:
        """The nearest coefficients (size, nx, ny, nz) in equilibrium and of mean zero."""
        modes = np.fft.rfftn(stress, axes=(1, 2, 3))
        rows = self._inverse.shape[-1]
        force = np.zeros((rows, *modes.shape[1:]), complex)
        for (i, c), factor in self._divergence.items():
            force[i] += factor * modes[c]
        force = np.einsum("...ij,j...->i...", self._inverse, force)
        for (i, c), factor in self._divergence.items():
            modes[c] -= np.conj(factor) * force[i]
        modes[:, 0, 0, 0] = 0.0
        return np.fft.irfftn(modes, self.shape, axes=(1, 2, 3))

    def gradient(self, stress: Array) -> Array:
        """``H s`` for coefficients s, where ``s . H s`` is the exact sum of ``s : C^-1 : s`` over voxels of volume 1."""
        out = np.zeros_like(stress)
        for mode, components in self._modes.items():
            local = {c: self._filtered(stress[c], c, mode, -1) for c in components}
            for i in components:
                strain = np.zeros(self.shape)
                for j in components:
                    value = self._compliance.get((min(i, j), max(i, j)))
                    if value is not None:
                        strain += value * local[j]
                out[i] += self._filtered(strain, i, mode, 1)
        return out

    def _filtered(self, field: Array, component: int, mode: tuple[int, ...], sign: int) -> Array:
        for axis, (degree, power) in enumerate(zip(self._degrees[component], mode, strict=True)):
            if self.shape[axis] > 1 and degree:
                stencil = _STENCILS[degree, power]
                field = sum((w * np.roll(field, sign * at, axis) for at, w in stencil.items()), np.zeros(self.shape))
        return field

    def multiply(self, p: Array, w: Array) -> tuple[Array, Array]:
        """``w = P H p`` of one stress in equilibrium, with the projector P of `project`, see `LinearSystem`."""
        w[0] = self.project(self.gradient(p[0]))
        return np.array([float(np.vdot(p, w))]), np.zeros((1, self.size))

    def minimize(self, mean: Array, tolerance: float) -> Array:
        """Coefficients of the stress of least complementary energy for a mean stress, by conjugate gradients among stresses in
        equilibrium, until the energy has changed by less than ``tolerance`` in the last 3 + n/10 of n iterations.
        """
        stress = np.broadcast_to(mean[:, None, None, None], (1, self.size, *self.shape)).copy()
        gradient = self.gradient(stress[0])
        r = -self.project(gradient)[None]
        progress = ComplementaryEnergy(
            "stress", tolerance, _ITERATIONS,
            energy=float(np.vdot(stress, gradient)), floor=1e-30 * float(np.vdot(gradient, gradient)),
        )  # fmt: skip
        conjugate_gradients(self, Identity(), [progress], (stress, r, np.zeros_like(r), r.copy()))
        return np.asarray(stress[0])


@dataclass
class ComplementaryEnergy(Progress):
    """Of stresses in equilibrium: their energy. A bound at any time, so nothing is given up.

    Args:
        energy: at the start. floor: squared residual below which all is rounding.
    """

    energy: float = 0.0
    floor: float = 0.0

    def begin(self, residual: float) -> None:
        super().begin(residual)
        self.floor = max(self.floor, 1e-28 * residual)
        self.done = residual <= self.floor

    def stuck(self, curvature: float) -> None:
        self.done = True  # rounding is all that is left

    def step(self, alpha: float, residual: float, sums: Array, after: float) -> None:
        self._drops.append(alpha * residual)
        self.energy -= self._drops[-1]
        count = len(self._drops)
        window = 3 + count // 10
        self.done = count >= window and sum(self._drops[-window:]) <= self.tolerance * self.energy
        self.done |= after <= self.floor or count >= self.max_iterations


def lower_bound(
    index: np.ndarray, table: Array, spacing: Sequence[float], components: Sequence[int], tolerance: float = 1e-5
) -> Array:
    """A tensor below the effective tensor of the image, (n, n) in the Loewner sense; zero where a voxel resists nothing.

    Args:
        index: entry of every voxel. table: (entries, 3, 3) or (entries, 6, 6) Mandel, symmetric. spacing: edge lengths of a
            voxel.
        components: numbers of those that count, e.g. in the plane of a sheet; the table is zero in the others.
    """
    n = table.shape[-1]
    out = np.zeros((n, n))
    block = np.ix_(list(components), list(components))
    used = np.unique(index)
    parts = table[:, block[0], block[1]]
    values = np.linalg.eigvalsh(parts[used])
    if values[:, 0].min() <= 1e-12 * values.max():
        return out
    compliance = np.zeros_like(table)
    compliance[used[:, None, None], block[0], block[1]] = np.linalg.inv(parts[used])
    cell = Equilibrated(index, compliance, spacing)
    stresses = [cell.minimize(np.eye(n)[c], tolerance) for c in components]
    energy = np.zeros((len(components), len(components)))
    for i, stress in enumerate(stresses):
        strain = cell.gradient(stress)
        energy[i] = [float(np.vdot(other, strain)) / index.size for other in stresses]
    out[block] = np.linalg.inv((energy + energy.T) / 2)
    return (out + out.T) / 2
