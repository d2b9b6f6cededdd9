"""Effective properties of an image, each with the evidence that tells how far it can be trusted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..backend.voxel import unpack
from ..errors import ConfigError, NotConverged
from ..images import Voxels
from ..mechanics import tensors
from ..mechanics.cell import CellProblem
from ..mechanics.loads import Load, Solution
from ..mechanics.materials import PROPERTIES, STRAINS, MaterialSystem
from ..mechanics.tensors import Array
from . import bounds
from .assignment import Assignment, assign, resolved
from .certify import lower_bound
from .evidence import (
    crosswise,
    evidence,
    levin,
    locking,
    notes,
    outside,
    remainder,
    rigid_connections,
    semidefinite,
    uncarried,
    varying,
)
from .loads import respond
from .merging import merged, preconditioner
from .mixture import Mixture
from .principal import own_scales
from .reading import Image
from .result import Result
from .settings import Settings

#: Voxels per axis (where anything varies) that an image must have for its grid to be halved.
_FEWEST = 8
#: Change of a volume fraction by sharp interfaces that is told.
_SHIFT = 1e-3
#: Accuracy of the solves that only serve an estimate.
_ROUGH = 1e-4
#: Convergence of the energies of certified bounds, which hold before.
_DUAL = 1e-5


def _for_property(geometry: Voxels, pure: Array, extreme: NDArray[np.bool_], settings: Settings) -> Mixture:
    """Laminates of high contrast merged with their neighbours; under other rules voids and rigid phases have sharp interfaces,
    as their mixtures have no properties.
    """
    if geometry.rule == "laminate":
        return merged(
            Mixture.of(geometry), pure, settings.boundary in ("periodic", "all"), settings.solver.scheme != "rotated"
        )
    return _sharpened(Mixture.of(geometry), extreme)


def _sharpened(voxels: Mixture, extreme: NDArray[np.bool_]) -> Mixture:
    touched = (extreme[voxels.first] | extreme[voxels.second]) & (voxels.first != voxels.second)
    if not touched.any():
        return voxels
    winner = np.where(voxels.fraction >= 0.5, voxels.first, voxels.second)
    target = np.arange(len(voxels.first))
    target[touched] = winner[touched]
    # The entries that nothing refers to any more become pure too, so that none counts as a laminate.
    return replace(
        voxels,
        index=target[voxels.index].astype(voxels.index.dtype),
        first=np.where(touched, winner, voxels.first),
        second=np.where(touched, winner, voxels.second),
        fraction=np.where(touched, 1.0, voxels.fraction),
    )


def _problem(
    voxels: Mixture, table: Array, settings: Settings, tolerance: float | None = None, boundary: str = "periodic"
) -> CellProblem:
    options = settings.solver if tolerance is None else replace(settings.solver, tolerance=tolerance)
    if options.preconditioner == "auto" and boundary == "periodic" and options.scheme != "fourier":
        options = replace(options, preconditioner=preconditioner(voxels, table))
    return CellProblem(voxels.index, table, voxels.spacing, options, voxels.cut, boundary)


def _loads(size: int, axes: Sequence[int]) -> list[int]:
    """Component numbers of the loads within some axes."""
    return [k for k, pair in enumerate(tensors.PAIRS) if set(pair) <= set(axes)] if size == 6 else list(axes)


def _components(name: str, settings: Settings, shape: Sequence[int]) -> list[int]:
    """Component numbers of a property's unit loads: of tractions only those on faces that the image has."""
    elastic = PROPERTIES[name].order == 4
    axes = varying(shape) if settings.boundary == "static" else [0, 1, 2]
    if settings.plane == "stress" and elastic and len(shape) == 2:
        axes = [d for d in axes if d < 2]
    return _loads(6 if elastic else 3, axes)


def _unit(size: int, load: int) -> Array:
    out = np.zeros(size)
    out[load] = 1.0
    return out


def _effective(
    problem: CellProblem,
    loads: Sequence[int],
    name: str,
    start: Sequence[np.ndarray] | None = None,
    keep: bool = False,
) -> tuple[Array, list[Solution]]:
    """The effective tensor, one column per load, as it comes (not symmetrised); rows of loads that are not carried are zero."""
    names = tensors.NAMES if problem.elastic else tensors.AXES
    unit = [
        Load(_unit(problem.size, load), start=start[at] if start else None, name=f"{name} {names[load]}")
        for at, load in enumerate(loads)
    ]
    solutions = problem.solve_all(unit, keep)
    out = np.zeros((problem.size, problem.size))
    out[:, list(loads)] = np.stack([s.mean for s in solutions], axis=1)
    own_scales(problem, loads, name, out, solutions)
    if problem.carried is not None:
        out = out @ problem.carried
    free = [load for load, s in zip(loads, solutions, strict=True) if not s.carried]
    if problem.boundary != "static":
        out[free] = 0.0
    return out, solutions


