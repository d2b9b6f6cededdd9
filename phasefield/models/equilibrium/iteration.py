"""The order of the parts of `phasefield.models.equilibrium`: conjugate gradients from where the last displacements lead to.

Every part is a program of the device, see `phasefield.backend.Solve`; what it reduces decides what comes next. Transforms of a
solve in three dimensions (two): 12 (6) of the start and its residual, 12 (6) of every iteration, 6 (3) of the last one where the
spectrum says that it leaves less than is wanted.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping
from typing import NoReturn

import numpy as np

from ...errors import NotConverged
from ...mechanics import tensors
from .body import Array, Body, Sums

Steps = Generator[tuple[str, Sums], Sums, Sums]

#: Error of the displacement of a first solve, against the first guess: energy norm.
_COLD = 1e-8
#: Squared error against the body's energy that is round-off, and that is no more than it where iterations make no progress.
_ROUND_OFF, _STALLED = 1e-24, 1e-10
#: Iterations that may pass without progress, and that are made at most.
_PATIENCE, _MOST = 15, 500


class Iteration:
    """Steers a solve.

    Args:
        body: in equilibrium. tolerance: of the displacement, against what a step changes it by: energy norm.
    """

    def __init__(self, body: Body, tolerance: float) -> None:
        self._body, self._tolerance = body, tolerance

    def steer(self, scalars: Mapping[str, float]) -> Steps:
        """A solve at every step; tells what `solve` does."""
        return (yield from self.solve(scalars, *extrapolation(scalars.get("w", 0.0), scalars.get("w_old", 0.0))))

    def solve(self, scalars: Mapping[str, float], ahead: float, bend: float) -> Steps:
        """A solve; tells ``modes_elastic``, the energy of the body and its load, and ``inexact_elastic``, by how much that is too
        large at most for what the solve left of the error; per volume.

        Args:
            ahead, bend: factors of its start, see `extrapolation`.
        """
        body, t = self._body, scalars.get("t", 0.0)
        found = yield "start", {"elastic_ahead": ahead, "elastic_bend": bend}
        change, (mean, stress) = found["change"], body.means(found)
        strain = body.relaxed(mean, stress, t)
        found = yield "residual", self._shift(strain)
        energy = found["energy"] / found["cells"]
        rho = first = self._product(found)
        warm = "w" in scalars
        # What is left of the error, squared: a part of what the step changed.
        wanted = max(
            self._tolerance**2 * (change if ahead else first) if warm else _COLD**2 * first, _ROUND_OFF * abs(energy)
        )
        soft, stiff = body.spectrum
        # What an iteration leaves of the error, squared: a bound, then what the last one left.
        left = ((stiff - soft) / (stiff + soft)) ** 2
        beta, best, since, count, checked, unknown = 0.0, rho, 0, 0, True, 0.0
        while rho > wanted:
            found = yield ("turn" if count else "first"), {"elastic_beta": beta}
            turn, curvature = self._turn(found, mean)
            if not curvature > 0:
                self._give_up("a direction without stiffness: the stiffness is not positive definite somewhere")
            alpha = rho / curvature
            strain = strain + alpha * turn
            if warm and left * rho <= wanted:
                found = yield "finish", {"elastic_alpha": alpha, **self._shift(strain)}
                energy, rho, checked, unknown = found["energy"] / found["cells"], 0.0, False, left * rho
                break
            found = yield "multiply", {"elastic_alpha": alpha, **self._shift(turn)}
            after = self._product(found)
            beta, rho, count, left = after / rho, after, count + 1, min(after / rho, 1.0)
            best, since = (rho, 0) if rho < 0.9 * best else (best, since + 1)
            if since >= _PATIENCE and rho <= _STALLED * abs(energy):
                break  # round-off
            if since >= _PATIENCE or count >= _MOST or not math.isfinite(rho):
                self._give_up(f"{count} iterations without an end")
        if count and checked:
            found = yield "force", self._shift(strain)
            energy = found["energy"] / found["cells"]
        if warm and checked:  # the next start is the better for what is known of the error, at no transform
            yield "improve", {"elastic_alpha": 2 / (soft + stiff)}
        _, given = body.load(t)
        work = sum(given[a] * strain[a] for a in body.free)
        # What is left of the error makes the energy too large by at least the first of these, by at most the second.
        least, most = rho / (2 * stiff), (rho + unknown) / (2 * soft)
        return {"modes_elastic": float(energy - work - least), "inexact_elastic": float(most - least)}

    def _turn(self, found: Sums, mean: Array) -> tuple[Array, float]:
        """The mean strain that follows a direction where the mean stress is given, and the direction's curvature with it."""
        free, n, turn = self._body.free, found["cells"], np.zeros(6)
        line = np.array([found[f"line_{a}"] / n for a in free])
        if free:
            turn[free] = -np.linalg.solve(mean[np.ix_(free, free)], line)
        return turn, float(found["bend"] / n + line @ turn[free])

    def _shift(self, strain: Array) -> dict[str, float]:
        return {f"elastic_mean_{a}": float(strain[a]) for a in self._body.components}

    def _product(self, found: Sums) -> float:
        return sum(found[f"product_{i}"] for i in self._body.along)

    def _give_up(self, why: str) -> NoReturn:
        raise NotConverged(
            f"model.elastic: no mechanical equilibrium was found: {why}",
            "check the stiffness of the phases, and that fields stay between them (0 to 1)",
        )

    def derive(self, scalars: Mapping[str, float]) -> Steps:
        """The fields of the displacement at hand."""
        yield "strain", {}
        return (yield from self._derived(scalars))

    def derive_cold(self, scalars: Mapping[str, float]) -> Steps:
        """The same of a displacement that is solved for from nothing, where the program's scalars have nothing of the body."""

        def whole() -> Steps:
            yield "rest", {}
            yield from self.steer(scalars)
            return (yield from self._derived(scalars))

        steps, constants = whole(), self._body.constants
        part, own = next(steps)
        while True:
            found = yield part, {**constants, **own}
            try:
                part, own = steps.send(found)
            except StopIteration:
                return {}

    def _derived(self, scalars: Mapping[str, float]) -> Steps:
        found = yield "means", {}
        yield "derived", self._shift(self._body.relaxed(*self._body.means(found), scalars.get("t", 0.0)))
        return {}

    told = tuple(f"elastic_mean_{kind}_{name}" for kind in ("stress", "strain") for name in tensors.NAMES)

    def look(self, scalars: Mapping[str, float]) -> Steps:
        """Mean stress and strain of the displacement at hand."""
        body = self._body
        yield "strain", {}
        found = yield "means", {}
        mean, stress = body.means(found)
        strain = body.relaxed(mean, stress, scalars.get("t", 0.0))
        stress = stress + mean @ strain
        stress[list(body.odd)] = 0.0
        told = {}
        for a, name in enumerate(tensors.NAMES):
            inside = a in body.components
            told[f"elastic_mean_stress_{name}"] = float(stress[a] / tensors.FACTOR[a]) if inside else 0.0
            told[f"elastic_mean_strain_{name}"] = float(strain[a] / tensors.FACTOR[a]) if inside else math.nan
        return told


def extrapolation(ratio: float, before: float) -> tuple[float, float]:
    """Factors a, b of u + a (u - u_old) - b (u_old - u_old2), the parabola through the last three solutions; a line through two.

    Args:
        ratio: of the step to be taken to the last one. before: of the last one to that before; 0 where there is none.
    """
    step = min(ratio, 2.0)  # a longer one is no guess
    if not before:
        return step, 0.0
    curved = step * (step + 1) / (1 + 1 / before)
    return step + curved, curved * before
