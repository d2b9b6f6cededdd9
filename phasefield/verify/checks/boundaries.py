"""Periodic, no-flux and fixed walls in all their combinations."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np

from ...grid import BOUNDARIES
from ..check import Check
from ..problems import Machine, field_values, run

#: A wave that fits each boundary on an axis of length 12, its wavenumber in units of pi/12.
_WAVES = {"periodic": ("cos", 4), "no-flux": ("cos", 3), "fixed": ("sin", 2)}
_LENGTH, _END = 12.0, 0.4


def rate_error(machine: Machine, boundary: tuple[str, ...]) -> float:
    """Relative error of the growth rate 1 - k^2 of a wave of an order parameter that fits the walls."""
    n = {1: 15, 2: 10, 3: 8}[len(boundary)]
    waves = [_WAVES[b] for b in boundary]
    start = "*".join(f"{f}({m}*pi*{x}/{_LENGTH})" for (f, m), x in zip(waves, "xyz", strict=False))
    sim = machine.simulation(
        "model=allen_cahn",
        f"grid.shape={[n] * len(boundary)}",
        f"grid.length={_LENGTH}",
        f"grid.boundary=[{','.join(boundary)}]",
        "time.adaptive=false",
        "time.scheme=etdrk4",
        "time.dt=0.02",
        f"initial.eta=1e-6*{start}",
    )
    before = field_values(sim)[0]
    after = field_values(run(sim, _END))[0]
    rate = math.log(float((after * before).sum() / (before**2).sum())) / _END
    return abs(rate / (1 - (math.pi / _LENGTH) ** 2 * sum(m**2 for _, m in waves)) - 1)


def combinations() -> list[tuple[str, ...]]:
    """All of one, two and three axes."""
    return [c for d in (1, 2, 3) for c in itertools.product(BOUNDARIES, repeat=d)]


def checks() -> Iterator[Check]:
    yield Check(
        "boundaries/all",
        f"largest relative error of a wave's growth rate, all {len(combinations())} combinations of walls in 1-D to 3-D",
        "-M (f'' + kappa k^2)",
        lambda machine: float(np.max([rate_error(machine, b) for b in combinations()])),
        0.0,
        allowed=1e-6,
        single=1e-3,
    )
