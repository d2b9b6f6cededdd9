"""A kernel: one pass over cells or modes, as expressions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import sympy as sp

from .functions import Derivative, GradientNorm, PerMode, White

#: Symbols that stand for a combination of one 1-D array per axis, and how the three are combined.
AXIS_SYMBOLS: dict[str, str] = {"k2": "sum", "weight": "product", "mask": "product", "x": "sum", "y": "sum", "z": "sum"}
K2, WEIGHT, MASK = sp.symbols("k2 weight mask", real=True)

#: Along every axis of the grid: the squared wavenumber, of which `K2` is the sum, and, where all axes are periodic, the
#: wavenumber with its sign, 0 at the highest mode of an even number of cells. An axis that the grid has not gives 0.
K2_ALONG = sp.symbols("k2_x k2_y k2_z", real=True)
K_ALONG = sp.symbols("k_x k_y k_z", real=True)

#: What they become on the axes i, j, k of a buffer, and the 1-D arrays that hold them.
DIRECTIONS = {
    f"{name}_{i}": f"{array}_{a}" for name, array in (("k2", "k2"), ("k", "slope")) for a, i in enumerate("ijk")
}

#: 1-D arrays of indices, the others hold numbers.
_INDICES = ("above", "below", "partner", "back_partner", "number", "edge", "mirror")


def is_index(array: str) -> bool:
    """Whether a 1-D array, by its name, holds indices."""
    return array.rpartition("_")[0] in _INDICES


def array_symbol(name: str, component: int) -> sp.Symbol:
    """The value of one component of an array at the cell or mode being visited."""
    return sp.Symbol(f"{name}@{component}", real=True)


@dataclass(frozen=True)
class Reduction:
    """A sum (weighted by nothing), minimum or maximum over all cells or modes; accumulated in double precision."""

    op: Literal["sum", "min", "max"]
    expr: sp.Expr


@dataclass(frozen=True, eq=False)
class Kernel:
    """One pass over memory.

    Attributes:
        name: an identifier, used in the generated source and in profiles.
        space: ``real`` (cells) or ``spectral`` (modes).
        arrays: name -> number of components, in argument order.
        outputs: array name -> one expression per component (None leaves a component as it is).
        reductions: name -> reduction.
        scalars: names of the floating-point arguments. Of those given only the ones in use are kept: the same expressions are
            then the same compiled code, whatever constants the model around them has.
        seldom: it runs so seldom that what it needs of every mode is computed in place instead of being kept in memory.
        lean: names of arrays for whose numbers single precision will do.
    """

    name: str
    space: Literal["real", "spectral"]
    arrays: Mapping[str, int]
    outputs: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    reductions: Mapping[str, Reduction] = field(default_factory=dict)
    scalars: Sequence[str] = ()
    seldom: bool = False
    lean: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        written = {f"{a}@{c}" for a, c in self.writes}
        for call in self.derivatives:
            if self.space != "spectral" or call.array.name in written:
                raise ValueError(
                    f"{self.name}: {call} reads a mode's partner, so it cannot be written by the same kernel"
                )
        object.__setattr__(self, "scalars", [name for name in dict.fromkeys(self.scalars) if name in self._used])

    @cached_property
    def key(self) -> tuple[Any, ...]:
        """What tells it from other kernels, whose code is the same if this is."""
        outputs = tuple((name, tuple(exprs)) for name, exprs in self.outputs.items())
        reductions = tuple((name, r.op, r.expr) for name, r in self.reductions.items())
        arrays = tuple(self.arrays.items())
        return self.name, self.space, arrays, outputs, reductions, tuple(self.scalars), self.seldom, self.lean

    @property
    def results(self) -> list[sp.Expr]:
        assigned = [e for exprs in self.outputs.values() for e in exprs if e is not None]
        return assigned + [r.expr for r in self.reductions.values()]

    @cached_property
    def _used(self) -> set[str]:
        """Names of the symbols in the results."""
        return {s.name for e in self.results for s in sp.sympify(e).free_symbols}

    @cached_property
    def reads(self) -> list[tuple[str, int]]:
        """Array components that are read."""
        return [(a, c) for a, n in self.arrays.items() for c in range(n) if f"{a}@{c}" in self._used]

    @cached_property
    def writes(self) -> list[tuple[str, int]]:
        return [(a, c) for a, exprs in self.outputs.items() for c, e in enumerate(exprs) if e is not None]

    @property
    def touches(self) -> int:
        """Array components that are read plus those that are written: what a pass moves, in fields."""
        return len(self.reads) + len(self.writes)

    @cached_property
    def axis_symbols(self) -> list[str]:
        """Symbols made of 1-D arrays at the indices of the cell or mode."""
        return [name for name in (*AXIS_SYMBOLS, *DIRECTIONS) if name in self._used]

    @cached_property
    def gradients(self) -> bool:
        return any(sp.sympify(e).has(GradientNorm) for e in self.results)

    @cached_property
    def derivatives(self) -> list[Derivative]:
        found = {call for e in self.results for call in sp.sympify(e).atoms(Derivative)}
        return sorted(found, key=sp.default_sort_key)

    @cached_property
    def whites(self) -> list[White]:
        found = {call for e in self.results for call in sp.sympify(e).atoms(White)}
        return sorted(found, key=lambda call: call.component)

    @property
    def even(self) -> bool:
        """Whether modes whose wavenumbers differ in signs have the same coefficients."""
        signed = [k for k in K_ALONG if k.name in self._used]
        return all(sp.sympify(e).subs(k, -k) == e for k in signed for e in self.results)

    @property
    def axis_arrays(self) -> list[str]:
        """Names of the 1-D arrays, in argument order."""
        names = []
        for symbol in self.axis_symbols:
            names += [DIRECTIONS[symbol]] if symbol in DIRECTIONS else [f"{symbol}_{a}" for a in "012"]
        if self.gradients:
            names += [f"{side}_{a}" for side in ("above", "below", "scale") for a in "012"]
        for call in self.derivatives:
            names += [f"{'back_' if call.back else ''}{name}_{call.axis}" for name in ("partner", "slope")]
        if self.whites:
            names += ["number_0", "number_1", "number_2", "mirror_0", "mirror_1", "edge_2"]
        return list(dict.fromkeys(names))


def embedded(kernel: Kernel, places: Sequence[int], parts: int) -> Kernel:
    """The kernel with the axes of the grid replaced by those of its buffers; itself if it knows no directions and no noise.

    Args:
        places: buffer axis (0, 1, 2) of every axis of the grid. parts: numbers per mode.

    Raises:
        ValueError: it uses signed wavenumbers where modes are real.
    """
    signed = sorted({k.name for k in K_ALONG} & kernel._used)
    if signed and parts == 1:
        raise ValueError(f"{kernel.name}: {', '.join(signed)} where not all axes are periodic; use Derivative")
    table: dict[sp.Expr, sp.Expr] = {}
    for axis in range(3):
        there = "ijk"[places[axis]] if axis < len(places) else ""
        for along in (K2_ALONG[axis], K_ALONG[axis]):
            table[along] = sp.Symbol(f"{along.name[:-1]}{there}", real=True) if there else sp.S.Zero
    for call in kernel.derivatives:
        known = call.axis < len(places)
        table[call] = Derivative(call.array, places[call.axis], int(call.back)) if known else sp.S.Zero
    if parts == 1:
        # A real number stands for as many cells as its weight says; of a complex mode the two parts do.
        table |= {call: PerMode(1 / sp.sqrt(WEIGHT)) * call for call in kernel.whites}
    if not kernel.derivatives and not kernel.whites and not {s.name for s in table} & kernel._used:
        return kernel

    def placed(expr: Any) -> Any:
        return None if expr is None else sp.sympify(expr).xreplace(table)

    outputs = {array: [placed(e) for e in exprs] for array, exprs in kernel.outputs.items()}
    reductions = {name: Reduction(r.op, placed(r.expr)) for name, r in kernel.reductions.items()}
    return replace(kernel, outputs=outputs, reductions=reductions)
