"""Effective properties of an image, each with the evidence that tells how far it can be trusted."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..backend.voxel import unpack
from ..errors import ConfigError
from . import bounds, tensors
from .certify import lower_bound
from .grains import Grains, match, read_grains
from .image import Image, two_levels
from .loads import MeanFields, respond
from .materials import PROPERTIES, STRAINS, MaterialSystem
from .settings import Settings
from .solver import CellProblem, Solution
from .tensors import Array
from .voxels import Voxels

log = logging.getLogger("phasefield")

#: Stiffness of rigid phases over that of the stiffest other one; the result is off by about its inverse.
RIGID = 1e6
#: K/G (nu = 0.49) from which trilinear elements answer too stiffly: with 2x2x2 Gauss points they cannot keep their volume.
_LOCKING = 50.0
#: Voxels per axis (where anything varies) that an image must have for its grid to be halved.
_FEWEST = 8
_TWO_GRAINS = "the material has one phase: the two phases of the field are taken for two grains of random orientation"
#: Change of a volume fraction by sharp interfaces that is told.
_SHIFT = 1e-3
#: Accuracy of the solves that only serve an estimate.
_ROUGH = 1e-4
#: Convergence of the energy of the lower bounds, which hold before.
_DUAL = 1e-5


@dataclass
class Result:
    """One effective property.

    Attributes:
        tensor: (6, 6) Mandel stiffness (its plane block is the only part that is not zero under plane stress), or (3, 3).
        iterations, hill: per load. evidence: named numbers, see `_evidence`. bounds: named pairs lower, upper.
        fields: local fields by name, (loads, components, ...). fluctuations: of every load, to start the next solve from.
        components: numbers of the unit loads. mean: under the load of the settings. certified: lower and upper bound,
        see `certify`. boundary: tensors under other boundary conditions by name, of the components ``faces``.
    """

    name: str
    unit: str
    tensor: Array
    iterations: list[int]
    hill: float
    evidence: dict[str, float] = field(default_factory=dict)
    bounds: dict[str, tuple[float, float]] = field(default_factory=dict)
    moduli: dict[str, float] = field(default_factory=dict)
    voigt: Array | None = None
    reuss: Array | None = None
    coarse: Array | None = None
    fields: dict[str, Array] = field(default_factory=dict)
    fluctuations: list[np.ndarray] = field(default_factory=list)
    preconditioner: str = ""
    boundary: dict[str, Array] = field(default_factory=dict)
    faces: tuple[int, ...] = ()
    warnings: list[str] = field(default_factory=list)
    components: tuple[int, ...] = ()
    mean: MeanFields | None = None
    certified: dict[str, Array] = field(default_factory=dict)


NDArrayBool = Any


def computed(tensor: Array, components: Sequence[int]) -> Array:
    """A tensor with NaN for the components that were not computed, of a sheet those out of its plane.

    Args:
        components: numbers of those that were; all if there are none.
    """
    if not components:
        return tensor
    out = np.full(tensor.shape, np.nan)
    block = np.ix_(components, components)
    out[block] = tensor[block]
    return out


# -- phases ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Assignment:
    """Which material phase (and rotation) every phase of the image is; notes: on what that means, where it may surprise."""

    system: MaterialSystem
    phase: tuple[int, ...]
    rotations: Array | None = None
    notes: tuple[str, ...] = ()

    @property
    def turns(self) -> Array:
        """Rotation of the crystals of every phase of the image, (phases, 3, 3)."""
        if self.rotations is not None:
            return self.rotations
        own = [self.system.phases[k].rotation for k in self.phase]
        return np.stack([np.eye(3) if r is None else r for r in own])

    def names(self, image: Image) -> list[str]:
        """What to call the phases of the image: by their names, grains by their labels besides."""
        names = [self.system.phases[k].name for k in self.phase]
        if len(set(names)) == len(names):
            return names
        return [f"{name} in grain {label:g}" for name, label in zip(names, image.labels, strict=True)]

    def pure(self, name: str) -> tuple[Array, NDArrayBool]:
        """Tensors of the image's phases, (phases, n, n), and which of them are void or rigid."""
        n = 6 if PROPERTIES[name].order == 4 else 3
        values = []
        for number, phase in enumerate(self.phase):
            turn = None if self.rotations is None else self.rotations[number]
            values.append(self.system.phases[phase].tensor(name, turn))
        extreme = np.array([isinstance(v, float) for v in values])
        known = [v for v in values if not isinstance(v, float)]
        stiffest = max(known, key=np.trace, default=np.eye(n))
        out = np.zeros((len(values), n, n))
        for number, value in enumerate(values):
            if not isinstance(value, float):
                out[number] = value
            elif value > 0:
                out[number] = RIGID * stiffest
        return out, extreme

    def strain(self, name: str) -> Array:
        """Stress-free strains (phases, 6) Mandel; zero for voids."""
        out = np.zeros((len(self.phase), 6))
        for number, phase in enumerate(self.phase):
            entry = self.system.phases[phase]
            if isinstance(entry.values.get("stiffness"), float) and name not in entry.values:
                continue
            turn = None if self.rotations is None else self.rotations[number]
            out[number] = tensors.from_matrix(np.asarray(entry.tensor(name, turn)))
        return out


