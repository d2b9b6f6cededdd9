"""Loads on a cell and their solutions: by mean strains with stress-free strains, or by uniform tractions.

Both set up residuals, iterate (`conjugate_gradients`), and evaluate what came of it afresh, not from the recurrences of the
iteration.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from .conjugate_gradients import conjugate_gradients
from .convergence import Energy, LocalFields, MeanStress, Progress, Work
from .tensors import Array

if TYPE_CHECKING:
    from .cell import CellProblem

#: Mean energy over that of the uniform gradient, in units of rounding, below which a solid with voids carries nothing.
_NOTHING = 64.0


@dataclass(frozen=True)
class Load:
    """What a cell is loaded by.

    Attributes:
        mean: mean strain (Mandel, 6) or gradient (3), zero if None; with static boundaries mean stress or flux.
        stress: stress of stress-free strains held at zero, per entry, (entries, 6).
        stress_field: the same per voxel, Mandel, (6, *shape of the image), besides that of the entries.
        energy: that the error of local fields is compared with, their own or about; None if the mean stress is what is wanted.
        start: fluctuation to start from. name: for messages.
    """

    mean: Array | None = None
    stress: Array | None = None
    stress_field: Array | None = None
    energy: float | None = None
    start: np.ndarray | None = None
    name: str = "load"

    @property
    def plain(self) -> bool:
        """Whether there are no stress-free strains."""
        return self.stress is None and self.stress_field is None

    def vector(self, size: int) -> Array:
        return np.zeros(size) if self.mean is None else np.asarray(self.mean, float)


@dataclass
class Solution:
    """The answer to one load.

    Attributes:
        mean: mean stress (Mandel, 6) or flux (3). energy: mean of gradient . flux for loads without stress-free strain.
        iterations: of conjugate gradients. history: relative change of the property per iteration.
        hill: Hill-Mandel residual ``|<s:e> - <s>:<e>| / <s:e>``, from a fresh evaluation of the stress.
        fluctuation: nodal values in units of the shortest edge of a voxel, or None.
        work: of the stress on fluctuations that were told, mean over the voxels, one number each; see `solve_strains`.
        carried: whether there is an answer beyond rounding; if not, it is zero.
    """

    mean: Array
    energy: float
    iterations: int
    history: list[float] = field(default_factory=list)
    hill: float = 0.0
    fluctuation: np.ndarray | None = None
    work: Array | None = None
    carried: bool = True


class UniformStress:
    """The stress of loads at zero fluctuation, in the axes of the arrays: of the entries, and of voxels of their own.

    Attributes:
        strain: mean strain (gradient), (loads, size). tables: stress of the entries, (loads, entries, size). total: its mean,
            (loads, size).
    """

    def __init__(self, cell: CellProblem, loads: Sequence[Load]) -> None:
        self._cell, axes = cell, cell.axes
        self.strain = axes.gradient(np.stack([load.vector(cell.size) for load in loads]))
        self.tables = np.stack([cell.tensors.product(each) for each in self.strain])
        for table, load in zip(self.tables, loads, strict=True):
            if load.stress is not None:
                table += axes.flux(load.stress)
        self.total = np.stack([cell.medium.mean(table) for table in self.tables])
        self._index: Any = cell.tensors.index
        self._fields: Array | None = None
        if any(load.stress_field is not None for load in loads):
            self._fields = np.zeros((len(loads), cell.medium.index.size, cell.size))
            for values, load in zip(self._fields, loads, strict=True):
                if load.stress_field is not None:
                    values[...] = axes.flux(np.ascontiguousarray(load.stress_field.reshape(cell.size, -1).T))
            self.total = self.total + self._fields.mean(axis=1)

    def nodal_forces(self, w: Any) -> list[Any]:
        """Calls that write ``w = B^T s``, one for every part of s."""
        k, rows = self._cell.operators, self._cell.axes.rows
        parts = [lambda: k.nodal_forces(w, self._index, rows(self.tables))]
        if (values := self._fields) is not None:
            parts.append(lambda: k.nodal_forces(w, self._cell.every_voxel, rows(values)))
        return parts


def solve_strains(
    cell: CellProblem, loads: Sequence[Load], others: Sequence[np.ndarray] | None = None
) -> list[Solution]:
    """Mean stress (flux) of a cell under mean strains (gradients) and stress-free strains.

    Args:
        others: fluctuations that the stress of each solution is to do work on, besides those found here before it.
    """
    k, n = cell.operators, cell.medium.voxels
    uniform = UniformStress(cell, loads)
    u, r, p, w = fields = cell.workspace.fields(len(loads))
    ones, scaling = np.ones(len(loads)), cell.preconditioner.scaling
    total = uniform.total
    for each in (u, r, p):
        k.assign(each, None)
    for write in uniform.nodal_forces(w):
        write()
        k.advance(ones, u, r, p, w, scaling)  # with p = 0: r -= w, w = S r
    started = [i for i, load in enumerate(loads) if load.start is not None]
    if started:
        for i in started:
            k.assign(u[i], loads[i].start)
        _, sums = cell.multiply(u, w)
        k.advance(ones, u, r, p, w, scaling)
        total = total + sums / n
    nothing = _NOTHING * float(np.finfo(k.dtype).eps) * cell.voids
    progress: list[Progress] = []
    options = cell.options
    kind = MeanStress if others is None else Energy
    lowest = cell.preconditioner.lowest if cell.preconditioner.stepwise or kind is Energy else 0.0
    for i, load in enumerate(loads):
        most = float(np.abs(total[i]).max())
        limits = (load.name, options.tolerance, options.max_iterations)
        if load.energy is not None:
            progress.append(LocalFields(*limits, energy=load.energy))
            continue
        held = abs(float(uniform.strain[i] @ cell.medium.mean(uniform.tables[i])))
        progress.append(
            kind(
                *limits,
                strain=uniform.strain[i],
                total=total[i],
                least=nothing * held if load.plain else -1.0,
                floor=0.0 if load.plain else nothing**0.5 * most,
                lowest=lowest,
            )
        )
    conjugate_gradients(cell, cell.preconditioner, progress, fields, cell.voxels)
    return _strain_solutions(cell, fields, uniform, loads, progress, others)


def _strain_solutions(
    cell: CellProblem,
    fields: tuple[Any, ...],
    uniform: UniformStress,
    loads: Sequence[Load],
    progress: Sequence[Progress],
    others: Sequence[np.ndarray] | None,
) -> list[Solution]:
    k, n = cell.operators, cell.medium.voxels
    u, _, _, w = fields
    quadratic, sums = cell.multiply(u, w)
    force = None if others is None else NodalForce(cell, fields)
    # <(e + grad u) : (s + C grad u)> for s = C e (+ stress-free part): the linear term is u . B^T s.
    linear = np.zeros(len(loads))
    for write in uniform.nodal_forces(w):
        write()
        linear = linear + k.dot(u, w)
        if force:
            force.add()
    out = []
    for i, (load, done) in enumerate(zip(loads, progress, strict=True)):
        mean = uniform.total[i] + sums[i] / n
        work = float(quadratic[i] + linear[i]) / n
        internal = float(uniform.strain[i] @ mean) + work
        plain = load.plain and not done.uncarried
        scale = abs(internal) if plain and internal else max(abs(quadratic[i]), abs(linear[i])) / n
        hill = abs(work) / scale if scale else 0.0
        solution = Solution(cell.axes.flux_back(mean), internal, len(done.history), done.history, hill)
        if done.uncarried:
            solution.mean, solution.carried = np.zeros(cell.size), False
        out.append(solution)
    if force and others is not None:
        found = [k.to_host(u[i]) for i in range(len(out) - 1)]
        works = force.work([*others, *found]) / n
        for i, solution in enumerate(out):
            solution.work = works[:, i]
    return out


class NodalForce:
    """The nodal forces of the stress of several loads, from parts that come one after the other in ``w`` of the fields.

    The first of them is there at the beginning. The residual and the direction are overwritten.
    """

    def __init__(self, cell: CellProblem, fields: tuple[Any, ...]) -> None:
        self._cell, self._fields = cell, fields
        _, r, p, _ = fields
        for each in (r, p):
            cell.operators.assign(each, None)
        self.add()

    def add(self) -> None:
        """One more part."""
        u, r, p, w = self._fields
        self._cell.advance(-np.ones(len(u)), u, r, p, w)  # with p = 0: r += w, w = r

    def work(self, fluctuations: Sequence[np.ndarray]) -> Array:
        """On fluctuations, (fluctuations, loads)."""
        _, _, p, w = self._fields
        k, out = self._cell.operators, []
        for each in fluctuations:
            for i in range(len(p)):
                k.assign(p[i], each)
            out.append(k.dot(p, w))
        return np.array(out).reshape(len(out), len(p))


def solve_tractions(cell: CellProblem, loads: Sequence[Load], keep: bool = False) -> list[Solution]:
    """Mean strain (gradient) of a cell under the tractions (flux) of a uniform stress; ``mean`` of the solution is that
    strain. ``keep``: return the displacements (potentials), which hold the mean strain too.
    """
    k, n = cell.operators, cell.voxels
    solid = np.ones(len(cell.medium.packed))
    solid[-1] = 0.0
    stresses = np.stack([load.vector(cell.size) for load in loads])

    def uniform(vectors: Array) -> Array:
        return cell.axes.rows(solid[:, None] * cell.axes.flux(vectors)[:, None])

    u, r, p, w = fields = cell.workspace.fields(len(loads))
    for each in (u, r, p):
        k.assign(each, None)
    k.nodal_forces(w, cell.tensors.index, uniform(stresses))
    k.advance(-np.ones(len(loads)), u, r, p, w)  # r = w
    tolerance, most = cell.options.tolerance, cell.options.max_iterations
    progress = [Work(load.name, tolerance, most) for load in loads]
    if not cell.voids:
        for load in progress:
            load.hint = "raise solver.max_iterations"
    conjugate_gradients(cell, cell.preconditioner, progress, fields, n)
    strain = np.zeros((len(loads), cell.size))
    for component, axis in enumerate(np.eye(cell.size)):
        k.nodal_forces(w, cell.tensors.index, np.repeat(uniform(axis[None]), len(loads), axis=0))
        strain[:, component] = k.dot(u, w) / n
    quadratic, _ = cell.multiply(u, w)
    found = [k.to_host(u[i]) if keep else None for i in range(len(loads))]
    out: list[Solution] = []
    for mean, stress, square, done in zip(strain, stresses, quadratic.tolist(), progress, strict=True):
        energy = float(mean @ stress)
        hill = abs(square / n / energy - 1) if energy else 0.0
        out.append(Solution(mean, energy, len(done.history), done.history, hill, found[len(out)]))
    return out
