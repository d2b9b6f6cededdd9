"""Expressions of a model file as SymPy trees: a whitelist over Python's grammar, nothing is ever executed.

The text goes through ``ast.parse`` (which only builds a tree) and every node is rebuilt as a SymPy object by hand, so
a model file cannot run code. All symbols are real. ``abs``, ``min`` and ``max`` become ``Piecewise`` with one
comparison per branch, so that derivatives of any order stay ordinary expressions.
"""

from __future__ import annotations

import ast
import keyword
import math
import operator
import unicodedata
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, NoReturn

import sympy
from sympy.polys.polytools import NoConvergence

from phasefield.errors import ConfigError, ExpressionError, guess

MAX_LENGTH = 10_000  # characters of one expression
MAX_NODES = 5_000  # operations, names and numbers in it
MAX_DEPTH = 60  # nesting; the terms of one sum or product count as one level
MAX_WORK = 50_000  # nodes after sums, abs, min, max and piecewise are written out
MAX_POWER = 64  # absolute value of a constant exponent
MAX_INTEGER = 10**18
MAX_EXACT = 8  # operations in a constant that is kept exact, such as sqrt(2)/3

RESERVED = ("x", "y", "z", "t", "time", "step", "dt", "k2", "free_energy")

# name -> (the function on floats, which decides whether a constant argument is in the domain; the function on trees)
_ELEMENTARY: dict[str, tuple[Callable[[float], float], Any]] = {
    "exp": (math.exp, sympy.exp),
    "log": (math.log, sympy.log),
    "sqrt": (math.sqrt, sympy.sqrt),
    "sin": (math.sin, sympy.sin),
    "cos": (math.cos, sympy.cos),
    "tanh": (math.tanh, sympy.tanh),
}
FUNCTIONS = (*_ELEMENTARY, "abs", "min", "max", "piecewise", "sum")

_COMPARISONS: dict[type[ast.cmpop], tuple[Callable[[float, float], bool], Any]] = {
    ast.Lt: (operator.lt, sympy.Lt),
    ast.LtE: (operator.le, sympy.Le),
    ast.Gt: (operator.gt, sympy.Gt),
    ast.GtE: (operator.ge, sympy.Ge),
}
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
_BAD_VALUES = (sympy.nan, sympy.zoo, sympy.oo, -sympy.oo, sympy.I)


@dataclass(frozen=True)
class Symbols:
    """The names an expression may use.

    Attributes:
        fields: number of components per field name; ``None`` for a scalar field.
        parameters: names of constants.
        coordinates: ``x``, ``y``, ``z``, ``t`` as far as they apply (initial conditions and sources only).
    """

    fields: Mapping[str, int | None]
    parameters: Collection[str] = ()
    coordinates: Collection[str] = ()


def component_symbols(name: str, components: int | None) -> tuple[sympy.Symbol, ...]:
    """The symbols of a field: ``(c,)`` for a scalar field ``c``, ``(eta_1, ..., eta_n)`` for ``n`` components."""
    names = [name] if components is None else [f"{name}_{i}" for i in range(1, components + 1)]
    return tuple(sympy.Symbol(n, real=True) for n in names)


