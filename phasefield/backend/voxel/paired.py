"""The Green operator on pairs of loads, of which one is the real and the other the imaginary part of complex fields.

The Green operator is real and the same for opposite wave vectors, so that it does not mix the two parts, and nothing has to be
taken apart among modes. FFTW's complex transforms along rows use vector instructions, those of real rows do not: a pair takes
0.6 of the time of two loads by themselves (64^3, single precision, measured). What belongs to a mode is computed once for
all pairs.

Rounding of one load is felt by its partner, so pairs are brought to the same size first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyfftw

from .. import cache
from ..cpu_plans import cpu_name, plan_once
from ..fftw import FORWARD, INVERSE, Dimension, Plan
from ..workers import Job, address, native
from .calls import Call

if TYPE_CHECKING:
    from .cpu import CpuVoxelOperators

#: Bytes of a tile of planes and of a tile of columns: what caches of the first and the second level hold.
_PLANES_BYTES, _COLUMNS_BYTES = 1 << 15, 1 << 18
#: Complex numbers between planes, or columns would compete for the same places in the cache. Columns of a tile are a multiple.
_APART = 8


class PairedPlans:
    """Transforms of the complex fields of a grid: planes (all axes but the outermost) and columns along the outermost.

    Args:
        shape: of the grid, of more than one voxel along the first two axes. dtype: of the real numbers. together: fields whose
            columns are in the cache at the same time.

    Attributes:
        stride: complex numbers between planes. span, tiles: planes of a tile, and tiles of a field. width, columns: columns of a
            tile, and all of them.
    """

    def __init__(self, shape: tuple[int, int, int], dtype: str, together: int) -> None:
        n0, n1, n2 = shape
        mode = 2 * np.dtype(dtype).itemsize
        self.columns = n1 * n2
        self.stride = -(-self.columns // _APART) * _APART + _APART
        self.span = max(1, min(n0, _PLANES_BYTES // (self.columns * mode)))
        self.tiles = -(-n0 // self.span)
        width = max(1, _COLUMNS_BYTES // (n0 * mode * together) // _APART) * _APART
        self.width = min(width, self.columns)
        self._shape, self._dtype = shape, dtype
        machine = cache.digest(f"{cpu_name()} {pyfftw.fftw_version}")[:8]
        sizes = "x".join(map(str, (*shape, self.span, self.width)))
        self.plans = plan_once(f"paired-{sizes}-{dtype}-{machine}", self._make)

    def _make(self) -> dict[tuple[str, bool, bool], Plan]:
        n0, n1, n2 = self._shape
        work = pyfftw.zeros_aligned(2 * n0 * self.stride, self._dtype, n=64)
        inner: list[Dimension] = [(n1, n2, n2), (n2, 1, 1)]
        plans = {}
        for forward in (True, False):
            for last in (False, True):
                planes = n0 - (self.tiles - 1) * self.span if last else self.span
                columns = (self.columns - 1) % self.width + 1 if last else self.width
                shared: dict[str, Any] = {"direction": FORWARD if forward else INVERSE}
                kinds: list[tuple[str, list[Dimension], Dimension]] = [
                    ("planes", inner, (planes, self.stride, self.stride)),
                    ("columns", [(n0, self.stride, self.stride)], (columns, 1, 1)),
                ]
                for part, dimensions, repeat in kinds:
                    plans[part, forward, last] = Plan("c2c", self._dtype, dimensions, [repeat], work, **shared)
        return plans


def paired_green(operators: CpuVoxelOperators, w: np.ndarray, reference: np.ndarray) -> Call:
    """``w = G w`` for an even number of loads, ready to run; leaves the sums of ``w . G w`` by tile."""
    k, shape = operators, operators.shape
    loads, components = len(w), k.components
    pairs = loads // 2
    plans = PairedPlans(shape, k.dtype.name, pairs * components)
    fields = k.paired_fields(pairs, shape[0] * plans.stride)
    size = fields.itemsize * 2
    medium = np.ascontiguousarray(reference, k.dtype)
    planes, columns = pairs * components * plans.tiles, -(-plans.columns // plans.width)
    integers = (plans.stride, plans.span, plans.tiles)
    norms = np.zeros((loads, components * plans.tiles))
    moving = k.context((w, fields, norms), integers, loads, 0, norms.shape)
    acting = k.context(
        (fields, k.symbols, medium), (k.symbols.shape[2], plans.stride, pairs, plans.columns), loads, 0, (1, 1)
    )

    def kernel(entry: int, context: np.ndarray, each: int, n: int) -> list[int]:
        return [native().KERNEL, entry, address(context), each, n, 0, 0, 0, 0]

    def transform(part: str, forward: bool, step: int, tiles: int, together: int) -> list[int]:
        plan, last = plans.plans[part, forward, False], plans.plans[part, forward, True]
        apart = shape[0] * plans.stride * size
        return [
            native().TRANSFORM,
            plan.execute,
            plan.address,
            last.address,
            address(fields),
            step,
            tiles,
            apart,
            together,
        ]

    step = plans.span * plans.stride * size
    forth, back = (transform("planes", forward, step, plans.tiles, 1) for forward in (True, False))
    across, return_ = (
        transform("columns", forward, plans.width * size, columns, pairs * components) for forward in (True, False)
    )
    loops = k.loops("paired_loops.py")
    phases = [
        ([kernel(loops.norms, moving.words, 1, 2 * planes)], 2 * planes),
        ([kernel(loops.pair, moving.words, 1, planes), forth], planes),
        ([across, kernel(loops.green_paired, acting.words, plans.width, plans.columns), return_], columns),
        ([back, kernel(loops.unpair, moving.words, 1, planes)], planes),
    ]
    job = Job(k.crew(loads), phases, (w, fields, norms, medium, plans, moving, acting, loops))
    return Call(job, moving.scalars, moving.partial)
