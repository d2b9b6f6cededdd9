"""Transformation by nucleation and growth against the theory of Johnson, Mehl, Avrami and Kolmogorov."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ...simulation import Simulation
from ..check import Check
from ..problems import Machine, field_values, steps

Array = np.ndarray

#: Speed of a flat front, radius of nuclei, and time between two moments at which some appear.
SPEED, RADIUS, EVERY = 0.8, 4.0, 0.5


@dataclass(frozen=True)
class Course:
    """How a transformation went: times, transformed fractions, number of nuclei, and the fractions of the theory."""

    time: Array
    fraction: Array
    nuclei: int
    theory: Array


def transformation(machine: Machine, shape: tuple[int, ...], rate: float, saturated: bool, seed: int = 1) -> Course:
    """A metastable phase that transforms from nuclei that appear all along, or all at the first moment.

    The front eta = (1 - tanh(x/2))/2 of f' = 2 eta (eta - 1) (eta - 1/10) moves at 0.8 (kappa = M = 1); of radius R
    it loses (d - 1)/R. The theory has circles of this radius, whose centres are anywhere, and counts what they cover.

    Args:
        rate: nuclei per volume and time; per volume if they appear at once.
    """
    law = f"piecewise({rate / EVERY!r}, t < {1.5 * EVERY}, 0)" if saturated else f"{rate!r}"
    sim = machine.simulation(
        "model=allen_cahn",
        "model.energy=eta**4/2-(11/15)*eta**3+eta**2/10",
        f"model.fields.eta.nucleation={{rate: '{law}', radius: {RADIUS}, width: {math.sqrt(2)}, every: {EVERY}}}",
        "initial.eta=0.0",
        f"grid.shape=[{','.join(map(str, shape))}]",
        "time.end=1000",
        f"seed={seed}",
    )
    time, fraction = _course(sim)
    return Course(time, fraction, sim.nuclei["eta"], _theory(time, len(shape), rate, saturated))


def _course(sim: Simulation) -> tuple[Array, Array]:
    time, fraction = [0.0], [0.0]
    for now in steps(sim, 1000.0):
        if now.carry.t - time[-1] < EVERY / 2:
            continue
        time.append(now.carry.t)
        fraction.append(float(field_values(now).mean()))
        if fraction[-1] > 0.97:
            break
    return np.array(time), np.array(fraction)


def _theory(time: Array, dim: int, rate: float, saturated: bool) -> Array:
    """1 - exp(-sum of the volumes of all nuclei, as if none were in the way of another)."""
    ages, step = np.linspace(0, time[-1], 4000, retstep=True)
    radius = np.empty_like(ages)
    radius[0] = RADIUS
    for i in range(1, len(ages)):
        radius[i] = radius[i - 1] + step * (SPEED - (dim - 1) / radius[i - 1])
    volume = {1: 2.0, 2: math.pi, 3: 4 / 3 * math.pi}[dim] * radius**dim
    moments = np.array([EVERY]) if saturated else np.arange(EVERY, time[-1], EVERY)
    number = rate if saturated else rate * EVERY
    extended = [number * np.interp(t - moments[moments <= t], ages, volume).sum() for t in time]
    return np.asarray(-np.expm1(-np.array(extended)))


def exponent(time: Array, fraction: Array) -> float:
    """Avrami's n of 1 - exp(-k t^n), from -2 < log(-log(1 - Y)) < 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        left = np.log(-np.log(1 - np.clip(fraction, 0, 1 - 1e-12)))
        good = (left > -2) & (left < 0) & (time > 0)
    return float(np.polyfit(np.log(time[good]), left[good], 1)[0])


def checks() -> Iterator[Check]:
    def error(machine: Machine, shape: tuple[int, ...], rate: float, saturated: bool) -> float:
        course = transformation(machine, shape, rate, saturated)
        return exponent(course.time, course.fraction) - exponent(course.time, course.theory)

    yield Check(
        "nucleation/constant-rate",
        "exponent of Avrami of nuclei that appear all along, two dimensions, less the theory's",
        "Johnson, Mehl, Avrami and Kolmogorov, circles of the nuclei's own growth",
        lambda machine: error(machine, (256, 256), 3e-5, False),
        0.0,
        allowed=0.25,
        full=True,
    )
    yield Check(
        "nucleation/at-once",
        "the same of nuclei that appear at once",
        "Johnson, Mehl, Avrami and Kolmogorov",
        lambda machine: error(machine, (256, 256), 8e-4, True),
        0.0,
        allowed=0.25,
        full=True,
    )
