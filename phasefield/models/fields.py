"""The fields of a model: what every one of them is and has."""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import sympy as sp

from ..symbolic import component_symbols
from .anisotropy import Anisotropy
from .kinetics import Kinetics
from .mobility import Law
from .parameters import Course


@dataclass(frozen=True)
class OrderParameter:
    """One field of a model.

    Attributes:
        name: its name in expressions and in the output.
        kinetics: what moves it, conserved (Cahn-Hilliard) or not (Allen-Cahn).
        mobility: M, in (model units) length^2/energy density/time if conserved, 1/energy density/time if not; of one that varies
            the largest that the run is to meet, known once there are states (`phasefield.models.mobility`).
        components: None for a scalar field, else the number of components.
        values: of the keys that the terms of models have for a field, see `phasefield.models.terms`; of numbers that depend on
            time those at t = 0, or at the time that `at` was asked for.
        courses: key -> how its number, or its numbers along the axes, depend on time; None for one that does not.
        units, description: written to the output.
        law: M where it is more than a number: an expression, or one along every axis.
    """

    name: str
    kinetics: Kinetics
    mobility: float
    components: int | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    units: str = "1"
    description: str = ""
    law: Law | None = None
    courses: Mapping[str, tuple[Course | None, ...]] = field(default_factory=dict)

    def at(self, t: float) -> OrderParameter:
        """The field with its numbers as they are at time ``t``; itself where none depends on it."""
        return replace(self, values={**self.values, **self._numbers(t)}) if self.courses else self

    def _numbers(self, t: float) -> dict[str, float | tuple[float, ...]]:
        """Those of `values` that depend on time."""
        found: dict[str, float | tuple[float, ...]] = {}
        for key, courses in self.courses.items():
            given = self.values[key] if isinstance(self.values[key], tuple) else (self.values[key],)
            numbers = tuple(old if course is None else course.at(t) for old, course in zip(given, courses, strict=True))
            found[key] = numbers if isinstance(self.values[key], tuple) else numbers[0]
        return found

    @property
    def named_courses(self) -> dict[str, Course]:
        """`courses` one by one, by the names that a model has them under."""
        found = {}
        for key, courses in self.courses.items():
            for axis, course in zip("xyz", courses, strict=False):
                if course is not None:
                    found[f"{key}_{self.name}" + (f"_{axis}" if isinstance(self.values[key], tuple) else "")] = course
        return found

    @property
    def anisotropy(self) -> Anisotropy | None:
        """The gradient energy coefficient where it depends on the normal."""
        value = self.values.get("kappa")
        return value if isinstance(value, Anisotropy) else None

    @property
    def kappas(self) -> tuple[float, ...]:
        """Gradient energy coefficients, energy density x length^2: one, or one along every axis; of one that depends on the
        normal the least."""
        value = self.values["kappa"]
        if isinstance(value, Anisotropy):
            return (value.least,)
        return value if isinstance(value, tuple) else (float(value),)

    @property
    def kappa(self) -> float:
        """The least of `kappas`: that of the narrowest interfaces and of the waves that grow fastest."""
        return min(self.kappas)

    @property
    def stretch(self) -> float:
        """How many times the width and energy of the narrowest interfaces the widest have, by the direction alone."""
        most = max(self.kappas) if self.anisotropy is None else self.anisotropy.most
        return math.sqrt(most / self.kappa) if self.kappa > 0 else 1.0

    @property
    def source(self) -> sp.Expr | tuple[sp.Expr, ...] | None:
        """Rate added to the right-hand side, an expression in x, y, z, t and the fields, or one per component; None for none."""
        return self.values.get("source")

    @property
    def stabilizer(self) -> float | None:
        """S of the splitting, energy density; None to take it from the energy's second derivative."""
        value = self.values.get("stabilizer")
        return None if value in (None, "auto") else float(value)

    @property
    def immobile(self) -> bool:
        """Whether no force moves it; a source may."""
        return self.law is None and self.mobility == 0

    @cached_property
    def symbols(self) -> tuple[sp.Symbol, ...]:
        return component_symbols(self.name, self.components)

    @property
    def sources(self) -> tuple[sp.Expr | None, ...]:
        """The source of every component."""
        return self.source if isinstance(self.source, tuple) else (self.source,) * len(self.symbols)


def started(
    values: Mapping[str, Any], followed: Set[str]
) -> tuple[dict[str, Any], dict[str, tuple[Course | None, ...]]]:
    """Values as terms read them, those ``followed`` with numbers at t = 0 in place of their courses, and these courses."""
    found, courses = dict(values), {}
    for key in sorted(followed & values.keys()):
        value = values[key]
        parts = value if isinstance(value, tuple) else (value,)
        if any(isinstance(part, Course) for part in parts):
            courses[key] = tuple(part if isinstance(part, Course) else None for part in parts)
            numbers = tuple(part.at(0.0) if isinstance(part, Course) else part for part in parts)
            found[key] = numbers if isinstance(value, tuple) else numbers[0]
    return found, courses
