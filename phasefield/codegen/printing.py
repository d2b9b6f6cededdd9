"""Printing rules common to all languages: typed literals, integer powers as inlined products, and small pieces of text."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import sympy as sp
from sympy.printing.c import C99CodePrinter
from sympy.printing.printer import Printer
from sympy.printing.pycode import PythonCodePrinter

from .form import AXIS_SYMBOLS, DIRECTIONS
from .functions import ELEMENTARY, Derivative, GradientNorm

STARTS = {"sum": "0.0", "min": "INFINITY", "max": "-INFINITY"}


class _Rules(Printer):
    """Printing rules common to both languages: typed literals, integer powers as inlined products."""

    def __init__(self, settings: dict[str, Any] | None = None) -> None:
        super().__init__(settings)
        for name, text in ELEMENTARY.items():
            setattr(self, f"_print_{name}", partial(self._call, text))

    def _call(self, function: str, expr: sp.Expr) -> str:
        return f"{function}({', '.join(map(self._print, expr.args))})"

    def _print_Float(self, expr: sp.Float) -> str:
        return f"R({float(expr)!r})"

    def _print_Integer(self, expr: sp.Integer) -> str:
        return f"R({int(expr)})"

    def _print_Rational(self, expr: sp.Rational) -> str:
        return f"R({float(expr)!r})"

    _print_Half = _print_Rational
    _print_One = _print_Zero = _print_NegativeOne = _print_Integer

    def _print_Pi(self, expr: sp.Expr) -> str:
        return f"R({float(expr.evalf())!r})"

    def _print_Exp1(self, expr: sp.Expr) -> str:
        return f"R({float(expr.evalf())!r})"

    def _print_Symbol(self, expr: sp.Symbol) -> str:
        return str(expr.name).replace("@", "_")

    def _print_GradientNorm(self, expr: GradientNorm) -> str:
        return f"grad_{self._print_Symbol(expr.args[0])}"

    def _print_Derivative(self, expr: Derivative) -> str:
        return derivative_name(expr, self._print_Symbol(expr.array))

    def _print_Pow(self, expr: sp.Pow, **kwargs: Any) -> str:
        base, exponent = expr.as_base_exp()
        text = self._print(base)
        if exponent.is_Integer:
            n = abs(int(exponent))
            product = f"({text})" if n == 1 else f"POW{n}({text})"
            return product if exponent > 0 else f"(R(1)/{product})"
        if exponent == sp.Rational(1, 2):
            return f"SQRT({text})"
        if exponent == -sp.Rational(1, 2):
            return f"(R(1)/SQRT({text}))"
        return f"POW({text}, {self._print(exponent)})"

    def _print_Piecewise(self, expr: sp.Piecewise) -> str:
        text = self._print(expr.args[-1].expr)
        for value, condition in reversed(expr.args[:-1]):
            text = f"SELECT({self._print(condition)}, {self._print(value)}, {text})"
        return text

    def _print_Max(self, expr: sp.Max) -> str:
        *rest, text = (self._print(a) for a in expr.args)
        for value in rest:
            text = f"MAX({value}, {text})"
        return text

    def _print_Relational(self, expr: Any) -> str:
        return f"({self._print(expr.lhs)} {expr.rel_op} {self._print(expr.rhs)})"


class CudaPrinter(_Rules, C99CodePrinter):
    pass


class LoopPrinter(_Rules, PythonCodePrinter):
    pass


def printed(printer: Any, expr: Any) -> str:
    return expr if isinstance(expr, str) else printer.doprint(expr)


def power_chain(n: int) -> str:
    """``x**n`` (n >= 2) as products by repeated squaring; refers to ``POW<m>`` for a smaller power m."""
    if n == 2:
        return "x*x"
    return f"POW{n // 2}(x*x)" if n % 2 == 0 else f"x*POW{n - 1}(x)"


def power_closure(powers: set[int]) -> list[int]:
    """All powers needed by `power_chain`, smallest first."""
    todo, done = list(powers), set()
    while todo:
        n = todo.pop()
        if n > 1 and n not in done:
            done.add(n)
            todo.append(n // 2 if n % 2 == 0 else n - 1)
    return sorted(done)


def accumulate(op: str, name: str, value: str) -> str:
    if op == "sum":
        return f"{name} += DOUBLE({value})"
    return f"{name} = {op.upper()}({name}, DOUBLE({value}))"


def combine(symbol: str) -> str:
    """Text of an axis symbol at indices i, j, k."""
    if symbol in DIRECTIONS:
        return f"{DIRECTIONS[symbol]}[{symbol[-1]}]"
    parts = [f"{symbol}_{a}[{i}]" for a, i in zip("012", "ijk", strict=True)]
    return (" + " if AXIS_SYMBOLS[symbol] == "sum" else "*").join(parts)


def gradient_text(value: Callable[[str, str, str], str]) -> str:
    """|grad| by central differences from the text of a value at given indices."""
    terms = []
    for axis, index in zip("012", "ijk", strict=True):
        ends = [value(*(f"{side}_{axis}[{i}]" if i == index else i for i in "ijk")) for side in ("above", "below")]
        terms.append(f"SQUARE(({ends[0]} - {ends[1]})*scale_{axis}[{index}])")
    return f"SQRT({' + '.join(terms)})"


def derivative_name(call: Derivative, array: str) -> str:
    """What the value of a derivative is called."""
    return f"{'back' if call.back else 'd'}{call.axis}_{array}"


def partner_of(call: Derivative) -> list[str]:
    """The indices i, j, k of the mode whose number gives the derivative at i, j, k."""
    prefix = "back_" if call.back else ""
    return [f"{prefix}partner_{a}[{i}]" if a == call.axis else i for a, i in enumerate("ijk")]


def slope_of(call: Derivative) -> str:
    """The coefficient of a derivative at i, j, k."""
    return f"{'back_' if call.back else ''}slope_{call.axis}[{'ijk'[call.axis]}]"
