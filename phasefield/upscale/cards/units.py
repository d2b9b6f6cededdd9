"""Consistent systems of units, spelled by their base units LENGTH-MASS-TIME: ``mm-t-s``, ``m-kg-s``; temperatures in K."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ...errors import ConfigError
from ...units import parse_unit

#: Units of mass that the table of units lacks: t there would be a prefix.
_MASSES = {"t": 1e3, "tonne": 1e3}
#: What is left as it came: numbers whose units nobody knows.
AS_GIVEN = "as-given"
_EXAMPLE = "e.g. m-kg-s, mm-t-s, mm-kg-ms or um-kg-s"
#: What is told of a system in its cards: quantity, SI unit.
_TOLD = (("stress", "Pa"), ("conductivity", "W/(m K)"), ("density", "kg/m^3"), ("force", "N"), ("energy", "J"))


@dataclass(frozen=True)
class System:
    """A consistent system of units; ``length``, ``mass`` and ``time`` are its base units in SI."""

    name: str
    length: float
    mass: float
    time: float

    def per_si(self, unit: str) -> float:
        """What a number in a SI unit is multiplied by."""
        factor, dimension = parse_unit(unit, "unit")
        metre, kilogram, second = dimension[:3]
        return factor / (self.length**metre * self.mass**kilogram * self.time**second)

    @property
    def heading(self) -> list[str]:
        """Lines that name the units."""
        first = (
            f"units: {self.name} (length {self.words[0]}, mass {self.words[1]}, time {self.words[2]}, temperature K)"
        )
        parts = [f"{what} 1 = {1 / self.per_si(unit):.6g} {unit}" for what, unit in _TOLD]
        return [first, f"  {'; '.join(parts[:3])};", f"  {'; '.join(parts[3:])}"]

    @property
    def words(self) -> list[str]:
        return self.name.split("-")


def system(name: str) -> System:
    """A system by its name.

    Raises:
        ConfigError: not three units of length, mass and time.
    """
    words = name.split("-")
    if len(words) != 3:
        raise ConfigError("units", f"is {name!r}; base units LENGTH-MASS-TIME are expected", _EXAMPLE)
    scales = []
    for word, what, base in zip(words, ("length", "mass", "time"), ("m", "g", "s"), strict=True):
        known = _MASSES.get(word) if what == "mass" else None
        if known is None:
            try:
                factor, dimension = parse_unit(word, "units")
            except ConfigError as error:
                raise ConfigError(
                    "units", f"is {name!r}, of which {word!r} is no known unit of {what}", _EXAMPLE
                ) from error
            if dimension != parse_unit(base, "units")[1] or not math.isfinite(factor):
                raise ConfigError("units", f"is {name!r}, of which {word!r} is no unit of {what}", _EXAMPLE)
            known = factor
        scales.append(known)
    return System(name, *scales)
