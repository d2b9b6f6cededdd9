"""The cell problem: the fluctuation of displacement (or potential) that a mean strain (or gradient) causes in a periodic
cell.

``K u = -B^T (C E + s)`` is solved by conjugate gradients; ``E`` is the mean strain, ``s`` the stress of stress-free strains held
at zero. Several loads go side by side, each with coefficients of its own, where their fields stay in the cache. See
`preconditioners` for what makes few iterations of many.

The iteration stops on the wanted number, see `convergence`. What the connections of a solid with voids show to be zero is zero
without a solve (`connectivity`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from ..backend.voxel import VoxelGrid, VoxelOperators, pack, slab_operators, slab_order, unpack, voxel_operators
from ..errors import ConfigError, NotConverged
from ..planes import ALONE, Planes
from .axes import ArrayAxes
from .conjugate_gradients import Preconditioner
from .connectivity import carried
from .fourier import FourierOperators
from .loads import Load, Solution, UniformStress, solve_strains, solve_tractions
from .medium import CHUNK, Medium, lowest_ratio, reference_medium
from .options import Options
from .preconditioners import preconditioner
from .tensors import Array

#: Restarts that put the Hill-Mandel balance right.
_REPEATS = 2
#: Voxels up to which the fluctuations of all loads of a tensor are kept for its components.
_PAIRS = 1 << 21


def operators_of(options: Options, boundary: str, axes: ArrayAxes, planes: Planes = ALONE) -> VoxelOperators[Any, Any]:
    """The operators of a scheme on the voxels of an image, or on a share of its planes.

    Raises:
        ConfigError: options that the scheme has not. DeviceError: the device cannot be used.
    """
    components, (sizes, steps) = 3 if axes.elastic else 1, (axes.shape, axes.step)
    if boundary == "static":  # behind free faces lies a layer of voids
        sizes = (sizes[0] + (sizes[0] > 1), sizes[1] + (sizes[1] > 1), sizes[2] + (sizes[2] > 1))
    if options.scheme != "fourier":
        grid = VoxelGrid(sizes, steps, components, options.precision, full=options.scheme == "q1")
        if planes.shared:
            return slab_operators(planes, grid, options.threads)
        return voxel_operators(options.device, boundary, grid, options.threads)
    if boundary != "periodic":
        raise ConfigError("solver.scheme", "is fourier, which is periodic", "use q1 or rotated")
    if options.device == "gpu":
        raise ConfigError("solver.scheme", "is fourier, which runs on the CPU only", "use q1 or rotated, or device=cpu")
    if options.precision == "single":
        raise ConfigError("solver.precision", "is single, which fourier lacks", "use double, or q1 or rotated")
    return FourierOperators(sizes, steps, components)


class Workspace:
    """Operators of one grid with the fields that solves work on; solves of one grid may share it, one at a time."""

    def __init__(self, operators: VoxelOperators[Any, Any]) -> None:
        self.operators = operators
        self._fields: dict[int, tuple[Any, Any, Any, Any]] = {}

    def fields(self, loads: int = 1) -> tuple[Any, Any, Any, Any]:
        """Fluctuation, residual, direction and work space of some loads."""
        if loads not in self._fields:
            largest = max(self._fields, default=0)
            if loads > largest:
                k = self.operators
                self._fields = {loads: (k.field(loads), k.field(loads), k.field(loads), k.spectral(loads))}
            else:
                u, r, p, w = self._fields[largest]
                self._fields[loads] = u[:loads], r[:loads], p[:loads], w[:loads]
        return self._fields[loads]

    @property
    def nbytes(self) -> int:
        held = self._fields[max(self._fields)] if self._fields else self.fields()
        return sum(int(each.nbytes) for each in held) + self.operators.scratch_bytes


class CellProblem:
    """A periodic cell of voxels with one tensor per entry of a table.

    Args:
        index: entry of every voxel, shape of the image (1 to 3 axes).
        table: (entries, 3, 3) for scalar problems, (entries, 6, 6) Mandel stiffness, in the axes of the image; or the same
            packed, (entries, 6) or (entries, 21), see `pack`.
        spacing: edge lengths of a voxel.
        cut: per entry, whether it is a mixture (see `TensorField`); None if none is.
        boundary: ``periodic``, ``kinematic`` (uniform strain or gradient on the faces) or ``static`` (uniform traction or flux:
            loads are then mean stresses and the answer is the mean strain).
        workspace: of an earlier problem with the same grid, options and boundary.
        planes: which of the image the index holds, with a margin of one plane, where several processes solve together. The
            table is then that of what the index holds, values of fields are those of the planes, and all processes do the same.

    Attributes:
        carried: projector on the means that voids leave to be carried; None where none is lost.
    """

    def __init__(
        self,
        index: np.ndarray,
        table: Array,
        spacing: Sequence[float],
        options: Options | None = None,
        cut: np.ndarray | None = None,
        boundary: str = "periodic",
        workspace: Workspace | None = None,
        planes: Planes = ALONE,
    ) -> None:
        options = options or Options()
        self.boundary = boundary
        packed = table if table.ndim == 2 else pack(table)
        self.axes = axes = ArrayAxes(planes.shape(index.shape), spacing, packed.shape[-1] == 21)
        self.workspace = workspace or Workspace(operators_of(options, boundary, axes, planes))
        if boundary != "periodic":
            options = replace(options, preconditioner="green")
        self.options = options
        self.elastic, self.size, self.places = axes.elastic, axes.size, axes.places
        ordered = np.ascontiguousarray(slab_order(index) if planes.shared else index, np.int32)
        medium = Medium(
            ordered.reshape(len(ordered), *axes.shape[1:]) if planes.shared else ordered.reshape(axes.shape),
            packed,
            cut,
            planes,
        )
        self.voxels, self.voids, void = medium.voxels, medium.has_voids, medium.void
        self.medium = medium.with_layer_of_voids() if boundary == "static" else medium
        local = np.empty_like(self.medium.packed)
        for at in range(0, len(local), CHUNK):
            local[at : at + CHUNK] = pack(axes.tensor(unpack(self.medium.packed[at : at + CHUNK])))
        self.tensors = self.operators.tensor_field(self.medium.index, local, self.medium.cut)
        self.carried: Array | None = None
        if self.voids and boundary == "periodic":
            self.carried = carried(~void[index], spacing, self.size, planes)
        if self.voids and boundary == "static":
            self._refuse_bare_faces()
        reference = reference_medium(self.medium, axes, boundary)
        self.preconditioner: Preconditioner[Any] = preconditioner(
            options.preconditioner,
            self.operators,
            reference,
            self.tensors,
            self.medium,
            partial(lowest_ratio, self.medium) if boundary == "periodic" and not self.voids else None,
        )

    @property
    def operators(self) -> VoxelOperators[Any, Any]:
        return self.workspace.operators

    @cached_property
    def every_voxel(self) -> Any:
        """The index that gives every voxel an entry of its own."""
        return self.operators.every_voxel()

    def _refuse_bare_faces(self) -> None:
        """Tractions need something to act on."""
        k = self.operators
        bare = k.to_host(k.corner_mean(self.tensors, (self.medium.stiff > 0).astype(float))) == 0
        for d, n in enumerate(bare.shape):
            if n > 1 and np.take(bare, [0, -1], d).any():
                raise NotConverged(
                    "boundary=static puts tractions on the faces of the cell, but voids lie there",
                    "use boundary=periodic or boundary=kinematic, or exchange void for a very soft phase",
                )

    # -- the linear system -----------------------------------------------------------------------------------------

    def multiply(self, p: Any, w: Any) -> tuple[Array, Array]:
        """``w = K p``; returns ``p . K p`` and the sum of the stress (flux) over the voxels, of every load."""
        return self.operators.apply(p, w, self.tensors)

    def advance(self, alpha: Array, u: Any, r: Any, p: Any, w: Any, scaling: Any = None) -> None:
        self.operators.advance(alpha, u, r, p, w, scaling)

    def direction(self, beta: Array, p: Any, w: Any, scaling: Any = None) -> None:
        self.operators.direction(beta, p, w, scaling)

    # -- loads -----------------------------------------------------------------------------------------------------

    def solve(
        self,
        mean: Array | None = None,
        stress: Array | None = None,
        start: np.ndarray | None = None,
        keep: bool = False,
        name: str = "load",
    ) -> Solution:
        """`solve_all` for one load, see `Load`."""
        return self.solve_all([Load(mean, stress, start=start, name=name)], keep)[0]

    def solve_all(self, loads: Sequence[Load], keep: bool = False) -> list[Solution]:
        """Solves for some loads, as many at once as is worth it.

        Args:
            keep: return the fluctuations.

        Raises:
            NotConverged: the tolerance was not reached; carries the history.
        """
        solutions: dict[int, Solution] = {}
        for i, load in enumerate(loads):
            lost = self.carried is not None and not np.any(self.carried @ load.vector(self.size))
            if lost and not keep and load.plain:
                solutions[i] = Solution(np.zeros(self.size), 0.0, 0, carried=False)
        rest = [i for i in range(len(loads)) if i not in solutions]
        for some in self._batches(rest, self.operators.batch_bytes):
            solutions |= zip(some, self._solve_some([loads[i] for i in some], keep), strict=True)
        return [solutions[i] for i in range(len(loads))]

    def solve_tensor(self, loads: Sequence[Load], keep: bool = False) -> list[Solution]:
        """`solve_all` for the loads of a tensor.

        With ``solver.criterion=energy`` their mean stresses (fluxes) come from the energies of pairs of loads, ``e_i . <s_j>``
        plus the work of ``s_j`` on the fluctuation of load i. Their errors are the scalar products of the errors of two
        fluctuations, so that no component is worse than the energies are. Cells with voids and large ones are solved for as by
        `solve_all`. Fluctuations that are kept then have the error of the energy norm that the criterion leaves, its root.

        Raises:
            NotConverged: the tolerance was not reached; carries the history.
        """
        plain = all(load.plain and load.energy is None for load in loads) and self.boundary != "static"
        if self.options.criterion != "energy" or self.voids or not plain or self.voxels > _PAIRS:
            return self.solve_all(loads, keep)
        solutions: list[Solution] = []
        for some in self._batches(range(len(loads)), self.operators.tensor_bytes):
            found = [np.asarray(s.fluctuation) for s in solutions]
            solutions += self._solve_some([loads[i] for i in some], False, found)
        means = np.stack([load.vector(self.size) for load in loads])
        energies = means @ np.stack([s.mean for s in solutions], axis=1)
        for j, solution in enumerate(solutions):
            assert solution.work is not None
            energies[:j, j] += solution.work[:j]
            energies[j, :j] = energies[:j, j]
            energies[j, j] = solution.energy
        inverse = np.linalg.pinv(means)
        for solution, column in zip(solutions, energies.T, strict=True):
            solution.mean = solution.mean + inverse @ (column - means @ solution.mean)
            solution.work = None
            if not keep:
                solution.fluctuation = None
        return solutions

    def _batches(self, loads: Sequence[int], room: int) -> Iterator[Sequence[int]]:
        """As many loads at once as their fields have room for, in bytes."""
        k = self.operators
        room //= 4 * self.medium.voxels * k.components * k.dtype.itemsize
        each = max(1, -(-len(loads) // max(1, -(-len(loads) // max(1, room)))))
        for at in range(0, len(loads), each):
            yield loads[at : at + each]

    def _solve_some(
        self, loads: Sequence[Load], keep: bool, others: Sequence[np.ndarray] | None = None
    ) -> list[Solution]:
        """Where rounding has spoilt the Hill-Mandel balance, again from what was found.

        Args:
            others: fluctuations of earlier loads, where that of each is to be known to the next, see `solve_strains`.
        """
        if self.boundary == "static":
            return solve_tractions(self, loads, keep)
        tolerance, k = self.options.tolerance, self.operators
        solutions = solve_strains(self, loads, others)
        u = self.workspace.fields(len(loads))[0]
        keep = keep or others is not None
        found = [k.to_host(u[i]) if keep or s.hill > tolerance else None for i, s in enumerate(solutions)]
        for i, load in enumerate(loads):
            for _ in range(_REPEATS):
                before = solutions[i]
                if not before.hill > tolerance or load.energy is not None:
                    break
                known = None if others is None else [*others, *(np.asarray(f) for f in found[:i])]
                (solutions[i],) = solve_strains(self, [replace(load, start=found[i])], known)
                found[i] = k.to_host(self.workspace.fields()[0][0])
                solutions[i].iterations += before.iterations
                solutions[i].history = before.history + solutions[i].history
                if solutions[i].hill > before.hill / 2:  # rounding, which repeating does not cure
                    break
        for solution, fluctuation in zip(solutions, found, strict=True):
            if self.carried is not None:
                solution.mean = self.carried @ solution.mean
            if keep:
                solution.fluctuation = fluctuation
        return solutions

    # -- what follows from fluctuations ----------------------------------------------------------------------------

    def energy(self, fluctuations: Sequence[np.ndarray], means: Array) -> Array:
        """``<(e_i + grad u_i) : C (e_j + grad u_j)>`` for mean gradients ``e_i`` (loads, size), a matrix (loads, loads).

        With ``q1`` and no cut voxels the mean is exact and the matrix an upper bound, converged or not.
        """
        k, n = self.operators, self.medium.voxels
        u, _, v, w = self.workspace.fields()
        out = np.empty((len(means), len(means)))

        def products() -> Array:
            out = []
            for fluctuation in fluctuations:
                k.assign(v[0], fluctuation)
                out.append(k.dot(v, w)[0])
            return np.array(out)

        local = self.axes.gradient(means)
        for j, fluctuation in enumerate(fluctuations):
            uniform = UniformStress(self, [Load(means[j])])
            k.assign(u[0], fluctuation)
            _, sums = self.multiply(u, w)
            out[:, j] = local @ uniform.total[0] + (local @ sums[0] + products()) / n
            for write in uniform.nodal_forces(w):
                write()
                out[:, j] += products() / n
        return (out + out.T) / 2

    def strain_field(self, fluctuation: np.ndarray, mean: Array) -> Array:
        """Strain (Mandel) or gradient at the voxel centres, (voxels, size); but for ``fourier`` its mean over the voxel."""
        return self.axes.gradient_back(self.operators.gradient(fluctuation)).reshape(-1, self.size) + np.asarray(mean)

    def flux_field(self, strain: Array) -> Array:
        """Stress (Mandel) or flux of strains (voxels, size) without stress-free ones."""
        table = self.axes.tensor_back(unpack(self.tensors.tensor.astype(float)))
        return np.einsum("...ij,...j->...i", table[self.medium.index.ravel()], strain)

    def imaged(self, values: Array) -> Array:
        """(voxels, size) as ``(size, *shape)`` of the image."""
        image = tuple(self.medium.index.shape[p] for p in self.places)
        return np.moveaxis(values, -1, 0).reshape(self.size, *image)

    def local_fields(self, fluctuation: np.ndarray, mean: Array, stress: Array | None = None) -> tuple[Array, Array]:
        """Strain and stress (or gradient and flux) at the voxel centres, ``(size, *shape)`` of the image, Mandel components.

        Args:
            stress: that of stress-free strains held at zero, per entry.
        """
        strain = self.strain_field(fluctuation, mean)
        flux = self.flux_field(strain)
        if stress is not None:
            flux = flux + stress[self.medium.index.ravel()]
        return self.imaged(strain), self.imaged(flux)

    @property
    def bytes_per_voxel(self) -> float:
        """Memory of the solver, everything counted."""
        return (self.workspace.nbytes + self.tensors.nbytes + self.preconditioner.nbytes) / self.medium.index.size
