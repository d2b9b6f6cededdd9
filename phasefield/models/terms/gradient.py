"""The gradient term: int kappa_i/2 |grad u_i|^2 dV (Cahn and Hilliard, J. Chem. Phys. 28 (1958) 258)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .term import Term, Waves

if TYPE_CHECKING:
    from ..energy import Reader


class Gradient(Term):
    """Energy of the fields' gradients, quadratic in modes: its symbol is kappa k^2."""

    name, title = "gradient", "gradient part"

    @dataclass
    class FieldKeys:
        """``kappa``: gradient energy coefficient, energy density x length^2, a number or an expression in the parameters."""

        kappa: Any = field(default=1.0, metadata={"expression": True})

    @classmethod
    def read(cls, key: str, given: Mapping[str, Any], reader: Reader) -> dict[str, Any]:
        return {"kappa": reader.number(f"{key}.kappa", given["kappa"])}

    def symbol(self, i: int, waves: Waves) -> Any:
        return self.model.scalar("kappa", i) * waves.k2
