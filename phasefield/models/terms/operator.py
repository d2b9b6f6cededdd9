"""The operator term: 1/2 sum_k G(k) |u_k|^2, a quadratic nonlocal energy by its symbol G.

G is an expression in the squared wavenumber and its components, such as ``gamma/k2`` (Ohta and Kawasaki, Macromolecules 19 (1986)
2621) or ``(1 - k2)**2`` (Elder, Katakowski, Haataja and Grant, Phys. Rev. Lett. 88 (2002) 245701).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .term import Term, Waves

if TYPE_CHECKING:
    from ...grid import Grid
    from ..reading import Reader


class Operator(Term):
    """Energy that is quadratic in modes; the potential gains G(k) u_k, at no transform.

    G goes to L whole, its negative part too: the split adds to S what keeps S + A(k) from being negative (`SpectralSplit`), so
    that modes which G makes grow are in N.
    """

    name, title, signed = "operator", "nonlocal part", True

    @dataclass
    class FieldKeys:
        """``operator``: G, energy density, an expression in k2 = |k|^2, kx, ky, kz (1/length) and the parameters; null for none.

        It is even, G(-k) = G(k), and does not fall without bound for short waves, the gradient term included. Where it has no
        finite value at k = 0, the mean has no part in it.
        """

        operator: Any = field(default=None, metadata={"expression": True})

    @classmethod
    def read(cls, key: str, given: Mapping[str, Any], reader: Reader) -> dict[str, Any]:
        value = given.get("operator")
        return {"operator": None if value is None else reader.operator(f"{key}.operator", value)}

    def check(self, grid: Grid, given: Mapping[str, Mapping[str, Any]]) -> None:
        from ..operators import check  # which needs SymPy

        for f in self.model.order_parameters:
            if f.values["operator"] is not None:
                check(self.model, f, grid, f"model.fields.{f.name}.operator", str(given[f.name]["operator"]))

    def symbol(self, i: int, waves: Waves) -> Any | None:
        expr = self.model.components[i][0].values["operator"]
        if expr is None:
            return None
        from ..operators import on_modes

        return on_modes(expr, waves).xreplace(self.model.on(""))
