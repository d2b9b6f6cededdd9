"""Principal loads: each solved to its own scale where the unit loads it is a sum of are much stronger."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..mechanics import tensors
from ..mechanics.cell import CellProblem
from ..mechanics.loads import Load, Solution
from ..mechanics.tensors import Array

#: What the errors of unit loads may add up to in a principal load, over its energy, before it is solved for itself; in
#: isotropic materials it is 5 at nu = 0.3 and 14 at 0.45.
_CANCELLED = 20.0


def own_scales(cell: CellProblem, loads: Sequence[int], name: str, out: Array, solutions: Sequence[Solution]) -> None:
    """Solves for the principal loads that are much weaker than the unit loads they are sums of, and puts them into ``out``.

    The answer to a unit load has the tolerance relative to its own size, and so has the sum of some: of what nearly cancels in
    it, as the conductivity across inclined layers, little is left. Its own solve stops relative to its own size.
    """
    block = np.ix_(loads, loads)
    whole = (out[block] + out[block].T) / 2
    values, vectors = np.linalg.eigh(whole)
    # What the errors of the unit loads may add up to, over the energy.
    most = (np.abs(vectors.T) @ np.sqrt(np.abs(np.diagonal(whole)))) ** 2
    weak = (values > 1e-12 * values[-1]) & (most > _CANCELLED * values)
    if not weak.any():
        return
    own, rest = vectors.T[weak], vectors.T[~weak]
    full = np.zeros((len(own), cell.size))
    full[:, list(loads)] = own
    titles = tensors.NAMES if cell.elastic else tensors.AXES
    again = cell.solve_all(
        [
            Load(
                v,
                start=_start(v[list(loads)], solutions),
                name=f"{name} (weak load, most {titles[int(np.abs(v).argmax())]})",
            )
            for v in full
        ]
    )
    basis = np.concatenate([own, rest])
    turned = basis @ np.array([*(s.mean[list(loads)] for s in again), *(out[block] @ v for v in rest)]).T
    # Of two answers to one pair of loads the one of the weaker load is closer.
    few = len(own)
    turned[:few, few:] = turned[few:, :few].T
    out[block] = basis.T @ turned @ basis
    for vector, solution in zip(own, again, strict=True):
        solutions[int(np.abs(vector).argmax())].iterations += solution.iterations


def _start(weights: Array, solutions: Sequence[Solution]) -> np.ndarray | None:
    """The fluctuation of a sum of loads, where those of its parts were kept."""
    if any(s.fluctuation is None for s in solutions):
        return None
    return np.asarray(sum(w * s.fluctuation for w, s in zip(weights, solutions, strict=True)))
