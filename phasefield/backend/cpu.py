"""The CPU: FFTW plans and numba-compiled loops over tiles that stay in cache, on threads of our own.

A transform over several axes is two passes over memory: one over the rows of each outermost index, one over the columns along
the outermost axis. A program puts what works on the same rows into one pass: rows go to cells, through the pointwise kernel
and back while they are in cache, so a step needs fewer passes than the two transforms it contains need by themselves.
FFTW's and numba's own threads are not used: waking them costs more than a pass over a small grid, and numba's spin on the cores
FFTW wants.
"""

from __future__ import annotations

import ast
import contextlib
import math
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyfftw

from ..codegen import Kernel, loop_source, table_values
from ..errors import DeviceError
from . import cache
from .base import DTYPES, Forward, Inverse, Layout, Operation, Precision, Run
from .fftw import ALIGNMENT, FORWARD, INVERSE, R2R_KINDS, Plan
from .memory import host_memory_available
from .workers import Job, address, native, workers

#: Jobs on fewer cells than this are not worth another thread's while.
_SERIAL_CELLS = 2048
#: Bytes of a tile of rows and of a tile of columns: what a second-level cache holds beside the rest.
_ROWS_BYTES, _COLUMNS_BYTES = 2**17, 2**19
#: A pass is cut into at least this many tiles where it can be, so that threads share it evenly.
_TILES = 16
#: Numbers in a page of memory, and how far into a page a component begins after the one before.
_PAGE, _SKEW = 1024, 48
#: Bindings of a program to arrays that are kept; steps rotate through two or three.
_BINDINGS = 8


class CpuBackend:
    """NumPy arrays, FFTW transforms, numba kernels.

    Args:
        precision: ``double`` or ``single``.
        threads: threads for transforms and kernels.
    """

    name = "cpu"
    readback_every = 1

    def __init__(self, precision: Precision = "double", threads: int = 1) -> None:
        self.precision: Precision = precision
        self.threads = threads
        self.description = f"{_cpu_name()}, {threads} thread{'s' if threads > 1 else ''}"
        self._plans: dict[tuple[Layout, int, int], Plans] = {}

    @property
    def dtype(self) -> str:
        return DTYPES[self.precision]

    def buffer(self, layout: Layout, components: int) -> np.ndarray:
        shape = layout.buffer_shape(components)
        size = math.prod(shape[1:])
        # Components a multiple of a page apart would compete for the same places in the cache.
        apart = size + (_SKEW - size % _PAGE) % _PAGE if components > 1 else size
        flat = _zeros(components * apart, np.dtype(self.dtype))
        return flat.reshape(components, apart)[:, :size].reshape(shape)

    def program(self, layout: Layout, operations: Sequence[Operation]) -> CpuProgram:
        return CpuProgram(self, layout, operations)

    def plans(self, layout: Layout, components: int, together: int = 1) -> Plans:
        """Transform plans for tiles of rows of ``components``, and of columns of ``together`` components."""
        key = layout, span_of(self, layout, components), together
        if key not in self._plans:
            self._plans[key] = Plans(self, *key)
        return self._plans[key]

    def to_host(self, buffer: np.ndarray) -> np.ndarray:
        return buffer.copy()

    def from_host(self, array: np.ndarray, buffer: np.ndarray) -> None:
        buffer[...] = array

    def copy(self, source: np.ndarray, target: np.ndarray) -> None:
        np.copyto(target, source)

    def synchronize(self) -> None:
        pass

    def lend(self, buffer: np.ndarray) -> np.ndarray:
        return buffer

    def snapshot(self, buffer: np.ndarray) -> Callable[[], np.ndarray]:
        host = buffer.copy()
        return lambda: host

    def transform_memory(self, largest: int, periodic: bool) -> int:
        return 0

    def table_memory(self, layout: Layout, operations: Sequence[Operation]) -> int:
        kernels = [o.kernel for o in operations if isinstance(o, Run)]
        return sum(math.prod(_table_shape(k, layout, table_values(k))) for k in kernels if _mirrored(k, layout)) * (
            np.dtype(self.dtype).itemsize
        )

    def memory_available(self) -> int:
        return host_memory_available()


