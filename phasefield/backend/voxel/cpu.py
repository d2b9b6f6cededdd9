"""The operators on voxels on the CPU: loops of `loops` on a thread pool, FFTW in place."""

from __future__ import annotations

import ast
import contextlib
import functools
import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyfftw

from .. import cache
from ..base import cpu_threads
from .element import loop_functions
from .material import Material, symbols, wall_symbols
from .surface import SurfaceSolver

_SERIAL = 16384
#: Voxels of a row treated at once (its modes stay in the first-level cache) and the distance between rows of scratch space,
#: which holds one entry more than voxels and keeps rows from competing for the same cache lines.
_BLOCK, _ROW = 128, 152


@functools.cache
def loops() -> Any:
    """The compiled loops of ``loops.py`` and of `element`."""
    source = Path(__file__).with_name("loops.py").read_text()
    sizes = f"BLOCK, ROW = {_BLOCK}, {_ROW}"
    return cache.load(f"{source}\n\n{sizes}\n\n\n{loop_functions(_ROW)}", "voxel")


class RowMaterial(Material):
    """A material with its anisotropic voxels row by row, which the loops do after the isotropic ones."""

    def __init__(
        self, index: np.ndarray, packed: np.ndarray, dtype: str = "float64", cut: np.ndarray | None = None
    ) -> None:
        super().__init__(index, packed, dtype, cut)
        self.iso = np.ascontiguousarray(self.constants[:, 0] if self.order == 3 else self.constants, dtype=dtype)
        rows = index.shape[0] * index.shape[1]
        self.rows, self.where = np.zeros(rows + 1, np.int64), np.zeros(0, np.int32)
        if not self.isotropic.all():
            flat = np.flatnonzero(~self.isotropic[index.ravel()])
            self.where = (flat % index.shape[2]).astype(np.int32)
            np.cumsum(np.bincount(flat // index.shape[2], minlength=rows), out=self.rows[1:])

    @property
    def nbytes(self) -> int:
        return super().nbytes + self.iso.nbytes + self.rows.nbytes + self.where.nbytes


class VoxelKernels:
    """The operators of one voxel grid, for one (scalar) or three (elastic) components.

    Args:
        shape: voxels along the three array axes. spacing: edge lengths of a voxel.
        components: 1 or 3.
        dtype: ``float64`` or ``float32``.
        full: all polynomials (2x2x2 Gauss points) or the constant one alone (rotated scheme).
        threads: number of threads; None takes the default of `cpu_threads`.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        spacing: tuple[float, float, float],
        components: int,
        dtype: str = "float64",
        full: bool = True,
        threads: int | None = None,
    ) -> None:
        self.shape, self.components, self.full = shape, components, full
        self.dtype = np.dtype(dtype)
        self.voxels = int(np.prod(shape))
        self.threads = cpu_threads(threads) if self.voxels > _SERIAL else 1
        self._pool = _pool(self.threads)
        # Derivatives in voxel coordinates -1..1; energies are means over the voxels, so volumes drop out.
        self.g = np.array([2.0 / h for h in spacing], self.dtype)
        self._partial = np.zeros((7, shape[0]))
        self._one = np.ones((1, 1, 1), self.dtype)
        self.symbols = tuple(np.ascontiguousarray(t, self.dtype) for t in symbols(shape, self.g, full))
        self.weight = np.full(shape[2] // 2 + 1, 2.0, self.dtype)
        self.weight[0] = 1.0
        if shape[2] % 2 == 0:
            self.weight[-1] = 1.0
        self._fft: tuple[Any, Any] | None = None

    def _run(self, task: Callable[..., None], *arguments: Any) -> None:
        self.spread(self.shape[0], task, *arguments)

    def spread(self, n: int, task: Callable[..., None], *arguments: Any) -> None:
        """Runs ``task(low, high, *arguments)`` on the threads, 0 to n in all."""
        chunks = max(1, min(self.threads, n))
        edges = [n * i // chunks for i in range(chunks + 1)]
        others = [self._pool.submit(task, lo, hi, *arguments) for lo, hi in pairwise(edges[1:])]
        task(edges[0], edges[1], *arguments)
        for other in others:
            other.result()

    def material(self, index: np.ndarray, packed: np.ndarray, cut: np.ndarray | None = None) -> RowMaterial:
        """The material as `apply` wants it, see `Material`."""
        return RowMaterial(index, packed, self.dtype.name, cut)

    def field(self) -> np.ndarray:
        """A zeroed field of the nodes, shape ``(components, n0, n1, n2)``."""
        return pyfftw.zeros_aligned((self.components, *self.shape), self.dtype, n=64)

    def spectral(self) -> np.ndarray:
        """A zeroed field with rows padded for in-place transforms."""
        return pyfftw.zeros_aligned((self.components, *self.shape[:2], 2 * (self.shape[2] // 2 + 1)), self.dtype, n=64)

    def assign(self, field: np.ndarray, values: np.ndarray | None) -> None:
        """``field = values`` from the host; None for zero."""
        field[...] = 0.0 if values is None else values

    def to_host(self, field: np.ndarray) -> np.ndarray:
        """A copy of the nodal values on the host."""
        return field[..., : self.shape[2]].copy()

    def dot(self, u: np.ndarray, w: np.ndarray) -> float:
        """``u . w`` of a field and a padded one."""
        return float(np.vdot(u, w[..., : self.shape[2]]))

    def apply(self, u: np.ndarray, w: np.ndarray, material: RowMaterial) -> tuple[float, np.ndarray]:
        """``w = K u``; returns ``u . w`` and the sum of the stress (flux) over the voxels, both for voxels of volume 1."""
        arguments = (
            material.index,
            material.iso,
            material.rows,
            material.where,
            material.tensor,
            material.whole,
        )
        task = loops().apply_scalar if self.components == 1 else loops().apply_elastic
        self._run(task, self.full, u, w, *arguments, self.g, self._partial)
        total = self._partial.sum(axis=1)
        return float(total[0]), total[1 : 1 + (3 if self.components == 1 else 6)].copy()

    def load(self, w: np.ndarray, material: Material, table: np.ndarray) -> None:
        """``w = B^T s`` for ``s = table[index]``; ``table`` has shape (entries, components, 3)."""
        self._run(loops().load, w, material.index, np.ascontiguousarray(table, dtype=self.dtype), self.g)

    def corner_mean(self, material: Material, value: np.ndarray, power: float = 1.0) -> np.ndarray:
        """Mean of ``value[index]`` over the eight voxels around each node, to a power; shape of the grid."""
        out = np.empty(self.shape, self.dtype)
        self._run(loops().corner_mean, out, material.index, np.asarray(value, float))
        return out if power == 1 else out**power

    def surface(self, material: Material, stiff: np.ndarray) -> SurfaceSolver:
        """The solver on the soft side of cut voxels; ``stiff`` is the size of every entry's tensor."""
        return SurfaceSolver(self, loops(), material, stiff)

    def advance(self, alpha: float, u: Any, r: Any, p: Any, w: Any, jacobi: Any = None) -> None:
        """``u += alpha p; r -= alpha w; w = jacobi r``; no ``jacobi`` means 1."""
        self._run(loops().advance, self.dtype.type(alpha), u, r, p, w, self._one if jacobi is None else jacobi)

    def direction(self, beta: float, p: Any, w: Any, jacobi: Any = None) -> None:
        """``p = jacobi w + beta p``"""
        self._run(loops().direction, self.dtype.type(beta), p, w, self._one if jacobi is None else jacobi)

    def green(self, w: np.ndarray, reference: np.ndarray) -> float:
        """``w = G w`` with the Green operator of a homogeneous medium; returns ``w . G w``.

        Args:
            reference: shape (6,) xx, yy, zz, yz, xz, xy for scalars, else (6, 6), see `reference_table`.
        """
        if self._fft is None:
            self._fft = _plan(w[:1], self.shape[2], self.threads)
        forward, inverse = self._fft
        modes = w.view(np.result_type(self.dtype, np.complex64))
        for c in range(self.components):
            forward.update_arrays(w[c : c + 1, ..., : self.shape[2]], modes[c : c + 1])
            forward.execute()
        kernel = loops().green_scalar if self.components == 1 else loops().green_elastic
        scale = self.dtype.type(1.0 / self.voxels)
        self._run(
            kernel,
            w,
            *self.symbols,
            np.ascontiguousarray(reference, self.dtype).ravel(),
            self.weight,
            scale,
            self._partial,
        )
        for c in range(self.components):
            inverse.update_arrays(modes[c : c + 1], w[c : c + 1, ..., : self.shape[2]])
            inverse.execute()
        return float(self._partial[0].sum())


class WalledKernels(VoxelKernels):
    """The same for a cell with walls instead of periodic faces.

    ``kinematic``: the fluctuation vanishes on the faces (node layer 0, which is also the last). ``static``: the faces are
    free; the grid needs one layer of voids at the end of every axis with more than one voxel, behind which the first layer
    of nodes is not felt.

    The preconditioner is the Green operator of a homogeneous medium without coupling of the displacements, diagonal in
    sines or cosines of the nodes (DST-I, DCT-I).

    Args:
        walls: ``kinematic`` or ``static``. Others as for `VoxelKernels`.
    """

    def __init__(
        self,
        walls: str,
        shape: tuple[int, int, int],
        spacing: tuple[float, float, float],
        components: int,
        dtype: str = "float64",
        full: bool = True,
        threads: int | None = None,
    ) -> None:
        super().__init__(shape, spacing, components, dtype, full, threads)
        self.walls = walls
        self._axes = tuple(d for d, n in enumerate(shape) if n > 1)
        first = 1 if walls == "kinematic" else 0
        self._inner = tuple(slice(first if d in self._axes else 0, n) for d, n in enumerate(shape))
        self._symbol: np.ndarray | None = None
        self._plans: tuple[Any, Any] | None = None

    def _clear(self, w: np.ndarray) -> None:
        """Zero on the faces."""
        if self.walls == "kinematic":
            for d in self._axes:
                w[(slice(None),) * (d + 1) + (0,)] = 0.0

    def apply(self, u: np.ndarray, w: np.ndarray, material: RowMaterial) -> tuple[float, np.ndarray]:
        result = super().apply(u, w, material)
        self._clear(w)
        return result

    def load(self, w: np.ndarray, material: Material, table: np.ndarray) -> None:
        super().load(w, material, table)
        self._clear(w)

    def _prepare(self, w: np.ndarray, reference: np.ndarray) -> None:
        mass, second, norm = wall_symbols(self.walls, self.shape, self.g, self.full)
        products = []
        for d in range(3):
            parts = [second[a] if a == d else mass[a] for a in range(3)]
            products.append(parts[0][:, None, None] * parts[1][:, None] * parts[2])
        symbol = np.stack([sum(row[d] * products[d] for d in range(3)) for row in reference]) * norm
        floor = 1e-12 * symbol.max()
        self._symbol = np.where(symbol > floor, 1 / np.maximum(symbol, floor), 0.0).astype(self.dtype)
        kind = "FFTW_RODFT00" if self.walls == "kinematic" else "FFTW_REDFT00"
        block = w[(slice(None), *self._inner)]
        scratch = np.zeros_like(block)
        self._scratch = scratch
        axes = tuple(d + 1 for d in self._axes)
        options: dict[str, Any] = {"axes": axes, "threads": self.threads, "flags": ("FFTW_ESTIMATE", "FFTW_UNALIGNED")}
        plan = pyfftw.FFTW(scratch, scratch, direction=(kind,) * len(axes), **options)
        self._plans = (plan, plan)

    def green(self, w: np.ndarray, reference: np.ndarray) -> float:
        """``w = G w``; ``reference`` has shape (components, 3): stiffness of a component to its derivatives."""
        if self._plans is None:
            self._prepare(w, reference)
        assert self._plans is not None
        block = w[(slice(None), *self._inner)]
        before = block.copy()
        self._scratch[...] = block
        if self.walls == "static":
            for d in self._axes:
                for face in (0, -1):
                    self._scratch[(slice(None),) * (d + 1) + (face,)] *= 2
        self._plans[0].execute()
        self._scratch *= self._symbol
        self._plans[1].execute()
        w[...] = 0.0
        block[...] = self._scratch
        return float(np.vdot(before, block))


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(1, threads - 1), thread_name_prefix="phasefield-voxel")


def _plan(buffer: np.ndarray, n: int, threads: int) -> tuple[Any, Any]:
    """In-place plans of one component; measured once and kept as wisdom in the cache folder."""
    shape = "x".join(map(str, (*buffer.shape[1:3], n)))
    path = cache.cache_folder() / "fftw" / f"voxel-{shape}-{buffer.dtype}-t{threads}.wisdom"
    with contextlib.suppress(OSError, ValueError, SyntaxError, TypeError):
        pyfftw.import_wisdom(ast.literal_eval(path.read_text()))
    work = pyfftw.zeros_aligned(buffer.shape, buffer.dtype, n=64)
    modes = work.view(np.result_type(buffer.dtype, np.complex64))
    options: dict[str, Any] = {"axes": (1, 2, 3), "threads": threads, "planning_timelimit": 5.0}
    # Components of an odd number of modes in single precision begin between two multiples of FFTW's alignment.
    some = ("FFTW_MEASURE", "FFTW_UNALIGNED") if work.nbytes % 16 else ("FFTW_MEASURE",)
    forward = pyfftw.FFTW(work[..., :n], modes, direction="FFTW_FORWARD", flags=some, **options)
    flags = (*some, "FFTW_DESTROY_INPUT")
    inverse = pyfftw.FFTW(modes, work[..., :n], direction="FFTW_BACKWARD", flags=flags, **options)
    if not path.exists():
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as handle:
                handle.write(repr(pyfftw.export_wisdom()))
            os.replace(handle.name, path)
    return forward, inverse
