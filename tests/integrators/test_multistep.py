"""The tables of schemes against what they are made of: interpolation, extrapolation, and roots of their own recurrence."""

from __future__ import annotations

import itertools
import math
from functools import cache

import numpy as np
import pytest
import sympy as sp

from phasefield.codegen import Phi
from phasefield.integrators import SCHEMES, Scheme
from phasefield.integrators import schemes as table

MULTISTEP = ["etdms2", "etdms3", "etdms4"]
NS = (table.n, *table.SLOPES[1 : table.DEPTH + 1])


def phi(order: int, z: float) -> float:
    """phi_order by its series, at high precision."""
    x = sp.Float(z, 60)
    return float(sum(x**j / sp.factorial(j + order) for j in range(60 + int(12 * abs(z)))))


def _phi(order: int, z: float) -> float:
    """The same at any z < 0, where the series would need many terms."""
    if z > -50:
        return phi(order, z)
    return 0.0 if order == 0 else (_phi(order - 1, z) - 1 / math.factorial(order - 1)) / z


@cache  # of every z for many balances
def weights(scheme: Scheme, z: float, ratios: tuple[float, ...], size: float = 1.0) -> tuple[float, list[float]]:
    """Factors of u and of N at every time level in one step."""
    values = {table.z: z, table.dt: size, **dict(zip(table.RATIOS, ratios, strict=True))}
    update = scheme.update.replace(Phi, lambda k, _: sp.Float(phi(int(k), z), 17))
    update = sp.expand(update.subs(values))
    return float(update.coeff(table.u)), [float(update.coeff(s)) for s in NS]


@pytest.mark.parametrize("scheme", MULTISTEP)
@pytest.mark.parametrize("ratios", [(1.0, 1.0, 1.0), (1.7, 0.6, 1.3), (0.5, 2.0, 0.9)])
def test_exact_where_n_is_a_polynomial_of_time(scheme: str, ratios: tuple[float, ...]) -> None:
    """With L = 0 (no damping) and N = t^m, m < order, a step is exact: the divided differences are right for any steps."""
    order = SCHEMES[scheme].order
    times = [0.0]
    size = 1.0
    for w in ratios:
        size /= w
        times.append(times[-1] - size)
    _, factors = weights(SCHEMES[scheme], 0.0, ratios)
    for m in range(order):
        assert sum(f * t**m for f, t in zip(factors, times, strict=True)) == pytest.approx(1 / (m + 1), abs=1e-12)


@pytest.mark.parametrize("scheme", MULTISTEP)
def test_missing_steps_lower_the_order(scheme: str) -> None:
    """A ratio of 0 drops what is not there, whatever the buffers hold."""
    for known in range(table.DEPTH + 1):
        ratios = tuple(1.3 if i < known else 0.0 for i in range(len(table.RATIOS)))
        _, factors = weights(SCHEMES[scheme], -0.7, ratios)
        _, simpler = weights(
            SCHEMES[f"etdms{min(known, SCHEMES[scheme].order - 1) + 1}" if known else "etd1"], -0.7, ratios
        )
        assert factors == pytest.approx(simpler, abs=1e-13)
        assert not any(factors[known + 1 :])


def largest_root(scheme: Scheme, z: float, balance: float) -> float:
    """Growth factor per step of u' = L u + N with N = -balance L u, in equal steps."""
    of_u, of_n = weights(scheme, z, (1.0, 1.0, 1.0))
    recurrence = [-balance * z * f for f in of_n]
    recurrence[0] += of_u
    return float(np.abs(np.roots([1.0, *(-c for c in recurrence)])).max())


@pytest.mark.parametrize("scheme", MULTISTEP)
def test_stiff_modes_near_balance_stay_bounded(scheme: str) -> None:
    """What limits explicit multistep schemes once an interface is at rest, see the note in `schemes`.

    The stabiliser covers the curvature of every state at hand, so that balances below zero are those of a state beyond.
    """
    for z, balance in itertools.product(
        (-0.3, -2.0, -3.0, -5.0, -7.0, -9.0, -15.0, -30.0, -80.0),
        (-0.07, 0.0, 0.3, 0.6, 0.8, 0.9, 0.97, 0.999),
    ):
        assert largest_root(SCHEMES[scheme], z, balance) <= 1 + 1e-9, (z, balance)


def test_the_damping_is_what_bounds_them() -> None:
    free = Scheme(3, table._etd1 + table._etdms2_gain + table._etdms3_gain, sp.Integer(0), 3, "")
    assert largest_root(free, -30.0, 0.9) > 1.05
    assert float(table._damping3.subs(table.z, -1e12)) < 1 / 2


@pytest.mark.parametrize("scheme", ["etdms2", "etdms3", "etdms4", "sbdf2", "etd1", "imex1"])
def test_a_first_step_is_the_trapezoidal_rule_and_judged_by_what_that_improves(scheme: str) -> None:
    """Where L = 0 the error of an Euler step is half of what N changes by; n1 is N at its end."""
    first = SCHEMES[scheme].first
    assert first is not None
    values = {table.u: 1.0, table.n: 2.0, table.n1: 2.5, table.dt: 0.1, table.z: 0.0}
    better, error = (float(e.replace(Phi, lambda k, _: sp.Float(phi(int(k), 0.0), 17)).subs(values)) for e in first)
    assert better == pytest.approx(1.225)
    assert error == pytest.approx(-0.025)


@pytest.mark.parametrize("name", ["etd1", "imex1"])
def test_a_first_order_is_extrapolated_from_its_halves(name: str) -> None:
    """Of second order with the estimate of a first, exact at rest, and bounded in stiff modes by the S that it asks for."""
    scheme = SCHEMES[name].taken(adaptive=True, varies=True)
    assert SCHEMES[name].taken(adaptive=False, varies=True) is SCHEMES[name]
    assert scheme.margin == pytest.approx(2 / 3)

    def factors(z: float, balance: float) -> tuple[float, float]:
        """What a step makes of u' = L u + N with N = -balance L u, L = z, and its error estimate."""

        def value(expr: sp.Expr, known: dict[sp.Symbol, float]) -> float:
            whole = expr.replace(Phi, lambda k, x: sp.Float(_phi(int(k), float(x.subs(table.z, z))), 17))
            return float(whole.subs({table.u: 1.0, table.n: -balance * z, table.z: z, table.dt: 1.0, **known}))

        stage = {table.n1: -balance * z * value(scheme.stages[0], {})}
        return value(scheme.update, stage), value(scheme.error, stage)

    for balance in (-0.4, 0.0, 0.7, 1.3):
        coarse, fine = (factors(z, balance) for z in (-0.02, -0.01))
        true = [np.exp(z * (1 - balance)) for z in (-0.02, -0.01)]
        assert abs(coarse[0] - true[0]) < 1e-5
        if abs(fine[0] - true[1]) > 1e-12:
            assert (coarse[0] - true[0]) / (fine[0] - true[1]) == pytest.approx(8, rel=0.05)
            assert coarse[1] / fine[1] == pytest.approx(4, rel=0.05)
    assert factors(-5.0, 1.0) == (pytest.approx(1.0), pytest.approx(0.0))
    for z, balance in itertools.product((-0.5, -3.0, -30.0, -3000.0), (-0.5, -0.2, 0.0, 0.5, 0.99)):
        assert abs(factors(z, balance)[0]) <= 1 + 1e-9, (z, balance)
