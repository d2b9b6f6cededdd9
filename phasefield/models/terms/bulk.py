"""The bulk term: int f(u) dV, f the expression of the configuration."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...errors import ConfigError
from .term import Term

if TYPE_CHECKING:
    from ..energy import Reader


class Bulk(Term):
    """Local energy of the fields. Its potentials are df/du_i (`EnergyModel.potentials`), all in N but for S u."""

    name, title = "bulk", "bulk part"

    @dataclass
    class FieldKeys:
        """``stabilizer``: S of the splitting, energy density; auto takes it from the energy's second derivative."""

        stabilizer: Any = field(default="auto", metadata={"expression": True})

    @dataclass
    class ModelKeys:
        """``log_bound``: logarithms and broken powers are continued smoothly below this part of the largest initial value of
        their argument (see `phasefield.models.continuation`); raised to the square root of round-off where that is larger.
        """

        log_bound: float = 1e-7

        def check(self) -> None:
            value = self.log_bound
            if (
                isinstance(value, bool)
                or not isinstance(value, int | float)
                or not (math.isfinite(value) and value > 0)
            ):
                raise ConfigError("model.log_bound", f"is {value!r}; a finite number > 0 is expected")

    @classmethod
    def read(cls, key: str, given: Mapping[str, Any], reader: Reader) -> dict[str, Any]:
        value = given.get("stabilizer")
        return {"stabilizer": value if value in (None, "auto") else reader.number(f"{key}.stabilizer", value)}

    @property
    def active(self) -> bool:
        return True

    @property
    def density(self) -> Any:
        return self.model.energy

    def force(self, i: int) -> Any:
        return self.model.potentials[i]  # derived once for all components that are alike
