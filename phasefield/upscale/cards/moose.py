"""Blocks of materials for MOOSE (solid mechanics and heat transfer modules).

``symmetric21`` takes a stiffness as the upper triangle by rows in the order 11 22 33 23 13 12, ``symmetric9`` of an orthotropic
one 11 12 13 22 23 33 44 55 66; ``rotation_matrix`` R, by rows, gives C_ijkl = R_im R_jn R_ko R_lp C_mnop. Tensors of order 2 are
not rotated there, so they are about the axes of the sample always; an eigenstrain's base is 11 22 33 23 13 12 in tensor shear.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ...mechanics.tensors import PAIRS, Array
from .content import Card, Entry


def lines(card: Card) -> list[str]:
    """The card below its heading; ``temperature = T`` names the variable of the input file."""
    out = ["[Materials]"]
    for name, entry in card.entries.items():
        out += {"stiffness": _elasticity, "conductivity": _conduction, "expansion": _expansion}[name](card, entry)
    if card.density is not None:
        out += _constant(f"{card.name}_density", "density", card.density)
    return [*out, "[]"]


def _elasticity(card: Card, entry: Entry) -> list[str]:
    if entry.symmetry == "isotropic":
        constants = entry.engineering
        return _block(
            f"{card.name}_elasticity",
            "ComputeIsotropicElasticityTensor",
            youngs_modulus=_text([constants["E1"]]),
            poissons_ratio=_text([constants["nu12"]]),
        )
    c = entry.voigt
    if entry.symmetry == "orthotropic":
        form, places = "symmetric9", [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2), (3, 3), (4, 4), (5, 5)]
    else:
        form, places = "symmetric21", [(i, j) for i in range(6) for j in range(i, 6)]
    more = {} if card.rotation is None else {"rotation_matrix": _quoted(card.rotation.ravel())}
    values = _quoted(c[i, j] for i, j in places)
    return _block(f"{card.name}_elasticity", "ComputeElasticityTensor", fill_method=form, C_ijkl=values, **more)


def _conduction(card: Card, entry: Entry) -> list[str]:
    """For the kernel HeatConduction, or AnisoHeatConduction where it is no scalar."""
    name = "thermal_conductivity"
    if entry.symmetry == "isotropic":
        return _constant(f"{card.name}_conductivity", name, float(entry.tensor[0, 0]))
    return _block(
        f"{card.name}_conductivity",
        "GenericConstantRankTwoTensor",
        tensor_name=name,
        tensor_values=_quoted(entry.sample.ravel()),
    )


def _expansion(card: Card, entry: Entry) -> list[str]:
    strain = f"{card.name}_thermal_strain"
    unknown = "  # not known: set the temperature of no strain"
    zero = "" if card.zero is None else f"{card.zero:.10g}"
    if entry.symmetry == "isotropic":
        return _block(
            f"{card.name}_expansion",
            "ComputeThermalExpansionEigenstrain",
            eigenstrain_name=strain,
            temperature="T",
            thermal_expansion_coeff=_text([float(entry.tensor[0, 0])]),
            stress_free_temperature=zero or unknown,
        )
    warming = _block(
        f"{card.name}_warming",
        "ParsedMaterial",
        property_name=f"{card.name}_warming",
        coupled_variables="T",
        constant_names="T0",
        constant_expressions=zero or unknown,
        expression="'T - T0'",
    )
    return warming + _block(
        f"{card.name}_expansion",
        "ComputeEigenstrain",
        eigenstrain_name=strain,
        prefactor=f"{card.name}_warming",
        eigen_base=_quoted(entry.sample[i, j] for i, j in PAIRS),
    )


def _constant(block: str, name: str, value: float) -> list[str]:
    return _block(block, "GenericConstantMaterial", prop_names=name, prop_values=_text([value]))


def _block(name: str, kind: str, **keys: str) -> list[str]:
    return [f"  [{name}]", f"    type = {kind}", *(f"    {k} = {v}".rstrip() for k, v in keys.items()), "  []"]


def _quoted(values: Iterable[float] | Array) -> str:
    return f"'{_text(values)}'"


def _text(values: Iterable[float] | Array) -> str:
    return " ".join(f"{v:.12e}" for v in np.asarray(list(values), float))
