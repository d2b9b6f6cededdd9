"""Models: free-energy densities and the splittings derived from them."""

from .base import EnergyModel, OrderParameter, SpectralSplit, Split
from .growth import Amplification
from .scales import energy_terms
from .stabilizer import stabilizers
from .timescales import SourceResolution

__all__ = [
    "Amplification",
    "EnergyModel",
    "OrderParameter",
    "SourceResolution",
    "SpectralSplit",
    "Split",
    "energy_terms",
    "stabilizers",
]
