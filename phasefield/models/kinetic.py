"""Kinetic anisotropy: mobilities of fields that are not conserved and depend on the normal, M(n) = 1/tau(n).

du/dt = -M(n) mu, as in the models of dendrites (Karma and Rappel, Phys. Rev. E 57 (1998) 4323, whose relaxation time is tau). L
takes the largest M, N the rest in cells (`phasefield.models.transport`). Where the gradient vanishes M has no value; there it is
that of n = -e_x, and mu is what it is in the middle of a phase, next to nothing.

The gradient takes d transforms in d dimensions, none where kappa depends on the normal as well and has it already.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from ..backend import Apply, Inverse, Operation
from ..codegen import Derivative, Kernel, array_symbol
from ..errors import ConfigError
from .mobility import Law
from .normal import NORMAL, directions, expression, told, unit

if TYPE_CHECKING:
    from ..grid import Grid
    from .energy import EnergyModel

#: The mobilities less their references, in cells, and the gradients of fields whose kappa does not need them.
MOBILITY = "kinetic_mobility"
_GRADIENTS = ("kinetic_x", "kinetic_y", "kinetic_z")
#: Difference of mobilities, over the largest, up to which they are the same.
_SAME = 1e-9


def read(
    key: str, text: str, parameters: Mapping[str, float], moving: Sequence[str], axes: int, fields: Sequence[str]
) -> sp.Expr | Law:
    """M(n) from a text; an expression in the parameters alone where nothing of the normal is left.

    Args:
        key: where it stands. parameters: constants, and values of those that depend on time, whose names are ``moving``.
        axes: of the grid. fields: names of components, which it may not depend on besides.

    Raises:
        ConfigError, ExpressionError: a text that cannot be read, or a mobility that is negative or not finite in a direction.
    """
    words = set("".join(c if c.isalnum() or c == "_" else " " for c in text).split())
    if both := sorted(words & set(fields)):
        raise ConfigError(
            key,
            f"{text} depends on the normal and on {both[0]}, which do not go together",
            "give an expression in the normal and the parameters, or in the fields, t and the parameters",
        )
    expr = expression(key, text, parameters, moving, axes)
    if not expr.free_symbols & set(NORMAL):
        return expr
    law = Law((expr,), (text,), (1.0,))
    values, n = _values(law, parameters, axes), directions(axes)
    if not np.isfinite(values).all():
        raise ConfigError(key, f"{text} is not finite at {told(n[:, ~np.isfinite(values)][:, 0])}")
    if values.min() < 0:
        at = told(n[:, int(values.argmin())])
        raise ConfigError(key, f"{text} is {values.min():.6g} at {at}; it must be >= 0 in every direction")
    return Law((expr,), (text,), (float(values.max()),))


def _values(law: Law, parameters: Mapping[str, float], axes: int, flip: int | None = None) -> NDArray[np.float64]:
    """M in all directions, or in their mirror images across an axis."""
    values = {sp.Symbol(name, real=True): sp.Float(v, 17) for name, v in parameters.items()}
    n = directions(axes).copy()
    if flip is not None:
        n[flip] *= -1
    function = sp.lambdify(NORMAL[:axes], law.entries[0].xreplace(values), "numpy", cse=True)
    with np.errstate(all="ignore"):
        return np.array(np.broadcast_to(function(*n), n.shape[1:]), dtype=float)


def check(model: EnergyModel, grid: Grid) -> None:
    """Refuses a mobility that changes with a reflection where walls are planes of symmetry.

    Raises:
        ConfigError: there is one.
    """
    for i in members(model):
        f = model.components[i][0]
        assert f.law is not None
        plain = _values(f.law, model.parameters, grid.dim)
        for axis, (name, boundary) in enumerate(zip(grid.names, grid.boundary, strict=True)):
            other = _values(f.law, model.parameters, grid.dim, axis)
            if boundary != "periodic" and np.abs(other - plain).max() > _SAME * plain.max():
                raise ConfigError(
                    f"model.fields.{f.name}.mobility",
                    f"{f.law.text} changes with a reflection across {name}, along which the grid has walls",
                    f"turn it into the axes of the grid, or set grid.boundary to periodic along {name}",
                )


def members(model: EnergyModel) -> list[int]:
    """Components whose mobility depends on the normal; the j-th is component j of `MOBILITY`."""
    return [i for i, (f, _) in enumerate(model.components) if f.law is not None and f.law.normal]


def _alone(model: EnergyModel) -> list[int]:
    """Those among them whose kappa does not depend on it."""
    return [i for i in members(model) if model.components[i][0].anisotropy is None]


def temporaries(model: EnergyModel, axes: int) -> dict[str, int]:
    """Arrays of the operations, name -> components."""
    all_, alone = len(members(model)), len(_alone(model))
    return {**({MOBILITY: all_} if all_ else {}), **(dict.fromkeys(_GRADIENTS[:axes], alone) if alone else {})}


def excess(model: EnergyModel, i: int, gradient: Sequence[sp.Expr]) -> sp.Expr:
    """M(n) less its reference, of component ``i``, from the gradient along the axes of the grid; in arguments of kernels."""
    law = model.components[i][0].law
    assert law is not None
    table: dict[sp.Expr, sp.Expr] = dict(zip(NORMAL, unit(gradient)[0], strict=False))
    return (law.entries[0].xreplace(table) - model.scalar("mobility", i)).xreplace(model.on(""))


def _held(model: EnergyModel, i: int, axis: int) -> sp.Expr:
    """What walls add to the gradient of component ``i``, whose modes lack it."""
    return sp.S.Zero if model.lifting is None else model.lifting.gradient(i, axis)


def operations(model: EnergyModel, array: str, axes: int, scalars: Sequence[str]) -> list[Operation]:
    """Fills `MOBILITY` from a state in modes, of components whose kappa has not done it (`phasefield.models.capillarity`)."""
    alone = _alone(model)
    if not alone:
        return []
    used, count = _GRADIENTS[:axes], len(alone)
    sizes = dict.fromkeys(used, count)
    slopes = {name: [Derivative(array_symbol("state", i), a) for i in alone] for a, name in enumerate(used)}
    arrays = {"state": len(model.components), **sizes}
    all_: list[sp.Expr | None] = [None] * len(members(model))
    for j, i in enumerate(alone):
        slope = [array_symbol(name, j) + _held(model, i, a) for a, name in enumerate(used)]
        all_[members(model).index(i)] = excess(model, i, slope)
    kernel = Kernel("kinetic_mobility", "real", {**sizes, MOBILITY: len(all_)}, {MOBILITY: all_}, scalars=scalars)
    return [
        Apply(Kernel("kinetic_slope", "spectral", arrays, slopes, scalars=scalars), {"state": array}),
        *(Inverse(name, count, flips=(a,)) for a, name in enumerate(used)),
        Apply(kernel),
    ]
