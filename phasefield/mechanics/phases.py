"""Phases of a material: their tensors, in the axes of the crystal and in those of the sample."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..errors import ConfigError, unknown
from . import tensors
from .constants import check_definite
from .properties import PROPERTIES
from .recipes import Recipe
from .tensors import Array
from .uncertain import Constant


@dataclass
class Phase:
    """One phase.

    Attributes:
        name: as the user calls it.
        values: tensors in crystal axes by property: (6, 6) Mandel stiffness, (3, 3) others. A scalar 0.0 or inf stands for a
            void or a rigid (perfectly conducting) phase.
        rotation: crystal axes in the sample frame (columns), or None.
        united: whether its values carry units (are SI).
        recipes: how its tensors are made of their constants, by property. density: None where it is not said.
    """

    name: str
    values: dict[str, Any]
    rotation: Array | None = None
    united: bool = True
    level: float | None = None
    sources: dict[str, str] = field(default_factory=dict)
    recipes: dict[str, Recipe] = field(default_factory=dict)
    density: Constant | None = None

    def label(self, constant: Constant) -> str:
        """``PHASE.CONSTANT``, as files and tables call it."""
        return f"{self.name}.{constant.name}"

    def with_constants(self, values: Mapping[str, float]) -> Phase:
        """The same phase of other constants, by their labels; those that are not its own are passed over.

        Raises:
            ConfigError: constants that no stable material has.
        """
        tensors_, recipes = dict(self.values), dict(self.recipes)
        for prop, recipe in self.recipes.items():
            own = {c.name: values[label] for c in recipe.constants if (label := self.label(c)) in values}
            if own:
                key = f"material.phases.{self.name}.{prop}"
                recipes[prop] = recipe.with_values(own)
                tensors_[prop] = recipes[prop].tensor(key)
                check_definite(tensors_[prop], PROPERTIES[prop], key, self.united)
        return replace(self, values=tensors_, recipes=recipes)

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
    """The phases of a microstructure, in the order of their image values (lowest first).

    Attributes:
        temperature: that its constants are of, in K; None where it is not said.
    """

    name: str
    phases: list[Phase]
    description: str = ""
    source: str = ""
    temperature: float | None = None

    @property
    def united(self) -> bool:
        return all(p.united for p in self.phases)

    def unit(self, name: str) -> str:
        """SI unit of a property, ``1`` if the constants came without units."""
        return PROPERTIES[name].unit if self.united else "1"

    def density(self, numbers: Iterable[int], fractions: Iterable[float]) -> tuple[float, float]:
        """The density of a mixture, the mean by volume, and what the uncertainties of the phases' densities make of it.

        Args:
            numbers: of the phases, which may repeat. fractions: their shares of the volume.

        Returns:
            NaN where a phase that is in it has no density, and where none has an uncertainty.
        """
        shares = dict.fromkeys(range(len(self.phases)), 0.0)
        for k, share in zip(numbers, fractions, strict=True):
            shares[k] += float(share)
        there = [(self.phases[k].density, share) for k, share in shares.items() if share > 0]
        mean = math.fsum(math.nan if d is None else d.value * share for d, share in there)
        stds = [d.spread.std * share for d, share in there if d is not None and d.spread is not None]
        return mean, math.hypot(*stds) if stds else math.nan

    @property
    def constants(self) -> dict[str, Constant]:
        """All constants of the phases, by their labels ``PHASE.CONSTANT``."""
        return {p.label(c): c for p in self.phases for r in p.recipes.values() for c in r.constants}

    def with_constants(self, values: Mapping[str, float]) -> MaterialSystem:
        """The same material with other constants, by their labels.

        Raises:
            ConfigError: a constant that is not there, or one that no stable material has.
        """
        known = self.constants
        for label in values:
            if label not in known:
                raise unknown("material", label, list(known), "constant")
        return replace(self, phases=[p.with_constants(values) for p in self.phases])

    def phase(self, name: str) -> Phase:
        for phase in self.phases:
            if phase.name == name:
                return phase
        raise unknown("material.phases", name, [p.name for p in self.phases], "phase")
