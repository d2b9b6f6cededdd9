"""Gradient energies that depend on the normal, as operations of a step.

With e(p) = kappa(n)/2 |p|^2 (`phasefield.models.anisotropy`) and a constant reference kappa_ref, which stays in L,

    F_gradient = 1/2 sum_k kappa_ref k^2 |u_k|^2 + int e(p) - kappa_ref/2 |p|^2 dV
    dF_gradient/du = kappa_ref k^2 u - FT[div(de/dp - kappa_ref p)],  p = grad u

Gradient and divergence are each other's negative transposes on every grid (`phasefield.codegen.Derivative`), so that what moves
the field is the derivative of the energy that is told, to round-off. A component takes 2 d transforms besides its own pair.

kappa_ref is the largest eigenvalue of the Hessian of e over all directions. Where modes are stiff a step then multiplies a
perturbation by 1 - lambda with lambda in [0, 1], as with the stabiliser S (see `phasefield.models.stabilizer`), for D - H is
symmetric and not negative: kappa_ref |grad v|^2 >= grad v . e''(p) grad v.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import sympy as sp

from ..backend import Apply, Forward, Inverse, Operation
from ..codegen import Derivative, Kernel, PerMode, Reduction, array_symbol
from . import kinetic
from .anisotropy import Anisotropy, excess

if TYPE_CHECKING:
    from .energy import EnergyModel
    from .terms import Waves

#: Arrays of gradients, and then of what de/dp exceeds its reference by, along the axes.
ARRAYS = ("gradient_x", "gradient_y", "gradient_z")


def operations(
    model: EnergyModel,
    array: str,
    members: Sequence[tuple[int, Anisotropy]],
    symbols: Sequence[sp.Expr],
    axes: int,
    waves: Waves,
) -> list[Operation]:
    """Makes de/dp - kappa_ref p in modes, not scaled, of a state in modes, and reduces both sums of the energy.

    Args:
        members: components and their laws; the j-th is component j of `ARRAYS`. symbols: of the gradient term, of all components.
        axes: of the grid.
    """
    names = [*model.scalars, waves.scale.name]
    count, used = len(members), ARRAYS[:axes]
    sizes = dict.fromkeys(used, count)
    slopes = {name: [Derivative(array_symbol("state", i), a) for i, _ in members] for a, name in enumerate(used)}
    modes = sum(PerMode(symbol / 2 * waves.weight) * array_symbol("state", i) ** 2 for i, symbol in enumerate(symbols))
    gradient = Kernel(
        "gradient_slope",
        "spectral",
        {"state": len(model.components), **sizes},
        slopes,
        {"modes_gradient": Reduction("sum", modes)},
        names,
    )
    parameters = model.on("")
    forces: list[list[sp.Expr]] = [[] for _ in used]
    density = sp.S.Zero
    for j, (i, law) in enumerate(members):
        force, energy = excess(law, [array_symbol(name, j) for name in used], model.scalar("kappa", i))
        for own, f in zip(forces, force, strict=True):
            own.append(f.xreplace(parameters))
        density += energy.xreplace(parameters)
    outputs: dict[str, list[sp.Expr | None]] = {name: list(own) for name, own in zip(used, forces, strict=True)}
    if any(i in kinetic.members(model) for i, _ in members):  # which the gradients, here at hand, tell as well
        places = kinetic.members(model)
        found: list[sp.Expr | None] = [None] * len(places)
        for j, (i, _) in enumerate(members):
            if i in places:
                found[places.index(i)] = kinetic.excess(model, i, [array_symbol(name, j) for name in used])
        outputs[kinetic.MOBILITY], sizes[kinetic.MOBILITY] = found, len(places)
    turn = Kernel(
        "gradient_force",
        "real",
        sizes,
        outputs,
        {"cells_gradient": Reduction("sum", density)},
        names,
    )
    return [
        Apply(gradient, {"state": array}),
        *(Inverse(name, count, flips=(a,)) for a, name in enumerate(used)),
        Apply(turn),
        *(Forward(name, count, flips=(a,)) for a, name in enumerate(used)),
    ]


def potential(j: int, axes: int) -> sp.Expr:
    """-div(de/dp - kappa_ref p) of the j-th member, in modes, not scaled."""
    return -sum((Derivative(array_symbol(name, j), a, 1) for a, name in enumerate(ARRAYS[:axes])), sp.S.Zero)
