"""Trilinear finite elements on a periodic voxel grid: matrix-free stiffness, Green operator and updates of conjugate gradients.

Every voxel is one element with 2x2x2 Gauss points; node (i, j, k) is the lower corner of voxel (i, j, k). `element` holds the
mathematics of a voxel, which is printed for both devices; `cpu` and `cuda` the loops around it, behind one protocol.

Leaving all but the constant polynomial of the strain out is the rotated scheme (Willot, C. R. Mecanique 343 (2015) 232), i.e. one
Gauss point a voxel.

Tensors are in the order xx, yy, zz, yz, xz, xy with engineering shear strains. All sums over voxels are in double precision.
"""

from __future__ import annotations

import functools
import logging
import math
from typing import Any

import numpy as np

from ...errors import DeviceError
from ...planes import Planes, most_shares
from ..ranks import leading, world
from ..selection import gpu_wanted, threads_of_rank
from .grid import VoxelGrid
from .protocol import VoxelOperators
from .tensor_field import HostTensorField, TensorField, pack, reference_table, unpack

__all__ = [
    "HostTensorField", "TensorField", "VoxelGrid", "VoxelOperators", "pack", "reference_table", "slab_operators", "slab_order",
    "unpack", "voxel_operators",
]  # fmt: skip

log = logging.getLogger("phasefield")


def voxel_operators(
    device: str,
    boundary: str,
    grid: VoxelGrid,
    threads: int | None = None,
) -> VoxelOperators[Any, Any]:
    """The operators of one voxel grid on ``device`` = ``auto``, ``cpu`` or ``gpu``, see `VoxelOperators`.

    ``auto`` takes a GPU if there is one with room for the solver. Where several processes compute together the operators are
    theirs, if each can have a part of a periodic grid.

    Args:
        boundary: ``periodic``, ``kinematic`` or ``static``.

    Raises:
        DeviceError: ``gpu`` was asked for and there is none, or not enough of its memory.
    """
    shape = grid.shape
    if leading():
        if device == "gpu":
            raise DeviceError("device=gpu: several processes compute on CPUs\n  start one process for a GPU")
        if boundary == "periodic" and world().size <= most_shares(shape):
            from .ranks import RanksVoxelOperators

            return RanksVoxelOperators(grid, threads or threads_of_rank())
        log.info(
            "%s cannot be parted among the ranks: rank 0 alone computes", "walls" if boundary != "periodic" else shape
        )
    elif gpu_wanted(device):
        backend = _gpu(grid.precision)
        need, free = device_bytes(shape, grid.components, grid.precision), backend.memory_available()
        if need <= free:
            return on_gpu(backend, boundary, grid)
        short = f"the solver takes {need / 1e9:.1f} GB on {'x'.join(map(str, shape))} voxels, the GPU has {free / 1e9:.1f} free"
        if device == "gpu":
            raise DeviceError(f"device=gpu: {short}\n  Use device=cpu, or single precision.")
        log.info("%s; computing on the CPU", short)
    from .cpu import CpuVoxelOperators, CpuWalledOperators

    return CpuVoxelOperators(grid, threads) if boundary == "periodic" else CpuWalledOperators(boundary, grid, threads)


def slab_operators(planes: Planes, grid: VoxelGrid, threads: int | None = None) -> VoxelOperators[Any, Any]:
    """The operators of one periodic voxel grid for processes that share its ``planes`` and all run the solver."""
    from .common import CommonSlab

    return CommonSlab(planes, grid, threads or threads_of_rank())


def slab_order(wide: np.ndarray) -> np.ndarray:
    """Planes of a share with one more beyond either end, as operators want them: the share's, the next, the one before."""
    return np.roll(wide, -1, axis=0)


def on_gpu(backend: Any, boundary: str, grid: VoxelGrid) -> VoxelOperators[Any, Any]:
    """The operators on the device of a `CudaBackend`."""
    from .cuda import CudaVoxelOperators, CudaWalledOperators

    if boundary == "periodic":
        return CudaVoxelOperators(backend, grid)
    return CudaWalledOperators(backend, boundary, grid)


def device_bytes(shape: tuple[int, int, int], components: int, precision: str) -> int:
    """Bytes that a solver takes on a GPU, without those of a table of many entries and of a solve at the surface of laminates.

    Four fields, one of them padded, the work area of a transform, a scaling and the index of every voxel.
    """
    size = {"double": 8, "single": 4}[precision]
    padded = math.prod(shape[:2]) * 2 * (shape[2] // 2 + 1)
    return math.prod(shape) * ((3 * components + 1) * size + 4) + padded * (components + 1) * size


@functools.cache
def _gpu(precision: Any) -> Any:
    from ..cuda import CudaBackend

    return CudaBackend(precision)
