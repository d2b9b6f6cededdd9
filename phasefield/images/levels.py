"""The values of a field in its two phases, found where both phases are there."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ..planes import ALONE, Planes
from .raster import Array

#: Variance between two classes over the whole variance from which a field counts as two-phase: 0.64 is that of a Gaussian, 0.75
#: of uniformly spread values, 1 of two values.
_SEPARATED = 0.8
#: Spread over magnitude up to which values are one: what rounding, also in single precision, leaves of a uniform field.
_UNIFORM = 1e-6


def two_levels(field: Array, planes: Planes = ALONE) -> tuple[float, float]:
    """Values of a field in its two phases: the most frequent ones on either side of Otsu's threshold (Otsu 1979).

    Of a field that lies between 0 and 1, or -1 and 1, and comes near to both, these are its levels if the most frequent values
    are close to them, or if there are none: bulk that hardly is any has no level of its own. Of a uniform field both are its
    value.

    Args:
        planes: which of the image the field is.
    """
    flat = field[np.isfinite(field)].ravel()
    low, high = _ends(flat, planes)
    if _one(low, high):
        return low, low
    threshold, _ = _otsu(flat, low, high, planes)
    found = (_peak(flat[flat <= threshold], low, planes), _peak(flat[flat > threshold], high, planes))
    for ends in ((0.0, 1.0), (-1.0, 1.0)):
        near, beyond = 0.05 * (ends[1] - ends[0]), 0.01 * (ends[1] - ends[0])
        if -beyond <= low - ends[0] < near and -beyond <= ends[1] - high < near:
            pairs = zip(ends, found, strict=True)
            a, b = (end if not clear or abs(value - end) < 2 * beyond else value for end, (value, clear) in pairs)
            return a, b
    return found[0][0], found[1][0]


def _ends(values: Array, planes: Planes) -> tuple[float, float]:
    """The least and the largest of the values of all planes."""
    least = planes.least(values.min() if values.size else np.inf)
    return float(least), float(planes.most(values.max() if values.size else -np.inf))


def _one(low: float, high: float) -> bool:
    """Whether values between these are one but for rounding."""
    return high - low <= _UNIFORM * max(abs(low), abs(high))


def _otsu(flat: Array, low: float, high: float, planes: Planes) -> tuple[float, float]:
    """Otsu's threshold, and the variance between the classes over that of all values."""
    counts, edges = np.histogram(flat, 256, (low, high))
    counts = planes.sum(counts)
    centers = (edges[1:] + edges[:-1]) / 2
    weight = np.cumsum(counts)
    moment = np.cumsum(counts * centers)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (moment[-1] * weight / weight[-1] - moment) ** 2 / (weight * (weight[-1] - weight))
    between = np.where(np.isfinite(between), between, -1)
    best = int(between.argmax())
    whole = float((counts * (centers - moment[-1] / weight[-1]) ** 2).sum())
    return float(edges[1:][best]), float(between[best]) / whole if whole > 0 else 0.0


def _peak(values: Array, default: float, planes: Planes) -> tuple[float, bool]:
    """The most frequent value, and whether it stands out: the median of the highest bin, whose mean the interfaces' tails would
    draw in.
    """
    number = planes.sum(len(values))
    low, high = _ends(values, planes)
    if not number or _one(low, high):
        firsts = planes.collected(values[:1])
        return (float(firsts[0]) if len(firsts) else default), True
    counts, edges = np.histogram(values, max(8, min(64, number // 16)), (low, high))
    counts = planes.sum(counts)
    best = int(counts.argmax())
    inside = values[(values >= edges[best]) & (values <= edges[best + 1])]
    return planes.median(inside), bool(counts[best] > 3 * counts.mean())


def best_separated(snapshots: Iterable[tuple[int, Array]], planes: Planes = ALONE) -> tuple[int, tuple[float, float]]:
    """The latest of the snapshots in which the two phases are as far apart as in any, and its levels.

    A run may end, or start, in one phase alone: of the snapshots that are two-phase those are looked at whose levels lie at least
    half as far apart as those of any. Where none is two-phase it is the one whose levels lie furthest apart.
    """
    known = []
    for number, values in snapshots:
        flat = np.asarray(values, float).ravel()
        low, high = _ends(flat, planes)
        share = 0.0 if _one(low, high) else _otsu(flat, low, high, planes)[1]
        known.append((number, share, two_levels(flat, planes)))
    separated = [k for k in known if k[1] >= _SEPARATED]
    widest = max(b - a for _, _, (a, b) in separated or known)
    enough = (0.5 if separated else 1.0) * widest
    number, _, levels = next(k for k in reversed(separated or known) if k[2][1] - k[2][0] >= enough)
    return number, levels
