"""Symbols of quadratic nonlocal energies as a configuration gives them: what they may be, and how kernels see them.

The sign of a wavenumber along an axis is known only where all axes are periodic, and not at the highest mode of an even number of
cells, whose two signs are one mode. There the mean over both is taken: with G = E + O, even and odd in k_x, that is E.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
import sympy as sp

from ..errors import ConfigError, ExpressionError
from ..grid import Grid
from ..symbolic import Symbols, parse
from .energy import EnergyModel
from .fields import OrderParameter
from .spectrum import Spectrum, wavevectors
from .terms import Waves

ALONG = ("kx", "ky", "kz")
NAMES = ("k2", *ALONG)
_K2, *_K = (sp.Symbol(name, real=True) for name in NAMES)

#: Wavenumbers, in units of the grid's largest, from which on a symbol may not fall any more.
_SHORT = 10.0 ** np.arange(2, 9)
#: Departure from a parity that is round-off.
_ODD = 1e-9


def read(key: str, text: str, parameters: Mapping[str, float]) -> sp.Expr:
    """The symbol that a text says, in the real symbols k2, kx, ky, kz and the parameters; 0 at k = 0 where it has no value there.

    Raises:
        ConfigError, ExpressionError: a text that cannot be read, or a symbol that is not even.
    """
    if taken := sorted(set(parameters) & set(NAMES)):
        raise ConfigError(f"model.parameters.{taken[0]}", f"{key} uses this name for a wavenumber", "rename it")
    expr = parse(str(text), key, Symbols({}, tuple(parameters), NAMES, timed=True))
    numbers = expr.xreplace({sp.Symbol(p, real=True): sp.Float(v, 17) for p, v in parameters.items()})
    if not _even(numbers, (-1, -1, -1)):
        raise ExpressionError(
            key,
            str(text),
            0,
            "is no energy: its sign changes with that of the wavevector",
            "odd powers of kx, ky, kz come in pairs, as in kx*ky",
        )
    at_zero = sp.lambdify([_K2, *_K], numbers, "numpy")
    with np.errstate(all="ignore"):
        mean = complex(np.asarray(at_zero(*np.zeros((4, 1)))).reshape(-1)[0])
    if math.isfinite(mean.real) and mean.imag == 0:
        return expr
    return sp.Piecewise((expr, _K2 > 0), (sp.S.Zero, True))


def on_modes(expr: sp.Expr, waves: Waves) -> sp.Expr:
    """A symbol as kernels have it: squared wavenumbers where it is even in one, signed ones where it is not."""
    for k, square, signed in zip(_K, waves.along, waves.signed, strict=True):
        if k not in expr.free_symbols:
            continue
        size = sp.sqrt(square)
        if _even(_generic(expr), tuple(-1 if k == other else 1 for other in _K)):
            expr = expr.xreplace({k: size})
        elif expr.is_polynomial(k):
            terms = sp.Poly(expr, k).terms()
            expr = sum((c * square ** (n // 2) * signed ** (n % 2) for (n,), c in terms), sp.S.Zero)
        else:
            there, back = expr.xreplace({k: size}), expr.xreplace({k: -size})
            expr = (there + back) / 2 + signed * sp.Piecewise(((there - back) / (2 * size), square > 0), (0, True))
    return expr.xreplace({_K2: waves.k2})


def signed_axes(expr: sp.Expr) -> list[str]:
    """Components of the wavevector whose sign a symbol knows."""
    found = zip(_K, ALONG, strict=True)
    return [
        name
        for k, name in found
        if k in expr.free_symbols and not _even(_generic(expr), tuple(-1 if k == other else 1 for other in _K))
    ]


def check(model: EnergyModel, f: OrderParameter, grid: Grid, key: str, text: str) -> None:
    """Refuses an operator that does not fit a grid, has no finite values on it, or makes an energy without a lower bound.

    Raises:
        ConfigError, ExpressionError: with the key at fault.
    """
    expr = f.values["operator"]
    missing = [ALONG[d] for d in range(grid.dim, 3) if _K[d] in expr.free_symbols]
    if missing:
        problem = f"{missing[0]} does not exist on a {grid.dim}-D grid; it has {', '.join(ALONG[: grid.dim])}"
        raise ExpressionError(key, text, max(0, text.find(missing[0])), problem)
    if (signed := signed_axes(expr)) and not grid.complex_modes:
        raise ConfigError(
            key,
            f"{text} changes with the sign of {signed[0]}, which modes have only where all axes are periodic",
            "set grid.boundary=periodic, or use even powers alone",
        )
    i = model.slices()[f.name].start
    spectrum = Spectrum(model)
    for k in wavevectors(grid):
        values = spectrum.at(i, k)
        bad = ~np.isfinite(values)
        if bad.any():
            where = ", ".join(f"{n} = {c:.6g}" for n, c in zip(ALONG, k[:, int(bad.argmax())], strict=False))
            raise ConfigError(
                key,
                f"{text} has no finite real value at {where}",
                "k = 0 alone is left out; use piecewise for other places",
            )
    if falls(spectrum, i, grid):
        raise ConfigError(
            key,
            f"{text} falls without bound for short waves (with the gradient term): an operator symbol that grows "
            "negative makes the energy unbounded below",
            "let the highest power of k2 have a positive factor, or raise kappa",
        )


def falls(spectrum: Spectrum, i: int, grid: Grid) -> bool:
    """Whether A(k) goes to minus infinity in some direction that the grid has."""
    angles = np.linspace(0, math.pi, 25)[:-1]
    rays = np.zeros((3, 1))
    rays[0] = 1.0
    if grid.dim > 1:
        rays = np.stack([np.cos(angles), np.sin(angles), np.zeros_like(angles)])
    if grid.dim > 2:
        rng = np.random.Generator(np.random.Philox(1))
        more = rng.normal(size=(3, 200))
        rays = np.concatenate([rays, np.eye(3), more / np.linalg.norm(more, axis=0)], axis=1)
    most = math.sqrt(grid.wavenumbers[1])
    lowest = []
    for decade in _SHORT:
        # Several lengths of each ray, for what oscillates.
        lengths = decade * most * (1 + 0.9 * np.arange(8) / 8)
        values = spectrum.at(i, (rays[:, :, None] * lengths).reshape(3, -1))
        lowest.append(float(np.nanmin(np.where(np.isnan(values), np.inf, values))))
    falling = all(b < a for a, b in itertools.pairwise(lowest))
    return lowest[-1] == -math.inf or (falling and lowest[-1] < 0 and lowest[-1] < 1.01 * lowest[-2])


def _generic(expr: sp.Expr) -> sp.Expr:
    """The expression with numbers for its parameters, to tell its parity by."""
    others = sorted(expr.free_symbols - {_K2, *_K}, key=str)
    return expr.xreplace({s: sp.Float(0.3 + (0.618034 * j) % 1) for j, s in enumerate(others, 1)})


def _even(expr: sp.Expr, signs: Sequence[int]) -> bool:
    """Whether the value stays as it is when components of the wavevector change sign, at points without any symmetry."""
    rng = np.random.Generator(np.random.Philox(2))
    k = np.concatenate(
        [size * rng.uniform(0.1, 1.0, (3, 16)) * rng.choice((-1, 1), (3, 16)) for size in (0.1, 1, 3)], axis=1
    )
    function = sp.lambdify([_K2, *_K], expr, "numpy")
    with np.errstate(all="ignore"):
        one, other = (
            np.broadcast_to(np.asarray(function((k**2).sum(axis=0), *v), dtype=complex), k.shape[1:])
            for v in (k, np.array(signs)[:, None] * k)
        )
    fine = np.isfinite(one) & np.isfinite(other)
    return bool((np.abs(one - other)[fine] <= _ODD * (np.abs(one) + np.abs(other))[fine]).all())
