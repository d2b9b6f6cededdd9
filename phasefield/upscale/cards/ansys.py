"""Commands for ANSYS Mechanical APDL (Material Reference, Anisotropic Elasticity; Command Reference, MP, TB, LOCAL).

``TB,ANEL`` takes a stiffness (TBOPT 0) as the lower triangle by columns in the order x y z xy yz xz. Conductivities and
expansions are given along the axes of the element only (``MP``), which are turned with its coordinate system (``ESYS``).
"""

from __future__ import annotations

import numpy as np

from ...errors import ConfigError
from .content import Card, Entry

#: The order x y z xy yz xz in the places of Voigt's 11 22 33 23 13 12.
VOIGT = (0, 1, 2, 5, 3, 4)
_LABELS = {"conductivity": ("KXX", "KYY", "KZZ"), "expansion": ("ALPX", "ALPY", "ALPZ")}


def lines(card: Card) -> list[str]:
    """The card below its heading.

    Raises:
        ConfigError: a conductivity or expansion that is not along the axes of the card.
    """
    out = ["! number of the material", "MATID=1"]
    for name, entry in card.entries.items():
        out += _elasticity(entry) if name == "stiffness" else _second(name, entry, card)
    if card.density is not None:
        out.append(f"MP,DENS,MATID,{card.density:.12e}")
    if card.zero is not None and "expansion" in card.entries:
        out.append(f"MP,REFT,MATID,{card.zero:.10g}")
    return out + _orientation(card)


def _elasticity(entry: Entry) -> list[str]:
    if entry.symmetry == "isotropic":
        labels = {"EX": "E1", "PRXY": "nu12"}
    elif entry.symmetry == "orthotropic":
        labels = {"EX": "E1", "EY": "E2", "EZ": "E3", "PRXY": "nu12", "PRYZ": "nu23", "PRXZ": "nu13"}
        labels |= {"GXY": "G12", "GYZ": "G23", "GXZ": "G13"}
    else:
        c = entry.voigt[np.ix_(VOIGT, VOIGT)]
        values = [f"{c[i, j]:.12e}" for j in range(6) for i in range(j, 6)]
        rows = [f"TBDATA,{k + 1},{','.join(values[k : k + 6])}" for k in range(0, 21, 6)]
        return ["TB,ANEL,MATID,1,21,0", *rows]
    constants = entry.engineering
    return [f"MP,{label},MATID,{constants[name]:.12e}" for label, name in labels.items()]


def _second(name: str, entry: Entry, card: Card) -> list[str]:
    if entry.symmetry == "anisotropic":
        about = (
            "its principal axes are not those of the stiffness" if card.rotation is not None else "use axes=principal"
        )
        raise ConfigError(
            "format",
            f"ansys takes {name} along the axes of the card only, about which this one is anisotropic",
            f"{about}; or leave it out, properties=stiffness, or take a larger threshold",
        )
    return [f"MP,{label},MATID,{entry.tensor[k, k]:.12e}" for k, label in enumerate(_LABELS[name])]


def _orientation(card: Card) -> list[str]:
    """A coordinate system for the elements: turned about z, then about the new x, then about the new y, in degrees."""
    if card.rotation is None:
        return []
    r = card.rotation
    angles = (np.arctan2(-r[0, 1], r[1, 1]), np.arcsin(np.clip(r[2, 1], -1, 1)), np.arctan2(-r[2, 0], r[2, 2]))
    return [
        "! axes of the material: issue ESYS,CSID before meshing (or EMODIF,...,ESYS,CSID)",
        "CSID=11",
        "LOCAL,CSID,0,0,0,0," + ",".join(f"{a:.12f}" for a in np.degrees(angles)),
        "CSYS,0",
    ]
