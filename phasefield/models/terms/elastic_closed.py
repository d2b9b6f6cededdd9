"""The elastic term of a body of one stiffness, in closed form: 1/2 sum_k B_pq(n) phi_p^ phi_q^* and what the load makes of means.

See `phasefield.mechanics.coherent` (Khachaturyan and Shatalov, Sov. Phys. JETP 29 (1969) 557; Cahn, Acta Metall. 9 (1961) 795).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..elasticity import NAMES, Elasticity
from ..moduli import Moduli
from .elastic_members import Member, coherent, place_of
from .term import Waves

if TYPE_CHECKING:
    from ...backend import Operation
    from ...mechanics.coherent import CoherentBody
    from ..energy import EnergyModel

#: Largest slope of h, 15/8, curvature of it, 10/sqrt(3), and of (h^2)''/2 = h'^2 + h h'', 4.0, on 0 <= eta <= 1.
_SLOPE, _SECOND, _BEND = 1.875, 5.7735, 4.0
FIELD = "elastic_field"


class Closed:
    """One field that is linear in it has the energy in L; with others, or nonlinear ones, it is evaluated by way of the modes of
    phi_p, one pair of transforms for each. Attributes as those of `Elastic`, the term.

    Args:
        model: at hand. members: what carries strains. given: stiffness and load.
    """

    def __init__(self, model: EnergyModel, members: list[Member], given: Elasticity) -> None:
        self.model, self._members, self._given = model, members, given
        #: Under the load of the time at hand.
        self._body = coherent(members, given.stiffness, given.load_at(0.0, model.parameters), given.thin)
        self._moduli = Moduli(self._body, given.axes, model.argument)
        self._driven = bool(given.courses)

    def _body_at(self, t: float) -> CoherentBody:
        """The body under the load of time ``t``."""
        given = self._given
        if not given.courses:
            return self._body
        return coherent(self._members, given.stiffness, given.load_at(t), given.thin)

    @cached_property
    def constants(self) -> dict[str, float]:
        return {**self._loads(self._body), **self._moduli.constants}

    @staticmethod
    def _loads(body: CoherentBody) -> dict[str, float]:
        """Kernel arguments that the load sets."""
        found = {f"elastic_load_{p}": float(b) for p, b in enumerate(body.mean_force)}
        return {**found, "elastic_held": body.mean_energy}

    def scalars(self, t: float) -> Mapping[str, float]:
        return self._loads(self._body_at(t)) if self._given.courses else {}

    # -- one linear field: in L ----------------------------------------------------------------------------------------

    @property
    def direct(self) -> bool:
        """Whether the energy stands in L."""
        return len(self._members) == 1 and self._members[0].linear

    def symbol(self, i: int, waves: Waves) -> Any | None:
        return self._moduli.modulus(0, 0, waves) if self.direct and i == self._members[0].number else None

    # -- others: by way of the modes of phi_p --------------------------------------------------------------------------

    memory: Mapping[str, int] = {}

    @property
    def temporaries(self) -> Mapping[str, int]:
        return {} if self.direct else {FIELD: len(self._members)}

    @property
    def reduced(self) -> Sequence[str]:
        return () if self.direct else ("cells_elastic", "modes_elastic")[0 if self._loaded is not None else 1 :]

    def prepare(self, array: str, waves: Waves) -> list[Operation]:
        if self.direct:
            return []
        from ...backend import Apply, Forward, Inverse
        from ...codegen import Kernel, Reduction, array_symbol

        count, components = len(self._members), len(self.model.components)
        state = {s: array_symbol("state", i) for i, s in enumerate(self.model.unknowns)}
        cells = Kernel(
            "elastic_cells",
            "real",
            {"state": components, FIELD: count},
            {FIELD: [member.part(self.model).xreplace(state) for member in self._members]},
            {} if self._loaded is None else {"cells_elastic": Reduction("sum", self._loaded.xreplace(state))},
            list(self.constants),
        )
        modes = [waves.scale * array_symbol(FIELD, p) for p in range(count)]
        stress = self._moduli.stresses(modes, waves)
        energy = waves.weight / 2 * sum(u * s for u, s in zip(modes, stress, strict=True))
        filtered = Kernel(
            "elastic_modes",
            "spectral",
            {FIELD: count},
            {FIELD: stress},
            {"modes_elastic": Reduction("sum", energy)},
            [waves.scale.name, *self.constants],
        )
        return [Apply(cells, {"state": array}), Forward(FIELD, count), Apply(filtered), Inverse(FIELD, count)]

    def force(self, i: int) -> Any | None:
        unknown = self.model.unknowns[i]
        local = None if self._loaded is None else self._loaded.diff(unknown)
        p = place_of(self._members, i)
        if self.direct or p is None:
            return local
        from ...codegen import array_symbol

        coupled = self._members[p].part(self.model).diff(unknown) * array_symbol(FIELD, p)
        return coupled if local is None else local + coupled

    def curvature(self, i: int) -> float:
        """What covers the forces of the modes of phi_p, h'_p B_pq h'_q and h''_p times them, row by row."""
        p = place_of(self._members, i)
        if self.direct or p is None:
            return 0.0
        roots = np.sqrt(np.maximum(self._moduli.largest, 0.0))
        slopes = np.array([1.0 if member.linear else _SLOPE for member in self._members])
        others = float(roots[p] * slopes[p] * (roots @ slopes - roots[p] * slopes[p]))
        if self._members[p].linear:
            return others + float(roots[p] ** 2)
        return others + float(roots[p] ** 2) * _BEND + _SECOND * abs(float(self._body.mean_force[p]))

    # -- means ---------------------------------------------------------------------------------------------------------

    @property
    def density(self) -> Any | None:
        """Where operations of its own run, they reduce it."""
        return self._loaded if self.direct else None

    @cached_property
    def _loaded(self) -> Any | None:
        """Energy density that the load adds, linear in phi_p; None without one."""
        forces = self._body.mean_force
        if not forces.any() and not self._body.mean_energy and not self._driven:
            return None
        parts = (
            self.model.argument(f"elastic_load_{p}") * self._members[p].part(self.model)
            for p, b in enumerate(forces)
            if b or self._driven
        )
        return sum(parts, self.model.argument("elastic_held"))

    @property
    def means(self) -> Mapping[str, Any]:
        return {f"part_{p}": member.part(self.model) for p, member in enumerate(self._members)}

    def look(self, array: str, waves: Waves) -> list[Operation]:
        return []

    def measures(self, means: Mapping[str, float]) -> dict[str, float]:
        from ...mechanics import tensors

        parts = np.array([means[f"part_{p}"] for p in range(len(self._members))])
        body = self._body_at(means["t"])
        found = {"stress": body.mean_stress(parts), "strain": body.mean_strain(parts)}
        return {
            f"mean_{kind}_{name}": float(v / factor)
            for kind, vector in found.items()
            for name, v, factor in zip(NAMES, vector, tensors.FACTOR, strict=True)
        }
