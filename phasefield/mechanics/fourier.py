"""The plain Fourier discretisation (Moulinec and Suquet, Comput. Methods Appl. Mech. Eng. 157 (1998) 69), for comparison.

Values sit at the voxel centres and derivatives are those of the trigonometric interpolant. The fields oscillate at sharp
interfaces, and the energy is no bound, as that of ``q1`` is where no voxel is cut. Written for clarity, not for speed; there is
no solver on the soft side of cut voxels: ``solver.preconditioner=auto`` takes Green-Jacobi for Green-Schwarz here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend.voxel import HostTensorField, unpack
from .conjugate_gradients import ArrayUpdates
from .tensors import Array

_ENGINEERING = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


class FourierTensorField(HostTensorField):
    """A field of tensors in Voigt form; table: as matrices, (entries, n, n)."""

    def __init__(self, index: np.ndarray, packed: Array, cut: np.ndarray | None = None) -> None:
        super().__init__(index, packed, "float64", cut)
        self.table = unpack(packed)


class FourierOperators(ArrayUpdates):
    """Operators of the trigonometric discretisation, in double precision and on one thread, whatever ``solver.threads`` says.

    Args:
        shape: voxels along the three array axes. spacing: edge lengths. components: 1 or 3.
    """

    #: One load after the other.
    batch_bytes = tensor_bytes = 0
    #: Nor is anything kept.
    scratch_bytes = 0
    #: `surface` is not there.
    has_surface = False

    def __init__(self, shape: tuple[int, int, int], spacing: tuple[float, float, float], components: int) -> None:
        self.shape, self.components, self.dtype = shape, components, np.dtype("float64")
        waves = []
        for d, (n, h) in enumerate(zip(shape, spacing, strict=True)):
            k = 2 * np.pi * (np.fft.rfftfreq(n, h) if d == 2 else np.fft.fftfreq(n, h))
            if n % 2 == 0:
                k[n // 2] = 0.0  # the derivative of the highest mode of an even grid is not defined
            waves.append(k)
        self.waves = np.stack(np.meshgrid(*waves, indexing="ij"))

    def field(self, loads: int = 1) -> Array:
        """Zeroed fields, (loads, components, n0, n1, n2)."""
        return np.zeros((loads, self.components, *self.shape))

    spectral = field

    def tensor_field(self, index: np.ndarray, packed: Array, cut: np.ndarray | None = None) -> FourierTensorField:
        return FourierTensorField(index, packed, cut)

    def every_voxel(self) -> np.ndarray:
        return np.arange(np.prod(self.shape), dtype=np.int32).reshape(self.shape)

    def assign(self, field: Array, values: Array | None) -> None:
        """``field = values``; None for zero."""
        field[...] = 0.0 if values is None else values

    def to_host(self, field: Array) -> Array:
        return field.copy()

    def dot(self, u: Array, w: Array) -> Array:
        return np.asarray(np.einsum("lcxyz,lcxyz->l", u, w))

    def gradient(self, u: Array) -> Array:
        """Derivatives (components, 3, n0, n1, n2) at the voxel centres."""
        modes = np.fft.rfftn(u, axes=(1, 2, 3))
        return np.fft.irfftn(1j * self.waves[None] * modes[:, None], self.shape, axes=(2, 3, 4))

    def _divergence(self, flux: Array) -> Array:
        """Transpose of the gradient, from (n0, n1, n2, components, 3)."""
        modes = np.fft.rfftn(np.moveaxis(flux, (-2, -1), (0, 1)), axes=(2, 3, 4))
        return np.fft.irfftn(np.sum(-1j * self.waves[None] * modes, axis=1), self.shape, axes=(1, 2, 3))

    def apply(self, u: Array, w: Array, tensors: FourierTensorField) -> tuple[Array, Array]:
        """``w = K u``; returns ``u . w`` and the sum of the stress (flux) over the voxels, per load."""
        sums = []
        for fields, out in zip(u, w, strict=True):
            gradient = np.moveaxis(self.gradient(fields), (0, 1), (-2, -1))
            if self.components == 1:
                strain = gradient[..., 0, :]
            else:
                parts = [gradient[..., i, j] + (gradient[..., j, i] if i != j else 0.0) for i, j in _ENGINEERING]
                strain = np.stack(parts, axis=-1)
            stress = np.einsum("...ij,...j->...i", tensors.table[tensors.index], strain)
            out[...] = self._divergence(self._full(stress))
            sums.append(stress.reshape(-1, stress.shape[-1]).sum(axis=0))
        return self.dot(u, w), np.stack(sums)

    def _full(self, stress: Array) -> Array:
        return stress[..., None, :] if self.components == 1 else stress[..., [[0, 5, 4], [5, 1, 3], [4, 3, 2]]]

    def nodal_forces(self, w: Array, index: np.ndarray, table: Array) -> None:
        """``w = B^T s`` for ``s = table[:, index]``, (loads, entries, components, 3)."""
        for out, each in zip(w, table, strict=True):
            out[...] = self._divergence(each[index])

    def green(self, w: Array, reference: Array) -> Array:
        """``w = G w`` with the Green operator of a homogeneous medium; returns ``w . G w`` per load."""
        before = w.copy()
        k = np.moveaxis(self.waves, 0, -1)
        modes: Array = np.moveaxis(np.fft.rfftn(w, axes=(2, 3, 4)), 1, -1)
        squares = np.stack([k[..., i] * k[..., j] for i, j in _ENGINEERING], axis=-1)
        if self.components == 1:
            symbol = (squares @ (reference * [1, 1, 1, 2, 2, 2]))[..., None, None]
        else:
            six = squares @ reference.T
            symbol = six[..., [[0, 5, 4], [5, 1, 3], [4, 3, 2]]]
        zero = np.sum(k * k, axis=-1) == 0
        symbol[zero] = np.eye(self.components)
        modes = np.linalg.solve(symbol, modes[..., None])[..., 0]
        modes[:, zero] = 0.0
        w[...] = np.fft.irfftn(np.moveaxis(modes, -1, 1), self.shape, axes=(2, 3, 4))
        return self.dot(before, w)

    def surface(self, tensors: FourierTensorField, stiff: np.ndarray) -> Any:
        raise NotImplementedError("the trigonometric discretisation has no nodes of voxels")

    def corner_mean(self, tensors: FourierTensorField, value: Array, power: float = 1.0) -> Array:
        """``value[index]`` to a power: nodes are the centres here."""
        return np.asarray(value[tensors.index] ** power)
