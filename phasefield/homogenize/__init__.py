"""From the microstructure to effective properties, with the evidence beside each number.

`command.run` is what the command line calls; from Python: ``homogenize(image, system, Settings(...))``.
"""

from __future__ import annotations

from ..images.voxels import Voxels
from ..mechanics.cell import CellProblem
from ..mechanics.materials import build, read_material
from ..mechanics.options import Options
from ..mechanics.phases import MaterialSystem
from .properties import homogenize
from .reading import Image, Snapshots, from_array, read_file
from .result import Result
from .settings import Settings

__all__ = [
    "CellProblem", "Image", "MaterialSystem", "Options", "Result", "Settings", "Snapshots", "Voxels", "build", "from_array",
    "homogenize", "read_file", "read_material",
]  # fmt: skip
