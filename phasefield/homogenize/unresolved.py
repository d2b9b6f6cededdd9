"""What elements are off by in the voxels as they are, where halving the grid does not show it.

Half of an image of noise is noise again, and as far off: what changes is the sample, and by accident nothing. Nor does half a
grid show all of what keeps trilinear elements from following a phase that is nearly incompressible. Then the evidence is

- another scheme on the same voxels. With all Gauss points an element must keep a voxel's volume in eight of them, with three
  displacements a node: it is too stiff where bulk moduli differ from voxel to voxel or are large, and reduced integration is not
  (Hughes, The Finite Element Method, 1987, ch. 4).
- each voxel cut in two along every axis, which halves the edge of the elements and nothing else.

Both on one block of a large image: an image whose voxels differ from their neighbours holds the statistics of many in a few.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise, product

import numpy as np
from numpy.typing import NDArray

from ..images.voxels import Voxels
from ..mechanics import tensors
from ..mechanics.cell import CellProblem
from ..mechanics.tensors import Array
from ..planes import ALONE, Planes
from . import bounds
from .cells import PropertyVoxels, effective, symmetric
from .problem import varying

#: Mean chord, in voxels, below which a grid of half the voxels shows another image, and below which it may.
NOISE, FINE = 3.0, 6.0
#: K/G (nu = 0.45) of a phase from which elements with all Gauss points feel that they cannot keep their volume.
STIFF_IN_VOLUME = 10.0
#: What differences are multiplied by, see `evidence.remainder`.
_SAFETY = 1.5
#: Largest edge of a block, in voxels, by the number of axes that anything varies along.
_EDGE = {2: 64, 3: 16}
#: Accuracy of the solves.
_TOLERANCE = 1e-4


def mean_chord(voxels: Voxels) -> float:
    """Mean length of the runs of voxels of one phase along the axes, in voxels; infinite where there is one phase.

    A cut voxel counts for the phase that fills most of it.
    """
    planes, phase = voxels.planes, _dominant(voxels)
    own = planes.own(phase)
    axes = varying(voxels.shape)
    faces = sum(np.count_nonzero(own != (planes.behind(phase) if d == 0 else np.roll(own, 1, d))) for d in axes)
    faces = planes.sum(faces)
    return len(axes) * voxels.size / faces if faces else np.inf


def uncertainty(made: PropertyVoxels, tensor: Array, loads: Sequence[int], slowest: float, chord: float) -> float:
    """Relative error of the elements, of the load that feels it most; 0 where the grid of half the voxels tells enough.

    Args:
        tensor: effective, of the scheme of the settings. loads: its components.
        slowest: ratio of changes from grid to grid, see `evidence.crosswise`. chord: see `mean_chord`.
    """
    block, planes = np.ix_(loads, loads), made.voxels.planes
    if len(made.problem.axes) > 1 and chord < FINE:
        made, index = _roughest(made)
        spacing = made.voxels.spacing
        own = _solved(made, index, spacing, loads)
        cut, half = _cut(index), tuple(s / 2 if n > 1 else s for s, n in zip(spacing, index.shape, strict=True))
        finer = _solved(made, cut, half, loads)
        change = bounds.energy_difference(own[block], finer[block]) / (1 - slowest)
        if made.problem.settings.solver.scheme == "rotated":
            return planes.first(_SAFETY * change)
        other = _solved(made, index, spacing, loads, "rotated")
        return planes.first(_SAFETY * max(change, bounds.energy_difference(own[block], other[block])))
    if locks(made):
        other = _solved(made, made.voxels.index, made.voxels.spacing, loads, "rotated", planes)
        return _SAFETY * bounds.energy_difference(tensor[block], other[block])
    return 0.0


def locks(made: PropertyVoxels) -> bool:
    """Whether a phase resists changes of volume so much more than shear that elements with all Gauss points are too stiff."""
    if made.size != 6 or made.problem.sheet(made.name) or made.problem.settings.solver.scheme != "q1":
        return False
    there = np.flatnonzero((made.voxels.volume_fractions > 0) & made.pure.any(axis=(1, 2)))
    moduli = [tensors.isotropic_moduli(made.pure[k]) for k in there]
    return any(m["K"] > STIFF_IN_VOLUME * m["G"] for m in moduli)


def _solved(
    made: PropertyVoxels,
    index: NDArray[np.integer],
    spacing: Sequence[float],
    loads: Sequence[int],
    scheme: str | None = None,
    planes: Planes = ALONE,
) -> Array:
    """The periodic tensor of voxels with the tensors of ``made``."""
    solver = made.problem.settings.solver
    options = replace(solver, scheme=scheme or solver.scheme, tolerance=max(solver.tolerance, _TOLERANCE))
    if scheme:
        options = replace(options, preconditioner="auto")
    cell = CellProblem(np.ascontiguousarray(index), made.table, spacing, options, made.voxels.cut, planes=planes)
    return symmetric(effective(cell, loads, f"{made.name} (estimate)")[0])


def _dominant(voxels: Voxels) -> NDArray[np.integer]:
    return np.asarray(np.where(voxels.fraction >= 0.5, voxels.first, voxels.second)[voxels.index])


def _chord(phase: NDArray[np.integer]) -> float:
    axes = varying(phase.shape)
    faces = sum(np.count_nonzero(phase != np.roll(phase, 1, d)) for d in axes)
    return len(axes) * phase.size / faces if faces else np.inf


def _roughest(made: PropertyVoxels) -> tuple[PropertyVoxels, NDArray[np.integer]]:
    """The block of a large image that has the shortest chords, and voxels with the tensors of its entries."""
    voxels, planes = made.voxels, made.voxels.planes
    blocks = list(_blocks(voxels.shape))
    if not planes.shared:
        phase = _dominant(voxels)
        return made, voxels.index[min(blocks, key=lambda at: _chord(phase[at]))]
    # Every process looks at the blocks that begin in its planes; the one that has it hands out the first of the roughest.
    mine = [k for k, at in enumerate(blocks) if at[0].start in planes.mine]
    low = planes.mine.start
    high = max([planes.mine.stop, *(blocks[k][0].stop for k in mine)])
    table = voxels.table | {"packed": made.table}
    index, columns = planes.table_window(voxels.own, table, voxels.phases, low, high)
    packed = columns.pop("packed")
    wide = replace(voxels, index=index, planes=ALONE, **columns)
    phase = _dominant(wide)

    def within(k: int) -> tuple[slice, ...]:
        return (slice(blocks[k][0].start - low, blocks[k][0].stop - low), *blocks[k][1:])

    found = min(((_chord(phase[within(k)]), k) for k in mine), default=(np.inf, len(blocks)))
    chosen = min(planes.group.everywhere(found))
    part = None
    if found == chosen:
        rows, number = np.unique(index[within(chosen[1])], return_inverse=True)
        shape = index[within(chosen[1])].shape
        part = number.reshape(shape).astype(index.dtype), packed[rows], {k: v[rows] for k, v in columns.items()}
    number, packed, entries = next(p for p in planes.group.everywhere(part) if p is not None)
    block = replace(voxels, index=number, planes=ALONE, **entries)
    return replace(made, voxels=block, table=packed), number


def _blocks(shape: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    edge = _EDGE[len(varying(shape))]
    ends = [np.linspace(0, n, -(-n // edge) + 1).astype(int).tolist() for n in shape]
    yield from product(*([slice(a, b) for a, b in pairwise(e)] for e in ends))


def _cut(index: NDArray[np.integer]) -> NDArray[np.integer]:
    """Each voxel as two along every axis that anything varies along."""
    for d in varying(index.shape):
        index = np.repeat(index, 2, axis=d)
    return index
