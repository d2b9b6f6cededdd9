"""The time scales of what depends on time: how far a step may go without jumping over something that a source or parameter does.

Error estimates compare right-hand sides at the ends of steps, so a pulse shorter than a step leaves no trace in them. A source or
a parameter is a formula, though, and tells where it changes: a `TimeMesh` finds the times, and a step is judged by what lies on
its way.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from ..grid import Grid
from .analysis import TIME
from .energy import EnergyModel
from .timemesh import FLOOR, MOST, Array, TimeMesh, TooFine, nearby, spread

#: Largest departure of a term from its value at the start of a step, in units of its range nearby.
THETA = 0.25
#: The same for the departure times the step, in units of the integral of the departure until it comes back.
_SHARE = 0.03
#: Points behind and ahead from which the range is taken that a step's departure is compared with.
_BEHIND, _AHEAD = 64, 192
#: More terms than these are taken as one: writing a long sum out costs more than it tells.
_TERMS = 48
#: Steps to the end from which on a message is due; and those there are at least with a source that cannot be followed.
_MANY, _BLIND = 1e5, 200
_POSITIONS = {1: 17, 2: 5, 3: 3}  # per axis, by the number of coordinates in a source


@dataclass(frozen=True)
class _Mesh:
    """Times from ``times[0]`` to ``times[-1]`` at which all terms are known, dense where they change.

    Attributes:
        values: of every term and sample, shape ``(rows, n)``.
        scale: range of the values nearby, same shape.
        switches: last times before and first times after a condition changes, shape ``(2, k)``.
        gaps: from, to and largest step, shape ``(3, k)``: times at which places between the samples see a pulse.
    """

    times: Array
    values: Array
    scale: Array
    switches: Array
    gaps: Array
    origin: float


class SourceResolution:
    """Keeps steps from jumping over what the sources and the parameters of a model do.

    Every term of a source is judged by its own size, so that a small pulse on top of a large constant counts; all comparisons are
    ratios, so that units of time and of the source do not matter.

    Args:
        model: the model. grid: where the sources act.
        samples: states of the fields, shape ``(components, n)``, for sources whose time dependence hangs on them.
        end: nothing behind it is looked at.

    Attributes:
        note: what a user should know about the steps the sources demand; empty if nothing.
    """

    def __init__(self, model: EnergyModel, grid: Grid, samples: Array, end: float = math.inf) -> None:
        self.note = ""
        self._model, self._grid, self._end = model, grid, end
        self._terms = _terms(model)
        self._coordinates = [
            name for name in grid.names if any(sp.Symbol(name, real=True) in term.free_symbols for term in self._terms)
        ]
        symbols = [*(sp.Symbol(name, real=True) for name in self._coordinates), *model.unknowns]
        self._times = TimeMesh(self._terms, symbols)
        self._first, self._reach = math.nan, math.inf
        self._built: dict[str, Any] = {}  # what the mesh at hand was made from
        self.resample(samples)

    @classmethod
    def build(cls, model: EnergyModel, grid: Grid, samples: Array, end: float = math.inf) -> SourceResolution | None:
        """The resolution of a model's sources, mobilities and parameters; None if none of them depends on time."""
        found = cls(model, grid, samples, end) if timed(model) else None
        return found if found is None or found._terms else None

    def resample(self, samples: Array) -> None:
        """Takes other states of the fields, shape ``(components, n)``."""
        used = any(s in term.free_symbols for term in self._terms for s in self._model.unknowns)
        states = np.asarray(samples, dtype=float) if used else np.zeros((len(self._model.unknowns), 1))
        places = self._places()
        count = max(states.shape[1], places.shape[1])
        pick = np.arange(count)
        self._times.use([*places[:, pick % places.shape[1]], *states[:, pick % states.shape[1]]])
        self._seen = np.zeros((len(self._terms), 1))  # the largest range of every term so far
        self._mesh: _Mesh | None = None

    def _places(self) -> Array:
        """Sample positions, shape ``(coordinates, n)``: from the first cell to the last along every axis in use."""
        axes = dict(zip(self._grid.names, self._grid.axes, strict=True))
        if not self._coordinates:
            return np.zeros((0, 1))
        count = _POSITIONS[len(self._coordinates)]
        along = []
        for name in self._coordinates:
            centers = axes[name].centers
            along.append(centers[np.unique(np.linspace(0, len(centers) - 1, count).round().astype(int))])
        return np.stack([c.ravel() for c in np.meshgrid(*along, indexing="ij")])

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps, so that a resumed run takes the same steps."""
        return dict(self._built)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Looks at what the run that made a checkpoint was looking at."""
        if state:
            self._first, self._reach = state["first"], state["reach"]
            self._seen[:, 0] = state["seen"]
            self._mesh = None
            self._cover(state["t"], state["size"])

    # -- steps ---------------------------------------------------------------------------------------------------------

    def limit(self, t: float, size: float) -> float:
        """The largest step from ``t``, not above ``size``, that jumps over nothing a source does.

        On the way no term departs from its value at ``t`` by more than about a quarter of its range nearby, less if it does so
        late in the step; a step does not go past a time at which a condition on t changes, but ends on the last number before it.
        """
        if not size > 0:
            return size
        mesh = self._cover(t, size)
        if mesh is None:
            return min(size, (self._end if math.isfinite(self._end) else t + size) / _BLIND)
        times = mesh.times
        if times[-1] < self._end:
            size = min(size, 0.5 * float(times[-1] - t))
        start = t
        if mesh.switches.size:
            near = 4 * np.spacing(abs(t) + size * 2**-50)
            ahead = int(np.searchsorted(mesh.switches[1], t - near))
            if ahead < mesh.switches.shape[1] and mesh.switches[0, ahead] <= t + near:
                start = float(max(t, mesh.switches[1, ahead]) + near)  # the new branch already holds
                ahead = int(np.searchsorted(mesh.switches[0], start + near))
            if ahead < mesh.switches.shape[1]:
                size = min(size, float(mesh.switches[0, ahead]) - t)
        if mesh.gaps.size:
            gap = int(np.searchsorted(mesh.gaps[0], t, "right")) - 1
            if gap >= 0 and t < mesh.gaps[1, gap]:
                size = min(size, float(mesh.gaps[2, gap]))
        low, high = (int(np.searchsorted(times, x, "right")) for x in (start, t + size))
        if low == high:
            return size
        now = self._times.at(np.array([start]))
        count = 64
        while True:
            ahead = min(low + 4 * count, times.size)
            fails = self._fails(start, now, times[low:ahead], mesh.values[:, low:ahead], mesh.scale[:, low:ahead])
            fails = fails[: min(count, high - low)]
            if fails.any():
                break
            if low + count >= high:
                return size
            count *= 8
        first = low + int(fails.argmax())
        passed = float(times[first - 1]) if first > low else start
        if times[first] - passed > 0.5 * (passed - start):
            passed = self._between(start, now, mesh, low, first, passed)
        return min(max(passed - t, 4 * float(np.spacing(t))), size)

    def switch(self, t: float) -> float | None:
        """If a condition on time changes within round-off of ``t``: the first number from which on the new branch holds."""
        if self._mesh is None or not self._mesh.switches.size:
            return None
        near = 4 * np.spacing(abs(t))
        last, first = self._mesh.switches
        found = int(np.searchsorted(first, t - near))
        return float(first[found]) if found < first.size and last[found] <= t + near else None

    def summits(self) -> list[float]:
        """The times at which the terms are at their largest, from the first to the last that has been looked at."""
        if self._mesh is None:
            return []
        sizes = np.nan_to_num(np.abs(self._mesh.values))
        heights = [sizes[rows].max(axis=0) for rows in self._times.rows]
        return sorted({float(self._mesh.times[height.argmax()]) for height in heights})

    def _between(self, start: float, now: Array, mesh: _Mesh, low: int, first: int, passed: float) -> float:
        """Where between ``passed`` and the mesh's point ``first``, which is too far, a step from ``start`` has to end."""
        reach = float(mesh.times[first]) - start
        more = slice(low, first + 64)
        while reach > 8 * np.spacing(start):
            inner = start + reach * 2.0 ** np.linspace(-12, 0, 25)[:-1]
            inner = inner[inner > max(passed, start)]
            if not inner.size:
                break
            times, order = np.unique(np.concatenate([inner, mesh.times[more]]), return_index=True)
            values = np.concatenate([self._times.at(inner), mesh.values[:, more]], axis=1)[:, order]
            fails = self._fails(start, now, times, values, mesh.scale[:, first : first + 1])
            fails = fails[: np.searchsorted(times, mesh.times[first])]
            found = int(fails.argmax()) if fails.any() else fails.size
            if found:
                return max(passed, float(times[found - 1]))
            reach = float(times[0]) - start
        return passed

    @staticmethod
    def _fails(start: float, now: Array, times: Array, values: Array, scale: Array) -> NDArray[np.bool_]:
        """Whether a step from ``start`` to each of the times is too long for any of the terms."""
        apart = np.abs(values - now)
        apart[np.isnan(apart)] = 0.0
        length = times - start
        most = np.maximum.accumulate(apart, axis=1)
        width = np.empty_like(length)
        width[0], width[1:] = length[0], length[1:] - length[:-1]
        area = apart.copy()
        area[:, 1:] += apart[:, :-1]
        area *= 0.5 * width
        np.cumsum(area, axis=1, out=area)
        # A late rise in a long step weighs with the whole step's length in a scheme, with its own duration in the solution.
        late = most * most > THETA * scale * np.minimum(most, 2 * area / length)
        # And with little against all of what is to come until it comes back. Where it does not, this says nothing.
        back = (apart < 0.5 * most) & (most > THETA * scale)
        over = back.argmax(axis=1)[:, None]
        lasts = ~back.any(axis=1, keepdims=True)
        total = np.where(
            lasts, area[:, -1:] + apart[:, -1:] * length[-1] / _SHARE, np.take_along_axis(area, over, axis=1)
        )
        return np.asarray((late | (length * most > _SHARE * total)).any(axis=0))

    def _cover(self, t: float, size: float) -> _Mesh | None:
        """A mesh that reaches from ``t`` far enough for a step of this size, or as far as is possible; None if nowhere."""
        mesh = self._mesh
        end = self._end if t < self._end else math.inf
        if mesh is not None and mesh.times[0] <= t < mesh.times[-1]:
            far = min(3 * size, 0.5 * (mesh.times[-1] - mesh.origin))
            if mesh.times[-1] >= end or mesh.times[-1] - t >= far:
                return mesh
        self._built = {
            "t": t,
            "size": size,
            "first": self._first,
            "reach": self._reach,
            "seen": self._seen[:, 0].tolist(),
        }
        if not self._first <= t:
            self._first = t
        left = end - t if math.isfinite(end) else 256 * size
        reach = min(left, self._reach)
        while True:
            last = min(end, t + (left if reach > 0.9 * left else reach))
            try:
                times, values, changed = self._times.resolve(max(self._first, t - min(4 * size, reach)), last)
                break
            except TooFine as error:
                reach /= 2 * error.excess
            if reach < MOST * np.spacing(t):
                self.note = (
                    f"a source or parameter changes too fast for the numbers around time {t:g}: it is not followed"
                )
                return None
        self._reach = reach * min(0.7 * MOST / times.size, 4.0)  # what the next one is tried with
        self._mesh = self._measure(t, times, values, changed)
        if last < end and (steps := (self._end - t) / reach * MOST / 8) > _MANY:
            self.note = (
                f"a source or parameter changes on times of about {8 * reach / MOST:.1e} around time {t:g}; "
                + (
                    f"should it go on like this to time {self._end:g}, steps that follow it are about {steps:.0e}"
                    if math.isfinite(steps)
                    else "steps follow it"
                )
            )
        return self._mesh

    def _measure(self, t: float, times: Array, values: Array, changed: NDArray[np.bool_]) -> _Mesh:
        """What `limit` looks up."""
        scale = nearby(values, _BEHIND, _AHEAD)
        for rows, seen in zip(self._times.rows, self._seen, strict=True):
            seen[0] = max(seen[0], float(spread(values[rows]).max()))
            np.fmax(scale[rows], FLOOR * seen[0], out=scale[rows])
        switches = np.stack([times[:-1][changed], times[1:][changed]])
        gaps = [
            np.empty((3, 0)),
            *(_gaps(times, values[rows]) for rows in self._times.rows if rows.stop - rows.start > 1),
        ]
        joined = np.concatenate(gaps, axis=1)
        return _Mesh(times, values, scale, switches, joined[:, np.argsort(joined[0])], t)


