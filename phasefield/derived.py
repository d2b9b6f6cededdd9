"""What fields.nc holds besides the fields: what terms of the model make of them in every cell, such as stresses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .backend import Backend, Layout
from .errors import ConfigError, unknown
from .integrators import Carry, Integrator
from .models import EnergyModel
from .models.terms import Term
from .models.waves import WAVES

KEY = "output.fields"
#: The array that terms write into.
ARRAY = "derived"


class Derived:
    """Fields that are derived from the state, made when a snapshot is due.

    Args:
        names: of them, or of groups of them, as the model's terms offer them, see `Term.offers`.

    Attributes:
        variables: name -> attributes, in the order of the components.

    Raises:
        ConfigError: a name that no term of the model offers.
    """

    def __init__(
        self, names: Sequence[str], model: EnergyModel, layout: Layout, backend: Backend, integrator: Integrator
    ) -> None:
        self._integrator, self._backend = integrator, backend
        offered = {group: (term, found) for term in model.terms for group, found in term.offers.items()}
        single = {name: group for group, (_, found) in offered.items() for name in found}
        wanted: dict[str, Term] = {}
        for name in names:
            if not offered:
                raise ConfigError(
                    KEY,
                    f"asks for {name}, and no term of this model has fields besides its own, which are written anyway",
                    "stress, strain and von_mises are of models with model.elastic",
                )
            if name not in offered and name not in single:
                raise unknown(KEY, str(name), [*offered, *single], "field")
            term, found = offered[single.get(name, name)]
            wanted |= dict.fromkeys(found if name in offered else (name,), term)
        self.variables: dict[str, Mapping[str, str]] = {}
        self._parts: list[tuple[Any, Any, dict[str, Any]]] = []
        for term in dict.fromkeys(wanted.values()):
            own = [name for name, of in wanted.items() if of is term]
            attributes = {name: found[name] for found in term.offers.values() for name in own if name in found}
            self.variables |= {name: attributes[name] for name in own}
            program = backend.program(layout, term.derive(own, "u", ARRAY, WAVES))
            arrays = {name: backend.buffer(layout, n) for name, n in term.deriving.items()}
            self._parts.append((program, backend.buffer(layout, len(own)), arrays))

    def __call__(self, cells: Any, carry: Carry) -> list[Any]:
        """Buffers of the variables, in their order, of a state whose cells are given; valid until the next call."""
        for program, buffer, arrays in self._parts:
            self._integrator.look(program, cells, carry, {ARRAY: buffer, **arrays})
        return [buffer for _, buffer, _ in self._parts]
