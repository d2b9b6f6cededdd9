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

#: What precedes the names of parts whose arrays are lean, see `phasefield.backend.leaned`.
LEAN = "lean_"
#: Round-off of what lean arrays hold, transforms included: energy norm, relative. The number that stresses' size goes on under.
_LEAN, SIZE = 4 * 2.0**-24, "note_elastic_size"

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

    #: What a solve tells.
    solved = ("modes_elastic", "inexact_elastic", SIZE)
    #: Parts that there are of lean arrays, too.
    leaning = ("begin", "residual", "first", "turn", "multiply", "finish", "force", "improve")

    def steer(self, scalars: Mapping[str, float]) -> Steps:
        """A solve at every step; tells what `solve` does."""
        return (yield from self.solve(scalars, scalars.get("w", 0.0), scalars.get("w_old", 0.0)))

    def solve(self, scalars: Mapping[str, float], ratio: float, before: float) -> Steps:
        """A solve; tells ``modes_elastic``, the energy of the body and its load, and ``inexact_elastic``, by how much that is too
        large at most for what the solve left of the error, per volume; and `SIZE`.

        Args:
            ratio, before: of steps, see `extrapolation`; 0 and 0 of the first.
        """
        body, t = self._body, scalars.get("t", 0.0)
        share, length = damping(*body.spectrum)
        ahead, bend = extrapolation(ratio, before, share)
        found = yield "start", {"elastic_ahead": ahead, "elastic_bend": bend}
        change, strained, warm = found["change"], found["size"], "w" in scalars
        followed = warm and ahead > 0
        wanted = self._tolerance**2 * change if followed else 0.0
        # Lean arrays where their round-off, of strains and stresses, is less than what may be left of the error.
        lean = followed and _LEAN**2 * (strained + scalars.get(SIZE, math.inf)) <= wanted
        how = LEAN if lean else ""
        found = yield how + "begin", {}
        mean, stress = body.means(found)
        strain = body.relaxed(mean, stress, t)
        found = yield how + "residual", self._shift(strain)
        cells = found["cells"]
        energy = found["energy"] / cells
        rho = first = self._product(found)
        # What is left of the error, squared: a part of what the step changed.
        if not followed:
            wanted = (self._tolerance if warm else _COLD) ** 2 * first
        wanted = max(wanted, _ROUND_OFF * abs(energy))
        soft, stiff = body.spectrum
        # What an iteration leaves of the error, squared: a bound, then what the last one left.
        left = ((stiff - soft) / (stiff + soft)) ** 2
        beta, best, since, count, checked, unknown = 0.0, rho, 0, 0, True, 0.0
        while rho > wanted:
            found = yield how + ("turn" if count else "first"), {"elastic_beta": beta}
            turn, curvature = self._turn(found, mean)
            if not curvature > 0:
                self._give_up("a direction without stiffness: the stiffness is not positive definite somewhere")
            alpha = rho / curvature
            strain = strain + alpha * turn
            if warm and left * rho <= wanted:
                found = yield how + "finish", {"elastic_alpha": alpha, **self._shift(strain)}
                energy, rho, checked, unknown = found["energy"] / cells, 0.0, False, left * rho
                break
            found = yield how + "multiply", {"elastic_alpha": alpha, **self._shift(turn)}
            after = self._product(found)
            beta, rho, count, left = after / rho, after, count + 1, min(after / rho, 1.0)
            best, since = (rho, 0) if rho < 0.9 * best else (best, since + 1)
            if since >= _PATIENCE and rho <= _STALLED * abs(energy):
                break  # round-off
            if since >= _PATIENCE or count >= _MOST or not math.isfinite(rho):
                self._give_up(f"{count} iterations without an end")
        if count and checked:
            found = yield how + "force", self._shift(strain)
            energy = found["energy"] / cells
        if warm and checked:  # the next start is the better for what is known of the error, at no transform
            yield how + "improve", {"elastic_alpha": length}
        _, given = body.load(t)
        work = sum(given[a] * strain[a] for a in body.free)
        # What is left of the error makes the energy too large by at least the first of these, by at most the second.
        least, most = rho / (2 * stiff), (rho + unknown) / (2 * soft)
        size = 2 * stiff * abs(energy)  # of stresses, beside the reference
        inexact = most - least + (4 * _LEAN * math.sqrt((size + strained) * size / cells) if lean else 0.0)
        return {"modes_elastic": float(energy - work - least), "inexact_elastic": float(inexact), SIZE: float(size)}

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


def extrapolation(ratio: float, before: float, share: float) -> tuple[float, float]:
    """Factors a, b of u + a (u - u_old) - b (u_old - u_old2): the line through the last two solutions, and of what the parabola
    through three adds to it a share.

    Args:
        ratio: of the step to be taken to the last one. before: of the last one to that before; 0 where there is none.
        share: see `damping`.
    """
    step = min(ratio, 2.0)  # a longer one is no guess
    if not before:
        return step, 0.0
    curved = share * step * (step + 1) / (1 + 1 / before)
    return step + curved, curved * before


def damping(soft: float, stiff: float) -> tuple[float, float]:
    """The share a of the parabola in a start, and the length w of a step along the preconditioned residual at its end, with which
    the errors of solutions die out although starts are made of them.

    Of an error in an eigenvector of the preconditioned operator, L its eigenvalue, such a step leaves c = 1 - w L, so that where
    steps are equal errors are e_n = c ((2 + a) e_(n-1) - (1 + 2 a) e_(n-2) + a e_(n-3)). The roots of x^3 = c ((2 + a) x^2 - (1 +
    2 a) x + a) lie within the unit circle for -1/(3 + 4 a) < c < 1/(2 a): at the ends one is -1, or two are c +- i sqrt(1 - c^2).
    A whole parabola bears c from -1/7 to 1/2 alone; beyond, errors grow from solve to solve until iterations take them away.

    Args:
        soft, stiff: bounds of the eigenvalues.
    """
    share = length = 1.0
    for _ in range(20):  # a contraction, by a factor of less than 0.1
        length = min((1 + 1 / (3 + 4 * share)) / stiff, 2 / (soft + stiff))
        share = 1 / max(1.0, 2 * (1 - length * soft))
    return share, length
