"""The translation of expressions."""

from __future__ import annotations

import ast
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from .instructions import (
    BOOL,
    FLOAT32,
    FLOAT64,
    INT64,
    TYPES,
    Array,
    Block,
    LoopError,
    Number,
    Type,
    Value,
    common,
    constant,
)

ARITHMETIC: Mapping[type[ast.AST], str] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%",
    ast.BitAnd: "&", ast.BitOr: "|", ast.BitXor: "^", ast.LShift: "<<", ast.RShift: ">>",
}  # fmt: skip
_COMPARISONS: Mapping[type[ast.AST], str] = {
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=",
}  # fmt: skip

#: Array memory begins at a multiple of so many bytes.
_LINE = 64


class Source(Protocol):
    """The module that a function is of.

    Attributes:
        functions: by name. constants: numbers, types and what builtin names mean.
    """

    functions: dict[str, ast.FunctionDef]
    constants: dict[str, Any]

    def compile(self, name: str, kinds: Sequence[Any]) -> tuple[str, Any]: ...

    def array(self, values: list[Any]) -> Array: ...


def decorator(function: ast.FunctionDef) -> str:
    return next((d.id.lstrip("_") for d in function.decorator_list if isinstance(d, ast.Name)), "")


def sign_of(operator: ast.AST, known: Mapping[type[ast.AST], str]) -> str:
    """How an operator is written. Raises LoopError for one that is not known."""
    if type(operator) not in known:
        raise LoopError(f"the operator {type(operator).__name__}")
    return known[type(operator)]


def kind_of(value: Value) -> Any:
    if isinstance(value, Number):
        return value.type
    if isinstance(value, Array):
        return value.type, len(value.shape)
    raise LoopError("a tuple as an argument")


def result_of(returned: Value | None) -> tuple[Any, str]:
    """Kind and LLVM's type of what a function returns."""
    if returned is None:
        return None, "void"
    if isinstance(returned, Number):
        return returned.type, returned.type.llvm
    if isinstance(returned, tuple) and all(isinstance(v, Number) for v in returned):
        kinds = tuple(v.type for v in returned if isinstance(v, Number))
        return kinds, f"{{ {', '.join(kind.llvm for kind in kinds)} }}"
    raise LoopError("a loop returns numbers")


class Slot:
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


