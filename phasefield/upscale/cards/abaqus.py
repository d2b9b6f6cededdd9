"""Cards for Abaqus (Keywords Reference, *ELASTIC, *CONDUCTIVITY, *EXPANSION, *ORIENTATION): as for CalculiX, but for the order
11 12 22 13 23 33 of anisotropic conductivities.
"""

from __future__ import annotations

from . import calculix
from .content import Card

#: Pairs of axes in the order of a conductivity.
CONDUCTION = ((0, 0), (0, 1), (1, 1), (0, 2), (1, 2), (2, 2))
TYPES = {"isotropic": "ISOTROPIC", "orthotropic": "ORTHOTROPIC", "anisotropic": "ANISOTROPIC"}


def lines(card: Card) -> list[str]:
    """The card below its heading."""
    return calculix.block(card, CONDUCTION, TYPES)
