"""Functions that expressions of kernels know."""

from __future__ import annotations

from typing import Any

import sympy as sp

from .philox import SEED, STEP

#: Functions of one number that both languages have under one name (Python's ``math``, CUDA's mathematics), by that name, which is
#: SymPy's too, and how generated text calls them.
ELEMENTARY = {"exp": "EXP", "log": "LOG", "sin": "SIN", "cos": "COS", "tanh": "TANH"}


class Phi(sp.Function):
    r"""Phi(n, z): the exponential-integrator function phi_n(z), phi_0 = exp, for z <= 0.

    phi_{n+1}(z) = (phi_n(z) - 1/n!) / z (Hochbruck and Ostermann, Acta Numerica 2010, eq. 2.10).
    """

    nargs = 2


class PerMode(sp.Function):
    """PerMode(c): c, which contains no array, computed once for all numbers of a mode and of its mirror images; in cells, a
    function of one coordinate, computed once for all of those along an axis (`phasefield.codegen.profiles`)."""

    nargs = 1


class GradientNorm(sp.Function):
    """GradientNorm(u): |grad u| by central differences over the neighbouring cells; real space only, ``u`` an array."""

    nargs = 1


class White(sp.Function):
    """White(component, *scalars): the mode of white noise whose cells are independent normal numbers, the inverse transform being
    unscaled, times the square root of the number of cells: of mean square 1 summed over what a Parseval weight counts.

    The same number wherever a kernel says so with the same scalars, which are the seed and the step in pieces of 16 bits
    (`phasefield.codegen.philox`), see `white`; spectral space only.
    """

    @property
    def component(self) -> int:
        return int(self.args[0])


def white(component: int) -> White:
    """`White` of a component, by the names of scalars that `white_scalars` gives the values of."""
    return White(component, *(sp.Symbol(name, real=True) for name in (*SEED, *STEP)))


def white_scalars(seed: int, step: int) -> dict[str, float]:
    """Seed, taken modulo 2^64, and step, modulo 2^48, as kernels take them."""
    return {name: float(seed >> 16 * i & 0xFFFF) for i, name in enumerate(SEED)} | step_scalars(step)


def step_scalars(step: int) -> dict[str, float]:
    """Those of them that change from step to step."""
    low, middle, high = STEP
    return {low: float(step & 0xFFFF), middle: float(step >> 16 & 0xFFFF), high: float(step >> 32 & 0xFFFF)}


class Derivative(sp.Function):
    """Derivative(u, axis): the modes of du/dx along an axis of the grid; spectral space only, ``u`` an array.

    A signed coefficient times u at a partner index (`Axis.slope`, `Axis.partner`): the other part of a complex mode, the mode's
    other place in the halfcomplex layout, the next mode from cosines to sines and the one before from sines to cosines. The
    highest mode gives 0, and so does an axis that the grid has not. The result lies in the other basis of a no-flux or fixed
    axis: a transform of it says so (`flips`). ``Derivative(u, axis, 1)`` takes such a u back: it lies in the other basis along
    this axis, and the result in the grid's own.
    """

    nargs = (2, 3)

    @property
    def array(self) -> sp.Symbol:
        return self.args[0]

    @property
    def axis(self) -> int:
        return int(self.args[1])

    @property
    def back(self) -> bool:
        """Whether u lies in the other basis along the axis."""
        return len(self.args) > 2 and bool(self.args[2])

    def _sympystr(self, printer: Any) -> str:  # else SymPy takes it for its own Derivative
        return f"Derivative({', '.join(map(printer._print, self.args))})"
