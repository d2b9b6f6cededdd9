"""How far a tensor is from a class of symmetry, and the axes in which it is closest to orthotropic."""

from __future__ import annotations

import itertools
from functools import cache

import numpy as np

from ...mechanics import tensors
from ...mechanics.tensors import Array

#: From the most to the least symmetric of the classes that solvers have a form for.
CLASSES = ("isotropic", "orthotropic", "anisotropic")
#: Rotations tried before the best of them are refined, and how many are: two basins of attraction were never missed with 3000.
_TRIED, _REFINED = 3000, 6
#: Distances up to this are rounding.
_EXACT = 1e-12


def nearest_orthotropic(tensor: Array) -> tuple[Array, float]:
    """The nearest tensor that is orthotropic about the axes, in the Frobenius norm, and its relative distance.

    Args:
        tensor: (6, 6) Mandel stiffness or (3, 3).
    """
    near = np.where(_kept(len(tensor)), tensor, 0.0)
    norm = float(np.linalg.norm(tensor))
    return near, float(np.linalg.norm(tensor - near)) / norm if norm else 0.0


@cache
def _kept(size: int) -> Array:
    """Which components an orthotropic tensor has."""
    kept = np.eye(size, dtype=bool)
    kept[:3, :3] |= size == 6
    return kept


def distances(tensor: Array) -> dict[str, float]:
    """Relative distances to the classes about the given axes, a stiffness to cubic symmetry besides."""
    out = {"isotropic": tensors.nearest_isotropic(tensor)[1]}
    if len(tensor) == 6:
        out["cubic"] = tensors.nearest_cubic(tensor)[1]
    return out | {"orthotropic": nearest_orthotropic(tensor)[1]}


def classed(tensor: Array, threshold: float) -> tuple[str, Array]:
    """The most symmetric class within ``threshold``, and the nearest tensor of it (an anisotropic one is itself)."""
    for name, nearest in (("isotropic", tensors.nearest_isotropic), ("orthotropic", nearest_orthotropic)):
        near, distance = nearest(tensor)
        if distance <= max(threshold, _EXACT):
            return name, near
    return "anisotropic", tensor


def principal_axes(tensor: Array) -> Array:
    """The rotation (its columns are axes in the sample frame) about which a tensor is closest to orthotropic.

    Of a tensor of order 2 its eigenvectors. A stiffness of less than orthotropic symmetry has no exact ones, and of cubic or
    transverse isotropic symmetry those of its second-order parts (Cowin and Mehrabadi, Q. J. Mech. Appl. Math. 40 (1987) 451)
    are not unique; so the distance itself is minimised, from many rotations and from those axes. Of the 24 rotations that name
    the same axes the one closest to no rotation is given.
    """
    if nearest_orthotropic(tensor)[1] <= _EXACT or tensors.nearest_isotropic(tensor)[1] <= _EXACT:
        return np.eye(3)
    if len(tensor) == 3:
        return _upright(np.linalg.eigh(tensor)[1])
    starts = np.concatenate([np.eye(3)[None], _second_order_axes(tensor), tensors.random_rotations(_TRIED, 1)])
    left = np.linalg.norm(_outside(tensor, starts), axis=-1)
    best, least = np.eye(3), np.inf
    # What comes first is preferred: no rotation, then the axes of the second-order parts.
    for k in [*range(3), *np.argsort(left, kind="stable")[:_REFINED]]:
        found, distance = _refined(tensor, starts[k])
        if distance < least - 1e-9 * np.linalg.norm(tensor):
            best, least = found, distance
    return _upright(best)


def _outside(tensor: Array, rotations: Array) -> Array:
    """The components (..., 18) that an orthotropic tensor has not, as seen from rotated axes."""
    seen = tensors.rotate(tensor, np.swapaxes(rotations, -1, -2))
    return seen[..., ~_kept(6)]


def _second_order_axes(tensor: Array) -> Array:
    """Eigenvectors of the dilatational and of the Voigt part of a stiffness, C_ijkk and C_ikjk."""
    full = np.zeros((3, 3, 3, 3))
    bare = tensors.to_voigt(tensor)
    place = np.zeros((3, 3), int)
    for a, (i, j) in enumerate(tensors.PAIRS):
        place[i, j] = place[j, i] = a
    full = bare[place[:, :, None, None], place[None, None]]
    parts = (np.einsum("ijkk->ij", full), np.einsum("ikjk->ij", full))
    return np.stack([_upright(np.linalg.eigh(p)[1]) for p in parts])


def _refined(tensor: Array, start: Array) -> tuple[Array, float]:
    """The nearest minimum of the distance, by least squares over small rotations of a start."""
    from scipy.optimize import least_squares
    from scipy.spatial.transform import Rotation

    scale = float(np.linalg.norm(tensor))

    def residual(vector: Array) -> Array:
        return _outside(tensor, Rotation.from_rotvec(vector).as_matrix() @ start) / scale

    solution = least_squares(residual, np.zeros(3), xtol=1e-15, ftol=1e-15, gtol=1e-15, method="lm")
    return Rotation.from_rotvec(solution.x).as_matrix() @ start, float(np.linalg.norm(solution.fun)) * scale


def _upright(axes: Array) -> Array:
    """Of the rotations that name the same three axes, in another order or direction, the one closest to no rotation."""
    named = [
        axes[:, order] * signs
        for order in itertools.permutations(range(3))
        for signs in itertools.product((1.0, -1.0), repeat=3)
    ]
    proper = [a for a in named if np.linalg.det(a) > 0]
    return np.asarray(max(proper, key=lambda a: round(float(np.trace(a)), 9)))
