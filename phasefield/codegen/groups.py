"""Results of a kernel that are better computed in loops of their own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import sympy as sp

from .form import Kernel
from .lowering import Lowered


@dataclass
class Group:
    """Outputs and reductions that share array components, with all that they are made of."""

    columns: set[tuple[str, int]]
    wanted: set[str]
    outputs: list[tuple[str, int, Any]] = field(default_factory=list)
    reductions: list[tuple[str, str, Any]] = field(default_factory=list)

    @property
    def writes(self) -> set[tuple[str, int]]:
        return {(a, c) for a, c, _ in self.outputs}


#: Array components of a loop beyond which it is better to read some twice: registers run out, and so does a compiler's patience.
_MOST = 16


def grouped(kernel: Kernel, code: Lowered) -> list[Group]:
    """Results by the array components they need: those that share none are better computed in loops of their own, and so are
    those that would make one of more than `_MOST` unless they must not be parted. Terms of a sum may go to different groups.
    """
    columns = {f"{a}@{c}": (a, c) for a, c in kernel.reads}
    known: dict[str, set[str]] = {}  # of intermediate values; later ones are made of earlier ones

    def needs(expr: Any) -> set[str]:
        names = {s.name for s in expr.free_symbols}
        return names.union(*(known[name] for name in names if name in known))

    for name, expr in code.per_part:
        known[name] = needs(expr)

    groups: list[Group] = []
    results: list[tuple[str, Any]] = [("outputs", output) for output in code.outputs]
    for name, op, expr in code.reductions:
        results += [("reductions", (name, op, e)) for e in (sp.Add.make_args(expr) if op == "sum" else [expr])]
    for kind, result in results:
        expr = result[-1]
        wanted = needs(expr)
        own = {columns[name] for name in wanted if name in columns}
        if kind == "outputs":
            own.add(result[:2])
        new = Group(own, wanted)
        getattr(new, kind).append(result)
        if not own and groups:  # a constant
            own = new.columns = groups[0].columns
        for other in sorted(groups, key=lambda g: not _inseparable(g, new)):
            if not _belong(other, new):
                continue
            groups.remove(other)
            new = Group(
                other.columns | new.columns,
                other.wanted | new.wanted,
                other.outputs + new.outputs,
                other.reductions + new.reductions,
            )
        groups.append(new)
    for group in groups:
        terms: dict[tuple[str, str], list[Any]] = {}  # of every sum in this group
        for name, op, expr in group.reductions:
            terms.setdefault((name, op), []).append(expr)
        group.reductions = [(name, op, sp.Add(*parts)) for (name, op), parts in terms.items()]
    return groups


def _inseparable(one: Group, other: Group) -> bool:
    """Whether one writes what the other reads or writes."""
    return bool(one.writes & other.columns or other.writes & one.columns)


def _belong(one: Group, other: Group) -> bool:
    """Whether two groups are better, or have to be, computed together."""
    if not one.columns & other.columns:
        return False
    return len(one.columns | other.columns) <= _MOST or _inseparable(one, other)
