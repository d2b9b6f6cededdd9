"""Steps between two solves of `phasefield.models.equilibrium`, where equilibrium is solved for at every n-th step alone.

With one stiffness in the place of all, the mean C_m, the force on phi_p has the closed form B_pq phi_q in modes. What the body
at hand adds to that,

    D_p = dF_el/dphi_p - B_pq phi_q,

is small where phases differ little, and changes slowly. So between two solves the force is B_pq phi_q + D_p, B of the state at
hand and D on the line through the last two solves, and the energy what that does along the way from the last solve's phi^s,

    F_el = F_el^s + [1/2 phi B phi]_s + 1/2 (D^s + D) (phi - phi^s),

which is of third order in time as the trapezoidal rule is. It takes one pair of transforms for each phi_p. A solve tells what its
energy is missed by when bridged: so much the free energy may seem to rise. (D on the parabola through three solves lets stiff
modes grow unless S is far larger.)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import sympy as sp

from ...backend import Apply, Forward, Inverse, Operation
from ...codegen import Kernel, Reduction, array_symbol
from ..moduli import Moduli
from ..terms.term import Waves
from .iteration import SIZE, Iteration, Steps

#: D at the last two solves, and phi at the last, in modes; behind a name, what a solve makes of it.
_GAP, _OLD, _PHI = "elastic_gap", "elastic_gap_old", "elastic_phi"
NEXT = "_next"
#: Numbers that go from step to step: times of the last solves and how many are known, energy beside that of the mean stiffness at
#: the last one, what bridging missed there, steps since.
_TIMES = ("note_elastic_t", "note_elastic_t_old", "note_elastic_t_old2")
_KNOWN, _REST, _MISSED, _SINCE = (f"note_elastic_{name}" for name in ("known", "rest", "missed", "since"))
#: Told as 1 where the memory stays as it is, see `phasefield.integrators.memory`.
_KEPT = "memory_kept"
#: How much farther from the last solve than that is from the one before a step may go to be bridged.
_FAR = 1.6


class Bridge:
    """What a body does between solves.

    Args:
        moduli: B of the mean stiffness. every: steps from solve to solve. unknowns: the model's symbols. phis: phi_p by these.
        force: array of forces in cells.
    """

    def __init__(
        self, moduli: Moduli, every: int, unknowns: Sequence[sp.Symbol], phis: Sequence[sp.Expr], force: str
    ) -> None:
        self._moduli, self._every, self._unknowns, self._phis, self._force = moduli, every, unknowns, phis, force

    @property
    def constants(self) -> dict[str, float]:
        """Kernel arguments."""
        return self._moduli.constants

    @property
    def memory(self) -> dict[str, int]:
        """D of the last two solves, phi of the last."""
        return dict.fromkeys((_GAP, _OLD, _PHI), len(self._phis))

    # -- operations ----------------------------------------------------------------------------------------------------

    def parts(
        self, array: str, waves: Waves, argument: Callable[[str], sp.Symbol], names: Sequence[str]
    ) -> dict[str, list[Operation]]:
        """``bridge`` fills the forces between solves; ``anchor`` takes note of a solve, whose forces are at hand.

        Args:
            array: the state in cells. argument: makes kernel arguments. names: of all that kernels may use.
        """
        count, force = len(self._phis), self._force
        symbols = {s: array_symbol("state", i) for i, s in enumerate(self._unknowns)}
        phis = [phi.xreplace(symbols) for phi in self._phis]
        ahead = argument("elastic_ahead")
        gap, old, before = ([array_symbol(a, p) for p in range(count)] for a in (_GAP, _OLD, _PHI))
        then = [a + ahead * (a - b) for a, b in zip(gap, old, strict=True)]

        def stress(modes: Sequence[sp.Expr]) -> list[sp.Expr]:
            return self._moduli.stresses(modes, waves)

        def sums(modes: Sequence[sp.Expr]) -> dict[str, Reduction]:
            """Energies per volume: of the mean stiffness, and what D does along the way."""
            whole = sum((u * s for u, s in zip(modes, stress(modes), strict=True)), sp.S.Zero)
            path = sum(((a + b) * (u - v) for a, b, u, v in zip(gap, then, modes, before, strict=True)), sp.S.Zero)
            return {
                "closed": Reduction("sum", waves.weight / 2 * whole),
                "path": Reduction("sum", waves.weight / 2 * path),
            }

        def cells(name: str, outputs: Mapping[str, list[sp.Expr]], reads: Mapping[str, int]) -> Apply:
            arrays = {"state": len(self._unknowns), **reads, **dict.fromkeys(outputs, count)}
            return Apply(Kernel(f"elastic_{name}", "real", arrays, outputs, {}, names), {"state": array})

        modes = [waves.scale * array_symbol(force, p) for p in range(count)]
        arrays = dict.fromkeys((_GAP, _OLD, _PHI), count)
        bridged = Kernel(
            "elastic_bridge",
            "spectral",
            {force: count, **arrays},
            {force: [s + d for s, d in zip(stress(modes), then, strict=True)]},
            sums(modes),
            names,
        )
        fresh = [waves.scale * array_symbol(_PHI + NEXT, p) for p in range(count)]
        forces = [waves.scale * array_symbol(_GAP + NEXT, p) for p in range(count)]
        nexts = {name + NEXT: count for name in (_GAP, _PHI)}
        anchored = Kernel(
            "elastic_anchor",
            "spectral",
            {**nexts, **arrays},
            {_GAP + NEXT: [f - s for f, s in zip(forces, stress(fresh), strict=True)], _PHI + NEXT: fresh},
            sums(fresh),
            names,
        )
        here = [array_symbol(force, p) for p in range(count)]
        return {
            "bridge": [
                cells("phi", {force: phis}, {}),
                Forward(force, count),
                Apply(bridged),
                Inverse(force, count),
            ],
            "anchor": [
                cells("forces", {_GAP + NEXT: here, _PHI + NEXT: phis}, {force: count}),
                Forward(_GAP + NEXT, count),
                Forward(_PHI + NEXT, count),
                Apply(anchored),
            ],
        }

    # -- their order ---------------------------------------------------------------------------------------------------

    def steer(self, scalars: Mapping[str, float], solve: Callable[[float, float], Steps]) -> Steps:
        """A step, solved for or bridged.

        Args:
            solve: a solve, given ratios of steps, see `extrapolation`; 0 and 0 of the first.
        """
        t, known = scalars.get("t", 0.0), int(scalars.get(_KNOWN, 0.0)) if "w" in scalars else 0
        times = [scalars[name] for name in _TIMES[:known]]
        steps = [a - b for a, b in zip([t, *times], times, strict=False)]
        rest, missed, since = (scalars[name] if known else 0.0 for name in (_REST, _MISSED, _SINCE))
        size = scalars.get(SIZE, math.inf)
        shift = {"elastic_ahead": steps[0] / steps[1] if known > 1 else 0.0}
        if known > 1 and since + 1 < self._every and steps[0] <= _FAR * steps[1]:
            found = yield "bridge", shift
            energy, inexact, since, kept = rest + found["closed"] + found["path"], missed, since + 1, 1.0
        else:
            told = yield from solve(*_ratios(steps))
            found = yield "anchor", shift
            energy, size, kept, since = told["modes_elastic"], told[SIZE], 0.0, 0.0
            missed = abs(energy - (rest + found["closed"] + found["path"])) if known > 1 else 0.0
            rest, inexact = energy - found["closed"], told["inexact_elastic"] + missed
            times = [t, *times][: len(_TIMES)]
        notes = dict.fromkeys(_TIMES, 0.0) | dict(zip(_TIMES, times, strict=False))
        notes |= {_KNOWN: float(len(times)), SIZE: size, _REST: rest, _MISSED: missed, _SINCE: since}
        return {"modes_elastic": energy, "inexact_elastic": inexact, _KEPT: kept, **notes}

    told = (*Iteration.solved, _KEPT, *_TIMES, _KNOWN, _REST, _MISSED, _SINCE)


def _ratios(steps: Sequence[float]) -> tuple[float, float]:
    """Of the first of these steps to the second and of that to the third, 0 where there is none."""
    if len(steps) < 2:
        return 0.0, 0.0
    return steps[0] / steps[1], steps[1] / steps[2] if len(steps) > 2 else 0.0
