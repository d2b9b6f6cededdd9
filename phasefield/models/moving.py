"""Symbols that depend on time: what of them is in L, and what is left to N.

L multiplies what past steps have left and must not change from step to step. Where kappa or an operator depends on time, L has a
symbol A_ref that is nowhere below A(k, t) as long as the run lasts, and N the rest, in the notation of `phasefield.models.split`:

    L = -q (S + A_ref),   N = -q (FT[df/du - S u] + (A(t) - A_ref) u)

What decides about steps is then (S + A_ref)^-1 (H + A(t)), which S alone bounds as it does where nothing moves
(`phasefield.models.stabilizer`). A_ref is the largest of A at a few times, mode by mode: one where a single number rises or
falls, such as kappa or the undercooling of a phase-field crystal. What A exceeds it by in between goes to S. A difference that
is the same in all modes is a multiple of the field and is added in cells; any other one takes an array and two passes over
memory, and no transform.

A constant symbol in L and the rest explicit is what is done for mobilities that vary, see `phasefield.models.transport`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from ..backend import Apply
from ..codegen import K2, K2_ALONG, K_ALONG, Kernel, PerMode, array_symbol
from ..errors import ConfigError
from ..grid import Grid
from ..symbolic import written_out
from .energy import EnergyModel
from .operators import falls
from .parameters import Course, check, telling
from .spectrum import Spectrum, wavevectors
from .terms import TERMS
from .waves import SCALE, WAVES

Array = NDArray[np.float64]

#: Array of (A(t) - A_ref) u.
_REST = "moved"
#: Modes at which symbols are compared, times between those that tell, and how far A may exceed A_ref that is round-off.
_MODES, _TIMES, _SAME = 4096, 129, 1e-12


@dataclass(frozen=True)
class References:
    """What L has of symbols that depend on time, of every component.

    Attributes:
        times: A_ref is the largest A at these; none of a component whose symbol is constant.
        excess: what A exceeds that by at other times, energy density.
    """

    times: tuple[tuple[float, ...], ...]
    excess: tuple[float, ...]

    @classmethod
    def of(cls, model: EnergyModel, grid: Grid, end: float) -> References:
        """Those of a run until ``end``.

        Raises:
            ConfigError: a parameter that is not finite at some time, a kappa that becomes negative on the way, an operator that
                has no finite values or falls without bound.
        """
        check(_parameters(model), end)
        moving = _moving(model)
        if not any(moving):
            return cls(((),) * len(moving), (0.0,) * len(moving))
        courses = list(model.courses.values())
        telltale = telling(courses, 0.0, end)
        times = sorted({*telltale, *(np.linspace(0.0, end, _TIMES) if end > 0 else ())})
        _check(model, times)
        spectrum, waves = Spectrum(model), _sample(grid)
        found, excess = [], []
        for i, symbols in enumerate(moving):
            if not symbols:
                found.append(())
                excess.append(0.0)
                continue
            values = np.stack([spectrum.moved(t).at(i, waves) for t in times])
            _check_operator(model, i, grid, spectrum, times, values)
            picks, more = _largest(values, [times.index(t) for t in telltale])
            found.append(tuple(times[p] for p in picks))
            excess.append(more)
        return cls(tuple(found), tuple(excess))


def _parameters(model: EnergyModel) -> dict[str, Course]:
    """Courses that stand under ``model.parameters``; those of fields and of terms have checks of their own."""
    others = {name for f in model.order_parameters for name in f.named_courses}
    others |= {name for term in TERMS for name in term.courses(model.settings)}
    return {name: course for name, course in model.courses.items() if name not in others}


def _moving(model: EnergyModel) -> list[set[str]]:
    """Kernel arguments in the symbol of every component that depend on time."""
    names, found = set(model.moving(0.0)), []
    for i in range(len(model.components)):
        symbols = [a for term in model.terms if (a := term.symbol(i, WAVES)) is not None]
        found.append({s.name for a in symbols for s in sp.sympify(a).free_symbols} & names)
    return found


def _sample(grid: Grid) -> Array:
    """Some of a grid's wavevectors, the mean and the shortest waves among them: shape ``(3, n)``."""
    slabs = list(wavevectors(grid))
    stride = max(1, sum(k.shape[1] for k in slabs) // _MODES)
    return np.concatenate([slabs[0][:, :1], *(k[:, ::stride] for k in slabs), slabs[-1][:, -1:]], axis=1)


def _largest(values: Array, candidates: Sequence[int]) -> tuple[list[int], float]:
    """Rows among the candidates whose largest is that of all, found one by one; what any row exceeds it by."""
    whole, first = values[candidates].max(axis=0), max(candidates, key=lambda c: float(values[c].sum()))
    picks, bound, same = [first], values[first], _SAME * float(np.abs(values).max())
    while (whole - bound).max() > same:
        picks.append(max(candidates, key=lambda c: float(np.maximum(values[c], bound).sum())))
        bound = np.maximum(bound, values[picks[-1]])
    more = float((values - bound).max())
    return sorted(picks), more if more > same else 0.0


def _check(model: EnergyModel, times: Sequence[float]) -> None:
    for t in times:
        for f in model.order_parameters:
            for value in f.at(t).kappas if "kappa" in f.courses else ():
                if not (math.isfinite(value) and value >= 0):
                    text = ", ".join(c.text for c in f.courses["kappa"] if c is not None)
                    raise ConfigError(
                        f"model.fields.{f.name}.kappa",
                        f"{text} is {value:.6g} at t = {t:.6g}; a finite number >= 0 is expected until time.end",
                    )


def _check_operator(
    model: EnergyModel, i: int, grid: Grid, spectrum: Spectrum, times: Sequence[float], values: Array
) -> None:
    key = f"model.fields.{model.components[i][0].name}.operator"
    if (bad := ~np.isfinite(values).all(axis=1)).any():
        raise ConfigError(key, f"has no finite real value in some mode at t = {times[int(bad.argmax())]:.6g}")
    for t in times[:: max(1, len(times) // 8)]:
        if falls(spectrum.moved(t), i, grid):
            raise ConfigError(
                key,
                f"falls without bound for short waves at t = {t:.6g}, so that the energy has no lower bound",
                "let the highest power of k2 have a positive factor until time.end, or raise kappa",
            )


class Moving:
    """What a split does for components whose symbols depend on time; nothing if there are none.

    Args:
        symbols: A of every component at the time at hand. references: what L has of them.

    Attributes:
        linear: A_ref of every component.
        constants: kernel arguments that it has, name -> value.
        local: component -> (A(t) - A_ref) where that is the same in all modes. temporaries: as those of a `Split`.
    """

    def __init__(self, model: EnergyModel, symbols: Sequence[sp.Expr], references: References) -> None:
        self._symbols = [sp.sympify(a) for a in symbols]
        self.linear: list[sp.Expr] = []
        self.constants: dict[str, float] = {}
        self.local: dict[int, sp.Expr] = {}
        self._members: list[int] = []
        known = {*K2_ALONG, *K_ALONG, K2}
        for i, (a, times, names) in enumerate(zip(self._symbols, references.times, _moving(model), strict=True)):
            held = [self._held(a, i, n, names, model.moving(t)) for n, t in enumerate(times)]
            self.linear.append(sp.Max(*held) if held else a)
            if not held:
                continue
            rest = written_out(a - held[0]) if len(held) == 1 else a - self.linear[i]
            if rest.free_symbols & known:
                self._members.append(i)
            else:
                self.local[i] = rest
        self.temporaries: Mapping[str, int] = {_REST: len(self._members)} if self._members else {}

    def _held(self, a: sp.Expr, i: int, n: int, names: set[str], values: Mapping[str, float]) -> sp.Expr:
        """A at a time, whose numbers are constants of their own."""
        table = {name: f"{name}_in_{i}_{n}" for name in names}
        self.constants |= {new: values[old] for old, new in table.items()}
        return a.xreplace({sp.Symbol(old, real=True): sp.Symbol(new, real=True) for old, new in table.items()})

    def ahead(self, array: str, components: int, scalars: Sequence[str]) -> list[Apply]:
        """While the state in ``array`` is in modes: what of A u is not in L."""
        if not self._members:
            return []
        rest = [PerMode((self._symbols[i] - self.linear[i]) / SCALE) * array_symbol("state", i) for i in self._members]
        kernel = Kernel(_REST, "spectral", {"state": components, _REST: len(rest)}, {_REST: rest}, scalars=scalars)
        return [Apply(kernel, {"state": array})]

    def potential(self, i: int) -> sp.Expr:
        """What that adds to dF/du of a component in modes, not scaled as a forward transform leaves it."""
        return array_symbol(_REST, self._members.index(i)) if i in self._members else sp.S.Zero
