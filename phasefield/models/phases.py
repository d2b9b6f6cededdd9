"""The phases of an energy near given values and the interfaces between them, whatever their scale."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .analysis import Array, Density
from .energy import EnergyModel

#: Where an interface begins and ends, as parts of the way from one phase to the other.
_FROM, _TO = 0.05, 0.95
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(64)
#: Decades that are looked through on both sides of zero and of the mean, and values in each.
_DECADES, _PER_DECADE = (-31, 17), 24
#: Decades that are looked through towards an end of the energy's domain, as far as numbers tell them apart, and values in each.
_TO_END, _PER_DECADE_THERE = 280, 8
_MOST_WELLS, _MOST_KINDS = 10, 3
#: Times the spread of the initial values that a phase may lie away from them.
_AWAY = 1e9
#: Differences below these parts of a scale are none.
_SAME = 1e-3
#: Part of a value to which the wells of coupled fields are found at the worst.
_FOUND_TO = 1e-6


@dataclass(frozen=True)
class Transition:
    """An interface between two phases.

    Attributes:
        start, end: the phases, shape ``(components,)``. widths: from 5 to 95 % of every component, NaN where it stays what it is.
    """

    start: Array
    end: Array
    widths: Array


def transitions(model: EnergyModel, density: Density, sample: Array) -> list[Transition]:
    """The interfaces that initial values are bound for; empty where the energy has a single phase.

    Args:
        sample: cells, shape ``(components, n)``, the last one the mean.
    """
    if len(sample) > 1:
        return list(_between_wells(model, density, sample))
    conserved = model.components[0][0].kinetics.conserved
    pairs = _coexisting(density, sample[0]) if conserved else _neighbours(density, sample[0])
    return [t for a, b in pairs if (t := _flat(model, density, np.array([a]), np.array([b]))) is not None]


def _flat(model: EnergyModel, density: Density, start: Array, end: Array) -> Transition | None:
    """The interface along the straight line between two phases: int sqrt(K/(2 (f - tangent))) ds, K = sum kappa_i (jump_i)^2.

    Exact for one component, and for several that change in proportion (Cahn and Hilliard, J. Chem. Phys. 28 (1958) 258).
    """
    jump = end - start
    stiff = float(sum(f.kappa * d**2 for (f, _), d in zip(model.components, jump, strict=True)))
    s = _FROM + (_TO - _FROM) * 0.5 * (_NODES + 1)
    f, *potentials = density(np.stack([start, end, *(start + x * jump for x in s)], axis=1))
    conserved = np.array([p.kinetics.conserved for p, _ in model.components])
    tilt = float(sum(0.5 * (p[0] + p[1]) * d for p, d, c in zip(potentials, jump, conserved, strict=True) if c))
    step = f[1] - f[0] - tilt
    excess = (
        f[2:] - f[0] - tilt * s - step * s**2 * (3 - 2 * s)
    )  # a difference that drives the interface is levelled out
    if not (np.isfinite(excess).all() and excess.min() > 0 and stiff > 0):
        return None
    width = float(_WEIGHTS @ np.sqrt(stiff / (2 * excess))) * 0.5 * (_TO - _FROM)
    # What differs by no more than the wells were found to does not change across the interface.
    changes = np.abs(jump) > _FOUND_TO * np.maximum(np.abs(start), np.abs(end))
    return Transition(start, end, np.where(changes, width, math.nan))


def _relaxed(model: EnergyModel, density: Density, found: Transition) -> Transition:
    """The same interface with the profile that balances the potentials in one dimension, if there is one near.

    By implicit steps with a stabiliser as large as the curvatures, between ends held at the phases.
    """
    active = np.flatnonzero(np.isfinite(found.widths))
    width, jump = float(np.nanmin(found.widths)), found.end - found.start
    x = np.linspace(-2.5, 2.5, 81) * width
    h = float(x[1] - x[0])
    u = found.start[:, None] + jump[:, None] * (0.5 + 0.5 * np.tanh(2 * math.atanh(_TO - _FROM) * x / width))
    ends = np.asarray(density(u[:, [0, -1]])[1:]).mean(axis=1)
    conserved = np.array([f.kinetics.conserved for f, _ in model.components])
    level = np.where(conserved, ends, 0.0)[:, None]
    omega = density(u[:, [0, 40, -1]])[0] - (level * u[:, [0, 40, -1]]).sum(axis=0)
    if abs(omega[2] - omega[0]) > 1e-3 * abs(omega[1] - omega[0]):
        return found  # it is driven and would leave
    laplacian = (np.eye(81, k=1) + np.eye(81, k=-1) - 2 * np.eye(81))[1:-1] / h**2
    solvers = []
    for i in active:
        kappa, shift = model.components[i][0].kappa, np.zeros_like(u)
        shift[i] = 1e-4 * abs(jump[i])
        bend = (density(u + shift)[1 + i] - density(u - shift)[1 + i]) / (2e-4 * abs(jump[i]))
        stiff = float(np.abs(bend).max())
        matrix = stiff * np.eye(79) - kappa * laplacian[:, 1:-1]
        solvers.append((i, stiff, kappa * laplacian[:, [0, -1]], np.linalg.inv(matrix)))
    for _ in range(150):
        force = np.asarray(density(u)[1:]) - level
        for i, stiff, border, inverse in solvers:
            u[i, 1:-1] = inverse @ (stiff * u[i, 1:-1] - force[i, 1:-1] + border @ u[i, [0, -1]])
    widths = np.full(len(u), math.nan)
    for i in active:
        part = (u[i] - found.start[i]) / jump[i]
        if not np.isfinite(part).all() or np.diff(part).min() < -1e-6:
            return found
        at = np.interp([_FROM, _TO], np.maximum.accumulate(part), x)
        widths[i] = at[1] - at[0]
        if not 0.4 < widths[i] / width < 2.5:  # it has left the middle, as one that is driven does
            return found
    return Transition(found.start, found.end, widths)


def _points(density: Density, values: Array) -> Array:
    """Values to look at: of every size about zero, the mean and the ends of the energy's domain, and evenly around the range."""
    low, high = _DECADES
    sizes = 10.0 ** np.linspace(low, high, (high - low) * _PER_DECADE + 1)
    sizes = np.concatenate([-sizes[::-1], [0.0], sizes])
    mean, span = values[-1], max(float(np.ptp(values)), 1e-3 * abs(float(values[-1])))
    even = np.linspace(values.min() - span, values.max() + span, 601)
    found = np.unique(np.concatenate([sizes, mean + sizes, even]))
    return np.unique(np.concatenate([found, *_towards_ends(density, found, float(mean))]))


