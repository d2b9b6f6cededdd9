"""Cards for CalculiX (manual of ccx 2.20: *ELASTIC, *CONDUCTIVITY, *EXPANSION, *ORIENTATION); Abaqus differs in one order.

A stiffness stands as the upper triangle by columns in the order 11 22 33 12 13 23, eight numbers a line; tensors of order 2 as
11 22 33 12 13 23. Both solvers read 20 characters a number.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...mechanics.tensors import PAIRS, Array
from .content import Card, Entry

#: The stiffness's order 11 22 33 12 13 23 in the places of Voigt's 11 22 33 23 13 12.
VOIGT = (0, 1, 2, 5, 4, 3)
#: Pairs of axes in the order of tensors of order 2.
ORDER = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
TYPES = {"isotropic": "ISO", "orthotropic": "ORTHO", "anisotropic": "ANISO"}


def lines(card: Card) -> list[str]:
    """The card below its heading."""
    return block(card, ORDER, TYPES)


def block(card: Card, conduction: Sequence[tuple[int, int]], types: dict[str, str]) -> list[str]:
    """An orientation, if the card needs one, and the material.

    Args:
        conduction: the order of conductivities. types: what classes of symmetry are called.
    """
    out = orientation(card)
    out.append(f"*MATERIAL, NAME={card.name}")
    for name, entry in card.entries.items():
        if name == "stiffness":
            out += [f"*ELASTIC, TYPE={types[entry.symmetry]}", *_rows(elastic(entry))]
        else:
            order = conduction if name == "conductivity" else ORDER
            zero = f", ZERO={card.zero:.10g}" if name == "expansion" and card.zero is not None else ""
            out += [f"*{name.upper()}, TYPE={types[entry.symmetry]}{zero}", *_rows(second(entry, order))]
    if card.density is not None:
        out += ["*DENSITY", *_rows([card.density])]
    return out


def elastic(entry: Entry) -> list[float]:
    """The constants of a stiffness, in the order of its class."""
    if entry.symmetry == "isotropic":
        constants = entry.engineering
        return [constants["E1"], constants["nu12"]]
    upper = entry.voigt[np.ix_(VOIGT, VOIGT)]
    if entry.symmetry == "orthotropic":
        places = [(0, 0), (0, 1), (1, 1), (0, 2), (1, 2), (2, 2), (3, 3), (4, 4), (5, 5)]
        return [float(upper[i, j]) for i, j in places]
    return [float(upper[i, j]) for j in range(6) for i in range(j + 1)]


def second(entry: Entry, order: Sequence[tuple[int, int]]) -> list[float]:
    """The components of a tensor of order 2, as many as its class has."""
    count = {"isotropic": 1, "orthotropic": 3, "anisotropic": 6}[entry.symmetry]
    places = order if count == 6 else PAIRS[:count]
    return [float(entry.tensor[i, j]) for i, j in places]


def orientation(card: Card) -> list[str]:
    """The axes of the card: a point on the first axis and one in the plane of the first two."""
    if card.rotation is None:
        return []
    a, b = card.rotation[:, 0], card.rotation[:, 1]
    points = ", ".join(f"{v:.12f}" for v in (*a, *b))
    return [
        f"** name it in the section: *SOLID SECTION, ELSET=..., MATERIAL={card.name}, ORIENTATION={card.name}_AXES",
        f"*ORIENTATION, NAME={card.name}_AXES, SYSTEM=RECTANGULAR",
        points,
    ]


def _rows(values: Sequence[float] | Array) -> list[str]:
    """Eight numbers a line, twelve digits each; a line that another follows ends with a comma."""
    texts = [f"{v:.11e}" for v in values]
    groups = [texts[k : k + 8] for k in range(0, len(texts), 8)]
    return [", ".join(g) + ("," if k < len(groups) - 1 else "") for k, g in enumerate(groups)]
