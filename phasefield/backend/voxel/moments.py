"""Second moments of local strains (gradients) by phase, from which all derivatives of an effective tensor follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..workers import address
from .cpu import CpuVoxelOperators

#: Parts that the voxels are summed in, whatever the number of threads, so that results keep their bits; and their bytes.
_BLOCKS, _BYTES = 16, 1 << 26


@dataclass(frozen=True)
class PhaseGeometry:
    """Which phases the voxels consist of, in the axes of the arrays.

    Attributes:
        index: entry of every voxel, int32, three axes. first, second, fraction, normal: of the entries; pure ones have twice the
            same phase, or a fraction of 1; the others are laminates. whole: entries whose voxels take all polynomials.
        tensors: of the phases, (phases, 3, 3) or (phases, 6, 6) in Voigt form.
    """

    index: np.ndarray
    first: np.ndarray
    second: np.ndarray
    fraction: np.ndarray
    normal: np.ndarray
    whole: np.ndarray
    tensors: np.ndarray


def phase_moments(
    geometry: PhaseGeometry,
    steps: tuple[float, float, float],
    full: bool,
    fluctuations: Sequence[np.ndarray],
    means: np.ndarray,
    stress: np.ndarray | None = None,
    threads: int | None = None,
) -> np.ndarray:
    """Sums over the voxels of ``share x x^T`` for every phase; x are the local strains of all loads in that phase, and 1.

    In a laminate voxel they are those of its two layers, which follow from the voxel's strain, their tensors and the normal: so
    derivatives of the mixed tensor by those of the phases need no further formula. On the CPU, in double precision.

    Args:
        steps: edge lengths of a voxel. full: all polynomials, as of `VoxelOperators`.
        fluctuations: nodal values of every load, (components, n0, n1, n2). means: strain (engineering) or
            gradient added, (loads, size).
        stress: of stress-free strains held at zero, per phase and load, (phases, loads, size); none if None.

    Returns:
        (phases, rows, rows) with ``rows = loads * size + 1``, symmetric; row ``load * size + component``, the last is that of 1.
    """
    shape = geometry.index.shape
    components = len(fluctuations[0])
    phases, size = len(geometry.tensors), geometry.tensors.shape[-1]
    loads, rows = len(fluctuations), len(fluctuations) * size + 1
    operators = CpuVoxelOperators((shape[0], shape[1], shape[2]), steps, components, "float64", True, threads)
    blocks = max(1, min(_BLOCKS, shape[0], _BYTES // (8 * phases * rows * rows)))
    fields = [np.ascontiguousarray(u, float) for u in fluctuations]
    pure = (geometry.first == geometry.second) | (geometry.fraction == 1)
    out = np.zeros((blocks, phases, rows, rows))
    arrays: list[np.ndarray | None] = [
        np.array([address(u) for u in fields], np.int64),
        np.ascontiguousarray(geometry.index, np.int32),
        np.ascontiguousarray(np.stack([geometry.first, geometry.second, geometry.whole & pure], axis=1), np.int32),
        np.ascontiguousarray(np.column_stack([geometry.fraction, geometry.normal]), float),
        np.ascontiguousarray(geometry.tensors, float),
        np.zeros((phases, loads, size)) if stress is None else np.ascontiguousarray(stress, float),
        np.ascontiguousarray(means, float),
        np.array([2.0 / h for h in steps]),
        out,
    ]
    entry = operators.loops("moments_loops.py").moments
    operators.call(entry, arrays, (len(geometry.first), phases, blocks, int(full)), loads=loads, n=blocks).run()
    lower = np.tril(out.sum(axis=0))
    return np.asarray(lower + np.swapaxes(np.tril(lower, -1), 1, 2))
