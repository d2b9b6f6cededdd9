"""Expressions of a model file as SymPy trees: a whitelist over Python's grammar, nothing is ever executed.

The text goes through ``ast.parse`` (which only builds a tree) and every node is rebuilt as a SymPy object by hand, so
a model file cannot run code. All symbols are real. ``abs``, ``min`` and ``max`` become ``Piecewise`` with one
comparison per branch, so that derivatives of any order stay ordinary expressions.
"""

from .calculus import differentiate, formula, written_out
from .functions import FUNCTIONS
from .names import RESERVED, Symbols, check_names, component_symbols
from .reader import parse
from .text import MAX_LENGTH, MAX_NODES
from .variation import variations

__all__ = [
    "FUNCTIONS",
    "MAX_LENGTH",
    "MAX_NODES",
    "RESERVED",
    "Symbols",
    "check_names",
    "component_symbols",
    "differentiate",
    "formula",
    "parse",
    "variations",
    "written_out",
]
