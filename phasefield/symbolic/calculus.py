"""Derivatives of expressions that may have kinks but no jumps, and how they read."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import sympy
from sympy.polys.polytools import NoConvergence

from phasefield.errors import ExpressionError

from .branches import without_abs
from .values import BAD_VALUES, value_of


def differentiate(
    expr: sympy.Expr, symbol: sympy.Symbol, key: str, text: str, *, allow_jumps: bool = False
) -> sympy.Expr:
    """Derivative with respect to ``symbol``; at a kink (``abs``, ``min``, ``max``) one of the one-sided values.

    Args:
        expr: a result of ``parse`` or of this function.
        symbol: one of its symbols.
        key, text: where ``expr`` comes from, for the message.
        allow_jumps: accept a discontinuous ``expr``; for second derivatives of an energy that has kinks.

    Raises:
        ExpressionError: ``expr`` jumps where a condition that is polynomial in ``symbol`` changes, checked at generic
            values of all other symbols, or the derivative is no ordinary finite expression.
    """
    if not allow_jumps and (place := _jump(expr, symbol)) is not None:
        raise ExpressionError(
            key,
            text,
            max(0, text.find("piecewise")),
            f"not differentiable with respect to {symbol}: the value jumps where {place} changes sign",
            "make the branches of piecewise agree where they meet",
        )
    result = without_abs(sympy.diff(expr, symbol), lambda _: None)
    unusable = (sympy.Derivative, sympy.Subs, sympy.DiracDelta, sympy.Heaviside, *BAD_VALUES)
    if result.has(*unusable):
        raise ExpressionError(key, text, 0, f"the derivative with respect to {symbol} is no ordinary finite expression")
    return result


def formula(expr: sympy.Expr) -> str:
    r"""LaTeX of an expression; the component ``eta_1`` reads ``\eta_{1}``."""
    return str(sympy.latex(expr))


def written_out(expr: sympy.Expr) -> sympy.Expr:
    """Products of sums as sums of products, so that terms cancel; what stands within functions and roots stays as it is.

    exp(-(t - 50)**2) written out would be a product of numbers too large and too small for a computer.
    """
    kept = {part: sympy.Dummy(real=True) for part in expr.atoms(sympy.Function)}
    kept |= {part: sympy.Dummy(real=True) for part in expr.atoms(sympy.Pow) if not part.exp.is_Integer}
    return sympy.expand(expr.xreplace(kept)).xreplace({name: part for part, name in kept.items()})


def _jump(expr: sympy.Expr, symbol: sympy.Symbol) -> sympy.Expr | None:
    """The first ``left - right`` of a condition at whose zero ``expr`` jumps as a function of ``symbol``, or None."""
    relations: dict[Any, list[sympy.Expr]] = {}
    for piece in expr.atoms(sympy.Piecewise):
        for _, condition in piece.args:
            for relation in condition.atoms(sympy.Rel):
                if symbol in relation.free_symbols:
                    relations.setdefault(relation, []).append(piece)
    others = sorted(expr.free_symbols - {symbol}, key=str)
    literals = {f: _precise(f) for f in expr.atoms(sympy.Float)}
    for relation, pieces in relations.items():
        for low, high in ((0.1, 0.9), (-1.0, 1.0), (0.0, 3.0)):
            # Multiples of the golden ratio modulo one: distinct values without any special relation.
            fractions = [(0.618034 * k + 0.3) % 1 for k in range(1, len(others) + 1)]
            generic = {s: _precise(low + (high - low) * f) for s, f in zip(others, fractions, strict=True)}
            values = literals | generic
            for root in _real_roots(relation.lhs.xreplace(values) - relation.rhs.xreplace(values), symbol):
                # A piece may jump while the whole does not: c*piecewise(1, c > 0, 0).
                if any(_jumps_at(p, symbol, root, values) for p in pieces) and _jumps_at(expr, symbol, root, values):
                    return relation.lhs - relation.rhs
    return None


def _precise(value: Any) -> sympy.Float:
    """To 60 digits: steps far below rounding tell a jump from a steep slope, and cancellation does no harm."""
    return sympy.Float(sympy.Rational(value), 60)


def _real_roots(boundary: sympy.Expr, symbol: sympy.Symbol) -> list[sympy.Float]:
    """Real roots to 50 digits; none if the boundary is not a polynomial in ``symbol`` of degree 8 or less."""
    try:
        polynomial = sympy.Poly(boundary, symbol)
        if not 1 <= polynomial.degree() <= 8:
            return []
        return [_precise(r) for r in polynomial.nroots(n=50, maxsteps=100) if r.is_real]
    except (sympy.PolynomialError, NoConvergence, ArithmeticError, TypeError, ValueError):
        return []


def _jumps_at(expr: sympy.Expr, symbol: sympy.Symbol, root: sympy.Float, values: Mapping[Any, sympy.Float]) -> bool:
    others = [s for s in values if isinstance(s, sympy.Symbol)]
    rough = _in_floats(expr, (symbol, *others))

    def at(distance: float) -> float:
        try:
            # What overflows is not followed with 60 digits: of an exponent of 1e12 that would take all memory.
            if not math.isfinite(rough(float(root) + distance, *(float(values[s]) for s in others))):
                return math.nan
            return value_of(expr.xreplace({**values, symbol: root + _precise(distance)}))
        except (TypeError, ArithmeticError, ValueError):  # outside the domain, such as a comparison of complex numbers
            return math.nan

    height, wider = abs(at(1e-24) - at(-1e-24)), abs(at(1e-12) - at(-1e-12))
    size = max((abs(v) for v in map(at, (-0.1, -1e-24, 1e-24, 0.1)) if math.isfinite(v)), default=0.0)
    return height > 0.5 * wider and height > 1e-9 * size  # False if a side is undefined: nan compares false


@lru_cache(64)
def _in_floats(expr: sympy.Expr, symbols: tuple[sympy.Symbol, ...]) -> Callable[..., float]:
    function: Callable[..., float] = sympy.lambdify(symbols, expr, "math")
    return function
