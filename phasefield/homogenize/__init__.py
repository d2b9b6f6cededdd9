"""From the microstructure to effective properties, with the evidence beside each number.

`command.run` is what the command line calls; from Python: ``homogenize(image, system, Settings(...))``.
"""

from __future__ import annotations

from .image import Image, Snapshots, from_array, read_file
from .materials import MaterialSystem, build, load
from .properties import homogenize
from .result import Result
from .settings import Settings
from .solver import CellProblem, Options
from .voxels import Voxels

__all__ = [
    "CellProblem", "Image", "MaterialSystem", "Options", "Result", "Settings", "Snapshots", "Voxels", "build", "from_array",
    "homogenize", "load", "read_file",
]  # fmt: skip
