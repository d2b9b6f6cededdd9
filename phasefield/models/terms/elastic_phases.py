"""The elastic term of phases that differ in stiffness: equilibrium is solved for, see `phasefield.models.equilibrium`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..elasticity import NAMES, Elasticity
from ..moduli import Moduli
from .elastic_members import Member, coherent, mandel, place_of
from .term import Waves

if TYPE_CHECKING:
    from ...backend import Operation
    from ..energy import EnergyModel
    from ..equilibrium import Equilibrium


def equilibrium(model: EnergyModel, members: list[Member], given: Elasticity) -> Equilibrium:
    """The body that is solved for; one stiffness everywhere where phases do not differ."""
    from ...mechanics import tensors
    from ..equilibrium import Equilibrium, Part

    phases = given.phases or (("", given.stiffness),)
    names = list(dict.fromkeys(model.components[member.number][0].name for member in members))

    def of_sheet(rows: Any) -> np.ndarray:
        solid = np.array(rows)
        return tensors.embed_plane(tensors.plane_stress(solid)) if given.thin else solid

    parts = []
    for member in members:
        number = names.index(model.components[member.number][0].name) if len(phases) > 1 else 0
        strain = np.array(member.strain) * tensors.FACTOR
        parts.append(Part(member.part(model), strain, of_sheet(phases[number][1])))
    mean = None
    if given.every > 1:
        stiffness = np.mean([given.stiffness, *(rows for _, rows in given.phases)], axis=0)
        mean = Moduli(
            coherent(members, stiffness, given.load_moved, given.thin), given.axes, model.argument, "elastic_b"
        )
    body = Equilibrium(
        of_sheet(given.stiffness),
        parts,
        lambda t: mandel(given.load_at(t)),
        mandel(given.load_moved),
        given.axes,
        given.thin,
        given.tolerance,
        model.unknowns,
        model.argument,
        given.every,
        mean,
    )
    if model.grid is not None:
        body.between(model.grid)
    return body


class Phases:
    """The term's answers where equilibrium is solved for. Attributes as those of `Elastic`, the term.

    Args:
        model: at hand. members: what carries strains. given: stiffness of the phases, and load.
    """

    def __init__(self, model: EnergyModel, members: list[Member], given: Elasticity) -> None:
        self.model, self._members, self._given = model, members, given
        self.solved = equilibrium(model, members, given)

    reduced: Sequence[str] = ("modes_elastic",)
    density, means = None, dict[str, Any]()

    @property
    def constants(self) -> dict[str, float]:
        return self.solved.constants

    @property
    def temporaries(self) -> Mapping[str, int]:
        return self.solved.temporaries

    @property
    def memory(self) -> Mapping[str, int]:
        return self.solved.memory

    def scalars(self, t: float) -> Mapping[str, float]:
        return {}

    def symbol(self, i: int, waves: Waves) -> None:
        return None

    def prepare(self, array: str, waves: Waves) -> list[Operation]:
        return self.solved.operations(array, waves)

    def force(self, i: int) -> Any | None:
        from ...codegen import array_symbol
        from ..equilibrium.solver import FORCE

        p = place_of(self._members, i)
        if p is None:
            return None
        return self._members[p].part(self.model).diff(self.model.unknowns[i]) * array_symbol(FORCE, p)

    def curvature(self, i: int) -> float:
        p = place_of(self._members, i)
        if p is None:
            return 0.0
        now = self._given.load_at(0.0, self.model.parameters)
        bound = self.solved.body.slope(p, [member.linear for member in self._members], *mandel(now))
        if self._given.every == 1:
            return bound
        # Between solves what differs from the mean stiffness is extrapolated, which takes more.
        soft, stiff = self.solved.body.spectrum
        return bound * (1 + (stiff - soft) / (stiff + soft))

    def look(self, array: str, waves: Waves) -> list[Operation]:
        return self.solved.looking(array, waves)

    def measures(self, means: Mapping[str, float]) -> dict[str, float]:
        return {
            f"mean_{kind}_{name}": means[f"elastic_mean_{kind}_{name}"]
            for kind in ("stress", "strain")
            for name in NAMES
        }
