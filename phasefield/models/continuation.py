"""Logarithms and broken powers, continued smoothly below a bound of their argument.

A run may touch the end of an energy's domain, in a pure phase say, where f'' has no bound. There log(x) and x^p (p no whole
number) of an x that is affine in the fields go on as the parabolas that agree with them to the second derivative at the bound
(Copetti and Elliott, Numer. Math. 63 (1992) 39, do so with the whole of x log x). Whole negative powers, which may be meant on
either side of their pole, and functions of arguments that are not affine are left alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from .energy import EnergyModel

#: Initial values beyond the end of the domain by more than this part of the largest argument are a mistake, not round-off: they
#: are left to fail.
_OUTSIDE = 1e-3


def bounds(model: EnergyModel, initial: NDArray[np.float64], fraction: float) -> dict[str, float]:
    """Parameters that hold the bounds of the model's logarithms and powers, for `continued`.

    Args:
        initial: initial cells, shape ``(components, ...)``. fraction: a bound over the largest initial value of its argument.
    """
    flat = initial.reshape(len(initial), -1)
    found = {}
    for i, argument in enumerate(_arguments(model)):
        values = model.evaluate([argument], flat)[0]
        if not np.isfinite(values).all():
            continue
        size = float(np.abs(values).max())
        if values.min() >= -_OUTSIDE * size:
            found[_name(i)] = fraction * (size or 1.0)
    return found


def continued(model: EnergyModel, found: Mapping[str, float]) -> EnergyModel:
    """The model with its logarithms and powers continued below these bounds; the model itself if there are none."""
    if not found:
        return model
    _ = model.potentials  # complains of what jumps as written; below, constants that belong together look independent
    symbols = {a: sp.symbols(_names(i), real=True) for i, a in enumerate(_arguments(model)) if _name(i) in found}
    constants: dict[str, float] = {}
    for i in range(len(_arguments(model))):
        if _name(i) in found:
            bound = found[_name(i)]
            # All that a kernel would otherwise work out for every cell.
            constants |= dict(zip(_names(i), (bound, 1 / bound, math.log(bound)), strict=True))

    def swap(expr: sp.Expr) -> sp.Expr:
        if not expr.has(sp.log, sp.Pow):
            return expr
        if isinstance(expr, sp.log):
            parts = [(base, power) for base, power in _factors(expr.args[0], model) if base in symbols]
            if parts:
                rest = sp.Mul(*(b**p for b, p in _factors(expr.args[0], model) if b not in symbols))
                return sp.log(rest) + sum(p * _log(b, *symbols[b]) for b, p in parts)
        elif _broken(expr, model) and expr.base in symbols:
            return _power(expr.base, expr.exp, *symbols[expr.base][:2])
        if not expr.args:
            return expr
        args = [swap(a) for a in expr.args]
        pieces = [a for a in args if isinstance(a, sp.Piecewise)]
        if isinstance(expr, sp.Mul) and len(pieces) == 1 and not expr.has(sp.Piecewise):
            # A factor goes into the branches, where x log(x) loses the quotient x/x as it is differentiated.
            rest = sp.Mul(*(a for a in args if a is not pieces[0]))
            if not rest.has(sp.Piecewise):
                return sp.Piecewise(*((rest * value, where) for value, where in pieces[0].args))
        return expr.func(*args)

    return replace(model, energy=swap(model.energy), parameters={**model.parameters, **constants}, written=model.energy)


def below(model: EnergyModel, found: Mapping[str, float]) -> list[tuple[sp.Expr, float]]:
    """The arguments, as in the energy as written, with their bounds."""
    plain = replace(model, energy=model.written) if model.written is not None else model
    return [(a, found[_name(i)]) for i, a in enumerate(_arguments(plain)) if _name(i) in found]


def _name(i: int) -> str:
    return _names(i)[0]


def _names(i: int) -> tuple[str, str, str]:
    """Parameters that hold a bound, its inverse and its logarithm; no name of a user's begins like that."""
    return f"_bound_{i}", f"_inverse_{i}", f"_log_{i}"


def _arguments(model: EnergyModel) -> list[sp.Expr]:
    found: set[sp.Expr] = set()
    for node in model.energy.atoms(sp.log):
        found |= {base for base, _ in _factors(node.args[0], model) if _affine(base, model)}
    found |= {node.base for node in model.energy.atoms(sp.Pow) if _broken(node, model)}
    return sorted(found, key=sp.default_sort_key)


def _factors(argument: sp.Expr, model: EnergyModel) -> list[tuple[sp.Expr, sp.Expr]]:
    """``argument`` as one affine expression, or as factors base**power of which every one is; else as it is, to be left alone."""
    if _affine(argument, model):
        return [(argument, sp.Integer(1))]
    factors = [factor.as_base_exp() for factor in sp.Mul.make_args(argument)]
    unknowns = set(model.unknowns)
    constant = sp.Mul(*(b**p for b, p in factors if not (b**p).free_symbols & unknowns))
    usable = all(
        _affine(b, model) and not p.free_symbols & unknowns for b, p in factors if (b**p).free_symbols & unknowns
    )
    if not usable or not model.values(constant).is_positive:
        return [(argument, sp.Integer(1))]
    varying = [(b, p) for b, p in factors if (b**p).free_symbols & unknowns]
    return [*varying, (constant, sp.Integer(1))] if constant != 1 else varying


def _affine(expr: sp.Expr, model: EnergyModel) -> bool:
    used = [s for s in model.unknowns if s in expr.free_symbols]
    if not used or not expr.is_polynomial(*used):
        return False
    return bool(sp.Poly(expr, *used).total_degree() == 1)


def _broken(expr: sp.Expr, model: EnergyModel) -> bool:
    """Whether this is a power that ends where its affine base vanishes."""
    if not isinstance(expr, sp.Pow) or expr.exp.is_Integer or expr.exp.free_symbols & set(model.unknowns):
        return False
    if not _affine(expr.base, model):
        return False
    power = model.values(expr.exp)
    return bool(power.is_number and not float(power).is_integer())


def _log(x: sp.Expr, bound: sp.Symbol, inverse: sp.Symbol, level: sp.Symbol) -> sp.Expr:
    s = x * inverse - 1
    return sp.Piecewise((sp.log(x), x >= bound), (level + s - s**2 / 2, True))


def _power(x: sp.Expr, p: sp.Expr, bound: sp.Symbol, inverse: sp.Symbol) -> sp.Expr:
    s = x * inverse - 1
    return sp.Piecewise((x**p, x >= bound), (bound**p * (1 + p * s + p * (p - 1) / 2 * s**2), True))