def _towards_ends(density: Density, u: Array, mean: float) -> Iterator[Array]:
    """Values that come ever closer to the ends of the domain about the mean: phases may lie there, as of a logarithm."""
    good = np.asarray(np.isfinite(density.second(u)).all(axis=0))
    home = int(np.abs(u - mean).argmin())
    if not good[home]:
        return
    distances = 10.0 ** -np.linspace(0, _TO_END, _TO_END * _PER_DECADE_THERE + 1)
    for step in (-1, 1):
        outside = np.flatnonzero(~good[home::step])
        if outside.size:
            first = home + step * int(outside[0])
            inside, end = float(u[first - step]), float(u[first])
            start = inside
            while end != (middle := 0.5 * (inside + end)) != inside:
                known = np.isfinite(density.second(np.array([middle]))).all()
                inside, end = (middle, end) if known else (inside, middle)
            yield end + (start - end) * distances


def _coexisting(density: Density, values: Array) -> Iterator[tuple[float, float]]:
    """The phases with a common tangent about the unstable range of a conserved field in which, or next to which, it starts."""
    u = _points(density, values)
    f, mu, second = density.second(u)
    good = np.isfinite(f) & np.isfinite(mu) & np.isfinite(second)
    u, f, mu, second = u[good], f[good], mu[good], second[good]
    # Round-off of the largest terms may look like an unstable range.
    small = 1e-9 * float(np.abs(second[np.argsort(np.abs(u - values[-1]))[:50]]).max())
    negative = second < -small
    ranges = [(int(g[0]), int(g[-1])) for g in _runs(np.flatnonzero(negative)) if len(g) > 2]
    ranges.sort(key=lambda r: max(u[r[0]] - values[-1], values[-1] - u[r[1]], 0.0))
    for first, last in ranges[:1]:
        phases = _tangent(density, u, mu, second, first, last, small)
        if phases is not None:
            yield phases


