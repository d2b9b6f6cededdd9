"""Values, their types, and the text of LLVM's instructions on them."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass


class LoopError(Exception):
    """Source text that is not of the language of `translation`."""


@dataclass(frozen=True)
class Type:
    """A type of numbers, by NumPy's name.

    Attributes:
        llvm: its name in LLVM. size: bytes. kind: ``f`` floating-point, ``i`` signed, ``u`` unsigned, ``b`` truth.
    """

    name: str
    llvm: str
    size: int
    kind: str


TYPES = {
    t.name: t
    for t in (
        Type("bool", "i1", 1, "b"),
        Type("int8", "i8", 1, "i"),
        Type("int32", "i32", 4, "i"),
        Type("int64", "i64", 8, "i"),
        Type("uint64", "i64", 8, "u"),
        Type("float32", "float", 4, "f"),
        Type("float64", "double", 8, "f"),
    )
}
BOOL, INT64, UINT64, FLOAT32, FLOAT64 = (TYPES[n] for n in ("bool", "int64", "uint64", "float32", "float64"))


@dataclass(frozen=True)
class Number:
    """A number: where LLVM finds it, and its value if that is known here."""

    type: Type
    text: str
    known: float | int | bool | None = None


@dataclass(frozen=True)
class Array:
    """An array without gaps, the last index first: its address, and its lengths, which are int64."""

    type: Type
    pointer: str
    shape: tuple[Number, ...]


Value = Number | Array | tuple["Value", ...]

#: Leave to regroup and to contract. Not to take all numbers for finite: NaN must survive.
FAST = "reassoc nsz arcp contract"

_COMPARISONS = {"<": "lt", "<=": "le", ">": "gt", ">=": "ge", "==": "eq", "!=": "ne"}
_BITS = {"&": "and", "|": "or", "^": "xor"}
#: Functions of one number that LLVM knows, and those that it leaves to C.
_INTRINSIC = ("exp", "log", "sin", "cos", "sqrt")
_FROM_C = (
    "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "erf", "erfc", "tgamma", "lgamma", "expm1",
    "log1p", "exp2", "log2", "log10", "cbrt",
)  # fmt: skip
FUNCTIONS = (*_INTRINSIC, *_FROM_C)


def constant(value: float | int | bool, kind: Type | None = None) -> Number:
    """A number that is known, of its own type if none is said: bool, int64 (uint64 beyond) or float64."""
    if kind is None:
        own = INT64 if abs(value) < 2**63 else UINT64
        kind = BOOL if isinstance(value, bool) else own if isinstance(value, int) else FLOAT64
    if kind.kind == "f":
        exact = struct.unpack("<f", struct.pack("<f", value))[0] if kind is FLOAT32 and math.isfinite(value) else value
        return Number(kind, f"0x{struct.unpack('<Q', struct.pack('<d', exact))[0]:016X}", float(exact))
    whole = int(value)
    return Number(kind, str(whole), bool(whole) if kind is BOOL else whole)


def common(a: Type, b: Type) -> Type:
    """The type in which two numbers are added: at least 64 bits for integers, signed if one is; a float where one is, single
    precision only where both are.
    """
    if a.kind != "f" and b.kind != "f":
        return UINT64 if "u" in (a.kind, b.kind) and "i" not in (a.kind, b.kind) else INT64
    return FLOAT32 if a is b is FLOAT32 else FLOAT64


class Block:
    """The text of a function as it grows, one basic block after the other."""

    def __init__(self) -> None:
        self.allocas: list[str] = []
        self.lines: list[str] = []
        self.declared: set[str] = set()
        self.label = "begin"
        self._count = 0

    def fresh(self, prefix: str = "%v") -> str:
        self._count += 1
        return f"{prefix}{self._count}"

    def put(self, text: str) -> None:
        self.lines.append(f"  {text}")

    def of(self, kind: Type, text: str) -> Number:
        """A new number that an instruction gives."""
        name = self.fresh()
        self.put(f"{name} = {text}")
        return Number(kind, name)

    # -- control -------------------------------------------------------------------------------------------------------

    def begin(self, label: str) -> None:
        self.lines.append(f"{label}:")
        self.label = label

    def jump(self, label: str) -> None:
        self.put(f"br label %{label}")

    def branch(self, condition: Number, then: str, other: str) -> None:
        self.put(f"br i1 {condition.text}, label %{then}, label %{other}")

    def phi(self, kind: Type, ways: Sequence[tuple[Number, str]]) -> Number:
        return self.of(kind, f"phi {kind.llvm} " + ", ".join(f"[ {v.text}, %{label} ]" for v, label in ways))

    # -- memory --------------------------------------------------------------------------------------------------------

    def slot(self, llvm: str) -> str:
        name = self.fresh("%s")
        self.allocas.append(f"  {name} = alloca {llvm}")
        return name

    def load(self, kind: Type, pointer: str) -> Number:
        return self.of(kind, f"load {kind.llvm}, ptr {pointer}")

    def store(self, value: Number, pointer: str) -> None:
        self.put(f"store {value.type.llvm} {value.text}, ptr {pointer}")

    def element(self, array: Array, indices: Sequence[Number]) -> str:
        """The address of an element, or of the first one where indices are missing."""
        if len(indices) > len(array.shape):
            raise LoopError(f"{len(indices)} indices of an array of {len(array.shape)} axes")
        place: Number | None = None
        for axis, index in enumerate(indices):
            if index.type.kind not in "iu":
                raise LoopError(f"an index of type {index.type.name}")
            index = self.convert(index, UINT64 if index.type is UINT64 else INT64)
            place = index if place is None else self.add(self.multiply(place, array.shape[axis]), index)
        for length in array.shape[len(indices) :]:
            place = None if place is None else self.multiply(place, length)
        if place is None:
            return array.pointer
        name = self.fresh()
        self.put(f"{name} = getelementptr inbounds {array.type.llvm}, ptr {array.pointer}, i64 {place.text}")
        return name

    # -- numbers -------------------------------------------------------------------------------------------------------

    def convert(self, value: Number, kind: Type) -> Number:
        old = value.type
        if old is kind:
            return value
        if value.known is not None:
            if kind is BOOL:
                return constant(bool(value.known))
            return constant(float(value.known) if kind.kind == "f" else int(value.known), kind)
        if kind is BOOL:
            return self.compare("!=", value, constant(0))
        if old.llvm == kind.llvm:  # signed and unsigned
            return Number(kind, value.text)
        if old.kind == "f":
            how = {"f": "fpext" if kind is FLOAT64 else "fptrunc", "i": "fptosi", "u": "fptoui"}[kind.kind]
        elif kind.kind == "f":
            how = "sitofp" if old.kind == "i" else "uitofp"
        elif old.size > kind.size:
            how = "trunc"
        else:
            how = "sext" if old.kind == "i" else "zext"
        return self.of(kind, f"{how} {old.llvm} {value.text} to {kind.llvm}")

    def both(self, a: Number, b: Number) -> tuple[Number, Number, Type]:
        kind = common(a.type, b.type)
        return self.convert(a, kind), self.convert(b, kind), kind

    def add(self, a: Number, b: Number) -> Number:
        return self.arithmetic("+", a, b)

    def multiply(self, a: Number, b: Number) -> Number:
        return self.arithmetic("*", a, b)

    def arithmetic(self, sign: str, a: Number, b: Number) -> Number:
        """``+ - * /`` and the floor functions ``//`` and ``%`` of integers, ``& | ^ << >>``."""
        if a.known is not None and b.known is not None:
            return self._folded(sign, a, b)
        if sign in _BITS and a.type is b.type is BOOL:
            return self.of(BOOL, f"{_BITS[sign]} i1 {a.text}, {b.text}")
        a, b, kind = self.both(a, b)
        if kind.kind == "f" or sign == "/":
            if kind.kind != "f":
                a, b, kind = self.convert(a, FLOAT64), self.convert(b, FLOAT64), FLOAT64
            names = {"+": "fadd", "-": "fsub", "*": "fmul", "/": "fdiv"}
            if sign not in names:
                raise LoopError(f"{sign} of floating-point numbers")
            return self.of(kind, f"{names[sign]} {FAST} {kind.llvm} {a.text}, {b.text}")
        if (sign, b.known) in (("+", 0), ("-", 0), ("*", 1)):
            return a
        if sign in ("//", "%"):
            return self._floored(sign, a, b, kind)
        names = {"+": "add", "-": "sub", "*": "mul", "<<": "shl", ">>": "ashr" if kind.kind == "i" else "lshr", **_BITS}
        return self.of(kind, f"{names[sign]} i64 {a.text}, {b.text}")

    def _folded(self, sign: str, a: Number, b: Number) -> Number:
        x, y = a.known, b.known
        assert x is not None
        assert y is not None
        kind = common(a.type, b.type)
        if sign == "/" and kind.kind != "f":
            kind = FLOAT64
        results = {
            "+": lambda: x + y, "-": lambda: x - y, "*": lambda: x * y, "/": lambda: x / y, "//": lambda: x // y,
            "%": lambda: x % y, "&": lambda: int(x) & int(y), "|": lambda: int(x) | int(y), "^": lambda: int(x) ^ int(y),
            "<<": lambda: int(x) << int(y), ">>": lambda: int(x) >> int(y),
        }  # fmt: skip
        return constant(results[sign](), kind)

    def _floored(self, sign: str, a: Number, b: Number, kind: Type) -> Number:
        """Of signed integers rounded down, as Python does."""
        if kind is UINT64:
            return self.of(kind, f"{'udiv' if sign == '//' else 'urem'} i64 {a.text}, {b.text}")
        rest = self.of(kind, f"srem i64 {a.text}, {b.text}")
        other = self.of(kind, f"xor i64 {rest.text}, {b.text}")
        there = self.compare("!=", rest, constant(0))
        astray = self.arithmetic("&", there, self.compare("<", other, constant(0)))
        if sign == "%":
            return self.select(astray, self.add(rest, b), rest)
        quotient = self.of(kind, f"sdiv i64 {a.text}, {b.text}")
        return self.select(astray, self.arithmetic("-", quotient, constant(1)), quotient)

    def negative(self, value: Number) -> Number:
        if value.known is not None:
            return constant(-value.known, value.type)
        if value.type.kind == "f":
            return self.of(value.type, f"fneg {FAST} {value.type.llvm} {value.text}")
        return self.arithmetic("-", constant(0), value)

    def compare(self, sign: str, a: Number, b: Number) -> Number:
        how = _COMPARISONS[sign]
        if a.known is not None and b.known is not None:
            x, y = a.known, b.known
            return constant({"lt": x < y, "le": x <= y, "gt": x > y, "ge": x >= y, "eq": x == y, "ne": x != y}[how])
        a, b, kind = self.both(a, b)
        if kind.kind == "f":
            return self.of(BOOL, f"fcmp {FAST} {'u' if how == 'ne' else 'o'}{how} {kind.llvm} {a.text}, {b.text}")
        signed = "" if how in ("eq", "ne") else "s" if kind.kind == "i" else "u"
        return self.of(BOOL, f"icmp {signed}{how} i64 {a.text}, {b.text}")

    def select(self, condition: Number, a: Number, b: Number) -> Number:
        if condition.known is not None:
            return a if condition.known else b
        if a.type is not b.type:
            a, b, _ = self.both(a, b)
        return self.of(a.type, f"select i1 {condition.text}, {a.type.llvm} {a.text}, {b.type.llvm} {b.text}")

    def function(self, name: str, *values: Number) -> Number:
        """One of `FUNCTIONS`, ``pow`` or ``fabs``."""
        kind = values[0].type if all(v.type is values[0].type for v in values) else FLOAT64
        kind = kind if kind.kind == "f" else FLOAT64
        values = tuple(self.convert(v, kind) for v in values)
        symbol = f"{name}{'f' if kind is FLOAT32 else ''}" if name in _FROM_C else f"llvm.{name}.f{8 * kind.size}"
        self.declared.add(f"declare {kind.llvm} @{symbol}({', '.join([kind.llvm] * len(values))})")
        arguments = ", ".join(f"{kind.llvm} {v.text}" for v in values)
        return self.of(kind, f"call {FAST} {kind.llvm} @{symbol}({arguments})")

    def power(self, base: Number, exponent: Number) -> Number:
        whole = exponent.known
        if isinstance(whole, int) and 1 <= whole <= 4:
            square = self.multiply(base, base) if whole > 1 else base
            return {1: base, 2: square}.get(whole) or self.multiply(square, square if whole == 4 else base)
        return self.function("pow", base, exponent)

    def recast(self, value: Number, kind: Type) -> Number:
        """The same bits as a number of another type of the same size."""
        return self.of(kind, f"bitcast {value.type.llvm} {value.text} to {kind.llvm}")