def timed(model: EnergyModel) -> bool:
    """Whether a parameter, a source, a force, a mobility or what walls hold depends on time."""
    return bool(model.courses) or any(TIME in rate.free_symbols for rate in _rates(model))


def _rates(model: EnergyModel) -> list[sp.Expr]:
    """Sources, data of walls, and mobilities that vary, which scale a rate as a source adds to it."""
    found = [f.law for f in model.order_parameters if f.law is not None]
    laws = [entry for law in found for entry in (*law.entries, *law.cross.values())]
    held = [rate for term in model.terms for rate in term.rates]
    return [*(s for s in model.sources if s is not None), *laws, *held]


def _terms(model: EnergyModel) -> list[sp.Expr]:
    """The factors with t of all terms of all sources and of all parameters, each once: what is constant sets no time scale."""
    found: dict[sp.Expr, None] = {}
    laws = [model.in_time(rate) for rate in _rates(model)]
    for law in (*laws, *(course.expr for course in model.courses.values())):
        if TIME not in law.free_symbols:
            continue
        whole = _plain(law)
        terms = [t for summand in sp.Add.make_args(whole) for t in sp.Add.make_args(_distributed(summand))]
        for term in terms if len(terms) <= _TERMS else [whole]:
            factor = term.as_independent(TIME, as_Add=False)[1]
            if TIME in factor.free_symbols:
                found[factor] = None
    return list(found)


