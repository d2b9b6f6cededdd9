"""What numba lacks: pointers by address, calls by address, and atomic integers."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array


@intrinsic
def pointer(typing_context: Any, address: Any) -> Any:
    """The pointer at an address, for `numba.carray`."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], ir.IntType(8).as_pointer())

    return types.voidptr(types.int64), generate


@intrinsic
def call(typing_context: Any, function: Any, a: Any, b: Any, c: Any) -> Any:
    """Calls the C function at an address with three integers or pointers."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        word = ir.IntType(64)
        kind = ir.FunctionType(ir.VoidType(), [word, word, word])
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), args[1:])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64, types.int64), generate


@intrinsic
def add(typing_context: Any, array: Any, index: Any, value: Any) -> Any:
    """Adds to an element of an integer array in one indivisible operation; returns what was there."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = builder.gep(make_array(signature.args[0])(context, builder, args[0]).data, [args[1]])
        return builder.atomic_rmw("add", place, args[2], "seq_cst")

    return types.int64(array, types.int64, types.int64), generate


@intrinsic
def load(typing_context: Any, array: Any, index: Any) -> Any:
    """Reads an element of an integer array that other threads change."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = builder.gep(make_array(signature.args[0])(context, builder, args[0]).data, [args[1]])
        return builder.load_atomic(place, "seq_cst", 8)

    return types.int64(array, types.int64), generate
