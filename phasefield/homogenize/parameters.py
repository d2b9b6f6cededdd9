"""Derivatives by the constants of the phases, and what their uncertainties come to, for the file and the terminal."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..mechanics import tensors
from ..mechanics.tensors import Array
from ..mechanics.uncertain import KINDS, Constant
from .problem import Problem
from .propagation import Distribution, quantity_sensitivity, quantity_unit
from .result import Result, computed
from .sensitivity import parameters

#: Constants told for every number, and shares of its variance below which none is.
_TOLD, _LEAST = 3, 0.01
_INDICES = {
    "first": "share of the variance that is the constant's alone (first Sobol index)",
    "first_interval": "half width of the 95 % interval of the first Sobol index",
    "total": "share of the variance with all interactions of the constant (total Sobol index)",
    "total_interval": "half width of the 95 % interval of the total Sobol index",
}


def parameter_coords(coords: dict[str, Any], constants: Mapping[str, Constant]) -> None:
    """The constants with their values, units and uncertainties."""
    coords["parameter"] = ("parameter", list(constants), {"long_name": "constant of a phase, PHASE.CONSTANT"})
    known = list(constants.values())
    spreads = [c.spread for c in known]
    comment = {"comment": "in parameter_unit"}
    coords["parameter_value"] = ("parameter", [c.value for c in known], {"long_name": "its value", **comment})
    stds = [math.nan if s is None else s.std for s in spreads]
    text = {"long_name": "its standard uncertainty; NaN where none is given", **comment}
    coords["parameter_std"] = ("parameter", stds, text)
    coords["parameter_unit"] = ("parameter", [c.unit for c in known])
    kinds = ["" if s is None else s.kind for s in spreads]
    coords["parameter_kind"] = ("parameter", kinds, {"long_name": "aleatoric (varies) or epistemic (not known)"})
    coords["parameter_distribution"] = ("parameter", ["" if s is None else s.distribution for s in spreads])


def parameter_variables(
    variables: dict[str, Any], coords: dict[str, Any], series: Sequence[Result], dims: tuple[str, ...], problem: Problem
) -> None:
    """What there is of one property over time; ``dims`` are those of its tensor."""
    if any(r.sensitivity is None for r in series):
        return
    result = series[0]
    parameter_coords(coords, parameters(problem))
    along = (dims[0], "parameter", *dims[1:])
    text = {"units": result.unit, "long_name": f"derivative of the effective {result.name.replace('_', ' ')}"}
    text["comment"] = "by the constants, per parameter_unit; at fixed values of the others"
    values = np.stack([[_shown(each, r) for each in r.sensitivity] for r in series])  # type: ignore[union-attr]
    variables[f"{result.name}_sensitivity"] = (along, values, text)
    if result.moduli:
        of_time = [quantity_sensitivity(r) for r in series]
        for name in of_time[0]:
            more = text | {"units": quantity_unit(result, name), "long_name": f"derivative of {name}"}
            variables[f"{result.name}_{name}_sensitivity"] = (along[:2], [each[name] for each in of_time], more)
    made = [r.propagation for r in series]
    if any(each is None for each in made):
        return
    one = made[0]
    assert one is not None
    how: dict[str, Any] = {"method": one.method}
    if one.method != "first-order":
        how |= {"solves": one.solves, "seed": one.seed}
    if one.method == "pce":
        how |= {"polynomial_order": one.order, "left_out_error": one.error}
    found = [(each.tensor, r) for each, r in zip(made, series, strict=True) if each is not None]
    _distribution(variables, result.name, found, (dims, along), result.unit, how, _shown)
    for name in one.quantities if result.moduli else ():
        of_name = [(each.quantities[name], r) for each, r in zip(made, series, strict=True) if each is not None]
        unit = quantity_unit(result, name)
        _distribution(variables, f"{result.name}_{name}", of_name, (along[:1], along[:2]), unit, how, lambda v, _: v)


def _shown(tensor: Array, result: Result) -> Array:
    """A tensor as files hold it: Voigt form, NaN where it was not computed."""
    whole = computed(tensor, result.components)
    return tensors.to_voigt(whole) if whole.shape == (6, 6) else whole


def _distribution(
    variables: dict[str, Any],
    name: str,
    found: Sequence[tuple[Distribution, Result]],
    dims: tuple[tuple[str, ...], tuple[str, ...]],
    unit: str,
    how: Mapping[str, Any],
    shown: Callable[[Array, Result], Array],
) -> None:
    each, along = dims
    text = {"units": unit, "long_name": "standard uncertainty that those of the constants make", **how}
    variables[f"{name}_parameter_std"] = (each, np.stack([shown(d.std, r) for d, r in found]), text)
    for kind in KINDS:
        more = text | {"long_name": f"part of it that is of {kind} constants"}
        values = np.stack([shown(d.parts[kind], r) for d, r in found])
        variables[f"{name}_parameter_std_{kind}"] = (each, values, more)
    if how["method"] == "first-order":
        return
    more = text | {"long_name": "mean over the constants' distributions"}
    variables[f"{name}_parameter_mean"] = (each, np.stack([shown(d.mean, r) for d, r in found]), more)
    for index, title in _INDICES.items():
        columns = np.stack([getattr(d, index) for d, _ in found])
        variables[f"{name}_sobol_{index}"] = (along, columns, {"units": "1", "long_name": title, **how})


def parameter_lines(result: Result, problem: Problem, factor: float, unit: str) -> list[str]:
    """The lines of a block of the table: its head, then ``what: about it``.

    Args:
        factor, unit: numbers are shown as multiples of the factor, in that unit; empty for none.
    """
    if result.sensitivity is None:
        return []
    constants = parameters(problem)
    if result.propagation is None:
        return _relative(result, constants)
    made = result.propagation
    how = made.method
    if how != "first-order":
        error = f", error {100 * made.error:.2g} % of it" if how == "pce" else ""
        how += f", {made.solves} solves{error}"
    out = [f"uncertainty by the constants ({how}):"]
    for name, own in made.quantities.items():
        scale, shown = (1.0, "") if name == "nu" else (factor, unit)
        mean, std = float(own.mean), float(own.std)
        share = f" ({_percent(std / abs(mean))} %)" if mean else ""
        text = f"{name} = {mean / scale:.5g} +- {std / scale:.2g}{shown}{share}: "
        text += _contributors(own, list(constants)) if std else "not touched by uncertain constants"
        both = all(own.parts[kind] > 1e-3 * std for kind in KINDS)
        if both:
            text += "; " + ", ".join(f"{kind} {own.parts[kind] / scale:.2g}" for kind in KINDS) + shown
        out.append(text)
    return out


def _contributors(own: Distribution, labels: Sequence[str]) -> str:
    assert own.total is not None
    order = [k for k in np.argsort(-own.total)[:_TOLD] if own.total[k] >= _LEAST]
    parts = []
    for k in order:
        wide = "" if own.total_interval is None else f" +- {100 * own.total_interval[k]:.1g}"
        parts.append(f"{labels[k]} {_percent(own.total[k])}{wide} %")
    return ", ".join(parts)


def _percent(share: float) -> str:
    """Two digits, and no exponent at a hundred."""
    return f"{100 * share:.3g}" if share >= 0.995 else f"{100 * share:.2g}"


def _relative(result: Result, constants: Mapping[str, Constant]) -> list[str]:
    """The largest relative derivatives, where no constant is uncertain."""
    out = ["change in % per % of a constant:"]
    values = np.array([c.value for c in constants.values()])
    labels = list(constants)
    names = quantity_sensitivity(result)
    at = result.moduli or dict(zip(tensors.NAMES, np.diagonal(result.tensor), strict=False))
    for name, changes in names.items():
        relative = changes * values / at[name] if at[name] else np.zeros(len(values))
        order = [k for k in np.argsort(-np.abs(relative))[:_TOLD] if abs(relative[k]) >= _LEAST]
        if order:
            out.append(f"{name}: " + ", ".join(f"{labels[k]} {relative[k]:+.2g}" for k in order))
    return out if len(out) > 1 else []
