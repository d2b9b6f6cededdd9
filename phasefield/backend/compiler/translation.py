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
  ``abs``, ``min``, ``max``, ``exp``, ``log``, ``sin``, ``cos``, ``tanh``, ``sqrt``, ``bits_of`` a float as an integer and the
  ``number_of`` such bits.
- A name has one type. What is assigned inside of a loop or a branch alone cannot be used after it.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from .instructions import (
    BOOL,
    FLOAT32,
    FLOAT64,
    FUNCTIONS,
    INT64,
    TYPES,
    Array,
    Block,
    LoopError,
    Number,
    Type,
    Value,
    constant,
)

_ARITHMETIC = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%",
    ast.BitAnd: "&", ast.BitOr: "|", ast.BitXor: "^", ast.LShift: "<<", ast.RShift: ">>",
}  # fmt: skip
_COMPARISONS = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}

#: What the constants of a module are made of.
_KNOWN: dict[str, Any] = {
    **TYPES, **{name: name for name in FUNCTIONS}, "inf": float("inf"), "len": len, "range": range,
}  # fmt: skip
#: Array memory begins at a multiple of so many bytes.
_LINE = 64


def llvm_text(source: str, prefix: str) -> tuple[str, list[str]]:
    """LLVM's text of a module, and the names of its entries, whose symbols begin with a prefix.

    Raises:
        LoopError: it is not of this language; says where.
    """
    module = Module(ast.parse(source), prefix)
    for name, function in module.functions.items():
        if _decorator(function) == "entry":
            module.compile(name, [INT64] * len(function.args.args))
    return module.text(), module.entries


def _decorator(function: ast.FunctionDef) -> str:
    return next((d.id.lstrip("_") for d in function.decorator_list if isinstance(d, ast.Name)), "")


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
            entry = _decorator(function) == "entry"
            symbol = f"{self._prefix}_{name}" + ("" if entry else f"_{len(self._compiled)}")
            block = Block()
            body = Body(self, block, {})
            arguments: list[str] = []
            for at, (argument, kind) in enumerate(zip(function.args.args, kinds, strict=True)):
                body.names[argument.arg] = _argument(f"%a{at}", kind, arguments)
            returned = body.function(function)
            block.put(self._return(block, body, returned))
            result, llvm = _result(returned)
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
        text, llvm = "undef", _result(returned)[1]
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


def _kind(value: Value) -> Any:
    if isinstance(value, Number):
        return value.type
    if isinstance(value, Array):
        return value.type, len(value.shape)
    raise LoopError("a tuple as an argument")


def _result(returned: Value | None) -> tuple[Any, str]:
    """Kind and LLVM's type of what a function returns."""
    if returned is None:
        return None, "void"
    if isinstance(returned, Number):
        return returned.type, returned.type.llvm
    if isinstance(returned, tuple) and all(isinstance(v, Number) for v in returned):
        kinds = tuple(v.type for v in returned if isinstance(v, Number))
        return kinds, f"{{ {', '.join(kind.llvm for kind in kinds)} }}"
    raise LoopError("a loop returns numbers")


class _Slot:
    """The place of a name that is assigned here and there."""

    def __init__(self, block: Block, value: Value) -> None:
        if isinstance(value, tuple):
            raise LoopError("a tuple cannot change")
        self.shape = value.shape if isinstance(value, Array) else None
        self.type = value.type
        self.pointer = block.slot("ptr" if self.shape is not None else value.type.llvm)

    def put(self, block: Block, value: Value) -> None:
        if isinstance(value, Array) and self.shape is not None and value.type is self.type:
            self.shape = value.shape
            block.put(f"store ptr {value.pointer}, ptr {self.pointer}")
        elif isinstance(value, Number) and self.shape is None:
            block.store(block.convert(value, self.type), self.pointer)
        else:
            raise LoopError("a name that changes its type")

    def get(self, block: Block) -> Value:
        if self.shape is None:
            return block.load(self.type, self.pointer)
        name = block.fresh()
        block.put(f"{name} = load ptr, ptr {self.pointer}")
        return Array(self.type, name, self.shape)


