"""What other solves tell of a result: other grids and mixing rules, other boundary conditions, certified bounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..backend.voxel import unpack
from ..mechanics.cell import CellProblem
from ..mechanics.loads import Load
from ..mechanics.tensors import Array
from . import bounds, unresolved
from .cells import PropertyVoxels, effective, symmetric, unit
from .certify import lower_bound
from .evidence import crosswise, remainder
from .problem import Problem, components_within
from .result import Result

#: Voxels per axis (where anything varies) that an image must have for its grid to be halved.
_FEWEST = 8
#: Accuracy of the solves that only serve an estimate.
_ROUGH = 1e-4
#: Convergence of the energies of certified bounds, which hold before.
_DUAL = 1e-5


def other_boundaries(result: Result, made: PropertyVoxels) -> None:
    """The tensors of uniform strain and uniform traction, which lie around the periodic one on the same voxels."""
    loads = components_within(made.problem.axes, made.size)

    def tensor(boundary: str) -> Array:
        raw, solutions = effective(made.cell(boundary=boundary), loads, f"{result.name} ({boundary})")
        result.hill = max(result.hill, *(s.hill for s in solutions))
        return symmetric(raw)

    static = tensor("static")  # first, because it may have no answer
    result.boundary = {"kinematic": tensor("kinematic"), "static": static}
    result.faces = tuple(loads)
    block = np.ix_(loads, loads)
    result.evidence["boundary_gap"] = bounds.energy_difference(
        result.boundary["static"][block], result.boundary["kinematic"][block]
    )
    assert result.voigt is not None
    assert result.reuss is not None
    chain = [result.voigt, result.boundary["kinematic"], result.tensor, result.boundary["static"], result.reuss]
    names = ("voigt_kinematic", "kinematic_periodic", "periodic_static", "static_reuss")
    for name, upper, lower in zip(names, chain, chain[1:], strict=False):
        margin = bounds.loewner_margin(upper[block], lower[block])
        result.evidence[f"margin_{name}"] = margin
        if margin < -10 * made.problem.settings.solver.tolerance:
            result.warnings.append(f"the order {name.replace('_', ' >= ')} is violated by {-margin:.2g}")


def certify(result: Result, made: PropertyVoxels, fluctuations: Sequence[np.ndarray]) -> None:
    """Bounds of the effective tensor of the voxels as they are, each with the one tensor of its entry.

    Args:
        fluctuations: of the unit loads, or about.
    """
    loads, voxels = list(result.components), made.voxels
    block = np.ix_(loads, loads)
    # All Gauss points everywhere: with one, as cut voxels have in the solution, the energy would be no bound.
    solver = made.problem.settings.solver
    tolerance = max(solver.tolerance, _DUAL)
    options = replace(solver, scheme="q1", precision="double", preconditioner="green", tolerance=tolerance)
    whole = CellProblem(voxels.index, made.table, voxels.spacing, options)
    upper = np.zeros_like(result.tensor)
    # Fields of one Gauss point hold modes that cost nothing there, but energy here.
    better = [Load(unit(whole.size, k), start=f) for k, f in zip(loads, fluctuations, strict=True)]
    fluctuations = [np.asarray(s.fluctuation, float) for s in whole.solve_all(better, keep=True)]
    upper[block] = whole.energy(fluctuations, np.eye(whole.size)[loads])
    lower = lower_bound(voxels.index, unpack(made.table), voxels.spacing, loads, tolerance)
    result.certified = {"lower": lower, "upper": upper}
    bounded = bool(lower.any())
    gap = np.linalg.eigvals(np.linalg.solve(upper[block], upper[block] - lower[block])).real.max() if bounded else 1.0
    result.evidence["certified_gap"] = float(gap)
    if not bounded:
        result.warnings.append("there are voxels that resist nothing: the lower bound is zero")


def estimates(result: Result, made: PropertyVoxels) -> None:
    """Discretisation error from grids of a half and a quarter of the voxels per axis, and where these do not show it from other
    elements on the same voxels (`unresolved`); spread between mixing rules.

    The error is that of the load that feels it most: the norm of the tensor would hide the plane behind a stiff axis z.
    """
    problem, loads = made.problem, list(result.components)
    settings, image = problem.settings, problem.image
    norm = float(np.linalg.norm(result.tensor)) or 1.0
    block = np.ix_(loads, loads)

    def again(other: Problem, tolerance: float, rule: str | None = None) -> Array:
        cell = PropertyVoxels.of(other, result.name, rule).cell(tolerance)
        return made.voxels.planes.first(symmetric(effective(cell, loads, f"{result.name} (estimate)")[0]))

    if settings.two_grid and _fewest(problem) >= _FEWEST:
        tolerance = max(settings.solver.tolerance, 1e-6)
        half = problem.coarse()
        result.coarse = again(half, tolerance)
        quarter = again(half.coarse(), tolerance) if _fewest(half) >= _FEWEST else None
        slowest = crosswise(made.voxels, made.pure)
        e = result.evidence
        e["discretisation"] = remainder(
            result.tensor[block],
            result.coarse[block],
            None if quarter is None else quarter[block],
            slowest,
        )
        chord = unresolved.mean_chord(made.voxels)
        elements = unresolved.uncertainty(made, result.tensor, loads, slowest, chord)
        if chord < unresolved.NOISE:
            e["discretisation"] = elements
            result.warnings.append(
                f"the structure is as fine as the voxels (mean chord {chord:.2g} of them): their uncertainty is that of the "
                "voxels as they are, not of what a finer image would show"
            )
        else:
            e["discretisation"] = max(e["discretisation"], elements)
    if settings.mixing and image.kind == "field" and image.diffuse and made.extreme[[0, 1]].any():
        result.evidence["mixing_spread"] = np.nan  # mixtures with voids and rigid phases have no properties
    elif settings.mixing and image.kind == "field" and image.diffuse:
        naive = "laminate" if settings.voxel == "arithmetic" else "arithmetic"
        other = again(problem, max(settings.solver.tolerance, _ROUGH), naive)
        result.evidence["mixing_spread"] = float(np.linalg.norm(result.tensor - other)) / norm
        if result.evidence["mixing_spread"] > 0.2:
            result.warnings.append("the interfaces are wide: mixing rules differ by more than 20 %")


def _fewest(problem: Problem) -> int:
    """Voxels along the shortest axis that anything varies along."""
    return min((problem.image.shape[d] for d in problem.axes), default=0)
