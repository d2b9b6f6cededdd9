"""Mechanics and transport on voxel grids: tensors, materials, mixing rules, cell problems linear and not, equilibrium with
eigenstrains.

Below the models: an energy may ask for it, and homogenization stands on it. Needs a voxel backend and nothing of images, models
or runs. Tensors are in Mandel form (`tensors`), units are whatever they come in.
"""

from __future__ import annotations

from .cell import CellProblem
from .equilibrium import ElasticBody, Equilibrium
from .loads import Load, Solution
from .options import Options

__all__ = ["CellProblem", "ElasticBody", "Equilibrium", "Load", "Options", "Solution"]