def _tables(voxels: Mixture, pure: Array, plane_stress: bool) -> Array:
    """Constants of the entries, see `pack`; under plane stress those of the sheet.

    Every phase is condensed before mixing: the stress along z vanishes in each of them, not only in their mean.
    """
    if plane_stress and pure.shape[-1] == 6:
        pure = tensors.embed_plane(tensors.plane_stress(pure))
    return voxels.packed(pure)


def prepared(image: Image, system: MaterialSystem, settings: Settings) -> Assignment:
    """The phases of an image, after all complaints that need no solve; only its kind, levels and number of axes matter.

    Raises:
        ConfigError: phases and image do not fit, a property is missing, or settings are not for such an image.
    """
    dim = len(image.shape)
    if settings.plane == "stress" and dim != 2:
        problem = f"is stress, which is for images of two axes, but {image.source} has {dim}"
        raise ConfigError("plane", problem, "leave it out")
    image = resolved(image, system, settings)
    assignment = assign(image, system, settings)
    for name in settings.properties:
        if name in STRAINS and settings.plane == "stress":
            raise ConfigError("plane", f"is stress, for which {name} is not available", "use plane=strain")
        needed = ("stiffness", name) if name in STRAINS else (name,)
        for each in needed:
            assignment.strain(each) if each in STRAINS else assignment.pure(each)
        unit = np.eye(6 if PROPERTIES[name].order == 4 else 3)
        respond(settings.load, PROPERTIES[name], unit, _components(name, settings, image.shape), system.united)
    return assignment


def homogenize(
    image: Image,
    system: MaterialSystem,
    settings: Settings | None = None,
    start: Mapping[str, Sequence[np.ndarray]] | None = None,
) -> list[Result]:
    """Effective properties of an image.

    Args:
        start: fluctuations of an earlier, similar image by property, see `Result.fluctuations`; if given, though empty, the
            results carry theirs.

    Raises:
        ConfigError: phases and image do not fit, or a property is missing.
        NotConverged: a solve did not reach its tolerance.
    """
    settings = settings or Settings()
    image = resolved(image, system, settings)
    assignment = prepared(image, system, settings)
    geometry = image.voxels(settings.voxel)
    results: dict[str, Result] = {}
    for name in settings.properties:
        if name not in STRAINS:
            results[name] = _tensor_property(image, geometry, assignment, name, settings, start)
    strains = [n for n in settings.properties if n in STRAINS]
    if strains:
        _strain_properties(geometry, assignment, strains, settings, results)
    for note in reversed(notes(image, geometry.volume_fractions, assignment)):
        for result in results.values():
            result.warnings.insert(0, note)
    return [results[name] for name in settings.properties]


