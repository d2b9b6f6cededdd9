"""A compiler for loops over arrays: from a small part of Python straight to LLVM.

numba, whose frontend understands most of Python, spends nine tenths of its time on finding out what is known here: all types are
those of numbers and of arrays without gaps, and nothing is left to Python. What the language is stands in `translation`;
`instructions` writes LLVM's text, `machine` makes code of it for this processor and keeps that in the cache folder.
"""

from __future__ import annotations

from .instructions import LoopError
from .machine import load

__all__ = ["LoopError", "load"]
