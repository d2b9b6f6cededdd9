"""What depends on a comparison: every condition in a tree is one comparison of smooth terms."""

from __future__ import annotations

import ast
from collections.abc import Callable

import sympy

from .functions import COMPARISONS
from .values import value_of


def choose(
    op: type[ast.cmpop],
    left: sympy.Expr,
    right: sympy.Expr,
    yes: sympy.Expr,
    no: sympy.Expr,
    spend: Callable[[sympy.Expr], None],
) -> sympy.Expr:
    """``yes`` where ``left op right``, else ``no``; every condition in the result is one comparison of smooth terms.

    SymPy would turn a condition that contains a Piecewise into nested logic. Here its inner conditions are decided
    first, one by one and for all four terms at once.
    """
    spend(yes)
    spend(no)
    on_floats, on_trees = COMPARISONS[op]
    if left.is_number and right.is_number:
        return yes if on_floats(value_of(left), value_of(right)) else no
    if left == right:
        return yes if on_floats(0, 0) else no
    inner = {r for piece in left.atoms(sympy.Piecewise) | right.atoms(sympy.Piecewise) for r in piece.atoms(sympy.Rel)}
    # Unevaluated: deciding c**2 + 1 > 0 from assumptions gains little and may take long.
    split = min(inner, key=sympy.default_sort_key) if inner else on_trees(left, right, evaluate=False)
    sides = []
    for known in (sympy.true, sympy.false):
        left_, right_, yes_, no_ = (e.xreplace({split: known}) for e in (left, right, yes, no))
        if inner:
            sides.append(choose(op, left_, right_, yes_, no_, spend))
        else:
            sides.append(yes_ if known == sympy.true else no_)
    return _branches([(sides[0], split), (sides[1], sympy.true)])


def _branches(branches: list[tuple[sympy.Expr, sympy.Basic]]) -> sympy.Expr:
    """A Piecewise whose last branch, if it branches again, continues the list."""
    *head, (last, condition) = branches
    return sympy.Piecewise(*head, *(last.args if isinstance(last, sympy.Piecewise) else [(last, condition)]))


def absolute(arg: sympy.Expr, spend: Callable[[sympy.Expr], None]) -> sympy.Expr:
    return choose(ast.GtE, arg, sympy.Integer(0), arg, -arg, spend)


def without_abs(expr: sympy.Expr, spend: Callable[[sympy.Expr], None]) -> sympy.Expr:
    """Rewrite the ``Abs`` that SymPy introduces on its own, for example in ``sqrt(c**2)``."""
    return expr.replace(sympy.Abs, lambda arg: absolute(arg, spend)) if expr.has(sympy.Abs) else expr
