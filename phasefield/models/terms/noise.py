"""The noise term: thermal fluctuations of the strength that the mobility's dissipation asks for.

With q = M, or M k^2 of a conserved field, every component obeys u' = -q dF/du + sqrt(2 q kT) xi, xi white noise of unit
strength per volume and time (Cook, Acta Metall. 18 (1970) 297; Karma and Rappel, Phys. Rev. E 60 (1999) 3614): the Boltzmann
distribution exp(-F/kT) of the modes on the grid is then at rest. A conserved field needs no random flux, for what its
divergence does to a mode, sqrt(2 M kT) k . xi, has the covariance of sqrt(2 M kT) |k| xi.

The noise is no part of N, which schemes extrapolate: the integrator adds what a step of L makes of it (`Scheme.spread`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...errors import ConfigError
from .term import Term

if TYPE_CHECKING:
    from ...grid import Grid
    from ..energy import OrderParameter, Reader


class Noise(Term):
    """Thermal noise of the fields that ask for it. It has no energy, and with it the free energy of a model may rise."""

    name, energetic = "noise", False

    @dataclass
    class FieldKeys:
        """``noise``: kT of the field's thermal fluctuations, a number or an expression in t and the parameters; 0 for none."""

        noise: Any = field(default=0.0, metadata={"expression": True})

    @classmethod
    def read(cls, key: str, given: Mapping[str, Any], reader: Reader) -> dict[str, Any]:
        value = given.get("noise")
        return {"noise": 0.0 if value is None else reader.course(f"{key}.noise", value)}

    @property
    def driven(self) -> bool:  # type: ignore[override]
        return self.model.noisy

    def check(self, grid: Grid, given: Mapping[str, Mapping[str, Any]]) -> None:
        """Noise whose strength depends on the fields would be multiplicative, and its drift depend on how it is read."""
        for f in self.model.order_parameters:
            if _given(f) and f.law is not None and f.law.partial:
                raise ConfigError(
                    f"model.fields.{f.name}.noise",
                    f"needs a mobility that is a number, and model.fields.{f.name}.mobility is {f.law.text}, which {_why(f)}",
                    f"give a number for the mobility, or set model.fields.{f.name}.noise=0",
                )

    def idle(self, given: Mapping[str, Mapping[str, Any]], end: float) -> Iterator[tuple[str, str]]:
        for f in self.model.order_parameters:
            if _given(f) and f.immobile:
                yield (
                    f"model.fields.{f.name}.noise",
                    f"model.fields.{f.name}.mobility is 0, and noise goes with its root",
                )

    def scalars(self, t: float) -> Mapping[str, float]:
        found = {}
        for i, f in enumerate(self.model.order_parameters):
            strength = f.values["noise"]
            if isinstance(strength, float):
                continue
            value = found[f"noise_{i}"] = strength.at(t)
            if not (math.isfinite(value) and value >= 0):
                raise ConfigError(f"model.fields.{f.name}.noise", f"is {value:g} at t = {t:g}; kT >= 0 is expected")
        return found

    def noise(self, i: int) -> Any | None:
        return self.model.scalar("noise", i) if _given(self.model.components[i][0]) else None


def _given(f: OrderParameter) -> bool:
    return f.values["noise"] != 0


def _why(f: OrderParameter) -> str:
    """What keeps noise from a mobility."""
    assert f.law is not None
    if f.law.cross:
        return "couples it to other fields: noise that fields share is not implemented"
    if all({s.name for s in m.free_symbols} <= {"t"} for m in f.law.entries):
        return "depends on time: noise needs one that does not, while it may do so itself"
    return "depends on the state: noise of a strength that does so (multiplicative) is not implemented"
