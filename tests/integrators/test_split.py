"""The integrator knows a split and nothing else: ordinary differential equations with solutions in closed form."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import sympy as sp
from ordinary import Plain, Relaxation, U, exact

from phasefield.backend import Apply, Operation
from phasefield.codegen import Kernel, array_symbol
from phasefield.integrators import SCHEMES, AdaptiveSteps, Carry, Controller, FixedSteps, Integrator, NoWay
from phasefield.schedule import Beat


def integrator(scheme: str, split: Any, adaptive: bool) -> Integrator:
    return Integrator(SCHEMES[scheme], split, None, Plain(), adaptive)  # type: ignore[arg-type]


def control(made: Integrator, tolerance: float = 1e-3, **more: Any) -> AdaptiveSteps:
    controller = Controller(tolerance, made.scheme.error_order - 1, [slice(0, 1)], 2e-16, dt=1e-3)
    return AdaptiveSteps(made, controller, 5.0, **more)


def begin(made: Integrator, start: float = 2.0) -> Carry:
    return made.start(np.array([[start]]), 0.0)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_order_on_an_equation_with_a_known_solution(scheme: str) -> None:
    """Also the times at which a parameter that depends on time is taken, at stages too."""
    errors = []
    for count in (32, 64):
        made = integrator(scheme, Relaxation(), adaptive=False)
        carry, steps = begin(made), FixedSteps(made, Beat(1 / count))
        while carry.t < 1:
            steps.advance(carry, 1.0)
        assert carry.step == count
        errors.append(abs(float(carry.u[0, 0]) - exact(1.0)))
    measured = math.log2(errors[0] / errors[1])
    print(f"{scheme}: {measured:.3f}")
    assert measured == pytest.approx(SCHEMES[scheme].order, abs=0.15)


@pytest.mark.parametrize("scheme", ["etdms3", "etdrk4", "sbdf2"])
def test_adaptive_steps_land_and_keep_the_tolerance(scheme: str) -> None:
    made = integrator(scheme, Relaxation(), adaptive=True)
    carry, steps = begin(made), control(made)
    for target in (0.7, 2.0, 5.0):
        while carry.t < target:
            steps.advance(carry, target)
        assert carry.t == target
        assert float(carry.u[0, 0]) == pytest.approx(exact(target), abs=2e-3)
        assert carry.energy == pytest.approx(float(carry.u[0, 0]) ** 2 / 2, rel=1e-12)


def test_the_energy_that_is_judged_is_the_splits() -> None:
    """A decay whose split says that its energy rises is refused at any step; one that says nothing about it is not."""
    honest, other = Relaxation(drive=lambda t: 0.0), Relaxation(drive=lambda t: 0.0, sign=-1.0)
    for split in (honest, other):
        made = integrator("etdms3", split, adaptive=True)
        carry, steps = begin(made), control(made, noise=lambda carry, trial, t: 0.0)
        if split is honest:
            steps.advance(carry, 5.0)
            assert carry.step == 1
        else:
            with pytest.raises(NoWay, match="the free energy rises"):
                steps.advance(carry, 5.0)
            assert (carry.step, float(carry.u[0, 0])) == (0, 2.0)
            other.inexact = lambda found: 10.0  # type: ignore[method-assign]
            steps.advance(carry, 5.0)  # what a solver left explains the rise
            assert carry.step == 1


class Remembering(Relaxation):
    """N = -(guess + u)/2 with a guess that every evaluation moves half of the way to u, over a table and an array of its own; the
    one before the last takes a tenth of part. It says that its energy may be off, so that it may rise.
    """

    memory = {"guess": 1, "guess_old": 1}  # noqa: RUF012
    temporaries = {"half": 1}  # noqa: RUF012
    tables = {"share": np.array([[0.5]])}  # noqa: RUF012

    def operations(self, array: str) -> list[Operation]:
        guess, share, half = (array_symbol(name, 0) for name in ("guess", "share", "half"))
        old = array_symbol("guess_old", 0)
        arrays = {"guess": 1, "guess_old": 1, "guess_next": 1, "state": 1, "share": 1, "half": 1}
        move = Kernel("move", "real", arrays, {"half": [share * (guess + U) + (guess - old) / 10]})
        rest = Kernel("rest", "real", arrays, {"guess_next": [half], "state": [-half]})
        return [Apply(move, {"state": array}), Apply(rest, {"state": array}), *super().operations("half")]


@pytest.mark.parametrize("scheme", ["etdms3", "etdrk4"])
def test_warm_starts_change_on_accept_only_and_survive_a_checkpoint(scheme: str) -> None:
    made = integrator(scheme, Remembering(), adaptive=True)
    carry = begin(made)
    assert float(carry.memory["guess"][0, 0]) == 1.0  # half of the way from 0 to 2, at the start
    assert float(carry.memory["guess_old"][0, 0]) == 0.0
    for _ in range(3):
        made.accept(carry, made.attempt(carry, 0.1, carry.t + 0.1), 0.1, carry.t + 0.1)
    before = float(carry.memory["guess"][0, 0])
    refused, again = made.attempt(carry, 0.4, carry.t + 0.4), made.attempt(carry, 0.4, carry.t + 0.4)
    assert refused.mean == again.mean
    assert refused.error == again.error
    assert float(carry.memory["guess"][0, 0]) == before

    kept = {name: array.copy() for name, array in made.kept(carry).items()}
    other = integrator(scheme, Remembering(), adaptive=True)
    resumed = other.resume(kept, carry.t, carry.step, carry.sizes, carry.energies, carry.notes)
    for driven, state in ((made, carry), (other, resumed)):
        for size in (0.1, 0.2):
            driven.accept(state, driven.attempt(state, size, state.t + size), size, state.t + size)
    assert float(resumed.u[0, 0]) == float(carry.u[0, 0])
    for name in ("guess", "guess_old"):
        assert float(resumed.memory[name][0, 0]) == float(carry.memory[name][0, 0]) != before


def test_expressions_are_those_of_the_scheme() -> None:
    """One exponential Euler step by hand: e^-h u + (1 - e^-h) N, the exact one for a constant N."""
    made = integrator("etd1", Relaxation(rate=3.0, drive=lambda t: 6.0), adaptive=False)
    carry = begin(made, 1.0)
    made.step(carry, 0.25, 0.25)
    assert float(carry.u[0, 0]) == pytest.approx(2 - math.exp(-0.75), rel=1e-14)
    assert sp.simplify(made.split.linear[0]) == -sp.Symbol("rate", real=True)
