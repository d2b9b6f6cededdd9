"""What a step starts from, and what an attempted one has found."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .schemes import DEPTH, RATIOS

_RATIO_NAMES = [symbol.name for symbol in RATIOS]


def total(energies: dict[str, float]) -> float:
    """The sum of all parts of an energy; NaN where one is not known, or there is none."""
    return sum(energies.values()) if energies else math.nan


@dataclass
class Carry:
    """Everything a step needs and a checkpoint holds. Only `Integrator` changes it, and of an attempt only on accept.

    Attributes:
        t: simulated time. step: number of accepted steps. sizes: of the last steps, newest first.
        u: state in spectral space. history: ``u_old``, ``n_old``, ``n_old2``, ... where the scheme uses them.
        n: channels of N(u). energies: parts of the energy of u by name, NaN where unknown.
        memory, notes: arrays and numbers of the split's warm starts, see `phasefield.integrators.memory`.
    """

    t: float
    step: int
    sizes: list[float]
    u: Any
    n: Any
    history: dict[str, Any] = field(default_factory=dict)
    energies: dict[str, float] = field(default_factory=dict)
    memory: dict[str, Any] = field(default_factory=dict)
    notes: Mapping[str, float] = field(default_factory=dict)

    @property
    def dt_old(self) -> float:
        """Size of the last step, 0 before the first."""
        return self.sizes[0] if self.sizes else 0.0

    @property
    def energy(self) -> float:
        """Sum of all parts."""
        return total(self.energies)

    def advance(self, size: float, t_new: float) -> None:
        """The books of a step that is done."""
        self.t, self.step = t_new, self.step + 1
        self.sizes = [size, *self.sizes[: DEPTH - 1]]

    def ratios(self, size: float) -> dict[str, float]:
        """Ratio of every step, the first of them about to be taken, to the one before it; 0 where there is none."""
        steps = [size, *self.sizes]
        return {w: steps[i] / steps[i + 1] if i + 1 < len(steps) else 0.0 for i, w in enumerate(_RATIO_NAMES)}


@dataclass(frozen=True)
class Trial:
    """A step before it is accepted.

    Attributes:
        error, change: root mean squares over the cells of the local error and of what the step changed, of every component.
        mean, fluctuation: the new state's mean, and its root mean square departure from it.
        supply: error and change of the mean of every component whose mean nothing but a source changes.
        energies: parts of the energy at the end of the step by name, NaN where unknown.
        inexact: by how much they may be too large for what solvers left of their errors. notes: see `Carry`.
    """

    error: Sequence[float]
    change: Sequence[float]
    mean: Sequence[float]
    fluctuation: Sequence[float]
    supply: Sequence[tuple[float, float]]
    energies: dict[str, float]
    inexact: float = 0.0
    notes: Mapping[str, float] = field(default_factory=dict)

    @property
    def energy(self) -> float:
        """Sum of all parts."""
        return total(self.energies)
