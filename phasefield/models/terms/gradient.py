"""The gradient term: int kappa_i/2 |grad u_i|^2 dV (Cahn and Hilliard, J. Chem. Phys. 28 (1958) 258)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...errors import ConfigError
from .term import Term, Waves

if TYPE_CHECKING:
    from ...grid import Grid
    from ..energy import Reader


class Gradient(Term):
    """Energy of the fields' gradients, quadratic in modes: its symbol is kappa k^2, or the sum of kappa_a k_a^2 over the axes."""

    name, title = "gradient", "gradient part"

    @dataclass
    class FieldKeys:
        """``kappa``: gradient energy coefficient, energy density x length^2, a number or an expression in the parameters; or one
        for every axis of the grid, as a list or by their names.
        """

        kappa: Any = field(default=1.0, metadata={"expression": True})

    @classmethod
    def read(cls, key: str, given: Mapping[str, Any], reader: Reader) -> dict[str, Any]:
        value, key = given["kappa"], f"{key}.kappa"
        if isinstance(value, Mapping):
            names = ("x", "y", "z")[: len(value)]
            if set(value) != set(names) or not names:
                raise ConfigError(
                    key, f"is for {', '.join(map(str, value)) or 'nothing'}", "give one for each of x, y, z"
                )
            value = [value[name] for name in names]
        if not isinstance(value, list | tuple):
            return {"kappa": reader.number(key, value)}
        return {"kappa": tuple(reader.number(key, part) for part in value)}

    @property
    def active(self) -> bool:
        return True

    def check(self, grid: Grid, given: Mapping[str, Mapping[str, Any]]) -> None:
        for f in self.model.order_parameters:
            value = f.values["kappa"]
            if isinstance(value, tuple) and len(value) != grid.dim:
                raise ConfigError(
                    f"model.fields.{f.name}.kappa",
                    f"has {len(value)} entries for {grid.dim} axes",
                    f"give one number, or one per axis ({', '.join(grid.names)})",
                )

    def symbol(self, i: int, waves: Waves) -> Any:
        value = self.model.components[i][0].values["kappa"]
        if not isinstance(value, tuple):
            return self.model.scalar("kappa", i) * waves.k2
        return sum(self.model.scalar(f"kappa_{a}", i) * k2 for a, k2, _ in zip("xyz", waves.along, value, strict=False))
