"""Trilinear finite elements on a periodic voxel grid: matrix-free stiffness, Green operator and updates of conjugate gradients.

Every voxel is one element with 2x2x2 Gauss points; node (i, j, k) is the lower corner of voxel (i, j, k). `element` holds the
mathematics of a voxel, which is printed for both devices; `cpu` and `cuda` the loops around it.

Leaving all but the constant polynomial of the strain out is the rotated scheme (Willot, C. R. Mecanique 343 (2015) 232), i.e. one
Gauss point a voxel.

Tensors are in the order xx, yy, zz, yz, xz, xy with engineering shear strains. All sums over voxels are in double precision.
"""

from __future__ import annotations

from .cpu import VoxelKernels, WalledKernels
from .material import Material, pack, reference_table, unpack

__all__ = ["Material", "VoxelKernels", "WalledKernels", "pack", "reference_table", "unpack"]
