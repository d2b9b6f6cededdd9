"""Models: free-energy densities and the splittings derived from them."""

from .base import EnergyModel, OrderParameter, SpectralSplit, Split, stabilizers

__all__ = ["EnergyModel", "OrderParameter", "SpectralSplit", "Split", "stabilizers"]
