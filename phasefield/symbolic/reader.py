"""Rebuilds the syntax tree of one text as a SymPy tree, node by node."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Collection, Iterator
from functools import partial
from itertools import islice
from typing import Any, NoReturn

import sympy

from phasefield.errors import ConfigError, guess

from .branches import absolute, choose, without_abs
from .functions import COMPARISONS, ELEMENTARY, FUNCTIONS
from .names import Symbols, component_symbols
from .text import Text
from .values import BAD_VALUES, constants, is_finite, value_of

MAX_DEPTH = 60  # nesting; the terms of one sum or product count as one level
MAX_WORK = 50_000  # nodes after sums, abs, min, max and piecewise are written out
MAX_POWER = 64  # absolute value of a constant exponent
MAX_INTEGER = 10**18
MAX_EXACT = 8  # operations in a constant that is kept exact, such as sqrt(2)/3


_REJECTED: dict[type[ast.expr], tuple[str, str]] = {
    ast.Compare: ("a comparison is allowed only as a condition of piecewise", ""),
    ast.Attribute: ("attribute access is not allowed", ""),
    ast.Subscript: ("subscripts are not allowed", "write the third component of eta as eta_3"),
    ast.Starred: ("starred arguments are not allowed", ""),
    ast.IfExp: ("'if ... else' is not allowed", "write piecewise(value, condition, otherwise)"),
    ast.BoolOp: ("'and' and 'or' are not allowed", "nest piecewise to combine conditions"),
    ast.Lambda: ("'lambda' is not allowed", ""),
    ast.NamedExpr: ("assignment is not allowed", ""),
    ast.JoinedStr: ("text is not allowed", ""),
    ast.Tuple: ("a comma is allowed only between the arguments of a function", "write decimals with a point"),
}


def parse(text: str, key: str, symbols: Symbols) -> sympy.Expr:
    """Read an expression.

    Numbers, ``+ - * / **``, the names in ``symbols``, ``pi`` and ``FUNCTIONS`` are understood. ``sum(...)`` adds its
    argument over the components of the vector fields in it; a nested ``sum`` is a number of its own.
    ``piecewise(value1, condition1, ..., otherwise)`` takes one comparison per condition. Nothing is expanded.

    Args:
        text: the expression; line breaks count as blanks.
        key: the configuration key that holds it.
        symbols: the names it may use (see ``check_names``).

    Raises:
        ExpressionError: anything else, pointing at the character; also constants that are not finite real numbers.
        ConfigError: ``text`` is not a string.
    """
    if not isinstance(text, str):
        raise ConfigError(key, f"expected an expression in quotes, got {type(text).__name__}")
    return _Reader(text, key, symbols).read()


class _Reader:
    """Rebuilds the syntax tree of one text as a SymPy tree."""

    def __init__(self, text: str, key: str, symbols: Symbols) -> None:
        self.text, self.symbols = Text(text, key), symbols
        self.vectors: dict[str, tuple[sympy.Symbol, ...]] = {}
        self.names: dict[str, sympy.Expr] = {"pi": sympy.pi}
        for name, components in symbols.fields.items():
            own = component_symbols(name, components)
            self.names |= {s.name: s for s in own}
            if components is not None:
                self.vectors[name] = own
        self.names |= {n: sympy.Symbol(n, real=True) for n in (*symbols.parameters, *symbols.coordinates)}
        self.component: int | None = None  # the component that the enclosing sum is at
        self.sums: dict[ast.Call, sympy.Expr] = {}  # a nested sum does not depend on the component of the outer one
        self.work = 0

    def read(self) -> sympy.Expr:
        root = self.text.tree()
        # What is left after the checks on the way is SymPy's own refusal of an odd constant expression.
        try:
            result = self.build(root, 1)
            self.spend(root, result)
            if result.has(*BAD_VALUES) or not all(map(is_finite, constants(result))):
                self.text.fail(root, "the value is not a finite real number")
        except (ArithmeticError, TypeError, ValueError, NotImplementedError, RecursionError, MemoryError) as error:
            self.text.fail(root, f"the expression cannot be evaluated ({type(error).__name__})")
        return result

    def spend(self, node: ast.expr, expr: sympy.Expr | None = None) -> None:
        """Bound the work and the memory: one unit per node read and per node of an expression that gets duplicated."""
        left = MAX_WORK - self.work
        self.work += 1 if expr is None else sum(1 for _ in islice(sympy.preorder_traversal(expr), left + 1))
        if self.work > MAX_WORK:
            self.text.fail(
                node,
                f"the expression has more than {MAX_WORK} nodes when written out",
                "move factors that are the same for every component out of sum(...)",
            )

    def build(self, node: ast.expr, depth: int) -> sympy.Expr:
        self.spend(node)
        if depth > MAX_DEPTH:
            self.text.fail(node, f"the expression is nested more than {MAX_DEPTH} levels deep")
        match node:
            case ast.Constant():
                return self.number(node)
            case ast.Name():
                return self.name(node)
            case ast.Call():
                return self.call(node, depth + 1)
            case ast.UnaryOp(op=ast.UAdd()):
                return self.build(node.operand, depth + 1)
            case ast.UnaryOp(op=ast.USub()):
                return -self.build(node.operand, depth + 1)
            case ast.UnaryOp():
                self.text.fail(node, "this operator is not allowed")
            case ast.BinOp(op=ast.Add() | ast.Sub()):
                return self.chain(node, depth + 1, sympy.Add, ast.Add, ast.Sub)
            case ast.BinOp(op=ast.Mult() | ast.Div()):
                return self.chain(node, depth + 1, sympy.Mul, ast.Mult, ast.Div)
            case ast.BinOp(op=ast.Pow()):
                return self.power(node, depth + 1)
            case ast.BinOp(op=ast.BitXor()):
                self.text.fail(self.text.after(node.left), "'^' is not allowed", "write powers with **")
            case ast.BinOp():
                self.text.fail(self.text.after(node.left), "this operator is not allowed", "use + - * / **")
        if isinstance(node, ast.Compare):
            self.text.fail(self.text.after(node.left), *_REJECTED[ast.Compare])
        if isinstance(node, ast.Attribute | ast.Subscript):
            self.text.fail(self.text.after(node.value), *_REJECTED[type(node)])
        self.text.fail(node, *_REJECTED.get(type(node), (f"this construct ({type(node).__name__}) is not allowed", "")))

    def number(self, node: ast.Constant) -> sympy.Expr:
        value = node.value
        if type(value) is int:
            if abs(value) > MAX_INTEGER:
                self.text.fail(
                    node, f"the integer exceeds {MAX_INTEGER:.0e}", "write it as a decimal number, for example 1e20"
                )
            return sympy.Integer(value)
        if type(value) is float:
            if not math.isfinite(value):
                self.text.fail(node, "the number is too large")
            return sympy.Float(value)
        self.text.fail(node, f"expected a real number, got {type(value).__name__}")

    def name(self, node: ast.Name) -> sympy.Expr:
        name = node.id
        if name in self.vectors:
            components = self.vectors[name]
            if self.component is None:
                self.text.fail(
                    node,
                    f"the field {name!r} has {len(components)} components and stands outside sum(...)",
                    f"write sum(...) around it, or one component: {_range(components)}",
                )
            return components[self.component]
        if name in self.names:
            return self.names[name]
        if name in FUNCTIONS:
            self.text.fail(node, f"{name!r} is a function", f"write {name}(...)")
        self.unknown(node, "name", [*self.names, *self.vectors])

    def unknown(self, node: ast.Name, what: str, candidates: Collection[str]) -> NoReturn:
        scalars = [n for n, components in self.symbols.fields.items() if components is None]
        vectors = [f"{n} inside sum, {_range(components)}" for n, components in self.vectors.items()]
        names = [*scalars, *vectors, *self.symbols.parameters, *self.symbols.coordinates, "pi"]
        if node.id == "t" and self.symbols.timed:
            hint = "time enters by a parameter: give model.parameters.NAME as an expression in t, and write NAME here"
            self.text.fail(node, f"unknown {what} 't'", hint)
        self.text.fail(
            node,
            f"unknown {what} {node.id!r}{guess(node.id, list(candidates))}",
            f"allowed names: {', '.join(names)}; functions: {', '.join(FUNCTIONS)}",
        )

    def chain(self, node: ast.BinOp, depth: int, join: Any, plain: type, inverse: type) -> sympy.Expr:
        """``a + b - c ...`` or ``a * b / c ...`` as one sum or product, so that long polynomials are not deep."""
        items: list[tuple[ast.expr, bool]] = []
        head: ast.expr = node
        while isinstance(head, ast.BinOp) and isinstance(head.op, plain | inverse):
            items.append((head.right, isinstance(head.op, inverse)))
            head = head.left
        parts = [self.build(head, depth)]
        for operand, inverted in reversed(items):
            part = self.build(operand, depth)
            if inverted and join is sympy.Mul and part.is_zero:
                self.text.fail(operand, "division by zero")
            parts.append(part if not inverted else (1 / part if join is sympy.Mul else -part))
        return self.bounded(node, join(*parts))

    def power(self, node: ast.BinOp, depth: int) -> sympy.Expr:
        base, exponent = self.build(node.left, depth), self.build(node.right, depth)
        if exponent.is_number:
            value = value_of(exponent)
            if not abs(value) <= MAX_POWER:
                self.text.fail(node.right, f"the exponent exceeds {MAX_POWER} in absolute value")
            if value.is_integer():  # c**2.0 is c**2, for negative c as well
                exponent = sympy.Integer(int(value))
        elif base.is_number and value_of(base) < 0:
            self.text.fail(node.left, "a negative number is raised to a power that varies")
        return self.apply(node, operator.pow, sympy.Pow, base, exponent)

    def apply(self, node: ast.expr, on_floats: Callable[..., Any], on_trees: Any, *args: sympy.Expr) -> sympy.Expr:
        """Apply a function; constants are tried as floats first: SymPy would follow ``exp(exp(exp(99.0)))`` exactly."""
        if all(a.is_number for a in args):
            try:
                value = on_floats(*map(value_of, args))
            except (ArithmeticError, ValueError):
                value = math.nan
            if isinstance(value, complex) or not math.isfinite(value):
                self.text.fail(node, "the value is not a finite real number")
        return self.bounded(node, without_abs(on_trees(*args), partial(self.spend, node)))

    def bounded(self, node: ast.expr, expr: sympy.Expr) -> sympy.Expr:
        """Keep constants and combined exponents small: without this, powers of powers grow without limit."""
        for factor in sympy.Mul.make_args(expr):
            if factor.is_number:
                if not is_finite(factor):
                    self.text.fail(node, "a constant factor is not a finite real number")
            elif factor.is_Pow and factor.exp.is_number and not abs(value_of(factor.exp)) <= MAX_POWER:
                self.text.fail(node, f"the powers combine to an exponent above {MAX_POWER}")
        # The time to evaluate nested exact constants such as 3**3**(1/3) doubles with every level.
        return sympy.Float(value_of(expr)) if expr.is_number and expr.count_ops() > MAX_EXACT else expr

    def call(self, node: ast.Call, depth: int) -> sympy.Expr:
        function = node.func
        if not isinstance(function, ast.Name):
            if isinstance(function, ast.Attribute):
                self.build(function, depth)
            self.text.fail(self.text.after(function), "this cannot be called", "a product needs *")
        name = function.id
        if name in self.names or name in self.vectors:
            self.text.fail(self.text.after(function), f"{name!r} is not a function", "a product needs *")
        if name not in FUNCTIONS:
            self.unknown(function, "function", FUNCTIONS)
        if node.keywords:
            self.text.fail(node.keywords[0], "keyword arguments are not allowed")
        if starred := next((a for a in node.args if isinstance(a, ast.Starred)), None):
            self.text.fail(starred, *_REJECTED[ast.Starred])
        n = len(node.args)
        if name == "piecewise":
            if n < 3 or n % 2 == 0:
                self.text.fail(node, "expected piecewise(value1, condition1, ..., otherwise)", f"got {n} arguments")
            return self.piecewise(node, depth)
        if name in ("min", "max"):
            if n < 2:
                self.text.fail(node, f"{name}(...) needs at least two arguments", f"got {n}")
            return self.extreme(node, name, [self.build(a, depth) for a in node.args])
        if n != 1:
            self.text.fail(node, f"{name}(...) takes one argument", f"got {n}")
        if name == "sum":
            return self.sum(node, depth)
        arg = self.build(node.args[0], depth)
        if name == "abs":
            return absolute(arg, partial(self.spend, node))
        return self.apply(node, *ELEMENTARY[name], arg)

    def sum(self, node: ast.Call, depth: int) -> sympy.Expr:
        if node in self.sums:
            return self.sums[node]
        found = [n for n in _outside_sums(node.args[0]) if n.id in self.vectors]
        if not found:
            self.text.fail(
                node, "there is no field with components inside sum(...)", "sum runs over the components of a field"
            )
        count = len(self.vectors[found[0].id])
        for other in found:
            if (n := len(self.vectors[other.id])) != count:
                self.text.fail(other, f"{found[0].id!r} has {count} components and {other.id!r} has {n}: no common sum")
        outer, terms = self.component, []
        for self.component in range(count):
            terms.append(self.build(node.args[0], depth))
            self.spend(node, terms[-1])
        self.component = outer
        self.sums[node] = self.bounded(node, sympy.Add(*terms))
        return self.sums[node]

    def piecewise(self, node: ast.Call, depth: int) -> sympy.Expr:
        *cases, otherwise = node.args
        result = self.build(otherwise, depth)
        for value, condition in zip(cases[-2::-2], cases[::-2], strict=True):
            if not isinstance(condition, ast.Compare):
                self.text.fail(condition, "expected a condition: one comparison with < <= > >=")
            if len(condition.ops) > 1:
                self.text.fail(condition, "a condition is one comparison, not a chain", "nest piecewise instead")
            if type(condition.ops[0]) not in COMPARISONS:
                self.text.fail(self.text.after(condition.left), "a condition compares with < <= > >=")
            left, right = self.build(condition.left, depth), self.build(condition.comparators[0], depth)
            branch = self.build(value, depth)
            result = choose(type(condition.ops[0]), left, right, branch, result, partial(self.spend, node))
        return result

    def extreme(self, node: ast.Call, name: str, args: list[sympy.Expr]) -> sympy.Expr:
        # A decision tree, not And(...) of all comparisons: SymPy's derivative would expand those into normal form.
        first, *rest = dict.fromkeys(args)
        if not rest:
            return first
        op, (second, *others) = ast.GtE if name == "max" else ast.LtE, rest
        winners = [self.extreme(node, name, [winner, *others]) for winner in (first, second)]
        return choose(op, first, second, winners[0], winners[1], partial(self.spend, node))


def _range(components: tuple[sympy.Symbol, ...]) -> str:
    first, last = components[0].name, components[-1].name
    return first if first == last else f"{first} ... {last}"


def _outside_sums(node: ast.expr) -> Iterator[ast.Name]:
    """The names below a node, in the order of the text, leaving out nested sums."""
    stack: list[ast.AST] = [node]
    while stack:
        match current := stack.pop():
            case ast.Call(func=ast.Name(id="sum")):
                continue
            case ast.Name():
                yield current
            case _:
                stack.extend(reversed(list(ast.iter_child_nodes(current))))
