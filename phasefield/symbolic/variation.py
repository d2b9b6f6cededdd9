"""A potential and its first and second derivatives as functions of arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import sympy

from .calculus import differentiate
from .names import Symbols
from .reader import parse

#: (variables, points) -> (values, points)
Function = Callable[[np.ndarray], np.ndarray]


def variations(
    text: str,
    key: str,
    variables: Sequence[str],
    invariants: Mapping[str, str] | None = None,
    parameters: Mapping[str, float] | None = None,
) -> tuple[Function, Function, Function]:
    """The value (1, points), the gradient (n, points) and the Hessian (n*n, points) of an expression at points (n, points).

    Args:
        text, key: the expression and the key that holds it.
        variables: names of what it is a function of, in order. invariants: further names, with what they stand for in terms of
            the variables. parameters: constants by name.

    Raises:
        ExpressionError: no expression of these names, or one that jumps. Values that are not finite are returned as they are.
    """
    invariants, parameters = invariants or {}, parameters or {}
    expr = parse(text, key, Symbols(dict.fromkeys((*variables, *invariants)), tuple(parameters)))
    plain = Symbols(dict.fromkeys(variables))
    meaning = {sympy.Symbol(name, real=True): parse(what, name, plain) for name, what in invariants.items()}
    constants = {sympy.Symbol(name, real=True): sympy.Float(value, 17) for name, value in parameters.items()}
    expr = expr.xreplace(constants).xreplace(meaning)
    symbols = [sympy.Symbol(name, real=True) for name in variables]
    slopes = [differentiate(expr, s, key, text) for s in symbols]
    n = len(symbols)
    upper = [
        differentiate(slopes[i], symbols[j], key, text, allow_jumps=True) for i in range(n) for j in range(i, n)
    ]  # fmt: skip
    place = np.zeros((n, n), int)
    place[np.triu_indices(n)] = np.arange(len(upper))
    whole = np.maximum(place, place.T).ravel()
    curvature = _compiled(symbols, upper)
    return _compiled(symbols, [expr]), _compiled(symbols, slopes), lambda points: curvature(points)[whole]


def _compiled(symbols: Sequence[sympy.Symbol], exprs: Sequence[sympy.Expr]) -> Function:
    function = sympy.lambdify(list(symbols), list(exprs), modules="numpy", cse=True)

    def at(points: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            values = function(*points)
        return np.array([np.broadcast_to(np.asarray(value, float), points.shape[1:]) for value in values])

    return at
