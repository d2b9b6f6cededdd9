"""The driving term: a force that derives from no energy, beside the one that does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .given import check, read
from .term import Term

if TYPE_CHECKING:
    from ...grid import Grid
    from ..energy import EnergyModel, Reader


class Driving(Term):
    """Forces that join -dF/du, so that the mobility multiplies them: u' = M (-dF/du + force), or div(M grad(dF/du - force)).

    As in models that are no gradient flow of one energy (Karma and Rappel, Phys. Rev. E 57 (1998) 4323, of dendrites with an
    enthalpy that is linear in the phase). It has no energy, and with it the free energy of a model may rise.
    """

    name, energetic = "driving", False

    @dataclass
    class FieldKeys:
        """``force``: an expression in x, y, z, t, the parameters and the fields, energy density, or one per component; null for
        none."""

        force: Any = field(default=None, metadata={"expression": True})

    @classmethod
    def read(cls, key: str, given: Mapping[str, Any], reader: Reader) -> dict[str, Any]:
        return {"force": read("force", key, given, reader)}

    def __init__(self, model: EnergyModel) -> None:
        super().__init__(model)
        self._forces: list[Any | None] = []
        for f in model.order_parameters:
            forces = f.values.get("force") or (None,)
            self._forces += forces if len(forces) > 1 else forces * len(f.symbols)

    @property
    def driven(self) -> bool:  # type: ignore[override]
        return self.active

    @property
    def rates(self) -> list[Any]:  # type: ignore[override]
        return [force for force in self._forces if force is not None]

    def check(self, grid: Grid, given: Mapping[str, Mapping[str, Any]]) -> None:
        for f in self.model.order_parameters:
            check("force", f.name, given[f.name].get("force"), f.values.get("force") or (), grid)

    def idle(self, given: Mapping[str, Mapping[str, Any]], end: float) -> Iterator[tuple[str, str]]:
        for f in self.model.order_parameters:
            if f.values.get("force") and f.immobile:
                yield f"model.fields.{f.name}.force", f"model.fields.{f.name}.mobility is 0, which multiplies it"

    def force(self, i: int) -> Any | None:
        force = self._forces[i]
        return None if force is None else -force
