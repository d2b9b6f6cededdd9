"""Second moments of local strains (gradients) by phase, from which all derivatives of an effective tensor follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..workers import address
from .cpu import CpuVoxelOperators
from .grid import VoxelGrid

#: Parts that the voxels are summed in, whatever the number of threads, so that results keep their bits; and their bytes.
_BLOCKS, _BYTES = 16, 1 << 26
#: Relative deviation of a tensor from a symmetry that is rounding.
_ROUNDING = 1e-12
#: Symmetries of tensors, see `symmetry`: none along the axes, cubic, isotropic.
ANY, CUBIC, ISOTROPIC = range(3)


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
    symmetries: np.ndarray | None = None,
) -> np.ndarray:
    """Sums over the voxels of ``share x x^T`` for every phase; x are the local strains of all loads in that phase, and 1.

    In a laminate voxel they are those of its two layers, which follow from the voxel's strain, their tensors and the normal: so
    derivatives of the mixed tensor by those of the phases need no further formula. On the CPU; strains in the precision of the
    fluctuations, their sums in double.

    Args:
        steps: edge lengths of a voxel. full: all polynomials, as of `VoxelOperators`.
        fluctuations: nodal values of every load, (components, n0, n1, n2). means: strain (engineering) or
            gradient added, (loads, size).
        stress: of stress-free strains held at zero, per phase and load, (phases, loads, size); none if None.
        symmetries: of the changes that the pure voxels of the phases are asked for, (phases,), see `symmetry`: of cubic ones
            three sums for each pair of loads, of isotropic ones two, give what stands for ``x x^T`` in products with them, and
            nothing of 1. None: anything is asked.

    Returns:
        (phases, rows, rows) with ``rows = loads * size + 1``, symmetric; row ``load * size + component``, the last is that of 1.
    """
    shape = geometry.index.shape
    components = len(fluctuations[0])
    phases, size = len(geometry.tensors), geometry.tensors.shape[-1]
    loads, rows = len(fluctuations), len(fluctuations) * size + 1
    dtype = np.result_type(*fluctuations)
    precision = "double" if dtype == np.float64 else "single"
    operators = CpuVoxelOperators(
        VoxelGrid((shape[0], shape[1], shape[2]), steps, components, precision, full), threads
    )
    blocks = max(1, min(_BLOCKS, shape[0], _BYTES // (8 * phases * rows * rows)))
    fields = [np.ascontiguousarray(u, dtype) for u in fluctuations]
    pure = (geometry.first == geometry.second) | (geometry.fraction == 1)
    least = np.zeros(len(pure), int) if symmetries is None else np.asarray(symmetries)[geometry.first]
    simple = pure & ~(full & ~geometry.whole) & (least != ANY)
    asked = 1 * simple.any() + 2 * (simple & (least == CUBIC)).any() + 4 * (not simple.all())
    out = np.zeros((blocks, phases, rows, rows))
    sums = np.zeros((blocks, phases, loads * (loads + 1) // 2, 1 if size == 3 else 3))
    arrays: list[np.ndarray | None] = [
        np.array([address(u) for u in fields], np.int64),
        np.ascontiguousarray(geometry.index, np.int32),
        np.ascontiguousarray(
            np.stack([geometry.first, geometry.second, geometry.whole & pure, simple], axis=1), np.int32
        ),
        np.ascontiguousarray(np.column_stack([geometry.fraction, geometry.normal]), float),
        np.ascontiguousarray(geometry.tensors, float),
        np.zeros((phases, loads, size)) if stress is None else np.ascontiguousarray(stress, float),
        np.ascontiguousarray(means, float),
        np.array([2.0 / h for h in steps]),
        out,
        sums,
    ]
    entry = operators.loops("moments_loops.py").moments
    operators.call(entry, arrays, (len(geometry.first), phases, blocks, int(asked)), loads=loads, n=blocks).run()
    lower = np.tril(out.sum(axis=0))
    moments = lower + np.swapaxes(np.tril(lower, -1), 1, 2)
    if simple.any():
        second = moments[:, :-1, :-1].reshape(phases, loads, size, loads, size)
        second += np.einsum("kab,pijk->piajb", _means(size), _pairs(sums.sum(axis=0), loads))
    return np.asarray(moments)


def _pairs(values: np.ndarray, loads: int) -> np.ndarray:
    """Sums of the pairs of loads, (phases, pairs, sums), as symmetric matrices (phases, loads, loads, sums)."""
    rows, columns = np.tril_indices(loads)
    out = np.empty((len(values), loads, loads, values.shape[-1]))
    out[:, rows, columns] = out[:, columns, rows] = values
    return out


def _forms(size: int) -> np.ndarray:
    """What products of traces, of normal and half the shear, and of shear components have as matrices: a basis of the tensors of
    cubic symmetry, whose first two are one of the isotropic ones.
    """
    if size == 3:
        return np.eye(3)[None]
    trace, normal, shear = _parts()
    return np.stack([trace, normal + shear / 2, shear])


def _means(size: int) -> np.ndarray:
    """Dual to `_forms`: the mean of ``x y^T`` over the symmetries of the cube is these times the products."""
    if size == 3:
        return np.eye(3)[None] / 3
    trace, normal, shear = _parts()
    mixed = (trace - normal) / 6
    both = normal / 3 - mixed
    return np.stack([mixed, both, shear / 3 - both / 2])


def _parts() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Products of traces, of normal and of shear components as matrices."""
    normal = np.diag([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])
    trace = np.zeros((6, 6))
    trace[:3, :3] = 1.0
    return trace, normal, np.eye(6) - normal


def symmetry(tensors: np.ndarray) -> np.ndarray:
    """`ISOTROPIC`, `CUBIC` along the axes, or `ANY`: the symmetry of tensors (..., n, n), Voigt form, up to rounding."""
    size = tensors.shape[-1]
    allowed, out = _ROUNDING * np.abs(tensors).max(axis=(-2, -1)), np.zeros(tensors.shape[:-2], int)
    for kind, sums in ((CUBIC, 3), (ISOTROPIC, 2)):
        means, forms = _means(size)[:sums], _forms(size)[:sums]
        mean = np.einsum("kab,...ab,kcd->...cd", means, tensors, forms, optimize=True)
        out[np.abs(tensors - mean).max(axis=(-2, -1)) <= allowed] = kind
    return out
