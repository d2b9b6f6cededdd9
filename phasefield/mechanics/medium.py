"""What a cell is made of: a heterogeneous medium with one tensor per entry of a table, and the homogeneous one like it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ..backend.voxel import reference_table, unpack
from ..planes import ALONE, Planes
from . import tensors
from .axes import ArrayAxes
from .tensors import Array

#: Entries treated at once where a table needs room.
CHUNK = 1 << 14
#: What cut voxels leave of the lower bound of the spectrum.
_CUT = 0.33


@dataclass(frozen=True)
class Medium:
    """A heterogeneous medium.

    Attributes:
        index: entry of every voxel, three axes. packed: tensors of the entries in the axes of the image, see `pack`.
        cut: per entry, whether it is a mixture of phases; None if none is.
        planes: which of the medium the index is of, the first of its planes; behind them come those of neighbours. The table is
            of what the index holds.
    """

    index: np.ndarray
    packed: Array
    cut: np.ndarray | None = None
    planes: Planes = ALONE

    @property
    def own(self) -> np.ndarray:
        """Entry of every voxel of this process's planes."""
        return self.index[: len(self.planes.mine)] if self.planes.shared else self.index

    @property
    def voxels(self) -> int:
        """How many there are, of all processes."""
        return int(np.prod(self.planes.shape(self.index.shape)))

    @property
    def elastic(self) -> bool:
        return self.packed.shape[-1] == 21

    @cached_property
    def counts(self) -> np.ndarray:
        """Number of voxels of every entry, in this process's planes."""
        return np.bincount(self.own.ravel(), minlength=len(self.packed))

    @cached_property
    def weights(self) -> Array:
        """Share of every entry, of the whole; those of all processes add up to 1."""
        return np.asarray(self.counts / self.voxels)

    def mean(self, values: Array) -> Array:
        """Over all voxels, of what every entry has, (entries, ...)."""
        return np.asarray(self.planes.sum(self.weights @ values))

    @cached_property
    def stiff(self) -> Array:
        """Size of every entry's tensor: its trace."""
        return np.asarray(self.packed[:, [0, 6, 11, 15, 18, 20] if self.elastic else [0, 1, 2]].sum(axis=1))

    @property
    def used(self) -> Array:
        """Sizes of the entries that there are voxels of; of several processes the least and the largest."""
        own = self.stiff[self.weights > 0]
        if not self.planes.shared:
            return np.asarray(own)
        return np.array([self.planes.least(own.min()), self.planes.most(own.max())])

    @property
    def has_cut(self) -> bool:
        """Whether there are mixtures."""
        return self.planes.any(self.cut is not None and bool(self.cut.any()))

    @property
    def void(self) -> np.ndarray:
        """Which entries resist nothing."""
        return np.asarray((self.packed == 0).all(axis=1))

    @property
    def has_voids(self) -> bool:
        return self.planes.any(self.counts[self.void].any())

    def with_layer_of_voids(self) -> Medium:
        """One more layer per axis, of an entry without stiffness, which free faces need."""
        packed = np.concatenate([self.packed, np.zeros((1, self.packed.shape[1]))])
        cut = None if self.cut is None else np.append(self.cut, False)
        wider = [(0, 1 if n > 1 else 0) for n in self.index.shape]
        return replace(self, index=np.pad(self.index, wider, constant_values=len(packed) - 1), packed=packed, cut=cut)

    @property
    def geometric_means(self) -> Array:
        """Geometric means of the eigenvalues of every entry, without components that no entry carries; the largest is 1.

        For laminates, soft across and stiff along, it makes a better scaling than the trace (half the iterations, measured).
        """
        packed = self.packed
        scale = self.planes.most(packed.max())
        out = np.empty(len(packed))
        most = self.planes.most(np.abs(packed).max(axis=0))
        carried = np.flatnonzero(np.diagonal(unpack(most)))  # in a sheet the plane alone
        for at in range(0, len(packed), CHUNK):
            some = unpack(packed[at : at + CHUNK])[:, carried[:, None], carried] / scale
            out[at : at + CHUNK] = np.maximum(np.linalg.det(some), 0.0) ** (1 / some.shape[-1])
        return np.asarray(np.maximum(out / self.planes.most(out.max()), 1e-12))


def homogeneous(medium: Medium) -> Array:
    """The tensor of the homogeneous medium that is like a medium, (n, n)."""
    # Only its shape matters, not its size: every voxel counts alike, else the stiffest phase would decide.
    size = np.where(medium.stiff > 0, medium.stiff, 1.0)
    mean: Array = unpack(medium.planes.sum((medium.weights / size) @ medium.packed))
    if not tensors.is_positive_definite(mean):
        mean, _ = tensors.nearest_isotropic(mean)
    if not tensors.is_positive_definite(mean):  # nothing conducts anywhere
        mean = np.eye(len(mean))
    return mean


def lowest_ratio(medium: Medium) -> float:
    """The largest number that a medium is stiffer by than the one of `homogeneous`, voxel by voxel: a lower bound of the spectrum
    with the latter's Green operator on the same elements.

    Laminates are stiffer than the softer of their phases, which are taken for pure voxels. But voxels that are cut take
    fewer polynomials than those of the homogeneous medium: a third of it (where they are a fourth of all, 0.4 was measured).
    """
    there = medium.weights > 0
    cut = np.zeros(len(there), bool) if medium.cut is None else medium.cut & there
    inverse = np.linalg.inv(np.linalg.cholesky(homogeneous(medium)))
    pure = np.flatnonzero(there & ~cut)
    low = np.inf if medium.planes.any(len(pure)) else 0.0
    for at in range(0, len(pure), CHUNK):
        some = unpack(medium.packed[pure[at : at + CHUNK]])
        low = min(low, float(np.linalg.eigvalsh(inverse @ some @ inverse.T)[:, 0].min()))
    return float(medium.planes.least(low)) * (_CUT if medium.planes.any(cut.any()) else 1.0)


def reference_medium(medium: Medium, axes: ArrayAxes, boundary: str) -> Array:
    """The homogeneous medium whose Green operator is used, as `VoxelOperators.green` takes it."""
    local = axes.tensor(homogeneous(medium))
    if boundary != "periodic":  # stiffness of every component to its own derivatives
        if not axes.elastic:
            return np.diag(local)[None, :]
        return np.array(
            [
                [local[0, 0], local[5, 5], local[4, 4]],
                [local[5, 5], local[1, 1], local[3, 3]],
                [local[4, 4], local[3, 3], local[2, 2]],
            ]
        )
    if axes.elastic:
        return reference_table(local)
    return np.array([local[i, j] for i, j in tensors.PAIRS])
