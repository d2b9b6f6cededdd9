"""What the surrogate sees of an image: moments of the Green operators' fields of second and third order.

A phase's share ``chi`` causes, in a homogeneous body, strains that are combinations of the fields ``F = IFT[FT[chi - c] n_i n_j
n_k n_l]`` with the directions n of the wave vectors (of gradients: ``n_i n_j``). Their products ``<chi' F>``, ``<F F>`` and
``<chi' F F>`` hold all of the two-point and three-point functions that enter estimates of second and third order for any
constants of the phases (Torquato, Random Heterogeneous Materials, 2002, ch. 20; Milton, The Theory of Composites, 2002,
ch. 26). They are computed once for an image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations_with_replacement

import numpy as np
from scipy import fft

from ...backend.voxel.inverse import RealInverse
from ...mechanics.tensors import Array

#: Columns whose products are summed at a time.
_COLUMNS = 2048
#: Voxels up to which what depends on the grid alone is kept for the next image.
_KEPT = 1 << 16


@dataclass(frozen=True)
class Moments:
    """Moments of an image of two phases.

    Attributes:
        fraction: volume fraction of the second phase. dim: axes of the image. order: 2 (gradients) or 4 (strains).
        first, second, third: ``<chi' F>`` (n,), ``<F F>`` and ``<chi' F F>`` (n, n) with the n monomials of `monomials`.
        fineness: root mean square of the wave numbers of chi', radians per voxel: how finely the structure is resolved.
    """

    fraction: float
    dim: int
    order: int
    first: Array
    second: Array
    third: Array
    fineness: float

    @classmethod
    def of(cls, share: Array, spacing: Sequence[float], order: int = 4) -> Moments:
        """Those of a periodic image.

        Args:
            share: volume fraction of the second phase in every voxel, 2 or 3 axes.
        """
        share = np.asarray(share, float)
        fraction = float(share.mean())
        spectrum = fft.rfftn(share - fraction)
        grid = share.shape, tuple(map(float, spacing))
        waves = _directions(*grid)[1]
        n = share.size
        power = np.abs(spectrum) ** 2
        power[..., 1 : (share.shape[-1] + 1) // 2] *= 2  # the other half of the modes
        total = float(power.sum())
        fineness = math.sqrt(float((power * waves).sum()) / total) if total > 0 else 0.0
        # chi' + c is 0 or 1 in most voxels: F F is summed over the others, and over all of them by Parseval's theorem.
        most = float(fraction > 0.5)
        others = np.flatnonzero(share.ravel() != most)
        spectral = (_kept_products if share.size <= _KEPT else _products)(*grid, order)
        fields = np.empty((len(spectral), len(others)))
        inverse = RealInverse(share.shape)
        spectrum /= n
        for row, modes in zip(fields, spectral, strict=True):
            np.multiply(spectrum, modes, out=inverse.modes)
            np.take(inverse().ravel(), others, out=row, mode="clip")  # to raise, it would write to a buffer first
        second, first = _gram(spectral.reshape(len(fields), -1), power.ravel() / n**2)
        third, _ = _gram(fields, (share.ravel()[others] - most) / n)
        third += (most - fraction) * second
        return cls(fraction, share.ndim, order, first, second, third, fineness)

    @property
    def gradients(self) -> Moments:
        """The moments of order 2 that are among those of order 4."""
        if self.order == 2:
            return self
        trace = _trace(self.dim)
        first, second, third = trace @ self.first, trace @ self.second @ trace.T, trace @ self.third @ trace.T
        return Moments(self.fraction, self.dim, 2, first, second, third, self.fineness)


def _products(shape: tuple[int, ...], spacing: tuple[float, ...], order: int) -> Array:
    """The `monomials` of the directions of all modes, (n, modes)."""
    directions = _directions(shape, spacing)[0]
    names = monomials(len(shape), order)
    out = np.empty((len(names), *directions[0].shape))
    for row, (first, second, *rest) in zip(out, names, strict=True):
        np.multiply(directions[first], directions[second], out=row)
        for axis in rest:
            row *= directions[axis]
    return out


#: Those of the last grids, 4 MB each at most.
_kept_products = lru_cache(maxsize=4)(_products)


def _gram(rows: Array, weights: Array) -> tuple[Array, Array]:
    """Weighted sums of products of rows, and of rows, some columns at a time so that what is made of them stays in cache."""
    total, sums = np.zeros((len(rows), len(rows))), np.zeros(len(rows))
    for at in range(0, rows.shape[1], _COLUMNS):
        part = rows[:, at : at + _COLUMNS]
        weighted = part * weights[at : at + _COLUMNS]
        total += weighted @ part.T
        sums += weighted.sum(1)
    return total, sums


@lru_cache
def monomials(dim: int, order: int) -> tuple[tuple[int, ...], ...]:
    """The products of components of n, as sorted tuples of axes."""
    return tuple(combinations_with_replacement(range(dim), order))


@lru_cache
def _trace(dim: int) -> Array:
    """``F_ij = sum_m F_ijmm``, since n is of length 1."""
    rows, columns = monomials(dim, 2), monomials(dim, 4)
    out = np.zeros((len(rows), len(columns)))
    for row, pair in enumerate(rows):
        for m in range(dim):
            out[row, columns.index(tuple(sorted((*pair, m, m))))] += 1
    return out


@lru_cache(maxsize=4)
def _directions(shape: tuple[int, ...], spacing: tuple[float, ...]) -> tuple[list[Array], Array]:
    """Directions of the wave vectors of the real transform, and their squares in radians per voxel.

    They are those of the rotated element (Willot, C. R. Mecanique 343 (2015) 232), along ``tan(xi / 2) / h``, so that estimates
    have voxels of finite size. What is highest along two axes has no direction there, nor has the mean.
    """
    dim = len(shape)
    angles = [2 * np.pi * (np.fft.rfftfreq(n) if d == dim - 1 else np.fft.fftfreq(n)) for d, n in enumerate(shape)]
    highest = [np.isclose(np.abs(a), np.pi) for a in angles]
    tangents = [
        np.where(top, 1.0, np.tan(np.where(top, 0.0, a) / 2)) / h
        for a, top, h in zip(angles, highest, spacing, strict=True)
    ]
    grids = np.meshgrid(*tangents, indexing="ij")
    tops = np.stack(np.meshgrid(*highest, indexing="ij"))
    count = tops.sum(0)
    vectors = [
        np.where(count == 0, g, np.where((count == 1) & top, 1.0, 0.0)) for g, top in zip(grids, tops, strict=True)
    ]
    length = np.sqrt(sum(v**2 for v in vectors))
    length[length == 0] = 1.0
    waves = sum(np.meshgrid(*[a**2 for a in angles], indexing="ij"))
    return [v / length for v in vectors], np.asarray(waves)
