"""Equilibrium shapes of crystals, and the interface energy that leaves their missing orientations out.

A crystal of given volume has the least energy as the shape {x : x.n <= gamma(n) for all n} up to its size (Wulff, Z. Kristallogr.
34 (1901) 449); only its proportions enter here, so that gamma is sqrt(kappa).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from ..errors import ConfigError
from .anisotropy import Anisotropy, made
from .normal import NORMAL, directions

Array = NDArray[np.float64]

#: Normals of a shape's support.
_CIRCLE = 7200
#: Steps of Newton's method for a corner, and the relative change that ends them.
_STEPS, _DONE = 50, 1e-15


def radii(law: Anisotropy, towards: Array) -> Array:
    """Distance of the equilibrium shape's surface from its centre along unit vectors: min over n of gamma(n)/(n.v).

    Args:
        towards: shape ``(axes, count)``.

    Returns:
        Shape ``(count,)``, to about 1e-6 in two dimensions and 1e-3 in three.
    """
    n = directions(len(law.mirrored))
    gamma = np.sqrt(law.numbers.kappa(n))
    found = []
    for v in towards.T:
        along = v @ n
        facing = along > 0.05
        found.append(float((gamma[facing] / along[facing]).min()))
    return np.array(found)


def convexified(law: Anisotropy, parameters: Mapping[str, float], key: str) -> Anisotropy:
    """The law with the largest convex energy below its own; itself if that is convex.

    Between the two orientations that meet at a corner of the equilibrium shape, gamma(n) becomes xi.n, xi the corner (Eggleston,
    McFadden and Voorhees, Physica D 150 (2001) 91). It does not change the shape, and no orientation is unstable any more: those
    that are missing have the energy of the two that they would part into.

    Raises:
        ConfigError: in three dimensions.
    """
    if law.convex:
        return law
    if len(law.mirrored) == 3:
        raise ConfigError(
            key,
            f"{law.text} has missing orientations, which convexify leaves out in two dimensions alone",
            "bound the curvature of corners by an energy of short waves, operator: beta*k2**2 with beta > 0",
        )
    pieces = []
    for first, last in missing(law):
        middle = 0.5 * (first + last)
        ends = np.array([[math.cos(a), math.sin(a)] for a in (first, last)]).T
        corner = law.numbers.corner(ends).mean(axis=1)
        reach = math.cos(0.5 * (last - first))
        inside = math.cos(middle) * NORMAL[0] + math.sin(middle) * NORMAL[1] > reach
        pieces.append(((corner[0] * NORMAL[0] + corner[1] * NORMAL[1]) ** 2, inside))
    expr = sp.Piecewise(*pieces, (law.expr, True))
    return made(expr, f"{law.text}, convexified", parameters, 2, key)


def missing(law: Anisotropy) -> list[tuple[float, float]]:
    """Angles of the normal between which orientations are missing in two dimensions, ends to round-off.

    They are those where the polar plot of 1/gamma is not convex (Frank 1963; Sekerka, J. Cryst. Growth 275 (2005) 77): its hull
    bridges them, and at both ends xi is the same.
    """
    angles = 2 * math.pi * np.arange(_CIRCLE) / _CIRCLE
    n = np.stack([np.cos(angles), np.sin(angles)])
    points = n / np.sqrt(law.numbers.kappa(n))
    kept = _hull(points)
    found = []
    for one, other in zip(kept, [*kept[1:], kept[0] + _CIRCLE], strict=True):
        if other - one > 1:
            found.append(_tangent(law, 2 * math.pi * one / _CIRCLE, 2 * math.pi * other / _CIRCLE))
    return found


def _hull(points: Array) -> list[int]:
    """Indices of the points on a closed curve about the origin that lie on its convex hull, ascending."""
    count = points.shape[1]
    start = int(np.argmax((points**2).sum(axis=0)))  # the farthest one does
    kept: list[int] = []
    for i in [*range(start, start + count), start + count]:
        while len(kept) > 1:
            a, b, c = (points[:, j % count] for j in (kept[-2], kept[-1], i))
            if (b[0] - a[0]) * (c[1] - b[1]) - (b[1] - a[1]) * (c[0] - b[0]) > 0:
                break
            kept.pop()
        kept.append(i)
    return sorted(kept[:-1])


def _tangent(law: Anisotropy, first: float, last: float) -> tuple[float, float]:
    """The angles near these at which xi is the same, by Newton's method: d xi/d angle is along the interface."""
    ends = np.array([first, last])
    for _ in range(_STEPS):
        n = np.stack([np.cos(ends), np.sin(ends)])
        tangents = np.stack([-n[1], n[0]])
        values = law.numbers.corner(n)
        h = 1e-6
        ahead, behind = (law.numbers.corner(np.stack([np.cos(ends + s), np.sin(ends + s)])) for s in (h, -h))
        slopes = ((ahead - behind) * tangents).sum(axis=0) / (2 * h)
        step = np.linalg.solve(tangents * slopes * np.array([1.0, -1.0]), values[:, 1] - values[:, 0])
        ends = ends + step
        if np.abs(step).max() <= _DONE:
            break
    return float(ends[0]), float(ends[1])
