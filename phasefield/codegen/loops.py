"""A kernel as a loop in the language of `phasefield.backend.compiler`, parallel over the outermost index by the caller."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import sympy as sp

from .form import Kernel, is_index
from .functions import ELEMENTARY, Derivative, GradientNorm, White
from .groups import Group, grouped
from .lowering import Lowered, lower, white_symbol
from .philox import SEED, STEP, loop_white
from .printing import (
    STARTS,
    LoopPrinter,
    accumulate,
    combine,
    derivative_name,
    gradient_text,
    partner_of,
    power_chain,
    power_closure,
    printed,
    slope_of,
)
from .profiles import coordinate


def loop_source(
    kernel: Kernel,
    parts: int,
    dtype: str,
    mirror: bool = False,
    places: Sequence[int] = (0, 1, 2),
    lean: str = "",
) -> str:
    """Source of ``entry(lo, hi, context)``, which visits outermost indices ``lo`` to ``hi``.

    With ``mirror``, modes (+-i, +-j, k) have the same k2, and what contains exponentials comes from a table over the first
    quarter or half of the modes, which ``tabulate(lo, hi, context)`` fills for outermost indices up to ``n0//2``. In cells the
    table holds functions of one coordinate along their axes, each in a row of its own, and is filled in one call.

    ``context`` is the address of 64-bit integers: the lengths of the visited index space; the last three lengths of every
    buffer; address of every array and bytes between its components; address and length of every axis array; addresses of the
    scalars (doubles), of the partial reductions ``(reduction, outermost index)`` and of the table, bytes between its values.

    Args:
        parts: numbers per mode (2 complex, 1 real) in spectral space; cells always have 1.
        dtype: ``float64`` or ``float32``.
        mirror: whether the outermost spectral axis (and the second of three) has positive and negative wavenumbers.
        places: buffer axis of every axis of the grid.
        lean: what numbers of the kernel's lean arrays are held in, if not in ``dtype``.
    """
    code = lower(kernel)
    apart = kernel.lean if lean not in ("", dtype) else frozenset[str]()
    parts = parts if kernel.space == "spectral" else 1
    elementary = {**ELEMENTARY, "inf": "INFINITY", "sqrt": "SQRT"}
    out: list[str] = [
        f"R, DOUBLE = {dtype}, float64",
        *([f"LEAN = {lean}"] if apart else []),
        f"{', '.join(elementary.values())} = {', '.join(elementary)}",
        "",
    ]
    helpers = {
        "SELECT(condition, a, b)": "a if condition else b",
        "MAX(a, b)": "b if a < b else a",
        "MIN(a, b)": "a if a < b else b",
        "POW(a, b)": "a**b",
        "SQUARE(x)": "x*x",
    }
    for n in power_closure(code.powers):
        helpers[f"POW{n}(x)"] = power_chain(n)
    for head, body in helpers.items():
        out += [f"def {head}:", f"    return {body}", ""]
    if kernel.whites:
        out += loop_white(parts, dtype)
    tabulated = _tabulated(kernel, code, mirror, places)
    if tabulated:
        fill = _function(kernel, "fill", [], 0, tabulated, _table_loops(kernel, code, tabulated))
        out += [*fill, *_entry(kernel, "tabulate", tabulated, ["fill_at(lo, hi, at, at)"])]
    functions, calls = _group_functions(kernel, code, parts, tabulated, apart)
    out += [*functions, *_entry(kernel, "entry", tabulated, calls)]
    return "\n".join(out) + "\n"


def _tabulated(kernel: Kernel, code: Lowered, mirror: bool, places: Sequence[int]) -> dict[str, int | None]:
    """The shared values that are read from a table, with the buffer axis that they are along; None of those per mode."""
    if kernel.space == "real":
        found = {name: coordinate(e) for name, e in code.coefficients.items()}
        return {name: places[axis] for name, axis in found.items() if axis < len(places)}
    return dict.fromkeys(code.exponentials if mirror else [])


def table_values(kernel: Kernel, mirror: bool, places: Sequence[int]) -> int:
    """How many values `loop_source` tabulates."""
    return len(_tabulated(kernel, lower(kernel), mirror, places))


def table_scalars(kernel: Kernel) -> list[str]:
    """The scalars that what `loop_source` tabulates depends on."""
    code = lower(kernel)
    needed = code.behind(list(code.coefficients) if kernel.space == "real" else code.exponentials)
    return [name for name in kernel.scalars if name in needed]


def _columns(kernel: Kernel) -> list[tuple[str, int]]:
    """Array components that take part, in argument order. Each is an argument of its own, for compilers to know them apart."""
    used = {*kernel.reads, *kernel.writes}
    return [(a, c) for a, n in kernel.arrays.items() for c in range(n) if (a, c) in used]


class _Context:
    """Where the integers at ``at`` are that a compiled loop is given, see `loop_source`."""

    def __init__(self, kernel: Kernel, tabulated: Mapping[str, int | None]) -> None:
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
            place, kind = self.axes + 2 * index, "int32" if is_index(axis) else "R"
            out[axis] = f"array_at(at[{place}], (at[{place + 1}],), {kind})"
        out |= {name: f"scalars[{index}]" for index, name in enumerate(self.kernel.scalars)}
        out["partial"] = f"array_at(at[{self.partial}], ({len(self.kernel.reductions)}, at[0]), DOUBLE)"
        for index, (value, along) in enumerate(self.tabulated.items()):
            sizes = "(at[0]//2 + 1, at[1]//2 + 1, at[2])" if along is None else f"(at[{along}],)"
            out[f"table_{value}"] = f"array_at(at[{self.table}] + {index}*at[{self.stride}], {sizes}, R)"
        return out


def _function(
    kernel: Kernel,
    name: str,
    columns: Sequence[str],
    results: int,
    tabulated: Mapping[str, int | None],
    body: Sequence[str],
) -> list[str]:
    """``name``, loops over arrays ``all_q0`` ..., and ``name_at``, which finds them: ``given`` holds place and component of every
    array, then the rows of the results. ``columns`` are the types of their numbers.

    Arrays are arguments of the loops because only of arguments can a compiler be told that they do not overlap.
    """
    context = _Context(kernel, tabulated)
    known = context.everything()
    arrays, places = [f"all_q{q}" for q in range(len(columns))], [f"place{r}" for r in range(results)]
    values = [
        f"array_at(at[given[{2 * q}]] + given[{2 * q + 1}]*at[given[{2 * q}] + 1], (at[3], at[4], at[5]), {kind})"
        for q, kind in enumerate(columns)
    ]
    values += [f"given[{2 * len(columns) + r}]" for r in range(results)]
    return [
        "",
        "@loop",
        f"def {name}({', '.join(['lo', 'hi', *arrays, *places, *known])}):",
        *(f"    {s} = R({s})" for s in kernel.scalars),
        *body,
        "",
        f"def {name}_at(lo, hi, at, given):",
        f"    scalars = array_at(at[{context.scalars}], ({len(kernel.scalars)},), DOUBLE)",
        f"    {name}({', '.join(['lo', 'hi', *values, *known.values()])})",
    ]


def _entry(kernel: Kernel, name: str, tabulated: Mapping[str, int | None], calls: Sequence[str]) -> list[str]:
    """The function with C's calling convention."""
    context = _Context(kernel, tabulated)
    return [
        "",
        "@entry",
        f"def {name}(lo, hi, context):",
        f"    at = array_at(context, ({context.length},), int64)",
        f"    partial = {context.everything()['partial']}",
        *(f"    {call}" for call in calls),
    ]


