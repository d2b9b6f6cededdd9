"""Descriptors of a microstructure, without any property: what the image is made of, how large, how connected.

All take phase fractions per voxel (0 or 1 for sharp images), so that diffuse fields and labels are treated alike.
Definitions as in Torquato, Random Heterogeneous Materials (2002).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..disjoint import union
from .raster import Array


@dataclass
class Descriptors:
    """Of one phase.

    Attributes:
        fraction: volume fraction. interface_area: area (length in 2-D) of its boundary per volume.
        lag: distances of the functions below, ``two_point`` radially averaged, ``lineal_path`` averaged over the axes.
        wavenumber, structure_factor: radially averaged. chord: lengths, and the density of chords of that length per axis mean.
        correlation_length: where the two-point function has come down to 1/e of the way to its limit.
        percolates: per axis, whether it connects opposite faces (periodic: with itself around the cell).
        components: number of connected pieces. largest: share of the phase in the largest.
    """

    fraction: float
    interface_area: float = 0.0
    correlation_length: float = np.nan
    mean_chord: float = np.nan
    components: int = 0
    largest: float = 0.0
    percolates: tuple[bool, ...] = ()
    lag: Array = field(default_factory=lambda: np.zeros(0))
    two_point: Array = field(default_factory=lambda: np.zeros(0))
    lineal_path: Array = field(default_factory=lambda: np.zeros(0))
    chord_density: Array = field(default_factory=lambda: np.zeros(0))
    wavenumber: Array = field(default_factory=lambda: np.zeros(0))
    structure_factor: Array = field(default_factory=lambda: np.zeros(0))


def describe(share: Array, spacing: Sequence[float], periodic: Sequence[bool]) -> Descriptors:
    """All descriptors of the phase that fills ``share`` of every voxel.

    Args:
        share: 0 to 1, shape of the image. spacing: edge lengths of a voxel. periodic: per axis.
    """
    share = np.asarray(share, float)
    step = float(min(s for s, n in zip(spacing, share.shape, strict=True) if n > 1))
    inside = share >= 0.5
    out = Descriptors(float(share.mean()))
    out.interface_area = interface_area(share, spacing, periodic)
    longest = min(s * n for s, n in zip(spacing, share.shape, strict=True) if n > 1) / 2
    out.lag = np.arange(max(2, int(longest / step) + 1)) * step
    out.two_point, out.wavenumber, out.structure_factor = correlations(share, spacing, periodic, out.lag)
    out.two_point[0] = out.fraction  # of one point; the square of a cut voxel's share is of two points within the voxel
    out.lineal_path, out.chord_density, out.mean_chord = lines(share, spacing, periodic, out.lag)
    out.correlation_length = correlation_length(out.lag, out.two_point, out.fraction)
    labels, count = pieces(inside)
    joined = _joined(count, [_faces(labels, axis) for axis, wrap in enumerate(periodic) if wrap])
    out.components = len(np.unique(joined))
    if count:
        out.largest = float(np.bincount(joined[labels[inside]]).max() / inside.sum())
    out.percolates = tuple(_percolates(labels, count, axis, periodic) for axis in range(share.ndim))
    return out


def interface_area(share: Array, spacing: Sequence[float], periodic: Sequence[bool]) -> float:
    """Boundary per volume.

    Diffuse: the mean of ``|grad share|``. Sharp: from the number of faces between phases along each axis (Cauchy-Crofton),
    which counts a flat interface along an axis too low by a third in 3-D (a fifth in 2-D) and a sphere right.
    """
    middle = (share > 0.05) & (share < 0.95)
    if middle.mean() > 1e-3:
        total = np.zeros(share.shape)
        for d, (h, wrap) in enumerate(zip(spacing, periodic, strict=True)):
            if share.shape[d] > 1:
                ahead, behind = np.roll(share, -1, d), np.roll(share, 1, d)
                if not wrap:
                    edge = [slice(None)] * share.ndim
                    edge[d] = slice(-1, None)
                    ahead[tuple(edge)] = share[tuple(edge)]
                    edge[d] = slice(0, 1)
                    behind[tuple(edge)] = share[tuple(edge)]
                total += ((ahead - behind) / (2 * h)) ** 2
        return float(np.sqrt(total).mean())
    inside = share >= 0.5
    crossings = []
    for d, (h, wrap) in enumerate(zip(spacing, periodic, strict=True)):
        if share.shape[d] > 1:
            changed = inside ^ np.roll(inside, 1, d)
            if not wrap:
                changed = np.delete(changed, 0, axis=d)
            crossings.append(changed.sum() / (inside.size * h))
    factor = {1: 1.0, 2: np.pi / 2, 3: 2.0}[len(crossings)]
    return float(factor * np.mean(crossings))


def correlations(
    share: Array, spacing: Sequence[float], periodic: Sequence[bool], lag: Array
) -> tuple[Array, Array, Array]:
    """Two-point probability at the lags, wavenumbers, and structure factor ``|FT(share - mean)|^2 / N``; radial means, see
    `two_point`.
    """
    radial = two_point(share, spacing, periodic, lag)
    fluctuation = np.abs(np.fft.rfftn(share - share.mean())) ** 2 / share.size
    waves = []
    for d, (n, h) in enumerate(zip(share.shape, spacing, strict=True)):
        f = np.fft.rfftfreq(n, h) if d == share.ndim - 1 else np.fft.fftfreq(n, h)
        waves.append((2 * np.pi * f) ** 2)
    k = np.sqrt(sum(np.meshgrid(*waves, indexing="ij", sparse=True)))
    lengths = [h * n for h, n in zip(spacing, share.shape, strict=True) if n > 1]
    numbers = [n for n in share.shape if n > 1]
    unit = 2 * np.pi / max(lengths)
    grid = unit * np.arange(max(2, min(numbers) // 2 + 1))
    return radial, grid, _shells(k, fluctuation, grid)


def two_point(share: Array, spacing: Sequence[float], periodic: Sequence[bool], lag: Array) -> Array:
    """Two-point probability at the lags, the radial mean.

    Axes that are not periodic are padded, and the number of pairs divided out.
    """
    shape = tuple(n if wrap or n == 1 else 2 * n for n, wrap in zip(share.shape, periodic, strict=True))
    axes = tuple(range(share.ndim))
    spectrum = np.fft.rfftn(share, shape, axes)
    pairs = np.fft.irfftn(np.abs(spectrum) ** 2, shape, axes)
    if all(periodic):
        s2 = pairs / share.size
    else:
        number = np.fft.irfftn(np.abs(np.fft.rfftn(np.ones(share.shape), shape, axes)) ** 2, shape, axes)
        s2 = np.where(number > 0.5, pairs / np.maximum(number, 0.5), np.nan)
    squares = []
    for n, h in zip(shape, spacing, strict=True):
        i = np.arange(n)
        squares.append((np.minimum(i, n - i) * h) ** 2)
    radius = np.sqrt(sum(np.meshgrid(*squares, indexing="ij", sparse=True)))
    return _shells(radius, s2, lag)


def _shells(radius: Array, values: Array, grid: Array) -> Array:
    """Means of values over shells of the grid's width."""
    width = grid[1] - grid[0]
    number = np.rint(radius / width).astype(int)
    good = (number < len(grid)) & np.isfinite(values)
    total = np.bincount(number[good], values[good], len(grid))
    count = np.bincount(number[good], minlength=len(grid))
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan))


