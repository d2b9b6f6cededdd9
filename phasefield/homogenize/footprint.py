"""How much memory a homogenization takes beyond the program itself, counted from the arrays that it holds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

#: Bytes of a voxel while voxels are made of a diffuse field: the field and its indicator (24), fractions and normals (32),
#: entries (12) and masks; and what a share adds: the field with the planes of neighbours.
_MAKING, _WINDOW = 85, 8
#: Planes of neighbours that voxels are made with, and that operators hold.
_BEYOND, _GHOSTS = 4, 2
#: Bytes of a mixed voxel: its two phases, fraction and normal (40), its number among the rest of its row, counts and weights
#: (24); numbers of its packed tensor, which is there in the axes of the image and of the arrays, and of its stress and copies.
_ENTRY = 64
_CONSTANTS, _STRESS = {1: 6, 3: 21}, {1: 6, 3: 24}


@dataclass(frozen=True)
class Footprint:
    """Bytes of one process at their most.

    Attributes:
        making: while voxels are made of the image. solving: of the solver with image and voxels.
    """

    making: int
    solving: int

    @property
    def most(self) -> int:
        return max(self.making, self.solving)


def footprint(
    shape: Sequence[int],
    elastic: bool,
    cut: float = 0.0,
    diffuse: bool = True,
    processes: int = 1,
    jacobi: bool = False,
    precision: str = "double",
) -> Footprint:
    """The memory of one of several processes that share an image by planes, or of one that has all of it, a load at a time.

    Args:
        shape: of the image. elastic: whether displacements are solved for. cut: share of the voxels that are mixed.
        diffuse: whether the image is a field of 8 bytes a voxel, not labels. jacobi: whether the preconditioner scales.
    """
    planes = -(-shape[0] // processes)
    voxels = planes * math.prod(shape[1:])
    size, components = {"double": 8, "single": 4}[precision], 3 if elastic else 1
    shared = processes > 1
    making = (_MAKING + _WINDOW * shared) * (1 + (_BEYOND / planes if shared else 0)) if diffuse else 17
    fields = (4 * components + jacobi) * size * (
        1 + (_GHOSTS / planes if shared else 0)
    ) + 2 * components * size / shape[-1]
    # The image (labels of 4 bytes, and what they were read as), and entries of voxels: of a share also with the planes beyond, in
    # the order of images and of operators.
    held = 12 + 8 * shared
    # Columns of all components and rows of one that ranks read of each other; of one process the room that plans are made in.
    transforms = (components + 1) * size if shared else size
    entry = _ENTRY + 2 * 8 * _CONSTANTS[components] + 8 * _STRESS[components]
    return Footprint(int(voxels * making), int(voxels * (fields + held + transforms + cut * entry)))
