"""The electric term: the energy of charged fields in the potential that they and the electrodes make (Poisson's equation)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import ConfigError
from ...keys import key as _key
from .term import Term, Waves

if TYPE_CHECKING:
    from ...backend import Layout, Operation
    from ...grid import Grid
    from ..electric import Charged
    from ..energy import EnergyModel
    from ..reading import Reader


class Electric(Term):
    """Electrostatic energy, see `phasefield.models.electric`.

    The potential takes no iteration: it is rho/(eps k^2) in modes. One charged field and no electrodes have it in L, at no
    transform; else it costs one pair of transforms, in the basis that vanishes on the electrodes.
    """

    name, title = "electric", "electric part, of the charges between earthed electrodes,"

    @dataclass
    class ModelKeys:
        """``electric``: ``{charge: linear in the fields, permittivity: , potential: {WALL: }}``."""

        electric: Any = _key(
            None,
            "electrostatics of charged fields: {charge: 'z*(c - c0)', permittivity: , potential: {left: 0, right: 1}}; walls "
            "without a potential are insulated",
            value="tree",
        )

        def check(self) -> None:
            """Its values are checked with the model's names known, by `Electric.configure`."""

    @classmethod
    def configure(cls, given: Mapping[str, Any], axes: int, reader: Reader) -> dict[str, Any]:
        if given.get("electric") is None:
            return {"electric": None}
        from ..electric import read  # which needs SymPy

        return {"electric": read(given["electric"], reader)}

    def __init__(self, model: EnergyModel) -> None:
        super().__init__(model)
        self._charged: Charged | None = model.settings.get("electric")

    @property
    def active(self) -> bool:
        return self._charged is not None

    def check(self, grid: Grid, given: Mapping[str, Mapping[str, Any]]) -> None:
        from ..electric import KEY, flips, parts
        from ..wall_data import WALLS

        assert self._charged is not None
        flips(grid, self._charged.electrodes)
        parts(self._charged.electrodes)
        for wall, e in self._charged.electrodes.items():
            own = "xyz"[WALLS[wall][0]]
            names = {s.name for s in e.free_symbols}
            grid.check_coordinates(names, f"{KEY}.potential.{wall}", str(e))
            if own in names:
                raise ConfigError(
                    f"{KEY}.potential.{wall}", f"{e} depends on {own}, along which the wall has one place"
                )

    # -- numbers -------------------------------------------------------------------------------------------------------

    @cached_property
    def _flips(self) -> tuple[int, ...]:
        from ..electric import flips

        assert self._charged is not None
        assert self.model.grid is not None
        return flips(self.model.grid, self._charged.electrodes)

    @cached_property
    def _outer(self) -> list[tuple[str, Any, Any]]:
        from ..electric import parts

        assert self._charged is not None
        return [
            (wall, self.model.in_time(timed), self.model.values(along))
            for wall, timed, along in parts(self._charged.electrodes)
        ]

    @property
    def _direct(self) -> bool:
        """Whether it is diagonal in the modes of the fields."""
        assert self._charged is not None
        assert self.model.grid is not None
        grid, alone = self.model.grid, len(self._charged.charges) == 1
        lifted = self.model.lifting is not None and self.model.lifting.lifts
        whole = all(b in ("periodic", "no-flux") for b in grid.boundary) or not self._charged.constant
        return alone and whole and not (self._flips or self._outer or lifted)

    def _charge(self, i: int) -> float:
        """Charge per volume of component ``i`` where it is 1."""
        assert self._charged is not None
        return self._charged.charges.get(self.model.unknowns[i].name, 0.0)

    @cached_property
    def constants(self) -> Mapping[str, float]:  # type: ignore[override]
        assert self._charged is not None
        found = {f"electric_charge_{i}": z for i in range(len(self.model.components)) if (z := self._charge(i))}
        return {**found, "electric_fixed": self._charged.constant, "electric_inverse": 1 / self._charged.permittivity}

    def scalars(self, t: float) -> Mapping[str, float]:
        found = {}
        for wall, timed in self._timed:
            value = found[f"electric_{wall}"] = timed(t)
            if not math.isfinite(value):
                raise ConfigError(
                    f"model.electric.potential.{wall}", f"is {value:g} at t = {t:g}; a finite potential is expected"
                )
        return found

    @cached_property
    def _timed(self) -> list[tuple[str, Any]]:
        return [(wall, self._at(timed)) for wall, timed, _ in self._outer]

    def _at(self, timed: Any) -> Any:
        t = self.model.argument("t")

        def at(time: float) -> float:
            value = timed.xreplace({t: time})
            return float(value) if value.is_real else math.nan  # nor is an infinite one

        return at

    @property
    def driven(self) -> bool:  # type: ignore[override]
        return bool(self.rates)

    @property
    def rates(self) -> Sequence[Any]:  # type: ignore[override]
        t = self.model.argument("t")
        return [timed for _, timed, _ in self._outer if t in timed.free_symbols]

    def tables(self, layout: Layout) -> Mapping[str, np.ndarray]:
        if self._direct:
            return {}
        from ..electric import green, outer

        assert self._charged is not None
        grid = layout.grid.flipped(self._flips)
        found = {"electric_green": green(grid, self._charged.permittivity).reshape(1, *layout.modes)}
        if self._outer:  # between walls modes are as many as cells
            fields = [outer(grid, wall, along) for wall, _, along in self._outer]
            found["electric_outer"] = np.stack(fields).reshape(-1, *layout.modes)
        return found

    # -- in L, or by way of the potential ------------------------------------------------------------------------------

    def symbol(self, i: int, waves: Waves) -> Any | None:
        if not self._direct or not self._charge(i):
            return None
        return self._scalar(f"electric_charge_{i}") ** 2 * self._scalar("electric_inverse") * waves.inverse

    def _scalar(self, name: str) -> Any:
        return self.model.argument(name)

    @property
    def temporaries(self) -> Mapping[str, int]:  # type: ignore[override]
        return {} if self._direct else {"electric_field": 1}

    @property
    def reduced(self) -> Sequence[str]:  # type: ignore[override]
        return () if self._direct else ("cells_electric",)

    def prepare(self, array: str, waves: Waves) -> list[Operation]:
        if self._direct:
            return []
        from ...backend import Apply, Forward, Inverse
        from ...codegen import Kernel, Reduction, array_symbol

        count = len(self.model.components)
        names = {s: array_symbol("state", i) for i, s in enumerate(self.model.unknowns)}
        on = self.model.on("state")
        if self.model.lifting is not None:
            names |= {s: u.xreplace(on) for s, u in self.model.lifting.table.items()}
        charges = [(s, self._charge(i), i) for i, s in enumerate(self.model.unknowns)]
        rho = self._scalar("electric_fixed") + sum(
            self._scalar(f"electric_charge_{i}") * names[s] for s, z, i in charges if z
        )
        phi = array_symbol("electric_field", 0)
        outer = sum(
            self._scalar(f"electric_{wall}") * array_symbol("electric_outer", j)
            for j, (wall, _, _) in enumerate(self._outer)
        )
        scalars = [*self.model.scalars, *self.scalars(0.0), "t"]
        arrays = {"state": count, "electric_field": 1}
        charge = Kernel("electric_charge", "real", arrays, {"electric_field": [rho]}, scalars=scalars)
        solve = Kernel(
            "electric_solve",
            "spectral",
            {"electric_field": 1, "electric_green": 1},
            {"electric_field": [waves.scale * array_symbol("electric_green", 0) * phi]},
            scalars=[waves.scale.name],
        )
        more = {"electric_outer": len(self._outer)} if self._outer else {}
        total = Kernel(
            "electric_potential",
            "real",
            {**arrays, **more},
            {"electric_field": [phi + outer]},
            {
                "cells_electric": Reduction("sum", rho * phi / 2),
                **({"cells_electrodes": Reduction("sum", rho * outer)} if self._outer else {}),
            },
            scalars,
        )
        return [
            Apply(charge, {"state": array}),
            Forward("electric_field", 1, self._flips),
            Apply(solve),
            Inverse("electric_field", 1, self._flips),
            Apply(total, {"state": array}),
        ]

    def force(self, i: int) -> Any | None:
        if self._direct or not self._charge(i):
            return None
        from ...codegen import array_symbol

        return self._scalar(f"electric_charge_{i}") * array_symbol("electric_field", 0)

    def curvature(self, i: int) -> float:
        """The longest wave's: z_i sum_j |z_j|/(eps k^2)."""
        if self._direct or not self._charge(i):
            return 0.0
        assert self._charged is not None
        assert self.model.grid is not None
        least, _ = self.model.grid.flipped(self._flips).wavenumbers
        return (
            abs(self._charge(i)) * sum(map(abs, self._charged.charges.values())) / (self._charged.permittivity * least)
        )


class Electrodes(Term):
    """The energy of the charges in the potential of the electrodes, int rho phi_outer dV. `Electric` finds it on its way."""

    name, title = "electrodes", "part of the charges in the electrodes' potential"
    reduced = ("cells_electrodes",)

    @property
    def active(self) -> bool:
        charged: Charged | None = self.model.settings.get("electric")
        return charged is not None and any(potential != 0 for potential in charged.electrodes.values())
