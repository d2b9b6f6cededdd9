"""The functions and comparisons that an expression may use, on floats and on trees."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable
from typing import Any

import sympy

# name -> (the function on floats, which decides whether a constant argument is in the domain; the function on trees)
ELEMENTARY: dict[str, tuple[Callable[[float], float], Any]] = {
    "exp": (math.exp, sympy.exp),
    "log": (math.log, sympy.log),
    "sqrt": (math.sqrt, sympy.sqrt),
    "sin": (math.sin, sympy.sin),
    "cos": (math.cos, sympy.cos),
    "tanh": (math.tanh, sympy.tanh),
}
FUNCTIONS = (*ELEMENTARY, "abs", "min", "max", "piecewise", "sum")

COMPARISONS: dict[type[ast.cmpop], tuple[Callable[[float, float], bool], Any]] = {
    ast.Lt: (operator.lt, sympy.Lt),
    ast.LtE: (operator.le, sympy.Le),
    ast.Gt: (operator.gt, sympy.Gt),
    ast.GtE: (operator.ge, sympy.Ge),
}
