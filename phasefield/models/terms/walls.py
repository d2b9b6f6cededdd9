"""The walls term: values, slopes and fluxes that walls hold a field to, and energies of the walls that a field wets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .term import Term

if TYPE_CHECKING:
    from ...grid import Grid
    from ..reading import Reader


class Walls(Term):
    """What walls prescribe. Its energy is that of the walls, and what the gradient term does not know of the field's lift.

    What is written of walls: `phasefield.models.wall_data`. How a field meets it: `phasefield.models.walls`, where the split
    finds what that adds to N.
    """

    name, title = "walls", "part of the walls"

    @dataclass
    class FieldKeys:
        """``walls``: wall (left, right, bottom, top, back, front) -> ``{value: }`` of a fixed wall; ``{slope: }``, the derivative
        along the outward normal, ``{flux: }`` into the domain, ``{energy: }`` per area, an expression in the fields, or ``{angle:
        }``, the contact angle of the phase of larger value in degrees, of a wall without flux; null for none.
        """

        walls: Any = field(default=None, metadata={"expression": True})

    @classmethod
    def read(cls, key: str, given: Mapping[str, Any], reader: Reader) -> dict[str, Any]:
        value = given.get("walls")
        if not value:
            return {"walls": None}
        from ..wall_data import read  # which needs SymPy

        conserved = given.get("kinetics") == "conserved"
        return {"walls": read(f"{key}.walls", value, given.get("components") or 1, conserved, reader)}

    def check(self, grid: Grid, given: Mapping[str, Mapping[str, Any]]) -> None:
        from ..wall_data import check

        check(self.model, grid, given)

    def idle(self, given: Mapping[str, Mapping[str, Any]], end: float) -> Iterator[tuple[str, str]]:
        for f in self.model.order_parameters:
            key, data = f"model.fields.{f.name}.walls", f.values.get("walls") or {}
            for wall in given[f.name].get("walls") or {}:
                conditions = data[wall].conditions if wall in data else {}
                if not conditions:
                    yield f"{key}.{wall}", "it holds no datum"
                energy = conditions.get("energy", self.model.unknowns)
                if not {s for e in energy for s in e.free_symbols} & set(self.model.unknowns):
                    yield f"{key}.{wall}.energy", "it is the same whatever the fields are, and pulls at none of them"

    @property
    def constants(self) -> Mapping[str, float]:  # type: ignore[override]
        return {} if self.model.lifting is None else self.model.lifting.constants

    @property
    def density(self) -> Any | None:
        return None if self.model.lifting is None else self.model.lifting.density

    @property
    def driven(self) -> bool:  # type: ignore[override]
        return self.model.lifting is not None and self.model.lifting.driven

    @property
    def rates(self) -> Sequence[Any]:  # type: ignore[override]
        return () if self.model.lifting is None else self.model.lifting.rates

    @property
    def energetic(self) -> bool:  # type: ignore[override]
        return self.density is not None

    def curvature(self, i: int) -> float:
        return 0.0 if self.model.lifting is None else self.model.lifting.curvature(i)
