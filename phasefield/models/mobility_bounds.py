"""The numbers that a run takes of mobilities that vary: the largest of the states to come, and what has become of them.

The references of L (`phasefield.models.mobility`, `phasefield.models.onsager`) are found before a run and followed along it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from ..codegen import Kernel, Reduction
from ..errors import ConfigError
from . import onsager
from .mobility import NEGATIVE, TIME, state_text

if TYPE_CHECKING:
    from .energy import EnergyModel, OrderParameter

#: How far M may exceed its reference before L is made anew, and the new reference over M: the third order bears 8/7, growing
#: steps less, and every new start costs some steps. A law that falls in time is followed down when it has fallen so far, unless
#: it comes back soon; one that rises is met ahead, by the inverse of that at most.
_EXCESS, _AHEAD, _FALLEN = 1.05, 1.25, 0.25
#: Times at which a law that depends on time is looked at.
_TIMES = 65

_HINT = "write a law that is not negative there, such as max(M, 0) or c**2*(1 - c)**2"


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
    found: list[tuple[float, ...] | None] = []
    for n, f in enumerate(model.order_parameters):
        if f.law is None:
            found.append(None)
            continue
        if f.law.normal:  # known since it was read, and the same in every state
            found.append(f.law.references)
            continue
        values = tuple(_largest(model, f, i, states, end, follow) for i in range(len(f.law.entries)))
        if f.law.cross:
            values = (onsager.largest(model, n, states, _times(model, end), follow),)
        found.append(values)
    return found


def _times(model: EnergyModel, end: float) -> NDArray[np.float64]:
    """Times at which laws are looked at: the first alone if none depends on time."""
    laws = [f.law for f in model.order_parameters if f.law is not None]
    moving = any(TIME in e.free_symbols for law in laws for e in (*law.entries, *law.cross.values()))
    return np.linspace(0.0, end, _TIMES) if moving else np.zeros(1)


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


# -- along a run -------------------------------------------------------------------------------------------------------


def _watched(f: OrderParameter) -> tuple[sp.Expr, ...]:
    """Mobilities that a run may change; one of the normal is known in all directions."""
    return () if f.law is None or f.law.normal else f.law.entries


def range_kernel(model: EnergyModel, scalars: Sequence[str]) -> Kernel:
    """Sums up the cells of a state in ``work``: the least and the largest value of every entry, as ``least_FIELD_ENTRY``, ...

    Args:
        scalars: the names of the arguments that kernels may get.
    """
    names, found = model.on("work"), {}
    for n, f in enumerate(model.order_parameters):
        for e, entry in enumerate(_watched(f)):
            found[f"least_{n}_{e}"] = Reduction("min", entry.xreplace(names))
            bound = onsager.bounds(model, n) if f.law is not None and f.law.cross else entry
            found[f"most_{n}_{e}"] = Reduction("max", bound.xreplace(names))
    for i, j in onsager.pairs(model):
        found[f"slack_{i}_{j}"] = Reduction("min", onsager.slack(model, i, j).xreplace(names))
    return Kernel("mobility_range", "real", {"work": len(model.components)}, {}, found, scalars)


def coming(model: EnergyModel, states: NDArray[np.float64], times: NDArray[np.float64]) -> dict[tuple[int, int], float]:
    """How many times its value at the first of the times every entry that depends on time will be soon, at most, at others.

    Args:
        states: a sample, shape ``(components, n)``.
    """
    found = {}
    for n, f in enumerate(model.order_parameters):
        for e, entry in enumerate(_watched(f)):
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
        if f.law is None or f.law.normal or onsager.constant(model, n):
            now.append(None if f.law is None else f.law.references)
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
        for e, entry in enumerate(_watched(f)):
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
    for i, j in onsager.pairs(model):
        one, other = (model.order_parameters[k] for k in (i, j))
        least, most = found[f"slack_{i}_{j}"], math.sqrt(one.mobility * other.mobility)
        if least < -NEGATIVE * most:
            assert one.law is not None
            what = f"the mobility {one.law.cross_texts[other.name]} that couples it to '{other.name}' exceeds the root of both "
            return (
                one.name,
                what + f"mobilities by {-least:.6g}, so that the energy could rise",
                "weaken what couples them",
            )
    return None
