"""Data on walls: values, slopes and fluxes by lifting, and energies of walls.

A field that walls hold to data is u = v + w: v meets the walls without data, as the grid's cosines and sines do, and w(x, t)
meets the data, as a polynomial of lowest degree along each axis. L works on v; N has f'(v + w), the gradient term's part of w and
-dw/dt in closed form. A conserved field has a second condition, on mu: mu = nu + m in the same way, where m has the slopes J/M of
the fluxes, or on a fixed wall the potential f'(value) of a reservoir, and M lap m is a source.

    nonconserved: dv/dt = -M (f'(v + w) - kappa lap w - kappa lap v) - dw/dt
    conserved:    dv/dt = M lap (f'(v + w) - kappa lap w - m - kappa lap v) + M lap m - dw/dt

Lifting is the classical treatment of such conditions in spectral methods (Canuto, Hussaini, Quarteroni and Zang, Spectral
Methods: Fundamentals in Single Domains, Springer 2006). Cosines and sines continue v with a jump in a higher derivative, so that
its modes fall off algebraically and the error is of second order in the cells: docs/boundaries.md has it as measured.

A wall that a field wets has an energy gamma(u) per area, whose condition is kappa du/dn = -gamma'(u) (Cahn, J. Chem. Phys. 66
(1977) 3667). It is counted in the layer of cells at the wall, as is a flux into a field whose mobility varies: then the discrete
energy falls, and what flows in is what was asked for, to round-off.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy as sp

from ..backend import Apply
from ..codegen import Kernel, array_symbol
from ..errors import ConfigError, NotConverged
from ..symbolic import written_out
from .parameters import TIME
from .wall_data import COORDINATES as _X
from .wall_data import ROUGH, WALLS, Data, conditions_of, times_of, walls_of

if TYPE_CHECKING:
    from ..grid import Grid
    from .energy import EnergyModel

#: Mismatch of the data where walls meet, against their size at that time, that counts; positions at which it is looked for.
_MISMATCH, _PLACES = 1e-6, 9
#: Phases and interface energy of scalar models, by what they follow from.
_found: dict[Any, tuple[float, float, float]] = {}


def _coexisting(model: EnergyModel) -> tuple[float, float, float]:
    from .analysis import binodal, interface_energy

    a, b = binodal(model)
    return a, b, interface_energy(model, a, b)


class Lifting:
    """What the data of walls make of a model on a grid.

    Attributes:
        values: w of every component, in x, y, z, t, the parameters and `constants`; 0 where nothing is held. potentials: m.
        constants: kernel arguments, lengths of the grid.
    """

    def __init__(self, model: EnergyModel, grid: Grid) -> None:
        self._model, self._grid = model, grid
        self._functions: dict[tuple[sp.Expr, ...], Callable[..., Any]] = {}
        self.constants: dict[str, float] = {}
        for name, axis in zip("xyz", grid.axes, strict=False):
            self.constants |= {f"wall_length_{name}": axis.length, f"wall_cell_{name}": axis.spacing}
        self._lengths = [self._argument(f"wall_length_{name}") for name in grid.names]
        self._cells = [self._argument(f"wall_cell_{name}") for name in grid.names]
        count = len(model.components)
        self.values = [self._lift({wall: self._held(i, wall) for wall in walls_of(grid)}) for i in range(count)]
        self._deposited = [False] * count
        self._deposited = [self._rough(i) for i in range(count)]
        self.potentials = [self._lift(self._second(i), self._deposited[i]) for i in range(count)]

    def _argument(self, name: str) -> sp.Symbol:
        return self._model.argument(name)

    # -- data ----------------------------------------------------------------------------------------------------------

    def given(self, i: int, wall: str, name: str) -> sp.Expr | None:
        """A datum of component ``i``, with parameters that depend on time written out; None if there is none."""
        f, s = self._model.components[i]
        data: Data | None = f.values.get("walls")
        if data is None or wall not in data or name not in data[wall].conditions:
            return None
        expr = data[wall].conditions[name][f.symbols.index(s)]
        return expr.xreplace({sp.Symbol(k, real=True): c.expr for k, c in self._model.courses.items()})

    def _has(self, i: int) -> bool:
        return self._model.components[i][0].values.get("walls") is not None

    def _held(self, i: int, wall: str) -> sp.Expr:
        """What the wall holds of the field: its value, or its slope along the outward normal."""
        f, _ = self._model.components[i]
        axis, _side = WALLS[wall]
        for name in ("value", "slope"):
            if (e := self.given(i, wall, name)) is not None:
                return e
        flux = self.given(i, wall, "flux")
        if flux is None or f.kinetics.conserved:
            return sp.S.Zero
        kappa = self._model.scalar("kappa", i) if len(f.kappas) == 1 else self._model.scalar(f"kappa_{'xyz'[axis]}", i)
        return flux / (self._model.scalar("mobility", i) * kappa)

    def _second(self, i: int) -> dict[str, sp.Expr]:
        """What the walls hold of the potential of a conserved component."""
        f, _ = self._model.components[i]
        if not f.kinetics.conserved or not self._has(i):
            return {}
        from .transport import mobilities  # which imports the model's parts

        found = {}
        for wall in walls_of(self._grid):
            axis, side = WALLS[wall]
            kind = conditions_of(self._grid.boundary[axis])[side]
            if kind == "value":
                found[wall] = (
                    potential
                    if (potential := self.given(i, wall, "potential")) is not None
                    else self._reservoir(i, wall)
                )
            elif kind and (flux := self.given(i, wall, "flux")) is not None and not self._deposited[i]:
                along = mobilities(self._model, i)
                found[wall] = flux / along[axis if len(along) > 1 else 0]
        return found

    def _reservoir(self, i: int, wall: str) -> sp.Expr:
        """f' of the values that a wall holds."""
        axis, side = WALLS[wall]
        place = {_X[axis]: self._lengths[axis] if side else sp.S.Zero}
        table = {s: w.xreplace(place) for s, w in zip(self._model.unknowns, self.values, strict=True)}
        moving = {sp.Symbol(k, real=True): c.expr for k, c in self._model.courses.items()}
        return self._model.potentials[i].xreplace(table).xreplace(moving)

    def _rough(self, i: int) -> bool:
        """Whether fluxes into a component go into the layer of cells at the wall, for no m meets them."""
        f, _ = self._model.components[i]
        fluxes = [e for wall in walls_of(self._grid) if (e := self.given(i, wall, "flux")) is not None]
        if not f.kinetics.conserved or not fluxes:
            return False
        if f.law is not None and f.law.varies:
            return True
        if any(e.has(*ROUGH) and e.free_symbols & set(_X) for e in fluxes):
            return True
        held = self._second(i)
        return self._mismatch(self._lift(held), held) is not None

    # -- polynomials ---------------------------------------------------------------------------------------------------

    def _lift(self, held: Mapping[str, sp.Expr], free: bool = False) -> sp.Expr:
        """The function that meets data, of lowest degree along each axis; between slopes its mean over the cells is 0.

        Args:
            free: whether slopes may be what they are.
        """
        if not any(e != 0 for e in held.values()):
            return sp.S.Zero
        w: sp.Expr = sp.S.Zero
        for d, boundary in enumerate(self._grid.boundary):
            walls = [name for name, (axis, _) in WALLS.items() if axis == d]
            if not conditions_of(boundary)[0]:
                continue
            low, high = (
                sp.S.Zero if free and kind == "slope" else sp.sympify(held.get(wall, 0)) - self._trace(w, wall)
                for wall, kind in zip(walls, conditions_of(boundary), strict=True)
            )
            if low == 0 and high == 0:
                continue
            x, length, h = _X[d], self._lengths[d], self._cells[d]
            match conditions_of(boundary):
                case ("value", "value"):
                    w += low + (high - low) * x / length
                case ("slope", "slope"):
                    bend = (low + high) / (2 * length)
                    w += bend * (x**2 - length**2 / 3 + h**2 / 12) - low * (x - length / 2)
                case ("value", "slope"):
                    w += low + high * x
                case _:
                    w += high + low * (length - x)
        return w

    def _trace(self, w: sp.Expr, wall: str) -> sp.Expr:
        """What a function holds at a wall."""
        axis, side = WALLS[wall]
        place = {_X[axis]: self._lengths[axis] if side else sp.S.Zero}
        if conditions_of(self._grid.boundary[axis])[side] == "value":
            return written_out(w.xreplace(place))
        slope = sp.diff(w, _X[axis]).xreplace(place)
        return written_out(slope if side else -slope)

    # -- what the split needs ------------------------------------------------------------------------------------------

    @property
    def lifts(self) -> bool:
        return any(w != 0 for w in self.values)

    @cached_property
    def table(self) -> dict[sp.Symbol, sp.Expr]:
        """u -> v + w in the model's symbols."""
        return {s: s + w for s, w in zip(self._model.unknowns, self.values, strict=True) if w != 0}

    def bend(self, i: int) -> sp.Expr:
        """What w and m add to df/du in cells: -kappa lap w - m."""
        return self._bent(i) - self.potentials[i]

    def _bent(self, i: int) -> sp.Expr:
        """-kappa lap w."""
        f, w = self._model.components[i][0], self.values[i]
        if w == 0:
            return sp.S.Zero
        names = ["kappa"] * self._grid.dim if len(f.kappas) == 1 else [f"kappa_{x}" for x in self._grid.names]
        return -sum(
            (self._model.scalar(k, i) * written_out(sp.diff(w, x, 2)) for k, x in zip(names, _X, strict=False)),
            sp.S.Zero,
        )

    def supply(self, i: int) -> sp.Expr | None:
        """The rate added to component ``i``: M lap m - dw/dt, and fluxes into the layer of cells at walls; None for none."""
        from .transport import mobilities

        rate = -written_out(sp.diff(self.values[i], TIME))
        if (m := self.potentials[i]) != 0:
            along = mobilities(self._model, i)
            along = along * self._grid.dim if len(along) == 1 else along
            rate += sum((a * written_out(sp.diff(m, x, 2)) for a, x in zip(along, _X, strict=False)), sp.S.Zero)
        if self._deposited[i]:
            for wall in walls_of(self._grid):
                axis, side = WALLS[wall]
                if conditions_of(self._grid.boundary[axis])[side] == "slope":
                    along = mobilities(self._model, i)
                    missing = (self.given(i, wall, "flux") or 0) - along[axis if len(along) > 1 else 0] * self._trace(
                        m, wall
                    )
                    rate += missing * self._layer(wall) if missing != 0 else 0
        return None if rate == 0 else rate

    def gradient(self, i: int, axis: int) -> sp.Expr:
        """dw/dx along an axis."""
        return written_out(sp.diff(self.values[i], _X[axis]))

    def slope(self, i: int, axis: int) -> sp.Expr:
        """dm/dx along an axis."""
        return written_out(sp.diff(self.potentials[i], _X[axis]))

    def _layer(self, wall: str) -> sp.Expr:
        """1/h in the layer of cells at a wall, 0 elsewhere: its sum over the cells times their volume is the wall's area."""
        axis, side = WALLS[wall]
        x, h = _X[axis], self._cells[axis]
        return sp.Piecewise((1 / h, x > self._lengths[axis] - h if side else x < h), (sp.S.Zero, True))

    @cached_property
    def density(self) -> sp.Expr | None:
        """Energy density besides f(u) and the gradient energy of v: that of walls in their cells, and what w adds.

        int kappa/2 |grad(v + w)|^2 dV is that of v, int kappa/2 |grad w|^2 - kappa v lap w dV and the walls' kappa v dw/dn, which
        the energy -kappa u dw/dn of a wall with this slope takes off again.
        """
        total: sp.Expr = sp.S.Zero
        for i, (f, u) in enumerate(self._model.components):
            w = self.values[i]
            if w != 0 and f.kappa:
                names = ["kappa"] * self._grid.dim if len(f.kappas) == 1 else [f"kappa_{x}" for x in self._grid.names]
                for k, x in zip(names, _X, strict=False):
                    total += self._model.scalar(k, i) / 2 * sp.diff(w, x) ** 2
                total += (u - w) * self._bent(i)
                for wall in walls_of(self._grid):
                    axis, side = WALLS[wall]
                    if conditions_of(self._grid.boundary[axis])[side] == "slope" and (held := self._held(i, wall)) != 0:
                        at = w.xreplace({_X[axis]: self._lengths[axis] if side else sp.S.Zero})
                        total -= self._model.scalar(names[axis], i) * held * at * self._layer(wall)
            for wall in walls_of(self._grid):
                if (gamma := self.wetting(i, wall)) is not None:
                    total += gamma * self._layer(wall)
        return None if total == 0 else total

    @property
    def driven(self) -> bool:
        """Whether walls do work: data that depend on time, and what flows through them into a conserved field."""
        return any(
            m != 0 or deposited or TIME in w.free_symbols
            for w, m, deposited in zip(self.values, self.potentials, self._deposited, strict=True)
        )

    def told(self, field: str) -> str:
        """What a user should know of how a field meets its data."""
        part = range(len(self.values))[self._model.slices()[field]]
        layer = "fluxes go into the layer of cells at the wall" if any(self._deposited[i] for i in part) else ""
        work = any(self.potentials[i] != 0 or self._deposited[i] or TIME in self.values[i].free_symbols for i in part)
        free = "walls do work, so that the free energy may rise and no step is refused for it" if work else ""
        return "; ".join(filter(None, (layer, free)))

    @property
    def rates(self) -> list[sp.Expr]:
        """Data that depend on time, whose changes steps must not jump over."""
        found = []
        for i in range(len(self._model.components)):
            for wall in walls_of(self._grid):
                found += [
                    e for n in ("value", "slope", "flux", "potential") if (e := self.given(i, wall, n)) is not None
                ]
        return [e for e in found if TIME in e.free_symbols]

    def lift(self, array: str, components: int, scalars: Sequence[str], back: sp.Expr | None = None) -> list[Apply]:
        """Makes u of v in the cells of ``array``, or v of u: then ``back`` is what multiplies both there."""
        if not self.lifts:
            return []
        names = self._model.on("state")
        factor = sp.S.One if back is None else -back
        outputs = [
            None if w == 0 else array_symbol("state", i) + factor * w.xreplace(names) for i, w in enumerate(self.values)
        ]
        kernel = Kernel(
            f"walls_{'on' if back is None else 'off'}",
            "real",
            {"state": components},
            {"state": outputs},
            scalars=scalars,
        )
        return [Apply(kernel, {"state": array})]

    # -- wetting -------------------------------------------------------------------------------------------------------

    def wetting(self, i: int, wall: str) -> sp.Expr | None:
        """The energy of a wall per area; None if it has none."""
        if (energy := self.given(i, wall, "energy")) is not None:
            return energy
        angle = self.given(i, wall, "angle")
        if angle is None:
            return None
        a, b, sigma = self._phases
        s = (self._model.unknowns[i] - sp.Float(a, 17)) / sp.Float(b - a, 17)
        return -sp.Float(sigma * math.cos(math.radians(float(angle))), 17) * s**2 * (3 - 2 * s)

    @cached_property
    def _phases(self) -> tuple[float, float, float]:
        """The two phases of a scalar model and the energy of their interface."""
        model = self._model
        key = model.energy, tuple(sorted(model.parameters.items())), model.components[0][0].kappas
        try:
            if key not in _found:  # a run makes its model several times
                _found[key] = _coexisting(model)
            return _found[key]
        except (NotConverged, ConfigError) as error:
            raise ConfigError(
                f"model.fields.{self._model.components[0][0].name}.walls",
                f"has an angle, but {error}",
                "give the energy of the wall",
            ) from error

    @property
    def _range(self) -> tuple[float, float]:
        """The phases of a scalar model; else 0 and 1."""
        try:
            return self._phases[:2] if len(self._model.components) == 1 else (0.0, 1.0)
        except ConfigError:
            return 0.0, 1.0

    def curvature(self, i: int) -> float:
        """The largest slope of the force of walls between the phases, energy density."""
        total = 0.0
        for wall in walls_of(self._grid):
            gamma = self.wetting(i, wall)
            if gamma is None:
                continue
            low, high = self._range
            span = np.tile(np.linspace(low, high, 65), (len(self._model.components), 1))
            bends = self._model.evaluate([sp.diff(gamma, self._model.unknowns[i], 2)], span)
            total = max(total, float(np.nanmax(bends, initial=0.0)) / self._grid.axes[WALLS[wall][0]].spacing)
        return total

    # -- numbers -------------------------------------------------------------------------------------------------------

    def evaluate(self, exprs: Sequence[sp.Expr], places: np.ndarray, t: float) -> np.ndarray:
        """Expressions in x, y, z and t at places, shape ``(dim, n)``: shape ``(len(exprs), n)``."""
        if (key := tuple(exprs)) not in self._functions:
            numbers = {self._argument(k): sp.Float(v, 17) for k, v in {**self._coefficients, **self.constants}.items()}
            fixed = [self._model.values(sp.sympify(e)).xreplace(numbers) for e in exprs]
            self._functions[key] = sp.lambdify([*_X[: len(places)], TIME], fixed, "numpy")
        with np.errstate(all="ignore"):
            values = self._functions[key](*places, np.float64(t))  # whose quotients by 0 raise nothing
            return np.array([np.broadcast_to(np.asarray(v, dtype=float), places.shape[1:]) for v in values])

    @property
    def _coefficients(self) -> dict[str, float]:
        """Mobilities and kappas as kernels know them."""
        found = {}
        for i, f in enumerate(self._model.order_parameters):
            mobilities = (f.mobility,) if f.law is None else f.law.references
            for name, values in (("mobility", mobilities), ("kappa", f.kappas)):
                found[f"{name}_{i}"] = values[0]
                found |= {f"{name}_{x}_{i}": v for x, v in zip("xyz", values, strict=False)}
        return found

    def _places(self, wall: str) -> np.ndarray:
        """Places on a wall, its edges included, shape ``(dim, n)``."""
        axis, side = WALLS[wall]
        along = [
            np.array([a.length * side]) if d == axis else np.linspace(0, a.length, _PLACES)
            for d, a in enumerate(self._grid.axes)
        ]
        return np.stack([p.ravel() for p in np.meshgrid(*along, indexing="ij")])

    def _mismatch(self, w: sp.Expr, held: Mapping[str, sp.Expr]) -> tuple[str, str, float, float] | None:
        """A wall that a function does not meet the data of: the wall, where and when, what it should hold, what it does."""
        data = {wall: sp.sympify(e) for wall, e in held.items()}
        times = times_of(data.values())
        for wall in walls_of(self._grid):
            axis, side = WALLS[wall]
            if not conditions_of(self._grid.boundary[axis])[side]:
                continue
            places, trace = self._places(wall), self._trace(w, wall)
            for t in times:
                wanted, found = self.evaluate([data.get(wall, sp.S.Zero), trace], places, t)
                size = max(float(np.abs(self.evaluate(list(data.values()), places, t)).max()), 1e-300)
                with np.errstate(invalid="ignore"):  # what is infinite is refused by name later
                    apart = np.abs(wanted - found)
                if (apart > _MISMATCH * size).any():
                    worst = int(apart.argmax())
                    where = [f"{n} = {c:.6g}" for n, c in zip(self._grid.names, places[:, worst], strict=True)]
                    when = [f"t = {t:.6g}"] if len(times) > 1 else []
                    return wall, ", ".join(where + when), float(wanted[worst]), float(found[worst])
        return None

    def check_seams(self, i: int, key: str) -> None:
        """Refuses values and slopes that do not agree where walls meet, at any time."""
        held = {wall: self._held(i, wall) for wall in walls_of(self._grid)}
        if (seen := self._mismatch(self.values[i], held)) is not None:
            wall, where, wanted, found = seen
            raise ConfigError(
                key,
                f"do not agree where walls meet: at {where} the {wall} wall holds {wanted:.6g}, its neighbour {found:.6g}",
                "let them run into each other; a neighbour's slope, 0 if not given, is the derivative along this wall",
            )

    def check_made(self, i: int, field: str) -> None:
        """Refuses data that are numbers, but not what they make of a component."""
        made = [self.values[i], self.potentials[i]]
        if (rate := self.supply(i)) is not None and not rate.has(*self._model.unknowns):
            made.append(rate)
        for wall in walls_of(self._grid):
            if not np.isfinite(self.evaluate(made, self._places(wall), 0.0)).all():
                raise ConfigError(
                    f"model.fields.{field}.walls", "are beyond all numbers together", "give smaller values or fluxes"
                )

    def check_values(self, times: Sequence[float] = (0.0,)) -> None:
        """Refuses values outside of the energy's domain at some of the times."""
        for wall in walls_of(self._grid):
            axis, side = WALLS[wall]
            if conditions_of(self._grid.boundary[axis])[side] != "value":
                continue
            found = [self.evaluate(self.values, self._places(wall), t) for t in times]
            states = np.concatenate(found, axis=1)
            forces = self._model.evaluate([self._model.energy, *self._model.potentials], states)
            if (bad := ~np.isfinite(forces).all(axis=0)).any():
                worst = int(bad.argmax())
                at, t = states[:, worst], times[worst // found[0].shape[1]]
                said = ", ".join(f"{s} = {v:.6g}" for s, v in zip(self._model.unknowns, at, strict=True))
                said += f", t = {t:.6g}" if t else ""
                field = next(f.name for f in self._model.order_parameters if f.values.get("walls") is not None)
                raise ConfigError(
                    f"model.fields.{field}.walls.{wall}",
                    f"the energy has no finite potential at {said}",
                    "give a value within its domain",
                )

    def states(self, times: Sequence[float]) -> np.ndarray:
        """States that fixed walls hold, shape ``(components, n)``; no columns where there are none."""
        walls = [
            w for w in walls_of(self._grid) if conditions_of(self._grid.boundary[WALLS[w][0]])[WALLS[w][1]] == "value"
        ]
        found = [self.evaluate(self.values, self._places(wall), t) for wall in walls for t in times]
        return np.unique(np.concatenate([np.empty((len(self.values), 0)), *found], axis=1), axis=1)

    def mean(self, t: float) -> np.ndarray:
        """Means of w over the grid, by a few places, shape ``(components,)``."""
        along = [(np.arange(_PLACES) + 0.5) / _PLACES * a.length for a in self._grid.axes]
        places = np.stack([p.ravel() for p in np.meshgrid(*along, indexing="ij")])
        return np.asarray(self.evaluate(self.values, places, t).mean(axis=1))
