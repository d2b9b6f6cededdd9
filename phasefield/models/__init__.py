"""Models: the terms of free energies, their kinetics, and the splittings derived from them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .continuation import below, bounds, continued
    from .energy import EnergyModel
    from .fields import OrderParameter
    from .growth import Amplification
    from .kinetics import KINETICS, Kinetics
    from .mobility import check_axes, referenced
    from .mobility_bounds import coming, followed, negative, range_kernel, references
    from .scales import energy_noise, energy_terms
    from .split import SpectralSplit, Split
    from .stabilizer import Curvature, Stabilizer, stabilizers
    from .timescales import SourceResolution
    from .undefined import Defined

_WHERE = {
    "Amplification": "growth",
    "Curvature": "stabilizer",
    "Defined": "undefined",
    "EnergyModel": "energy",
    "KINETICS": "kinetics",
    "Kinetics": "kinetics",
    "OrderParameter": "energy",
    "SourceResolution": "timescales",
    "SpectralSplit": "split",
    "Split": "split",
    "Stabilizer": "stabilizer",
    "below": "continuation",
    "bounds": "continuation",
    "continued": "continuation",
    "energy_noise": "scales",
    "energy_terms": "scales",
    "check_axes": "mobility",
    "coming": "mobility_bounds",
    "followed": "mobility_bounds",
    "negative": "mobility_bounds",
    "range_kernel": "mobility_bounds",
    "referenced": "mobility",
    "references": "mobility_bounds",
    "stabilizers": "stabilizer",
}
__all__ = [
    "KINETICS",
    "Amplification",
    "Curvature",
    "Defined",
    "EnergyModel",
    "Kinetics",
    "OrderParameter",
    "SourceResolution",
    "SpectralSplit",
    "Split",
    "Stabilizer",
    "below",
    "bounds",
    "check_axes",
    "coming",
    "continued",
    "energy_noise",
    "energy_terms",
    "followed",
    "negative",
    "range_kernel",
    "referenced",
    "references",
    "stabilizers",
]


def __getattr__(name: str) -> Any:
    # Loaded when first used: the schema of the configuration reads the terms' keys, for which SymPy need not be there.
    if name in _WHERE:
        value = getattr(importlib.import_module(f".{_WHERE[name]}", __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
