"""Ranks of one machine as threads of one process: arrays lie in memory that all share, whole, and tiles are anybody's.

What is computed and in which order is what one process computes, to the bit, for any number of ranks.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..cpu import CpuBackend
from ..cpu_programs import CpuProgram
from ..layout import Layout
from ..protocol import Precision
from ..workers import Workers
from .memory import array
from .world import World

#: Phases of the longest job there is room for: some ten for each array component that is transformed.
_PHASES = 4096


class SharedCrew(Workers):
    """The threads of all ranks, with their jobs in step: all run the same ones in the same order.

    Rank 0 opens and closes a job; another that comes when it is over, for who is there does the tiles of who is not, leaves it.

    Args:
        threads: of every rank.

    Raises:
        MemoryError: the ranks cannot share memory.
    """

    def __init__(self, world: World, threads: int) -> None:
        super().__init__(threads, world.rank * threads, world.size * threads)
        integers = np.dtype(np.int64)
        self._leads = world.rank == 0
        line = self._native.LINE
        self._gate = array(world, (2 * line,), integers)
        self._room = array(world, (line * _PHASES * (self._of + 1),), integers)
        self._number = 0

    def counters(self, phases: int) -> np.ndarray:
        return self._room[: self._native.LINE * phases * (self._of + 1)]

    def run(self, job: np.ndarray, phases: np.ndarray, operations: np.ndarray, counters: np.ndarray) -> None:
        native = self._native
        self._number += 1
        if self._leads:
            native.open_run(self._gate, self._number, counters, self._pause)
            self._do(job, phases, operations, counters)
            native.close_run(self._gate, self._pause)
        elif native.enter_run(self._gate, self._number, self._pause):
            self._do(job, phases, operations, counters)
            native.leave_run(self._gate)

    def _do(self, job: np.ndarray, phases: np.ndarray, operations: np.ndarray, counters: np.ndarray) -> None:
        if self._calls:
            self._share(job, phases, operations, counters, True)
        else:
            self._native.participate(phases, operations, counters, self._offset, self._of, self._pause)


class SharedCpu(CpuBackend):
    """The CPU of a rank whose arrays are those of all.

    Raises:
        MemoryError: they cannot be.
    """

    def __init__(self, world: World, precision: Precision, threads: int) -> None:
        super().__init__(precision, threads)
        self._world = world
        self._crew = SharedCrew(world, threads)

    def own(self, layout: Layout) -> Layout:
        """What this rank has of a layout of the whole."""
        return layout

    def crew(self, layout: Layout) -> Workers:
        return self._crew

    def zeros(self, count: int, dtype: np.dtype[Any]) -> np.ndarray:
        return array(self._world, (count,), dtype)

    def settle(self, program: CpuProgram) -> None:
        """Lets what tiles leave for later lie where all ranks find it. Raises MemoryError."""
        for kernel in program.kernels:
            partial, table = kernel.scratch
            kernel.keep(*(array(self._world, a.shape, a.dtype) for a in (partial, table)))