def _plain(expr: sp.Expr) -> sp.Expr:
    """Exponents that are whole numbers as such: a parameter 2.0 makes t**2.0, which is no polynomial to SymPy."""
    whole = {p: sp.Pow(p.base, int(p.exp)) for p in expr.atoms(sp.Pow) if p.exp.is_Float and p.exp == int(p.exp)}
    return _plain(expr.xreplace(whole)) if whole else expr


def _distributed(expr: sp.Expr) -> sp.Expr:
    """A product of sums written out one level deep; powers stay, since their bases tell where they vanish."""
    off = {"multinomial": False, "power_base": False, "power_exp": False, "log": False, "basic": False}
    return expr.expand(deep=False, mul=True, **off) if expr.is_Mul else expr


def _gaps(times: Array, values: Array) -> Array:
    """Times between those at which samples see a pulse: it is then somewhere between the samples, and lasts as long there.

    Returns from, to and a quarter of the pulse's duration (area over height), shape ``(3, k)``.
    """
    weight = np.concatenate([[0.0], np.diff(times)])
    order = np.argsort(values, axis=1)
    half = np.cumsum(weight[order], axis=1) >= 0.5 * weight.sum()
    base = np.take_along_axis(values, order, axis=1)[np.arange(len(values)), half.argmax(axis=1)]
    apart = np.nan_to_num(np.abs(values - base[:, None]))
    height = apart.max(axis=1)
    seen = height > FLOOR * height.max()
    if seen.sum() < 2:
        return np.empty((3, 0))
    apart, height = apart[seen], height[seen]
    high = apart > 0.5 * height[:, None]
    count = np.maximum((high[:, 1:] & ~high[:, :-1]).sum(axis=1), 1)
    area = (0.5 * (apart[:, 1:] + apart[:, :-1]) * np.diff(times)).sum(axis=1)
    duration = float(np.median(area / height / count))
    some = np.flatnonzero(high.any(axis=0))
    wide = np.diff(some) > 1
    start, stop = times[some[:-1][wide]], times[some[1:][wide]]
    far = stop - start > duration
    return np.stack([start[far], stop[far], np.full(int(far.sum()), THETA * duration)])