def assign(image: Image, system: MaterialSystem, settings: Settings) -> Assignment:
    """Matches the image's phases with those of the material: by the table of grains, by their level, else in order; one phase
    makes a polycrystal.

    Raises:
        ConfigError: the numbers do not fit.
    """
    count, known = image.phases, len(system.phases)
    bare = [p.name for p in system.phases if p.level is None]
    if len(bare) < known and image.kind == "fields":
        raise ConfigError(
            "material.phases",
            "has levels, which are values of one field, but the image has several fields",
            "leave level out and give the phases in the order of the fields",
        )
    if 0 < len(bare) < known:
        raise ConfigError("material.phases", f"has no level for {', '.join(bare)}, but for others", "give all or none")
    if settings.grains is not None:
        grains = settings.grains if isinstance(settings.grains, Grains) else read_grains(str(settings.grains))
        return Assignment(system, *match(grains, image.labels, system, settings.seed))
    if image.kind == "labels" and image.names:
        by_level = {f"{p.level:g}": i for i, p in enumerate(system.phases) if p.level is not None}
        if by_level:
            missing = [n for n in image.names if f"{float(n):g}" not in by_level]
            if missing:
                raise ConfigError(
                    "material.phases",
                    f"has no phase with the level {missing[0]}, which is in the image",
                    f"levels: {', '.join(by_level)}; values of the image: {', '.join(image.names[:20])}",
                )
            return Assignment(system, tuple(by_level[f"{float(n):g}"] for n in image.names))
        numbers = [float(n) for n in image.names]
        if known > 1 and count < known and all(v == int(v) and 0 <= v < known for v in numbers):
            return Assignment(system, tuple(int(v) for v in numbers))
    if count == known:
        order = range(known)
        if image.kind == "field" and all(p.level is not None for p in system.phases):
            order = sorted(range(known), key=lambda i: abs((system.phases[i].level or 0.0) - image.levels[0]))  # type: ignore[assignment]
        return Assignment(system, tuple(order))
    if known == 1:
        notes = (_TWO_GRAINS,) if image.kind == "field" else ()
        return Assignment(system, *match(None, image.labels, system, settings.seed), notes)
    what = {"labels": f"{count} different values", "field": "two phases", "fields": f"{count} fields"}[image.kind]
    hint = (
        "give as many phases as the image has, in the order of its values, one phase for a polycrystal, or grains=FILE"
    )
    if image.kind == "labels" and known == 2 < count:
        low, high = two_levels(np.array(image.labels)[image.values])
        hint += f"; if the values are grey levels of two phases, give theirs, as in levels=[{low:.4g},{high:.4g}]"
    raise ConfigError(
        "material.phases",
        f"has {known} phases ({', '.join(p.name for p in system.phases)}), but the image has {what}",
        hint,
    )


# -- one property ------------------------------------------------------------------------------------------------------


def _sharpened(voxels: Voxels, extreme: NDArrayBool) -> Voxels:
    """Interfaces with void or rigid phases made sharp: a laminate of unbounded contrast is beyond any preconditioner."""
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
    voxels: Voxels, table: Array, settings: Settings, tolerance: float | None = None, boundary: str = "periodic"
) -> CellProblem:
    options = settings.solver if tolerance is None else replace(settings.solver, tolerance=tolerance)
    return CellProblem(voxels.index, table, voxels.spacing, options, voxels.cut, boundary)


