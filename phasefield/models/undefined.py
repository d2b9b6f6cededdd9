"""Mobilities, sources and forces that are no numbers in the initial values: which, where, and for what values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from ..errors import ConfigError
from ..grid import Grid
from .energy import COORDINATES, EnergyModel
from .mobility import TIME, state_text
from .terms import Driving

#: A state that far outside, on the way to the mean, is at the end of a domain but for round-off, where a mobility counts as 0.
_OUTSIDE = 1e-3


@dataclass(frozen=True)
class Defined:
    """Checks what kernels evaluate besides the energy, slab by slab of the initial values."""

    model: EnergyModel
    grid: Grid

    def check(self, cells: NDArray[np.float64], rows: slice) -> None:
        """Refuses values in which a mobility, a source or a force is not finite.

        Args:
            cells: shape ``(components, n, ...)``. rows: of the grid along x that they are.

        Raises:
            ConfigError: there is one; with its key, the first such cell and the values there.
        """
        if not self._fragile:
            return
        flat, shape = cells.reshape(len(cells), -1).astype(float), cells.shape[1:]
        for key, text, expr in self._fragile:
            values = self._values(expr, flat, shape, rows)
            bad = ~np.isfinite(values)
            if bad.any() and key.endswith(".mobility"):
                inward = flat + _OUTSIDE * (flat.mean(axis=1, keepdims=True) - flat)
                bad &= ~np.isfinite(self._values(expr, inward, shape, rows))
            if not bad.any():
                continue
            place = int(np.argmax(bad))
            first, *others = (int(i) for i in np.unravel_index(place, shape))
            at = ", ".join(map(str, (first + rows.start, *others)))
            raise ConfigError(
                key,
                f"{text} is {values[place]:g} in cell ({at}), where {state_text(self.model, flat[:, place])} at the start; "
                "a finite number is expected",
                "choose initial values for which it is one, or write it so that it is, with max(c, 0) for c say",
            )

    def _values(self, expr: sp.Expr, flat: NDArray[np.float64], shape: tuple[int, ...], rows: slice) -> NDArray:
        symbols = [*self.model.unknowns, *(sp.Symbol(x, real=True) for x in COORDINATES), TIME]
        axes = dict(zip(self.grid.names, np.ix_(*(a.centers for a in self.grid.axes)), strict=True))
        axes["x"] = axes["x"][rows]
        around = [np.broadcast_to(axes[x], shape).ravel() if x in axes else 0.0 for x in COORDINATES]
        function = sp.lambdify(symbols, self.model.values(expr), modules="numpy", cse=True)
        with np.errstate(all="ignore"):
            return np.broadcast_to(np.asarray(function(*flat, *around, 0.0), dtype=float), flat.shape[1:])

    @cached_property
    def _fragile(self) -> list[tuple[str, str, sp.Expr]]:
        """What may be no number: key, text and expression."""
        return [found for found in self._given() if _fragile(found[2])]

    def _given(self) -> Iterator[tuple[str, str, sp.Expr]]:
        model = self.model
        for f in model.order_parameters:
            key = f"model.fields.{f.name}"
            if f.law is not None and not f.law.normal:
                yield from ((f"{key}.mobility", text, m) for text, m in zip(f.law.texts, f.law.entries, strict=True))
                yield from ((f"{key}.mobility", f.law.cross_texts[other], m) for other, m in f.law.cross.items())
            yield from ((f"{key}.source", sp.sstr(s, full_prec=False), s) for s in f.sources if s is not None)
        for term in model.terms:
            if isinstance(term, Driving):
                for i, (f, _) in enumerate(model.components):
                    if (minus := term.force(i)) is not None:
                        yield f"model.fields.{f.name}.force", sp.sstr(-minus, full_prec=False), -minus


def _fragile(expr: sp.Expr) -> bool:
    """Whether an expression has a logarithm, a broken power or a pole."""
    powers = expr.atoms(sp.Pow)
    return expr.has(sp.log) or any(not (p.exp.is_Integer and p.exp.is_positive) for p in powers)
