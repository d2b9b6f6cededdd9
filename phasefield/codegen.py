"""A kernel is an expression: one intermediate form, printed as CUDA for the GPU and as a loop for the CPU compiler.

A `Kernel` visits every cell (``real``) or every mode (``spectral``) once, reads some arrays, assigns expressions to some and
reduces others. Arrays are float buffers ``(component, n0, n1, row)``; in spectral space a row holds real and imaginary parts
interleaved, and since every operator is a real function of the Laplacian each expression is applied to both parts alike.
Quantities of an axis (squared wavenumber, Parseval weight, coordinates) come from three 1-D arrays and are combined inside the
loop; none is stored as a field.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import sympy as sp
from sympy.printing.c import C99CodePrinter
from sympy.printing.pycode import PythonCodePrinter

#: Symbols that stand for a combination of one 1-D array per axis, and how the three are combined.
AXIS_SYMBOLS: dict[str, str] = {"k2": "sum", "weight": "product", "mask": "product", "x": "sum", "y": "sum", "z": "sum"}
AXIS_SYMBOLS |= dict.fromkeys(("k2x", "k2y", "k2z"), "sum")  # of one axis of the grid alone, 0 along the others
K2, WEIGHT, MASK = sp.symbols("k2 weight mask", real=True)
K2_ALONG = sp.symbols("k2x k2y k2z", real=True)

_REDUCTIONS = {"sum": "0.0", "min": "INFINITY", "max": "-INFINITY"}


class Phi(sp.Function):
    r"""Phi(n, z): the exponential-integrator function phi_n(z), phi_0 = exp, for z <= 0.

    phi_{n+1}(z) = (phi_n(z) - 1/n!) / z (Hochbruck and Ostermann, Acta Numerica 2010, eq. 2.10).
    """

    nargs = 2


class PerMode(sp.Function):
    """PerMode(c): c, which contains no array, computed once for all numbers of a mode and of its mirror images."""

    nargs = 1


class GradientNorm(sp.Function):
    """GradientNorm(u): |grad u| by central differences over the neighbouring cells; real space only, ``u`` an array."""

    nargs = 1


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


# --------------------------------------------------------------------------------------------------------------------
# Lowering: a kernel becomes straight-line assignments, the same for every language.


@dataclass(frozen=True)
class Lowered:
    """Straight-line code: ``shared`` once per cell or mode, ``per_part`` once for each of real and imaginary part."""

    shared: list[tuple[str, Any]]
    per_part: list[tuple[str, Any]]
    outputs: list[tuple[str, int, Any]]
    reductions: Sequence[tuple[str, str, Any]]
    powers: set[int]

    @property
    def kept(self) -> list[str]:
        """Values that the parts refer to: shared ones and axis symbols."""
        finals: list[Any] = [e[-1] for e in (*self.per_part, *self.outputs, *self.reductions)]
        used = {s.name for e in finals for s in e.free_symbols}
        return [name for name in (*AXIS_SYMBOLS, *(name for name, _ in self.shared)) if name in used]

    @property
    def exponentials(self) -> list[str]:
        """The kept values that contain exponentials and so are worth keeping from one pass to the next."""
        costly: set[str] = set()
        for name, e in self.shared:
            if isinstance(e, str) or any(s.name in costly for s in e.free_symbols):
                costly.add(name)
        return [name for name in self.kept if name in costly]


def _series(variable: str, order: int, terms: int) -> str:
    """Horner form of the Taylor series of phi_order at 0, ``sum_j variable^j/(j + order)!``."""
    coefficients = [repr(1 / math.factorial(j + order)) for j in range(terms)]
    text = f"R({coefficients[-1]})"
    for c in reversed(coefficients[:-1]):
        text = f"(R({c}) + {variable}*{text})"
    return text


def _phi_lines(prefix: str, z: str, highest: int) -> list[tuple[str, str]]:
    """Assignments for phi_0 .. phi_highest at z <= 0, without branches so that compilers vectorise them.

    exp is its Taylor series at z/64 squared six times, with z cut at -40 where it is below round-off of 1. For z < -1 the others
    follow from the defining recurrence, which loses no digits there; above, from the series of the highest one downwards.
    """
    lines = [(f"{prefix}x", f"R(0.015625)*MAX({z}, R(-40))"), (f"{prefix}e0", _series(f"{prefix}x", 0, 13))]
    lines += [(f"{prefix}e{i + 1}", f"{prefix}e{i}*{prefix}e{i}") for i in range(6)]
    if not highest:
        return [*lines, (f"{prefix}0", f"{prefix}e6")]
    lines += [(f"{prefix}s", f"MAX({z}, R(-1))"), (f"{prefix}i", f"R(1)/MIN({z}, R(-1))")]
    lines.append((f"{prefix}t{highest}", _series(f"{prefix}s", highest, 17 - highest)))
    for n in range(highest - 1, 0, -1):
        lines.append((f"{prefix}t{n}", f"R({1 / math.factorial(n)!r}) + {prefix}s*{prefix}t{n + 1}"))
    # Squaring multiplies round-off by 64, which slow modes would gather step by step.
    lines.append((f"{prefix}0", f"SELECT({z} < R(-1), {prefix}e6, R(1) + {prefix}s*{prefix}t1)"))
    recurrence = f"{prefix}e6"
    for n in range(1, highest + 1):
        lines.append((f"{prefix}r{n}", f"({recurrence} - R({1 / math.factorial(n - 1)!r}))*{prefix}i"))
        lines.append((f"{prefix}{n}", f"SELECT({z} < R(-1), {prefix}r{n}, {prefix}t{n})"))
        recurrence = f"{prefix}r{n}"
    return lines


def lower(kernel: Kernel) -> Lowered:
    """Common subexpressions out, phi functions expanded."""
    results = [sp.sympify(e) for e in kernel.results]
    dependent = {f"{a}@{c}" for a, n in kernel.arrays.items() for c in range(n)}
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
                shared.extend(_phi_lines(prefix, f"{prefix}z", highest[z]))
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
    return Lowered(shared, per_part, outputs, reductions, powers)


class _Mixin:
    """Printing rules common to both languages: typed literals, integer powers as inlined products."""

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

    def _print_Pow(self, expr: sp.Pow, **kwargs: Any) -> str:
        base, exponent = expr.as_base_exp()
        text = self._print(base)  # type: ignore[attr-defined]
        if exponent.is_Integer:
            n = abs(int(exponent))
            product = f"({text})" if n == 1 else f"POW{n}({text})"
            return product if exponent > 0 else f"(R(1)/{product})"
        if exponent == sp.Rational(1, 2):
            return f"SQRT({text})"
        if exponent == -sp.Rational(1, 2):
            return f"(R(1)/SQRT({text}))"
        return f"POW({text}, {self._print(exponent)})"  # type: ignore[attr-defined]

    def _call(name: str) -> Any:  # type: ignore[misc]
        return lambda self, expr: f"{name}({', '.join(self._print(a) for a in expr.args)})"

    _print_exp = _call("EXP")
    _print_log = _call("LOG")
    _print_sin = _call("SIN")
    _print_cos = _call("COS")
    _print_tanh = _call("TANH")

    def _print_Piecewise(self, expr: sp.Piecewise) -> str:
        text = self._print(expr.args[-1].expr)  # type: ignore[attr-defined]
        for value, condition in reversed(expr.args[:-1]):
            text = f"SELECT({self._print(condition)}, {self._print(value)}, {text})"  # type: ignore[attr-defined]
        return text

    def _print_Relational(self, expr: Any) -> str:
        return f"({self._print(expr.lhs)} {expr.rel_op} {self._print(expr.rhs)})"  # type: ignore[attr-defined]


class _CudaPrinter(_Mixin, C99CodePrinter):
    pass


class _LoopPrinter(_Mixin, PythonCodePrinter):
    pass


def _text(printer: Any, expr: Any) -> str:
    return expr if isinstance(expr, str) else printer.doprint(expr)


def power_chain(n: int) -> str:
    """``x**n`` (n >= 2) as products by repeated squaring; refers to ``POW<m>`` for a smaller power m."""
    if n == 2:
        return "x*x"
    return f"POW{n // 2}(x*x)" if n % 2 == 0 else f"x*POW{n - 1}(x)"


def _power_closure(powers: set[int]) -> list[int]:
    """All powers needed by `power_chain`, smallest first."""
    todo, done = list(powers), set()
    while todo:
        n = todo.pop()
        if n > 1 and n not in done:
            done.add(n)
            todo.append(n // 2 if n % 2 == 0 else n - 1)
    return sorted(done)


def _accumulate(op: str, name: str, value: str) -> str:
    if op == "sum":
        return f"{name} += DOUBLE({value})"
    return f"{name} = {op.upper()}({name}, DOUBLE({value}))"


def _combine(symbol: str) -> str:
    """Text of an axis symbol at indices i, j, k."""
    parts = [f"{symbol}{a}[{i}]" for a, i in zip("012", "ijk", strict=True)]
    return (" + " if AXIS_SYMBOLS[symbol] == "sum" else "*").join(parts)


# --------------------------------------------------------------------------------------------------------------------
# CPU: a Python loop for numba, parallel over the outermost index by the caller.


def loop_source(kernel: Kernel, parts: int, dtype: str, mirror: bool = False) -> str:
    """Python source for numba of ``entry(lo, hi, context)``, which visits outermost indices ``lo`` to ``hi``.

    With ``mirror``, modes (+-i, +-j, k) have the same k2, and what contains exponentials comes from a table over the first
    quarter or half of the modes, which ``tabulate(lo, hi, context)`` fills for outermost indices up to ``n0//2``.

    ``context`` is the address of 64-bit integers: the lengths of the visited index space; the last three lengths of every
    buffer; address of every array and bytes between its components; address and length of every axis array; addresses of the
    scalars (doubles), of the partial reductions ``(reduction, outermost index)`` and of the table, bytes between its values.

    Args:
        parts: numbers per mode (2 complex, 1 real) in spectral space; cells always have 1.
        dtype: ``float64`` or ``float32``.
        mirror: whether the outermost spectral axis (and the second of three) has positive and negative wavenumbers.
    """
    code = lower(kernel)
    parts = parts if kernel.space == "spectral" else 1
    out: list[str] = [
        "from math import cos as COS, exp as EXP, inf as INFINITY, log as LOG, sin as SIN, sqrt as SQRT, tanh as TANH",
        "",
        "from numba import carray, cfunc, int32, int64, njit, void",
        f"from numpy import array, float64 as DOUBLE, {dtype} as R",
        "",
        "from phasefield.backend.intrinsics import NoAlias, pointer",
        "",
        # NaN must survive every select, so reordering is allowed but assuming finite values is not.
        "FAST = {'contract', 'reassoc', 'nsz', 'arcp'}",
        # Everything goes into the entry: of a function that stands alone, a process that has just compiled it would run another
        # version than one that takes the entry from the cache, and a resumed run would differ in its last bits.
        "OPTIONS = dict(no_cpython_wrapper=True, no_cfunc_wrapper=True, nogil=True, forceinline=True, fastmath=FAST,",
        "               error_model='numpy')",
        "",
    ]
    helpers = {
        "SELECT(condition, a, b)": "a if condition else b",
        "MAX(a, b)": "b if a < b else a",
        "MIN(a, b)": "a if a < b else b",
        "POW(a, b)": "a**b",
        "SQUARE(x)": "x*x",
    }
    for n in _power_closure(code.powers):
        helpers[f"POW{n}(x)"] = power_chain(n)
    for head, body in helpers.items():
        out += ["@njit(**OPTIONS)", f"def {head}:", f"    return {body}", ""]
    tabulated = code.exponentials if mirror else []
    if tabulated:
        out += [f"TABULATED = {len(tabulated)}"]
        fill = _function(kernel, "fill", 0, 0, tabulated, _table_loops(kernel, code, tabulated))
        out += [*fill, *_entry(kernel, "tabulate", tabulated, ["fill_at(lo, hi, at, at)"])]
    functions, calls = _group_functions(kernel, code, parts, tabulated)
    out += [*functions, *_entry(kernel, "entry", tabulated, calls)]
    return "\n".join(out) + "\n"


def table_values(kernel: Kernel) -> int:
    """How many values per mode `loop_source` tabulates with ``mirror``."""
    return len(lower(kernel).exponentials)


def _columns(kernel: Kernel) -> list[tuple[str, int]]:
    """Array components that take part, in argument order. Each is an argument of its own, for compilers to know them apart."""
    used = {*kernel.reads, *kernel.writes}
    return [(a, c) for a, n in kernel.arrays.items() for c in range(n) if (a, c) in used]


class _Context:
    """Where the integers at ``at`` are that a compiled loop is given, see `loop_source`."""

    def __init__(self, kernel: Kernel, tabulated: Sequence[str]) -> None:
        self.kernel, self.tabulated = kernel, tabulated
        self.axes = 6 + 2 * len(kernel.arrays)
        self.scalars = self.axes + 2 * len(kernel.axis_arrays)
        self.partial, self.table, self.stride, self.length = (self.scalars + i for i in range(1, 5))

    def array(self, name: str) -> int:
        """Place of an array's address; the next is that of the bytes between its components."""
        return 6 + 2 * list(self.kernel.arrays).index(name)

    def everything(self) -> dict[str, str]:
        """Arguments that all functions of loops have, and how they are found."""
        out = {"outer": "at[0]", "rows": "at[1]", "length": "at[2]"}
        for index, axis in enumerate(self.kernel.axis_arrays):
            place, kind = self.axes + 2 * index, "int32" if axis[:-1] in ("above", "below") else "R"
            out[axis] = f"carray(pointer(at[{place}]), (at[{place + 1}],), {kind})"
        out |= {name: f"scalars[{index}]" for index, name in enumerate(self.kernel.scalars)}
        out["partial"] = f"carray(pointer(at[{self.partial}]), ({len(self.kernel.reductions)}, at[0]), DOUBLE)"
        sizes = "(at[0]//2 + 1, at[1]//2 + 1, at[2])"
        for index, value in enumerate(self.tabulated):
            out[f"table_{value}"] = f"carray(pointer(at[{self.table}] + {index}*at[{self.stride}]), {sizes}, R)"
        return out


