"""How far an effective tensor can be trusted: symmetry, bounds, exact relations, estimated errors, and what is odd."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from . import bounds, tensors
from .assignment import Assignment
from .image import Image
from .result import Result
from .solver import CellProblem, Solution
from .tensors import Array
from .voxels import Voxels

#: K/G (nu = 0.49) from which trilinear elements answer too stiffly: with 2x2x2 Gauss points they cannot keep their volume.
_LOCKING = 50.0


def varying(shape: Sequence[int]) -> list[int]:
    """The axes that anything varies along."""
    return [d for d, n in enumerate(shape) if n > 1]


def evidence(result: Result, raw: Array, voxels: Voxels, pure: Array, sheet: bool, loads: Sequence[int]) -> None:
    """Symmetry, definiteness, bounds and nearest tensors."""
    block = np.ix_(loads, loads)
    whole = len(loads) == len(raw)
    part = result.tensor[block]
    norm = float(np.linalg.norm(raw)) or 1.0
    axes = varying(voxels.shape)
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
        if axes == [0, 1]:
            result.moduli |= tensors.plane_moduli(result.tensor)
    if not (sheet and len(raw) == 6) and len(axes) > 1:
        result.bounds = bounds.hashin_shtrikman(fractions, pure, len(axes))
    if e["lowest_eigenvalue"] < -1e-10 * norm:
        result.warnings.append("the tensor is not positive definite")
    for which in ("voigt", "reuss"):
        if e[f"{which}_margin"] < -1e-6:
            result.warnings.append(f"the {which.capitalize()} bound is violated by {-e[f'{which}_margin']:.2g}")


def notes(image: Image, fractions: Array, assignment: Assignment) -> list[str]:
    """What is odd about the phases of an image."""
    out = list(assignment.notes)
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


def uncarried(problem: CellProblem, loads: Sequence[int], solutions: Sequence[Solution]) -> list[str]:
    """Notes on the loads that a solid with voids does not carry."""
    if not problem.voids:
        return []
    names = tensors.NAMES if problem.elastic else tensors.AXES
    kept = np.eye(problem.size) if problem.carried is None else problem.carried
    cut = [k for k in loads if not kept[k].any()]
    out = []
    if cut:
        listed = ", ".join(names[k] for k in cut)
        out.append(
            f"voids cut the solid so that it carries no {listed}"
            if problem.elastic
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


def remainder(fine: Array, half: Array, quarter: Array | None) -> float:
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
