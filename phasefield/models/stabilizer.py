"""The stabiliser S of the splitting, from the curvature of the energy at the states that a run visits.

Where modes are stiff (-dt L large) a step of ``u' = L u + N(u)``, linearised about a state with the Hessian H of f, becomes
``u_new = D^-1 (D - H) P u``: D = diag(S + kappa k^2), and P extrapolates N from past steps; kinetics and mobilities cancel.
``D^-1 (D - H)`` has the eigenvalues r = 1 - lambda of a symmetric matrix, lambda those of ``D^-1/2 H D^-1/2``. Modes that the
energy itself makes grow have lambda < 0. All others decay if every lambda lies below what the recurrence of P bears, worst at
kappa k = 0: lambda <= 2 for schemes that do not extrapolate (the S >= f''/2 of Shen and Yang, DCDS-A 28 (2010) 1669, lemma 2.3),
4/3 for the second order in equal steps, 8/7 for the third undamped, and less in growing steps. So S is
``margin`` times the largest curvature, 1/2 for the former and 1 for the latter: r then lies in [0, 1), N has no part that
L has to cancel, and every extrapolation holds at every ratio of steps.

For coupled fields, D = diag(S) has to dominate ``margin * H`` as a matrix. It is taken in proportion to the largest curvature of
every field by itself, S_i = margin * lambda * max H_ii, with lambda the largest eigenvalue of H so scaled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ..grid import Grid
from .energy import EnergyModel
from .forces import slopes
from .spectrum import Spectrum

Array = NDArray[np.float64]

#: Cells that stand for the initial state besides its extremes, and mixtures of two of them: what diffusion makes of them.
_CELLS, _MIXTURES = 48, 48
#: Steps down the energy at most: Newton's method doubles the distance to an unstable state, and 1e-30 is small enough a start.
_DESCENT = 200
#: How far beyond a well, from the mean, patterns of a nonlocal energy are taken to reach.
_BEYOND = 1.5
#: Ratio of mobilities from which on one field is taken to follow another at once.
_FASTER = 10.0
#: Fractions of the way from a cell to its well at which the curvature is looked at.
_WAY = np.arange(1, 8) / 8


@dataclass(frozen=True)
class Curvature:
    """S of every component as two sets of states ask for it.

    Attributes:
        visited: the cells at hand, their way into the wells, and interfaces between those. rest: without the cells and the way.
        states: those that ``visited`` is for, shape ``(components, n)``.
    """

    visited: list[float]
    rest: list[float]
    states: Array

    @property
    def passing(self) -> bool:
        """Whether some S is far larger than what is needed once the cells at hand have relaxed."""
        return any(v > 2 * r for v, r in zip(self.visited, self.rest, strict=True))


class Stabilizer:
    """Finds S of a model for one state after another.

    The states that count are those a run visits. A sample of cells and of mixtures of them follows the descent of f into its
    wells (conserved components on f tilted by the potential of the mean state, which leaves the common tangent level). Nothing in
    the search has a size of its own: with fields and energies in other units S is the same in these units, to about 1e-9.

    Args:
        margin: S over the largest curvature; what a scheme needs, see above.
        grid, times: where and when forces act, whose slopes (`phasefield.models.forces`) join the curvature.
    """

    def __init__(
        self, model: EnergyModel, margin: float = 1.0, grid: Grid | None = None, times: Sequence[float] = (0.0,)
    ) -> None:
        self.model, self.margin = model, margin
        self._slopes = slopes(model, grid, times)
        self._energy = model.function([model.energy])
        self._force = model.function(model.potentials)
        self._diagonal = model.function(model.curvatures)
        spectrum = Spectrum(model)
        self._patterned = not spectrum.plain
        self._lowest = spectrum.lowest()[:, None]
        self._conserved = np.array([[f.kinetics.conserved] for f, _ in model.components])
        self._order = _order(model)
        self._others = [sum(term.curvature(i) for term in model.terms) for i in range(len(model.components))]
        self._fields = [list(range(len(model.components)))[part] for part in model.slices().values()]

    def __call__(self, cells: Array) -> Curvature:
        """S for a run that goes on from ``cells``, shape ``(components, ...)``; cells outside the domain of f are left out."""
        flat = np.asarray(cells, dtype=float).reshape(len(cells), -1)
        start = self._inside(self._sample(flat))
        if not start.shape[1]:  # the run will say so
            nothing = self._stabilizers(start)
            return Curvature(nothing, nothing, start)
        center = flat.mean(axis=1, keepdims=True)
        mean = self._force(center)
        tilt = np.where(np.isfinite(mean), mean, 0.0) * self._conserved
        corners, arrived = [start], np.ones(start.shape[1], dtype=bool)
        for moving in self._order:
            there, settled = self._descend(corners[-1], tilt, center, moving)
            corners, arrived = [*corners, there], arrived & settled
        wells = corners[-1]
        way = [a + (b - a) * part for a, b in pairwise(corners) for part in _WAY] + corners[1:-1]
        ends = wells[:, arrived]
        rest = np.concatenate([ends, _mixtures(ends, _MIXTURES)], axis=1)
        if self._patterned:
            rest = np.concatenate([rest, self._beyond(ends, center)], axis=1)
        # The way as a straight line: the descent itself takes strides that may lead past a well.
        visited = np.concatenate([rest, start, *(w[:, arrived] for w in way)], axis=1)
        return Curvature(self._stabilizers(visited), self._stabilizers(rest), visited)

    # -- states --------------------------------------------------------------------------------------------------------

    def _beyond(self, wells: Array, mean: Array) -> Array:
        """States beyond the wells, as far as peaks of patterns reach that another symbol than kappa k^2 makes.

        In a triangular one-mode pattern the peaks lie 3/2 of the amplitude from the mean. Where the curvature grows much faster
        than that of a quartic energy, at the end of a domain, it is left to the run to find out.
        """
        points = self._inside(mean + _BEYOND * (wells - mean))
        if not points.shape[1] or not wells.shape[1]:
            return points
        most = np.abs(self._diagonal(wells)).max(axis=1, keepdims=True)
        return points[:, (np.abs(self._diagonal(points)) <= 4 * most).all(axis=0)]

    def _sample(self, flat: Array) -> Array:
        count = flat.shape[1]
        picks = np.unique(np.linspace(0, count - 1, _CELLS).astype(int))
        picks = np.concatenate([picks, flat.argmax(axis=1), flat.argmin(axis=1)])
        sample = flat[:, picks]
        return np.concatenate([sample, _mixtures(sample, _MIXTURES), *self._beside(flat[:, :1], flat)], axis=1)

    def _beside(self, point: Array, flat: Array) -> list[Array]:
        """States beside a uniform field, which might be in unstable equilibrium: a hundredth of the way to other curvature."""
        found = []
        for part in self._fields:
            if np.ptp(flat[part]) == 0:
                for i in part:
                    distance = 0.01 * self._reach(point, i)
                    found += [_moved(point, i, np.array([d])) for d in (-distance, distance) if d]
        return found

    def _reach(self, point: Array, i: int) -> float:
        """The least change of component ``i`` at which its curvature differs by half; 0 if it never does."""
        here = float(self._diagonal(point)[i, 0])

        def differs(distances: Array) -> NDArray[np.bool_]:
            both = np.stack([self._diagonal(_moved(point, i, d))[i] for d in (distances, -distances)])
            return np.asarray((np.abs(both - here) > 0.5 * abs(here)).any(axis=0))

        ladder = np.exp2(np.arange(-500.0, 500.0))
        steps = np.flatnonzero(differs(ladder))
        if not steps.size:
            return 0.0
        high = float(ladder[steps[0]])
        low = 0.5 * high
        for _ in range(50):
            middle = 0.5 * (low + high)
            low, high = (low, middle) if differs(np.array([middle]))[0] else (middle, high)
        return high

    def _inside(self, points: Array) -> Array:
        return points[:, np.isfinite(np.concatenate([self._energy(points), self._force(points)])).all(axis=0)]

    def _descend(
        self, start: Array, tilt: Array, center: Array, moving: NDArray[np.bool_]
    ) -> tuple[Array, NDArray[np.bool_]]:
        """Where points end on the tilted energy, and which of them have arrived there, if these components may move.

        The wave that another term's symbol favours most sees f with the least A about the mean, ``center``.
        """
        low = self._lowest

        def tilted(p: Array) -> Array:
            return np.asarray(
                (self._energy(p) - (tilt * p).sum(axis=0) + (0.5 * low * (p - center) ** 2).sum(axis=0))[0]
            )

        points, level = start, tilted(start)
        rate, away = np.ones(points.shape[1]), np.ones(points.shape[1])
        for _ in range(_DESCENT):
            second = self._diagonal(points) + low
            slope = (self._force(points) - tilt + low * (points - center)) * moving
            extent = np.ptp(np.concatenate([start, points], axis=1), axis=1, keepdims=True)
            with np.errstate(all="ignore"):
                stride = np.where(second != 0, -slope / np.abs(second), 0.0)
                stride = np.where(np.isfinite(stride), stride, 0.0)
                away = np.where(stride != 0, np.abs(stride) / extent, 0.0).max(axis=0)
            if (away <= 1e-9).all():
                break
            step = rate * stride
            new = tilted(points + step)
            # A stride is as long as its parabola holds: a longer one may cross a barrier. Those near a well are below round-off.
            expected = (slope * step + 0.5 * second * step**2).sum(axis=0)
            error, noise = np.abs(new - level - expected), 1e-14 * (np.abs(level) + np.abs(tilt * points).sum(axis=0))
            good = (error <= 0.5 * np.abs(expected) + noise) | (np.isfinite(new) & (away <= 1e-6))
            points, level = np.where(good, points + step, points), np.where(good, new, level)
            rate = np.where(good, np.minimum(2 * rate, 1.0), 0.25 * rate)
        arrived = away <= 1e-6
        return points, arrived

    # -- curvature -----------------------------------------------------------------------------------------------------

    def _stabilizers(self, points: Array) -> list[float]:
        some = _thinned(points, max(100, 8000 // len(points)))
        hessian = self._hessian(some)
        if self._slopes is not None:
            hessian = self._joined(hessian, self._slopes(some))
        diagonal = np.maximum(np.diagonal(hessian, axis1=1, axis2=2), 0.0).max(axis=0, initial=0.0)
        own = np.array([diagonal[part].max() for part in self._fields for _ in part])
        own = self._borrowed(own, np.abs(hessian).max(axis=0, initial=0.0), points)
        with np.errstate(all="ignore"):
            weight = np.where(own > 0, 1 / np.sqrt(own), 0.0)
        scaled = hessian * np.outer(weight, weight)
        most = float(np.linalg.eigvalsh(scaled)[:, -1].max(initial=0.0))
        return [
            f.stabilizer if f.stabilizer is not None else self.margin * (most * float(s) + more)
            for (f, _), s, more in zip(self.model.components, own, self._others, strict=True)
        ]

    @staticmethod
    def _joined(hessian: Array, forced: Array) -> Array:
        """Second derivatives of f with slopes of forces, which are many for each of them, where places and times differ."""
        if not len(hessian) or not len(forced):
            return np.concatenate([hessian, forced])
        count = len(forced) // len(hessian)
        if count * len(hessian) != len(forced):  # some were not finite: the worst of both
            return np.concatenate([hessian, forced, (hessian.max(axis=0) + forced.max(axis=0))[None]])
        return np.repeat(hessian, count, axis=0) + forced

    def _borrowed(self, own: Array, coupling: Array, points: Array) -> Array:
        """``own`` with a value for components of no curvature that are coupled to others, so that D can dominate H."""
        own = own.copy()
        extent = np.ptp(points, axis=1) if points.shape[1] else np.zeros(len(own))
        for i in np.flatnonzero(own == 0):
            curved = (coupling[i] > 0) & (own > 0)
            if curved.any():
                own[i] = (coupling[i, curved] ** 2 / own[curved]).max()
            elif extent[i] > 0:  # as much energy as the coupling holds over the extent of both
                own[i] = (coupling[i] * extent / extent[i]).max()
        return np.array([own[part].max() for part in self._fields for _ in part])

    def _hessian(self, points: Array) -> Array:
        """Second derivatives at points, shape ``(points, components, components)``, by complex steps (Squire and Trapp 1998).

        They are exact to round-off, and take no symbolic derivative more, of which many components would need very many.
        """
        size = np.abs(points).max(axis=1, initial=0.0)
        inside = np.isfinite(self._force(points)).all(axis=0)
        points = points[:, inside]
        columns = []
        for i, s in enumerate(size):
            h = 2.0**-80 * (s if s > 0 else max(size.max(initial=0.0), 2.0**-200))
            columns.append(self._force(_moved(points.astype(complex), i, 1j * h)).imag / h)
        hessian = np.moveaxis(np.array(columns), 2, 0)
        hessian = hessian[np.isfinite(hessian).all(axis=(1, 2))]
        return np.asarray(0.5 * (hessian + hessian.transpose(0, 2, 1)))


def stabilizers(model: EnergyModel, initial: Array, margin: float = 1.0) -> list[float]:
    """S of every component for a run from ``initial``, shape ``(components, ...)``; see `Stabilizer`."""
    return Stabilizer(model, margin)(initial).visited


def _order(model: EnergyModel) -> list[NDArray[np.bool_]]:
    """Which components relax before the others, shape ``(components, 1)``, ever more of them until all do.

    A field that is not conserved follows those of a far smaller mobility at once, and there the curvature may be larger than on
    the straight way to the wells.
    """
    speeds = np.array([[np.nan if f.kinetics.conserved else f.mobility] for f, _ in model.components])
    levels = sorted({float(v) for v in speeds.flat if not np.isnan(v)}, reverse=True)
    sooner = [speeds >= a for a, b in pairwise(levels) if a > _FASTER * b]
    return [*sooner, np.ones_like(speeds, dtype=bool)]


def _moved(points: NDArray, i: int, change: NDArray | complex) -> NDArray:
    """``points`` with component ``i`` changed; one point is repeated for every change."""
    count = max(points.shape[1], np.size(change))
    moved = np.repeat(points, count, axis=1) if points.shape[1] < count else points.copy()
    moved[i] += change
    return moved


def _mixtures(points: Array, count: int) -> Array:
    """Convex combinations of two of the points each, always of the same two."""
    if not points.shape[1]:
        return points
    rng = np.random.Generator(np.random.Philox(1))
    one, other = (points[:, (rng.uniform(size=count) * points.shape[1]).astype(int)] for _ in range(2))
    return np.asarray(one + rng.uniform(size=count) * (other - one))


def _thinned(points: Array, most: int) -> Array:
    count = points.shape[1]
    return points if count <= most else points[:, np.linspace(0, count - 1, most).astype(int)]
