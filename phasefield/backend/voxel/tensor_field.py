"""TensorField tensors by voxel, and the tables that operators on voxels are made from.

Tensors are in the order xx, yy, zz, yz, xz, xy with engineering shear strains.
"""

from __future__ import annotations

import numpy as np

#: Row and column of the packed constants of symmetric matrices, and the packed position of every row and column.
_UPPER = {3: (np.array([0, 1, 2, 1, 0, 0]), np.array([0, 1, 2, 2, 2, 1])), 6: np.triu_indices(6)}


def positions(order: int) -> np.ndarray:
    """(order, order): where the packed constants hold each component of a symmetric matrix.

    That of order 3 is also where the order xx, yy, zz, yz, xz, xy holds the components of a symmetric tensor.
    """
    out = np.empty((order, order), int)
    rows, columns = _UPPER[order]
    out[rows, columns] = out[columns, rows] = np.arange(len(rows))
    return out


def pack(tensors: np.ndarray) -> np.ndarray:
    """(entries, 6, 6) or (entries, 3, 3) symmetric matrices as (entries, 21) or (entries, 6) constants."""
    rows, columns = _UPPER[tensors.shape[-1]]
    return np.ascontiguousarray(tensors[..., rows, columns])


def unpack(packed: np.ndarray) -> np.ndarray:
    """The inverse of `pack`."""
    return packed[..., positions(6 if packed.shape[-1] == 21 else 3)]


class TensorField:
    """The table of a field of tensors, one for each of its entries; backends hold with it which entry every voxel has.

    Args:
        packed: (entries, 6) or, in engineering (Voigt) form, (entries, 21), see `pack`.
        dtype: of the tables.
        cut: per entry, whether it is a mixture of phases. The tensor of a mixture relates mean strain to mean stress; what the
            strain does within the voxel it does not know, so such voxels take the constant polynomial alone in any scheme.
            Measured on cylinders with laminate voxels this divides the error by four.

    Attributes:
        tensor: the packed tensors, on the host. isotropic, whole: per entry. constants: (entries, 1) or (entries, 2), the
            isotropic constants, zero for other entries.
    """

    def __init__(self, packed: np.ndarray, dtype: str = "float64", cut: np.ndarray | None = None) -> None:
        self.order = 6 if packed.shape[-1] == 21 else 3
        self.tensor = np.ascontiguousarray(packed, dtype=dtype)
        if self.order == 3:
            constants = packed[:, :1]
            expected = np.array([[1.0, 1, 1, 0, 0, 0]])
        else:
            constants = packed[:, [1, 15]]  # lambda, mu
            expected = np.zeros((2, 21))
            expected[0, [0, 1, 2, 6, 7, 11]] = 1
            expected[1, [0, 6, 11, 15, 18, 20]] = [2, 2, 2, 1, 1, 1]
        off = np.abs(packed - constants @ expected).max(axis=1)
        self.isotropic = off <= 1e-14 * np.abs(packed).max(axis=1)
        self.constants = np.where(self.isotropic[:, None], constants, 0.0)
        self.whole = np.ones(len(packed), bool) if cut is None else ~cut

    def product(self, strain: np.ndarray) -> np.ndarray:
        """Stress (entries, order) of every entry for one strain."""
        if np.count_nonzero(strain) == 1:  # unit loads: a column
            (load,) = np.flatnonzero(strain)
            return np.asarray(self.tensor[:, positions(self.order)[load]] * strain[load])
        factors = np.zeros((self.tensor.shape[1], self.order))
        for i, row in enumerate(positions(self.order)):
            factors[row, i] = strain
        return np.asarray(self.tensor @ factors)


class HostTensorField(TensorField):
    """The same in the memory of the host.

    Args:
        index: entry of every voxel, int32, shape of the grid. Others as for `TensorField`.
    """

    def __init__(
        self, index: np.ndarray, packed: np.ndarray, dtype: str = "float64", cut: np.ndarray | None = None
    ) -> None:
        super().__init__(packed, dtype, cut)
        self.index = index

    @property
    def nbytes(self) -> int:
        """Bytes of what is held."""
        return self.index.nbytes + self.tensor.nbytes + self.whole.nbytes


def reference_table(stiffness: np.ndarray) -> np.ndarray:
    """The (6, 6) array ``k[ik, jl]`` of `VoxelOperators.green` for a stiffness in Voigt form."""
    voigt, pairs = positions(3), list(zip(*_UPPER[3], strict=True))
    k = np.empty((6, 6))
    for a, (i, m) in enumerate(pairs):
        for b, (j, n) in enumerate(pairs):
            k[a, b] = stiffness[voigt[i, j], voigt[m, n]]
            if j != n:
                k[a, b] += stiffness[voigt[i, n], voigt[m, j]]
    return k
