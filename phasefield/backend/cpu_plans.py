"""FFTW plans for tiles of a field: rows (all axes but the outermost of two or three) and columns (the outermost).

A transform over several axes is a pass over the rows of each outermost index and one over the columns along the outermost axis.
"""

from __future__ import annotations

import ast
import contextlib
import math
import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyfftw

from ..errors import DeviceError
from . import cache
from .fftw import ALIGNMENT, FORWARD, INVERSE, PLANNING, R2R_KINDS, Dimension, Plan, known_plans_only
from .layout import Layout

#: Bytes of a tile of rows and of a tile of columns: what a second-level cache holds beside the rest.
ROWS_BYTES, _COLUMNS_BYTES = 2**17, 2**19
#: A pass is cut into at least this many tiles where it can be, so that threads share it evenly.
TILES = 16
#: By part (rows or columns), direction (forward or not) and whether for the last tile.
_Plans = dict[tuple[str, bool, bool], Plan]


def span_of(layout: Layout, components: int, dtype: str) -> int:
    """Outermost indices per tile of rows."""
    n0, (_, n1, row) = layout.cells[0], layout.lengths("real")
    each = n1 * row * np.dtype(dtype).itemsize
    span = max(1, min(ROWS_BYTES // (each * components), n0 // TILES))
    # Tiles begin where FFTW's vector instructions want them to.
    step = next(s for s in (1, 2, 4) if s * each % ALIGNMENT == 0)
    return min(n0, -(-span // step) * step)


def _width(columns: int, most: int, tiles: int) -> int:
    """Columns per tile: few enough for the cache and for threads to share, a multiple of four, the last tile hardly smaller."""
    most = max(4, min(most, columns // tiles)) // 4 * 4
    widths = range(max(4, most // 2 // 4 * 4), most + 1, 4)
    return min(columns, max(widths, key=lambda w: (-(-columns // w) * w - columns <= w // 2, w)))


class Plans:
    """FFTW plans for tiles of one component: rows (all axes but the outermost of two or three) and columns (the outermost).

    Args:
        dtype: of the real numbers. work: a buffer of one component, overwritten while planning and not kept.
        span: outermost indices in a tile of rows. together: components whose columns are in the cache at the same time.

    Attributes:
        span: as given. columns, width: how many, in all and in a tile.
        spans: by part, outermost indices per tile, or less than 0: columns per tile.
    """

    def __init__(
        self,
        dtype: str,
        work: np.ndarray,
        layout: Layout,
        span: int,
        together: int = 1,
    ) -> None:
        self._layout, self._dtype = layout, np.dtype(dtype)
        n0, (_, n1, row) = layout.cells[0], layout.lengths("real")
        self._size = self._dtype.itemsize
        self.span, self._n0 = span, n0
        self._rest = n0 - (-(-n0 // span) - 1) * span
        length, *lines = layout.lengths("spectral")
        self._apart = math.prod(lines) // layout.parts
        lines = [layout.modes[1], lines[1]] if layout.modes[1] > 1 else [layout.parts * layout.modes[2]]
        self.columns = math.prod(lines) // layout.parts
        mode = layout.parts * self._size
        # Of several ranks each has fewer columns, and as a rule fewer threads.
        tiles = TILES if layout.part is None else max(4, TILES // layout.part.ranks)
        self.width = _width(self.columns, _COLUMNS_BYTES // (length * mode * together), tiles)
        self._narrow = self.columns - (-(-self.columns // self.width) - 1) * self.width
        offsets = (span * n1 * row * self._size, self.width * mode, n0 * n1 * row * self._size)
        self._aligned = all(offset % ALIGNMENT == 0 for offset in offsets)
        self._work = work
        self.outer = layout.grid.axes[0] if layout.grid.dim > 1 else None
        key = "-".join(
            (
                *(f"{a.basis}{a.n}" for a in layout.grid.axes),
                f"{span}x{self.width}",
                *self._share(),
                dtype,
                cache.digest(f"{cpu_name()} {pyfftw.fftw_version} {platform.machine()}")[:8],
            )
        )
        self._plans = plan_once(key, self._make)
        del self._work

    @property
    def spans(self) -> dict[str, int]:
        return {"rows": self.span, "columns": -self.width}

    def _share(self) -> list[str]:
        """What tells a part's plans from others'."""
        return [] if self._layout.part is None else [f"{self._n0}by{self.columns}of{self._apart}"]

    def _make(self) -> _Plans:
        plans: _Plans = {}
        for forward in (True, False):
            for last in (False, True):
                plans["rows", forward, last] = self._row_plan(forward, self._rest if last else self.span)
                if self.outer is not None:
                    plans["columns", forward, last] = self._column_plan(forward, self._narrow if last else self.width)
        return plans

    def _row_plan(self, forward: bool, count: int) -> Plan:
        layout = self._layout
        n1, row = layout.lengths("real")[1:]
        inner = layout.grid.axes[1:] if self.outer is not None else layout.grid.axes
        strides = [row, 1][2 - len(inner) :]
        if layout.parts == 1:
            dimensions = [(a.n, s, s) for a, s in zip(inner, strides, strict=True)]
            kinds = [R2R_KINDS[a.basis][0 if forward else 1] for a in inner]
            return self._plan("r2r", dimensions, [(count, n1 * row, n1 * row)], kinds=kinds)
        # Distances count reals among cells and complex numbers among modes.
        pairs = [(row, row // 2), (1, 1)][2 - len(inner) :]
        ends = [pair if forward else pair[::-1] for pair in [*pairs, (n1 * row, n1 * row // 2)]]
        dimensions = [(a.n, *end) for a, end in zip(inner, ends[:-1], strict=True)]
        return self._plan("r2c" if forward else "c2r", dimensions, [(count, *ends[-1])])

    def _column_plan(self, forward: bool, count: int) -> Plan:
        assert self.outer is not None
        dimensions, repeats = [(self.outer.n, self._apart, self._apart)], [(count, 1, 1)]
        if self._layout.parts == 2:
            return self._plan("c2c", dimensions, repeats, direction=FORWARD if forward else INVERSE)
        kinds = [R2R_KINDS[self.outer.basis][0 if forward else 1]]
        return self._plan("r2r", dimensions, repeats, kinds=kinds)

    def _plan(self, kind: str, dimensions: Sequence[Dimension], repeats: Sequence[Dimension], **options: Any) -> Plan:
        return Plan(kind, self._dtype, dimensions, repeats, aligned=self._aligned, **{"work": self._work, **options})

    def operation(self, part: str, forward: bool, kind: int, together: int) -> tuple[list[int], int]:
        """The native operation on ``rows`` or ``columns`` without its array, and its tiles per ``together`` components."""
        n1, row = self._layout.lengths("real")[1:]
        if part == "rows":
            tiles, step = -(-self._n0 // self.span), self.span * n1 * row * self._size
        else:
            tiles, step = -(-self.columns // self.width), self.width * self._layout.parts * self._size
        plan, last = self._plans[part, forward, False], self._plans[part, forward, True]
        return [kind, plan.execute, plan.address, last.address, 0, step, tiles, 0, together, 0], tiles


def plan_once(key: str, plan: Callable[[], _Plans]) -> _Plans:
    """Plans with the wisdom kept for this very problem, so that every process that shares a cache runs the same plan.

    Measured plans differ from process to process and with them the last bits of the result; the first process to finish
    planning publishes its wisdom and all others, also those that were planning meanwhile, adopt it. It is on the disk before any
    result counts on it, so that a run goes on with it after a power cut.
    """
    with PLANNING:
        return _planned(cache.cache_folder() / "fftw" / f"{key}.wisdom", plan)


def _planned(path: Path, plan: Callable[[], _Plans]) -> _Plans:
    before = pyfftw.export_wisdom()
    try:
        if (found := _known(path, plan)) is not None:
            return found
        useless = _bytes(path)
        pyfftw.forget_wisdom()
        plans = plan()
        mine = repr(pyfftw.export_wisdom()).encode()
        try:
            _drop(path, useless)
            cache.publish(path.parent, path.name, mine, lasting=True)
            if path.read_bytes() == mine:
                return plans
        except OSError as error:
            cache.tell("unusable", error.strerror or error)
            return plans
        # Another's; where FFTW had no time to measure all, it takes it up from there.
        return _known(path, plan) or plan()
    finally:
        pyfftw.import_wisdom(before)


def _known(path: Path, plan: Callable[[], _Plans]) -> _Plans | None:
    """Plans from a file's wisdom, which is at hand then and nothing else; None if it is none, or not that of these plans."""
    pyfftw.forget_wisdom()
    if not _import_wisdom(path):
        return None
    try:
        with known_plans_only():
            return plan()
    except DeviceError:
        return None


def _import_wisdom(path: Path) -> bool:
    try:
        wisdom = ast.literal_eval(path.read_text())
        return all(pyfftw.import_wisdom(wisdom)[:2])
    except (OSError, ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return False


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _drop(path: Path, useless: bytes | None) -> None:
    """Removes a file that still has the content that was of no use, for else it would be planned for anew each time, and
    differently.
    """
    if useless is not None and _bytes(path) == useless:
        cache.tell("damaged", path.name)
        path.unlink()


def cpu_name() -> str:
    """What the system calls the processor."""
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as info:
        for line in info:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
