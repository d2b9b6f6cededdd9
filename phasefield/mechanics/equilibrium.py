"""Mechanical equilibrium of a periodic elastic body with stress-free strains, as an elastic energy calls it again and again.

    div sigma = 0,    sigma = C(x) : (strain - eigenstrain(x)),    <strain> = mean strain

Inhomogeneous elasticity (Khachaturyan, Theory of Structural Transformations in Solids, Wiley 1983; Hu and Chen, Acta Mater. 49
(2001) 1879): C is one stiffness for each entry of a table (phases, or steps of an interpolation between them) or one for each
voxel, the eigenstrain a field. With 0.5 <(strain - eigenstrain) : sigma> the energy, its variation by a field eta on which both
depend is ``0.5 e : dC/deta : e - sigma : d(eigenstrain)/deta`` with ``e = strain - eigenstrain``, voxel by voxel: strains are in
equilibrium, so what they change does not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..backend.voxel import pack
from ..errors import ConfigError
from .axes import ArrayAxes
from .cell import CellProblem, Workspace, operators_of
from .loads import Load
from .medium import CHUNK
from .options import Options
from .tensors import Array


@dataclass(frozen=True)
class Equilibrium:
    """What a body is like in equilibrium; all arrays are the caller's.

    Attributes:
        strain: whole strain, stress: (6, *shape), Mandel, means over each voxel; stress in the unit of the stiffness.
        energy: density of the elastic energy, (*shape), in the unit of the stiffness.
        mean_stress: (6,). fluctuation: displacement less that of the mean strain, at the nodes, in units of the shortest edge of
            a voxel; what the next solve starts from. iterations: of conjugate gradients.
    """

    strain: Array
    stress: Array
    energy: Array
    mean_stress: Array
    fluctuation: np.ndarray
    iterations: int


class ElasticBody:
    """A periodic body on a voxel grid, whose stiffness and eigenstrain may be others at every solve.

    It keeps the device, plans and work space, and nothing of a solution: warm starts belong to the caller, who hands in the
    fluctuation of the state it comes from (so a rejected step changes nothing, and a resumed one gives the same bits).

    The default scheme has one Gauss point a voxel (Willot, C. R. Mecanique 343 (2015) 232): then ``energy`` is the discrete
    energy itself, whose variation is exact. With ``q1`` the strain varies within voxels, which ``energy`` leaves out.

    Args:
        shape: voxels along x, y, z, as many axes as there are; a body of two axes does not vary along z (plane strain).
        spacing: edge lengths of a voxel, in any unit.
        options: ``tolerance`` is the error of local strains in the norm of the energy, relative to the energy of the body held at
            its mean strain.
    """

    def __init__(self, shape: Sequence[int], spacing: Sequence[float], options: Options | None = None) -> None:
        self.shape, self.spacing = tuple(shape), tuple(spacing)
        self.options = options or Options(scheme="rotated")
        self._workspace = Workspace(operators_of(self.options, "periodic", ArrayAxes(shape, spacing, True)))

    def solve(
        self,
        stiffness: Array,
        eigenstrain: Array,
        index: np.ndarray | None = None,
        mean_strain: Array | None = None,
        start: np.ndarray | None = None,
    ) -> Equilibrium:
        """Equilibrium for a stiffness and an eigenstrain.

        Args:
            stiffness: (entries, 6, 6) Mandel with an ``index``, else one for each voxel, (6, 6, *shape); symmetric.
            eigenstrain: (6, *shape), Mandel. index: entry of every voxel, (*shape).
            mean_strain: Mandel, (6,); zero if None. start: the fluctuation of an earlier solution of this shape.

        Raises:
            ConfigError: arrays of other shapes. NotConverged: the tolerance was not reached.
        """
        if index is None:
            self._expect("stiffness", stiffness, (6, 6, *self.shape))
            stiffness = np.moveaxis(stiffness.reshape(6, 6, -1), -1, 0)
            index = np.arange(len(stiffness), dtype=np.int32).reshape(self.shape)
        self._expect("stiffness", stiffness, (len(stiffness), 6, 6))
        self._expect("index", index, self.shape)
        self._expect("eigenstrain", eigenstrain, (6, *self.shape))
        mean = np.zeros(6) if mean_strain is None else np.asarray(mean_strain, float)
        packed = pack(stiffness)
        problem = CellProblem(index, packed, self.spacing, self.options, workspace=self._workspace)
        free = np.asarray(eigenstrain, float).reshape(6, -1).T
        held = -_product(stiffness, index.ravel(), free)
        whole = np.einsum("p,pij->ij", problem.medium.weights, stiffness)
        energy = float(mean @ whole @ mean + 2 * mean @ held.mean(axis=0) - np.vdot(free, held) / len(free))
        field = held.T.reshape(6, *self.shape)
        load = Load(mean, stress_field=field, energy=energy, start=start, name="elastic equilibrium")
        (solution,) = problem.solve_all([load], keep=True)
        assert solution.fluctuation is not None
        strain = problem.strain_field(solution.fluctuation, mean)
        elastic = strain - free
        stress = _product(stiffness, index.ravel(), elastic)
        return Equilibrium(
            problem.imaged(strain),
            problem.imaged(stress),
            0.5 * np.einsum("vi,vi->v", elastic, stress).reshape(self.shape),
            stress.mean(axis=0),
            solution.fluctuation,
            solution.iterations,
        )

    @staticmethod
    def _expect(name: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
        if np.shape(array) != shape:
            raise ConfigError(name, f"has the shape {np.shape(array)}; {shape} is expected")


def _product(table: Array, index: np.ndarray, vectors: Array) -> Array:
    """``table[index] @ vectors``, (voxels, 6)."""
    out = np.empty(vectors.shape)
    for at in range(0, len(vectors), CHUNK):
        some = slice(at, at + CHUNK)
        out[some] = np.einsum("vij,vj->vi", table[index[some]], vectors[some])
    return out
