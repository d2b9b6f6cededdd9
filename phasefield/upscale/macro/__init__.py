"""Macro-scale models that use effective properties: sequentially (cards, tensors) and two-way (a microstructure in every point).

`micro` says what a point asks of a microstructure, `points` solves many side by side, `elements` and `model` are the finite
elements above them (scikit-fem), `precice` the same microstructures for another solver's, `scales` whether all this is
allowed.
"""

from __future__ import annotations

from .micro import CellMicro, Function, Homogenized, Micro, Response, tangent_error
from .model import MacroModel, MacroSolution
from .points import Points
from .scales import Scales, diffusion_time, spacing_of_features

__all__ = [
    "CellMicro",
    "Function",
    "Homogenized",
    "MacroModel",
    "MacroSolution",
    "Micro",
    "Points",
    "Response",
    "Scales",
    "diffusion_time",
    "spacing_of_features",
    "tangent_error",
]