def _tangent(
    density: Density, u: Array, mu: Array, second: Array, first: int, last: int, small: float
) -> tuple[float, float] | None:
    """Maxwell's construction about the unstable range ``first`` to ``last`` of the points u; ``small`` curvatures are none."""
    highest, lowest = mu[first], mu[last]

    def branch(indices: range, towards: float) -> Array:
        out: list[int] = []
        for i in indices:
            if out and (second[i] < -small or (mu[i] - towards) * (mu[out[0]] - towards) <= 0):
                out.append(i)
                break
            out.append(i)
        return np.sort(u[out])

    left, right = branch(range(first, -1, -1), lowest), branch(range(last, len(u)), highest)
    left, right = (np.unique(np.concatenate([b, np.linspace(b[0], b[-1], 400)])) for b in (left, right))
    (f_left, mu_left, _), (f_right, mu_right, _) = density.second(left), density.second(right)
    order = [np.argsort(m) for m in (mu_left, mu_right)]
    lower, upper = max(lowest, mu_left.min()), min(highest, mu_right.max())

    def area(level: float) -> tuple[float, float, float]:
        a, b = (np.interp(level, m[o], x[o]) for m, o, x in ((mu_left, order[0], left), (mu_right, order[1], right)))
        f_a, f_b = np.interp(a, left, f_left), np.interp(b, right, f_right)
        return f_b - f_a - level * (b - a), a, b

    for _ in range(80):
        middle = 0.5 * (lower + upper)
        lower, upper = (middle, upper) if area(middle)[0] > 0 else (lower, middle)
    _, a, b = area(0.5 * (lower + upper))
    return _polish(density, float(a), float(b))


def _polish(density: Density, a: float, b: float) -> tuple[float, float]:
    """Newton's method for the common tangent near a and b, with differences measured by the curvatures and the gap."""
    for _ in range(30):
        f, mu, second = density.second(np.array([a, b]))
        gap = b - a
        values = np.array([mu[0] - mu[1], f[1] - f[0] - 0.5 * (mu[0] + mu[1]) * gap])
        tilt = 0.5 * (mu[1] - mu[0])
        jacobian = np.array([[second[0], -second[1]], [-0.5 * second[0] * gap - tilt, -0.5 * second[1] * gap + tilt]])
        scale = np.array([1.0, gap])[:, None]
        if not (np.isfinite(values).all() and np.isfinite(jacobian).all() and abs(np.linalg.det(jacobian / scale)) > 0):
            break
        step = np.linalg.solve(jacobian / scale, values / scale[:, 0])
        if np.abs(step).max() > 0.2 * abs(gap):
            break
        a, b = a - float(step[0]), b - float(step[1])
        if np.abs(step).max() <= 1e-14 * abs(gap):
            break
    return a, b


def _neighbours(density: Density, values: Array) -> list[tuple[float, float]]:
    """Pairs of neighbouring minima of the energy of a nonconserved field, between which it starts."""
    u = _points(density, values)
    f, mu, second = density.second(u)
    good = np.isfinite(f) & np.isfinite(mu) & np.isfinite(second)
    u, mu, second = u[good], mu[good], second[good]
    at = np.flatnonzero((mu[:-1] <= 0) & (mu[1:] > 0) & ((second[:-1] > 0) | (second[1:] > 0)))
    minima: list[float] = []
    for i in at:
        low, high = float(u[i]), float(u[i + 1])
        for _ in range(80):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if density.second(np.array([middle]))[1][0] <= 0 else (low, middle)
        if density.second(np.array([high]))[2][0] > 0:
            minima.append(high)
    pairs = []
    for a, b in itertools.pairwise(minima):
        inside = (u > a) & (u < b)
        if inside.any() and second[inside].min() < 0 and values.max() > a and values.min() < b and np.ptp(values) >= 0:
            pairs.append((a, b))
    return [p for p in pairs if min(values.max(), p[1]) - max(values.min(), p[0]) > _SAME * (p[1] - p[0])] or [
        p for p in pairs if p[0] < values[-1] < p[1]
    ]


def _runs(indices: np.ndarray) -> list[np.ndarray]:
    return [g for g in np.split(indices, np.flatnonzero(np.diff(indices) > 1) + 1) if g.size]


def _between_wells(model: EnergyModel, density: Density, sample: Array) -> Iterator[Transition]:
    """Interfaces of several components, along straight lines between the wells that the sample runs down to."""
    conserved = np.array([f.kinetics.conserved for f, _ in model.components])[:, None]
    points = np.unique(sample, axis=1)
    points = points[:, np.linspace(0, points.shape[1] - 1, min(points.shape[1], 32)).astype(int)]
    spread = np.ptp(points, axis=1, keepdims=True)
    shift = np.random.Generator(np.random.Philox(1)).uniform(-0.2, 0.2, points.shape)
    points = np.concatenate([points, points + shift * spread], axis=1)
    potential = np.nan_to_num(np.asarray(density(sample[:, -1:])[1:])) * conserved
    wells = _descend(density, points, potential)
    if wells.shape[1] < 2:
        return
    scale = np.ptp(wells, axis=1)
    straight: list[Transition] = []
    for i, j in itertools.combinations(range(wells.shape[1]), 2):
        start, end = _balanced(density, wells[:, i], wells[:, j], scale, conserved[:, 0])
        jump = np.where(np.abs(end - start) > _SAME * scale, end - start, 0.0)
        found = _flat(model, density, start, start + jump)
        if found is not None:
            straight.append(found)
    # Like pairs have like interfaces: one of each kind is relaxed.
    straight.sort(key=lambda t: float(np.nanmin(t.widths)))
    seen: set[tuple[str, ...]] = set()
    for t in straight:
        kind = tuple(sorted({f.name for (f, _), w in zip(model.components, t.widths, strict=True) if w > 0}))
        if kind not in seen and len(seen) < _MOST_KINDS:
            seen.add(kind)
            yield _relaxed(model, density, t)