def _function(
    kernel: Kernel, name: str, columns: int, results: int, tabulated: Sequence[str], body: Sequence[str]
) -> list[str]:
    """``name``, loops over arrays ``all_q0`` ..., and ``name_at``, which finds them: ``given`` holds place and component of every
    array, then the rows of the results.

    Arrays are arguments of the loops because only of arguments can a compiler be told that they do not overlap, but integers are
    what is handed on: numba takes long over calls with many arguments.
    """
    context = _Context(kernel, tabulated)
    known = context.everything()
    arrays, places = [f"all_q{q}" for q in range(columns)], [f"place{r}" for r in range(results)]
    values = [
        f"carray(pointer(at[given[{2 * q}]] + given[{2 * q + 1}]*at[given[{2 * q}] + 1]), (at[3], at[4], at[5]), R)"
        for q in range(columns)
    ]
    values += [f"given[{2 * columns + r}]" for r in range(results)]
    return [
        "",
        "@njit(pipeline_class=NoAlias, **OPTIONS)",
        f"def {name}({', '.join(['lo', 'hi', *arrays, *places, *known])}):",
        *(f"    {s} = R({s})" for s in kernel.scalars),
        *body,
        "",
        "@njit(**OPTIONS)",
        f"def {name}_at(lo, hi, at, given):",
        f"    scalars = carray(pointer(at[{context.scalars}]), ({len(kernel.scalars)},), DOUBLE)",
        f"    {name}({', '.join(['lo', 'hi', *values, *known.values()])})",
    ]