def _shared(kernel: Kernel, code: Lowered, wanted: Sequence[str], pad: str) -> list[str]:
    """Statements for the shared values among ``wanted`` and those they need, at indices i, j, k."""
    printer = LoopPrinter({"fully_qualified_modules": False})
    needed = set(wanted)
    lines: list[str] = []
    for name, e in reversed(code.shared):
        if name in needed:
            text = printed(printer, e)
            needed |= set(re.findall(r"[A-Za-z_]\w*", text))
            lines.insert(0, f"{pad}{name} = {text}")
    return [f"{pad}{s} = {combine(s)}" for s in kernel.axis_symbols if s in needed] + lines


def _table_loops(kernel: Kernel, code: Lowered, tabulated: Mapping[str, int | None]) -> list[str]:
    if kernel.space == "real":
        return [line for name, axis in tabulated.items() for line in _along(kernel, code, name, axis or 0)]
    pad = " " * 12
    out = ["    for i in range(lo, hi):", "        for j in range(rows//2 + 1):"]
    out += [f"{pad}line_{name} = table_{name}[i, j]" for name in tabulated]
    out += [f"{pad}for k in range(length):", *_shared(kernel, code, list(tabulated), pad + "    ")]
    return out + [f"{pad}    line_{name}[k] = {name}" for name in tabulated]


