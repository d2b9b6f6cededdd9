"""Images of microstructures: files to values on the axes x, y, z, these to phases and interfaces, and to voxels.

What initial conditions and homogenization read alike. Nothing here knows of properties, models or runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .image import Image
    from .voxels import Voxels

__all__ = ["Image", "Voxels"]


def __getattr__(name: str) -> Any:
    # Initial conditions read pictures without any of the geometry.
    if name == "Image":
        from .image import Image

        return Image
    if name == "Voxels":
        from .voxels import Voxels

        return Voxels
    raise AttributeError(name)