def _entry(kernel: Kernel, name: str, tabulated: Sequence[str], calls: Sequence[str]) -> list[str]:
    """The function with C's calling convention."""
    context = _Context(kernel, tabulated)
    return [
        "",
        "@cfunc(void(int64, int64, int64), cache=True)",
        f"def {name}(lo, hi, context):",
        f"    at = carray(pointer(context), ({context.length},), int64)",
        f"    partial = {context.everything()['partial']}",
        *(f"    {call}" for call in calls),
    ]


def _shared(kernel: Kernel, code: Lowered, wanted: Sequence[str], pad: str) -> list[str]:
    """Statements for the shared values among ``wanted`` and those they need, at indices i, j, k."""
    printer = _LoopPrinter({"fully_qualified_modules": False})
    needed = set(wanted)
    lines: list[str] = []
    for name, e in reversed(code.shared):
        if name in needed:
            text = _text(printer, e)
            needed |= set(re.findall(r"[A-Za-z_]\w*", text))
            lines.insert(0, f"{pad}{name} = {text}")
    return [f"{pad}{s} = {_combine(s)}" for s in kernel.axis_symbols if s in needed] + lines


def _table_loops(kernel: Kernel, code: Lowered, tabulated: Sequence[str]) -> list[str]:
    pad = " " * 12
    out = ["    for i in range(lo, hi):", "        for j in range(rows//2 + 1):"]
    out += [f"{pad}line_{name} = table_{name}[i, j]" for name in tabulated]
    out += [f"{pad}for k in range(length):", *_shared(kernel, code, tabulated, pad + "    ")]
    return out + [f"{pad}    line_{name}[k] = {name}" for name in tabulated]


