"""Values of constants, and which are refused."""

from __future__ import annotations

import math
from collections.abc import Iterator

import sympy

BAD_VALUES = (sympy.nan, sympy.zoo, sympy.oo, -sympy.oo, sympy.I)


def value_of(expr: sympy.Expr) -> float:
    """Value of a constant; nan if it is not a real number that a float can hold."""
    try:
        return float(expr)
    except (TypeError, ValueError, ArithmeticError):
        return math.nan


def is_finite(expr: sympy.Expr) -> bool:
    return math.isfinite(value_of(expr))


def constants(expr: sympy.Expr) -> Iterator[sympy.Expr]:
    """The largest constant subexpressions."""
    walk = sympy.preorder_traversal(expr)
    for node in walk:
        if node.is_number:
            walk.skip()
            yield node