def _balanced(density: Density, start: Array, end: Array, scale: Array, conserved: Array) -> tuple[Array, Array]:
    """The phases near others that have a common tangent, where one component is conserved: by Newton's method, in scaled units.

    Without any they are minima as they are; with several they depend on the tie line, and stay.
    """
    n = len(start)
    scale = np.where(scale > 0, scale, scale.max())
    if conserved.sum() != 1:
        return start, end
    a, b = start.copy(), end.copy()
    level = float(np.asarray(density(np.stack([a, b], axis=1))[1:])[conserved].mean())
    for _ in range(20):
        f, *mu = density(np.stack([a, b], axis=1))
        rest = np.asarray(mu) - level * conserved[:, None]
        left, right = density.hessian(a, scale), density.hessian(b, scale)
        matrix, values = np.zeros((2 * n + 1, 2 * n + 1)), np.zeros(2 * n + 1)
        matrix[:n, :n], matrix[n : 2 * n, n : 2 * n] = left, right
        values[:n], values[n : 2 * n] = rest[:, 0], rest[:, 1]
        matrix[: 2 * n, -1] = -np.tile(conserved.astype(float), 2)
        jump = float((b - a) @ conserved)
        matrix[-1, :n], matrix[-1, n : 2 * n], matrix[-1, -1] = -rest[:, 0], rest[:, 1], -jump
        values[-1] = f[1] - f[0] - level * jump
        stiff = float(np.abs(left * np.outer(scale, scale)).max() + np.abs(right * np.outer(scale, scale)).max())
        units = np.append(np.tile(scale, 2), stiff / float(scale[conserved][0]))
        rows = np.append(stiff / np.tile(scale, 2), stiff)
        scaled = matrix * units / rows[:, None]
        if not (np.isfinite(scaled).all() and np.isfinite(values).all()) or np.linalg.cond(scaled) > 1e10:
            return start, end
        step = np.linalg.solve(scaled, values / rows)
        if np.abs(step[: 2 * n]).max() > 0.5:
            return start, end
        a, b = a - step[:n] * scale, b - step[n : 2 * n] * scale
        level -= float(step[-1] * units[-1])
        if np.abs(step).max() < 1e-9:
            break
    return a, b


def _descend(density: Density, points: Array, potential: Array) -> Array:
    """Distinct minima that points run down to on the energy tilted by ``potential``; shape ``(components, wells)``."""

    def tilted(p: Array) -> tuple[Array, Array]:
        f, *mu = density(p)
        return f - (potential * p).sum(axis=0), np.asarray(mu) - potential

    scale = np.ptp(points, axis=1, keepdims=True)
    scale = np.where(scale > 0, scale, max(float(scale.max()), 1e-300))
    level, slope = tilted(points)
    origin = points
    rate = np.ones(points.shape[1])
    steep = np.abs(slope * scale).max()
    # Steps in units of the scales, of a length that follows each point's success.
    for _ in range(120):
        move = -slope * scale**2
        trial = points + (0.1 * rate / steep if steep > 0 else 0.0) * move
        new, new_slope = tilted(trial)
        better = np.isfinite(new) & (new <= level)
        points, level, slope = (
            np.where(better, trial, points),
            np.where(better, new, level),
            np.where(better, new_slope, slope),
        )
        rate = np.where(better, 1.3 * rate, 0.4 * rate)
    # An energy without a bound lets points run away, to where it is steeper than where any of them began, or beyond all sense.
    away = np.abs((points - origin) / scale).max(axis=0)
    settled = (away < _AWAY) & (np.abs(slope * scale).max(axis=0) <= steep)
    points, level = points[:, settled], level[settled]
    wells: list[Array] = []
    for p in points[:, np.argsort(level)].T:
        if np.isfinite(p).all() and all(np.abs((p - w) / scale[:, 0]).max() > 0.05 for w in wells):
            wells.append(p)
    return np.array(wells[:_MOST_WELLS]).T if wells else np.empty((len(scale), 0))
