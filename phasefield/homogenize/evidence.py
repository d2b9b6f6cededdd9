"""How far an effective tensor can be trusted: symmetry, bounds, exact relations, estimated errors, and what is odd."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..images.voxels import Voxels
from ..mechanics import tensors
from ..mechanics.cell import CellProblem
from ..mechanics.connectivity import carried
from ..mechanics.loads import Solution
from ..mechanics.tensors import Array
from . import bounds
from .assignment import RIGID
from .cells import PropertyVoxels
from .problem import Problem, varying
from .result import Result

#: K/G (nu = 0.49) from which trilinear elements answer too stiffly: with 2x2x2 Gauss points they cannot keep their volume.
_LOCKING = 50.0
#: What the first and the second change from grid to grid are multiplied by, the first also where it is the only one: found on
#: one half of a battery of media with exact properties, checked on the other (docs/results/homogenization_battery.md).
_SAFETY, _EARLIER, _ASSUMED = 1.5, 0.4, 3.0
#: Largest ratio of changes from grid to grid.
_SLOWEST = 0.97


def evidence(result: Result, raw: Array, made: PropertyVoxels) -> None:
    """Symmetry, definiteness, bounds and nearest tensors.

    Args:
        raw: the tensor before it was made symmetric.
    """
    loads, sheet = list(result.components), made.problem.sheet(result.name)
    block = np.ix_(loads, loads)
    whole = len(loads) == len(raw)
    part = result.tensor[block]
    norm = float(np.linalg.norm(raw)) or 1.0
    axes = made.problem.axes
    fractions, pure = made.voxels.volume_fractions, made.pure
    if sheet:
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
        if axes == [0, 1]:
            result.moduli |= tensors.plane_moduli(result.tensor)
    if not sheet and len(axes) > 1:
        result.bounds = bounds.hashin_shtrikman(fractions, pure, len(axes))
    if e["lowest_eigenvalue"] < -1e-10 * norm:
        result.warnings.append("the tensor is not positive definite")


def outside(result: Result, mean: Array, tolerance: float) -> list[str]:
    """Notes on bounds that the tensor violates by more than its voxels explain: phases merged with their neighbours keep them
    only in the limit of small voxels.

    Args:
        mean: of the tensors of the voxels. tolerance: of the solver, by which a tensor may be off a bound that it attains.
    """
    e = result.evidence
    assert result.voigt is not None
    block = np.ix_(result.components, result.components)
    excess = max(0.0, -bounds.loewner_margin(result.voigt[block], mean[block]))
    allowed = max(max(1e-6, tolerance) + excess, e.get("discretisation", 0.0))
    return [
        f"the {which.capitalize()} bound is violated by {-e[f'{which}_margin']:.2g}"
        for which in ("voigt", "reuss")
        if e[f"{which}_margin"] < -allowed
    ]


def rigid_connections(voxels: Voxels, rigid: NDArray[np.bool_], names: Sequence[str], size: int) -> list[str]:
    """A note where rigid voxels hang together through the cell, and so give the stiffness that stands for infinity.

    Args:
        rigid: which phases are. size: components of the loads, 3 or 6.
    """
    if not rigid.any():
        return []
    winners = np.where(voxels.fraction >= 0.5, voxels.first, voxels.second)
    kept = carried(rigid[winners][voxels.index], voxels.spacing, size, voxels.planes)
    axes = set(varying(voxels.shape))  # along the others a rigid phase has no end
    labels = tensors.NAMES if size == 6 else tensors.AXES
    pairs = tensors.PAIRS if size == 6 else [(a, a) for a in range(3)]
    loads = [n for n, row, pair in zip(labels, kept, pairs, strict=True) if row.any() and axes.issuperset(pair)]
    if not loads:
        return []
    phases = " and ".join(n for n, r in zip(names, rigid, strict=True) if r)
    return [
        f"voxels of {phases}, which is rigid, touch all through the cell: the tensor is without bound for "
        f"{', '.join(loads)} on this grid, and the numbers are those of a phase {RIGID:g} times as stiff as the others; "
        "where the phase should not be connected, use a finer image"
    ]


def notes(problem: Problem) -> list[str]:
    """What is odd about the phases of an image."""
    out, image, names = list(problem.assignment.notes), problem.image, problem.names
    fractions = problem.voxels.volume_fractions
    absent = [names[i] for i in np.flatnonzero(fractions == 0)]
    if absent:
        more = f" and {len(absent) - 5} more" if len(absent) > 5 else ""
        note = f"the image has no voxel of {', '.join(absent[:5])}{more}"
        if image.kind == "field":
            planes = image.planes
            low, high = float(planes.least(image.values.min())), float(planes.most(image.values.max()))
            note += (
                f"; check levels=[{image.levels[0]:g},{image.levels[1]:g}], the field runs from {low:.4g} to {high:.4g}"
            )
        out.append(note)
    return out


def locking(result: Result, fractions: Array, pure: Array, names: Sequence[str]) -> None:
    """A note where a phase is nearly incompressible."""
    for number in map(int, np.flatnonzero(fractions > 0)):
        moduli = tensors.isotropic_moduli(pure[number])
        if moduli["K"] > _LOCKING * moduli["G"]:
            result.warnings.append(
                f"{names[number]} is nearly incompressible (K/G = {moduli['K'] / moduli['G']:.3g}), for which "
                "solver.scheme=q1 is too stiff; use solver.scheme=rotated"
            )


def uncarried(cell: CellProblem, loads: Sequence[int], solutions: Sequence[Solution]) -> list[str]:
    """Notes on the loads that a solid with voids does not carry."""
    if not cell.voids:
        return []
    names = tensors.NAMES if cell.elastic else tensors.AXES
    kept = np.eye(cell.size) if cell.carried is None else cell.carried
    cut = [k for k in loads if not kept[k].any()]
    out = []
    if cut:
        listed = ", ".join(names[k] for k in cut)
        out.append(
            f"voids cut the solid so that it carries no {listed}"
            if cell.elastic
            else f"what conducts is not connected along {listed}"
        )
    more = len(loads) - len(cut) - np.linalg.matrix_rank(kept[np.ix_(loads, loads)], tol=1e-9)
    if more:
        what = "one combination" if more == 1 else f"{more} combinations"
        out.append(f"voids cut the solid so that the tensor is singular for {what} of loads")
    free = [names[k] for k, s in zip(loads, solutions, strict=True) if not s.carried and k not in cut]
    if free:
        out.append(f"the solid moves freely under {', '.join(free)}: what it carries is below rounding and set to zero")
    return out


def semidefinite(tensor: Array, tolerance: float) -> Array:
    """Without negative eigenvalues that are no more than the solver's error, relative to the norm: a solid with voids may move
    freely in combinations of loads each of which it carries.
    """
    values, vectors = np.linalg.eigh(tensor)
    if values[0] >= 0 or values[0] < -tolerance * values[-1]:
        return tensor
    out = (vectors * np.maximum(values, 0.0)) @ vectors.T
    return np.asarray(np.where(tensor == 0, 0.0, (out + out.T) / 2))


def remainder(fine: Array, half: Array, quarter: Array | None, slowest: float = 0.5) -> float:
    """Estimated relative error of the finest of up to three grids, each of half the voxels per axis of the one before.

    The schemes are of first order at interfaces: the finest grid is as far from the limit as the first two are from each
    other, or half as far as the second and third are where the first change is small by accident. Near corners where phases meet
    crosswise changes fall by a known ratio only, and leave the remainder of a geometric series. That changes fall slowly
    proves nothing else: the staircase of sharp voxels makes believe in it. The factors are of the size that studies of grid
    convergence take, 1.25 for an order that is observed and 3 for one that is assumed (Roache, Annu. Rev. Fluid Mech. 29 (1997)
    123).

    Args:
        slowest: ratio of one change to the one before that corners let expect, see `crosswise`.
    """
    first = bounds.energy_difference(half, fine) * max(1.0, slowest / (1 - slowest))
    if quarter is None:
        return _ASSUMED * first
    return max(_SAFETY * first, _EARLIER * bounds.energy_difference(fine + half - quarter, fine))


def crosswise(voxels: Voxels, pure: Array) -> float:
    """Ratio of changes from grid to grid where pure voxels of two phases meet crosswise at an edge, 0.5 where none do.

    There the potential goes as the distance to the power ``a = 4/pi arctan(c^-1/2)`` for the contrast c, as its continuity and
    that of the flux between the four quadrants demand, and the energy's error as the voxel's edge to the power 2 a. Of
    stiffnesses the least eigenvalues are compared: where phases differ in bulk modulus alone, strains stay bounded there but for
    a logarithm.
    """
    sizes = np.linalg.eigvalsh(pure)[:, 0] if pure.shape[-1] == 6 else np.trace(pure, axis1=1, axis2=2)
    worst, planes = 1.0, voxels.planes
    if planes.any((voxels.first != voxels.second).any()):
        return 0.5
    wide = voxels.first[voxels.index]
    label = planes.own(wide)
    axes = varying(voxels.shape)
    for d in axes:
        ahead = planes.ahead(wide) if d == 0 else np.roll(label, -1, d)
        for e in axes:
            if e <= d:
                continue
            beside, across = np.roll(label, -1, e), np.roll(ahead, -1, e)
            meet = (label == across) & (ahead == beside) & (label != ahead)
            pairs = np.unique(
                planes.collected(np.unique(np.stack([label[meet], ahead[meet]], axis=1), axis=0)), axis=0
            ).T
            with np.errstate(divide="ignore"):
                worst = max(worst, *(max(sizes[a], sizes[b]) / min(sizes[a], sizes[b]) for a, b in pairs.T), 1.0)
    ratio = 4.0 ** (-4 / np.pi * np.arctan(worst**-0.5))
    return float(np.clip(ratio, 0.5, _SLOWEST))


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