class _Returned(Exception):
    """The end of a function, which what follows a condition known beforehand may be."""


class Body:
    """The translation of a function's statements, those of functions that are put into it included.

    Attributes:
        names: values by name. memory: what is to be freed at the end.
    """

    def __init__(
        self, module: Module, block: Block, names: dict[str, Value | _Slot], outer: Body | None = None
    ) -> None:
        self.module, self.block, self.names = module, block, names
        self.memory: list[str] = outer.memory if outer else []
        self._next: list[str] = outer._next[:] if outer else []  # labels of the loops around
        self._changing: set[str] = set()
        self._returned: Value | None = None

    def function(self, function: ast.FunctionDef) -> Value | None:
        """Translates it, its arguments being among the names; what it returns."""
        places: dict[str, set[int]] = defaultdict(set)
        for argument in function.args.args:
            places[argument.arg].add(id(function.body))
        _assigned(function.body, places)
        self._changing = {name for name, lists in places.items() if len(lists) > 1}
        for argument in function.args.args:
            if argument.arg in self._changing:
                value = self.names.pop(argument.arg)
                assert not isinstance(value, _Slot)
                self._assign_name(argument.arg, value)
        try:
            self._statements(function.body)
        except _Returned:
            pass
        except LoopError as error:
            raise LoopError(f"{function.name}: {error}") from None
        return self._returned

    # -- statements ----------------------------------------------------------------------------------------------------

    def _statements(self, statements: Sequence[ast.stmt]) -> None:
        for statement in statements:
            handle: Callable[[Any], None] | None = getattr(self, f"_do_{type(statement).__name__}", None)
            if handle is None:
                raise LoopError(f"line {statement.lineno}: {type(statement).__name__}")
            try:
                handle(statement)
            except LoopError as error:
                if str(error).startswith("line ") or ": line " in str(error):
                    raise
                raise LoopError(f"line {statement.lineno}: {error}") from None
            if isinstance(statement, ast.Continue):
                return

    def _do_Expr(self, statement: ast.Expr) -> None:
        if not isinstance(statement.value, ast.Constant):
            self._value(statement.value)

    def _do_Return(self, statement: ast.Return) -> None:
        if statement.value is not None:
            self._returned = self._value(statement.value)
        raise _Returned

    def _do_Assign(self, statement: ast.Assign) -> None:
        if len(statement.targets) != 1:
            raise LoopError("one assignment at a time")
        self._assign(statement.targets[0], self._value(statement.value))

    def _do_AugAssign(self, statement: ast.AugAssign) -> None:
        sign = _ARITHMETIC[type(statement.op)]
        if isinstance(statement.target, ast.Name):
            old, value = self._number(ast.Name(statement.target.id)), self._number(statement.value)
            self._assign_name(statement.target.id, self.block.arithmetic(sign, old, value))
            return
        assert isinstance(statement.target, ast.Subscript)
        array, pointer = self._element(statement.target)
        value = self._number(statement.value)
        old = self.block.load(array.type, pointer)
        self.block.store(self.block.convert(self.block.arithmetic(sign, old, value), array.type), pointer)

    def _assign(self, target: ast.expr, value: Value) -> None:
        if isinstance(target, ast.Name):
            self._assign_name(target.id, value)
        elif isinstance(target, ast.Tuple):
            if not isinstance(value, tuple) or len(value) != len(target.elts):
                raise LoopError("as many names as values")
            for one, each in zip(target.elts, value, strict=True):
                self._assign(one, each)
        elif isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Slice):
            array = self._value(target.value)
            assert isinstance(array, Array)
            self._fill(array, value)
        elif isinstance(target, ast.Subscript):
            array, pointer = self._element(target)
            if not isinstance(value, Number):
                raise LoopError("only numbers can be put into an array")
            self.block.store(self.block.convert(value, array.type), pointer)
        else:
            raise LoopError(f"{ast.unparse(target)} = ...")

    def _assign_name(self, name: str, value: Value) -> None:
        if name not in self._changing:
            self.names[name] = value
            return
        place = self.names.get(name)
        if not isinstance(place, _Slot):
            place = self.names[name] = _Slot(self.block, value)
        place.put(self.block, value)

    def _fill(self, array: Array, value: Value) -> None:
        """``array[:] = value``."""
        count = self._size(array)
        if isinstance(value, Number):
            value = self.block.convert(value, array.type)

        def put(at: Number) -> None:
            number = value
            if isinstance(number, Array):
                number = self.block.load(number.type, self.block.element(_flat(number), [at]))
            assert isinstance(number, Number)
            self.block.store(self.block.convert(number, array.type), self.block.element(_flat(array), [at]))

        self._range(constant(0), count, constant(1), put)

    def _do_If(self, statement: ast.If) -> None:
        condition = self._truth(statement.test)
        if condition.known is not None:
            self._statements(statement.body if condition.known else statement.orelse)
            return
        then, other, end = (self.block.fresh(name) for name in ("then", "else", "end"))
        self.block.branch(condition, then, other if statement.orelse else end)
        for label, statements in ((then, statement.body), (other, statement.orelse)):
            if statements:
                self.block.begin(label)
                before = dict(self.names)
                self._statements(statements)
                if not isinstance(statements[-1], ast.Continue):
                    self.block.jump(end)
                self._leave(before)
        self.block.begin(end)

    def _leave(self, before: dict[str, Value | _Slot]) -> None:
        """Names that were made in a branch or loop are gone, but for places, which are the function's."""
        self.names = {**{n: v for n, v in self.names.items() if isinstance(v, _Slot)}, **before}

    def _do_Continue(self, statement: ast.Continue) -> None:
        self.block.jump(self._next[-1])

    def _do_While(self, statement: ast.While) -> None:
        test, body, end = (self.block.fresh(name) for name in ("test", "body", "end"))
        self.block.jump(test)
        self.block.begin(test)
        self.block.branch(self._truth(statement.test), body, end)
        self.block.begin(body)
        self._next.append(test)
        before = dict(self.names)
        self._statements(statement.body)
        self._leave(before)
        self._next.pop()
        self.block.jump(test)
        self.block.begin(end)

    def _do_For(self, statement: ast.For) -> None:
        def body(value: Value) -> None:
            before = dict(self.names)
            assert isinstance(statement.target, ast.Name)
            self.names[statement.target.id] = value
            self._statements(statement.body)
            self._leave(before)

        call = statement.iter
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "range":
            numbers = [self._number(a) for a in call.args]
            first, last = (constant(0), numbers[0]) if len(numbers) == 1 else (numbers[0], numbers[1])
            self._range(first, last, numbers[2] if len(numbers) == 3 else constant(1), body)
            return
        values = self._value(call)
        if not isinstance(values, tuple):
            raise LoopError("loops are over ranges and tuples")
        for value in values:
            body(value)

    def _range(self, first: Number, last: Number, step: Number, body: Callable[[Number], None]) -> None:
        """A loop in the form that LLVM brings them into: tested at the end, entered if there is something to do."""
        block = self.block
        # A known number is of the other's type, so that unsigned ends make an unsigned index.
        kind = last.type if first.known is not None else first.type if last.known is not None else None
        if kind is None or kind.size < 8:
            _, _, kind = block.both(first, last)
        first, last, step = (block.convert(n, kind) for n in (first, last, step))
        loop, following, end = (block.fresh(name) for name in ("loop", "next", "end"))
        block.branch(block.compare("<", first, last), loop, end)
        before = block.label
        block.begin(loop)
        at, new = block.fresh(), block.fresh()
        block.put(f"{at} = phi i64 [ {first.text}, %{before} ], [ {new}, %{following} ]")
        self._next.append(following)
        body(Number(kind, at))
        self._next.pop()
        block.jump(following)
        block.begin(following)
        block.put(f"{new} = add {'nsw' if kind is INT64 else 'nuw'} i64 {at}, {step.text}")
        block.branch(block.compare("<", Number(kind, new), last), loop, end)
        block.begin(end)

    # -- expressions ---------------------------------------------------------------------------------------------------

    def _value(self, node: ast.expr) -> Value:
        handle: Callable[[Any], Value] | None = getattr(self, f"_of_{type(node).__name__}", None)
        if handle is None:
            raise LoopError(ast.unparse(node))
        return handle(node)

    def _number(self, node: ast.expr) -> Number:
        value = self._value(node)
        if not isinstance(value, Number):
            raise LoopError(f"{ast.unparse(node)} is no number")
        return value

    def _truth(self, node: ast.expr) -> Number:
        return self.block.convert(self._number(node), BOOL)

    def _of_Constant(self, node: ast.Constant) -> Value:
        if not isinstance(node.value, (bool, int, float)):
            raise LoopError(ast.unparse(node))
        return constant(node.value)

    def _of_Name(self, node: ast.Name) -> Value:
        if node.id in self.names:
            value = self.names[node.id]
            return value.get(self.block) if isinstance(value, _Slot) else value
        known = self.module.constants.get(node.id)
        if isinstance(known, list):
            return self.module.array(known)
        if isinstance(known, (bool, int, float)):
            return constant(known)
        if isinstance(known, tuple):
            return tuple(constant(each) for each in known)
        raise LoopError(f"{node.id} is not known here")

    def _of_Tuple(self, node: ast.Tuple) -> Value:
        return tuple(self._value(each) for each in node.elts)

    def _of_BinOp(self, node: ast.BinOp) -> Value:
        a, b = self._number(node.left), self._number(node.right)
        if isinstance(node.op, ast.Pow):
            return self.block.power(a, b)
        return self.block.arithmetic(_ARITHMETIC[type(node.op)], a, b)

    def _of_UnaryOp(self, node: ast.UnaryOp) -> Value:
        if isinstance(node.op, ast.Not):
            truth = self._truth(node.operand)
            return (
                constant(not truth.known) if truth.known is not None else self.block.compare("==", truth, constant(0))
            )
        value = self._number(node.operand)
        return self.block.negative(value) if isinstance(node.op, ast.USub) else value

    def _of_Compare(self, node: ast.Compare) -> Value:
        if len(node.ops) != 1:
            raise LoopError("one comparison at a time")
        sign = _COMPARISONS[type(node.ops[0])]
        return self.block.compare(sign, self._number(node.left), self._number(node.comparators[0]))

    def _of_BoolOp(self, node: ast.BoolOp) -> Value:
        found = self._truth(node.values[0])
        both = isinstance(node.op, ast.And)
        for other in node.values[1:]:
            if found.known is not None:
                if bool(found.known) is both:
                    found = self._truth(other)
                continue
            yes, no = (other, ast.Constant(False)) if both else (ast.Constant(True), other)
            found = self._choice(found, lambda yes=yes: self._truth(yes), lambda no=no: self._truth(no), other)  # type: ignore[misc]
        return found

    def _of_IfExp(self, node: ast.IfExp) -> Value:
        condition = self._truth(node.test)
        if condition.known is not None:
            return self._value(node.body if condition.known else node.orelse)
        return self._choice(
            condition, lambda: self._number(node.body), lambda: self._number(node.orelse), node.body, node.orelse
        )

    def _choice(
        self, condition: Number, yes: Callable[[], Number], no: Callable[[], Number], *nodes: ast.expr
    ) -> Number:
        """One of two numbers; of what may not be worked out in any case, or takes long, only the one that is wanted."""
        block = self.block
        if not any(isinstance(n, (ast.Subscript, ast.Call)) for node in nodes for n in ast.walk(node)):
            return block.select(condition, yes(), no())
        then, other, end = (block.fresh(name) for name in ("then", "else", "end"))
        block.branch(condition, then, other)
        block.begin(then)
        first = yes()
        block_of_first, lines = block.label, len(block.lines)
        block.begin(other)
        second = no()
        if first.type is not second.type:
            kind = FLOAT64 if "f" in (first.type.kind, second.type.kind) else INT64
            second = block.convert(second, kind)
            tail, block.lines = block.lines[lines:], block.lines[:lines]
            first = block.convert(first, kind)
            block.put(f"br label %{end}")
            block.lines += tail
        else:
            block.lines.insert(lines, f"  br label %{end}")
        last = block.label
        block.jump(end)
        block.begin(end)
        return block.phi(first.type, [(first, block_of_first), (second, last)])

    def _of_Attribute(self, node: ast.Attribute) -> Value:
        array = self._value(node.value)
        if isinstance(array, Array) and node.attr == "shape":
            return array.shape
        if isinstance(array, Array) and node.attr == "size":
            return self._size(array)
        raise LoopError(ast.unparse(node))

    def _size(self, array: Array) -> Number:
        count = array.shape[0]
        for length in array.shape[1:]:
            count = self.block.multiply(count, length)
        return count

    def _element(self, node: ast.Subscript) -> tuple[Array, str]:
        array = self._value(node.value)
        if not isinstance(array, Array):
            raise LoopError(f"{ast.unparse(node.value)} is no array")
        places = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        return array, self.block.element(array, [self._number(place) for place in places])

    def _of_Subscript(self, node: ast.Subscript) -> Value:
        if isinstance(node.value, ast.Attribute) and node.value.attr == "shape":
            shape = self._value(node.value)
            assert isinstance(shape, tuple)
            if isinstance(node.slice, ast.Slice):
                assert isinstance(node.slice.lower, ast.Constant)
                return shape[int(node.slice.lower.value) :]  # type: ignore[arg-type]
            return shape[int(self._number(node.slice).known)]  # type: ignore[arg-type]
        value = self._value(node.value)
        if isinstance(value, tuple):
            return value[int(self._number(node.slice).known)]  # type: ignore[arg-type]
        array, pointer = self._element(node)
        count = len(node.slice.elts) if isinstance(node.slice, ast.Tuple) else 1
        if count == len(array.shape):
            return self.block.load(array.type, pointer)
        return Array(array.type, pointer, array.shape[count:])

    # -- calls ---------------------------------------------------------------------------------------------------------

    def _of_Call(self, node: ast.Call) -> Value:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if isinstance(node.func, ast.Name) and name in self.module.functions:
            return self._called(self.module.functions[name], [self._value(a) for a in node.args])
        known = self.module.constants.get(name)
        if isinstance(known, Type):
            return self.block.convert(self._number(node.args[0]), known)
        if isinstance(known, str):
            return self.block.function(known, *(self._number(a) for a in node.args))
        handle: Callable[[ast.Call], Value] | None = getattr(self, f"_call_{name}", None)
        if handle is None:
            raise LoopError(f"{ast.unparse(node.func)} is not known here")
        return handle(node)

    def _called(self, function: ast.FunctionDef, values: list[Value]) -> Value:
        if _decorator(function) != "loop":
            names = {a.arg: v for a, v in zip(function.args.args, values, strict=True)}
            returned = Body(self.module, self.block, dict(names), self).function(function)
            return () if returned is None else returned
        symbol, result = self.module.compile(function.name, [_kind(v) for v in values])
        arguments: list[str] = []
        for value in values:
            if isinstance(value, Array):
                arguments.append(f"ptr {value.pointer}")
                arguments += [f"i64 {n.text}" for n in value.shape]
            elif isinstance(value, Number):
                arguments.append(f"{value.type.llvm} {value.text}")
        call = f"@{symbol}({', '.join(arguments)})"
        if result is None:
            self.block.put(f"call void {call}")
            return ()
        if isinstance(result, Type):
            return self.block.of(result, f"call {result.llvm} {call}")
        llvm, whole = f"{{ {', '.join(kind.llvm for kind in result)} }}", self.block.fresh()
        self.block.put(f"{whole} = call {llvm} {call}")
        return tuple(self.block.of(kind, f"extractvalue {llvm} {whole}, {at}") for at, kind in enumerate(result))

    def _type(self, node: ast.expr) -> Type:
        kind = self.module.constants.get(node.id) if isinstance(node, ast.Name) else None
        if not isinstance(kind, Type):
            raise LoopError(f"{ast.unparse(node)} is no type")
        return kind

    def _shape(self, node: ast.expr) -> tuple[Number, ...]:
        value = self._value(node)
        lengths = value if isinstance(value, tuple) else (value,)
        return tuple(self.block.convert(n, INT64) for n in lengths if isinstance(n, Number))

    def _call_array_at(self, node: ast.Call) -> Value:
        address, shape = self._number(node.args[0]), self._shape(node.args[1])
        pointer = self.block.fresh()
        self.block.put(f"{pointer} = inttoptr i64 {address.text} to ptr")
        return Array(self._type(node.args[2]), pointer, shape)

    def _call_empty(self, node: ast.Call) -> Array:
        if self._next:
            raise LoopError("memory is made outside of loops")
        kind = self._type(node.args[1]) if len(node.args) > 1 else FLOAT64
        array = Array(kind, self.block.fresh(), self._shape(node.args[0]))
        wanted = self.block.multiply(self._size(array), constant(kind.size))
        lines = self.block.arithmetic("&", self.block.add(wanted, constant(_LINE - 1)), constant(-_LINE))
        self.block.declared |= {"declare noalias ptr @aligned_alloc(i64, i64)", "declare void @free(ptr)"}
        self.block.put(f"{array.pointer} = call ptr @aligned_alloc(i64 {_LINE}, i64 {lines.text})")
        self.memory.append(array.pointer)
        return array

    def _call_zeros(self, node: ast.Call) -> Array:
        array = self._call_empty(node)
        self._fill(array, constant(0, array.type))
        return array

    def _call_reshape(self, node: ast.Call) -> Value:
        assert isinstance(node.func, ast.Attribute)
        array = self._value(node.func.value)
        assert isinstance(array, Array)
        return Array(array.type, array.pointer, tuple(s for a in node.args for s in self._shape(a)))

    def _call_len(self, node: ast.Call) -> Value:
        value = self._value(node.args[0])
        return (
            value.shape[0] if isinstance(value, Array) else constant(len(value)) if isinstance(value, tuple) else value
        )

    def _call_abs(self, node: ast.Call) -> Value:
        value = self._number(node.args[0])
        if value.type.kind == "f":
            return self.block.function("fabs", value)
        return self.block.select(self.block.compare("<", value, constant(0)), self.block.negative(value), value)

    def _call_min(self, node: ast.Call) -> Value:
        return self._extreme("<", node)

    def _call_max(self, node: ast.Call) -> Value:
        return self._extreme(">", node)

    def _extreme(self, sign: str, node: ast.Call) -> Value:
        first, *others = [self._number(a) for a in node.args]
        for other in others:
            first = self.block.select(self.block.compare(sign, other, first), other, first)
        return first

    def _call_bits_of(self, node: ast.Call) -> Value:
        value = self._number(node.args[0])
        return self.block.recast(value, TYPES["int32"] if value.type is FLOAT32 else INT64)

    def _call_number_of(self, node: ast.Call) -> Value:
        value = self._number(node.args[0])
        return self.block.recast(value, FLOAT32 if value.type is TYPES["int32"] else FLOAT64)


def _flat(array: Array) -> Array:
    """An array to be indexed by one number."""
    return Array(array.type, array.pointer, array.shape[:1])


def _assigned(statements: Sequence[ast.stmt], places: dict[str, set[int]]) -> None:
    """Per name the lists of statements in which it is assigned; one that is so in a single list needs no place in memory."""
    for statement in statements:
        targets: list[ast.expr] = []
        if isinstance(statement, ast.Assign):
            targets = statement.targets
        elif isinstance(statement, ast.AugAssign):
            targets = [statement.target]
        for target in targets:
            for each in target.elts if isinstance(target, ast.Tuple) else [target]:
                if isinstance(each, ast.Name):
                    places[each.id].add(id(statements))
        for part in ("body", "orelse"):
            if inner := getattr(statement, part, None):
                _assigned(inner, places)
