"""Voxels whose phases have properties: the table of tensors that a cell problem takes."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from ..backend.voxel import pack
from ..images import Voxels
from ..mechanics.mixing import mix, mixed_stress
from ..mechanics.tensors import Array

#: Entries mixed at once: a table of full tensors would take more room than the solver.
_CHUNK = 1 << 14


@dataclass(frozen=True)
class Mixture(Voxels):
    """Voxels as mixtures of phases; tensors of the phases, (phases, n, n), give those of the entries."""

    @classmethod
    def of(cls, voxels: Voxels) -> Mixture:
        """The mixture of what an image gave; one that is a mixture already stays as it is."""
        if isinstance(voxels, Mixture):
            return voxels
        return Mixture(**{f.name: getattr(voxels, f.name) for f in fields(Voxels)})

    def tensors(self, pure: Array) -> Array:
        """The property's tensor of every entry, (entries, n, n), from those of the phases, (phases, n, n)."""
        return mix(self.rule, pure[self.first], pure[self.second], self.fraction, self.normal)

    def packed(self, pure: Array) -> Array:
        """The same as constants (entries, 6) or (entries, 21), see `pack`."""
        parts = []
        for at in range(0, len(self.first), _CHUNK):
            a, b, f, n = (x[at : at + _CHUNK] for x in (self.first, self.second, self.fraction, self.normal))
            parts.append(pack(mix(self.rule, pure[a], pure[b], f, n)))
        return np.concatenate(parts)

    def stresses(self, stiffness: Array, strain: Array) -> Array:
        """Stress (entries, 6) that the stress-free strains (phases, 6) of the phases cause in entries held at zero strain."""
        first, second = ((stiffness[k], strain[k]) for k in (self.first, self.second))
        return mixed_stress(self.rule, first, second, self.fraction, self.normal)
