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
    put_cells,
    select,
    traffic,
)
from .cache import cache_folder
from .memory import Rehearsal, host_memory_available

__all__ = [
    "DTYPES",
    "Backend",
    "Compiled",
    "Forward",
    "Inverse",
    "Layout",
    "Operation",
    "Program",
    "Rehearsal",
    "Run",
    "cache_folder",
    "cells_of",
    "host_memory_available",
    "put_cells",
    "select",
    "traffic",
]
