"""Arrays, programs of transforms and kernels, and reductions on the CPU or a GPU.

This package is the only place that knows which device runs; nothing else imports cupy, pyfftw, llvmlite or numba.
"""

from .cache import cache_folder
from .layout import Layout, cells_of
from .memory import host_memory_available
from .operations import (
    Apply,
    Forward,
    Host,
    Inverse,
    Operation,
    Solve,
    Transform,
    kernels_of,
    leaned,
    traffic,
)
from .protocol import DTYPES, Backend, Compiled, Precision, Program, put_cells
from .ranks import World, together, world
from .rehearsal import Rehearsal
from .selection import MOST_THREADS, cpu_threads, gpu_wanted, select

__all__ = [
    "DTYPES",
    "MOST_THREADS",
    "Apply",
    "Backend",
    "Compiled",
    "Forward",
    "Host",
    "Inverse",
    "Layout",
    "Operation",
    "Precision",
    "Program",
    "Rehearsal",
    "Solve",
    "Transform",
    "World",
    "cache_folder",
    "cells_of",
    "cpu_threads",
    "gpu_wanted",
    "host_memory_available",
    "kernels_of",
    "leaned",
    "put_cells",
    "select",
    "together",
    "traffic",
    "world",
]
