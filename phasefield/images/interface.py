"""Where the interface of a diffuse field cuts voxels: fractions and normals.

With ``psi = atanh(2 phi - 1)``, which is linear across a tanh profile, the signed distance of a voxel's centre is
``psi/|grad psi|`` and the normal ``grad psi/|grad psi|``; the plane they define cuts the voxel into two volumes (Scardovelli and
Zaleski, J. Comput. Phys. 164 (2000) 228).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..planes import ALONE, Planes
from .raster import Array

#: Mean |difference| of neighbours' phi across the interface above which phi is taken for a volume fraction.
_STEEP = 0.4


def gradient(field: Array, spacing: Sequence[float], walls: Sequence[str]) -> Array:
    """Central differences (dim, ...), one-sided at faces that are not periodic."""
    out = np.empty((field.ndim, *field.shape))
    for d in range(field.ndim):
        ahead, behind = np.roll(field, -1, d), np.roll(field, 1, d)
        out[d] = (ahead - behind) / (2 * spacing[d])
        if walls[d] != "periodic" and field.shape[d] > 1:
            at: list[Any] = [slice(None)] * field.ndim
            for edge, inside in ((0, 1), (-1, -2)):
                at[d] = edge
                inner = at.copy()
                inner[d] = inside
                sign = 1 if edge == 0 else -1
                out[(d, *at)] = sign * (field[tuple(inner)] - field[tuple(at)]) / spacing[d]
    return out


def cut_by_level(
    phi: Array,
    spacing: tuple[float, ...],
    walls: Sequence[str],
    own: slice = slice(None),
    planes: Planes = ALONE,
) -> tuple[Array, Array]:
    """Fraction of phase 1 in every voxel and the normal towards it, from the level set phi = 1/2.

    Args:
        own: which planes are this process's ``planes``; those beyond are there for gradients.
    """
    if _steep(phi, walls, own, planes):
        g = gradient(_smoothed(phi, walls), spacing, walls)
        norm = np.sqrt(np.sum(g**2, axis=0))
        normal = g / np.where(norm > 0, norm, 1.0)
        return np.where(norm > 0, phi, np.rint(phi)), normal
    near = np.flatnonzero(_beside(phi > 0.5, walls))

    def psi(at: tuple[Array, ...]) -> Array:
        value = np.clip(phi[at], 1e-7, 1 - 1e-7)
        return np.asarray(0.5 * np.log(value / (1 - value)))

    cut, part, n = cut_by_planes(near, psi, phi.shape, spacing, walls)
    fraction = np.rint(phi)
    fraction.flat[near[cut]] = part
    normal = np.zeros((phi.ndim, *phi.shape))
    normal.reshape(phi.ndim, -1)[:, near[cut]] = n.T
    return fraction, normal


def _steep(phi: Array, walls: Sequence[str], own: slice, planes: Planes) -> bool:
    """Whether the interface is about a voxel wide, so that phi is a volume fraction."""
    at = np.nonzero((phi[own] > 0.25) & (phi[own] < 0.75))
    if not planes.any(len(at[0])):
        return True
    at = (at[0] + (own.start or 0), *at[1:])
    squares = np.zeros(len(at[0]))
    for d, n in enumerate(phi.shape):
        ahead, behind = list(at), list(at)
        ahead[d] = (at[d] + 1) % n if walls[d] == "periodic" else np.minimum(at[d] + 1, n - 1)
        behind[d] = (at[d] - 1) % n if walls[d] == "periodic" else np.maximum(at[d] - 1, 0)
        squares += ((phi[tuple(ahead)] - phi[tuple(behind)]) / 2) ** 2
    return planes.median(np.sqrt(squares)) > _STEEP


def _beside(inside: NDArray[np.bool_], walls: Sequence[str]) -> NDArray[np.bool_]:
    """Voxels with both phases among themselves and all their neighbours, corners included: only those can be cut."""
    some, all_ = inside, inside
    for d, n in enumerate(inside.shape):
        i = np.arange(n)
        edge = "wrap" if walls[d] == "periodic" else "clip"

        def beside(a: NDArray[np.bool_], step: int, i: Any = i, d: int = d, edge: Any = edge) -> NDArray[np.bool_]:
            return np.take(a, i + step, axis=d, mode=edge)

        some = some | beside(some, -1) | beside(some, 1)
        all_ = all_ & beside(all_, -1) & beside(all_, 1)
    return np.asarray(some & ~all_)


def cut_by_planes(
    near: NDArray[np.integer],
    psi: Callable[[tuple[Array, ...]], Array],
    shape: tuple[int, ...],
    space: tuple[float, ...],
    walls: Sequence[str],
) -> tuple[NDArray[np.bool_], Array, Array]:
    """The planes psi = 0 through voxels.

    The plane is moved for the volume that the curved interface cuts off: it lies off its tangent plane by half the
    curvature times the squared distance, whose mean over a voxel is h^2/12 per direction. Left out, a disk of radius R
    voxels is 1/(12 R^2) too large.

    Args:
        near: flat numbers of the voxels to look at. psi: its values at given indices.

    Returns:
        Which of them are cut, and of those the part where psi > 0, and the unit normals (cut, dim).
    """
    here = np.unravel_index(near, shape)

    def moved(*steps: tuple[int, int]) -> Array:
        """psi at neighbours, ``(axis, +-1)``; beyond a wall at the wall."""
        at = list(here)
        for d, s in steps:
            at[d] = (at[d] + s) % shape[d] if walls[d] == "periodic" else np.clip(at[d] + s, 0, shape[d] - 1)
        return psi(tuple(at))

    dim = len(shape)
    value = psi(here)
    ahead, behind = [moved((d, 1)) for d in range(dim)], [moved((d, -1)) for d in range(dim)]
    width = [2.0 if walls[d] == "periodic" else 2.0 - (here[d] == 0) - (here[d] == shape[d] - 1) for d in range(dim)]
    g = np.stack([(ahead[d] - behind[d]) / (np.maximum(width[d], 1.0) * space[d]) for d in range(dim)], axis=-1)
    norm = np.linalg.norm(g, axis=1)
    safe = np.where(norm > 0, norm, 1.0)
    n = g / safe[:, None]
    # psi curves by H over the tangent plane, P H P with P = 1 - n n^T; its mean over the voxel is that of h^2/12 per axis.
    straight = [(ahead[d] - 2 * value + behind[d]) / space[d] ** 2 for d in range(dim)]
    along = np.stack([straight[d] * n[:, d] for d in range(dim)], axis=-1)  # H n
    for d in range(dim):
        for e in range(d):
            cross = moved((d, 1), (e, 1)) - moved((d, 1), (e, -1)) - moved((d, -1), (e, 1)) + moved((d, -1), (e, -1))
            cross /= 4 * space[d] * space[e]
            along[:, d] += cross * n[:, e]
            along[:, e] += cross * n[:, d]
    across = np.sum(n * along, axis=1)
    bulge = np.zeros(len(near))
    for d in range(dim):
        bulge += (straight[d] - 2 * n[:, d] * along[:, d] + n[:, d] ** 2 * across) * space[d] ** 2 / 24
    bulge = np.clip(bulge / safe, -max(space) / 48, max(space) / 48)
    reach = 0.5 * np.sqrt(np.sum(np.square(space)))
    cut = (norm > 0) & (np.abs(value) < reach * norm)
    return cut, cut_fraction(n[cut], value[cut] / norm[cut] + bulge[cut], space), n[cut]


def _smoothed(phi: Array, walls: Sequence[str]) -> Array:
    """[1 2 1]/4 along every axis: steadies the normal of a volume fraction (Parker and Youngs 1992)."""
    for d in range(phi.ndim):
        if walls[d] == "periodic":
            phi = (np.roll(phi, 1, d) + 2 * phi + np.roll(phi, -1, d)) / 4
        else:
            pad = [(1, 1) if a == d else (0, 0) for a in range(phi.ndim)]
            wide = np.pad(phi, pad, mode="edge")
            n = phi.shape[d]
            below, here, above = (np.take(wide, range(k, k + n), axis=d) for k in range(3))
            phi = (below + 2 * here + above) / 4
    return phi


def cut_fraction(normal: Array, distance: Array, spacing: Sequence[float]) -> Array:
    """Part of a box on the positive side of a plane.

    Args:
        normal: unit normals (m, dim). distance: of the box's centre from the plane, positive on the positive side, (m,).
        spacing: edge lengths of the box (dim).
    """
    m = np.abs(normal) * np.asarray(spacing)
    total = m.sum(axis=1)
    # The formula divides by the product of the components; tiny ones are raised, which moves nothing within its accuracy.
    m = np.maximum(m, 2e-4 * total[:, None])
    total = m.sum(axis=1)
    dim = m.shape[1]
    side = np.abs(distance)
    alpha = np.clip(total / 2 - side, 0.0, None)  # of the smaller part
    volume = np.zeros(len(m))
    for corner in np.ndindex(*(2,) * dim):
        offset = alpha - m @ np.array(corner, float)
        volume += (-1) ** sum(corner) * np.clip(offset, 0.0, None) ** dim
    volume /= np.prod(m, axis=1) * [1, 1, 2, 6][dim]
    small = np.clip(volume, 0.0, 0.5)
    return np.asarray(np.where(distance >= 0, 1 - small, small))
