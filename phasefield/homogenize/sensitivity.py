"""Derivatives of effective properties by the constants of the phases, from local fields that are known, without a further solve.

``dC* = <e_i : dC : e_j>``, see `mechanics.derivatives`; under uniform tractions the same of the compliance. A laminate voxel is
taken apart into its layers, whose tensors are those of the phases. For other mixtures (merged voxels, means by the fraction)
the derivative of the voxels' tensors is taken by central differences of the mixing rule, which needs no solve either.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from ..backend.voxel import unpack
from ..mechanics import tensors
from ..mechanics.cell import CellProblem
from ..mechanics.derivatives import Layers, PhaseMoments, TableProducts
from ..mechanics.phases import MaterialSystem
from ..mechanics.properties import PROPERTIES, STRAINS
from ..mechanics.tensors import Array
from ..mechanics.uncertain import Constant
from .assignment import RIGID
from .cells import PropertyVoxels, unit
from .merging import Merged
from .problem import Problem

#: Relative step of central differences of mixing rules: truncation and rounding both below 1e-9.
_STEP = 1e-5


def parameters(problem: Problem) -> dict[str, Constant]:
    """The constants that the properties of a problem depend on, by their labels ``PHASE.CONSTANT``."""
    return constants_of(problem.material, problem.settings.properties)


def constants_of(material: MaterialSystem, properties: Sequence[str]) -> dict[str, Constant]:
    """The constants that properties of a material's mixtures depend on, by their labels."""
    wanted = set(properties)
    if wanted & set(STRAINS):
        wanted.add("stiffness")
    out: dict[str, Constant] = {}
    for phase in material.phases:
        for name, recipe in phase.recipes.items():
            if name in wanted:
                out |= {phase.label(c): c for c in recipe.constants}
    return out


def wanted(problem: Problem) -> bool:
    """Whether derivatives are computed: if asked for, else where a constant has an uncertainty."""
    asked = problem.settings.sensitivity
    return uncertain(problem) if asked is None else asked


def uncertain(problem: Problem) -> bool:
    """Whether a constant that a property depends on has an uncertainty."""
    return any(c.spread for c in parameters(problem).values())


def _changes(problem: Problem, name: str) -> dict[str, Array]:
    """The derivative of the tensors of the image's phases, (phases, n, n), by every constant of a property."""
    number = np.array(problem.assignment.phase)
    turns = problem.assignment.turns
    n = 6 if PROPERTIES[name].order == 4 else 3
    rigid = np.zeros(len(number), bool)
    stiffest = -1
    if PROPERTIES[name].positive:
        pure, extreme = problem.pure(name)
        size = np.trace(pure, axis1=1, axis2=2)
        rigid = extreme & (size > 0)
        stiffest = int(np.where(extreme, -1.0, size).argmax()) if rigid.any() else -1
    out = {}
    for k, phase in enumerate(problem.material.phases):
        recipe = phase.recipes.get(name)
        for constant in recipe.constants if recipe else ():
            assert recipe is not None
            change = np.zeros((len(number), n, n))
            own = number == k
            change[own] = tensors.rotate(recipe.derivative(constant.name), turns[own])
            if rigid.any():
                change[rigid] = RIGID * change[stiffest]
            out[phase.label(constant)] = change
    return out


def _condensed(pure: Array, change: Array) -> Array:
    """The change of tensors of a sheet: that of the stiffness, in the strains at zero stress along z."""
    rest = (2, 3, 4)
    strain = np.zeros((len(pure), 6, 3))
    strain[:, tensors.PLANE, range(3)] = 1.0
    block = pure[:, rest][:, :, rest]
    strain[:, rest] = -np.linalg.pinv(block, hermitian=True) @ pure[:, rest][:, :, tensors.PLANE]
    return tensors.embed_plane(np.swapaxes(strain, 1, 2) @ change @ strain)


