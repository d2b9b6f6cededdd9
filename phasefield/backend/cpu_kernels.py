"""Kernels compiled for the CPU."""

from __future__ import annotations

import ctypes
import functools
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..codegen import Kernel, embedded, loop_source, profiled, table_scalars, table_values
from . import compiler
from .layout import Layout
from .workers import address, native

#: An entry, to be called from Python.
_FILL = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)


def mirrored(kernel: Kernel, layout: Layout) -> bool:
    """Whether what contains exponentials is tabulated."""
    whole = layout.part is None or layout.cut == 2  # of the axes that have mirror images
    return kernel.space == "spectral" and not kernel.seldom and layout.mirrored and kernel.even and whole


def table_shape(kernel: Kernel, layout: Layout, values: int) -> tuple[int, int, int, int]:
    outer, rows, length = layout.extent(kernel.space)
    if kernel.space == "real":
        return values, 1, 1, max(outer, rows, length)
    return values, outer // 2 + 1, rows // 2 + 1, length


@dataclass(frozen=True)
class _Text:
    """A kernel by what it says: programs, and simulations of like models, have many in common, which are written once."""

    key: tuple[Any, ...]
    kernel: Kernel = field(compare=False)


@functools.lru_cache(maxsize=1024)
def _written(
    text: _Text, parts: int, dtype: str, table: bool, places: tuple[int, int, int], lean: str
) -> tuple[Kernel, str]:
    """The kernel in the axes of its buffers, and its source."""
    kernel = profiled(embedded(text.kernel, places, parts))
    return kernel, loop_source(kernel, parts, dtype, table, places, lean)


class LoopKernel:
    """A kernel compiled for one layout; compiled code is kept in the cache folder.

    Args:
        dtype: of numbers. lean: of those of lean arrays.
    """

    language = "py"

    def __init__(self, kernel: Kernel, layout: Layout, dtype: str, lean: str = "") -> None:
        self.kernel = kernel
        table = mirrored(kernel, layout)
        kernel, self.source = _written(_Text(kernel.key, kernel), layout.parts, dtype, table, layout.places, lean)
        entries = compiler.load(self.source, kernel.name)
        self.address = entries["entry"]
        self._extent = layout.extent(kernel.space)
        self.indices = self._extent[0]
        self._buffer = layout.lengths(kernel.space)
        self._axes = [layout.axis_array(name, dtype) for name in kernel.axis_arrays]
        # One partial per outermost index: the result is the same for any number of threads.
        self._partial = np.zeros((len(kernel.reductions), self.indices))
        # What every step needs is kept at hand: on small grids Python takes longer than the passes.
        self._reductions = list(kernel.reductions)
        ways = {"sum": native().SUM, "min": native().LEAST, "max": native().MOST}
        self._ways = np.array([ways[r.op] for r in kernel.reductions.values()], np.int64)
        self._found = np.zeros(len(kernel.reductions))
        self._names = list(kernel.scalars)
        self._scalars = np.zeros(max(1, len(kernel.scalars)))
        self._put = struct.Struct(f"{len(kernel.scalars)}d").pack_into
        self._given: list[float] | None = None
        self._filled: list[float] | None = None
        # Functions along an axis are so little work that they are not worth a phase, which would part passes that go together.
        tabulate, along = entries.get("tabulate"), kernel.space == "real"
        self._fill = _FILL(tabulate) if tabulate is not None and along else None
        self.tabulate = None if along else tabulate
        self._table = np.empty(table_shape(kernel, layout, table_values(kernel, table, layout.places)), dtype)
        self.table_indices = self._table.shape[1]
        filling = set(table_scalars(kernel)) if table or self._fill else set()
        self._filling = [place for place, name in enumerate(self._names) if name in filling]

    @property
    def scratch(self) -> tuple[np.ndarray, np.ndarray]:
        """Partial reductions and the table: what tiles leave for later."""
        return self._partial, self._table

    def keep(self, partial: np.ndarray, table: np.ndarray) -> None:
        """Leaves them in other arrays of the same shapes instead; before the first `context`."""
        self._partial, self._table = partial, table

    def context(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """What the entry finds at its last argument."""
        words = [*self._extent, *self._buffer]
        for array in arrays or [self._scalars] * len(self.kernel.arrays):  # a table is filled from no array
            words += [address(array), array.strides[0]]
        for axis in self._axes:
            words += [address(axis), len(axis)]
        words += [address(self._scalars), address(self._partial), address(self._table), self._table.strides[0]]
        return np.array(words, np.int64)

    def prepare(self, scalars: Mapping[str, float]) -> bool:
        """Puts the scalars where the entry finds them; whether the table has to be filled for them."""
        given = [scalars[name] for name in self._names]
        if given == self._given:
            return False
        self._put(self._scalars.data, 0, *given)
        self._given = given
        if self.tabulate is None and self._fill is None:
            return False
        # The step that noise is keyed by changes every time and leaves the table alone.
        filled = [given[place] for place in self._filling]
        stale, self._filled = filled != self._filled, filled
        if stale and self._fill is not None:
            self._fill(0, 1, address(self.context([])))
        return stale and self.tabulate is not None

    @property
    def partial(self) -> np.ndarray:
        """What every outermost index has left of the reductions, shape ``(reductions, indices)``."""
        return self._partial

    def reduce(self, partial: np.ndarray | None = None) -> Iterable[tuple[str, float]]:
        """The reductions, after all indices were visited; ``partial`` are those of all ranks."""
        native().combine(self._partial if partial is None else partial, self._ways, self._found)
        return zip(self._reductions, self._found.tolist(), strict=True)
