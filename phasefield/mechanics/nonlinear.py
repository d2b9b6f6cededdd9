"""The nonlinear cell problem: phases with potentials under a mean strain (or gradient), and the tangent of their mean response.

    minimise <w(x, E + grad u)> over periodic u;    S(E) = <dw/de>,    dS/dE = <C_T : (I + grad u_i)>

The mean stress S is the derivative of the effective potential, the least mean energy, by the mean strain E (Hill's lemma;
Castaneda and Suquet, Adv. Appl. Mech. 34 (1997) 171). Newton's method on the discretisation of the linear cell problem
(Gelebart and Mondon-Cancel, Comput. Mater. Sci. 77 (2013) 430): every step is a linear cell problem with a tangent of its
own in every voxel, and so is the consistent tangent, one load for each component of E.

The schemes have one Gauss point a voxel, so that what Newton's method and the line search see is the same discrete energy.
Potentials are convex where the solution goes: of others one periodic cell does not give the effective potential (Mueller,
Arch. Ration. Mech. Anal. 99 (1987) 189), and they are refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..backend.voxel import pack
from ..errors import ConfigError, NotConverged
from .axes import ArrayAxes
from .cell import CellProblem, Workspace, operators_of
from .loads import Load
from .options import Options
from .potentials import Potential
from .tensors import Array

#: For small cells of which there are many: each on a thread of its own, to an accuracy that leaves a Newton's method above
#: it quadratic.
DEFAULT = Options(scheme="rotated", tolerance=1e-8, threads=1, device="cpu")
#: Steps of Newton's method, and halvings of one of them, before it gives up.
_MOST_STEPS, _MOST_HALVINGS = 50, 30
#: Share of the slope's promise that a step has to keep (Armijo), and the share of the energy that is taken for rounding.
_ARMIJO, _ROUNDING = 1e-4, 1e-13
#: A step is about the square of the one before, and leaves about its own square: linear solves are this much more accurate.
_FORCING = 0.1
#: Steps below this are taken for quadratic ones.
_SMALL = 1e-2


def _foreseen(steps: Sequence[float]) -> float:
    """What the next step of a quadratic sequence will be at most, by a factor of ten; infinite where it is not known."""
    if len(steps) < 2 or steps[-1] > _SMALL:
        return float("inf")
    return float(10 * max(steps[-1] / steps[-2] ** 2, 1.0) * steps[-1] ** 2 + _FORCING * steps[-2] ** 4)


@dataclass(frozen=True)
class CellState:
    """A nonlinear cell in equilibrium.

    Attributes:
        mean: mean strain (Mandel, 6) or gradient (3). stress: mean stress or flux. energy: mean density.
        fluctuation: nodal values, in units of the shortest edge of a voxel.
        steps: sizes of Newton's steps, relative, in the norm of the energy. iterations: of conjugate gradients in all.
        hill: Hill-Mandel residual ``|<s:e> - <s>:<e>|`` relative to ``<|s:e|>``.
    """

    mean: Array
    stress: Array
    energy: float
    fluctuation: np.ndarray
    steps: tuple[float, ...]
    iterations: int
    hill: float


@dataclass(frozen=True)
class Tangent:
    """The derivative of the mean stress by the mean strain.

    Attributes:
        directions: components of the mean strain. matrix: (size, directions). modes: derivatives of the fluctuation, one
            for each.
        hill: the largest Hill-Mandel residual of their loads. iterations: of conjugate gradients.
    """

    directions: tuple[int, ...]
    matrix: Array
    modes: np.ndarray
    hill: float
    iterations: int


class NonlinearCell:
    """A periodic cell of voxels whose phases have potentials.

    It keeps plans and work space, nothing of a solution: warm starts are the caller's.

    Args:
        index: phase of every voxel, shape of the image (1 to 3 axes; along others nothing varies: plane strain).
        potentials: one per phase. spacing: edge lengths of a voxel.
        options: by default `DEFAULT`; scheme ``rotated`` or ``fourier``; ``tolerance`` is that of local strains in the norm
            of the energy, and of the tangent.

    Raises:
        ConfigError: potentials of both kinds, phases without potential, or a scheme with several Gauss points a voxel.
    """

    def __init__(
        self,
        index: np.ndarray,
        potentials: Sequence[Potential],
        spacing: Sequence[float] | None = None,
        options: Options | None = None,
    ) -> None:
        self.options = options or DEFAULT
        self.index = np.ascontiguousarray(index, np.int32)
        self.potentials = tuple(potentials)
        self.spacing = (1.0,) * self.index.ndim if spacing is None else tuple(spacing)
        if self.options.scheme == "q1":
            raise ConfigError(
                "solver.scheme",
                "is q1, whose strain varies within a voxel; a nonlinear phase needs one Gauss point a voxel",
                "use rotated or fourier",
            )
        sizes = {p.size for p in self.potentials}
        if len(sizes) != 1:
            raise ConfigError("potentials", "are of strains and of gradients" if sizes else "are missing")
        if self.index.min() < 0 or self.index.max() >= len(self.potentials):
            raise ConfigError(
                "index",
                f"has the phases {self.index.min()} to {self.index.max()}, {len(self.potentials)} have a potential",
            )
        (self.size,) = sizes
        self._where = [np.flatnonzero(self.index.ravel() == p) for p in range(len(self.potentials))]
        self._every = np.arange(self.index.size, dtype=np.int32).reshape(self.index.shape)
        self.axes = ArrayAxes(self.index.shape, self.spacing, self.size == 6)
        self._workspace: Workspace | None = None

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_workspace": None}  # plans and threads stay in their process

    @property
    def workspace(self) -> Workspace:
        if self._workspace is None:
            self._workspace = Workspace(operators_of(self.options, "periodic", self.axes))
        return self._workspace

    # -- local response --------------------------------------------------------------------------------------------

    def strain(self, fluctuation: np.ndarray, mean: Array) -> Array:
        """Strain (Mandel) or gradient at the voxel centres, (voxels, size)."""
        derivatives = self.workspace.operators.gradient(fluctuation)
        return self.axes.gradient_back(derivatives).reshape(-1, self.size) + np.asarray(mean)

    def energy(self, strain: Array) -> float:
        """Mean density."""
        parts = zip(self._where, self.potentials, strict=True)
        return sum(float(p.energy(strain[at]).sum()) for at, p in parts if len(at)) / len(strain)

    def flux(self, strain: Array) -> Array:
        """Stress (Mandel) or flux, (voxels, size)."""
        out = np.empty_like(strain)
        for at, potential in zip(self._where, self.potentials, strict=True):
            if len(at):
                out[at] = potential.flux(strain[at])
        return out

    def tangents(self, strain: Array) -> Array:
        """Tangents, (voxels, size, size).

        Raises:
            NotConverged: a potential is not convex there.
        """
        out = np.empty((len(strain), self.size, self.size))
        for phase, (at, potential) in enumerate(zip(self._where, self.potentials, strict=True)):
            if len(at):
                out[at] = tangent = potential.tangent(strain[at])
                lowest = np.linalg.eigvalsh(tangent)[:, 0]
                worst = int(lowest.argmin())
                if lowest[worst] < -1e-10 * np.abs(tangent[worst]).max():
                    where = ", ".join(f"{v:.3g}" for v in strain[at[worst]])
                    raise NotConverged(
                        f"the potential of phase {phase} is not convex at ({where}): lowest curvature {lowest[worst]:.3g}",
                        "one periodic cell gives effective properties of convex potentials only; load less, or change the energy",
                    )
        return out

    # -- solving ---------------------------------------------------------------------------------------------------

    def _linear(self, tangents: Array, tolerance: float) -> CellProblem:
        options = replace(self.options, tolerance=tolerance)
        return CellProblem(self._every, pack(tangents), self.spacing, options, workspace=self.workspace)

    def solve(self, mean: Array, start: np.ndarray | None = None) -> CellState:
        """Equilibrium under a mean strain (Mandel, 6) or gradient (3).

        Args:
            start: fluctuation to start from.

        Raises:
            ConfigError: a mean strain or a start of another shape, or a mean strain that is not finite.
            NotConverged: Newton's method or one of its linear solves gave up, or a potential is not convex.
        """
        mean, tolerance = np.asarray(mean, float), self.options.tolerance
        if mean.shape != (self.size,) or not np.isfinite(mean).all():
            raise ConfigError("mean", f"is {mean}; {self.size} finite numbers are expected")
        shape = (3 if self.size == 6 else 1, *self.axes.shape)
        u = np.zeros(shape) if start is None else np.array(start, float)
        if u.shape != shape:
            raise ConfigError("start", f"has the shape {u.shape}; {shape} is expected")
        steps: list[float] = []
        iterations = 0
        strain = self.strain(u, mean)
        energy = self.energy(strain)
        while True:
            stress, tangents = self.flux(strain), self.tangents(strain)
            scale = float(np.einsum("vi,vij,vj->", strain, tangents, strain)) / len(strain)
            scale += float(np.vdot(stress, stress) / max(np.trace(tangents.sum(axis=0)), 1e-300))
            if not scale > 0 or (steps and (steps[-1] <= tolerance or _foreseen(steps) <= tolerance)):
                break
            if len(steps) >= _MOST_STEPS:
                raise NotConverged(
                    f"Newton's method on the cell stopped after {len(steps)} steps", "load in smaller steps", steps
                )
            forced = min(max(_FORCING * min(steps[-1], 1.0) ** 4, tolerance) if steps else 0.1, 0.1)
            field = np.moveaxis(stress, -1, 0).reshape(self.size, *self.index.shape)
            load = Load(stress_field=field, energy=scale, name="Newton step of a cell")
            (solution,) = self._linear(tangents, forced).solve_all([load], keep=True)
            assert solution.fluctuation is not None
            iterations += solution.iterations
            slope = float(np.vdot(stress, self.strain(solution.fluctuation, np.zeros(self.size)))) / len(strain)
            u, strain, energy = self._search(u, solution.fluctuation, mean, energy, slope, scale, steps)
        local, total = np.einsum("vi,vi->v", stress, strain), stress.mean(axis=0)
        work = float(np.abs(local).mean())
        hill = abs(float(local.mean()) - float(total @ mean)) / work if work else 0.0
        return CellState(mean, total, energy, u, tuple(steps), iterations, hill)

    def _search(
        self,
        u: np.ndarray,
        step: np.ndarray,
        mean: Array,
        energy: float,
        slope: float,
        scale: float,
        steps: list[float],
    ) -> tuple[np.ndarray, Array, float]:
        """The step, halved until the energy falls as its slope promises; notes its size."""
        rounding, share = _ROUNDING * max(abs(energy), scale), 1.0
        for _ in range(_MOST_HALVINGS):
            new = u + share * step
            strain = self.strain(new, mean)
            try:
                after = self.energy(strain)
            except ConfigError:  # outside the domain of the energy
                after = np.inf
            if after <= energy + _ARMIJO * share * slope + rounding:
                steps.append((max(-slope, 0.0) / scale) ** 0.5 if share == 1.0 else 1.0)
                return new, strain, after
            share /= 2
        raise NotConverged(
            "the energy of the cell falls no further along Newton's step", "load in smaller steps", steps
        )

    def tangent(self, state: CellState, directions: Sequence[int] | None = None) -> Tangent:
        """The derivative of the mean stress by components of the mean strain (Mandel) or gradient; all of them if None."""
        directions = tuple(range(self.size) if directions is None else directions)
        problem = self._linear(self.tangents(self.strain(state.fluctuation, state.mean)), self.options.tolerance)
        loads = [Load(np.eye(self.size)[i], name=f"tangent {i}") for i in directions]
        solutions = problem.solve_all(loads, keep=True)
        return Tangent(
            directions,
            np.stack([s.mean for s in solutions], axis=1),
            np.stack([s.fluctuation for s in solutions if s.fluctuation is not None]),
            max(s.hill for s in solutions),
            sum(s.iterations for s in solutions),
        )