def _along(kernel: Kernel, code: Lowered, name: str, axis: int) -> list[str]:
    """A loop along an axis that fills the row of a function of its coordinate."""
    index, pad = "ijk"[axis], " " * 8
    out = [f"    {other} = 0" for other in "ijk" if other != index]
    out += [f"    for {index} in range(table_{name}.size):", *_shared(kernel, code, [name], pad)]
    return [*out, f"{pad}table_{name}[{index}] = {name}"]


def _group_functions(
    kernel: Kernel, code: Lowered, parts: int, tabulated: Mapping[str, int | None], lean: frozenset[str]
) -> tuple[list[str], list[str]]:
    """Functions of the groups, and the statements that run them. Groups that differ in nothing but the components and the results
    they are about, as those of like components do, share a function: twenty order parameters compile like one.
    """
    context = _Context(kernel, tabulated)
    rows = {name: r for r, name in enumerate(kernel.reductions)}
    groups: dict[tuple[tuple[str, ...], ...], list[list[int]]] = {}
    functions: list[str] = []
    for group in grouped(kernel, code):
        columns = [column for column in _columns(kernel) if column in group.columns]
        kinds = tuple("LEAN" if a in lean else "R" for a, _ in columns)
        body = tuple(_loops(kernel, code, parts, tabulated, group, columns))
        if (kinds, body) not in groups:
            results = len(group.reductions) + len(_whites(kernel, group))
            functions += _function(kernel, f"group{len(groups)}", kinds, results, tabulated, body)
        given = [number for a, c in columns for number in (context.array(a), c)]
        given += [rows[name] for name, _, _ in group.reductions]
        groups.setdefault((kinds, body), []).append(given + [call.component for call in _whites(kernel, group)])
    calls: list[str] = []
    if rows:
        functions += ["", f"START = [{', '.join(STARTS[r.op] for r in kernel.reductions.values())}]"]
        calls += [f"for r in range({len(rows)}):", "    for i in range(lo, hi):", "        partial[r, i] = START[r]"]
    for number, table in enumerate(groups.values()):
        functions += ["", f"GIVEN{number} = {table}"]
        calls += [f"for g in range({len(table)}):", f"    group{number}_at(lo, hi, at, GIVEN{number}[g])"]
    return functions, calls


