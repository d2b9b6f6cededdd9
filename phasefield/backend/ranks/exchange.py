"""How parts of a field go from slabs of cells to columns of modes and back: one message from every rank to every other."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..layout import Layout, Part

_Types = tuple[list[int], list[int]]


class AllToAll:
    """Exchange by ``MPI_Alltoallw`` between datatypes that say where in a part's memory a block lies: MPI copies, nobody packs
    (Dalcin, Mortensen and Keyes, J. Parallel Distrib. Comput. 128 (2019) 137).

    Args:
        comm: of all ranks. layout: of this rank's part. work: memory for a component's columns.
    """

    def __init__(self, comm: Any, layout: Layout, work: np.ndarray) -> None:
        from mpi4py import MPI

        assert layout.part is not None
        self._comm, self.work = comm, work
        own, count = layout.part, layout.part.ranks
        parts = [Layout(layout.grid, Part(rank, count)) for rank in range(count)]
        number = MPI._typedict[work.dtype.char]
        real, spectral = layout.lengths("real"), layout.lengths("spectral")

        def blocks(lengths: tuple[int, int, int], places: list[tuple[slice, slice, slice]]) -> list[Any]:
            made = []
            for place in places:
                sizes, starts = [s.stop - s.start for s in place], [s.start for s in place]
                made.append(number.Create_subarray(lengths, sizes, starts).Commit())
            return made

        # Of this part's slab what becomes another's modes, and of this part's modes what comes from another's slab.
        mine, columns = slice(0, layout.cells[0]), [p.region("spectral") for p in parts]
        self._rows = blocks(real, [(mine, c[1], c[2]) for c in columns])
        whole = [slice(0, n) for n in spectral]
        self._columns = blocks(spectral, [(p.region("real")[0], whole[1], whole[2]) for p in parts])
        self._once = [1] * count, [0] * count

        n0, row = layout.cells[0], math.prod(real[1:])
        periodic = layout.grid.axes[0].boundary == "periodic"
        up, down = own.rank + 1, own.rank - 1
        inside = range(count)
        self._up = up % count if periodic or up in inside else MPI.PROC_NULL
        self._down = down % count if periodic or down in inside else MPI.PROC_NULL
        self._first, self._last = slice(0, row), slice((n0 - 1) * row, n0 * row)
        self._above, self._below = slice(n0 * row, (n0 + 1) * row), slice((n0 + 1) * row, (n0 + 2) * row)

    def to_modes(self, component: np.ndarray, columns: np.ndarray | None = None) -> None:
        """``columns``: where they go, `work` unless told."""
        columns = self.work if columns is None else columns
        self._comm.Alltoallw((component, self._once, self._rows), (columns, self._once, self._columns))

    def to_cells(self, component: np.ndarray, columns: np.ndarray | None = None) -> None:
        columns = self.work if columns is None else columns
        self._comm.Alltoallw((columns, self._once, self._columns), (component, self._once, self._rows))

    def neighbours(self, component: np.ndarray) -> None:
        self._comm.Sendrecv(component[self._first], self._down, recvbuf=component[self._above], source=self._up)
        self._comm.Sendrecv(component[self._last], self._up, recvbuf=component[self._below], source=self._down)
