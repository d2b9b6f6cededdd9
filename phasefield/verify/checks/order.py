"""Accuracy in time of every scheme that is registered."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator

import numpy as np
import sympy as sp

from ...integrators import SCHEMES
from ...models.analysis import manufactured_source
from ...simulation import build_model
from ..check import Check
from ..problems import Machine, T, X, field_values, run, solve

Array = np.ndarray

#: Largest step of each order: small enough for the leading error term, large enough to stay clear of round-off. The grids are
#: coarse, for it is the ordinary differential equations of their few modes that are solved to the order of the scheme.
LARGEST = {1: 1 / 256, 2: 1 / 64, 3: 1 / 64, 4: 1 / 64}


def decomposition(machine: Machine, scheme: str, dt: float) -> Array:
    """Eight cells of a mixture at time 1, with fixed steps."""
    sim = machine.simulation(
        "model=cahn_hilliard_landau",
        "grid.shape=[8]",
        f"grid.length={4 * math.pi}",
        "time.adaptive=false",
        f"time.scheme={scheme}",
        f"time.dt={dt}",
        "initial.phi=0.1+0.5*cos(x/2)+0.1*sin(x)",
    )
    return field_values(run(sim, 1.0))[0]


@functools.cache
def converged(machine: Machine) -> Array:
    """The same, to round-off beside the errors of the others."""
    return decomposition(machine, "etdrk4", 1 / 2048)


def order_on_a_gradient_flow(machine: Machine, scheme: str) -> float:
    """Measured order, from two steps against the converged solution."""
    largest, exact = LARGEST[SCHEMES[scheme].order], converged(machine)
    errors = [np.abs(decomposition(machine, scheme, largest / 2**i) - exact).max() for i in (1, 2)]
    return math.log2(errors[0] / errors[1])


def order_with_a_source(machine: Machine, scheme: str, preset: str) -> float:
    """Measured order with a manufactured source that moves, which also tells at which times stages are evaluated."""
    model = build_model(machine.specify(f"model={preset}"))
    name = model.unknowns[0].name
    solution = {name: sp.Rational(2, 5) + sp.cos(X / 2) * (sp.Rational(3, 10) + sp.sin(2 * T) / 5)}
    source = manufactured_source(model, solution)
    errors = []
    for i in (1, 2):
        spec = machine.specify(
            f"model={preset}",
            "grid.shape=[8]",
            f"grid.length={4 * math.pi}",
            "time.adaptive=false",
            f"time.scheme={scheme}",
            f"time.dt={LARGEST[SCHEMES[scheme].order] / 2**i}",
        )
        errors.append(solve(spec, solution, source, 1.0)[1])
    return math.log2(errors[0] / errors[1])


def checks() -> Iterator[Check]:
    for scheme in SCHEMES:
        yield Check(
            f"order/{scheme}",
            f"order in time of {scheme}, Cahn-Hilliard on 8 cells",
            "order of the scheme; halved steps against etdrk4 with steps of 1/2048",
            functools.partial(order_on_a_gradient_flow, scheme=scheme),
            SCHEMES[scheme].order,
            allowed=0.1,
        )
    for scheme in SCHEMES:
        yield Check(
            f"order/source {scheme}",
            f"order in time of {scheme}, Allen-Cahn with a source that moves",
            "order of the scheme; manufactured solution",
            functools.partial(order_with_a_source, scheme=scheme, preset="allen_cahn"),
            SCHEMES[scheme].order,
            allowed=0.1,
            full=True,
        )