def _zeros(count: int, dtype: np.dtype[Any]) -> np.ndarray:
    """Zeros that begin where a cache line does and take memory only when they are touched.

    Raises:
        DeviceError: the system gives no more memory.
    """
    line = 64
    try:
        raw = np.zeros(count * dtype.itemsize + line, np.uint8)
    except MemoryError as error:
        raise DeviceError(
            f"grid.shape: the system gives no more memory ({count * dtype.itemsize / 2**30:.3g} GiB were asked for)\n"
            "  Use fewer cells, precision=single, or a scheme with fewer stages; or raise the limit (ulimit -v)."
        ) from error
    start = -raw.ctypes.data % line
    return raw[start : start + count * dtype.itemsize].view(dtype)


def _mirrored(kernel: Kernel, layout: Layout) -> bool:
    """Whether what contains exponentials is tabulated."""
    return kernel.space == "spectral" and layout.mirrored


def _table_shape(kernel: Kernel, layout: Layout, values: int) -> tuple[int, int, int, int]:
    outer, rows, length = layout.extent(kernel.space)
    return values, outer // 2 + 1, rows // 2 + 1, length


class LoopKernel:
    """A kernel compiled by numba for one layout; compiled code is kept in the cache folder."""

    language = "py"

    def __init__(self, kernel: Kernel, layout: Layout, dtype: str) -> None:
        self.kernel = kernel
        self.source = loop_source(kernel, layout.parts, dtype, _mirrored(kernel, layout))
        module = cache.load(self.source, kernel.name)
        self.address: int = module.entry.address
        self._extent = layout.extent(kernel.space)
        self.indices = self._extent[0]
        self._buffer = layout.buffer_shape(1)[1:]
        self._axes = [layout.axis_array(name, dtype) for name in kernel.axis_arrays]
        # One partial per outermost index: the result is the same for any number of threads.
        self._partial = np.zeros((len(kernel.reductions), self.indices))
        self._sums = all(r.op == "sum" for r in kernel.reductions.values())
        self._scalars = np.zeros(max(1, len(kernel.scalars)))
        self.tabulate: int | None = module.tabulate.address if hasattr(module, "tabulate") else None
        self._table = np.empty(_table_shape(kernel, layout, module.TABULATED if self.tabulate else 0), dtype)
        self.table_indices = self._table.shape[1]
        self._tabulated: list[float] | None = None

    def context(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """What the entry finds at its last argument."""
        words = [*self._extent, *self._buffer]
        for array in arrays:
            words += [address(array), array.strides[0]]
        for axis in self._axes:
            words += [address(axis), len(axis)]
        words += [address(self._scalars), address(self._partial), address(self._table), self._table.strides[0]]
        return np.array(words, np.int64)

    def prepare(self, scalars: Mapping[str, float]) -> bool:
        """Puts the scalars where the entry finds them; whether the table has to be filled for them."""
        values = [scalars[name] for name in self.kernel.scalars]
        if values:
            self._scalars[:] = values
        if self.tabulate is None or values == self._tabulated:
            return False
        self._tabulated = values
        return True

    def reduce(self) -> dict[str, float]:
        """The reductions, after all indices were visited."""
        reductions = self.kernel.reductions
        if self._sums:
            return dict(zip(reductions, self._partial.sum(axis=1).tolist(), strict=True))
        combine: dict[str, Any] = {"sum": np.sum, "min": np.min, "max": np.max}
        rows = zip(reductions.items(), self._partial, strict=True)
        return {name: float(combine[r.op](row)) for (name, r), row in rows}


@dataclass(frozen=True)
class _Piece:
    """A part of an operation that runs tile by tile.

    Attributes:
        row: native operation, with places of ``arrays`` and contexts still to be filled in.
        tiles: how many.
        span: outermost indices per tile, if a tile touches only its own.
        array, kernel, names: what fills the row. table: whether this fills the kernel's table.
    """

    row: list[int]
    tiles: int
    span: int = 0
    array: str = ""
    kernel: LoopKernel | None = None
    names: tuple[str, ...] = ()
    table: bool = False


class CpuProgram:
    """Operations in as few passes as they allow."""

    def __init__(self, backend: CpuBackend, layout: Layout, operations: Sequence[Operation]) -> None:
        self._native = native()
        self._workers = workers(backend.threads if layout.grid.cells > _SERIAL_CELLS else 1)
        self._names: tuple[str, ...] = tuple(dict.fromkeys(name for o in operations for name in _arrays(o)))
        components = max([1, *(o.components for o in operations if not isinstance(o, Run))])
        components = max([components, *(n for o in operations if isinstance(o, Run) for n in o.kernel.arrays.values())])
        span = span_of(backend, layout, components)
        self._plans = backend.plans(layout, components) if any(not isinstance(o, Run) for o in operations) else None
        phases: list[list[_Piece]] = []
        tables: dict[int, tuple[int, int]] = {}
        last = 0
        for operation in operations:
            for piece in self._split(operation, layout, backend.dtype, span):
                if piece.span and piece.span == last:
                    phases[-1].append(piece)
                else:
                    phases.append([piece])
                if piece.table:
                    tables[id(piece.kernel)] = len(phases) - 1, piece.tiles
                last = piece.span
        # A table is filled in a phase of its own, which has no tiles while the table is valid.
        self._tables = tables
        self._phases = phases
        self.kernels = [p.kernel for pieces in phases for p in pieces if p.kernel is not None and not p.table]
        self._reducing = [k for k in self.kernels if k.kernel.reductions]
        self._jobs: dict[tuple[int, ...], Job] = {}

    def _split(self, operation: Operation, layout: Layout, dtype: str, span: int) -> list[_Piece]:
        if isinstance(operation, Run):
            kernel = LoopKernel(operation.kernel, layout, dtype)
            names = tuple(operation.name(a) for a in operation.kernel.arrays)
            # Neighbours and mirror images lie outside of a tile.
            local = operation.kernel.space == "real" and not operation.kernel.gradients
            pieces = []
            if kernel.tabulate is not None:
                row, tiles = self._loop(kernel.tabulate, kernel.table_indices, max(1, kernel.table_indices // _TILES))
                pieces.append(_Piece(row, tiles, kernel=kernel, names=names, table=True))
            row, tiles = self._loop(kernel.address, kernel.indices, span if local else max(1, kernel.indices // _TILES))
            return [*pieces, _Piece(row, tiles, span if local else 0, kernel=kernel, names=names)]
        assert self._plans is not None
        forward = isinstance(operation, Forward)
        rows, columns = self._plans.pieces(operation, self._native.TRANSFORM)
        return [p for p in ((rows, columns) if forward else (columns, rows)) if p is not None]

    def _loop(self, entry: int, indices: int, each: int) -> tuple[list[int], int]:
        return [self._native.KERNEL, entry, 0, each, indices, 0, 0, 0, 0], -(-indices // each)

    def __call__(self, arrays: Mapping[str, Any], scalars: Mapping[str, float] | None = None) -> dict[str, float]:
        given = [arrays[name] for name in self._names]
        key = tuple([id(array) for array in given])
        job = self._jobs.get(key) or self._bind(key, given)
        for kernel in self.kernels:
            stale = kernel.prepare(scalars or {})
            if kernel.tabulate is not None:
                phase, tiles = self._tables[id(kernel)]
                job.tiles[phase] = tiles if stale else 0
        job()
        if not self._reducing:
            return {}
        return {name: value for kernel in self._reducing for name, value in kernel.reduce().items()}

    def _bind(self, key: tuple[int, ...], given: list[np.ndarray]) -> Job:
        arrays = dict(zip(self._names, given, strict=True))
        contexts: list[np.ndarray] = []

        def bound(piece: _Piece) -> list[int]:
            row = list(piece.row)
            if piece.kernel is not None:
                contexts.append(piece.kernel.context([arrays[name] for name in piece.names]))
                row[2] = address(contexts[-1])
            else:
                row[4], row[7] = address(arrays[piece.array]), arrays[piece.array].strides[0]
            return row

        phases = [([bound(piece) for piece in pieces], pieces[0].tiles) for pieces in self._phases]
        if len(self._jobs) >= _BINDINGS:
            del self._jobs[next(iter(self._jobs))]
        # The job keeps the arrays, so that no other gets one of these ids.
        self._jobs[key] = job = Job(self._workers, phases, (contexts, given))
        return job


def _arrays(operation: Operation) -> list[str]:
    if isinstance(operation, Run):
        return [operation.name(a) for a in operation.kernel.arrays]
    return [operation.array]


def span_of(backend: CpuBackend, layout: Layout, components: int) -> int:
    """Outermost indices per tile of rows."""
    n0, n1, row = layout.buffer_shape(1)[1:]
    each = n1 * row * np.dtype(backend.dtype).itemsize
    span = max(1, min(_ROWS_BYTES // (each * components), n0 // _TILES))
    # Tiles begin where FFTW's vector instructions want them to.
    step = next(s for s in (1, 2, 4) if s * each % ALIGNMENT == 0)
    return min(n0, -(-span // step) * step)


def _width(columns: int, most: int) -> int:
    """Columns per tile: few enough for the cache and for threads to share, a multiple of four, the last tile hardly smaller."""
    most = max(4, min(most, columns // _TILES)) // 4 * 4
    widths = range(max(4, most // 2 // 4 * 4), most + 1, 4)
    return min(columns, max(widths, key=lambda w: (-(-columns // w) * w - columns <= w // 2, w)))


class Plans:
    """FFTW plans for tiles of one component: rows (all axes but the outermost of two or three) and columns (the outermost).

    Args:
        span: outermost indices in a tile of rows. together: components whose columns are in the cache at the same time.

    Attributes:
        columns, width: how many, in all and in a tile.
    """

    def __init__(self, backend: CpuBackend, layout: Layout, span: int, together: int = 1) -> None:
        self._layout, self._dtype = layout, np.dtype(backend.dtype)
        n0, n1, row = layout.buffer_shape(1)[1:]
        self._size = self._dtype.itemsize
        self._span, self._n0 = span, n0
        self._rest = n0 - (-(-n0 // span) - 1) * span
        self.columns = n1 * row // layout.parts
        mode = layout.parts * self._size
        self.width = _width(self.columns, _COLUMNS_BYTES // (n0 * mode * together))
        self._narrow = self.columns - (-(-self.columns // self.width) - 1) * self.width
        offsets = (span * n1 * row * self._size, self.width * mode, n0 * n1 * row * self._size)
        self._aligned = all(offset % ALIGNMENT == 0 for offset in offsets)
        self._work = backend.buffer(layout, 1)
        self._outer = layout.grid.axes[0] if layout.grid.dim > 1 else None
        key = "-".join(
            (
                *(f"{a.basis}{a.n}" for a in layout.grid.axes),
                f"{span}x{self.width}",
                backend.dtype,
                cache.digest(f"{_cpu_name()} {pyfftw.fftw_version} {platform.machine()}")[:8],
            )
        )
        self._plans = _plan_once(key, self._make)
        del self._work

    def _make(self) -> dict[tuple[str, bool, bool], Plan]:
        """Plans by part (rows or columns), direction (forward or not) and whether for the last tile."""
        plans = {}
        for forward in (True, False):
            for last in (False, True):
                plans["rows", forward, last] = self._row_plan(forward, self._rest if last else self._span)
                if self._outer is not None:
                    plans["columns", forward, last] = self._column_plan(forward, self._narrow if last else self.width)
        return plans

    def _row_plan(self, forward: bool, count: int) -> Plan:
        layout = self._layout
        n1, row = layout.buffer_shape(1)[2:]
        inner = layout.grid.axes[1:] if self._outer is not None else layout.grid.axes
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
        assert self._outer is not None
        dimensions, repeats = [(self._outer.n, self.columns, self.columns)], [(count, 1, 1)]
        if self._layout.parts == 2:
            return self._plan("c2c", dimensions, repeats, direction=FORWARD if forward else INVERSE)
        return self._plan("r2r", dimensions, repeats, kinds=[R2R_KINDS[self._outer.basis][0 if forward else 1]])

    def _plan(self, kind: str, dimensions: Sequence[Any], repeats: Sequence[Any], **options: Any) -> Plan:
        return Plan(kind, self._dtype, dimensions, repeats, self._work, aligned=self._aligned, **options)

    def pieces(self, operation: Forward | Inverse, kind: int) -> tuple[_Piece, _Piece | None]:
        """A transform's tiles of rows and of columns."""
        forward, count = isinstance(operation, Forward), operation.components
        row, tiles = self.operation("rows", forward, kind, count)
        rows = _Piece(row, tiles, self._span, array=operation.array)
        if self._outer is None:
            return rows, None
        row, tiles = self.operation("columns", forward, kind, 1)
        return rows, _Piece(row, tiles * count, array=operation.array)

    def operation(self, part: str, forward: bool, kind: int, together: int) -> tuple[list[int], int]:
        """The native operation on ``rows`` or ``columns`` without its array, and its tiles per ``together`` components."""
        n1, row = self._layout.buffer_shape(1)[2:]
        if part == "rows":
            tiles, step = -(-self._n0 // self._span), self._span * n1 * row * self._size
        else:
            tiles, step = -(-self.columns // self.width), self.width * self._layout.parts * self._size
        plan, last = self._plans[part, forward, False], self._plans[part, forward, True]
        return [kind, plan.execute, plan.address, last.address, 0, step, tiles, 0, together], tiles


def _plan_once(key: str, plan: Callable[[], Any]) -> Any:
    """Plans with the wisdom kept for this very problem, so that every process that shares a cache runs the same plan.

    Measured plans differ from process to process and with them the last bits of the result; the first process to finish
    planning publishes its wisdom and all others, also those that were planning meanwhile, adopt it.
    """
    path = cache.cache_folder() / "fftw" / f"{key}.wisdom"
    before = pyfftw.export_wisdom()
    try:
        pyfftw.forget_wisdom()
        if not _import_wisdom(path):
            plans = plan()
            mine = repr(pyfftw.export_wisdom()).encode()
            try:
                _drop_damaged(path)
                cache.publish(path.parent, path.name, mine)
                if path.read_bytes() == mine:
                    return plans
            except OSError as error:
                cache.tell("unusable", error.strerror or error)
                return plans
            pyfftw.forget_wisdom()
            _import_wisdom(path)
        return plan()
    finally:
        pyfftw.import_wisdom(before)


def _import_wisdom(path: Any) -> bool:
    try:
        wisdom = ast.literal_eval(path.read_text())
        return all(pyfftw.import_wisdom(wisdom)[:2])
    except (OSError, ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return False


def _drop_damaged(path: Any) -> None:
    """Removes wisdom that FFTW does not take, for else it would be planned for anew each time, and differently."""
    if path.is_file() and not _import_wisdom(path):
        cache.tell("damaged", path.name)
        path.unlink()


def _cpu_name() -> str:
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as info:
        for line in info:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
