"""A kernel becomes straight-line assignments, the same for every language."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sympy as sp

from .form import AXIS_SYMBOLS, DIRECTIONS, Kernel
from .functions import PerMode, Phi, White
from .phi import phi_lines


@dataclass(frozen=True)
class Lowered:
    """Straight-line code: ``shared`` once per cell or mode, ``per_part`` once for each of real and imaginary part;
    ``coefficients``: those among the shared values that were said to be `PerMode`, and what they are."""

    shared: list[tuple[str, Any]]
    per_part: list[tuple[str, Any]]
    outputs: list[tuple[str, int, Any]]
    reductions: Sequence[tuple[str, str, Any]]
    powers: set[int]
    coefficients: Mapping[str, sp.Expr] = field(default_factory=dict)

    @property
    def kept(self) -> list[str]:
        """Values that the parts refer to: shared ones and axis symbols."""
        finals: list[Any] = [e[-1] for e in (*self.per_part, *self.outputs, *self.reductions)]
        used = {s.name for e in finals for s in e.free_symbols}
        return [name for name in (*AXIS_SYMBOLS, *DIRECTIONS, *(name for name, _ in self.shared)) if name in used]

    def behind(self, names: Sequence[str]) -> set[str]:
        """All names that shared values are made of, their own included."""
        needed = set(names)
        for name, e in reversed(self.shared):
            if name in needed:
                needed |= (
                    set(re.findall(r"[A-Za-z_]\w*", e)) if isinstance(e, str) else {s.name for s in e.free_symbols}
                )
        return needed

    @property
    def exponentials(self) -> list[str]:
        """The kept values that contain exponentials and so are worth keeping from one pass to the next."""
        costly: set[str] = set()
        for name, e in self.shared:
            if isinstance(e, str) or any(s.name in costly for s in e.free_symbols):
                costly.add(name)
        return [name for name in self.kept if name in costly]


def white_symbol(call: White) -> sp.Symbol:
    """What stands for a number of white noise."""
    return sp.Symbol(f"white_{call.component}", real=True)


@functools.lru_cache(maxsize=4)  # whoever writes a kernel asks for this more than once
def lower(kernel: Kernel) -> Lowered:
    """Common subexpressions out, phi functions expanded."""
    whites = {call: white_symbol(call) for call in kernel.whites}
    results = [sp.sympify(e).xreplace(whites) for e in kernel.results]
    dependent = {f"{a}@{c}" for a, n in kernel.arrays.items() for c in range(n)} | {s.name for s in whites.values()}
    names = sp.numbered_symbols("t", real=True)
    coefficients = sorted({c for e in results for c in e.atoms(PerMode)}, key=sp.default_sort_key)
    symbols = [sp.Symbol(f"c{i}", real=True) for i in range(len(coefficients))]
    flat: list[tuple[sp.Symbol | None, sp.Expr]] = []
    replacements, reduced = sp.cse([c.args[0] for c in coefficients], symbols=names, list=True)
    flat += [*replacements, *zip(symbols, reduced, strict=True)]
    table = dict(zip(coefficients, symbols, strict=True))
    replacements, reduced = sp.cse([e.xreplace(table) for e in results], symbols=names, list=True)
    flat += [*replacements, *((None, e) for e in reduced)]
    shared: list[tuple[str, Any]] = []
    per_part: list[tuple[str, Any]] = []
    phi_names: dict[sp.Expr, str] = {}
    highest: dict[sp.Expr, int] = {}
    for _, expr in flat:
        for call in expr.atoms(Phi):
            highest[call.args[1]] = max(highest.get(call.args[1], 0), int(call.args[0]))

    def expand(expr: sp.Expr) -> sp.Expr:
        calls = sorted(expr.atoms(Phi), key=sp.default_sort_key)
        for call in calls:
            z = call.args[1]
            if z not in phi_names:
                prefix = phi_names[z] = f"p{len(phi_names)}_"
                shared.append((f"{prefix}z", z))
                shared.extend(phi_lines(prefix, f"{prefix}z", highest[z]))
        return expr.xreplace({c: sp.Symbol(f"{phi_names[c.args[1]]}{int(c.args[0])}", real=True) for c in calls})

    finals: list[sp.Expr] = []
    for symbol, expr in flat:
        expr = expand(expr)
        if symbol is None:
            finals.append(expr)
        elif any(s.name in dependent for s in expr.free_symbols):
            dependent.add(symbol.name)
            per_part.append((symbol.name, expr))
        else:
            shared.append((symbol.name, expr))
    count = len(kernel.writes)
    outputs = [(a, c, e) for (a, c), e in zip(kernel.writes, finals[:count], strict=True)]
    reductions = [(name, r.op, e) for (name, r), e in zip(kernel.reductions.items(), finals[count:], strict=True)]
    powers = {
        abs(int(p.exp))
        for e in [*finals, *(e for _, e in shared + per_part if isinstance(e, sp.Basic))]
        for p in e.atoms(sp.Pow)
        if p.exp.is_Integer and abs(int(p.exp)) > 1
    }
    known = {symbol.name: call.args[0] for symbol, call in zip(symbols, coefficients, strict=True)}
    return Lowered(shared, per_part, outputs, reductions, powers, known)
