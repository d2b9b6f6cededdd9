"""Mobilities that vary: M as an expression in the fields and time, and the numbers that a run takes of it.

L holds a constant reference mobility and N the rest (`phasefield.models.transport`). Where modes are stiff a step then multiplies
a perturbation by 1 - lambda, lambda = M (H + kappa k^2) / (M_ref (S + kappa k^2)), which asks of M_ref what it asks of S (see
`phasefield.models.stabilizer`): with S as it is for a constant mobility, M_ref = max M keeps lambda below the same bound. Half of
max M would do where S is twice as large, and damps less. M and the energy's second derivative do not commute, so lambda is
complex, too; what schemes of high order make of that: `phasefield.integrators.schemes`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from ..codegen import Kernel, Reduction
from ..errors import ConfigError
from .kinetics import Kinetics

if TYPE_CHECKING:
    from ..grid import Grid
    from .energy import EnergyModel, OrderParameter, Reader

TIME = sp.Symbol("t", real=True)

#: A field that overshoots a pure phase may make M = c (1 - c) a little negative, which counts as 0; by more than this part of the
#: largest value it is a mistake.
NEGATIVE = 0.1
#: How far M may exceed its reference before L is made anew, and the new reference over M: the third order bears 8/7, growing
#: steps less, and every new start costs some steps. A law that falls in time is followed down when it has fallen so far, unless
#: it comes back soon; one that rises is met ahead, by the inverse of that at most.
_EXCESS, _AHEAD, _FALLEN = 1.05, 1.25, 0.25
#: Times at which a law that depends on time is looked at.
_TIMES = 65

_HINT = "write a law that is not negative there, such as max(M, 0) or c**2*(1 - c)**2"


@dataclass(frozen=True)
class Law:
    """A mobility that varies, or one of several numbers along the axes.

    Attributes:
        entries: M in the model's symbols and t; one, or one along every axis. texts: as they are written.
        references: for every entry what L is made with; 1 until `referenced`.
    """

    entries: tuple[sp.Expr, ...]
    texts: tuple[str, ...]
    references: tuple[float, ...]

    @property
    def varies(self) -> bool:
        return any(not entry.is_number for entry in self.entries)

    @property
    def text(self) -> str:
        return self.texts[0] if len(self.texts) == 1 else f"[{', '.join(self.texts)}]"

    @property
    def clipped(self) -> list[sp.Expr]:
        """The entries where they are positive, else 0."""
        return [
            m if m.is_number or m.is_nonnegative else sp.Piecewise((m, m >= 0), (sp.S.Zero, True)) for m in self.entries
        ]


def read(key: str, value: Any, kinetics: Kinetics, reader: Reader) -> tuple[float, Law | None]:
    """A mobility as a number, with its law if it is more than a number.

    Args:
        key: where it stands. value: a number, an expression in the fields, t and the parameters, or one along every axis.

    Raises:
        ConfigError, ExpressionError: it is none of these, or directions are given for a field that relaxes in place.
    """
    if isinstance(value, Mapping):
        names = ("x", "y", "z")[: len(value)]
        if set(value) != set(names) or not names:
            raise ConfigError(key, f"is for {', '.join(map(str, value)) or 'nothing'}", "give one for each of x, y, z")
        value = [value[name] for name in names]
    if isinstance(value, list | tuple):
        if any(isinstance(part, list | tuple | Mapping) for part in value):
            raise ConfigError(
                key,
                "is a matrix; one mobility, or one along every axis is expected",
                "mobilities that couple fields, or axes with each other, are not implemented",
            )
        if not kinetics.conserved:
            raise ConfigError(
                key, "has one entry per axis; a field that is not conserved does not flow and takes a single one"
            )
        if not 1 <= len(value) <= 3:
            raise ConfigError(key, f"has {len(value)} entries", "give one number or expression, or one per axis")
    parts = list(value) if isinstance(value, list | tuple) else [value]
    found = [reader.law(key, part) for part in parts]
    if all(isinstance(part, float) for part in found) and len(found) == 1:
        return float(found[0]), None
    entries = tuple(sp.Float(part, 17) if isinstance(part, float) else part for part in found)
    references = tuple(part if isinstance(part, float) else 1.0 for part in found)
    return max(references), Law(entries, tuple(str(part) for part in parts), references)


def reduced(expr: sp.Expr, parameters: Mapping[str, float]) -> sp.Expr | None:
    """An expression as one of the parameters alone, where all else in it cancels; None where it does not.

    So a law that lowers the mobility where three order parameters meet is a constant, and costs what a constant does, for two.
    """
    known = {sp.Symbol(name, real=True): sp.Float(value, 17) for name, value in parameters.items()}
    free = sorted(expr.free_symbols - known.keys(), key=str)
    points = [(np.arange(2) + 1 + 3 * i) / (17 + i) for i in range(len(free))]
    with np.errstate(all="ignore"):
        one, other = np.broadcast_to(sp.lambdify(free, expr.xreplace(known), modules="numpy")(*points), 2)
    if not abs(one - other) <= 1e-12 * abs(one):  # nan as well
        return None
    found = sp.cancel(expr)
    return found if found.free_symbols <= known.keys() else None


def check_axes(model: EnergyModel, grid: Grid) -> None:
    """Refuses as many entries as the grid has no axes.

    Raises:
        ConfigError: there are.
    """
    for f in model.order_parameters:
        if f.law is not None and len(f.law.entries) not in (1, grid.dim):
            raise ConfigError(
                f"model.fields.{f.name}.mobility",
                f"has {len(f.law.entries)} entries for {grid.dim} axes",
                f"give one number or expression, or one per axis ({', '.join(grid.names)})",
            )


def referenced(model: EnergyModel, references: Sequence[Sequence[float] | None]) -> EnergyModel:
    """The model with these reference mobilities (per field, see `references`); the model itself if no mobility varies."""
    if not model.varies:
        return model

    def known(f: OrderParameter, values: Sequence[float] | None) -> OrderParameter:
        if f.law is None or values is None:
            return f
        return replace(f, mobility=float(max(values)), law=replace(f.law, references=tuple(map(float, values))))

    parameters = (known(f, values) for f, values in zip(model.order_parameters, references, strict=True))
    return replace(model, order_parameters=tuple(parameters))


def references(
    model: EnergyModel, states: NDArray[np.float64], end: float = 0.0, follow: bool = True
) -> list[tuple[float, ...] | None]:
    """For every field the largest mobilities over the states that a run visits; None for those that are numbers.

    Args:
        states: shape ``(components, n)``. end: the last time, until which laws are checked. follow: whether references follow a
            law in time along the run (`followed`); else they are the largest until the end.

    Raises:
        ConfigError: a mobility that is nowhere finite, or is negative by more than `NEGATIVE` of its largest value.
    """
    return [
        None if f.law is None else tuple(_largest(model, f, i, states, end, follow) for i in range(len(f.law.entries)))
        for f in model.order_parameters
    ]


def _largest(
    model: EnergyModel, f: OrderParameter, i: int, states: NDArray[np.float64], end: float, follow: bool
) -> float:
    assert f.law is not None
    key, entry = f"model.fields.{f.name}.mobility", f.law.entries[i]
    times = np.linspace(0.0, end, _TIMES) if TIME in entry.free_symbols else np.zeros(1)
    values = _function(model, entry)(states[:, None, :], times[:, None])
    if not np.isfinite(values).any():
        raise ConfigError(key, f"{f.law.texts[i]} is not finite in any state that the run visits")
    if not np.isfinite(values[:, np.isfinite(values).any(axis=0)]).all():
        raise ConfigError(key, f"{f.law.texts[i]} does not stay finite until time.end = {end:g}")
    values = np.where(np.isfinite(values), values, 0.0)
    most = float(values.max())
    row, column = np.unravel_index(int(values.argmin()), values.shape)
    if values[row, column] < -NEGATIVE * max(most, 0.0) and values[row, column] < 0:
        at = f" and t = {times[row]:.6g}" if len(times) > 1 else ""
        where = f"{state_text(model, states[:, column])}{at}, where the run may come"
        raise ConfigError(key, f"{f.law.texts[i]} is {values[row, column]:.6g} at {where}; it must be >= 0", _HINT)
    return max(float(values[0].max()) if follow else most, 0.0)


def _function(model: EnergyModel, entry: sp.Expr) -> Any:
    """An entry as a function of states ``(components, ..., n)`` and times that broadcast with these."""
    function = sp.lambdify([*model.unknowns, TIME], model.values(entry), modules="numpy", cse=True)

    def at(states: NDArray[np.float64], times: NDArray[np.float64]) -> NDArray[np.float64]:
        with np.errstate(all="ignore"):
            shape = np.broadcast_shapes(states.shape[1:], times.shape)
            return np.array(np.broadcast_to(function(*states, times), shape), dtype=float)

    return at


def state_text(model: EnergyModel, state: NDArray[np.float64]) -> str:
    return ", ".join(f"{s.name} = {value:.6g}" for s, value in zip(model.unknowns, state, strict=True))


# -- along a run -------------------------------------------------------------------------------------------------------


def range_kernel(model: EnergyModel, scalars: Sequence[str]) -> Kernel:
    """Sums up the cells of a state in ``work``: the least and the largest value of every entry, as ``least_FIELD_ENTRY``, ...

    Args:
        scalars: the names of the arguments that kernels may get.
    """
    names, found = model.on("work"), {}
    for n, f in enumerate(model.order_parameters):
        for e, entry in enumerate(f.law.entries if f.law is not None else ()):
            found[f"least_{n}_{e}"] = Reduction("min", entry.xreplace(names))
            found[f"most_{n}_{e}"] = Reduction("max", entry.xreplace(names))
    return Kernel("mobility_range", "real", {"work": len(model.components)}, {}, found, scalars)


def coming(model: EnergyModel, states: NDArray[np.float64], times: NDArray[np.float64]) -> dict[tuple[int, int], float]:
    """How many times its value at the first of the times every entry that depends on time will be soon, at most, at others.

    Args:
        states: a sample, shape ``(components, n)``.
    """
    found = {}
    for n, f in enumerate(model.order_parameters):
        for e, entry in enumerate(f.law.entries if f.law is not None else ()):
            if TIME in entry.free_symbols:
                values = _function(model, entry)(states[:, None, :], times[:, None]).max(axis=1)
                rise = float(values.max() / values[0]) if np.isfinite(values).all() and values[0] > 0 else 1.0
                found[n, e] = min(max(rise, 1.0), 1 / _FALLEN)
    return found


def followed(
    model: EnergyModel, found: Mapping[str, float], rises: Mapping[tuple[int, int], float]
) -> list[tuple[float, ...] | None] | None:
    """New references where some entry has come to exceed its own by more than L bears, or has fallen in time; else None.

    Args:
        found: by `range_kernel`. rises: what is `coming`.
    """
    now: list[tuple[float, ...] | None] = []
    for n, f in enumerate(model.order_parameters):
        if f.law is None:
            now.append(None)
            continue
        values = []
        for e, reference in enumerate(f.law.references):
            most, rise = found[f"most_{n}_{e}"], rises.get((n, e), 1.0)
            fallen = (n, e) in rises and 0 < most * rise < _FALLEN * reference
            values.append(max(_AHEAD, rise) * most if most > _EXCESS * reference or fallen else reference)
        now.append(tuple(values))
    before = [None if f.law is None else f.law.references for f in model.order_parameters]
    return None if now == before else now


def negative(model: EnergyModel, found: Mapping[str, float], cells: Any, t: float) -> tuple[str, str, str] | None:
    """Where a mobility has become negative by more than `NEGATIVE` of its reference: field, what was seen, what to do; or None.

    Args:
        cells: gives the state, shape ``(components, *grid.shape)``; called only where there is something to find.
    """
    for n, f in enumerate(model.order_parameters):
        for e, entry in enumerate(f.law.entries if f.law is not None else ()):
            least = found[f"least_{n}_{e}"]
            assert f.law is not None
            if math.isnan(least) or least >= -NEGATIVE * f.law.references[e] or least >= 0:
                continue
            state = np.asarray(cells(), dtype=float)
            values = _function(model, entry)(state.reshape(len(state), -1), np.array([t]))
            place = int(np.nanargmin(values))
            cell = tuple(int(i) for i in np.unravel_index(place, state.shape[1:]))
            at = state_text(model, state.reshape(len(state), -1)[:, place])
            return f.name, f"the mobility {f.law.texts[e]} is {least:.6g} in cell {cell}, where {at}", _HINT
    return None
