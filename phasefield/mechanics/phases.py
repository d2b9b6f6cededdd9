"""Phases of a material: their tensors, in the axes of the crystal and in those of the sample."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..errors import ConfigError, unknown
from . import tensors
from .properties import PROPERTIES
from .tensors import Array


@dataclass
class Phase:
    """One phase.

    Attributes:
        name: as the user calls it.
        values: tensors in crystal axes by property: (6, 6) Mandel stiffness, (3, 3) others. A scalar 0.0 or inf stands for a
            void or a rigid (perfectly conducting) phase.
        rotation: crystal axes in the sample frame (columns), or None.
        united: whether its values carry units (are SI).
    """

    name: str
    values: dict[str, Any]
    rotation: Array | None = None
    united: bool = True
    level: float | None = None
    sources: dict[str, str] = field(default_factory=dict)

    def tensor(self, name: str, rotation: Array | None = None) -> Array | float:
        """The tensor of a property in the sample frame (of a grain with ``rotation``); 0.0 or inf for void and rigid.

        Raises:
            ConfigError: the phase has no such property.
        """
        if name not in self.values:
            raise ConfigError(
                f"material.phases.{self.name}.{name}",
                f"is missing; it is needed for {PROPERTIES[name].title}",
                f"phase {self.name!r} has {', '.join(self.values) or 'no properties'}",
            )
        value = self.values[name]
        if isinstance(value, float):
            return value
        turn = rotation if rotation is not None else self.rotation
        return value if turn is None else tensors.rotate(value, turn)


@dataclass
class MaterialSystem:
    """The phases of a microstructure, in the order of their image values (lowest first)."""

    name: str
    phases: list[Phase]
    description: str = ""
    source: str = ""

    @property
    def united(self) -> bool:
        return all(p.united for p in self.phases)

    def unit(self, name: str) -> str:
        """SI unit of a property, ``1`` if the constants came without units."""
        return PROPERTIES[name].unit if self.united else "1"

    def phase(self, name: str) -> Phase:
        for phase in self.phases:
            if phase.name == name:
                return phase
        raise unknown("material.phases", name, [p.name for p in self.phases], "phase")
