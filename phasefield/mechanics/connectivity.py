"""Which mean gradients (or strains) a periodic solid with voids carries at all, from its connections alone.

A piece of solid that is connected with its periodic copies by the lattice vectors w (it winds around the cell along them) moves
freely under any mean gradient with ``g . w = 0``, and rotates freely, so under any mean strain with ``w_i . E w_j = 0``. The
effective tensor is exactly zero there: its range lies in the span of all w, or of all ``sym(w_i x w_j)``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..disjoint import union
from . import tensors
from .tensors import Array


def carried(solid: np.ndarray, spacing: Sequence[float], size: int) -> Array:
    """Projector (size, size) on the mean gradients (size 3) or Mandel strains (size 6) that the solid may carry.

    What it projects out is carried by no material on this grid; what it keeps may still be free to move in mechanisms.

    Args:
        solid: which voxels are no void, of 1 to 3 axes; the axes it lacks are ones along which nothing varies.
        spacing: edge lengths of a voxel.
    """
    lengths = np.ones(3)
    lengths[: solid.ndim] = np.multiply(solid.shape, spacing) / np.max(np.multiply(solid.shape, spacing))
    spans = []
    for group in windings(solid.reshape(solid.shape + (1,) * (3 - solid.ndim))):
        rows = np.array(sorted(group), float) * lengths
        # Cells may be much longer along one axis than along others; which vectors are independent is no matter of their lengths.
        vectors = _span(rows / np.linalg.norm(rows, axis=1, keepdims=True))
        if len(vectors) == 3:
            return np.eye(size)
        if size == 3:
            spans.append(vectors)
        else:
            spans.append(
                np.array([tensors.from_matrix(np.outer(a, b) + np.outer(b, a)) for a in vectors for b in vectors])
            )
    if not spans:
        return np.zeros((size, size))
    basis = _span(np.concatenate(spans))
    out = basis.T @ basis
    out[np.abs(out) < 1e-12] = 0.0
    return np.asarray(out)


def _span(vectors: Array) -> Array:
    """Orthonormal rows that span the same space."""
    _, values, rows = np.linalg.svd(vectors, full_matrices=False)
    return np.asarray(rows[values > 1e-9 * max(values[0], 1e-300)])


def windings(solid: np.ndarray) -> set[frozenset[tuple[int, int, int]]]:
    """Lattice vectors (in cells) that generate those along which each piece of solid meets its periodic copies.

    Pieces hang together through common nodes, corners included, as in the discrete problem.

    Args:
        solid: three axes, all periodic.

    Returns:
        The different sets of vectors of the pieces; a piece that meets no copy of itself gives none.
    """
    parent = np.arange(solid.size, dtype=np.int32 if solid.size < 2**31 else np.int64)
    flat = parent.copy().reshape(solid.shape)
    wraps = []
    for axis, n in enumerate(solid.shape):
        one, two = (a for a in range(3) if a != axis)
        # From node to node along the axis: of the four voxels about it any is solid.
        edge = solid | np.roll(solid, 1, one)
        edge |= np.roll(edge, 1, two)
        ahead = np.roll(flat, -1, axis)
        last = np.take(edge, n - 1, axis)
        wraps.append((np.take(flat, n - 1, axis)[last], np.take(ahead, n - 1, axis)[last]))
        np.moveaxis(edge, axis, 0)[n - 1] = False
        if n > 1:
            union(parent, flat[edge], ahead[edge])
    pieces = _Pieces()
    for axis, (a, b) in enumerate(wraps):
        step = [0, 0, 0]
        step[axis] = 1
        for first, second in np.unique(np.stack([parent[a], parent[b]], axis=1), axis=0).tolist():
            pieces.join(first, second, step)
    return {frozenset(group) for group in pieces.groups.values() if group}


class _Pieces:
    """Pieces joined across the faces of the cell: a forest whose links carry the cell that the other piece lies in."""

    def __init__(self) -> None:
        self.parent: dict[int, tuple[int, tuple[int, int, int]]] = {}
        self.groups: dict[int, set[tuple[int, int, int]]] = {}

    def root(self, piece: int) -> tuple[int, tuple[int, int, int]]:
        """The root, and the cell of ``piece`` as seen from it."""
        path, total = [], (0, 0, 0)
        while piece in self.parent:
            path.append(piece)
            piece = self.parent[piece][0]
        for each in reversed(path):  # shorten the path
            total = _sum(total, self.parent[each][1])
            self.parent[each] = (piece, total)
        return piece, total

    def join(self, first: int, second: int, step: Sequence[int]) -> None:
        """``second``, in the cell ``step`` away, hangs together with ``first``."""
        (a, at), (b, to) = self.root(first), self.root(second)
        between = _sum(at, step)
        offset = (between[0] - to[0], between[1] - to[1], between[2] - to[2])
        found = [offset]
        if a != b:
            self.parent[b] = (a, offset)
            found = list(self.groups.pop(b, ()))
        group = self.groups.setdefault(a, set())
        for vector in found:
            if any(vector) and np.linalg.matrix_rank(np.array([*group, vector])) > len(group):
                group.add(vector)


def _sum(a: Sequence[int], b: Sequence[int]) -> tuple[int, int, int]:
    return (a[0] + b[0], a[1] + b[1], a[2] + b[2])