class Expressions(ABC):
    """The translation of expressions within a function.

    Attributes:
        names: values by name. memory: what is to be freed at the end. around: labels that end a round of the loops around.
    """

    def __init__(
        self, module: Source, block: Block, names: dict[str, Value | Slot], outer: Expressions | None = None
    ) -> None:
        self.module, self.block, self.names = module, block, names
        self.memory: list[str] = outer.memory if outer else []
        self.around: list[str] = outer.around[:] if outer else []

    @abstractmethod
    def function(self, function: ast.FunctionDef) -> Value | None:
        """Translates a function whose arguments are among the names; what it returns."""

    def value(self, node: ast.expr) -> Value:
        handle: Callable[[Any], Value] | None = getattr(self, f"_of_{type(node).__name__}", None)
        if handle is None:
            raise LoopError(ast.unparse(node))
        return handle(node)

    def number(self, node: ast.expr) -> Number:
        value = self.value(node)
        if not isinstance(value, Number):
            raise LoopError(f"{ast.unparse(node)} is no number")
        return value

    def truth(self, node: ast.expr) -> Number:
        return self.block.convert(self.number(node), BOOL)

    def _of_Constant(self, node: ast.Constant) -> Value:
        if not isinstance(node.value, (bool, int, float)):
            raise LoopError(ast.unparse(node))
        return constant(node.value)

    def _of_Name(self, node: ast.Name) -> Value:
        if node.id in self.names:
            value = self.names[node.id]
            return value.get(self.block) if isinstance(value, Slot) else value
        known = self.module.constants.get(node.id)
        if isinstance(known, list):
            return self.module.array(known)
        if isinstance(known, (bool, int, float)):
            return constant(known)
        if isinstance(known, tuple):
            return tuple(constant(each) for each in known)
        raise LoopError(f"{node.id} is not known here")

    def _of_Tuple(self, node: ast.Tuple) -> Value:
        return tuple(self.value(each) for each in node.elts)

    def _of_BinOp(self, node: ast.BinOp) -> Value:
        a, b = self.number(node.left), self.number(node.right)
        if isinstance(node.op, ast.Pow):
            return self.block.power(a, b)
        return self.block.arithmetic(sign_of(node.op, ARITHMETIC), a, b)

    def _of_UnaryOp(self, node: ast.UnaryOp) -> Value:
        if isinstance(node.op, ast.Not):
            truth = self.truth(node.operand)
            return (
                constant(not truth.known) if truth.known is not None else self.block.compare("==", truth, constant(0))
            )
        if isinstance(node.op, ast.Invert):
            raise LoopError(ast.unparse(node))
        value = self.number(node.operand)
        return self.block.negative(value) if isinstance(node.op, ast.USub) else value

    def _of_Compare(self, node: ast.Compare) -> Value:
        if len(node.ops) != 1:
            raise LoopError("one comparison at a time")
        sign = sign_of(node.ops[0], _COMPARISONS)
        return self.block.compare(sign, self.number(node.left), self.number(node.comparators[0]))

    def _of_BoolOp(self, node: ast.BoolOp) -> Value:
        found = self.truth(node.values[0])
        both = isinstance(node.op, ast.And)
        for other in node.values[1:]:
            if found.known is not None:
                if bool(found.known) is both:
                    found = self.truth(other)
                continue
            yes, no = (other, ast.Constant(False)) if both else (ast.Constant(True), other)
            found = self._choice(found, lambda yes=yes: self.truth(yes), lambda no=no: self.truth(no), other)  # type: ignore[misc]
        return found

    def _of_IfExp(self, node: ast.IfExp) -> Value:
        condition = self.truth(node.test)
        if condition.known is not None:
            return self.value(node.body if condition.known else node.orelse)
        return self._choice(
            condition, lambda: self.number(node.body), lambda: self.number(node.orelse), node.body, node.orelse
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
            kind = common(first.type, second.type)
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
        array = self.value(node.value)
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

    def element(self, node: ast.Subscript) -> tuple[Array, str]:
        array = self.value(node.value)
        if not isinstance(array, Array):
            raise LoopError(f"{ast.unparse(node.value)} is no array")
        places = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        return array, self.block.element(array, [self.number(place) for place in places])

    def _of_Subscript(self, node: ast.Subscript) -> Value:
        if isinstance(node.value, ast.Attribute) and node.value.attr == "shape":
            shape = self.value(node.value)
            assert isinstance(shape, tuple)
            if isinstance(node.slice, ast.Slice):
                assert isinstance(node.slice.lower, ast.Constant)
                return shape[int(node.slice.lower.value) :]  # type: ignore[arg-type]
            return shape[int(self.number(node.slice).known)]  # type: ignore[arg-type]
        value = self.value(node.value)
        if isinstance(value, tuple):
            return value[int(self.number(node.slice).known)]  # type: ignore[arg-type]
        array, pointer = self.element(node)
        count = len(node.slice.elts) if isinstance(node.slice, ast.Tuple) else 1
        if count == len(array.shape):
            return self.block.load(array.type, pointer)
        return Array(array.type, pointer, array.shape[count:])

    # -- calls ---------------------------------------------------------------------------------------------------------

    def _of_Call(self, node: ast.Call) -> Value:
        if node.keywords:
            raise LoopError(f"{ast.unparse(node)}: arguments go by their place")
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if isinstance(node.func, ast.Name) and name in self.module.functions:
            return self._called(self.module.functions[name], [self.value(a) for a in node.args])
        known = self.module.constants.get(name)
        if isinstance(known, Type):
            return self.block.convert(self.number(node.args[0]), known)
        if isinstance(known, str):
            return self.block.function(known, *(self.number(a) for a in node.args))
        handle: Callable[[ast.Call], Value] | None = getattr(self, f"_call_{name}", None)
        if handle is None:
            raise LoopError(f"{ast.unparse(node.func)} is not known here")
        return handle(node)

    def _called(self, function: ast.FunctionDef, values: list[Value]) -> Value:
        if decorator(function) != "loop":
            names = {a.arg: v for a, v in zip(function.args.args, values, strict=True)}
            returned = type(self)(self.module, self.block, dict(names), self).function(function)
            return () if returned is None else returned
        symbol, result = self.module.compile(function.name, [kind_of(v) for v in values])
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
        value = self.value(node)
        lengths = value if isinstance(value, tuple) else (value,)
        return tuple(self.block.convert(n, INT64) for n in lengths if isinstance(n, Number))

    def _call_array_at(self, node: ast.Call) -> Value:
        address, shape = self.number(node.args[0]), self._shape(node.args[1])
        pointer = self.block.fresh()
        self.block.put(f"{pointer} = inttoptr i64 {address.text} to ptr")
        return Array(self._type(node.args[2]), pointer, shape)

    def _call_empty(self, node: ast.Call) -> Array:
        if self.around:
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
        self.fill(array, constant(0, array.type))
        return array

    def _call_reshape(self, node: ast.Call) -> Value:
        assert isinstance(node.func, ast.Attribute)
        array = self.value(node.func.value)
        assert isinstance(array, Array)
        return Array(array.type, array.pointer, tuple(s for a in node.args for s in self._shape(a)))

    def _call_len(self, node: ast.Call) -> Value:
        value = self.value(node.args[0])
        return (
            value.shape[0] if isinstance(value, Array) else constant(len(value)) if isinstance(value, tuple) else value
        )

    def _call_abs(self, node: ast.Call) -> Value:
        value = self.number(node.args[0])
        if value.type.kind == "f":
            return self.block.function("fabs", value)
        return self.block.select(self.block.compare("<", value, constant(0)), self.block.negative(value), value)

    def _call_min(self, node: ast.Call) -> Value:
        return self._extreme("<", node)

    def _call_max(self, node: ast.Call) -> Value:
        return self._extreme(">", node)

    def _extreme(self, sign: str, node: ast.Call) -> Value:
        first, *others = [self.number(a) for a in node.args]
        for other in others:
            first = self.block.select(self.block.compare(sign, other, first), other, first)
        return first

    def _call_bits_of(self, node: ast.Call) -> Value:
        value = self.number(node.args[0])
        return self.block.recast(value, TYPES["int32"] if value.type is FLOAT32 else INT64)

    def _call_number_of(self, node: ast.Call) -> Value:
        value = self.number(node.args[0])
        return self.block.recast(value, FLOAT32 if value.type is TYPES["int32"] else FLOAT64)

    # -- loops of its own -----------------------------------------------------------------------------------------------

    def fill(self, array: Array, value: Value) -> None:
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

        self.over(constant(0), count, constant(1), put)

    def over(self, first: Number, last: Number, step: Number, body: Callable[[Number], None]) -> None:
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
        self.around.append(following)
        body(Number(kind, at))
        self.around.pop()
        block.jump(following)
        block.begin(following)
        block.put(f"{new} = add {'nsw' if kind is INT64 else 'nuw'} i64 {at}, {step.text}")
        block.branch(block.compare("<", Number(kind, new), last), loop, end)
        block.begin(end)


def _flat(array: Array) -> Array:
    """An array to be indexed by one number."""
    return Array(array.type, array.pointer, array.shape[:1])
