"""Arrays, programs of transforms and kernels, and reductions on the CPU or a GPU."""

from .base import (
    DTYPES,
    Backend,
    Compiled,
    Forward,
    Inverse,
    Layout,
    Operation,
    Program,
    Run,
    cells_of,
    select,
    traffic,
)
from .cache import cache_folder

__all__ = [
    "DTYPES",
    "Backend",
    "Compiled",
    "Forward",
    "Inverse",
    "Layout",
    "Operation",
    "Program",
    "Run",
    "cache_folder",
    "cells_of",
    "select",
    "traffic",
]
