"""Meshes of times that resolve expressions in t, whatever they hide between two times far apart.

Between the extrema of its argument a function such as exp, tanh or a power is monotone and cannot hide anything. Innermost
arguments are polynomials in t, whose extrema are roots; those of what is built from them are found on a mesh that already
resolves their parts. All comparisons are ratios, so that units do not matter.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from .analysis import TIME, Array

#: Largest change of a function between points of the mesh, in units of its range over the points nearby (`_NEAR` each way).
_DELTA, _NEAR = 0.125, 8
#: What is smaller than this share of a function's range is not resolved any further.
FLOOR = 0.01
#: Points of a mesh.
MOST = 6000
_PHASE = math.pi / 4
#: Times closer than this share of a mesh are one: near zero, floating-point numbers lie closer than anybody means.
_ROUND = 1e-30
#: An envelope smaller than this share of its largest value is not followed.
_NEGLIGIBLE = 1e-16


class TooFine(Exception):
    """A mesh needs this many times the points it may have."""

    def __init__(self, excess: float) -> None:
        super().__init__(excess)
        self.excess = excess


@dataclass(frozen=True)
class _Part:
    """An expression whose extrema matter, and the monotone function that is taken of it."""

    argument: sp.Expr
    kind: str  # exp, tanh, log, power, phase, below, at most, term
    exponent: float = 1.0
    rows: slice = field(default_factory=lambda: slice(0), compare=False)

    def of(self, g: Array, top: float = 0.0) -> Array:
        """The function, up to a factor; ``top`` is the largest argument of all."""
        match self.kind:
            case "exp":
                return np.exp(g - top)  # a factor exp(-1000) would leave nothing to look at
            case "tanh":
                return np.tanh(g)
            case "log":
                return np.log(np.abs(g))
            case "power":
                return np.abs(g) ** self.exponent
            case "phase":
                return g
            case "below":
                return (g < 0).astype(float)
            case "at most":
                return (g <= 0).astype(float)
        return g


class TimeMesh:
    """Finds the times at which a set of terms has to be known.

    Args:
        terms: expressions in t and ``symbols``. symbols: what else they depend on; their values are samples.
    """

    def __init__(self, terms: Sequence[sp.Expr], symbols: Sequence[sp.Symbol]) -> None:
        names = [TIME, *symbols]
        parts = dict.fromkeys(part for term in terms for part in _parts(term))
        envelopes, factors = _late(terms)
        # What is built from such a factor waits with it.
        self._late = {
            part.argument: set().union(*(factors[f] for f in found))
            for part in (*parts, *(_Part(term, "term") for term in terms))
            if (found := [f for f in factors if part.argument == f.args[0] or part.argument.has(f)])
        }
        own = [*envelopes, *terms]
        self._unplaced = [*parts, *(_Part(expr, "term") for expr in own)]
        self._count, self._symbols = len(terms), frozenset(symbols)
        arguments = [part.argument for part in self._unplaced]
        self._function = sp.lambdify(names, arguments, modules="numpy", cse=True)
        self._value = sp.lambdify(names, list(terms), modules="numpy", cse=True)
        self._polynomials = _polynomials(arguments, symbols)

    def use(self, columns: Sequence[Array]) -> None:
        """Sets the samples, an array of shape ``(n,)`` for every symbol."""
        self._columns = [np.asarray(c, dtype=float)[:, None] for c in columns]
        self._parts, start = [], 0
        for part in self._unplaced:
            rows = len(columns[0]) if part.argument.free_symbols & self._symbols else 1
            self._parts.append(_Part(part.argument, part.kind, part.exponent, slice(start, start + rows)))
            start += rows
        self._rows = start
        self._terms = self._parts[-self._count :]
        first = self._terms[0].rows.start
        #: Rows of every term in what `at` and `resolve` return.
        self.rows = [slice(p.rows.start - first, p.rows.stop - first) for p in self._terms]
        self._critical = _critical(self._polynomials, columns)

    def at(self, times: Array) -> Array:
        """All terms at times, shape ``(rows, n)``; NaN where there is no finite value."""
        return self._evaluate(self._value, times, self._terms)

    def resolve(self, first: float, last: float) -> tuple[Array, Array, NDArray[np.bool_]]:
        """A mesh from ``first`` to ``last``.

        Returns:
            Its times, shape ``(n,)``; all terms there, shape ``(rows, n)``; the intervals, all as short as round-off allows, in
            which a condition changes, shape ``(n - 1,)``.

        Raises:
            TooFine: it would have more than `MOST` points.
        """
        times, arguments = self._times(first, last)
        changed = np.zeros(times.size - 1, dtype=bool)
        for part in self._parts:
            if part.kind in ("below", "at most"):
                sides = part.of(arguments[part.rows])
                changed |= (np.diff(sides, axis=1) != 0).any(axis=0)
        return times, arguments[self._terms[0].rows.start :], changed

    def _evaluate(self, function: Callable[..., Sequence[Array]], times: Array, parts: Sequence[_Part]) -> Array:
        """Arguments at times, shape ``(rows, n)``; NaN where there is no finite value."""
        origin = parts[0].rows.start
        result = np.empty((parts[-1].rows.stop - origin, times.size))
        with np.errstate(all="ignore"):
            for part, value in zip(parts, function(times, *self._columns), strict=True):
                result[part.rows.start - origin : part.rows.stop - origin] = value
        result[~np.isfinite(result)] = np.nan
        return result

    def _times(self, first: float, last: float) -> tuple[Array, Array]:
        """Times that resolve all parts, and the arguments there."""
        finest = _ROUND * (last - first)
        inside = self._critical[(self._critical > first + finest) & (self._critical < last)]
        new = np.unique(np.concatenate([[first, last], inside]))
        times, arguments = np.empty(0), np.empty((self._rows, 0))
        settled = False
        while new.size or not settled:
            settled = settled or not new.size
            if times.size + new.size > MOST:
                raise TooFine(2.0)
            order = np.searchsorted(times, new)
            times = np.insert(times, order, new)
            arguments = np.insert(arguments, order, self._evaluate(self._function, new, self._parts), axis=1)
            new = np.setdiff1d(self._missing(times, arguments, finest, settled), times)
        return times, arguments

    def _missing(self, times: Array, arguments: Array, finest: float, settled: bool) -> Array:
        """Times to add: where a part changes much, and where an argument may have an extremum that shows.

        Args:
            settled: also for what oscillates in an envelope, where that is not negligible.
        """
        room = np.diff(times) > 4 * np.maximum(np.spacing(np.maximum(np.abs(times[1:]), np.abs(times[:-1]))), finest)
        split = np.zeros(room.size, dtype=bool)
        found = []
        with np.errstate(all="ignore"):
            for part in self._parts:
                late = self._late.get(part.argument)
                if late is not None and not settled:
                    continue
                g = arguments[part.rows]
                top = float(np.fmax.reduce(g, axis=None))
                f = part.of(g, top)
                change = np.abs(np.diff(f, axis=1))
                where = room
                if late is not None:
                    where = room & self._alive(late, arguments)
                    change = np.where(where, change, 0.0)
                if part.kind == "phase":  # a sine: counted before it is followed
                    needed = float(np.nansum(change, axis=1).max()) / _PHASE
                    if needed > MOST:
                        raise TooFine(needed / MOST)
                    allowed = np.full_like(f, _PHASE)
                elif part.kind in ("below", "at most"):
                    allowed = np.zeros_like(f)
                else:
                    allowed = _DELTA * np.fmax(nearby(f, _NEAR, _NEAR), FLOOR * float(np.fmax.reduce(spread(f))))
                split |= (change > np.maximum(allowed[:, 1:], allowed[:, :-1])).any(axis=0)
                found.extend(_extrema(part, times, g, f, top, allowed, where))
        middle = 0.5 * (times[1:] + times[:-1])
        return np.concatenate([middle[split & room], *found])

    def _alive(self, envelopes: set[sp.Expr], arguments: Array) -> NDArray[np.bool_]:
        """Intervals of a mesh in which one of the envelopes is not negligible."""
        points = np.zeros(arguments.shape[1], dtype=bool)
        for part in self._parts[: -self._count]:
            if part.kind == "term" and part.argument in envelopes:
                height = np.abs(arguments[part.rows])
                points |= (height > _NEGLIGIBLE * np.fmax.reduce(height, axis=None)).any(axis=0)
        return np.asarray(points[1:] | points[:-1])


def _parts(term: sp.Expr) -> Iterable[_Part]:
    """The functions in a term, inner ones first."""
    plain = {sp.exp: "exp", sp.tanh: "tanh", sp.log: "log", sp.sin: "phase", sp.cos: "phase"}
    for node in sp.postorder_traversal(term):
        if TIME not in node.free_symbols:
            continue
        if node.func in plain:
            yield _Part(node.args[0], plain[node.func])
        elif isinstance(node, sp.Rel):
            # t < 50 and t >= 50 part at the same place, t <= 50 and t > 50 just behind it.
            yield _Part(node.lhs - node.rhs, "below" if isinstance(node, sp.Lt | sp.Ge) else "at most")
        elif node.is_Pow and node.base != TIME and node.exp.is_number:
            yield _Part(node.base, "power", float(node.exp))
        elif node.is_Pow and not node.exp.is_number:
            yield _Part(node.exp * sp.log(node.base), "exp")


def _late(terms: Iterable[sp.Expr]) -> tuple[list[sp.Expr], dict[sp.Expr, set[sp.Expr]]]:
    """What oscillates in an envelope: a burst of a million periods is nothing to follow before it begins.

    Returns:
        The envelopes; and for the sines and cosines that act only as factors the envelopes they are in.
    """
    envelopes: list[sp.Expr] = []
    found: dict[sp.Expr, set[sp.Expr]] = {}
    inner: set[sp.Expr] = set()
    for term in terms:
        factors: list[sp.Expr] = []
        envelope = _envelope(term, factors)
        inner |= {node.args[0] for node in sp.preorder_traversal(envelope) if node.func in (sp.sin, sp.cos)}
        if TIME not in envelope.free_symbols:
            inner |= {factor.args[0] for factor in factors}
        elif factors:
            envelopes.append(envelope)
            for factor in factors:
                found.setdefault(factor, set()).add(envelope)
    return envelopes, {factor: of for factor, of in found.items() if factor.args[0] not in inner}


def _envelope(expr: sp.Expr, factors: list[sp.Expr]) -> sp.Expr:
    """``expr`` with constants for the sines and cosines that act as factors; appends these to ``factors``."""
    if TIME not in expr.free_symbols:
        return expr
    if expr.func in (sp.sin, sp.cos):
        factors.append(expr)
        return sp.Float(1 / (1 + 0.618 * len(factors)))  # no two alike, so that they do not cancel
    if isinstance(expr, sp.Piecewise):
        return sp.Piecewise(*((_envelope(e, factors), condition) for e, condition in expr.args))
    if expr.is_Add or expr.is_Mul or (expr.is_Pow and expr.exp.is_Integer and expr.exp > 0):
        return expr.func(*(_envelope(e, factors) for e in expr.args))
    return expr


def _polynomials(arguments: Sequence[sp.Expr], names: Sequence[sp.Symbol]) -> list[Callable[..., Sequence[Array]]]:
    """The coefficients, highest first, of the arguments that are polynomials in t, as functions of the samples."""
    result = []
    for argument in dict.fromkeys(arguments):
        if TIME in argument.free_symbols and argument.is_polynomial(TIME):
            result.append(sp.lambdify(names, sp.Poly(argument, TIME).all_coeffs(), modules="numpy"))
    return result


def _critical(polynomials: Iterable[Callable[..., Sequence[Array]]], columns: Sequence[Array]) -> Array:
    """Real zeros and extrema of polynomials for all samples."""
    found = [np.empty(0)]
    with np.errstate(all="ignore"):
        for polynomial in polynomials:
            rows = np.stack(np.broadcast_arrays(*polynomial(*columns))).reshape(len(polynomial(*columns)), -1).T
            for row in np.unique(rows[np.isfinite(rows).all(axis=1)].astype(float), axis=0):
                for coefficients in (row, np.polyder(row)):
                    if coefficients.any():
                        roots = np.roots(coefficients)
                        found.append(roots.real[np.abs(roots.imag) <= 1e-6 * np.abs(roots.real)])
    times = np.unique(np.concatenate(found))
    return times[np.isfinite(times)]


def spread(values: Array) -> Array:
    """Range of the finite values of every row, 0 if there are none."""
    finite = np.isfinite(values)
    span = np.where(finite, values, -np.inf).max(axis=1) - np.where(finite, values, np.inf).min(axis=1)
    return np.where(span > 0, span, 0.0)


def nearby(values: Array, behind: int, ahead: int) -> Array:
    """Range of the finite values from so many points behind to so many ahead."""
    finite = np.isfinite(values)
    result = []
    for of, empty in ((np.maximum, -np.inf), (np.minimum, np.inf)):
        row = np.where(finite, values, empty)
        # Doubling: the extremum over w points from each on follows from that over w/2 points.
        width, window = 1, np.pad(row, ((0, 0), (behind, ahead)), constant_values=empty)
        total = behind + ahead + 1
        while 2 * width <= total:
            window = of(window[:, :-width], window[:, width:])
            width *= 2
        rest = total - width
        result.append(of(window[:, : window.shape[1] - rest], window[:, rest:]))
    span = result[0] - result[1]
    return np.where(span > 0, span, 0.0)


def _extrema(
    part: _Part, times: Array, g: Array, f: Array, top: float, allowed: Array, where: NDArray[np.bool_]
) -> list[Array]:
    """Times that close in on extrema of an argument, as far as they would be seen in its function."""
    rise = np.diff(g, axis=1)
    turn = (rise[:, 1:] * rise[:, :-1] <= 0) & (rise[:, 1:] != rise[:, :-1]) & (where[1:] | where[:-1])
    row, i = np.nonzero(turn)
    if not row.size:
        return []
    before, behind = times[i + 1] - times[i], times[i + 2] - times[i + 1]
    # The vertex of the parabola through three points.
    slopes = rise[row, i] / before, rise[row, i + 1] / behind
    bend = (slopes[1] - slopes[0]) / (before + behind)
    slope = slopes[0] + bend * before
    best = times[i + 1] - 0.5 * slope / bend
    # A parabola says where to look, but not well how far up it goes.
    slack = 0.1 * np.maximum(np.abs(rise[row, i]), np.abs(rise[row, i + 1]))
    peak = g[row, i + 1] - np.sign(bend) * (0.5 * slope**2 / np.abs(bend) + slack)
    gain = np.abs(part.of(peak, top) - f[row, i + 1])
    shows = ~(gain <= allowed[row, i + 1])
    if not shows.any():
        return []
    i, best = i[shows], best[shows]
    inside = (best > times[i]) & (best < times[i + 2])
    wide = before[shows] > behind[shows]
    halved = np.where(wide, 0.5 * (times[i] + times[i + 1]), 0.5 * (times[i + 1] + times[i + 2]))
    return [best[inside], halved]
