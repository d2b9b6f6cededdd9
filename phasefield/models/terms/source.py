"""The source term: a rate of change that derives from no energy, such as deposition, reaction or irradiation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .given import check, read
from .term import Term

if TYPE_CHECKING:
    from ...grid import Grid
    from ..energy import Reader


class Source(Term):
    """Rates added to the right-hand sides. It has no energy, and with it the free energy of a model may rise."""

    name, energetic = "source", False

    @dataclass
    class FieldKeys:
        """``source``: an expression in x, y, z, t, the parameters and the fields, or one per component; null for none."""

        source: Any = field(default=None, metadata={"expression": True})

    @classmethod
    def read(cls, key: str, given: Mapping[str, Any], reader: Reader) -> dict[str, Any]:
        parsed = read("source", key, given, reader)
        return {"source": parsed[0] if parsed is not None and len(parsed) == 1 else parsed}

    @property
    def active(self) -> bool:
        return any(s is not None for s in self.model.sources)

    @property
    def driven(self) -> bool:  # type: ignore[override]
        return self.active

    def check(self, grid: Grid, given: Mapping[str, Mapping[str, Any]]) -> None:
        for f in self.model.order_parameters:
            check("source", f.name, given[f.name].get("source"), f.sources, grid)

    def source(self, i: int) -> Any | None:
        return self.model.sources[i]
