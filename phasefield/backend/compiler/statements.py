"""The translation of statements."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from .expressions import ARITHMETIC, Expressions, Slot, Source, sign_of
from .instructions import Array, Block, LoopError, Number, Value, constant


class _Returned(Exception):
    """The end of a function, which what follows a condition known beforehand may be."""


class Body(Expressions):
    """The translation of a function's statements, those of functions that are put into it included."""

    def __init__(
        self, module: Source, block: Block, names: dict[str, Value | Slot], outer: Expressions | None = None
    ) -> None:
        super().__init__(module, block, names, outer)
        self._changing: set[str] = set()
        self._returned: Value | None = None
        self._depth = 0  #: of branches and loops that there are in what is compiled

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
                assert not isinstance(value, Slot)
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
            self.value(statement.value)

    def _within(self, statements: Sequence[ast.stmt], **made: Value) -> None:
        """Statements of a branch, or of a round of a loop, which has ``made`` names for it."""
        before = dict(self.names)
        self.names |= made
        self._depth += 1
        self._statements(statements)
        self._depth -= 1
        # Names that were made there are gone, but for places, which are the function's.
        self.names = {**{n: v for n, v in self.names.items() if isinstance(v, Slot)}, **before}

    def _do_Return(self, statement: ast.Return) -> None:
        if self._depth:
            raise LoopError("a function returns once, at its end")
        if statement.value is not None:
            self._returned = self.value(statement.value)
        raise _Returned

    def _do_Assign(self, statement: ast.Assign) -> None:
        if len(statement.targets) != 1:
            raise LoopError("one assignment at a time")
        self._assign(statement.targets[0], self.value(statement.value))

    def _do_AugAssign(self, statement: ast.AugAssign) -> None:
        sign = sign_of(statement.op, ARITHMETIC)
        if isinstance(statement.target, ast.Name):
            old, value = self.number(ast.Name(statement.target.id)), self.number(statement.value)
            self._assign_name(statement.target.id, self.block.arithmetic(sign, old, value))
            return
        assert isinstance(statement.target, ast.Subscript)
        array, pointer = self.element(statement.target)
        value = self.number(statement.value)
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
            array = self.value(target.value)
            assert isinstance(array, Array)
            self.fill(array, value)
        elif isinstance(target, ast.Subscript):
            array, pointer = self.element(target)
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
        if not isinstance(place, Slot):
            place = self.names[name] = Slot(self.block, value)
        place.put(self.block, value)

    def _do_If(self, statement: ast.If) -> None:
        condition = self.truth(statement.test)
        if condition.known is not None:
            self._statements(statement.body if condition.known else statement.orelse)
            return
        then, other, end = (self.block.fresh(name) for name in ("then", "else", "end"))
        self.block.branch(condition, then, other if statement.orelse else end)
        for label, statements in ((then, statement.body), (other, statement.orelse)):
            if statements:
                self.block.begin(label)
                self._within(statements)
                if not isinstance(statements[-1], ast.Continue):
                    self.block.jump(end)
        self.block.begin(end)

    def _do_Continue(self, statement: ast.Continue) -> None:
        self.block.jump(self.around[-1])

    def _do_While(self, statement: ast.While) -> None:
        if statement.orelse:
            raise LoopError("else of a loop")
        test, body, end = (self.block.fresh(name) for name in ("test", "body", "end"))
        self.block.jump(test)
        self.block.begin(test)
        self.block.branch(self.truth(statement.test), body, end)
        self.block.begin(body)
        self.around.append(test)
        self._within(statement.body)
        self.around.pop()
        self.block.jump(test)
        self.block.begin(end)

    def _do_For(self, statement: ast.For) -> None:
        def body(value: Value) -> None:
            assert isinstance(statement.target, ast.Name)
            self._within(statement.body, **{statement.target.id: value})

        if statement.orelse:
            raise LoopError("else of a loop")
        call = statement.iter
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "range":
            numbers = [self.number(a) for a in call.args]
            first, last = (constant(0), numbers[0]) if len(numbers) == 1 else (numbers[0], numbers[1])
            self.over(first, last, numbers[2] if len(numbers) == 3 else constant(1), body)
            return
        values = self.value(call)
        if not isinstance(values, tuple):
            raise LoopError("loops are over ranges and tuples")
        skips = any(isinstance(node, ast.Continue) for each in statement.body for node in ast.walk(each))
        for value in values:
            following = self.block.fresh("next")
            self.around.append(following)
            body(value)
            self.around.pop()
            if skips:
                self.block.jump(following)
                self.block.begin(following)


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
