"""Functions of one coordinate: worked out along their axis and not in every cell.

A source or a datum of walls is often a function of one coordinate and the time, cos(pi*y/L) or tanh((x - v*t)/w), or products and
sums of such. In every cell of every step its elementary functions cost more than a transform. Worked out along the axis they
cost nothing: once per step what depends on time, once at all what does not. That is for CPUs: a GPU waits for memory meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import sympy as sp

from .form import Kernel, Reduction
from .functions import ELEMENTARY, PerMode

_AXES = tuple(sp.Symbol(name, real=True) for name in "xyz")


def profiled(kernel: Kernel) -> Kernel:
    """The kernel with the largest parts that are costly functions of one coordinate, and of scalars, as `PerMode`; itself where
    there are none. Only in cells.
    """
    if kernel.space != "real" or not {s.name for s in _AXES} & set(kernel.axis_symbols):
        return kernel
    varying = {f"{a}@{c}" for a, n in kernel.arrays.items() for c in range(n)}

    def outlined(expr: Any) -> Any:
        return None if expr is None else _outlined(sp.sympify(expr), varying)

    outputs = {array: [outlined(e) for e in exprs] for array, exprs in kernel.outputs.items()}
    reductions = {name: Reduction(r.op, outlined(r.expr)) for name, r in kernel.reductions.items()}
    return replace(kernel, outputs=outputs, reductions=reductions)


def coordinate(profile: sp.Expr) -> int:
    """The axis of the grid that a function outlined by `profiled` is along."""
    return next(d for d, x in enumerate(_AXES) if x in profile.free_symbols)


def _outlined(expr: sp.Expr, varying: set[str]) -> sp.Expr:
    if _along(expr, varying) is not None and _costly(expr):
        return PerMode(expr)
    if not expr.args or not _costly(expr):
        return expr
    if not isinstance(expr, sp.Add | sp.Mul):
        return expr.func(*(_outlined(e, varying) for e in expr.args))
    # Of a sum or product what is along the same axis goes together, with the scalars beside it.
    parts: dict[sp.Symbol, list[sp.Expr]] = {x: [] for x in _AXES}
    rest: list[sp.Expr] = []
    for e in expr.args:
        x = _along(e, varying)
        (rest if x is None else parts[x]).append(e)
    scalars = [e for e in rest if _constant(e, varying)]
    rest = [_outlined(e, varying) for e in rest if e not in scalars]
    for members in parts.values():
        whole = expr.func(*members)
        if members and _costly(whole):
            rest.append(PerMode(expr.func(*scalars, whole)))
            scalars = []
        else:
            rest += members
    return expr.func(*scalars, *rest)


def _along(expr: sp.Expr, varying: set[str]) -> sp.Symbol | None:
    """The only coordinate in an expression without arrays."""
    found = [x for x in _AXES if x in expr.free_symbols]
    return found[0] if len(found) == 1 and not _reads(expr, varying) else None


def _constant(expr: sp.Expr, varying: set[str]) -> bool:
    return not expr.free_symbols & set(_AXES) and not _reads(expr, varying)


def _reads(expr: sp.Expr, varying: set[str]) -> bool:
    return any(s.name in varying for s in expr.free_symbols)


def _costly(expr: sp.Expr) -> bool:
    """Whether an expression has elementary functions or broken powers of a coordinate."""
    calls: Sequence[sp.Expr] = [f for f in expr.atoms(sp.Function) if f.func.__name__ in ELEMENTARY or f.func is sp.exp]
    calls = [*calls, *(p for p in expr.atoms(sp.Pow) if not p.exp.is_Integer)]
    return any(call.free_symbols & set(_AXES) for call in calls)
