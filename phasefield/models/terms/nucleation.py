"""The nucleation of a field: no term of the equations, but its key stands with theirs.

Nuclei are placed between steps, by a Poisson process whose rate is a law of the local state (Simmons, Shen and Wang, Scripta
Mater. 43 (2000) 935); see `phasefield.nucleation`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..nucleation import read_nucleation
from .term import Term

if TYPE_CHECKING:
    from ...grid import Grid
    from ..energy import Reader


class Nucleating(Term):
    """Fields in which nuclei appear."""

    name, energetic = "nucleation", False

    @dataclass
    class FieldKeys:
        """``nucleation``: ``{rate: , radius: , every: , width: , inside: , clearance: }``, see `phasefield.models.nucleation`;
        null for none.
        """

        nucleation: Any = field(default=None, metadata={"expression": True})

    @classmethod
    def read(cls, key: str, given: Mapping[str, Any], reader: Reader) -> dict[str, Any]:
        conserved = given.get("kinetics") == "conserved"
        return {"nucleation": read_nucleation(f"{key}.nucleation", given.get("nucleation"), conserved, reader)}

    def check(self, grid: Grid, given: Mapping[str, Mapping[str, Any]]) -> None:
        for f in self.model.order_parameters:
            if (law := f.values["nucleation"]) is not None:
                names = (symbol.name for symbol in law.rate.free_symbols)
                grid.check_coordinates(names, f"model.fields.{f.name}.nucleation.rate", law.text)

    def idle(self, given: Mapping[str, Mapping[str, Any]], end: float) -> Iterator[tuple[str, str]]:
        for f in self.model.order_parameters:
            if (law := f.values["nucleation"]) is None:
                continue
            key = f"model.fields.{f.name}.nucleation"
            if law.rate == 0:
                yield key, f"its rate is {law.text}, no nucleus ever appears"
            elif law.every > end:
                yield key, f"the first nuclei would appear at {key}.every = {law.every:g}, and time.end is {end:g}"
