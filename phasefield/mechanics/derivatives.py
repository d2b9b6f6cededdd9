"""What the local fields of a solved cell say of other tensors: ``<e_i : dC : e_j>``, by phase or by the entries of a table.

The displacement that a load causes makes its energy stationary, so that to first order a change of the material changes the
energy at fixed fields alone (Hellmann and Feynman's theorem; in mechanics the adjoint method of Haftka and Guerdal, Elements of
Structural Optimization, 3rd ed. (1992), ch. 7). No further solve is needed. A laminate voxel is a cell problem of its own, with
fields in its two layers, so the same holds for its mixed tensor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..backend.voxel import pack
from .cell import CellProblem
from .tensors import Array


@dataclass(frozen=True)
class Layers:
    """Which phases the entries of a cell consist of: laminates of two, or pure.

    Attributes:
        first, second, fraction, normal: of the entries, see `images.Voxels`. tensors: of the phases, in the axes of the image.
    """

    first: np.ndarray
    second: np.ndarray
    fraction: Array
    normal: Array
    tensors: Array


class PhaseMoments:
    """Second moments of the local strains (gradients) of some loads, phase by phase.

    Args:
        cell: solved. fluctuations: of the loads. means: strains (Mandel) or gradients of the loads, (loads, size).
        stress: of stress-free strains held at zero, (phases, loads, size); none if None.
        changes: all that `products` will be asked for, (n, phases, size, size): where they are isotropic or of cubic symmetry,
            fewer sums are enough, and `means` are not known. Anything if None.
    """

    def __init__(
        self,
        cell: CellProblem,
        layers: Layers,
        fluctuations: Sequence[np.ndarray],
        means: Array,
        stress: Array | None = None,
        changes: Array | None = None,
    ) -> None:
        from ..backend.voxel.moments import ISOTROPIC, PhaseGeometry, phase_moments, symmetry

        self._axes, self._loads = cell.axes, len(means)
        axes, medium = cell.axes, cell.medium
        local = axes.tensor(layers.tensors)
        symmetries = None if changes is None else symmetry(axes.tensor(changes)).min(axis=0)
        normal = axes.vector(layers.normal)
        whole = np.ones(len(layers.first), bool) if medium.cut is None else ~medium.cut[: len(layers.first)]
        parts = [layers.first, layers.second, layers.fraction, normal, whole, local]
        if len(medium.packed) > len(layers.first):  # the layer of voids behind free faces is a phase of its own
            void = len(local)
            parts = [
                np.append(np.asarray(part), [row], axis=0)
                for part, row in zip(parts, (void, void, 1.0, np.zeros(3), True, np.zeros_like(local[0])), strict=True)
            ]
            if stress is not None:
                stress = np.append(stress, np.zeros_like(stress[:1]), axis=0)
            if symmetries is not None:
                symmetries = np.append(symmetries, ISOTROPIC)
        full = cell.options.scheme == "q1"
        sums = phase_moments(
            PhaseGeometry(medium.index, *parts), axes.step, full, fluctuations, axes.gradient(means),
            None if stress is None else axes.flux(stress), cell.options.threads, symmetries,
        )  # fmt: skip
        self._moments = sums[: len(layers.tensors)] / cell.voxels

    def products(self, changes: Array) -> Array:
        """``sum over phases <share e_i : changes : e_j>``, (loads, loads), for changes (phases, n, n) in the image's axes."""
        where = np.flatnonzero(changes.any(axis=(1, 2)))
        loads, size = self._loads, changes.shape[-1]
        second = self._moments[where, :-1, :-1].reshape(len(where), loads, size, loads, size)
        return np.asarray(np.einsum("piajb,pab->ij", second, self._axes.tensor(changes[where]), optimize=True))

    def means(self, stresses: Array) -> Array:
        """``sum over phases <share e_i : stresses>``, (loads,), for stresses (phases, size)."""
        first = self._moments[:, -1, :-1].reshape(len(stresses), self._loads, -1)
        return np.asarray(np.einsum("pia,pa->i", first, self._axes.flux(stresses)))


class TableProducts:
    """The same by tables of the entries, for whatever an entry is mixed of; six products with the operator for each table.

    Args: as of `PhaseMoments`.
    """

    def __init__(self, cell: CellProblem, fluctuations: Sequence[np.ndarray], means: Array) -> None:
        self._cell, self._fluctuations = cell, fluctuations
        self._means = cell.axes.gradient(means)

    def _extended(self, table: Array) -> Array:
        """With the layer of voids behind free faces."""
        more = len(self._cell.medium.packed) - len(table)
        return np.concatenate([table, np.zeros((more, *table.shape[1:]))]) if more else table

    def products(self, table: Array) -> Array:
        """``<e_i : table : e_j>``, (loads, loads), for tensors of the entries (entries, n, n)."""
        cell, k = self._cell, self._cell.operators
        local = self._extended(cell.axes.tensor(table))
        tensors = k.tensor_field(cell.medium.index, pack(local), cell.medium.cut)
        u, _, _, w = cell.workspace.fields()
        loads = len(self._means)
        work, sums = np.zeros((loads, loads)), np.zeros((loads, local.shape[-1]))
        for j, fluctuation in enumerate(self._fluctuations):
            k.assign(u[0], fluctuation)
            own, stress = k.apply(u, w, tensors)
            sums[j], work[j, j] = stress[0], own[0]
            for i in range(j):
                k.assign(u[0], self._fluctuations[i])
                work[i, j] = work[j, i] = k.dot(u, w)[0]
        cross = self._means @ sums.T
        uniform = self._means @ np.tensordot(cell.medium.counts, local, 1) @ self._means.T
        return np.asarray((uniform + cross + cross.T + work) / cell.voxels)

    def means(self, table: Array) -> Array:
        """``<e_i : table>``, (loads,), for stresses of the entries (entries, 6) Mandel."""
        cell, k = self._cell, self._cell.operators
        local = self._extended(cell.axes.flux(table))
        u, _, _, w = cell.workspace.fields()
        k.nodal_forces(w, cell.tensors.index, cell.axes.rows(local)[None])
        out = self._means @ (cell.medium.counts @ local)
        for i, fluctuation in enumerate(self._fluctuations):
            k.assign(u[0], fluctuation)
            out[i] += k.dot(u, w)[0]
        return np.asarray(out / cell.voxels)
