"""What of a model's state carries stress-free strains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..elasticity import Eigenstrain

if TYPE_CHECKING:
    from ...mechanics.coherent import CoherentBody, Load
    from ..energy import EnergyModel


@dataclass(frozen=True)
class Member:
    """A component with a stress-free strain.

    Attributes:
        number: among the model's components. interpolation: ``linear`` or ``smooth``. strain: six tensor components.
    """

    number: int
    interpolation: str
    strain: tuple[float, ...]

    @property
    def linear(self) -> bool:
        return self.interpolation == "linear"

    def part(self, model: EnergyModel) -> Any:
        """phi_p in the model's symbols."""
        u = model.unknowns[self.number]
        return u if self.linear else u**3 * (6 * u**2 - 15 * u + 10)


def members_of(model: EnergyModel) -> list[Member]:
    """All of a model, in the order of its components."""
    found = []
    for f, part in zip(model.order_parameters, model.slices().values(), strict=True):
        free: Eigenstrain | None = f.values.get("eigenstrain")
        if free is not None:
            places = range(len(model.components))[part]
            found += [Member(i, free.interpolation, free.of(c)) for c, i in enumerate(places)]
    return found


def place_of(members: list[Member], i: int) -> int | None:
    """Which of the members component ``i`` of a model is; None if it carries no strain."""
    return next((p for p, member in enumerate(members) if member.number == i), None)


def mandel(load: Load) -> tuple[list[float | None], list[float]]:
    """Strains held, None where free, and stresses given, 0 where not."""
    from ...mechanics import tensors

    held = [None if v is None else float(v * f) for v, f in zip(load.strain, tensors.FACTOR, strict=True)]
    return held, [float((v or 0.0) * f) for v, f in zip(load.stress, tensors.FACTOR, strict=True)]


def coherent(members: list[Member], stiffness: Any, load: Load, thin: bool) -> CoherentBody:
    """The body of one stiffness, rows of the (6, 6) Mandel matrix."""
    from ...mechanics import tensors
    from ...mechanics.coherent import CoherentBody

    strains = np.array([member.strain for member in members]) * tensors.FACTOR
    return CoherentBody(np.array(stiffness), strains, load, thin)
