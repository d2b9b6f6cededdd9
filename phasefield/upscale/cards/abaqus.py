"""Cards for Abaqus (Keywords Reference, *ELASTIC, *CONDUCTIVITY, *EXPANSION, *ORIENTATION): as for CalculiX, but for the order
11 12 22 13 23 33 of anisotropic conductivities, and for an orientation that anisotropic materials cannot be without.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from . import calculix
from .content import Card

#: Pairs of axes in the order of a conductivity.
CONDUCTION = ((0, 0), (0, 1), (1, 1), (0, 2), (1, 2), (2, 2))
#: The manual does not say whether thermal shear strains are engineering ones.
_UNVERIFIED = [
    "** shear components of the expansion are those of the tensor (half of engineering shear);",
    "** the manual does not say which are meant: warm one free element first, or write the card",
    "** with axes in which there are none",
]
TYPES = {"isotropic": "ISOTROPIC", "orthotropic": "ORTHOTROPIC", "anisotropic": "ANISOTROPIC"}


def lines(card: Card) -> list[str]:
    """The card below its heading."""
    if card.rotation is None and any(e.symmetry != "isotropic" for e in card.entries.values()):
        card = replace(card, rotation=np.eye(3))
    out = calculix.block(card, CONDUCTION, TYPES)
    if "expansion" in card.entries and card.entries["expansion"].symmetry == "anisotropic":
        at = next(k for k, line in enumerate(out) if line.startswith("*EXPANSION"))
        out[at:at] = _UNVERIFIED
    return out
