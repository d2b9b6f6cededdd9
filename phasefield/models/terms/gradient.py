"""The gradient term: int kappa_i/2 |grad u_i|^2 dV (Cahn and Hilliard, J. Chem. Phys. 28 (1958) 258)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...errors import ConfigError
from .term import Term, Waves

if TYPE_CHECKING:
    from ...backend import Operation
    from ...grid import Grid
    from ..anisotropy import Anisotropy
    from ..energy import EnergyModel
    from ..fields import OrderParameter
    from ..reading import Reader


class Gradient(Term):
    """Energy of the fields' gradients. With constants it is quadratic in modes, its symbol kappa k^2, or the sum of kappa_a k_a^2
    over the axes. A kappa that depends on the normal has a constant in its symbol, and the rest is a force of its own
    (`phasefield.models.capillarity`).
    """

    name, title = "gradient", "gradient part"
    followed = ("kappa",)

    @dataclass
    class FieldKeys:
        """``kappa``: gradient energy coefficient, energy density x length^2, a number or an expression in the parameters and t;
        one for every axis of the grid, as a list or by their names; or an expression in the normal n_x, n_y, n_z, in one and two
        dimensions also in its angle theta. ``convexify``: leave out orientations that equilibrium shapes miss, see
        `phasefield.models.wulff`.
        """

        kappa: Any = field(default=1.0, metadata={"expression": True})
        convexify: bool = False

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
            law = reader.normal(key, value, bool(given.get("convexify")))
            return {"kappa": reader.course(key, value) if law is None else law}
        if any(reader.normal(key, part) is not None for part in value):
            raise ConfigError(
                key,
                "has an expression in the normal for an axis; numbers for the axes, or one expression are expected",
                "the sum kappa_x*n_x**2 + kappa_y*n_y**2 is what two numbers mean",
            )
        return {"kappa": tuple(reader.course(key, part) for part in value)}

    def __init__(self, model: EnergyModel) -> None:
        super().__init__(model)
        #: Components whose kappa depends on the normal.
        self._members: list[tuple[int, Anisotropy]] = [
            (i, f.anisotropy) for i, (f, _) in enumerate(model.components) if f.anisotropy is not None
        ]

    @property
    def active(self) -> bool:
        return True

    def check(self, grid: Grid, given: Mapping[str, Mapping[str, Any]]) -> None:
        for f in self.model.order_parameters:
            key, value = f"model.fields.{f.name}.kappa", f.values["kappa"]
            if isinstance(value, tuple) and len(value) != grid.dim:
                raise ConfigError(
                    key,
                    f"has {len(value)} entries for {grid.dim} axes",
                    f"give one number, or one per axis ({', '.join(grid.names)})",
                )
            if f.anisotropy is not None:
                from ..anisotropy import check

                check(f.anisotropy, key, grid, self._bounded(f, grid))

    def idle(self, given: Mapping[str, Mapping[str, Any]], end: float) -> Iterator[tuple[str, str]]:
        for f in self.model.order_parameters:
            key = f"model.fields.{f.name}"
            if given[f.name].get("convexify") and f.anisotropy is None:
                yield f"{key}.convexify", f"{key}.kappa does not depend on the normal"

    def _bounded(self, f: OrderParameter, grid: Grid) -> bool:
        """Whether the other symbols of a field outgrow the most negative stiffness of its kappa for ever shorter waves."""
        law = f.anisotropy
        assert law is not None
        if law.convex or f.values.get("operator") is None:
            return law.convex
        import numpy as np

        from ..normal import directions
        from ..spectrum import Spectrum

        i = self.model.slices()[f.name].start
        rays = np.zeros((3, directions(grid.dim).shape[1]))
        rays[: grid.dim] = directions(grid.dim)
        most = grid.wavenumbers[1] ** 0.5
        for length in (1e2 * most, 1e4 * most):
            others = Spectrum(self.model).at(i, length * rays) / length**2 - law.reference
            if not (others + law.weakest > 0).all():
                return False
        return True

    def symbol(self, i: int, waves: Waves) -> Any | None:
        value = self.model.components[i][0].values["kappa"]
        if not isinstance(value, tuple):
            return self.model.scalar("kappa", i) * waves.k2
        return sum(self.model.scalar(f"kappa_{a}", i) * k2 for a, k2, _ in zip("xyz", waves.along, value, strict=False))

    # -- kappa of the normal -------------------------------------------------------------------------------------------

    @property
    def constants(self) -> Mapping[str, float]:  # type: ignore[override]
        return {self.model.scalar("kappa", i).name: law.reference for i, law in self._members}

    @property
    def temporaries(self) -> Mapping[str, int]:  # type: ignore[override]
        if not self._members:
            return {}
        from ..capillarity import ARRAYS

        return dict.fromkeys(ARRAYS[: self._axes], len(self._members))

    @property
    def reduced(self) -> Sequence[str]:  # type: ignore[override]
        return ("cells_gradient", "modes_gradient") if self._members else ()

    def ahead(self, array: str, waves: Waves) -> list[Operation]:
        if not self._members:
            return []
        from ..capillarity import operations

        symbols = [self.symbol(i, waves) for i in range(len(self.model.components))]
        return operations(self.model, array, self._members, symbols, self._axes, waves)

    def potential(self, i: int) -> Any | None:
        place = next((j for j, (member, _) in enumerate(self._members) if member == i), None)
        if place is None:
            return None
        from ..capillarity import potential

        return potential(place, self._axes)

    @property
    def _axes(self) -> int:
        return len(self._members[0][1].mirrored)