def correlation_length(lag: Array, two_point: Array, fraction: float) -> float:
    """Distance at which ``S2 - f^2`` has fallen to 1/e of ``f - f^2``; nan for a single phase."""
    spread = fraction - fraction**2
    if spread <= 1e-12 or not np.isfinite(two_point[0]):
        return float("nan")
    drop = (two_point - fraction**2) / (two_point[0] - fraction**2 or spread)
    below = np.flatnonzero(drop < np.exp(-1))
    if not len(below):
        return float(lag[-1])
    i = int(below[0])
    x0, x1, y0, y1 = lag[i - 1], lag[i], drop[i - 1], drop[i]
    return float(x0 + (y0 - np.exp(-1)) / (y0 - y1) * (x1 - x0))


def lines(share: Array, spacing: Sequence[float], periodic: Sequence[bool], lag: Array) -> tuple[Array, Array, float]:
    """Lineal path function and chord-length density (means over the axes), and the mean chord length.

    Chords are runs of voxels of which the phase fills a half or more, made longer or shorter, all alike, so that together they
    fill its volume: what it has of cut voxels.
    """
    inside = share >= 0.5
    filled = float(share.sum()) / max(int(inside.sum()), 1)
    path = np.zeros(len(lag))
    density = np.zeros(len(lag))
    means, axes = [], 0
    for axis, (h, wrap) in enumerate(zip(spacing, periodic, strict=True)):
        n = inside.shape[axis]
        if n < 2:
            continue
        axes += 1
        chords = _chords(np.moveaxis(inside, axis, -1).reshape(-1, n), wrap) * (h * filled)
        # A segment of length z fits into a chord of length c at c - z of its positions.
        order = np.sort(chords)
        tail = np.concatenate([np.cumsum(order[::-1])[::-1], [0.0]])
        first = np.searchsorted(order, lag)
        path += (tail[first] - (len(order) - first) * lag) / (inside.size * h)
        number = np.minimum(np.rint(chords / (lag[1] - lag[0])).astype(int), len(lag) - 1)
        if len(chords):
            density += np.bincount(number, minlength=len(lag)) / len(chords)
            means.append(chords.mean())
    axes = max(axes, 1)
    return path / axes, density / axes, float(np.mean(means)) if means else float("nan")