class _Fields:
    """The local fields of the unit loads of a property, and what changes of the phases' tensors change of the mean energies.

    Args:
        changes: of the phases' tensors, all that will be asked about.
        strains: stress-free strains besides, (phases, 6) each, with their fluctuations: further loads at zero mean strain.
    """

    def __init__(
        self,
        made: PropertyVoxels,
        cell: CellProblem,
        loads: Sequence[int],
        fluctuations: Sequence[np.ndarray],
        changes: Iterable[Array],
        strains: Sequence[tuple[Array, np.ndarray]] = (),
    ) -> None:
        self._made, self._strains = made, [s for s, _ in strains]
        self.loads = list(loads)
        free = cell.boundary == "static"  # displacements then hold the mean strain, too
        means = np.zeros((len(loads) + len(strains), cell.size))
        if not free:
            means[: len(loads)] = [unit(cell.size, k) for k in loads]
        fields = [*fluctuations, *(f for _, f in strains)]
        voxels = made.voxels
        self._layers: PhaseMoments | None = None
        self._tables: TableProducts | None = None
        pure = bool(((voxels.first == voxels.second) | (voxels.fraction == 1)).all())
        if isinstance(voxels, Merged) or not (voxels.rule == "laminate" or pure) or cell.options.scheme == "fourier":
            self._tables = TableProducts(cell, fields, means)
            return
        phases = made.phases
        stress = None
        if strains:
            stress = np.zeros((len(phases), len(means), cell.size))
            for row, strain in enumerate(self._strains, start=len(loads)):
                stress[:, row] = -np.einsum("pij,pj->pi", phases, strain)
        layers = Layers(voxels.first, voxels.second, voxels.fraction, voxels.normal, phases)
        asked = None if strains else np.stack([np.zeros_like(phases), *map(self._own, changes)])
        self._layers = PhaseMoments(cell, layers, fields, means, stress, asked)

    def _own(self, change: Array) -> Array:
        """The change of the tensors that the voxels are made of."""
        made = self._made
        return _condensed(made.pure, change) if made.problem.sheet(made.name) else change

    def _step(self, change: Array) -> float:
        """Of differences along a change of the phases' tensors."""
        size, by = (np.abs(t).max(axis=(1, 2)) for t in (self._made.pure, change))
        return _STEP * float((size[by > 0] / by[by > 0]).min())

    def _mixed(self, change: Array) -> tuple[list[PropertyVoxels], float]:
        """The voxels a step ahead and behind, and twice the step; their entries are those of the cell."""
        made, step = self._made, self._step(change)
        both = [made.with_tensors(made.pure + sign * step * change) for sign in (1, -1)]
        if any(not np.array_equal(other.voxels.index, made.voxels.index) for other in both):
            # Voxels begin to merge right here: the derivative is that of merged as they are.
            frozen = made.phases, self._own(change)
            tables = [made.voxels.packed(frozen[0] + sign * step * frozen[1]) for sign in (1, -1)]
            both = [replace(other, voxels=made.voxels, table=t) for other, t in zip(both, tables, strict=True)]
        return both, 2 * step

    def energies(self, change: Array) -> Array:
        """``<e_i : dC : e_j>`` of all loads, stress-free strains among them."""
        if not change.any():
            count = len(self.loads) + len(self._strains)
            return np.zeros((count, count))
        if self._tables is not None:
            (ahead, behind), step = self._mixed(change)
            return self._tables.products(unpack((ahead.table - behind.table) / step))
        assert self._layers is not None
        return self._layers.products(self._own(change))

    def mean_stress(self, number: int, change: Array, strain_change: Array) -> Array:
        """The change of the mean stress (loads,) of a stress-free strain held at zero mean strain.

        Args:
            number: of the strain. change: of the stiffness, (phases, 6, 6). strain_change: of the strain, (phases, 6).
        """
        made, strain, n = self._made, self._strains[number], len(self.loads)
        out = self.energies(change)[:n, n + number]
        stress = -np.einsum("pij,pj->pi", change, strain) - np.einsum("pij,pj->pi", made.pure, strain_change)
        if self._layers is not None:
            return np.asarray(out + self._layers.means(stress)[:n])
        assert self._tables is not None
        table = np.zeros((len(made.voxels.first), 6))
        if change.any():
            (ahead, behind), step = self._mixed(change)
            table += (ahead.voxels.stresses(ahead.pure, strain) - behind.voxels.stresses(behind.pure, strain)) / step
        if strain_change.any():  # stresses are linear in the strains
            table += made.voxels.stresses(made.pure, strain_change)
        return np.asarray(out + self._tables.means(table)[:n])


def tensor_sensitivity(
    made: PropertyVoxels, cell: CellProblem, loads: Sequence[int], fluctuations: Sequence[np.ndarray], tensor: Array
) -> Array:
    """The derivative of an effective tensor (Mandel, or (3, 3)) by every constant of `parameters`, (parameters, n, n).

    Args:
        cell: solved for the unit ``loads``, whose ``fluctuations`` are given. tensor: the effective one.
    """
    changes = _changes(made.problem, made.name)
    fields = _Fields(made, cell, loads, fluctuations, changes.values())
    return _tensor_changes(made.problem, changes, fields, cell, tensor)


def _tensor_changes(
    problem: Problem, changes: Mapping[str, Array], fields: _Fields, cell: CellProblem, tensor: Array
) -> Array:
    labels = list(parameters(problem))
    block = np.ix_(fields.loads, fields.loads)
    n = len(fields.loads)
    out = np.zeros((len(labels), *tensor.shape))
    for row, label in enumerate(labels):
        if label not in changes:
            continue
        change = np.zeros_like(tensor)
        change[block] = fields.energies(changes[label])[:n, :n]
        if cell.boundary == "static":  # of the compliance it is the negative
            change = tensor @ change @ tensor
        if cell.carried is not None:
            change = cell.carried @ change @ cell.carried
        out[row] = change
    return out


def strain_sensitivities(
    made: PropertyVoxels,
    cell: CellProblem,
    fluctuations: Sequence[np.ndarray],
    stiffness: Array,
    strains: Sequence[tuple[str, np.ndarray, Array]],
) -> dict[str, Array]:
    """The same of effective stress-free strains, (parameters, 3, 3) by the name of the property.

    Args:
        made, cell: of the stiffness. fluctuations: of its six loads. stiffness: the effective one.
        strains: name, fluctuation at zero mean strain, and effective strain (Mandel) of each.
    """
    problem, labels = made.problem, list(parameters(made.problem))
    free = [(problem.strain(name), fluctuation) for name, fluctuation, _ in strains]
    of_stiffness = _changes(problem, "stiffness")
    fields = _Fields(made, cell, range(6), fluctuations, of_stiffness.values(), free)
    whole = _tensor_changes(problem, of_stiffness, fields, cell, stiffness)
    compliance = tensors.compliance(stiffness)
    out = {}
    for number, (name, _, effective) in enumerate(strains):
        of_strain = _changes(problem, name)
        rows = np.zeros((len(labels), 6))
        for row, label in enumerate(labels):
            change = of_stiffness.get(label, np.zeros_like(made.pure))
            own = tensors.from_matrix(of_strain[label]) if label in of_strain else np.zeros((len(made.pure), 6))
            if change.any() or own.any():
                stress = fields.mean_stress(number, change, own)
                rows[row] = -compliance @ (whole[row] @ effective + stress)
        out[name] = tensors.to_matrix(rows)
    return out
