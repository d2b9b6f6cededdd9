"""Models: free-energy densities and the splittings derived from them."""

from .base import EnergyModel, OrderParameter, SpectralSplit, Split
from .continuation import below, bounds, continued
from .stabilizer import Curvature, Stabilizer, stabilizers

__all__ = [
    "Curvature",
    "EnergyModel",
    "OrderParameter",
    "SpectralSplit",
    "Split",
    "Stabilizer",
    "below",
    "bounds",
    "continued",
    "stabilizers",
]