def _loads(size: int, axes: Sequence[int]) -> list[int]:
    """Component numbers of the loads within some axes."""
    return [k for k, pair in enumerate(tensors.PAIRS) if set(pair) <= set(axes)] if size == 6 else list(axes)


def _varying(shape: Sequence[int]) -> list[int]:
    """The axes that anything varies along."""
    return [d for d, n in enumerate(shape) if n > 1]


def _components(name: str, settings: Settings, shape: Sequence[int]) -> list[int]:
    """Component numbers of a property's unit loads: of tractions only those on faces that the image has."""
    elastic = PROPERTIES[name].order == 4
    axes = _varying(shape) if settings.boundary == "static" else [0, 1, 2]
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
    watch: Callable[[str, int, float], None] | None = None,
) -> tuple[Array, list[Solution]]:
    """The effective tensor, one column per load, as it comes (not symmetrised); rows of loads that are not carried are zero."""
    out = np.zeros((problem.size, problem.size))
    solutions = []
    for position, load in enumerate(loads):
        label = f"{name} {(tensors.NAMES if problem.elastic else tensors.AXES)[load]}"
        tell = (lambda k, e, label=label: watch(label, k, e)) if watch else None
        first = None if not start else start[position]
        solution = problem.solve(_unit(problem.size, load), None, first, keep, label, tell)
        out[:, load] = solution.mean
        solutions.append(solution)
    if problem.carried is not None:
        out = out @ problem.carried
    free = [load for load, s in zip(loads, solutions, strict=True) if not s.carried]
    if problem.boundary != "static":
        out[free] = 0.0
    return out, solutions


