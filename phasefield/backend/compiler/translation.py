"""A small part of Python as LLVM's text.

What there is:

- Functions, by their decorator: an ``entry`` has C's calling convention and takes 64-bit integers; the arrays that a ``loop`` is
  given never overlap, and it is compiled for the types that it is called with; all others are put in where they are called. A
  function returns once, at its end. Decorators may begin with an underscore.
- Constants of the module, which are worked out beforehand, and so are conditions on them: what cannot happen is not compiled.
  Lists of numbers are constant arrays.
- Numbers by NumPy's names (``int64(x)``, ``float32(x)``), and arrays without gaps: ``array_at(address, shape, type)``,
  ``np.empty`` and ``np.zeros`` in a loop or entry outside of its loops, from the start of a cache line on; of these ``shape``,
  ``size``, ``len``, ``reshape``, elements, parts with fewer indices, and ``a[:] = b`` for a number or an array as large.
- Assignments, also to several names; ``for`` over a ``range`` that ascends or over a tuple, ``while``, ``continue``, ``if``.
- Arithmetic as in Python, with NumPy's types and no tests for zero or for indices that are negative or beyond the end;
  ``abs``, ``min``, ``max``, ``sqrt``, ``exp`` and others of C's functions of one number, ``bits_of`` a float as an integer and
  the ``number_of`` such bits.
- A name has one type. What is assigned inside of a loop or a branch alone cannot be used after it.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

from .expressions import decorator, result_of
from .instructions import FLOAT64, FUNCTIONS, INT64, TYPES, Array, Block, Number, Type, Value, constant
from .statements import Body

#: What the constants of a module are made of.
_KNOWN: dict[str, Any] = {
    **TYPES, **{name: name for name in FUNCTIONS}, "inf": float("inf"), "len": len, "range": range,
}  # fmt: skip


def llvm_text(source: str, prefix: str) -> tuple[str, list[str]]:
    """LLVM's text of a module, and the names of its entries, whose symbols begin with a prefix.

    Raises:
        LoopError: it is not of this language; says where.
    """
    module = Module(ast.parse(source), prefix)
    for name, function in module.functions.items():
        if decorator(function) == "entry":
            module.compile(name, [INT64] * len(function.args.args))
    return module.text(), module.entries


class Module:
    """Functions and constants of a source, and what has been compiled of it."""

    def __init__(self, tree: ast.Module, prefix: str) -> None:
        self.functions = {f.name: f for f in tree.body if isinstance(f, ast.FunctionDef)}
        self.constants = dict(_KNOWN)
        self.entries: list[str] = []
        self._prefix = prefix
        self._texts: list[str] = []
        self._declared: set[str] = set()
        self._compiled: dict[tuple[Any, ...], tuple[str, Any]] = {}
        self._arrays: dict[int, Array] = {}
        for statement in tree.body:
            if isinstance(statement, ast.Assign):
                code = compile(ast.Module([statement], []), "<loops>", "exec")
                exec(code, {"__builtins__": {}}, self.constants)

    def compile(self, name: str, kinds: Sequence[Any]) -> tuple[str, Any]:
        """Symbol of a function for arguments of these kinds (a type, or that of an array and its number of axes), and the kind of
        what it returns.
        """
        key = (name, *kinds)
        if key not in self._compiled:
            function = self.functions[name]
            entry = decorator(function) == "entry"
            symbol = f"{self._prefix}_{name}" + ("" if entry else f"_{len(self._compiled)}")
            block = Block()
            body = Body(self, block, {})
            arguments: list[str] = []
            for at, (argument, kind) in enumerate(zip(function.args.args, kinds, strict=True)):
                body.names[argument.arg] = _argument(f"%a{at}", kind, arguments)
            returned = body.function(function)
            block.put(self._return(block, body, returned))
            result, llvm = result_of(returned)
            head = f"define {'' if entry else 'internal '}{llvm} @{symbol}({', '.join(arguments)}) noinline nounwind {{"
            self._texts.append("\n".join([head, "begin:", *block.allocas, *block.lines, "}"]))
            self._declared |= block.declared
            self._compiled[key] = symbol, result
            if entry:
                self.entries.append(name)
        return self._compiled[key]

    def _return(self, block: Block, body: Body, returned: Value | None) -> str:
        for pointer in body.memory:
            block.put(f"call void @free(ptr {pointer})")
        if returned is None:
            return "ret void"
        if isinstance(returned, Number):
            return f"ret {returned.type.llvm} {returned.text}"
        text, llvm = "undef", result_of(returned)[1]
        for at, value in enumerate(returned if isinstance(returned, tuple) else ()):
            assert isinstance(value, Number)
            name = block.fresh()
            block.put(f"{name} = insertvalue {llvm} {text}, {value.type.llvm} {value.text}, {at}")
            text = name
        return f"ret {llvm} {text}"

    def array(self, values: list[Any]) -> Array:
        """The constant array of a list, or list of lists, of numbers."""
        if id(values) not in self._arrays:
            nested = isinstance(values[0], list)
            flat = [v for row in values for v in row] if nested else values
            kind = FLOAT64 if any(isinstance(v, float) for v in flat) else INT64
            shape = (len(values), len(values[0])) if nested else (len(values),)
            name = f"@constant{len(self._arrays)}"
            numbers = ", ".join(f"{kind.llvm} {constant(v, kind).text}" for v in flat)
            self._texts.append(f"{name} = internal constant [{len(flat)} x {kind.llvm}] [{numbers}]")
            self._arrays[id(values)] = Array(kind, name, tuple(constant(n) for n in shape))
        return self._arrays[id(values)]

    def text(self) -> str:
        return "\n".join([*sorted(self._declared), *self._texts]) + "\n"


def _argument(name: str, kind: Any, arguments: list[str]) -> Value:
    """The value of an argument, and what the function's head says of it."""
    if isinstance(kind, Type):
        arguments.append(f"{kind.llvm} {name}")
        return Number(kind, name)
    element, axes = kind
    arguments.append(f"ptr noalias {name}")
    arguments += [f"i64 {name}_{axis}" for axis in range(axes)]
    return Array(element, name, tuple(Number(INT64, f"{name}_{axis}") for axis in range(axes)))
