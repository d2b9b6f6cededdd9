"""Order parameters are not grains: the same one may hold many, apart from each other. Each connected piece is a grain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from ..disjoint import union
from .raster import Array


@dataclass(frozen=True)
class Pieces:
    """The connected pieces of the regions in which one of several fields is the largest.

    Attributes:
        number: of the piece that every voxel lies in, 0, 1, ..., shape of the image.
        owner: which of the fields each piece belongs to, from 0.
        labels: what the pieces are called, from 1. That of the k-th largest piece (k = 0, 1, ...) of field f (1, 2, ... n) is
            f + k n: the largest piece of a field has the field's number, pieces that vanish leave the names of the others as they
            are, and moving a periodic image changes none.
    """

    number: NDArray[np.int32]
    owner: NDArray[np.int64]
    labels: tuple[int, ...]

    @property
    def outline(self) -> Pieces:
        """The same without the room that the numbers take."""
        return replace(self, number=np.broadcast_to(np.int32(0), self.number.shape))

    def coarse(self, shape: Sequence[int]) -> Pieces:
        """The same on a grid of another number of voxels, by the voxels at their centres."""
        at = [((np.arange(m) + 0.5) * n / m).astype(int) for n, m in zip(self.number.shape, shape, strict=True)]
        return replace(self, number=self.number[np.ix_(*at)])

    def nearest(self, field: Array, at: NDArray[np.integer], periodic: Sequence[bool]) -> NDArray[np.int64]:
        """The piece of a field that voxels lie in or next to, -1 where none is near.

        Args:
            field: one for every voxel. at: flat numbers of the voxels.
        """
        shape = self.number.shape
        here = np.unravel_index(at, shape)
        out = np.full(len(at), -1, np.int64)
        steps = sorted(product(range(-2, 3), repeat=len(shape)), key=lambda s: sum(k * k for k in s))
        open_ = np.arange(len(at))
        for step in steps:
            if not len(open_):
                break
            beside = []
            for d, n in enumerate(shape):
                moved = here[d][open_] + step[d]
                beside.append(moved % n if periodic[d] else moved.clip(0, n - 1))
            found = self.number[tuple(beside)]
            good = self.owner[found] == field[open_]
            out[open_[good]] = found[good]
            open_ = open_[~good]
        return out


def pieces_of(fields: Array, periodic: Sequence[bool]) -> Pieces:
    """The pieces, connected through faces of voxels, across those of the image along periodic axes.

    Args:
        fields: (n, ...), all of one image.
    """
    winner = np.clip(fields, 0.0, None).argmax(axis=0)
    flat = np.arange(winner.size).reshape(winner.shape)
    ends = []
    for axis, wrap in enumerate(periodic):
        ahead, beyond = np.roll(winner, -1, axis), np.roll(flat, -1, axis)
        same = winner == ahead
        if not wrap:
            np.moveaxis(same, axis, 0)[-1] = False
        ends.append((flat[same], beyond[same]))
    parent = np.arange(winner.size)
    union(parent, *(np.concatenate(part) for part in zip(*ends, strict=True)))
    roots, number, sizes = np.unique(parent, return_inverse=True, return_counts=True)
    owner = winner.ravel()[roots]
    order = np.lexsort((roots, -sizes, owner))  # by field, then by size
    first = np.searchsorted(owner[order], owner[order])
    label = np.empty(len(roots), np.int64)
    label[order] = owner[order] + 1 + len(fields) * (np.arange(len(roots)) - first)
    place = np.argsort(label)
    rank = np.empty(len(roots), np.int32)
    rank[place] = np.arange(len(roots), dtype=np.int32)
    return Pieces(
        rank[number].reshape(winner.shape), owner[place].astype(np.int64), tuple(int(v) for v in label[place])
    )
