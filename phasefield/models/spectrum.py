"""The quadratic part of a model's energy in numbers: A_i(k), for 1/2 sum A_i |u_i|^2 over the modes.

Gradient term and all others together. Where the direction of a wave is not said, the one of the least A
counts: it grows fastest.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from ..codegen import K2, K2_ALONG, K_ALONG
from ..grid import Grid
from .energy import EnergyModel
from .terms import Gradient
from .waves import WAVES

Array = NDArray[np.float64]

#: Modes that are looked at at once, and in all; of larger grids every n-th along each axis.
_SLAB, _MOST = 2**18, 2**22
#: Directions in a plane, and lengths of waves over which a property is looked for: everything a number can hold a square of.
_FAN, _LENGTHS = 36, np.exp2(np.linspace(-200, 200, 6401))


class Spectrum:
    """A_i(k) of the components of a model.

    Attributes:
        plain: whether the gradient term is all there is: A_i = kappa_i k^2.
        signed: whether some term's symbol may be negative.
    """

    def __init__(self, model: EnergyModel) -> None:
        others = [term for term in model.terms if not isinstance(term, Gradient)]
        self._model = model
        self._kappas = np.array([f.kappa for f, _ in model.components], dtype=float)
        laws = ((f.anisotropy, f) for f, _ in model.components)
        self._tops = [max(f.kappas) if law is None else law.reference for law, f in laws]
        rest = [_sum(term.symbol(i, WAVES) for term in others) for i in range(len(model.components))]
        whole = [_sum(term.symbol(i, WAVES) for term in model.terms) for i in range(len(model.components))]
        self._moving = {name: model.scalars[name] for name in model.moving(0.0)}
        scalars = {
            sp.Symbol(name, real=True): sp.Float(v, 17) for name, v in model.scalars.items() if name not in self._moving
        }
        rest, whole = ([e.xreplace(scalars) for e in part] for part in (rest, whole))
        self.plain = not any(rest)
        self.signed = any(term.signed for term in model.terms)
        self._rest, self._whole = ([_function(e, list(self._moving)) for e in part] for part in (rest, whole))
        directed = any({*K2_ALONG, *K_ALONG} & e.free_symbols for e in rest)
        self._rays = _rays(rest) if directed else np.array([[1.0], [0.0], [0.0]])

    def moved(self, t: float) -> Spectrum:
        """The same at time ``t``; itself where no parameter depends on it."""
        if not self._moving:
            return self
        found, fields = copy.copy(self), [f.at(t) for f, _ in self._model.components]
        found._moving = self._model.moving(t)
        found._kappas = np.array([f.kappa for f in fields], dtype=float)
        found._tops = [top if f.anisotropy else max(f.kappas) for f, top in zip(fields, self._tops, strict=True)]
        return found

    def at(self, i: int, k: Array) -> Array:
        """A of component ``i`` at wavevectors, shape ``(3, n)``, 1/length; NaN where it is not real."""
        return self._whole[i](k, self._moving)

    def along(self, k: Array) -> Array:
        """A of all components at wavenumbers of shape ``(n,)``, the least of all directions: shape ``(n, components)``."""
        k = np.asarray(k, dtype=float)
        total = k[:, None] ** 2 * self._kappas
        if not self.plain:
            waves = (self._rays[:, :, None] * k).reshape(3, -1)
            for i, function in enumerate(self._rest):
                total[:, i] += function(waves, self._moving).reshape(-1, k.size).min(axis=0)
        return total

    def slope(self, k: float) -> Array:
        """dA/dk of all components: exact of the gradient term, of others by central differences."""
        if self.plain or k == 0:
            return 2 * k * self._kappas
        h = 1e-5 * k
        before, after = self.along(np.array([k - h, k + h]))
        return np.asarray((after - before) / (2 * h))

    def reach(self, depth: float, i: int | None = None) -> float:
        """The largest wavenumber at which A of a component, or of any, lies below ``depth``; infinite where it stays there."""
        part = slice(None) if i is None else slice(i, i + 1)
        least = float(self._kappas[part].min())
        if self.plain:
            return math.sqrt(max(depth, 0.0) / least) if least > 0 else math.inf
        return self.last(lambda k: self.along(k)[:, part].min(axis=1) < depth)

    def lowest(self) -> Array:
        """The least A of every component over all waves, not above 0: shape ``(components,)``."""
        if not self.signed:
            return np.zeros(self._kappas.size)
        with np.errstate(all="ignore"):
            values = self.along(_LENGTHS)
        return np.asarray(np.where(np.isfinite(values), values, 0.0).min(axis=0))

    def last(self, holds: Callable[[Array], NDArray[np.bool_]]) -> float:
        """The largest wavenumber of those of which something holds; 0 if of none, infinite if of ever larger ones."""
        with np.errstate(all="ignore"):
            found = np.flatnonzero(holds(_LENGTHS))
            if not found.size:
                return 0.0
            if found[-1] == _LENGTHS.size - 1:
                return math.inf
            low, high = float(_LENGTHS[found[-1]]), float(_LENGTHS[found[-1] + 1])
            for _ in range(60):
                middle = 0.5 * (low + high)
                low, high = (middle, high) if holds(np.array([middle]))[0] else (low, middle)
        return low

    def bounds(self, grid: Grid) -> tuple[list[float], list[float]]:
        """The least and the largest A of every component on a grid, the least not above 0."""
        lowest, highest = np.zeros(len(self._whole)), np.zeros(len(self._whole))
        if self.plain:
            return lowest.tolist(), [top * grid.wavenumbers[1] for top in self._tops]
        for k in wavevectors(grid):
            for i, function in enumerate(self._whole):
                values = function(k, self._moving)
                lowest[i], highest[i] = min(lowest[i], values.min()), max(highest[i], values.max())
        return lowest.tolist(), highest.tolist()


def wavevectors(grid: Grid) -> Iterator[Array]:
    """The wavevectors of a grid's modes, of one of each pair k and -k, slab by slab: shape ``(3, n)``, 1/length."""
    axes = []
    for d, axis in enumerate(grid.axes):
        low, high = axis.mode_range
        stride = max(1, round((grid.cells / _MOST) ** (1 / grid.dim)))
        modes = np.unique(np.append(np.arange(low, high + 1, stride), high))
        if axis.boundary == "periodic" and grid.complex_modes and d < grid.dim - 1:
            modes = np.unique(np.concatenate([modes, -modes]))
        axes.append(modes * ((2 if axis.boundary == "periodic" else 1) * math.pi / axis.length))
    rest = np.stack([m.ravel() for m in np.meshgrid(*axes[1:], indexing="ij")]) if len(axes) > 1 else np.zeros((0, 1))
    each = max(1, _SLAB // rest.shape[1])
    for start in range(0, len(axes[0]), each):
        first = axes[0][start : start + each]
        k = np.zeros((3, first.size * rest.shape[1]))
        k[0] = np.repeat(first, rest.shape[1])
        k[1 : len(axes)] = np.tile(rest, first.size)
        yield k


def _sum(parts: Iterator[sp.Expr | None]) -> sp.Expr:
    return sum((e for e in parts if e is not None), sp.S.Zero)


def _function(expr: sp.Expr, names: list[str]) -> Callable[[Array, Mapping[str, float]], Array]:
    used = [name for name in names if sp.Symbol(name, real=True) in expr.free_symbols]
    arguments = [K2, *K2_ALONG, *K_ALONG, *(sp.Symbol(name, real=True) for name in used)]
    compiled = sp.lambdify(arguments, expr, "numpy", cse=True)

    def at(k: Array, moving: Mapping[str, float]) -> Array:
        squares = k**2
        with np.errstate(all="ignore"):
            values = np.asarray(compiled(squares.sum(axis=0), *squares, *k, *(moving[name] for name in used)))
        return np.array(np.broadcast_to(values, k.shape[1:]), dtype=float)

    return at


def _rays(exprs: list[sp.Expr]) -> Array:
    """Directions that stand for all: a fan in the plane, or over the half sphere where z counts."""
    angles = math.pi / _FAN * np.arange(_FAN)
    plane = np.stack([np.cos(angles), np.sin(angles), np.zeros(_FAN)])
    if not any({K2_ALONG[2], K_ALONG[2]} & e.free_symbols for e in exprs):
        return plane
    heights = np.linspace(0, 1, _FAN // 4 + 1)
    ring = np.concatenate([plane, -plane], axis=1)[:, ::2]
    tilted = [np.sqrt(1 - z**2) * ring + np.array([[0.0], [0.0], [z]]) for z in heights[1:]]
    return np.concatenate([plane, *tilted], axis=1)
