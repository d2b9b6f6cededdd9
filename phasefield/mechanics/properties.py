"""The properties that phases have and that can be homogenized: one line each.

To add one of order 2 is to add its line (docs/extending_homogenize.md).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Property:
    """A property that can be homogenized.

    Attributes:
        order: 4 (stiffness) or 2. unit: SI unit. positive: whether its tensor must be positive definite.
        flux, gradient: names of the local fields of its cell problem. units: of gradient and flux.
    """

    name: str
    order: int
    unit: str
    positive: bool
    title: str
    flux: str = ""
    gradient: str = ""
    units: tuple[str, str] = ("1", "1")


PROPERTIES = {
    p.name: p
    for p in (
        Property("stiffness", 4, "Pa", True, "elastic stiffness", "stress", "strain", ("1", "Pa")),
        Property(
            "conductivity",
            2,
            "W/(m K)",
            True,
            "thermal conductivity",
            "heat_flux",
            "temperature_gradient",
            ("K/m", "W/m^2"),
        ),
        Property(
            "electrical_conductivity",
            2,
            "S/m",
            True,
            "electrical conductivity",
            "current",
            "electric_field",
            ("V/m", "A/m^2"),
        ),
        Property(
            "diffusivity",
            2,
            "m^2/s",
            True,
            "diffusivity",
            "diffusion_flux",
            "concentration_gradient",
            ("1/m^4", "1/(m^2 s)"),
        ),
        Property(
            "permittivity", 2, "1", True, "relative permittivity", "displacement", "electric_field", ("V/m", "V/m")
        ),
        Property("expansion", 2, "1/K", False, "thermal expansion"),
        Property("eigenstrain", 2, "1", False, "stress-free transformation strain"),
    )
}
#: Solved through the elastic problem with the property as stress-free strain.
STRAINS = ("expansion", "eigenstrain")