def _chords(rows: np.ndarray, wrap: bool) -> Array:
    """Lengths in voxels of the runs of True in every row; a row that is True throughout counts as one chord."""
    rows = rows.astype(np.int8)
    whole = rows.all(axis=1)
    rest = rows[~whole]
    if wrap and len(rest):  # start every row in a False
        n = rest.shape[1]
        start = np.argmin(rest, axis=1)
        rest = np.take_along_axis(rest, (start[:, None] + np.arange(n)) % n, axis=1)
    edge = np.zeros((len(rest), 1), np.int8)
    change = np.diff(np.concatenate([edge, rest, edge], axis=1), axis=1)
    starts, ends = np.nonzero(change == 1), np.nonzero(change == -1)
    lengths = ends[1] - starts[1]
    return np.concatenate([lengths, np.full(int(whole.sum()), rows.shape[1])]).astype(float)


def components(inside: np.ndarray, periodic: Sequence[bool]) -> tuple[np.ndarray, int]:
    """Connected pieces through common faces: numbers 0, 1, ... (-1 outside) and how many there are."""
    labels, count = pieces(inside)
    joined = _joined(count, [_faces(labels, axis) for axis, wrap in enumerate(periodic) if wrap])
    used, numbers = np.unique(joined, return_inverse=True)
    return np.append(numbers, -1)[labels], len(used)


def pieces(inside: np.ndarray) -> tuple[np.ndarray, int]:
    """The same, none of them connected across the faces of the image.

    Minimum labels spread along whole runs of voxels, with pointer jumping, until nothing changes.
    """
    parent = np.arange(inside.size)
    flat = np.arange(inside.size).reshape(inside.shape)
    links = []
    for axis in range(inside.ndim):
        lower, upper = _shifted(inside.ndim, axis)
        both = inside[lower] & inside[upper]
        links.append((flat[lower][both], flat[upper][both]))
    union(parent, *(np.concatenate(ends) for ends in zip(*links, strict=True)))
    roots = inside & (parent == np.arange(inside.size)).reshape(inside.shape)
    numbers = np.cumsum(roots) - 1
    return np.where(inside, numbers[parent].reshape(inside.shape), -1), int(roots.sum())


def _shifted(dim: int, axis: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """All voxels but the last, and all but the first, along an axis."""
    lower, upper = [slice(None)] * dim, [slice(None)] * dim
    lower[axis], upper[axis] = slice(None, -1), slice(1, None)
    return tuple(lower), tuple(upper)


def _faces(labels: np.ndarray, axis: int) -> np.ndarray:
    """Pairs of pieces that meet across the faces of a periodic axis, last layer and first, (pairs, 2)."""
    pairs = np.stack([np.take(labels, -1, axis).ravel(), np.take(labels, 0, axis).ravel()], axis=1)
    return np.unique(pairs[(pairs >= 0).all(axis=1)], axis=0)


def _joined(count: int, links: Sequence[np.ndarray]) -> np.ndarray:
    """For every piece the lowest number among those that links of pairs connect it with."""
    parent = np.arange(count)
    if links:
        union(parent, *np.concatenate(links).T)
    return parent


def percolates(inside: np.ndarray, axis: int, periodic: Sequence[bool]) -> bool:
    """Whether a piece connects a face with the opposite one; along a periodic axis also with itself, at the same place."""
    return _percolates(*pieces(inside), axis, periodic)


def _percolates(labels: np.ndarray, count: int, axis: int, periodic: Sequence[bool]) -> bool:
    if labels.shape[axis] < 2 or not count:
        return bool(count)
    around = [_faces(labels, d) for d, wrap in enumerate(periodic) if wrap and d != axis]
    if not periodic[axis]:
        joined = _joined(count, around)
        first, last = np.take(labels, 0, axis), np.take(labels, -1, axis)
        return bool(np.intersect1d(joined[first[first >= 0]], joined[last[last >= 0]]).size)
    # Around the cell: a piece winds around it if it is connected with its own image in a second cell behind the first.
    across = _faces(labels, axis) + np.array([0, count])
    joined = _joined(2 * count, [*around, *(pairs + count for pairs in around), across])
    return bool(np.any(joined[:count] == joined[count:]))