def _tables(voxels: Voxels, pure: Array, plane_stress: bool) -> Array:
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
    watch: Callable[[str, int, float], None] | None = None,
) -> list[Result]:
    """Effective properties of an image.

    Args:
        start: fluctuations of an earlier, similar image by property, see `Result.fluctuations`; if given, though empty, the
            results carry theirs.
        watch: called with the load, the iteration and the change of the property.

    Raises:
        ConfigError: phases and image do not fit, or a property is missing.
        NotConverged: a solve did not reach its tolerance.
    """
    settings = settings or Settings()
    assignment = prepared(image, system, settings)
    geometry = image.voxels(settings.voxel)
    results: dict[str, Result] = {}
    for name in settings.properties:
        if name not in STRAINS:
            results[name] = _tensor_property(image, geometry, assignment, name, settings, start, watch)
    strains = [n for n in settings.properties if n in STRAINS]
    if strains:
        _strain_properties(geometry, assignment, strains, settings, results, watch)
    for note in reversed(_notes(image, geometry.volume_fractions, assignment)):
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
    watch: Callable[[str, int, float], None] | None,
) -> Result:
    pure, extreme = assignment.pure(name)
    sheet = settings.plane == "stress" and len(image.shape) == 2
    voxels = _sharpened(geometry, extreme)
    boundary = "periodic" if settings.boundary == "all" else settings.boundary
    problem = _problem(voxels, _tables(voxels, pure, sheet), settings, boundary=boundary)
    loads = _components(name, settings, image.shape)
    keep = (start is not None or settings.fields or settings.certify) and boundary != "static"
    raw, solutions = _effective(problem, loads, name, (start or {}).get(name), keep, watch)
    raw = _stiff(raw, loads, boundary)
    tensor = (raw + raw.T) / 2
    if problem.voids:
        tensor = _semidefinite(tensor, 10 * settings.solver.tolerance)
    result = Result(
        name,
        assignment.system.unit(name),
        tensor,
        [s.iterations for s in solutions],
        max(s.hill for s in solutions),
        preconditioner=problem.preconditioner,
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
    _evidence(result, raw, voxels, pure, sheet, loads, len(image.shape))
    result.warnings += _uncarried(problem, loads, solutions)
    shift = voxels.volume_fractions - geometry.volume_fractions
    if np.abs(shift).max() > _SHIFT:
        worst = int(np.abs(shift).argmax())
        share = f"{assignment.names(image)[worst]} {100 * voxels.volume_fractions[worst]:.4g} %"
        result.warnings.append(f"interfaces with voids and rigid phases are sharp, which makes {share} of the voxels")
    if problem.elastic and not sheet and settings.solver.scheme == "q1":
        _locking(result, voxels.volume_fractions, pure, assignment.names(image))
    if settings.boundary == "all":
        _others(result, voxels, _tables(voxels, pure, sheet), settings, _loads(problem.size, _varying(image.shape)))
    if settings.certify:
        fluctuations = [np.asarray(s.fluctuation, float) for s in solutions]
        _certify(result, voxels, _tables(voxels, pure, sheet), settings, fluctuations)
    _estimates(result, image, assignment, settings, sheet, extreme, loads)
    return result


def _certify(
    result: Result, voxels: Voxels, table: Array, settings: Settings, fluctuations: Sequence[np.ndarray]
) -> None:
    """Bounds of the effective tensor of the voxels as they are, each with the one tensor of its entry."""
    loads = list(result.components)
    block = np.ix_(loads, loads)
    # All Gauss points everywhere: with one, as cut voxels have in the solution, the energy would be no bound.
    options = replace(settings.solver, scheme="q1", precision="double", preconditioner="green")
    whole = CellProblem(voxels.index, table, voxels.spacing, options)
    upper = np.zeros_like(result.tensor)
    upper[block] = whole.energy(fluctuations, np.eye(whole.size)[loads])
    lower = lower_bound(voxels.index, unpack(table), voxels.spacing, loads, max(settings.solver.tolerance, _DUAL))
    result.certified = {"lower": lower, "upper": upper}
    bounded = bool(lower.any())
    gap = np.linalg.eigvals(np.linalg.solve(upper[block], upper[block] - lower[block])).real.max() if bounded else 1.0
    result.evidence["certified_gap"] = float(gap)
    if not bounded:
        result.warnings.append("there are voxels without stiffness: the lower bound is zero")


def _semidefinite(tensor: Array, tolerance: float) -> Array:
    """Without negative eigenvalues that are no more than the solver's error, relative to the norm: a solid with voids may move
    freely in combinations of loads each of which it carries.
    """
    values, vectors = np.linalg.eigh(tensor)
    if values[0] >= 0 or values[0] < -tolerance * values[-1]:
        return tensor
    out = (vectors * np.maximum(values, 0.0)) @ vectors.T
    return np.asarray(np.where(tensor == 0, 0.0, (out + out.T) / 2))


def _uncarried(problem: CellProblem, loads: Sequence[int], solutions: Sequence[Solution]) -> list[str]:
    """Notes on the loads that a solid with voids does not carry."""
    if not problem.voids:
        return []
    names = tensors.NAMES if problem.elastic else tensors.AXES
    kept = np.eye(problem.size) if problem.carried is None else problem.carried
    cut = [k for k in loads if not kept[k].any()]
    notes = []
    if cut:
        listed = ", ".join(names[k] for k in cut)
        notes.append(
            f"voids cut the solid so that it carries no {listed}"
            if problem.elastic
            else f"what conducts is not connected along {listed}"
        )
    more = len(loads) - len(cut) - np.linalg.matrix_rank(kept[np.ix_(loads, loads)], tol=1e-9)
    if more:
        what = "one combination" if more == 1 else f"{more} combinations"
        notes.append(f"voids cut the solid so that the tensor is singular for {what} of loads")
    free = [names[k] for k, s in zip(loads, solutions, strict=True) if not s.carried and k not in cut]
    if free:
        notes.append(
            f"the solid moves freely under {', '.join(free)}: what it carries is below rounding and set to zero"
        )
    return notes


def _stiff(raw: Array, loads: Sequence[int], boundary: str) -> Array:
    """Of uniform tractions the answer is a compliance: its inverse, on the components that were loaded."""
    if boundary != "static":
        return raw
    block = np.ix_(loads, loads)
    out = np.zeros_like(raw)
    out[block] = tensors.compliance((raw[block] + raw[block].T) / 2)
    return out


def _others(result: Result, voxels: Voxels, table: Array, settings: Settings, loads: Sequence[int]) -> None:
    """The tensors of uniform strain and uniform traction, which lie around the periodic one on the same voxels."""
    for boundary in ("kinematic", "static"):
        problem = _problem(voxels, table, settings, boundary=boundary)
        raw, solutions = _effective(problem, loads, f"{result.name} ({boundary})")
        raw = _stiff(raw, loads, boundary)
        result.boundary[boundary] = (raw + raw.T) / 2
        result.hill = max(result.hill, *(s.hill for s in solutions))
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


def _evidence(
    result: Result, raw: Array, voxels: Voxels, pure: Array, sheet: bool, loads: Sequence[int], dim: int
) -> None:
    """Symmetry, definiteness, bounds and nearest tensors."""
    block = np.ix_(loads, loads)
    whole = len(loads) == len(raw)
    part = result.tensor[block]
    norm = float(np.linalg.norm(raw)) or 1.0
    fractions = voxels.volume_fractions
    if sheet and len(raw) == 6:
        pure = tensors.embed_plane(tensors.plane_stress(pure))
    upper = bounds.voigt(fractions, pure)
    lower = np.zeros_like(upper)
    lower[block] = bounds.reuss(fractions, pure[:, block[0], block[1]])
    result.voigt, result.reuss = upper, lower
    e = result.evidence
    e["hill_mandel"] = result.hill
    e["asymmetry"] = float(np.linalg.norm(raw - raw.T)) / norm
    e["lowest_eigenvalue"] = float(np.linalg.eigvalsh(part)[0])
    e["voigt_margin"] = bounds.loewner_margin(upper[block], part)
    e["reuss_margin"] = bounds.loewner_margin(part, lower[block])
    if whole:
        e["distance_isotropic"] = tensors.nearest_isotropic(result.tensor)[1]
    if whole and len(raw) == 6:
        e["distance_cubic"] = tensors.nearest_cubic(result.tensor)[1]
        result.moduli = tensors.isotropic_moduli(result.tensor)
        if dim == 2:
            result.moduli |= tensors.plane_moduli(result.tensor)
    if not (sheet and len(raw) == 6):
        result.bounds = bounds.hashin_shtrikman(fractions, pure, 2 if len(_varying(voxels.shape)) == 2 else 3)
    if e["lowest_eigenvalue"] < -1e-10 * norm:
        result.warnings.append("the tensor is not positive definite")
    for which in ("voigt", "reuss"):
        if e[f"{which}_margin"] < -1e-6:
            result.warnings.append(f"the {which.capitalize()} bound is violated by {-e[f'{which}_margin']:.2g}")


def _notes(image: Image, fractions: Array, assignment: Assignment) -> list[str]:
    """What is odd about the phases of an image."""
    notes = list(assignment.notes)
    names = assignment.names(image)
    absent = [names[i] for i in np.flatnonzero(fractions == 0)]
    if absent:
        more = f" and {len(absent) - 5} more" if len(absent) > 5 else ""
        note = f"the image has no voxel of {', '.join(absent[:5])}{more}"
        if image.kind == "field":
            low, high = float(image.values.min()), float(image.values.max())
            note += (
                f"; check levels=[{image.levels[0]:g},{image.levels[1]:g}], the field runs from {low:.4g} to {high:.4g}"
            )
        notes.append(note)
    return notes


def _locking(result: Result, fractions: Array, pure: Array, names: Sequence[str]) -> None:
    """A note where a phase is nearly incompressible."""
    for number in map(int, np.flatnonzero(fractions > 0)):
        moduli = tensors.isotropic_moduli(pure[number])
        if moduli["K"] > _LOCKING * moduli["G"]:
            result.warnings.append(
                f"{names[number]} is nearly incompressible (K/G = {moduli['K'] / moduli['G']:.3g}), for which "
                "solver.scheme=q1 is too stiff; use solver.scheme=rotated"
            )


def _estimates(
    result: Result,
    image: Image,
    assignment: Assignment,
    settings: Settings,
    sheet: bool,
    extreme: NDArrayBool,
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
        voxels = _sharpened(other.voxels(rule), extreme)
        boundary = "periodic" if settings.boundary == "all" else settings.boundary
        problem = _problem(voxels, _tables(voxels, pure, sheet), settings, tolerance, boundary)
        raw, _ = _effective(problem, loads, f"{result.name} (estimate)")
        raw = _stiff(raw, loads, boundary)
        return np.asarray((raw + raw.T) / 2)

    if settings.two_grid and _fewest(image) >= _FEWEST:
        tolerance = max(settings.solver.tolerance, 1e-6)
        half = image.coarse()
        result.coarse = again(half, settings.voxel, tolerance)
        quarter = again(half.coarse(), settings.voxel, tolerance) if _fewest(half) >= _FEWEST else None
        result.evidence["discretisation"] = _remainder(
            part, result.coarse[block], None if quarter is None else quarter[block]
        )
    if settings.mixing and image.kind == "field" and image.diffuse:
        naive = "laminate" if settings.voxel == "arithmetic" else "arithmetic"
        other = again(image, naive, max(settings.solver.tolerance, _ROUGH))
        result.evidence["mixing_spread"] = float(np.linalg.norm(result.tensor - other)) / norm
        if result.evidence["mixing_spread"] > 0.2:
            result.warnings.append("the interfaces are wide: mixing rules differ by more than 20 %")


def _fewest(image: Image) -> int:
    """Voxels along the shortest axis that anything varies along."""
    return min(image.shape[d] for d in _varying(image.shape))


def _remainder(fine: Array, half: Array, quarter: Array | None) -> float:
    """Estimated relative error of the finest of up to three grids, each of half the voxels per axis of the one before.

    The schemes are of first order at interfaces: the finest grid is as far from the limit as the first two are from each
    other. The third one tells where this is too little: the changes shrink by less than a half from grid to grid (corners
    where phases meet crosswise; the remainder is that of a geometric series, which the staircase of sharp voxels makes
    believe too, so no more than three changes are counted), or the first is small by accident.
    """
    first = bounds.energy_difference(half, fine)
    if quarter is None:
        return first
    second = bounds.energy_difference(fine + half - quarter, fine)
    ratio = first / second if second else 0.0
    slow = 0.5 < ratio < 1 and bounds.energy_difference(quarter, fine) > 0.9 * (first + second)
    return max(first * (min(ratio / (1 - ratio), 3.0) if slow else 1.0), second / 16)


def _strain_properties(
    geometry: Voxels,
    assignment: Assignment,
    names: Sequence[str],
    settings: Settings,
    results: dict[str, Result],
    watch: Callable[[str, int, float], None] | None,
) -> None:
    """Effective stress-free strains: the mean stress they cause at zero mean strain, over the effective stiffness."""
    pure, extreme = assignment.pure("stiffness")
    voxels = _sharpened(geometry, extreme)
    problem = _problem(voxels, voxels.packed(pure), settings)
    if "stiffness" in results:
        stiffness = results["stiffness"].tensor
    else:
        raw, _ = _effective(problem, range(6), "stiffness", watch=watch)
        stiffness = (raw + raw.T) / 2
    for name in names:
        strain = assignment.strain(name)
        table = voxels.stresses(pure, strain)
        tell = (lambda k, e, name=name: watch(name, k, e)) if watch else None
        solution = problem.solve(None, table, keep=settings.fields, name=name, watch=tell)
        vector = -tensors.compliance(stiffness) @ solution.mean
        unit = assignment.system.unit(name)
        result = Result(name, unit, tensors.to_matrix(vector), [solution.iterations], solution.hill)
        result.preconditioner = problem.preconditioner
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


def levin(fractions: Array, stiffness: Array, strain: Array, effective: Array) -> Array | None:
    """The stress-free strain of a two-phase composite that follows exactly from its stiffness (Levin 1967; Rosen and Hashin
    1970).

    Args:
        stiffness: (phases, 6, 6). strain: (phases, 6). effective: (6, 6).

    Returns:
        (6,) or None where the relation does not apply: not two phases, or phases of the same compliance.
    """
    present = np.flatnonzero(fractions > 0)
    if len(present) != 2:
        return None
    a, b = present
    if not (tensors.is_positive_definite(stiffness[a]) and tensors.is_positive_definite(stiffness[b])):
        return None
    sa, sb, s = (np.linalg.inv(c) for c in (stiffness[a], stiffness[b], effective))
    difference = sa - sb
    if np.linalg.cond(difference) > 1e10:
        return None
    return np.asarray(strain[b] + (s - sb) @ np.linalg.solve(difference, strain[a] - strain[b]))
