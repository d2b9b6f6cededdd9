"""What operators on voxels are of."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class VoxelGrid:
    """Voxels, and the field that is sought on their nodes.

    Attributes:
        shape: voxels along the three array axes. spacing: edge lengths of a voxel.
        components: 1 (scalar) or 3 (elastic).
        precision: ``double`` or ``single``.
        full: all polynomials (2x2x2 Gauss points) or the constant one alone (rotated scheme).
    """

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    components: int
    precision: str = "double"
    full: bool = True

    @property
    def dtype(self) -> str:
        """NumPy's name of the precision."""
        return "float64" if self.precision == "double" else "float32"

    def planes(self, count: int) -> VoxelGrid:
        """The same with so many planes along the first axis."""
        return replace(self, shape=(count, *self.shape[1:]))
