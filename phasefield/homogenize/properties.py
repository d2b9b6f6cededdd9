"""Effective properties of an image, each with the evidence that tells how far it can be trusted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..backend.voxel import unpack
from ..errors import NotConverged
from ..images import Image
from ..mechanics import tensors
from ..mechanics.cell import CellProblem
from ..mechanics.loads import Solution
from ..mechanics.phases import MaterialSystem
from ..mechanics.properties import PROPERTIES, STRAINS
from ..mechanics.tensors import Array
from .cells import PropertyVoxels, effective, symmetric, unit
from .estimates import certify, estimates, other_boundaries
from .evidence import evidence, levin, locking, notes, outside, rigid_connections, semidefinite, uncarried
from .problem import Problem
from .propagation import first_order
from .result import Result
from .sensitivity import parameters, strain_sensitivities, tensor_sensitivity, uncertain, wanted
from .settings import Settings

#: Of the numbers: to be raised with every change that makes others of the same image, material and settings, so that what was
#: kept of an earlier program is computed again.
VERSION = 2
#: Change of a volume fraction by sharp interfaces that is told.
_SHIFT = 1e-3

#: Fluctuations of an earlier, similar image by property, see `Result.fluctuations`.
Start = Mapping[str, Sequence[np.ndarray]]


def homogenize(
    image: Image, system: MaterialSystem, settings: Settings | None = None, start: Start | None = None
) -> list[Result]:
    """Effective properties of an image.

    Args:
        start: fluctuations of an earlier, similar image by property, see `Result.fluctuations`; if given, though empty, the
            results carry theirs.

    Raises:
        ConfigError: phases and image do not fit, or a property is missing.
        NotConverged: a solve did not reach its tolerance.
    """
    return results_of(Problem.of(image, system, settings or Settings()), start)


def results_of(problem: Problem, start: Start | None = None) -> list[Result]:
    """The effective properties of a problem; ``start`` and what is raised as for `homogenize`."""
    results: dict[str, Result] = {}
    names = problem.settings.properties
    strains = [n for n in names if n in STRAINS]
    shared: list[np.ndarray] = []
    for name in names:
        if name not in STRAINS:
            results[name], found = _tensor_property(problem, name, start)
            if name == "stiffness" and strains:
                shared = found
    if strains:
        _strain_properties(problem, strains, results, shared)
    if problem.settings.uncertainty != "none" and wanted(problem) and uncertain(problem):
        for result in results.values():
            result.propagation = first_order(result, parameters(problem))
    for note in reversed(notes(problem)):
        for result in results.values():
            result.warnings.insert(0, note)
    return [results[name] for name in names]


def _tensor_property(problem: Problem, name: str, start: Start | None) -> tuple[Result, list[np.ndarray]]:
    """The result, and the fluctuations of its loads where they were kept."""
    settings = problem.settings
    made, loads = PropertyVoxels.of(problem, name), problem.components(name)
    cell = made.cell()
    derived = wanted(problem)
    keep = (start is not None or settings.fields or settings.certify) and problem.boundary != "static"
    raw, solutions = effective(cell, loads, name, (start or {}).get(name), keep or derived)
    tensor = symmetric(raw)
    if cell.voids:
        tensor = semidefinite(tensor, 10 * settings.solver.tolerance)
    result = Result(
        name,
        problem.material.unit(name),
        tensor,
        [s.iterations for s in solutions],
        max(s.hill for s in solutions),
        preconditioner=cell.preconditioner.name,
        components=tuple(loads),
        mean=problem.response(name, tensor),
    )
    found = [s.fluctuation for s in solutions if s.fluctuation is not None]
    if derived:
        result.sensitivity = tensor_sensitivity(made, cell, loads, found, symmetric(raw))
    if start is not None and keep:
        result.fluctuations = found
    if settings.fields and keep:
        _local_fields(result, cell, solutions)
    evidence(result, raw, made)
    result.warnings += uncarried(cell, loads, solutions)
    del cell  # its arrays are as large as those of the solvers to come
    touching = _oddities(result, made)
    if settings.boundary == "all":
        other_boundaries(result, made)
    if settings.certify:
        certify(result, made, [np.asarray(s.fluctuation, float) for s in solutions])
    try:
        estimates(result, made)
    except NotConverged as error:  # no reason to lose the result
        result.warnings.append(f"without all estimates of error: {str(error).splitlines()[0]}")
    if touching and "discretisation" in result.evidence:
        result.evidence["discretisation"] = np.inf
    result.warnings += outside(result, unpack(made.mean), settings.solver.tolerance)
    return result, found


def _local_fields(result: Result, cell: CellProblem, solutions: Sequence[Solution]) -> None:
    """Gradient and flux of the unit loads."""
    prop = PROPERTIES[result.name]
    pairs = zip(solutions, result.components, strict=True)
    kinds = [cell.local_fields(np.asarray(s.fluctuation), unit(cell.size, k)) for s, k in pairs]
    result.fields[prop.gradient] = np.stack([k[0] for k in kinds])
    result.fields[prop.flux] = np.stack([k[1] for k in kinds])


def _oddities(result: Result, made: PropertyVoxels) -> bool:
    """Warns of what is odd about the voxels or the solve; whether rigid voxels touch all through the cell."""
    problem, settings, voxels = made.problem, made.problem.settings, made.voxels
    rigid = made.extreme & (np.trace(made.pure, axis1=1, axis2=2) > 0)
    touching = rigid_connections(voxels, rigid, problem.names, made.size)
    result.warnings += touching
    if result.hill > settings.solver.tolerance:
        result.warnings.append(
            f"rounding keeps the Hill-Mandel balance at {result.hill:.2g}, above solver.tolerance; "
            "use solver.precision=double or a larger tolerance"
        )
    shift = voxels.volume_fractions - problem.voxels.volume_fractions
    if np.abs(shift).max() > _SHIFT:
        worst = int(np.abs(shift).argmax())
        share = f"{problem.names[worst]} {100 * voxels.volume_fractions[worst]:.4g} %"
        result.warnings.append(f"interfaces with voids and rigid phases are sharp, which makes {share} of the voxels")
    if made.size == 6 and not problem.sheet(result.name) and settings.solver.scheme == "q1":
        locking(result, voxels.volume_fractions, made.pure, problem.names)
    return bool(touching)


def _strain_properties(
    problem: Problem, names: Sequence[str], results: dict[str, Result], fluctuations: list[np.ndarray]
) -> None:
    """Effective stress-free strains: the mean stress they cause at zero mean strain, over the effective stiffness.

    Args:
        fluctuations: of the stiffness among the results, if they were kept.
    """
    made = PropertyVoxels.of(problem, "stiffness")
    cell = made.cell()
    known, derived = results.get("stiffness"), wanted(problem)
    if known is None:
        raw, solutions = effective(cell, range(6), "stiffness", keep=derived)
        stiffness = symmetric(raw)
        fluctuations = [np.asarray(s.fluctuation) for s in solutions] if derived else []
    else:
        stiffness = known.tensor
    found = []
    for name in names:
        results[name], solution = _strain_property(made, cell, name, stiffness, derived)
        found.append((name, np.asarray(solution.fluctuation), tensors.from_matrix(results[name].tensor)))
    if derived:
        derivatives = strain_sensitivities(made, cell, fluctuations, stiffness, found)
        for name, values in derivatives.items():
            results[name].sensitivity = values


def _strain_property(
    made: PropertyVoxels, cell: CellProblem, name: str, stiffness: Array, keep: bool
) -> tuple[Result, Solution]:
    problem = made.problem
    strain = problem.strain(name)
    table = made.voxels.stresses(made.pure, strain)
    solution = cell.solve(None, table, keep=keep or problem.settings.fields, name=name)
    vector = -tensors.compliance(stiffness) @ solution.mean
    result = Result(name, problem.material.unit(name), tensors.to_matrix(vector), [solution.iterations], solution.hill)
    result.preconditioner = cell.preconditioner.name
    result.evidence["hill_mandel"] = solution.hill
    result.evidence["distance_isotropic"] = tensors.nearest_isotropic(result.tensor)[1]
    if cell.carried is not None and np.linalg.matrix_rank(cell.carried) < 6:
        result.warnings.append("voids cut the solid: what it does not carry has no such strain, and stands as zero")
    exact = levin(made.voxels.volume_fractions, made.pure, strain, stiffness)
    if exact is not None:
        scale = float(np.abs(strain).max()) or 1.0
        result.evidence["levin"] = float(np.abs(exact - vector).max()) / scale
    if problem.settings.fields and solution.fluctuation is not None:
        local, stress = cell.local_fields(solution.fluctuation, np.zeros(6), table)
        result.fields = {f"{name}_strain": local[None], f"{name}_stress": stress[None]}
    return result, solution
