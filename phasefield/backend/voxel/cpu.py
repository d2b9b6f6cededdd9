"""The operators on voxels on the CPU: loops of ``loops.py`` and FFTW on tiles, on the threads of `workers`."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyfftw

from ...grid import Grid
from .. import compiler
from ..cpu import CpuBackend
from ..fftw import PLANNING
from ..layout import Layout
from ..protocol import Precision
from ..selection import cpu_threads
from ..workers import Job, address, native, workers
from .calls import Call, Context
from .element import ISOTROPIC, loop_functions, paired_functions
from .grid import VoxelGrid
from .moments_text import tile_functions
from .nodes import centre_gradient
from .paired import paired_green
from .surface import SurfaceSolver
from .symbols import symbols, wall_symbols
from .tensor_field import HostTensorField

#: Nodes, of all loads, below which another thread is not worth its while.
_SERIAL = 4096
#: Voxels of a row treated at once (its modes stay in the first-level cache) and the distance between rows of scratch space,
#: which holds one entry more than voxels and keeps rows from competing for the same cache lines.
_BLOCK, _ROW = 128, 664
#: Tiles per thread: few, for every tile of `apply` does one layer twice, but some for one thread to help another.
_SHARES = 2
#: Bytes of loads above which transforms in pairs are worth it: more than loads that lie in the cache together.
_PAIRED = 1 << 18
#: Calls that are kept ready, and 64-bit integers of a context.
_CALLS, _WORDS = 64, 20
#: Seconds that the plan of a transform with walls may take to find.
_PLANNING_SECONDS = 2.0
#: Files whose text comes before that of a file.
_PARTS = {"moments_loops.py": ("moments_strains.py", "moments_gather.py")}
#: Per file where functions are put that `element` writes, and who writes them.
_WRITTEN: dict[str, tuple[str, Callable[[int], str]]] = {
    "loops.py": ("# -- stiffness", functools.partial(loop_functions, row=_ROW)),
    "paired_loops.py": ("# -- Green operator", paired_functions),
    "moments_loops.py": ("# -- pairs of loads", tile_functions),
}


@functools.cache
def loops(file: str, components: int, full: bool, dtype: str) -> Any:
    """Addresses of the compiled loops of a file of this folder for one kind of problem, by name."""
    head = f"COMPONENTS, FULL = {components}, {full}\n"
    head += (
        f"BYTES, BLOCK, ROW, ISOTROPIC = {np.dtype(dtype).itemsize}, {_BLOCK}, {_ROW}, {len(ISOTROPIC[components])}\n"
    )
    name = f"voxel_{file.removesuffix('.py')}"
    texts = [Path(__file__).with_name(each).read_text() for each in (*_PARTS.get(file, ()), file)]
    text = "".join(each.partition("from __future__ import annotations\n")[2] for each in texts)
    if file in _WRITTEN:
        mark, write = _WRITTEN[file]
        text = text.replace(mark, f"{write(components)}\n\n{mark}")
    return SimpleNamespace(**compiler.load(f"REAL = {dtype}\n{head}{text}", name))


class RowTensorField(HostTensorField):
    """A field of tensors with its anisotropic voxels row by row, which the loops do after the isotropic ones."""

    def __init__(
        self, index: np.ndarray, packed: np.ndarray, dtype: str = "float64", cut: np.ndarray | None = None
    ) -> None:
        super().__init__(index, packed, dtype, cut)
        self.iso = np.ascontiguousarray(self.constants, dtype=dtype)
        rows = index.shape[0] * index.shape[1]
        self.rows, self.where = np.zeros(rows + 1, np.int64), np.zeros(0, np.int32)
        if not self.isotropic.all():
            flat = np.flatnonzero(~self.isotropic[index.ravel()])
            self.where = (flat % index.shape[2]).astype(np.int32)
            np.cumsum(np.bincount(flat // index.shape[2], minlength=rows), out=self.rows[1:])

    @property
    def nbytes(self) -> int:
        return super().nbytes + self.iso.nbytes + self.rows.nbytes + self.where.nbytes


class CpuVoxelOperators:
    """The operators of one voxel grid, for one (scalar) or three (elastic) components, on several loads at once.

    Fields are (loads, components, n0, n1, n2). Operators return one number, or one row of sums, per load.

    Args:
        grid: of what. threads: number of threads; None takes the default of `cpu_threads`.
    """

    #: Bytes of fields that loads solved for together may have: beyond, what leaving the cache costs is more than is saved.
    batch_bytes = 1 << 20
    #: The same for loads whose transforms go in pairs, which saves more (see `paired`).
    tensor_bytes = 1 << 25
    #: `surface` is there.
    has_surface = True

    def __init__(self, grid: VoxelGrid, threads: int | None = None) -> None:
        self.shape, self.components, self.full = shape, _, full = grid.shape, grid.components, grid.full
        self.dtype = np.dtype(grid.dtype)
        self.voxels = int(np.prod(shape))
        self.threads = cpu_threads(threads)
        self.rows = shape[0]  #: planes of nodes that loops run over
        # Derivatives in voxel coordinates -1..1; energies are means over the voxels, so volumes drop out.
        self.g = np.array([2.0 / h for h in grid.spacing], self.dtype)
        self.symbols = np.ascontiguousarray(np.stack(symbols(shape, self.g, full)), self.dtype)
        self.weight = np.full(shape[2] // 2 + 1, 2.0, self.dtype)
        self.weight[0] = 1.0
        if shape[2] % 2 == 0:
            self.weight[-1] = 1.0
        self._loops = self.loops("loops.py")
        self._calls: dict[tuple[Any, ...], Call] = {}
        self._paired = np.zeros(0, self.dtype)

    # -- calls -----------------------------------------------------------------------------------------------------

    def loops(self, file: str) -> Any:
        """The compiled loops of a file of this folder."""
        return loops(file, self.components, self.full, self.dtype.name)

    def call(
        self,
        entry: int,
        arrays: Sequence[np.ndarray | None],
        integers: Sequence[int] = (),
        loads: int = 1,
        scalars: int = 0,
        sums: int = 0,
        n: int | None = None,
    ) -> Call:
        """A loop of ``loops.py`` or ``surface_loops.py`` over ``n`` indices, `rows` unless told; arrays are contiguous."""
        room = self.shape[0] if n is None else n
        n = self.rows if n is None else n
        crew = self.crew(loads)
        each = max(1, -(-n // (_SHARES * crew.threads if crew.threads > 1 else 1)))
        context = self.context(arrays, integers, loads, scalars, (loads, sums, room))
        row = [native().KERNEL, entry, address(context.words), each, n, 0, 0, 0, 0]
        return Call(Job(crew, [([row], -(-n // each))], (entry, arrays, context)), context.scalars, context.partial)

    def kept(self, entry: int, arrays: Sequence[np.ndarray | None], *arguments: Any, **options: Any) -> Call:
        """The same, made once for the same arrays."""
        key = (entry, *map(id, arrays))
        return self._calls.get(key) or self._keep(key, self.call(entry, arrays, *arguments, **options))

    def _keep(self, key: tuple[Any, ...], call: Call) -> Call:
        if len(self._calls) >= _CALLS:
            del self._calls[next(iter(self._calls))]
        self._calls[key] = call  # whose job keeps the arrays, so that no other gets one of these ids
        return call

    def crew(self, loads: int) -> Any:
        """The threads that are worth their while."""
        return workers(self.threads if self.voxels * loads > _SERIAL else 1)

    def context(
        self, arrays: Sequence[Any], integers: Sequence[int], loads: int, scalars: int, partial: tuple[int, ...]
    ) -> Context:
        """What a loop finds at its last argument."""
        numbers, sums = np.zeros(max(1, scalars)), np.zeros(partial)
        places = [0 if a is None else address(a) for a in arrays]
        words = np.zeros(_WORDS, np.int64)
        known = [*self.shape, loads, address(numbers), address(sums), *places, *integers]
        words[: len(known)] = known
        return Context(words, numbers, sums)

    def paired_fields(self, pairs: int, size: int) -> np.ndarray:
        """Scratch space for the complex fields of pairs of loads, ``size`` complex numbers each."""
        needed = pairs * self.components * size * 2
        if len(self._paired) < needed:
            self._paired = pyfftw.zeros_aligned(needed, self.dtype, n=64)
        return self._paired[:needed]

    @property
    def scratch_bytes(self) -> int:
        """Of fields that are held besides those made by `field` and `spectral`."""
        return int(self._paired.nbytes)

    # -- arrays ----------------------------------------------------------------------------------------------------

    def tensor_field(self, index: np.ndarray, packed: np.ndarray, cut: np.ndarray | None = None) -> RowTensorField:
        return RowTensorField(index, packed, self.dtype.name, cut)

    def field(self, loads: int = 1) -> np.ndarray:
        """Zeroed fields of the nodes."""
        return pyfftw.zeros_aligned((loads, self.components, *self.shape), self.dtype, n=64)

    def spectral(self, loads: int = 1) -> np.ndarray:
        """Zeroed fields with rows padded for in-place transforms."""
        row = 2 * (self.shape[2] // 2 + 1)
        return pyfftw.zeros_aligned((loads, self.components, *self.shape[:2], row), self.dtype, n=64)

    def assign(self, field: np.ndarray, values: np.ndarray | None) -> None:
        """``field = values`` from the host; None for zero."""
        field[...] = 0.0 if values is None else values

    def to_host(self, field: np.ndarray) -> np.ndarray:
        """A copy of the nodal values on the host."""
        return field[..., : self.shape[2]].copy()

    def gradient(self, u: np.ndarray) -> np.ndarray:
        return centre_gradient(u, [2.0 / float(g) for g in self.g])

    # -- operators -------------------------------------------------------------------------------------------------

    def dot(self, u: np.ndarray, w: np.ndarray) -> np.ndarray:
        """``u . w`` of a field and a padded one, (loads,)."""
        call = self.kept(self._loops.dot, (u, w), loads=len(u), sums=1)
        call.run()
        return np.asarray(call.partial.sum(axis=(1, 2)))

    def apply(self, u: np.ndarray, w: np.ndarray, tensors: RowTensorField) -> tuple[np.ndarray, np.ndarray]:
        """``w = K u``; returns ``u . w`` (loads,) and the sum of the stress (loads, 6) or flux (loads, 3) over the voxels, both
        for voxels of volume 1.
        """
        call = self.apply_call(u, w, tensors)
        call.run()
        total = call.partial.sum(axis=2)
        return total[:, 0], total[:, 1:]

    def apply_call(self, u: np.ndarray, w: np.ndarray, tensors: RowTensorField) -> Call:
        """The loop of `apply`, ready to run; its sums are of ``u w`` and of the stress, by plane of voxels."""
        m = tensors
        arrays = (u, w, m.index, m.iso, m.rows, m.where, m.tensor, m.whole, self.g)
        sums = 4 if self.components == 1 else 7
        integers = (len(m.where), len(m.tensor))
        return self.kept(self._loops.apply, arrays, integers, loads=len(u), sums=sums)

    def every_voxel(self) -> np.ndarray:
        return np.arange(self.voxels, dtype=np.int32).reshape(self.shape)

    def nodal_forces(self, w: np.ndarray, index: np.ndarray, table: np.ndarray) -> None:
        """``w = B^T s`` for ``s = table[:, index]``; ``table`` has shape (loads, entries, components, 3)."""
        table = np.ascontiguousarray(table, dtype=self.dtype)
        integers = (table.shape[1],)
        self.call(self._loops.nodal_forces, (w, index, table, self.g), integers, loads=len(w)).run()

    def corner_mean(self, tensors: RowTensorField, value: np.ndarray, power: float = 1.0) -> np.ndarray:
        """Mean of ``value[index]`` over the eight voxels around each node, to a power; shape of the grid."""
        out = np.ones(self.shape, self.dtype)
        value = np.ascontiguousarray(value, float)
        self.call(self._loops.corner_mean, (out, tensors.index, value), (len(value),)).run()
        return out if power == 1 else out**power

    def surface(self, tensors: RowTensorField, stiff: np.ndarray) -> SurfaceSolver:
        """The solver on the soft side of cut voxels; ``stiff`` is the size of every entry's tensor."""
        return SurfaceSolver(self, tensors, stiff)

    def advance(self, alpha: np.ndarray, u: Any, r: Any, p: Any, w: Any, scaling: Any = None) -> None:
        """``u += alpha p; r -= alpha w; w = scaling r``; no ``scaling`` means 1. ``alpha`` is (loads,)."""
        call = self.kept(self._loops.advance, (u, r, p, w, scaling), loads=len(u), scalars=len(u))
        call.scalars[:] = alpha
        call.run()

    def direction(self, beta: np.ndarray, p: Any, w: Any, scaling: Any = None) -> None:
        """``p = scaling w + beta p``"""
        call = self.kept(self._loops.direction, (p, w, scaling), loads=len(p), scalars=len(p))
        call.scalars[:] = beta
        call.run()

    def green(self, w: np.ndarray, reference: np.ndarray) -> np.ndarray:
        """``w = G w`` with the Green operator of a homogeneous medium; returns ``w . G w``, (loads,).

        Args:
            reference: shape (6,) xx, yy, zz, yz, xz, xy for scalars, else (6, 6), see `reference_table`.
        """
        key = ("green", id(w), id(reference))
        paired = len(w) % 2 == 0 and min(self.shape[:2]) > 1 and w.nbytes > _PAIRED
        make = functools.partial(paired_green, self) if paired else self._green
        call = self._calls.get(key) or self._keep(key, make(w, reference))
        call.run()
        return np.asarray(call.partial.sum(axis=1))

    def green_context(
        self, w: np.ndarray, modes: tuple[int, int, int], medium: np.ndarray, width: int, tiles: int
    ) -> Context:
        """What the loop ``green`` finds; ``modes``: of the shape of w, (loads, components, *modes) in complex numbers."""
        words = (*modes, self.symbols.shape[2], width, tiles)
        context = self.context((w, self.symbols, medium, self.weight), words, len(w), 1, (len(w), tiles))
        context.scalars[0] = 1 / self.voxels
        return context

    def _green(self, w: np.ndarray, reference: np.ndarray) -> Call:
        """Rows to modes; then columns to modes, the operator, and back while they are in cache; then rows back."""
        loads, together = len(w), self.components
        axes = self.shape[:2] if self.shape[1] > 1 else self.shape[:1] if self.shape[0] > 1 else ()
        axes = (*axes, self.shape[2])
        layout = Layout(Grid(axes, (1.0,) * len(axes), ("periodic",) * len(axes)))
        plans = _backend("double" if self.dtype == np.float64 else "single", self.threads).plans(layout, 1, together)

        def transform(part: str, forward: bool, components: int) -> tuple[list[int], int]:
            row, tiles = plans.operation(part, forward, native().TRANSFORM, components)
            row[4], row[7] = address(w), w.strides[1]
            return row, tiles

        tiles = -(-plans.columns // plans.width)
        medium = np.ascontiguousarray(reference, self.dtype)
        context = self.green_context(w, (*self.shape[:2], len(self.weight)), medium, plans.width, tiles)
        operator = self._loops.green
        row = [native().KERNEL, operator, address(context.words), plans.width, loads * tiles * plans.width]
        columns = [row]
        if layout.grid.dim > 1:
            columns = [transform("columns", True, together)[0], row, transform("columns", False, together)[0]]
        (forth, count), (back, _) = (transform("rows", forward, 1) for forward in (True, False))
        every = loads * self.components * count
        phases = [([forth], every), (columns, loads * tiles), ([back], every)]
        job = Job(self.crew(loads), phases, (w, reference, medium, plans, operator, context))
        return Call(job, context.scalars, context.partial)


class CpuWalledOperators(CpuVoxelOperators):
    """The same for a cell with walls instead of periodic faces.

    ``kinematic``: the fluctuation vanishes on the faces (node layer 0, which is also the last). ``static``: the faces are
    free; the grid needs one layer of voids at the end of every axis with more than one voxel, behind which the first layer
    of nodes is not felt.

    The preconditioner is the Green operator of a homogeneous medium without coupling of the displacements, diagonal in
    sines or cosines of the nodes (DST-I, DCT-I).

    Args:
        walls: ``kinematic`` or ``static``. Others as for `CpuVoxelOperators`.
    """

    def __init__(self, walls: str, grid: VoxelGrid, threads: int | None = None) -> None:
        super().__init__(grid, threads)
        self.walls, shape = walls, grid.shape
        self._axes = tuple(d for d, n in enumerate(shape) if n > 1)
        first = 1 if walls == "kinematic" else 0
        self._inner = tuple(slice(first if d in self._axes else 0, n) for d, n in enumerate(shape))
        self._symbol: np.ndarray | None = None

    def _clear(self, w: np.ndarray) -> None:
        """Zero on the faces."""
        if self.walls == "kinematic":
            for d in self._axes:
                w[(slice(None),) * (d + 2) + (0,)] = 0.0

    def apply(self, u: np.ndarray, w: np.ndarray, tensors: RowTensorField) -> tuple[np.ndarray, np.ndarray]:
        result = super().apply(u, w, tensors)
        self._clear(w)
        return result

    def nodal_forces(self, w: np.ndarray, index: np.ndarray, table: np.ndarray) -> None:
        super().nodal_forces(w, index, table)
        self._clear(w)

    def _prepare(self, reference: np.ndarray) -> None:
        mass, second, norm = wall_symbols(self.walls, self.shape, self.g, self.full)
        products = []
        for d in range(3):
            parts = [second[a] if a == d else mass[a] for a in range(3)]
            products.append(parts[0][:, None, None] * parts[1][:, None] * parts[2])
        symbol = np.stack([sum(row[d] * products[d] for d in range(3)) for row in reference]) * norm
        floor = 1e-12 * symbol.max()
        self._symbol = np.where(symbol > floor, 1 / np.maximum(symbol, floor), 0.0).astype(self.dtype)

    def green(self, w: np.ndarray, reference: np.ndarray) -> np.ndarray:
        """``w = G w``; ``reference`` has shape (components, 3): stiffness of a component to its derivatives."""
        if self._symbol is None:
            self._prepare(reference)
        kind = "FFTW_RODFT00" if self.walls == "kinematic" else "FFTW_REDFT00"
        products = []
        for fields in w:  # each by the same plan: what is solved side by side has the bits of what is solved alone
            block = fields[(slice(None), *self._inner)]
            plan = _wall_plan(kind, block.shape, self._axes, self.dtype.name, self.threads, threading.get_ident())
            scratch = plan.input_array
            scratch[...] = block
            if self.walls == "static":
                for d in self._axes:
                    for face in (0, -1):
                        scratch[(slice(None),) * (d + 1) + (face,)] *= 2
            plan.execute()
            scratch *= self._symbol
            plan.execute()
            # Not by BLAS, whose threads would wait for each other here.
            products.append(float(np.einsum("cijk,cijk->", block, scratch, dtype=float)))
            fields[...] = 0.0
            block[...] = scratch
        return np.array(products)


@functools.lru_cache(maxsize=8)
def _wall_plan(
    kind: str, shape: tuple[int, ...], axes: tuple[int, ...], dtype: str, threads: int, thread: int
) -> pyfftw.FFTW:
    """An in-place transform of one load, with its array: problems of one grid share it, one at a time in a thread."""
    scratch = pyfftw.zeros_aligned(shape, dtype)
    options: dict[str, Any] = {"axes": tuple(d + 1 for d in axes), "threads": threads, "flags": ("FFTW_MEASURE",)}
    with PLANNING:
        return pyfftw.FFTW(
            scratch, scratch, direction=(kind,) * len(axes), planning_timelimit=_PLANNING_SECONDS, **options
        )


@functools.cache
def _backend(precision: Precision, threads: int) -> CpuBackend:
    """What holds the plans."""
    return CpuBackend(precision, threads)
