"""Models: free-energy densities and the splittings derived from them."""

from .base import EnergyModel, OrderParameter, SpectralSplit, Split
from .continuation import below, bounds, continued
from .growth import Amplification
from .scales import energy_noise, energy_terms
from .stabilizer import Curvature, Stabilizer, stabilizers
from .timescales import SourceResolution

__all__ = [
    "Amplification",
    "Curvature",
    "EnergyModel",
    "OrderParameter",
    "SourceResolution",
    "SpectralSplit",
    "Split",
    "Stabilizer",
    "below",
    "bounds",
    "continued",
    "energy_noise",
    "energy_terms",
    "stabilizers",
]