@dataclass
class _Group:
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


def _groups(kernel: Kernel, code: Lowered) -> list[_Group]:
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

    groups: list[_Group] = []
    results: list[tuple[str, Any]] = [("outputs", output) for output in code.outputs]
    for name, op, expr in code.reductions:
        results += [("reductions", (name, op, e)) for e in (sp.Add.make_args(expr) if op == "sum" else [expr])]
    for kind, result in results:
        expr = result[-1]
        wanted = needs(expr)
        own = {columns[name] for name in wanted if name in columns}
        if kind == "outputs":
            own.add(result[:2])
        new = _Group(own, wanted)
        getattr(new, kind).append(result)
        if not own and groups:  # a constant
            own = new.columns = groups[0].columns
        for other in sorted(groups, key=lambda g: not _inseparable(g, new)):
            if not _belong(other, new):
                continue
            groups.remove(other)
            new = _Group(
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


def _inseparable(one: _Group, other: _Group) -> bool:
    """Whether one writes what the other reads or writes."""
    return bool(one.writes & other.columns or other.writes & one.columns)


def _belong(one: _Group, other: _Group) -> bool:
    """Whether two groups are better, or have to be, computed together."""
    if not one.columns & other.columns:
        return False
    return len(one.columns | other.columns) <= _MOST or _inseparable(one, other)


def _group_functions(
    kernel: Kernel, code: Lowered, parts: int, tabulated: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Functions of the groups, and the statements that run them. Groups that differ in nothing but the components and the results
    they are about, as those of like components do, share a function: twenty order parameters compile like one.
    """
    context = _Context(kernel, tabulated)
    rows = {name: r for r, name in enumerate(kernel.reductions)}
    groups: dict[tuple[str, ...], list[list[int]]] = {}
    functions: list[str] = []
    for group in _groups(kernel, code):
        columns = [column for column in _columns(kernel) if column in group.columns]
        body = tuple(_loops(kernel, code, parts, tabulated, group, columns))
        if body not in groups:
            functions += _function(kernel, f"group{len(groups)}", len(columns), len(group.reductions), tabulated, body)
        given = [number for a, c in columns for number in (context.array(a), c)]
        groups.setdefault(body, []).append(given + [rows[name] for name, _, _ in group.reductions])
    calls: list[str] = []
    if rows:
        functions += ["", f"START = array([{', '.join(_REDUCTIONS[r.op] for r in kernel.reductions.values())}])"]
        calls += [f"for r in range({len(rows)}):", "    for i in range(lo, hi):", "        partial[r, i] = START[r]"]
    for number, table in enumerate(groups.values()):
        functions += ["", f"GIVEN{number} = array({table}, 'int64')"]
        calls += [f"for g in range({len(table)}):", f"    group{number}_at(lo, hi, at, GIVEN{number}[g])"]
    return functions, calls


def _loops(
    kernel: Kernel,
    code: Lowered,
    parts: int,
    tabulated: Sequence[str],
    group: _Group,
    columns: Sequence[tuple[str, int]],
) -> list[str]:
    """The loops of a group, with its array components called ``q0``, ``q1`` ... and its other values ``v0``, ``v1`` ..."""
    printer = _LoopPrinter({"fully_qualified_modules": False})
    own = [(name, e) for name, e in code.per_part if name in group.wanted]
    names = {f"{a}@{c}": f"q{q}" for q, (a, c) in enumerate(columns)} | {n: f"v{v}" for v, (n, _) in enumerate(own)}
    table = {sp.Symbol(old, real=True): sp.Symbol(new, real=True) for old, new in names.items()}

    def text(expr: Any) -> str:
        return _text(printer, expr.xreplace(table))

    finals: list[Any] = [e[-1] for e in (*own, *group.outputs, *group.reductions)]
    gradients = {call.args[0] for e in finals for call in e.atoms(GradientNorm)}
    pad = " " * 8
    out = ["    for i in range(lo, hi):"]
    out += [f"{pad}sum{r} = {_REDUCTIONS[op]}" for r, (_, op, _) in enumerate(group.reductions)]
    out.append(f"{pad}for j in range(rows):")
    pad += "    "
    mine = [name for name in tabulated if name in group.wanted]
    out += [f"{pad}line_{name} = table_{name}[MIN(i, outer - i), MIN(j, rows - j)]" for name in mine]
    out += [f"{pad}row_q{q} = all_q{q}[i, j]" for q in range(len(columns))]
    out.append(f"{pad}for k in range(length):")
    pad += "    "
    out += [f"{pad}{name} = line_{name}[k]" for name in mine]
    out += _shared(kernel, code, sorted(group.wanted - set(tabulated)), pad)
    for part in range(parts):
        at = "k" if parts == 1 else f"{parts}*k + {part}" if part else f"{parts}*k"
        out += [f"{pad}q{q} = row_q{q}[{at}]" for q, column in enumerate(columns) if column in set(kernel.reads)]
        for q in sorted(names[symbol.name] for symbol in gradients):
            gradient = _gradient(lambda i, j, k, q=q: f"all_{q}[{i}, {j}, {k}]")  # type: ignore[misc]
            out.append(f"{pad}grad_{q} = {gradient}")
        out += [f"{pad}{names[name]} = {text(e)}" for name, e in own]
        out += [f"{pad}row_{names[f'{a}@{c}']}[{at}] = {text(e)}" for a, c, e in group.outputs]
        out += [f"{pad}{_accumulate(op, f'sum{r}', text(e))}" for r, (_, op, e) in enumerate(group.reductions)]
    results = [(op, f"partial[place{r}, i]", f"sum{r}") for r, (_, op, _) in enumerate(group.reductions)]
    return out + [f"        {_accumulate(*result)}" for result in results]


def _gradient(value: Callable[[str, str, str], str]) -> str:
    """|grad| by central differences from the text of a value at given indices."""
    terms = []
    for axis, index in zip("012", "ijk", strict=True):
        ends = [value(*(f"{side}{axis}[{i}]" if i == index else i for i in "ijk")) for side in ("above", "below")]
        terms.append(f"SQUARE(({ends[0]} - {ends[1]})*slope{axis}[{index}])")
    return f"SQRT({' + '.join(terms)})"


# --------------------------------------------------------------------------------------------------------------------
# GPU: CUDA C++ for NVRTC. The same text compiles as C++ on the host, which is how it is tested without a card.

#: Thread counters run past the last cell by at most one stride; 32-bit ones must have room for it.
WIDE = 2**31 - 2**24

_CUDA_PRELUDE = """\
#define R(x) ((real)(x))
#define DOUBLE(x) ((double)(x))
#define SELECT(c, a, b) ((c) ? (a) : (b))
#define EXP(x) exp(x)
#define LOG(x) log(x)
#define SIN(x) sin(x)
#define COS(x) cos(x)
#define TANH(x) tanh(x)
#define SQRT(x) sqrt(x)
#define POW(x, y) pow(x, y)
#ifndef INFINITY
#define INFINITY __longlong_as_double(0x7ff0000000000000LL)
#endif
struct __align__(2*sizeof(real)) Mode { real re, im; };
template <typename T> __device__ inline T MAX(T a, T b) { return a < b ? b : a; }
template <typename T> __device__ inline T MIN(T a, T b) { return a < b ? a : b; }
template <typename T> __device__ inline T SQUARE(T x) { return x*x; }
"""


def cuda_source(kernel: Kernel, parts: int, dtype: str, shape: tuple[int, int, int], row: int) -> str:
    """CUDA source of ``extern "C" __global__ void <name>(arrays..., axis arrays..., scalars, partial)``.

    Every thread strides over the cells or modes and keeps its own partial reduction, so the result does not depend on timing.
    Scalars, those of `cuda_scalars`, lie in device memory, for arguments are part of a recorded launch and could not change.
    All components of a cell or mode are read before any is written; the arrays must not overlap.

    Args:
        parts: numbers per mode (2 complex, 1 real) in spectral space; cells always have 1.
        dtype: ``float64`` or ``float32``.
        shape: extent of the visited index space (cells or modes). row: floats per row of the buffers.
    """
    code = lower(kernel)
    printer = _CudaPrinter()
    real = {"float64": "double", "float32": "float"}[dtype]
    n0, n1, n2 = shape
    wide = n0 * n1 * max(row, n2) * max([1, *kernel.arrays.values()]) >= WIDE
    written = {a for a, _ in kernel.writes}
    # The prefix keeps names such as "new" from being keywords.
    arguments = [f"{'' if a in written else 'const '}real* __restrict__ all_{a}" for a in kernel.arrays]
    for name in kernel.axis_arrays:
        arguments.append(f"const {'int' if name[:-1] in ('above', 'below') else 'real'}* __restrict__ {name}")
    scalars = cuda_scalars(kernel)
    if scalars:
        arguments.append("const real* __restrict__ scalars")
    if kernel.reductions:
        arguments.append("double* __restrict__ partial")
    out = [f"typedef {real} real;", f"typedef {'long long' if wide else 'int'} index_t;", _CUDA_PRELUDE]
    for n in _power_closure(code.powers):
        out.append(f"template <typename T> __device__ inline T POW{n}(T x) {{ return {power_chain(n)}; }}")
    out += [
        f"#define AT(c, i, j, k) ((((index_t)(c)*{n0} + (i))*{n1} + (j))*{row} + (k))",
        f'extern "C" __global__ void {kernel.name}({", ".join(arguments)}) {{',
        "    const index_t threads = (index_t)gridDim.x*blockDim.x;",
        "    const index_t thread = (index_t)blockIdx.x*blockDim.x + threadIdx.x;",
    ]
    out += [f"    const real {s} = scalars[{at}];" for at, s in enumerate(scalars)]
    out += [f"    double sum_{name} = {_REDUCTIONS[r.op]};" for name, r in kernel.reductions.items()]
    out += [
        f"    for (index_t cell = thread; cell < {n0 * n1 * n2}{'LL' if wide else ''}; cell += threads) {{",
        f"        const index_t k = cell % {n2}, outer = cell / {n2};",
        f"        const index_t j = outer % {n1}, i = outer / {n1};",
    ]
    pad = " " * 8
    out += [f"{pad}const real {s} = {_combine(s)};" for s in kernel.axis_symbols]
    out += [f"{pad}const real {name} = {_text(printer, e)};" for name, e in code.shared]
    if parts == 2 and kernel.space == "spectral":
        # Real and imaginary part move as one, for half of every transaction would be idle otherwise.
        out += [
            f"{pad}const Mode mode_{a}_{c} = *(const Mode*)(all_{a} + AT({c}, i, j, 2*k));" for a, c in kernel.reads
        ]
        out += [f"{pad}Mode new_{a}_{c};" for a, c, _ in code.outputs]
        for part in ("re", "im"):
            values = {(a, c): f"mode_{a}_{c}.{part}" for a, c in kernel.reads}
            out += _cuda_part(kernel, code, pad, values, lambda a, c, part=part: f"new_{a}_{c}.{part}")  # type: ignore[misc]
        out += [f"{pad}*(Mode*)(all_{a} + AT({c}, i, j, 2*k)) = new_{a}_{c};" for a, c, _ in code.outputs]
    else:
        values = {(a, c): f"all_{a}[AT({c}, i, j, k)]" for a, c in kernel.reads}
        out += [f"{pad}real new_{a}_{c};" for a, c, _ in code.outputs]
        out += _cuda_part(kernel, code, pad, values, lambda a, c: f"new_{a}_{c}")
        out += [f"{pad}all_{a}[AT({c}, i, j, k)] = new_{a}_{c};" for a, c, _ in code.outputs]
    out.append("    }")
    out += [f"    partial[{r}*threads + thread] = sum_{name};" for r, name in enumerate(kernel.reductions)]
    out.append("}")
    return "\n".join(out) + "\n"


def _cuda_part(
    kernel: Kernel, code: Lowered, pad: str, values: Mapping[tuple[str, int], str], target: Callable[[str, int], str]
) -> list[str]:
    """The block that computes outputs and reductions from the ``values`` of one part."""
    printer = _CudaPrinter()
    out = [f"{pad}{{"]
    inner = pad + "    "
    for (a, c), value in values.items():
        out.append(f"{inner}const real {a}_{c} = {value};")
        if kernel.gradients:
            gradient = _gradient(lambda i, j, k, a=a, c=c: f"all_{a}[AT({c}, {i}, {j}, {k})]")  # type: ignore[misc]
            out.append(f"{inner}const real grad_{a}_{c} = {gradient};")
    out += [f"{inner}const real {name} = {_text(printer, e)};" for name, e in code.per_part]
    out += [f"{inner}{target(a, c)} = {_text(printer, e)};" for a, c, e in code.outputs]
    out += [f"{inner}{_accumulate(op, f'sum_{name}', _text(printer, e))};" for name, op, e in code.reductions]
    return [*out, f"{pad}}}"]


def cuda_scalars(kernel: Kernel) -> list[str]:
    """A kernel's scalars in the order in which it finds them."""
    return list(kernel.scalars)


def assign_source(dtype: str, count: int) -> str:
    """CUDA source of ``assign(scalars, value 0, value 1, ...)``, run by one thread."""
    real = {"float64": "double", "float32": "float"}[dtype]
    values = ", ".join(f"const real v{i}" for i in range(count))
    body = "".join(f"    scalars[{i}] = v{i};\n" for i in range(count))
    return (
        f'typedef {real} real;\nextern "C" __global__ void assign(real* __restrict__ scalars, {values}) {{\n{body}}}\n'
    )


#: What follows it is run by every thread of a block and starts when all threads have finished what came before; nothing else of
#: theirs outlasts it than shared memory. Where threads take turns, as in tests on the host, it is a loop over them.
_PHASE = """\
#ifndef PHASE
#define PHASE __syncthreads();
#endif
"""


#: Numbers a thread of the second stage asks for before it waits for the first of them: there are too few threads to hide it.
_AT_ONCE = 8


def reduce_source(ops: Sequence[str], block: int, parts: int) -> str:
    """CUDA source of ``reduce(partial, total, count)``: the second stage of reductions, the same for every run.

    Row r of ``partial`` holds ``count`` numbers; blocks ``r*parts`` and following, of ``block`` threads (a power of two), leave
    ``parts`` numbers in row r of ``total``. Which numbers are combined in which order depends on nothing but these sizes.
    """
    rows = dict(enumerate(ops))
    combined = {"sum": "a + b", "min": "MIN(a, b)", "max": "MAX(a, b)"}
    cases = [f"row == {r} ? {combined[op]} : " for r, op in rows.items() if op != "sum"]
    starts = [f"row == {r} ? {_REDUCTIONS[op]} : " for r, op in rows.items() if op != "sum"]
    return f"""\
typedef double real;
{_CUDA_PRELUDE}{_PHASE}\
__device__ inline double combine(int row, double a, double b) {{ return {"".join(cases)}a + b; }}
extern "C" __global__ void reduce(const double* __restrict__ partial, double* __restrict__ total, const int count) {{
    __shared__ double kept[{block}];
    const int row = blockIdx.x/{parts}, part = blockIdx.x%{parts};
    PHASE {{
        const double start = {"".join(starts)}0.0;
        double found = start;
        for (int first = part*{block} + threadIdx.x; first < count; first += {_AT_ONCE * parts * block}) {{
            double values[{_AT_ONCE}];
            #pragma unroll
            for (int i = 0; i < {_AT_ONCE}; i++) {{
                const int at = first + i*{parts * block};
                values[i] = at < count ? partial[(long long)row*count + at] : start;
            }}
            #pragma unroll
            for (int i = 0; i < {_AT_ONCE}; i++) found = combine(row, found, values[i]);
        }}
        kept[threadIdx.x] = found;
    }}
    for (unsigned half = {block // 2}; half > 0; half /= 2) {{
        PHASE {{
            if (threadIdx.x < half) kept[threadIdx.x] = combine(row, kept[threadIdx.x], kept[threadIdx.x + half]);
        }}
    }}
    PHASE {{
        if (threadIdx.x == 0) total[blockIdx.x] = kept[0];
    }}
}}
"""


def digest(text: str) -> str:
    """Short stable name of a source text, used as its cache key."""
    return hashlib.sha256(text.encode()).hexdigest()[:24]