def _tensor_property(
    image: Image,
    geometry: Voxels,
    assignment: Assignment,
    name: str,
    settings: Settings,
    start: Mapping[str, Sequence[np.ndarray]] | None,
) -> Result:
    pure, extreme = assignment.pure(name)
    sheet = settings.plane == "stress" and len(image.shape) == 2
    boundary = "periodic" if settings.boundary == "all" else settings.boundary
    voxels = _for_property(geometry, pure, extreme, settings)
    table = _tables(voxels, pure, sheet)
    problem = _problem(voxels, table, settings, boundary=boundary)
    loads = _components(name, settings, image.shape)
    keep = (start is not None or settings.fields or settings.certify) and boundary != "static"
    raw, solutions = _effective(problem, loads, name, (start or {}).get(name), keep)
    raw = _stiff(raw, loads, boundary)
    tensor = (raw + raw.T) / 2
    if problem.voids:
        tensor = semidefinite(tensor, 10 * settings.solver.tolerance)
    result = Result(
        name,
        assignment.system.unit(name),
        tensor,
        [s.iterations for s in solutions],
        max(s.hill for s in solutions),
        preconditioner=problem.preconditioner.name,
        components=tuple(loads),
        mean=respond(settings.load, PROPERTIES[name], tensor, loads, assignment.system.united),
    )
    if start is not None:
        result.fluctuations = [s.fluctuation for s in solutions if s.fluctuation is not None]
    if settings.fields and keep:
        pairs = zip(solutions, loads, strict=True)
        kinds = [problem.local_fields(np.asarray(s.fluctuation), _unit(problem.size, k)) for s, k in pairs]
        result.fields[PROPERTIES[name].gradient] = np.stack([k[0] for k in kinds])
        result.fields[PROPERTIES[name].flux] = np.stack([k[1] for k in kinds])
    evidence(result, raw, voxels, pure, sheet, loads)
    result.warnings += uncarried(problem, loads, solutions)
    rigid = extreme & (np.trace(pure, axis1=1, axis2=2) > 0)
    touching = rigid_connections(voxels, rigid, assignment.names(image), problem.size)
    result.warnings += touching
    if result.hill > settings.solver.tolerance:
        result.warnings.append(
            f"rounding keeps the Hill-Mandel balance at {result.hill:.2g}, above solver.tolerance; "
            "use solver.precision=double or a larger tolerance"
        )
    elastic = problem.elastic
    del problem  # its arrays are as large as those of the solvers to come
    shift = voxels.volume_fractions - geometry.volume_fractions
    if np.abs(shift).max() > _SHIFT:
        worst = int(np.abs(shift).argmax())
        share = f"{assignment.names(image)[worst]} {100 * voxels.volume_fractions[worst]:.4g} %"
        result.warnings.append(f"interfaces with voids and rigid phases are sharp, which makes {share} of the voxels")
    if elastic and not sheet and settings.solver.scheme == "q1":
        locking(result, voxels.volume_fractions, pure, assignment.names(image))
    if settings.boundary == "all":
        _others(result, voxels, table, settings, _loads(len(raw), varying(image.shape)))
    if settings.certify:
        fluctuations = [np.asarray(s.fluctuation, float) for s in solutions]
        _certify(result, voxels, table, settings, fluctuations)
    try:
        _estimates(result, image, voxels, assignment, settings, sheet, extreme, loads)
    except NotConverged as error:  # no reason to lose the result
        result.warnings.append(f"without all estimates of error: {str(error).splitlines()[0]}")
    if touching and "discretisation" in result.evidence:
        result.evidence["discretisation"] = np.inf
    result.warnings += outside(result, unpack(voxels.counts / voxels.index.size @ table))
    return result


def _certify(
    result: Result, voxels: Mixture, table: Array, settings: Settings, fluctuations: Sequence[np.ndarray]
) -> None:
    """Bounds of the effective tensor of the voxels as they are, each with the one tensor of its entry."""
    loads = list(result.components)
    block = np.ix_(loads, loads)
    # All Gauss points everywhere: with one, as cut voxels have in the solution, the energy would be no bound.
    options = replace(
        settings.solver,
        scheme="q1",
        precision="double",
        preconditioner="green",
        tolerance=max(settings.solver.tolerance, _DUAL),
    )
    whole = CellProblem(voxels.index, table, voxels.spacing, options)
    upper = np.zeros_like(result.tensor)
    # Fields of one Gauss point hold modes that cost nothing there, but energy here.
    better = [Load(_unit(whole.size, k), start=f) for k, f in zip(loads, fluctuations, strict=True)]
    fluctuations = [np.asarray(s.fluctuation, float) for s in whole.solve_all(better, keep=True)]
    upper[block] = whole.energy(fluctuations, np.eye(whole.size)[loads])
    lower = lower_bound(voxels.index, unpack(table), voxels.spacing, loads, max(settings.solver.tolerance, _DUAL))
    result.certified = {"lower": lower, "upper": upper}
    bounded = bool(lower.any())
    gap = np.linalg.eigvals(np.linalg.solve(upper[block], upper[block] - lower[block])).real.max() if bounded else 1.0
    result.evidence["certified_gap"] = float(gap)
    if not bounded:
        result.warnings.append("there are voxels that resist nothing: the lower bound is zero")


def _stiff(raw: Array, loads: Sequence[int], boundary: str) -> Array:
    """Of uniform tractions the answer is a compliance: its inverse, on the components that were loaded."""
    if boundary != "static":
        return raw
    block = np.ix_(loads, loads)
    out = np.zeros_like(raw)
    out[block] = tensors.compliance((raw[block] + raw[block].T) / 2)
    return out


def _others(result: Result, voxels: Mixture, table: Array, settings: Settings, loads: Sequence[int]) -> None:
    """The tensors of uniform strain and uniform traction, which lie around the periodic one on the same voxels."""

    def tensor(boundary: str) -> Array:
        problem = _problem(voxels, table, settings, boundary=boundary)
        raw, solutions = _effective(problem, loads, f"{result.name} ({boundary})")
        raw = _stiff(raw, loads, boundary)
        result.hill = max(result.hill, *(s.hill for s in solutions))
        return np.asarray((raw + raw.T) / 2)

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
        if margin < -10 * settings.solver.tolerance:
            result.warnings.append(f"the order {name.replace('_', ' >= ')} is violated by {-margin:.2g}")


