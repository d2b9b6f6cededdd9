"""Which mean gradients (or strains) a periodic solid with voids carries at all, from its connections alone.

A piece of solid that is connected with its periodic copies by the lattice vectors w (it winds around the cell along them) moves
freely under any mean gradient with ``g . w = 0``, and rotates freely, so under any mean strain with ``w_i . E w_j = 0``. The
effective tensor is exactly zero there: its range lies in the span of all w, or of all ``sym(w_i x w_j)``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..disjoint import union
from ..planes import ALONE, Planes
from . import tensors
from .tensors import Array


def carried(solid: np.ndarray, spacing: Sequence[float], size: int, planes: Planes = ALONE) -> Array:
    """Projector (size, size) on the mean gradients (size 3) or Mandel strains (size 6) that the solid may carry.

    What it projects out is carried by no material on this grid; what it keeps may still be free to move in mechanisms.

    Args:
        solid: which voxels are no void, of 1 to 3 axes; the axes it lacks are ones along which nothing varies.
        spacing: edge lengths of a voxel. planes: which of the image it holds, of several processes with a margin of one.
    """
    lengths, sizes = np.ones(3), np.multiply(planes.shape(solid.shape), spacing)
    lengths[: solid.ndim] = sizes / sizes.max()
    spans = []
    for group in windings(solid.reshape(solid.shape + (1,) * (3 - solid.ndim)), planes):
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


def windings(solid: np.ndarray, planes: Planes = ALONE) -> set[frozenset[tuple[int, int, int]]]:
    """Lattice vectors (in cells) that generate those along which each piece of solid meets its periodic copies.

    Pieces hang together through common nodes, corners included, as in the discrete problem.

    Args:
        solid: three axes, all periodic. planes: see `carried`.

    Returns:
        The different sets of vectors of the pieces; a piece that meets no copy of itself gives none.
    """
    shape = planes.own(solid).shape
    count = math.prod(shape)
    parent = np.arange(count, dtype=np.int32 if count < 2**31 else np.int64)
    flat = parent.copy().reshape(shape)
    wraps = []
    for axis, n in enumerate(shape):
        one, two = (a for a in range(3) if a != axis)
        # From node to node along the axis: of the four voxels about it any is solid.
        edge = solid | np.roll(solid, 1, one)
        edge |= np.roll(edge, 1, two)
        edge = planes.own(edge)
        if axis == 0 and planes.shared:
            union(parent, flat[:-1][edge[:-1]], flat[1:][edge[:-1]])
            onwards = edge[-1]
            continue
        ahead = np.roll(flat, -1, axis)
        last = np.take(edge, n - 1, axis)
        wraps.append((np.take(flat, n - 1, axis)[last], np.take(ahead, n - 1, axis)[last]))
        np.moveaxis(edge, axis, 0)[n - 1] = False
        if n > 1:
            union(parent, flat[edge], ahead[edge])
    roots = parent.reshape(shape)
    links = [_links(parent[a], parent[b], 3 - len(wraps) + axis) for axis, (a, b) in enumerate(wraps)]
    if planes.shared:
        mine = planes.mine
        start = mine.start * math.prod(shape[1:])
        for link in links:
            link[:, :2] += start
        roots = roots.astype(np.int64) + start
        (above,) = planes.window(roots, mine.stop, mine.stop + 1)
        # The next share begins here, in the next cell if this is the last one.
        links.insert(0, _links(roots[-1][onwards], above[onwards], 0, int(mine.stop == planes.whole)))
    pieces = _Pieces()
    for first, second, *step in planes.collected(np.concatenate(links)).tolist():
        pieces.join(first, second, step)
    return {frozenset(group) for group in pieces.groups.values() if group}


def _links(a: np.ndarray, b: np.ndarray, axis: int, cells: int = 1) -> np.ndarray:
    """Rows of two pieces and the cell that the second lies in, as seen from the first, ``cells`` along an axis."""
    pairs = np.unique(np.stack([a, b], axis=1).astype(np.int64), axis=0)
    step = np.zeros((len(pairs), 3), np.int64)
    step[:, axis] = cells
    return np.concatenate([pairs, step], axis=1)


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
