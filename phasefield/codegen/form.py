"""A kernel: one pass over cells or modes, as expressions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import sympy as sp

from .functions import GradientNorm

#: Symbols that stand for a combination of one 1-D array per axis, and how the three are combined.
AXIS_SYMBOLS: dict[str, str] = {"k2": "sum", "weight": "product", "mask": "product", "x": "sum", "y": "sum", "z": "sum"}
K2, WEIGHT, MASK = sp.symbols("k2 weight mask", real=True)


def array_symbol(name: str, component: int) -> sp.Symbol:
    """The value of one component of an array at the cell or mode being visited."""
    return sp.Symbol(f"{name}@{component}", real=True)


@dataclass(frozen=True)
class Reduction:
    """A sum (weighted by nothing), minimum or maximum over all cells or modes; accumulated in double precision."""

    op: Literal["sum", "min", "max"]
    expr: sp.Expr


@dataclass(frozen=True, eq=False)
class Kernel:
    """One pass over memory.

    Attributes:
        name: an identifier, used in the generated source and in profiles.
        space: ``real`` (cells) or ``spectral`` (modes).
        arrays: name -> number of components, in argument order.
        outputs: array name -> one expression per component (None leaves a component as it is).
        reductions: name -> reduction.
        scalars: names of the floating-point arguments. Of those given only the ones in use are kept: the same expressions are
            then the same compiled code, whatever constants the model around them has.
    """

    name: str
    space: Literal["real", "spectral"]
    arrays: Mapping[str, int]
    outputs: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    reductions: Mapping[str, Reduction] = field(default_factory=dict)
    scalars: Sequence[str] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "scalars", [name for name in self.scalars if name in self._used])

    @property
    def results(self) -> list[sp.Expr]:
        assigned = [e for exprs in self.outputs.values() for e in exprs if e is not None]
        return assigned + [r.expr for r in self.reductions.values()]

    @cached_property
    def _used(self) -> set[str]:
        """Names of the symbols in the results."""
        return {s.name for e in self.results for s in sp.sympify(e).free_symbols}

    @cached_property
    def reads(self) -> list[tuple[str, int]]:
        """Array components that are read."""
        return [(a, c) for a, n in self.arrays.items() for c in range(n) if f"{a}@{c}" in self._used]

    @cached_property
    def writes(self) -> list[tuple[str, int]]:
        return [(a, c) for a, exprs in self.outputs.items() for c, e in enumerate(exprs) if e is not None]

    @property
    def touches(self) -> int:
        """Array components that are read plus those that are written: what a pass moves, in fields."""
        return len(self.reads) + len(self.writes)

    @cached_property
    def axis_symbols(self) -> list[str]:
        return [name for name in AXIS_SYMBOLS if name in self._used]

    @cached_property
    def gradients(self) -> bool:
        return any(sp.sympify(e).has(GradientNorm) for e in self.results)

    @property
    def axis_arrays(self) -> list[str]:
        """Names of the 1-D arrays, in argument order."""
        names = []
        for symbol in self.axis_symbols:
            names += [f"{symbol}{a}" for a in "012"]
        if self.gradients:
            names += [f"{side}{a}" for side in ("above", "below", "slope") for a in "012"]
        return names