def _loops(
    kernel: Kernel,
    code: Lowered,
    parts: int,
    tabulated: Mapping[str, int | None],
    group: Group,
    columns: Sequence[tuple[str, int]],
) -> list[str]:
    """The loops of a group, with its array components called ``q0``, ``q1`` ... and its other values ``v0``, ``v1`` ..."""
    printer = LoopPrinter({"fully_qualified_modules": False})
    own = [(name, e) for name, e in code.per_part if name in group.wanted]
    names = {f"{a}@{c}": f"q{q}" for q, (a, c) in enumerate(columns)} | {n: f"v{v}" for v, (n, _) in enumerate(own)}
    whites = {white_symbol(call).name: f"white{w}" for w, call in enumerate(_whites(kernel, group))}
    table = {sp.Symbol(old, real=True): sp.Symbol(new, real=True) for old, new in {**names, **whites}.items()}

    def text(expr: Any) -> str:
        return printed(printer, expr.xreplace(table))

    finals: list[Any] = [e[-1] for e in (*own, *group.outputs, *group.reductions)]
    gradients = {call.args[0] for e in finals for call in e.atoms(GradientNorm)}
    derivatives = sorted({call for e in finals for call in e.atoms(Derivative)}, key=sp.default_sort_key)
    pad = " " * 8
    out = ["    for i in range(lo, hi):"]
    mine = {name: axis for name, axis in tabulated.items() if name in group.wanted}
    out += [f"{pad}{name} = table_{name}[i]" for name, axis in mine.items() if axis == 0]
    out += [f"{pad}sum{r} = {STARTS[op]}" for r, (_, op, _) in enumerate(group.reductions)]
    out.append(f"{pad}for j in range(rows):")
    pad += "    "
    out += [f"{pad}{name} = table_{name}[j]" for name, axis in mine.items() if axis == 1]
    modal = [name for name, axis in mine.items() if axis is None]
    out += [f"{pad}line_{name} = table_{name}[MIN(i, outer - i), MIN(j, rows - j)]" for name in modal]
    out += [f"{pad}row_q{q} = all_q{q}[i, j]" for q in range(len(columns))]
    if parts == 1:
        out += [f"{pad}row_{_named(call, names)} = {_partner_row(call, names)}" for call in derivatives]
    out.append(f"{pad}for k in range(length):")
    pad += "    "
    out += [f"{pad}{name} = line_{name}[k]" for name in modal]
    out += [f"{pad}{name} = table_{name}[k]" for name, axis in mine.items() if axis == 2]
    out += _shared(kernel, code, sorted(group.wanted - set(tabulated)), pad)
    for w, name in enumerate(whites.values()):
        targets = ", ".join(f"{name}_{part}" for part in range(parts))
        out.append(f"{pad}{targets} = {_white(kernel, f'place{len(group.reductions) + w}')}")
    for part in range(parts):
        out += [f"{pad}{name} = {name}_{part}" for name in whites.values()]
        at = "k" if parts == 1 else f"{parts}*k + {part}" if part else f"{parts}*k"
        out += [f"{pad}q{q} = row_q{q}[{at}]" for q, column in enumerate(columns) if column in set(kernel.reads)]
        for q in sorted(names[symbol.name] for symbol in gradients):
            gradient = gradient_text(lambda i, j, k, q=q: f"all_{q}[{i}, {j}, {k}]")  # type: ignore[misc]
            out.append(f"{pad}grad_{q} = {gradient}")
        out += [f"{pad}{_named(call, names)} = {_derivative(call, names, parts, part)}" for call in derivatives]
        out += [f"{pad}{names[name]} = {text(e)}" for name, e in own]
        out += [f"{pad}row_{names[f'{a}@{c}']}[{at}] = {text(e)}" for a, c, e in group.outputs]
        out += [f"{pad}{accumulate(op, f'sum{r}', text(e))}" for r, (_, op, e) in enumerate(group.reductions)]
    results = [(op, f"partial[place{r}, i]", f"sum{r}") for r, (_, op, _) in enumerate(group.reductions)]
    return out + [f"        {accumulate(*result)}" for result in results]


def _whites(kernel: Kernel, group: Group) -> list[White]:
    """The noise that a group's results are made of."""
    return [call for call in kernel.whites if white_symbol(call).name in group.wanted]


def _white(kernel: Kernel, component: str) -> str:
    """The noise of a component at mode i, j, k."""
    scalars = ", ".join(name for name in (*SEED, *STEP))
    return (
        f"WHITE(number_2[k], edge_2[k], number_0[i] + number_1[j], mirror_0[i] + mirror_1[j], {component}, {scalars})"
    )


def _named(call: Derivative, names: Mapping[str, str]) -> str:
    return derivative_name(call, names[call.array.name])


def _partner_row(call: Derivative, names: Mapping[str, str]) -> str:
    """The row that holds the partners of the modes of row i, j."""
    i, j, _ = partner_of(call)
    return f"all_{names[call.array.name]}[{i}, {j}]"


def _derivative(call: Derivative, names: Mapping[str, str], parts: int, part: int) -> str:
    """A derivative at one part of mode k."""
    if parts == 2:
        other = f"row_{names[call.array.name]}[{'2*k' if part else '2*k + 1'}]"
        return f"{'' if part else '-'}{slope_of(call)}*{other}"
    return f"{slope_of(call)}*row_{_named(call, names)}[{partner_of(call)[2]}]"