def check_names(symbols: Symbols, key: str) -> None:
    """Check that the field and parameter names can be told apart from each other and from everything built in.

    Raises:
        ConfigError: a name is no identifier, reserved or used twice, or a number of components is no positive int.
    """
    taken = dict.fromkeys((*RESERVED, *symbols.coordinates), "a reserved name") | dict.fromkeys(FUNCTIONS, "a function")
    taken["pi"] = "a constant"
    named = [("field", n) for n in symbols.fields] + [("parameter", n) for n in symbols.parameters]
    for kind, name in named:
        if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_"):
            raise ConfigError(
                key,
                f"{name!r} cannot name a {kind}",
                "use letters, digits and underscores, start with a letter, and avoid Python's keywords",
            )
        # The parser normalises identifiers, so that another spelling could never be referred to.
        if (normal := unicodedata.normalize("NFKC", name)) != name:
            raise ConfigError(key, f"{name!r} cannot name a {kind}: it is read as {normal!r}", f"write {normal!r}")
        components = symbols.fields.get(name) if kind == "field" else None
        if components is not None and (type(components) is not int or components < 1):
            raise ConfigError(key, f"field {name!r} has {components!r} components; expected a positive integer")
        own = {name} if components is None else {name, *(s.name for s in component_symbols(name, components))}
        for clash in sorted(own & taken.keys()):
            as_component = "" if clash == name else f" (component of {name!r})"
            raise ConfigError(
                key, f"{kind} name {clash!r}{as_component} is already {taken[clash]}", "rename one of them"
            )
        taken |= dict.fromkeys(own, f"used by {kind} {name!r}")


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
    result = _without_abs(sympy.diff(expr, symbol), lambda _: None)
    unusable = (sympy.Derivative, sympy.Subs, sympy.DiracDelta, sympy.Heaviside, *_BAD_VALUES)
    if result.has(*unusable):
        raise ExpressionError(key, text, 0, f"the derivative with respect to {symbol} is no ordinary finite expression")
    return result


def formula(expr: sympy.Expr) -> str:
    r"""LaTeX of an expression; the component ``eta_1`` reads ``\eta_{1}``."""
    return str(sympy.latex(expr))