def _estimates(
    result: Result,
    image: Image,
    voxels: Mixture,
    assignment: Assignment,
    settings: Settings,
    sheet: bool,
    extreme: NDArray[np.bool_],
    loads: Sequence[int],
) -> None:
    """Discretisation error from grids of a half and a quarter of the voxels per axis; spread between mixing rules.

    The error is that of the load that feels it most: the norm of the tensor would hide the plane behind a stiff axis z.
    """
    norm = float(np.linalg.norm(result.tensor)) or 1.0
    block = np.ix_(loads, loads)
    part = result.tensor[block]
    pure, _ = assignment.pure(result.name)

    def again(other: Image, rule: str, tolerance: float) -> Array:
        boundary = "periodic" if settings.boundary == "all" else settings.boundary
        made = _for_property(other.voxels(rule), pure, extreme, settings)
        problem = _problem(made, _tables(made, pure, sheet), settings, tolerance, boundary)
        raw, _ = _effective(problem, loads, f"{result.name} (estimate)")
        raw = _stiff(raw, loads, boundary)
        return np.asarray((raw + raw.T) / 2)

    if settings.two_grid and _fewest(image) >= _FEWEST:
        tolerance = max(settings.solver.tolerance, 1e-6)
        half = image.coarse()
        result.coarse = again(half, settings.voxel, tolerance)
        quarter = again(half.coarse(), settings.voxel, tolerance) if _fewest(half) >= _FEWEST else None
        result.evidence["discretisation"] = remainder(
            part, result.coarse[block], None if quarter is None else quarter[block], crosswise(voxels, pure)
        )
    if settings.mixing and image.kind == "field" and image.diffuse and extreme[[0, 1]].any():
        result.evidence["mixing_spread"] = np.nan  # mixtures with voids and rigid phases have no properties
    elif settings.mixing and image.kind == "field" and image.diffuse:
        naive = "laminate" if settings.voxel == "arithmetic" else "arithmetic"
        other = again(image, naive, max(settings.solver.tolerance, _ROUGH))
        result.evidence["mixing_spread"] = float(np.linalg.norm(result.tensor - other)) / norm
        if result.evidence["mixing_spread"] > 0.2:
            result.warnings.append("the interfaces are wide: mixing rules differ by more than 20 %")


def _fewest(image: Image) -> int:
    """Voxels along the shortest axis that anything varies along."""
    return min((image.shape[d] for d in varying(image.shape)), default=0)


def _strain_properties(
    geometry: Voxels,
    assignment: Assignment,
    names: Sequence[str],
    settings: Settings,
    results: dict[str, Result],
) -> None:
    """Effective stress-free strains: the mean stress they cause at zero mean strain, over the effective stiffness."""
    pure, extreme = assignment.pure("stiffness")
    voxels = _for_property(geometry, pure, extreme, settings)
    problem = _problem(voxels, voxels.packed(pure), settings)
    if "stiffness" in results:
        stiffness = results["stiffness"].tensor
    else:
        raw, _ = _effective(problem, range(6), "stiffness")
        stiffness = (raw + raw.T) / 2
    for name in names:
        strain = assignment.strain(name)
        table = voxels.stresses(pure, strain)
        solution = problem.solve(None, table, keep=settings.fields, name=name)
        vector = -tensors.compliance(stiffness) @ solution.mean
        unit = assignment.system.unit(name)
        result = Result(name, unit, tensors.to_matrix(vector), [solution.iterations], solution.hill)
        result.preconditioner = problem.preconditioner.name
        result.evidence["hill_mandel"] = solution.hill
        result.evidence["distance_isotropic"] = tensors.nearest_isotropic(result.tensor)[1]
        if problem.carried is not None and np.linalg.matrix_rank(problem.carried) < 6:
            result.warnings.append("voids cut the solid: what it does not carry has no such strain, and stands as zero")
        exact = levin(voxels.volume_fractions, pure, strain, stiffness)
        if exact is not None:
            scale = float(np.abs(strain).max()) or 1.0
            result.evidence["levin"] = float(np.abs(exact - vector).max()) / scale
        if settings.fields and solution.fluctuation is not None:
            local, stress = problem.local_fields(solution.fluctuation, np.zeros(6), table)
            result.fields = {f"{name}_strain": local[None], f"{name}_stress": stress[None]}
        results[name] = result
