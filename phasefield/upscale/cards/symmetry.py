"""How far a tensor is from a class of symmetry, and the axes in which it is closest to orthotropic."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import cache

import numpy as np

from ...mechanics import tensors
from ...mechanics.tensors import Array

#: Random rotations that the search for axes starts from, and its steps.
_STARTS, _STEPS = 60, 60
#: By how much farther from orthotropic, as a relative distance, axes may be in which a nearly cubic tensor is closest to cubic.
_AS_GOOD = 0.01
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
    are not unique; so the distance itself is minimised, from many rotations and from those axes. A cubic crystal is orthotropic
    about face diagonals as well: axes in which a tensor is closest to cubic are preferred where it is nearly that. Of the
    24 rotations that name the same axes the one closest to no rotation is given.
    """
    if nearest_orthotropic(tensor)[1] <= _EXACT or tensors.nearest_isotropic(tensor)[1] <= _EXACT:
        return np.eye(3)
    if len(tensor) == 3:
        return _upright(np.linalg.eigh(tensor)[1])
    scaled = tensor / np.linalg.norm(tensor)
    axes, cubic = _searched(scaled, _beside_orthotropic), _searched(scaled, _beside_cubic)
    least, there = (nearest_orthotropic(tensors.rotate(scaled, r.T))[1] for r in (axes, cubic))
    nearly = tensors.nearest_cubic(tensors.rotate(scaled, cubic.T))[1] <= 3 * least + 1e-9
    return _upright(cubic if nearly and there <= least + _AS_GOOD else axes)


def _searched(tensor: Array, beside: Callable[[Array], Array]) -> Array:
    """The rotation from whose axes the components ``beside`` a class of symmetry are least.

    Least squares by Levenberg and Marquardt, from many starts at once.
    """
    turns = np.concatenate([np.eye(3)[None], _second_order_axes(tensor), tensors.random_rotations(_STARTS, 1)])
    damping = np.full(len(turns), 1e-3)
    seen = tensors.rotate(tensor, np.swapaxes(turns, -1, -2))
    left = beside(seen)
    for _ in range(_STEPS):
        # Turning the axes by w about axis a adds w (G_a^T C + C G_a) to a tensor C as they see it.
        slopes = np.stack([beside(np.swapaxes(g, -1, -2) @ seen + seen @ g) for g in _GENERATORS], axis=-1)
        normal = np.swapaxes(slopes, -1, -2) @ slopes
        gradient = np.einsum("nij,ni->nj", slopes, left)
        step = -np.linalg.solve(normal + damping[:, None, None] * np.eye(3), gradient[..., None])[..., 0]
        turned = turns @ _turned(step)
        trial = tensors.rotate(tensor, np.swapaxes(turned, -1, -2))
        better = np.linalg.norm(beside(trial), axis=-1) < np.linalg.norm(left, axis=-1)
        turns[better], seen[better] = turned[better], trial[better]
        left = beside(seen)
        damping = np.clip(np.where(better, damping / 5, damping * 3), 1e-14, 1.0)
    distance = np.linalg.norm(left, axis=-1)
    # Of equally good ones the first: no rotation, then the axes of the second-order parts.
    return np.asarray(turns[np.flatnonzero(distance <= distance.min() + 1e-11)[0]])


def _turned(vectors: Array) -> Array:
    """Rotations (n, 3, 3) by vectors (n, 3): their direction is the axis, their length the angle."""
    half = np.linalg.norm(vectors, axis=-1, keepdims=True) / 2
    return tensors.rotation_from_quaternion(
        np.concatenate([np.cos(half), np.sinc(half / np.pi) * vectors / 2], axis=-1)
    )


def _generators() -> list[Array]:
    """What the rotation of Mandel vectors changes by per small angle about each axis: it is quadratic in the rotation."""
    out = []
    for axis in np.eye(3):
        cross = np.cross(axis, np.eye(3)).T
        out.append((tensors.rotation_mandel(np.eye(3) + cross) - tensors.rotation_mandel(np.eye(3) - cross)) / 2)
    return out


_GENERATORS = _generators()


def _beside_orthotropic(tensor: Array) -> Array:
    """The components (..., 24) of stiffnesses that an orthotropic one has not."""
    return np.asarray(tensor[..., ~_kept(6)])


def _beside_cubic(tensor: Array) -> Array:
    """The difference (..., 36) of stiffnesses to their nearest cubic ones, see `tensors.nearest_cubic`."""
    cross = np.zeros((6, 6), bool)
    cross[:3, :3] = ~np.eye(3, dtype=bool)
    out = np.array(tensor, float)
    for place in (np.diag([1, 1, 1, 0, 0, 0]) > 0, np.diag([0, 0, 0, 1, 1, 1]) > 0, cross):
        out[..., place] -= out[..., place].mean(axis=-1, keepdims=True)
    return out.reshape(*out.shape[:-2], 36)


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


def _upright(axes: Array) -> Array:
    """Of the rotations that name the same three axes, in another order or direction, the one closest to no rotation."""
    named = [
        axes[:, order] * signs
        for order in itertools.permutations(range(3))
        for signs in itertools.product((1.0, -1.0), repeat=3)
    ]
    proper = [a for a in named if np.linalg.det(a) > 0]
    return np.asarray(max(proper, key=lambda a: round(float(np.trace(a)), 9)))
