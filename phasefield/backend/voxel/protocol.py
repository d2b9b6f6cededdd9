"""What a cell problem asks of a device: fields on the nodes of a voxel grid, and the operators of its discretisation."""

from __future__ import annotations

from typing import Protocol, TypeVar

import numpy as np

from .tensor_field import TensorField

#: A field, or several side by side, on the device: (loads, components, n0, n1, n2) for the caller, who keeps it and hands it
#: back, takes some of its loads as ``field[:loads]``, and looks no deeper.
F = TypeVar("F")
F_contra = TypeVar("F_contra", contravariant=True)
#: The device's form of a field of tensors; its index is an ``F``.
T = TypeVar("T", bound=TensorField)


class SurfaceSolver(Protocol[F_contra]):
    """An approximate inverse of the stiffness between the nodes on the soft side of cut voxels, see `surface`."""

    def solve(self, w: F_contra) -> None:
        """Solves for the residual ``w``; the solution is kept for `add`."""

    def add(self, w: F_contra) -> np.ndarray:
        """Adds the solution to ``w``; returns its product with the residual, (loads,)."""

    @property
    def nbytes(self) -> int:
        """Bytes of what is held."""


class VoxelOperators(Protocol[F, T]):
    """The operators of one voxel grid, for one (scalar) or three (elastic) components, on several loads at once.

    Operators work in place and return one number, or one row of sums, per load, on the host. Stresses are in the order xx, yy,
    zz, yz, xz, xy, strains have engineering shear components, and voxels volume 1.

    Attributes:
        shape: voxels along the three array axes. components: 1 or 3. dtype: of the fields.
        batch_bytes: bytes of fields that loads solved for together may have. tensor_bytes: the same of loads that are alike.
        scratch_bytes: bytes that are held besides fields. has_surface: whether `surface` is there.
    """

    shape: tuple[int, int, int]
    components: int
    dtype: np.dtype
    batch_bytes: int
    tensor_bytes: int
    has_surface: bool

    @property
    def scratch_bytes(self) -> int: ...

    def tensor_field(self, index: np.ndarray, packed: np.ndarray, cut: np.ndarray | None = None) -> T:
        """Tensors as `apply` wants them, see `TensorField`; index: int32 of `shape`."""

    def every_voxel(self) -> F:
        """An index that gives every voxel an entry of its own, in C order."""

    def field(self, loads: int = 1) -> F:
        """Zeroed fields of the nodes."""

    def spectral(self, loads: int = 1) -> F:
        """Zeroed fields with room for their transforms, for whatever is called ``w``."""

    def assign(self, field: F, values: np.ndarray | None) -> None:
        """``field = values`` from the host, of one load; None for zero."""

    def to_host(self, field: F) -> np.ndarray:
        """A copy of the nodal values of one load on the host, (components, n0, n1, n2)."""

    def gradient(self, u: np.ndarray) -> np.ndarray:
        """Derivatives (components, 3, n0, n1, n2) at the voxel centres, of values on the host."""

    def apply(self, u: F, w: F, tensors: T) -> tuple[np.ndarray, np.ndarray]:
        """``w = K u``; returns ``u . w`` (loads,) and the sum of the stress (loads, 6) or flux (loads, 3) over the voxels."""

    def nodal_forces(self, w: F, index: F, table: np.ndarray) -> None:
        """``w = B^T s`` for the stress ``s = table[:, index]``.

        Args:
            index: of a field of tensors, or of `every_voxel`. table: (loads, entries, components, 3), on the host.
        """

    def dot(self, u: F, w: F) -> np.ndarray:
        """``u . w`` of a field and one with room for transforms, (loads,)."""

    def green(self, w: F, reference: np.ndarray) -> np.ndarray:
        """``w = G w`` with the Green operator of a homogeneous medium; returns ``w . G w``, (loads,).

        Args:
            reference: shape (6,) xx, yy, zz, yz, xz, xy for scalars, else (6, 6), see `reference_table`; between walls
                (components, 3), the stiffness of each component to its own derivatives.
        """

    def corner_mean(self, tensors: T, value: np.ndarray, power: float = 1.0) -> F:
        """Mean of ``value[index]`` over the eight voxels around each node, to a power; shape of the grid.

        Args:
            value: (entries,), on the host.
        """

    def advance(self, alpha: np.ndarray, u: F, r: F, p: F, w: F, scaling: F | None = None) -> None:
        """``u += alpha p; r -= alpha w; w = scaling r``; no ``scaling`` means 1. ``alpha`` is (loads,)."""

    def direction(self, beta: np.ndarray, p: F, w: F, scaling: F | None = None) -> None:
        """``p = scaling w + beta p``"""

    def surface(self, tensors: T, stiff: np.ndarray) -> SurfaceSolver[F]:
        """The solver on the soft side of cut voxels; ``stiff`` is the size of every entry's tensor."""
