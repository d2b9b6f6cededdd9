"""The axes of an image, and those of the three-dimensional arrays that its cell problem is solved on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from . import tensors
from .tensors import Array

#: Array axes of the axes of an image, by their number; along the others nothing varies.
_PLACES = {1: (2,), 2: (0, 2), 3: (0, 1, 2)}
#: Engineering shear strains are twice the tensor's components.
_SHEAR = np.array([1.0, 1.0, 1.0, 2.0, 2.0, 2.0])


class ArrayAxes:
    """Vectors and tensors from x, y, z to the axes of the arrays and back.

    In the arrays' axes stresses are (..., 6) in Voigt form, strains have engineering shear components, fluxes are (..., 3).

    Args:
        shape, spacing: of the image, 1 to 3 axes. elastic: whether fields are displacements.

    Attributes:
        shape, step: voxels and edge lengths along three axes, the lengths in units of the shortest one, for third powers of
            squared derivatives must stay within single precision. places: array axes of the image's axes.
    """

    def __init__(self, shape: Sequence[int], spacing: Sequence[float], elastic: bool) -> None:
        self.elastic, self.size = elastic, 6 if elastic else 3
        self.places = _PLACES[len(shape)]
        sizes, steps = [1, 1, 1], [1.0, 1.0, 1.0]
        for place, n, h in zip(self.places, shape, spacing, strict=True):
            sizes[place], steps[place] = n, h / min(spacing)
        self.shape, self.step = (sizes[0], sizes[1], sizes[2]), (steps[0], steps[1], steps[2])
        # Rows: array axes, columns: x, y, z. The image's axes come first, the ones it lacks fill the rest.
        rest = [p for p in range(3) if p not in self.places]
        self._turn = np.zeros((3, 3))
        for axis, place in enumerate([*self.places, *rest]):
            self._turn[place, axis] = 1.0
        self._mandel = tensors.rotation_mandel(self._turn)

    def tensor(self, tensor: Array) -> Array:
        """Tensors (..., n, n) in the axes of the arrays; stiffness in Voigt form."""
        turned = tensors.rotate(tensor, self._turn)
        return tensors.to_voigt(turned) if self.elastic else turned

    def tensor_back(self, tensor: Array) -> Array:
        """The inverse of `tensor`."""
        return tensors.rotate(tensors.from_voigt(tensor) if self.elastic else tensor, self._turn.T)

    def vector(self, vector: Array) -> Array:
        """Vectors (..., 3), such as normals, in the axes of the arrays."""
        return np.asarray(vector @ self._turn.T)

    def flux(self, vector: Array) -> Array:
        """Mandel stress (..., 6), or flux (..., 3), in the axes of the arrays."""
        if not self.elastic:
            return np.asarray(vector @ self._turn.T)
        return np.asarray(vector @ self._mandel.T / tensors.FACTOR)

    def flux_back(self, vector: Array) -> Array:
        """The inverse of `flux`."""
        if not self.elastic:
            return np.asarray(vector @ self._turn)
        return np.asarray((vector * tensors.FACTOR) @ self._mandel)

    def gradient(self, vector: Array) -> Array:
        """Mandel strain (..., 6), or gradient (..., 3), in the axes of the arrays."""
        return self.flux(vector) * _SHEAR if self.elastic else self.flux(vector)

    def gradient_back(self, derivatives: Array) -> Array:
        """Mandel strain (..., 6), or gradient (..., 3), from derivatives (components, 3, ...) along the axes of the arrays."""
        if not self.elastic:
            return self.flux_back(np.moveaxis(derivatives[0], 0, -1))
        pairs = [derivatives[i, j] + (derivatives[j, i] if i != j else 0.0) for i, j in tensors.PAIRS]
        return self.flux_back(np.moveaxis(np.stack(pairs), 0, -1) / _SHEAR)

    def rows(self, flux: Array) -> Array:
        """(..., size) in the axes of the arrays as (..., components, 3)."""
        return flux[..., [[0, 5, 4], [5, 1, 3], [4, 3, 2]]] if self.elastic else flux[..., None, :]
