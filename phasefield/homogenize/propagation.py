"""What the uncertainties of constants make of the effective properties: quantities, and propagation to first order."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ..mechanics import tensors
from ..mechanics.tensors import Array
from ..mechanics.uncertain import KINDS, Constant
from .result import Result


@dataclass
class Distribution:
    """Mean and standard uncertainty of numbers of any shape.

    Attributes:
        parts: the share of the standard uncertainty that is of each kind of constants, by `uncertain.KINDS`; the squares add up.
        first, total: Sobol indices of every parameter, (parameters, ...), and the half widths of their 95 % intervals; None where
            they are not known.
    """

    mean: Array
    std: Array
    parts: dict[str, Array]
    first: Array | None = None
    first_interval: Array | None = None
    total: Array | None = None
    total_interval: Array | None = None


@dataclass
class Propagation:
    """What is known of a property with uncertain constants.

    Attributes:
        method: out of `settings.METHODS`. tensor: of the components, Mandel or (3, 3). quantities: of single numbers, see
            `quantities_of`. solves: that it took besides the one of the means. order: of the polynomials. error: relative, of
            polynomials at points left out. seed: of the samples. notes: where it cannot be trusted.
    """

    method: str
    tensor: Distribution
    quantities: dict[str, Distribution]
    solves: int = 0
    order: int = 0
    error: float = math.nan
    seed: int = 0
    notes: list[str] = field(default_factory=list)


def quantities_of(result: Result, tensor: Array) -> dict[str, float]:
    """The numbers that a tensor is told by: moduli of the nearest isotropic stiffness, else the components on the diagonal.

    Args:
        tensor: like that of the result.
    """
    if "K" in result.moduli:
        return tensors.isotropic_moduli(tensor)
    shown = list(result.components) or list(range(len(tensor)))
    return {name: float(tensor[k, k]) for k, name in enumerate(tensors.NAMES[:3]) if k in shown}


def quantity_sensitivity(result: Result) -> dict[str, Array]:
    """Derivatives of the `quantities_of` a result by every constant, (parameters,)."""
    assert result.sensitivity is not None
    changes = result.sensitivity
    if "K" not in result.moduli:
        return {n: changes[:, k, k] for n in quantities_of(result, result.tensor) for k in [tensors.NAMES.index(n)]}
    k, g = result.moduli["K"], result.moduli["G"]
    dk = np.einsum("ij,pji->p", tensors.SPHERICAL, changes) / 3
    dg = np.einsum("ij,pji->p", tensors.DEVIATORIC, changes) / 10
    below = (3 * k + g) ** 2 or 1.0
    return {
        "K": dk,
        "G": dg,
        "E": (9 * g * g * dk + 27 * k * k * dg) / below,
        "nu": 4.5 * (g * dk - k * dg) / below,
    }


def quantity_unit(result: Result, name: str) -> str:
    return "1" if name == "nu" else result.unit


def _summed(changes: Array, constants: Mapping[str, Constant], mean: Array) -> Distribution:
    """To first order: variances of independent constants add up."""
    variances = np.array([0.0 if c.spread is None else c.spread.std**2 for c in constants.values()])
    contributions = changes**2 * variances.reshape(-1, *(1,) * (changes.ndim - 1))
    total = contributions.sum(axis=0)
    kinds = np.array([c.spread.kind if c.spread else "" for c in constants.values()])
    parts = {kind: np.sqrt(contributions[kinds == kind].sum(axis=0)) for kind in KINDS}
    shares = np.divide(contributions, total, out=np.zeros_like(contributions), where=total > 0)
    return Distribution(mean, np.sqrt(total), parts, first=shares, total=shares)


def first_order(result: Result, constants: Mapping[str, Constant]) -> Propagation:
    """Propagation by the derivatives of a result, whose constants are taken for independent (JCGM 100:2008, 5.1.2).

    Sobol indices are then the shares of the variance, without interactions.
    """
    assert result.sensitivity is not None
    values = quantities_of(result, result.tensor)
    parts = {
        name: _summed(change, constants, np.asarray(values[name]))
        for name, change in quantity_sensitivity(result).items()
    }
    return Propagation("first-order", _summed(result.sensitivity, constants, result.tensor), parts)
