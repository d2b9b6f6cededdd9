"""The cell problem of a property: voxels that are right for its phases, the table of their tensors, and its unit loads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..images import Voxels
from ..mechanics import tensors
from ..mechanics.cell import CellProblem
from ..mechanics.loads import Load, Solution
from ..mechanics.tensors import Array
from .merging import merged, preconditioner
from .mixture import Mixture
from .principal import own_scales
from .problem import Problem


@dataclass(frozen=True)
class PropertyVoxels:
    """Voxels for one property of a problem.

    Attributes:
        voxels: laminates of high contrast are merged with their neighbours, interfaces of voids and rigid phases are sharp.
        pure: tensors of the phases, (phases, n, n). extreme: which of them are void or rigid. table: constants of the entries,
            see `pack`; under plane stress those of the sheet.
    """

    problem: Problem
    name: str
    voxels: Mixture
    pure: Array
    extreme: NDArray[np.bool_]
    table: Array

    @classmethod
    def of(cls, problem: Problem, name: str, rule: str | None = None) -> PropertyVoxels:
        """Those of a problem; ``rule`` is the mixing rule, that of the settings unless told."""
        pure, extreme = problem.pure(name)
        geometry = problem.voxels if rule is None else problem.image.voxels(rule)
        voxels = _for_phases(geometry, pure, extreme, problem)
        return cls(problem, name, voxels, pure, extreme, voxels.packed(_condensed(problem, name, pure)))

    def with_tensors(self, pure: Array) -> PropertyVoxels:
        """The same image of phases with other tensors."""
        voxels = _for_phases(self.problem.voxels, pure, self.extreme, self.problem)
        table = voxels.packed(_condensed(self.problem, self.name, pure))
        return replace(self, voxels=voxels, pure=pure, table=table)

    @property
    def phases(self) -> Array:
        """Tensors of the phases as they are mixed: under plane stress those of the sheet."""
        return _condensed(self.problem, self.name, self.pure)

    @property
    def size(self) -> int:
        """Components of the loads, 3 or 6."""
        return int(self.pure.shape[-1])

    @property
    def mean(self) -> Array:
        """Mean of the tensors of the voxels, packed."""
        return np.asarray(self.voxels.planes.sum(self.voxels.counts / self.voxels.size @ self.table))

    def cell(self, tolerance: float | None = None, boundary: str | None = None) -> CellProblem:
        """The cell problem, with the tolerance and the boundary condition of the settings unless told."""
        settings = self.problem.settings
        options = settings.solver if tolerance is None else replace(settings.solver, tolerance=tolerance)
        boundary = self.problem.boundary if boundary is None else boundary
        if options.preconditioner == "auto" and boundary == "periodic" and options.scheme != "fourier":
            options = replace(options, preconditioner=preconditioner(self.voxels, self.table))
        voxels = self.voxels
        return CellProblem(
            voxels.index, self.table, voxels.spacing, options, voxels.cut, boundary, planes=voxels.planes
        )


def _condensed(problem: Problem, name: str, pure: Array) -> Array:
    """Every phase is condensed before mixing: the stress along z vanishes in each of them, not only in their mean."""
    return tensors.embed_plane(tensors.plane_stress(pure)) if problem.sheet(name) else pure


def _for_phases(geometry: Voxels, pure: Array, extreme: NDArray[np.bool_], problem: Problem) -> Mixture:
    """Laminates of high contrast merged with their neighbours; under other rules voids and rigid phases have sharp interfaces,
    as their mixtures have no properties.
    """
    settings = problem.settings
    mixture = Mixture.of(geometry)
    if geometry.rule == "laminate":
        return merged(mixture, pure, problem.boundary == "periodic", settings.solver.scheme != "rotated")
    return _sharpened(mixture.widened(1), extreme)


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


def unit(size: int, component: int) -> Array:
    """The unit load of a component."""
    out = np.zeros(size)
    out[component] = 1.0
    return out


def effective(
    cell: CellProblem,
    loads: Sequence[int],
    name: str,
    start: Sequence[np.ndarray] | None = None,
    keep: bool = False,
) -> tuple[Array, list[Solution]]:
    """The effective tensor as it comes (not symmetrised); rows of loads that are not carried are zero.

    Args:
        loads: component numbers. start: a fluctuation for each. keep: return those found.
    """
    names = tensors.NAMES if cell.elastic else tensors.AXES
    units = [
        Load(unit(cell.size, load), start=start[at] if start else None, name=f"{name} {names[load]}")
        for at, load in enumerate(loads)
    ]
    solutions = cell.solve_tensor(units, keep)
    out = np.zeros((cell.size, cell.size))
    out[:, list(loads)] = np.stack([s.mean for s in solutions], axis=1)
    own_scales(cell, loads, name, out, solutions)
    if cell.carried is not None:
        out = out @ cell.carried
    if cell.boundary == "static":
        return _inverted(out, loads), solutions
    out[[load for load, s in zip(loads, solutions, strict=True) if not s.carried]] = 0.0
    return out, solutions


def _inverted(raw: Array, loads: Sequence[int]) -> Array:
    """Of uniform tractions the answer is a compliance: its inverse, on the components that were loaded."""
    block = np.ix_(loads, loads)
    out = np.zeros_like(raw)
    out[block] = tensors.compliance((raw[block] + raw[block].T) / 2)
    return out


def symmetric(raw: Array) -> Array:
    return np.asarray((raw + raw.T) / 2)