class _Reader:
    """Rebuilds the syntax tree of one text as a SymPy tree."""

    def __init__(self, text: str, key: str, symbols: Symbols) -> None:
        self.text, self.key, self.symbols = text, key, symbols
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
        root = self.tree()
        # What is left after the checks on the way is SymPy's own refusal of an odd constant expression.
        try:
            result = self.build(root, 1)
            self.spend(root, result)
            if result.has(*_BAD_VALUES) or not all(map(_is_finite, _constants(result))):
                self.fail(root, "the value is not a finite real number")
        except (ArithmeticError, TypeError, ValueError, NotImplementedError, RecursionError, MemoryError) as error:
            self.fail(root, f"the expression cannot be evaluated ({type(error).__name__})")
        return result

    def tree(self) -> ast.expr:
        if len(self.text) > MAX_LENGTH:
            self.fail(MAX_LENGTH, f"the expression is longer than {MAX_LENGTH} characters")
        for position, char in enumerate(self.text):
            if char == "#":
                self.fail(
                    position, "comments are not allowed inside an expression", "move it to a line of its own in YAML"
                )
            if not char.isprintable() and char not in "\t\r\n":
                self.fail(position, f"invalid character U+{ord(char):04X}")
        # One blank per line break keeps every position, and spares us Python's rules on indentation.
        blanked = self.text.translate(dict.fromkeys(map(ord, "\t\r\n"), " "))
        source = blanked.lstrip(" ")
        self.start, self.utf8 = len(blanked) - len(source), source.encode()
        if not source:
            self.fail(0, "the expression is empty")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                root = ast.parse(source, mode="eval").body
        except SyntaxError as error:
            position = min(self.start + max((error.offset or 1) - 1, 0), len(self.text))
            self.fail(
                position, f"cannot read this: {error.msg.split(';')[0]}", "check the parentheses; a product needs *"
            )
        except (RecursionError, MemoryError, ValueError):
            self.fail(self.start, "the expression is nested too deeply")
        if sum(isinstance(n, ast.expr) for n in ast.walk(root)) > MAX_NODES:
            self.fail(self.start, f"the expression has more than {MAX_NODES} operations, names and numbers")
        return root

    def fail(self, at: ast.expr | ast.keyword | int, problem: str, hint: str = "") -> NoReturn:
        position = at if isinstance(at, int) else self.position(at.col_offset)
        # One column per character, and nothing that a terminal refuses.
        shown = "".join(c if c.isprintable() or c == "\n" else " " if c in "\t\r" else "\ufffd" for c in self.text)
        raise ExpressionError(self.key, shown, position, problem, hint) from None

    def position(self, byte: int | None) -> int:
        return self.start + len(self.utf8[:byte].decode())

    def after(self, node: ast.expr) -> int:
        """Position of the operator, dot or bracket that follows a node and the parentheses around it."""
        end = self.position(node.end_col_offset)
        rest = self.text[end:]
        return end + len(rest) - len(rest.lstrip(" \t\r\n)"))

    def spend(self, node: ast.expr, expr: sympy.Expr | None = None) -> None:
        """Bound the work and the memory: one unit per node read and per node of an expression that gets duplicated."""
        left = MAX_WORK - self.work
        self.work += 1 if expr is None else sum(1 for _ in islice(sympy.preorder_traversal(expr), left + 1))
        if self.work > MAX_WORK:
            self.fail(
                node,
                f"the expression has more than {MAX_WORK} nodes when written out",
                "move factors that are the same for every component out of sum(...)",
            )

    def build(self, node: ast.expr, depth: int) -> sympy.Expr:
        self.spend(node)
        if depth > MAX_DEPTH:
            self.fail(node, f"the expression is nested more than {MAX_DEPTH} levels deep")
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
                self.fail(node, "this operator is not allowed")
            case ast.BinOp(op=ast.Add() | ast.Sub()):
                return self.chain(node, depth + 1, sympy.Add, ast.Add, ast.Sub)
            case ast.BinOp(op=ast.Mult() | ast.Div()):
                return self.chain(node, depth + 1, sympy.Mul, ast.Mult, ast.Div)
            case ast.BinOp(op=ast.Pow()):
                return self.power(node, depth + 1)
            case ast.BinOp(op=ast.BitXor()):
                self.fail(self.after(node.left), "'^' is not allowed", "write powers with **")
            case ast.BinOp():
                self.fail(self.after(node.left), "this operator is not allowed", "use + - * / **")
        if isinstance(node, ast.Compare):
            self.fail(self.after(node.left), *_REJECTED[ast.Compare])
        if isinstance(node, ast.Attribute | ast.Subscript):
            self.fail(self.after(node.value), *_REJECTED[type(node)])
        self.fail(node, *_REJECTED.get(type(node), (f"this construct ({type(node).__name__}) is not allowed", "")))

    def number(self, node: ast.Constant) -> sympy.Expr:
        value = node.value
        if type(value) is int:
            if abs(value) > MAX_INTEGER:
                self.fail(
                    node, f"the integer exceeds {MAX_INTEGER:.0e}", "write it as a decimal number, for example 1e20"
                )
            return sympy.Integer(value)
        if type(value) is float:
            if not math.isfinite(value):
                self.fail(node, "the number is too large")
            return sympy.Float(value)
        self.fail(node, f"expected a real number, got {type(value).__name__}")

    def name(self, node: ast.Name) -> sympy.Expr:
        name = node.id
        if name in self.vectors:
            components = self.vectors[name]
            if self.component is None:
                self.fail(
                    node,
                    f"the field {name!r} has {len(components)} components and stands outside sum(...)",
                    f"write sum(...) around it, or one component: {_range(components)}",
                )
            return components[self.component]
        if name in self.names:
            return self.names[name]
        if name in FUNCTIONS:
            self.fail(node, f"{name!r} is a function", f"write {name}(...)")
        self.unknown(node, "name", [*self.names, *self.vectors])

    def unknown(self, node: ast.Name, what: str, candidates: Collection[str]) -> NoReturn:
        scalars = [n for n, components in self.symbols.fields.items() if components is None]
        vectors = [f"{n} inside sum, {_range(components)}" for n, components in self.vectors.items()]
        names = [*scalars, *vectors, *self.symbols.parameters, *self.symbols.coordinates, "pi"]
        self.fail(
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
                self.fail(operand, "division by zero")
            parts.append(part if not inverted else (1 / part if join is sympy.Mul else -part))
        return self.bounded(node, join(*parts))

    def power(self, node: ast.BinOp, depth: int) -> sympy.Expr:
        base, exponent = self.build(node.left, depth), self.build(node.right, depth)
        if exponent.is_number:
            value = _value(exponent)
            if not abs(value) <= MAX_POWER:
                self.fail(node.right, f"the exponent exceeds {MAX_POWER} in absolute value")
            if value.is_integer():  # c**2.0 is c**2, for negative c as well
                exponent = sympy.Integer(int(value))
        elif base.is_number and _value(base) < 0:
            self.fail(node.left, "a negative number is raised to a power that varies")
        return self.apply(node, operator.pow, sympy.Pow, base, exponent)

    def apply(self, node: ast.expr, on_floats: Callable[..., Any], on_trees: Any, *args: sympy.Expr) -> sympy.Expr:
        """Apply a function; constants are tried as floats first: SymPy would follow ``exp(exp(exp(99.0)))`` exactly."""
        if all(a.is_number for a in args):
            try:
                value = on_floats(*map(_value, args))
            except (ArithmeticError, ValueError):
                value = math.nan
            if isinstance(value, complex) or not math.isfinite(value):
                self.fail(node, "the value is not a finite real number")
        return self.bounded(node, _without_abs(on_trees(*args), partial(self.spend, node)))

    def bounded(self, node: ast.expr, expr: sympy.Expr) -> sympy.Expr:
        """Keep constants and combined exponents small: without this, powers of powers grow without limit."""
        for factor in sympy.Mul.make_args(expr):
            if factor.is_number:
                if not _is_finite(factor):
                    self.fail(node, "a constant factor is not a finite real number")
            elif factor.is_Pow and factor.exp.is_number and not abs(_value(factor.exp)) <= MAX_POWER:
                self.fail(node, f"the powers combine to an exponent above {MAX_POWER}")
        # The time to evaluate nested exact constants such as 3**3**(1/3) doubles with every level.
        return sympy.Float(_value(expr)) if expr.is_number and expr.count_ops() > MAX_EXACT else expr

    def call(self, node: ast.Call, depth: int) -> sympy.Expr:
        function = node.func
        if not isinstance(function, ast.Name):
            if isinstance(function, ast.Attribute):
                self.build(function, depth)
            self.fail(self.after(function), "this cannot be called", "a product needs *")
        name = function.id
        if name in self.names or name in self.vectors:
            self.fail(self.after(function), f"{name!r} is not a function", "a product needs *")
        if name not in FUNCTIONS:
            self.unknown(function, "function", FUNCTIONS)
        if node.keywords:
            self.fail(node.keywords[0], "keyword arguments are not allowed")
        if starred := next((a for a in node.args if isinstance(a, ast.Starred)), None):
            self.fail(starred, *_REJECTED[ast.Starred])
        n = len(node.args)
        if name == "piecewise":
            if n < 3 or n % 2 == 0:
                self.fail(node, "expected piecewise(value1, condition1, ..., otherwise)", f"got {n} arguments")
            return self.piecewise(node, depth)
        if name in ("min", "max"):
            if n < 2:
                self.fail(node, f"{name}(...) needs at least two arguments", f"got {n}")
            return self.extreme(node, name, [self.build(a, depth) for a in node.args])
        if n != 1:
            self.fail(node, f"{name}(...) takes one argument", f"got {n}")
        if name == "sum":
            return self.sum(node, depth)
        arg = self.build(node.args[0], depth)
        if name == "abs":
            return _abs(arg, partial(self.spend, node))
        return self.apply(node, *_ELEMENTARY[name], arg)

    def sum(self, node: ast.Call, depth: int) -> sympy.Expr:
        if node in self.sums:
            return self.sums[node]
        found = [n for n in _outside_sums(node.args[0]) if n.id in self.vectors]
        if not found:
            self.fail(
                node, "there is no field with components inside sum(...)", "sum runs over the components of a field"
            )
        count = len(self.vectors[found[0].id])
        for other in found:
            if (n := len(self.vectors[other.id])) != count:
                self.fail(other, f"{found[0].id!r} has {count} components and {other.id!r} has {n}: no common sum")
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
                self.fail(condition, "expected a condition: one comparison with < <= > >=")
            if len(condition.ops) > 1:
                self.fail(condition, "a condition is one comparison, not a chain", "nest piecewise instead")
            if type(condition.ops[0]) not in _COMPARISONS:
                self.fail(self.after(condition.left), "a condition compares with < <= > >=")
            left, right = self.build(condition.left, depth), self.build(condition.comparators[0], depth)
            branch = self.build(value, depth)
            result = _choose(type(condition.ops[0]), left, right, branch, result, partial(self.spend, node))
        return result

    def extreme(self, node: ast.Call, name: str, args: list[sympy.Expr]) -> sympy.Expr:
        # A decision tree, not And(...) of all comparisons: SymPy's derivative would expand those into normal form.
        first, *rest = dict.fromkeys(args)
        if not rest:
            return first
        op, (second, *others) = ast.GtE if name == "max" else ast.LtE, rest
        winners = [self.extreme(node, name, [winner, *others]) for winner in (first, second)]
        return _choose(op, first, second, winners[0], winners[1], partial(self.spend, node))


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


def _value(expr: sympy.Expr) -> float:
    """Value of a constant; nan if it is not a real number that a float can hold."""
    try:
        return float(expr)
    except (TypeError, ValueError, ArithmeticError):
        return math.nan


def _is_finite(expr: sympy.Expr) -> bool:
    return math.isfinite(_value(expr))


def _constants(expr: sympy.Expr) -> Iterator[sympy.Expr]:
    """The largest constant subexpressions."""
    walk = sympy.preorder_traversal(expr)
    for node in walk:
        if node.is_number:
            walk.skip()
            yield node


def _choose(
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
    on_floats, on_trees = _COMPARISONS[op]
    if left.is_number and right.is_number:
        return yes if on_floats(_value(left), _value(right)) else no
    if left == right:
        return yes if on_floats(0, 0) else no
    inner = {r for piece in left.atoms(sympy.Piecewise) | right.atoms(sympy.Piecewise) for r in piece.atoms(sympy.Rel)}
    # Unevaluated: deciding c**2 + 1 > 0 from assumptions gains little and may take long.
    split = min(inner, key=sympy.default_sort_key) if inner else on_trees(left, right, evaluate=False)
    sides = []
    for known in (sympy.true, sympy.false):
        left_, right_, yes_, no_ = (e.xreplace({split: known}) for e in (left, right, yes, no))
        if inner:
            sides.append(_choose(op, left_, right_, yes_, no_, spend))
        else:
            sides.append(yes_ if known == sympy.true else no_)
    return _branches([(sides[0], split), (sides[1], sympy.true)])


def _branches(branches: list[tuple[sympy.Expr, sympy.Basic]]) -> sympy.Expr:
    """A Piecewise whose last branch, if it branches again, continues the list."""
    *head, (last, condition) = branches
    return sympy.Piecewise(*head, *(last.args if isinstance(last, sympy.Piecewise) else [(last, condition)]))


def _abs(arg: sympy.Expr, spend: Callable[[sympy.Expr], None]) -> sympy.Expr:
    return _choose(ast.GtE, arg, sympy.Integer(0), arg, -arg, spend)


def _without_abs(expr: sympy.Expr, spend: Callable[[sympy.Expr], None]) -> sympy.Expr:
    """Rewrite the ``Abs`` that SymPy introduces on its own, for example in ``sqrt(c**2)``."""
    return expr.replace(sympy.Abs, lambda arg: _abs(arg, spend)) if expr.has(sympy.Abs) else expr


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
    def at(distance: float) -> float:
        try:
            return _value(expr.xreplace({**values, symbol: root + _precise(distance)}))
        except TypeError:  # a comparison of complex numbers: outside the domain
            return math.nan

    height, wider = abs(at(1e-24) - at(-1e-24)), abs(at(1e-12) - at(-1e-12))
    size = max((abs(v) for v in map(at, (-0.1, -1e-24, 1e-24, 0.1)) if math.isfinite(v)), default=0.0)
    return height > 0.5 * wider and height > 1e-9 * size  # False if a side is undefined: nan compares false
