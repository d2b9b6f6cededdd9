"""The cell problem: the fluctuation of displacement (or potential) that a mean strain (or gradient) causes in a periodic
cell.

``K u = -B^T (C E + s)`` is solved by conjugate gradients; ``E`` is the mean strain, ``s`` the stress of stress-free strains held
at zero. Several loads go side by side, each with coefficients of its own, where their fields stay in the cache. Preconditioners:
the Green operator of a homogeneous medium on the same grid (iterations bounded by the contrast, independent of the grid, and few
for sharp phases), the same between two diagonal scalings by the local stiffness, which is what smoothly varying properties need
(Ladecky, Leute, Falsafi, Pultarova, Pastewka, Junge and Zeman, Appl. Math. Comput. 446 (2023) 127835), or the Green operator plus
a solve on the nodes at the soft side of laminate voxels (see `backend.voxel.surface`), which laminates of high contrast need.

The iteration stops on the wanted number, see `convergence`. What the connections of a solid with voids show to be zero is zero
without a solve (`connectivity`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..backend.base import MOST_THREADS
from ..backend.voxel import kernels, pack, reference_table, unpack
from ..errors import ConfigError, NotConverged
from ..keys import about, check_choices
from . import tensors
from .connectivity import carried
from .convergence import MeanStress, Progress, Work
from .fourier import FourierKernels
from .tensors import Array

SCHEMES = ("q1", "rotated", "fourier")
PRECONDITIONERS = ("auto", "green", "green-jacobi", "green-schwarz")
#: Contrast above which the nodes at the soft side of laminate voxels are worth a solve of their own: it saves iterations
#: about as the root of the contrast, and costs with the share of cut voxels (fitted to times of balls and band-limited noise).
_HIGH_CONTRAST, _SURFACE_COST = 40.0, 100.0
#: Eigenvalue that the stiffest phase has with the Green operator, where the nodes of the surface have about 1 with theirs.
_TOP = 2.0
#: Power of the local stiffness that smooth fields are scaled by: with 1, a fourth more iterations at contrast 1000.
#: Laminate voxels gain nothing from powers below 1.
_SMOOTH_POWER = 0.9
#: Voxels that the choice of the preconditioner looks at, or somewhat more.
_LOOKED_AT = 1 << 21
#: Entries treated at once where a table needs room.
_CHUNK = 1 << 14
#: Mean energy over that of the uniform gradient, in units of rounding, below which a solid with voids carries nothing.
_NOTHING = 64.0
#: Restarts that put the Hill-Mandel balance right.
_REPEATS = 2
BOUNDARIES = ("periodic", "kinematic", "static")


@dataclass(frozen=True)
class Options:
    """How cell problems are solved.

    Attributes:
        scheme: ``q1`` (2x2x2 Gauss points), ``rotated`` (one) or ``fourier`` (Moulinec-Suquet).
        preconditioner: ``green`` (sharp phases), ``green-jacobi`` (smooth fields), ``green-schwarz`` (laminate voxels of
            high contrast) or ``auto``.
        tolerance: relative accuracy of the property. max_iterations: for one load.
        precision: ``double`` or ``single``. threads: CPU threads, None for all.
        device: ``auto`` (a GPU if there is one), ``cpu`` or ``gpu``.
    """

    scheme: str = field(default="q1", metadata=about("the discretisation", SCHEMES))
    preconditioner: str = field(default="auto", metadata=about("of conjugate gradients", PRECONDITIONERS))
    tolerance: float = field(default=1e-6, metadata=about("relative accuracy of the property, between 0 and 1"))
    max_iterations: int = field(default=2000, metadata=about("for one load"))
    precision: str = field(default="double", metadata=about("of the arithmetic", ("double", "single")))
    threads: int | None = field(default=None, metadata=about("threads of the CPU, 1 or more; null for all"))
    device: str = field(
        default="auto", metadata=about("auto is a GPU if there is one with room for the solver", ("auto", "cpu", "gpu"))
    )

    def __post_init__(self) -> None:
        check_choices(self, "solver.")
        if not 0 < self.tolerance < 1:
            raise ConfigError("solver.tolerance", f"is {self.tolerance!r}; a number between 0 and 1 is expected")
        if self.max_iterations < 1:
            raise ConfigError("solver.max_iterations", f"is {self.max_iterations!r}; at least 1 is expected")
        if self.threads is not None and not 1 <= self.threads <= MOST_THREADS:
            raise ConfigError(
                "threads", f"is {self.threads}; at least 1 and at most {MOST_THREADS} are expected, or null for all"
            )


@dataclass(frozen=True)
class Load:
    """What a cell is loaded by.

    Attributes:
        mean: mean strain (Mandel, 6) or gradient (3), zero if None; with static boundaries mean stress or flux.
        stress: stress of stress-free strains, per entry, (entries, 6).
        start: fluctuation to start from. name: for messages.
    """

    mean: Array | None = None
    stress: Array | None = None
    start: np.ndarray | None = None
    name: str = "load"

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
        carried: whether there is an answer beyond rounding; if not, it is zero.
    """

    mean: Array
    energy: float
    iterations: int
    history: list[float] = field(default_factory=list)
    hill: float = 0.0
    fluctuation: np.ndarray | None = None
    carried: bool = True


class CellProblem:
    """A periodic cell of voxels with one tensor per entry of a table.

    Args:
        index: entry of every voxel, shape of the image (1 to 3 axes).
        table: (entries, 3, 3) for scalar problems, (entries, 6, 6) Mandel stiffness, in the axes of the image; or the same
            packed, (entries, 6) or (entries, 21), see `pack`.
        spacing: edge lengths of a voxel.
        cut: per entry, whether it is a mixture (see `Material`); None if none is.
        boundary: ``periodic``, ``kinematic`` (uniform strain or gradient on the faces) or ``static`` (uniform traction or flux:
            loads are then mean stresses and the answer is the mean strain).
    """

    def __init__(
        self,
        index: np.ndarray,
        table: Array,
        spacing: Sequence[float],
        options: Options | None = None,
        cut: np.ndarray | None = None,
        boundary: str = "periodic",
    ) -> None:
        options = options or Options()
        self.boundary = boundary
        if boundary != "periodic":
            if options.scheme == "fourier":
                raise ConfigError("solver.scheme", "is fourier, which is periodic", "use q1 or rotated")
            options = replace(options, preconditioner="green")
        self.options = options
        packed = table if table.ndim == 2 else pack(table)
        self.elastic = packed.shape[-1] == 21
        self.size = 6 if self.elastic else 3
        self.places = {1: (2,), 2: (0, 2), 3: (0, 1, 2)}[index.ndim]
        shape, step = [1, 1, 1], [1.0, 1.0, 1.0]
        # In units of the shortest edge, for third powers of squared derivatives must stay within single precision.
        for place, n, h in zip(self.places, index.shape, spacing, strict=True):
            shape[place], step[place] = n, h / min(spacing)
        self._turn = _axis_permutation(self.places)
        self.index = np.ascontiguousarray(index, np.int32).reshape(shape)
        self.voxels = self.index.size
        if boundary == "static":  # an entry without stiffness fills one more layer per axis
            packed = np.concatenate([packed, np.zeros((1, packed.shape[1]))])
            cut = None if cut is None else np.append(cut, False)
            self.index = np.pad(self.index, [(0, 1 if n > 1 else 0) for n in shape], constant_values=len(packed) - 1)
            shape = list(self.index.shape)
        counts = np.bincount(self.index.ravel(), minlength=len(packed))
        local = np.empty_like(packed)
        for at in range(0, len(packed), _CHUNK):
            local[at : at + _CHUNK] = pack(self._to_local(unpack(packed[at : at + _CHUNK])))
        self.weights = counts / self.index.size
        self.dtype = "float64" if options.precision == "double" else "float32"
        components = 3 if self.elastic else 1
        s0, s1, s2 = shape
        h0, h1, h2 = step
        sizes, steps = (s0, s1, s2), (h0, h1, h2)
        self.kernels: Any
        if options.scheme == "fourier":
            if options.device == "gpu":
                raise ConfigError(
                    "solver.scheme", "is fourier, which runs on the CPU only", "use q1 or rotated, or device=cpu"
                )
            if options.precision == "single":
                raise ConfigError("solver.precision", "is single, which fourier lacks", "use double, or q1 or rotated")
            self.kernels = FourierKernels(sizes, steps, components, self.index, unpack(local))
        else:
            full = options.scheme == "q1"
            shared = (sizes, steps, components, options.precision, full, options.threads)
            self.kernels = kernels(options.device, boundary, *shared)
        self.material = self.kernels.material(self.index, local, cut)
        self.stiff = packed[:, [0, 6, 11, 15, 18, 20] if self.elastic else [0, 1, 2]].sum(axis=1)
        void = (packed[: len(table)] == 0).all(axis=1)
        self.voids = bool(counts[: len(table)][void].any())
        self.carried: Array | None = None
        if self.voids and boundary == "periodic":
            self.carried = carried(~void[index], spacing, self.size)
        if self.voids and boundary == "static":
            self._refuse_bare_faces()
        self.preconditioner = self._choose(cut)
        self._reference = self._reference_medium(packed)
        self.jacobi: Any = None
        if self.preconditioner == "green-jacobi":
            power = 1.0 if cut is not None and bool(cut.any()) else _SMOOTH_POWER
            self.jacobi = self.kernels.corner_mean(self.material, _geometric_means(packed), -power / 2)
        self._surface: Any = None
        self._lowest = 0.0  # no eigenvalue is below, as far as known
        if self.preconditioner == "green-schwarz":
            self._surface = self.kernels.surface(self.material, self.stiff)
            used = self.stiff[self.weights > 0]
            self._reference *= float(used.max()) / _TOP
            self._lowest = float(used.min() / used.max()) * _TOP
        self._work: dict[int, tuple[Any, ...]] = {}

    def _refuse_bare_faces(self) -> None:
        """Tractions need something to act on."""
        k = self.kernels
        bare = k.to_host(k.corner_mean(self.material, (self.stiff > 0).astype(float))) == 0
        for d, n in enumerate(bare.shape):
            if n > 1 and np.take(bare, [0, -1], d).any():
                raise NotConverged(
                    "boundary=static puts tractions on the faces of the cell, but voids lie there",
                    "use boundary=periodic or boundary=kinematic, or exchange void for a very soft phase",
                )

    # -- axes ------------------------------------------------------------------------------------------------------

    def _to_local(self, tensor: Array) -> Array:
        """Tensors in the axes of the arrays; stiffness in Voigt form."""
        turned = tensors.rotate(tensor, self._turn)
        return tensors.to_voigt(turned) if self.elastic else turned

    def _vector_to_local(self, vector: Array) -> Array:
        """Mandel stress (..., 6) or flux (..., 3) in the axes of the arrays; stress in Voigt form."""
        if not self.elastic:
            return np.asarray(vector @ self._turn.T)
        return np.asarray(vector @ tensors.rotation_mandel(self._turn).T / tensors.FACTOR)

    def _vector_from_local(self, vector: Array) -> Array:
        if not self.elastic:
            return np.asarray(vector @ self._turn)
        return np.asarray((vector * tensors.FACTOR) @ tensors.rotation_mandel(self._turn))

    # -- preconditioner --------------------------------------------------------------------------------------------

    def _reference_medium(self, packed: Array) -> Array:
        # Only its shape matters, not its size: every voxel counts alike, else the stiffest phase would decide.
        size = np.where(self.stiff > 0, self.stiff, 1.0)
        mean = unpack((self.weights / size) @ packed)
        if not tensors.is_positive_definite(mean):
            mean, _ = tensors.nearest_isotropic(mean)
        if not tensors.is_positive_definite(mean):  # nothing conducts anywhere
            mean = np.eye(self.size)
        local = self._to_local(mean)
        if self.boundary != "periodic":  # stiffness of every component to its own derivatives
            if not self.elastic:
                return np.diag(local)[None, :]
            return np.array(
                [
                    [local[0, 0], local[5, 5], local[4, 4]],
                    [local[5, 5], local[1, 1], local[3, 3]],
                    [local[4, 4], local[3, 3], local[2, 2]],
                ]
            )
        if self.elastic:
            return reference_table(local)
        return np.array([local[i, j] for i, j in tensors.PAIRS])

    def _choose(self, cut: np.ndarray | None) -> str:
        """Green-Schwarz for laminate voxels of high contrast, Green-Jacobi if properties vary smoothly from voxel to voxel,
        else Green.
        """
        wanted = self.options.preconditioner
        used = self.stiff[self.weights > 0]
        surface = hasattr(self.kernels, "surface")
        if wanted != "auto":
            if wanted != "green" and used.min() <= 0:
                raise ConfigError("solver.preconditioner", f"is {wanted}, which cannot be used with voids", "use green")
            if wanted == "green-schwarz" and not surface:
                raise ConfigError("solver.preconditioner", f"is {wanted}, which the Fourier scheme lacks", "use green")
            return wanted
        if used.min() <= 0 or used.max() < 3 * used.min():
            return "green"
        if cut is not None and cut.any():
            longer = 1 + _SURFACE_COST * float(self.weights[: len(cut)][cut].sum())
            worth = used.max() > _HIGH_CONTRAST * longer**2 * used.min()
            return ("green-schwarz" if surface else "green-jacobi") if worth else "green"
        log = np.log(np.maximum(self.stiff, used.min()))
        # Layers at even distances tell as much of a large image as all of them, which would take longer than solving on a GPU.
        layers = np.arange(0, self.index.shape[0], -(-self.index.size // _LOOKED_AT))
        seen = self.index[layers]
        here = log[seen]
        jumps = []
        for d in range(3):
            if self.index.shape[d] > 1:
                step = np.abs(here - log[self.index[layers - 1] if d == 0 else np.roll(seen, 1, d)])
                jumps.append(step[step > 1e-9])
        every = np.concatenate(jumps)
        # The jump that half of the whole change is made in: large if phases meet sharply.
        ordered = np.sort(every)[::-1]
        share = np.cumsum(ordered)
        typical = ordered[np.searchsorted(share, share[-1] / 2)] if len(ordered) else 0.0
        return "green-jacobi" if typical < 0.4 * np.log(used.max() / used.min()) else "green"

    def _precondition(self, w: Any) -> Array:
        """``w = M w`` between the scalings; returns ``w . M w`` of every load."""
        if self._surface is None:
            return np.asarray(self.kernels.green(w, self._reference))
        self._surface.solve(w)
        return np.asarray(self.kernels.green(w, self._reference) + self._surface.add(w))

    # -- conjugate gradients ---------------------------------------------------------------------------------------

    def solve(
        self,
        mean: Array | None = None,
        stress: Array | None = None,
        start: np.ndarray | None = None,
        keep: bool = False,
        name: str = "load",
    ) -> Solution:
        """`solve_all` for one load, see `Load`."""
        return self.solve_all([Load(mean, stress, start, name)], keep)[0]

    def solve_all(self, loads: Sequence[Load], keep: bool = False) -> list[Solution]:
        """Solves for some loads, as many at once as is worth it.

        Args:
            keep: return the fluctuations.

        Raises:
            NotConverged: the tolerance was not reached; carries the history.
        """
        solutions: dict[int, Solution] = {}
        for i, load in enumerate(loads):
            if (
                self.carried is not None
                and not keep
                and load.stress is None
                and not np.any(self.carried @ load.vector(self.size))
            ):
                solutions[i] = Solution(np.zeros(self.size), 0.0, 0, carried=False)
        rest = [i for i in range(len(loads)) if i not in solutions]
        room = self.kernels.batch_bytes // (
            4 * self.index.size * self.kernels.components * np.dtype(self.dtype).itemsize
        )
        each = max(1, -(-len(rest) // max(1, -(-len(rest) // max(1, room)))))
        for at in range(0, len(rest), each):
            some = rest[at : at + each]
            solutions |= zip(some, self._solve_some([loads[i] for i in some], keep), strict=True)
        return [solutions[i] for i in range(len(loads))]

    def _solve_some(self, loads: Sequence[Load], keep: bool) -> list[Solution]:
        """Where rounding has spoilt the Hill-Mandel balance, again from what was found."""
        if self.boundary == "static":
            return self._solve_static(loads)
        tolerance, k = self.options.tolerance, self.kernels
        solutions = self._solve(loads)
        u = self._buffers(len(loads))[0]
        found = [k.to_host(u[i]) if keep or s.hill > tolerance else None for i, s in enumerate(solutions)]
        for i, load in enumerate(loads):
            for _ in range(_REPEATS):
                before = solutions[i]
                if not before.hill > tolerance:
                    break
                (solutions[i],) = self._solve([replace(load, start=found[i])])
                found[i] = k.to_host(self._buffers(1)[0][0])
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

    def _iterate(self, progress: Sequence[Progress], fields: tuple[Any, ...]) -> None:
        """Conjugate gradients until every load is done; those that are wait for the others."""
        k, n = self.kernels, self.voxels
        u, r, p, w = fields
        rz = self._precondition(w)
        k.direction(np.zeros(len(rz)), p, w, self.jacobi)
        for load, residual in zip(progress, rz.tolist(), strict=True):
            load.begin(residual / n)
        while not all(load.done for load in progress):
            pw, sums = k.apply(p, w, self.material)
            for load, curvature in zip(progress, pw.tolist(), strict=True):
                if not load.done and not curvature > 0:
                    load.stuck(curvature)
            active = np.array([not load.done for load in progress])
            if not active.any():
                break
            alpha = np.divide(rz, pw, out=np.zeros(len(rz)), where=active)
            k.advance(alpha, u, r, p, w, self.jacobi)
            new = self._precondition(w)
            for i in np.flatnonzero(active).tolist():
                progress[i].step(float(alpha[i]), float(rz[i]) / n, sums[i] / n, float(new[i]) / n)
            k.direction(np.divide(new, rz, out=np.zeros(len(rz)), where=active), p, w, self.jacobi)
            rz = new

    def _solve(self, loads: Sequence[Load]) -> list[Solution]:
        k, n = self.kernels, self.index.size
        macro = np.stack([load.vector(self.size) for load in loads])
        strain = self._vector_to_local(macro)
        if self.elastic:
            strain = strain * [1, 1, 1, 2, 2, 2]
        tables = np.stack([self.material.product(each) for each in strain])
        for table, load in zip(tables, loads, strict=True):
            if load.stress is not None:
                table += self._vector_to_local(load.stress)
        u, r, p, w = fields = self._buffers(len(loads))
        ones = np.ones(len(loads))
        total = np.stack([self.weights @ table for table in tables])
        for each in (u, r, p):
            k.assign(each, None)
        k.load(w, self.material, self._as_flux(tables))
        k.advance(ones, u, r, p, w, self.jacobi)  # with p = 0: r -= w, w = jacobi r
        started = [i for i, load in enumerate(loads) if load.start is not None]
        if started:
            for i in started:
                k.assign(u[i], loads[i].start)
            _, sums = k.apply(u, w, self.material)
            k.advance(ones, u, r, p, w, self.jacobi)
            total = total + sums / n
        nothing = _NOTHING * float(np.finfo(self.dtype).eps) * self.voids
        progress = []
        for i, load in enumerate(loads):
            pure, most = load.stress is None, float(np.abs(total[i]).max())
            progress.append(
                MeanStress(
                    load.name,
                    self.options.tolerance,
                    self.options.max_iterations,
                    strain=strain[i],
                    total=total[i],
                    least=nothing * abs(float(strain[i] @ (self.weights @ tables[i]))) if pure else -1.0,
                    floor=0.0 if pure else nothing**0.5 * most,
                    lowest=self._lowest,
                )
            )
        self._iterate(progress, fields)
        solutions = self._finish(fields, tables, strain, loads, progress)
        for solution, each in zip(solutions, progress, strict=True):
            if each.uncarried:
                solution.mean, solution.carried = np.zeros(self.size), False
        return solutions

    def _solve_static(self, loads: Sequence[Load]) -> list[Solution]:
        """Mean strain (gradient) of a cell under the tractions (flux) of a uniform stress; ``mean`` of the solution is that
        strain.
        """
        k, n = self.kernels, self.voxels
        solid = np.ones(len(self.stiff))
        solid[-1] = 0.0
        stresses = np.stack([load.vector(self.size) for load in loads])

        def uniform(vectors: Array) -> Array:
            return self._as_flux(solid[:, None] * self._vector_to_local(vectors)[:, None])

        u, r, p, w = fields = self._buffers(len(loads))
        for each in (u, r, p):
            k.assign(each, None)
        k.load(w, self.material, uniform(stresses))
        k.advance(-np.ones(len(loads)), u, r, p, w)  # r = w
        tolerance, most = self.options.tolerance, self.options.max_iterations
        progress = [Work(load.name, tolerance, most) for load in loads]
        if not self.voids:
            for load in progress:
                load.hint = "raise solver.max_iterations"
        self._iterate(progress, fields)
        strain = np.zeros((len(loads), self.size))
        for component, axis in enumerate(np.eye(self.size)):
            k.load(w, self.material, np.repeat(uniform(axis[None]), len(loads), axis=0))
            strain[:, component] = k.dot(u, w) / n
        quadratic, _ = k.apply(u, w, self.material)
        out = []
        for mean, stress, square, done in zip(strain, stresses, quadratic.tolist(), progress, strict=True):
            energy = float(mean @ stress)
            hill = abs(square / n / energy - 1) if energy else 0.0
            out.append(Solution(mean, energy, len(done.history), done.history, hill))
        return out

    def _finish(
        self,
        fields: tuple[Any, ...],
        tables: Array,
        strain: Array,
        loads: Sequence[Load],
        progress: Sequence[MeanStress],
    ) -> list[Solution]:
        """Evaluates stress and energy afresh, not from the recurrences of the iteration."""
        n = self.index.size
        u, _, _, w = fields
        quadratic, sums = self.kernels.apply(u, w, self.material)
        # <(e + grad u) : (s + C grad u)> for s = C e (+ stress-free part): the linear term is u . B^T s.
        self.kernels.load(w, self.material, self._as_flux(tables))
        linear = self.kernels.dot(u, w)
        out = []
        for i, (load, done) in enumerate(zip(loads, progress, strict=True)):
            mean = self.weights @ tables[i] + sums[i] / n
            work = float(quadratic[i] + linear[i]) / n
            internal = float(strain[i] @ mean) + work
            plain = load.stress is None and not done.uncarried
            scale = abs(internal) if plain and internal else max(abs(quadratic[i]), abs(linear[i])) / n
            hill = abs(work) / scale if scale else 0.0
            out.append(Solution(self._vector_from_local(mean), internal, len(done.history), done.history, hill))
        return out

    def energy(self, fluctuations: Sequence[np.ndarray], means: Array) -> Array:
        """``<(e_i + grad u_i) : C (e_j + grad u_j)>`` for mean gradients ``e_i`` (loads, size), a matrix (loads, loads).

        With ``q1`` and no cut voxels the mean is exact and the matrix an upper bound, converged or not.
        """
        k, n = self.kernels, self.index.size
        u, _, v, w = self._buffers(1)
        local = self._vector_to_local(means) * ([1, 1, 1, 2, 2, 2] if self.elastic else 1)
        out = np.empty((len(means), len(means)))

        def products() -> Array:
            out = []
            for fluctuation in fluctuations:
                k.assign(v[0], fluctuation)
                out.append(k.dot(v, w)[0])
            return np.array(out)

        for j, fluctuation in enumerate(fluctuations):
            table = self.material.product(local[j])
            k.assign(u[0], fluctuation)
            _, sums = k.apply(u, w, self.material)
            out[:, j] = local @ (self.weights @ table) + (local @ sums[0] + products()) / n
            k.load(w, self.material, self._as_flux(table[None]))
            out[:, j] += products() / n
        return (out + out.T) / 2

    def _as_flux(self, table: Array) -> Array:
        """(..., size) stress vectors as (..., components, 3)."""
        if not self.elastic:
            return table[..., None, :]
        return table[..., [[0, 5, 4], [5, 1, 3], [4, 3, 2]]]

    def _buffers(self, loads: int = 1) -> tuple[Any, ...]:
        """Fluctuation, residual, direction and work space of some loads."""
        if loads not in self._work:
            largest = max(self._work, default=0)
            if loads > largest:
                k = self.kernels
                self._work = {loads: (k.field(loads), k.field(loads), k.field(loads), k.spectral(loads))}
            else:
                self._work[loads] = tuple(each[:loads] for each in self._work[largest])
        return self._work[loads]

    @property
    def bytes_per_voxel(self) -> float:
        """Memory of the solver, everything counted."""
        held = [
            *(self._work[max(self._work)] if self._work else self._buffers()),
            self.material,
            self.jacobi,
            self._surface,
        ]
        total = sum(part.nbytes for part in held if part is not None)
        return total / self.index.size

    # -- local fields ----------------------------------------------------------------------------------------------

    def local_fields(self, fluctuation: np.ndarray, mean: Array, stress: Array | None = None) -> tuple[Array, Array]:
        """Strain and stress (or gradient and flux) at the voxel centres, (size, *shape of the image), Mandel components."""
        h = [2.0 / float(g) for g in self.kernels.g]
        if isinstance(self.kernels, FourierKernels):
            grad = self.kernels.gradient(fluctuation)
        else:
            grad = np.empty((fluctuation.shape[0], 3, *self.index.shape))
            for c, value in enumerate(fluctuation):
                for d in range(3):
                    diff = np.roll(value, -1, d) - value
                    for other in {0, 1, 2} - {d}:
                        diff = (diff + np.roll(diff, -1, other)) / 2
                    grad[c, d] = diff / h[d]
        if self.elastic:
            local = np.stack([grad[i, j] + (grad[j, i] if i != j else 0.0) for i, j in tensors.PAIRS])
            strain = self._vector_from_local(np.moveaxis(local, 0, -1) / [1, 1, 1, 2, 2, 2])
        else:
            strain = self._vector_from_local(np.moveaxis(grad[0], 0, -1))
        strain = strain + np.asarray(mean)
        local_table = unpack(self.material.tensor.astype(float))
        back = tensors.rotate(tensors.from_voigt(local_table) if self.elastic else local_table, self._turn.T)
        flux = np.einsum("...ij,...j->...i", back[self.index], strain)
        if stress is not None:
            flux = flux + stress[self.index]
        image = tuple(self.index.shape[p] for p in self.places)

        def shaped(a: Array) -> Array:
            return np.moveaxis(a, -1, 0).reshape(self.size, *image)

        return shaped(strain), shaped(flux)


def _geometric_means(packed: Array) -> Array:
    """Geometric means of the eigenvalues of every entry, without components that no entry carries; the largest scaled to 1.

    For laminates, soft across and stiff along, it makes a better scaling than the trace (half the iterations, measured).
    """
    scale = packed.max()
    out = np.empty(len(packed))
    carried = np.flatnonzero(np.diagonal(unpack(np.abs(packed).max(axis=0))))  # in a sheet the plane alone
    for at in range(0, len(packed), _CHUNK):
        some = unpack(packed[at : at + _CHUNK])[:, carried[:, None], carried] / scale
        out[at : at + _CHUNK] = np.maximum(np.linalg.det(some), 0.0) ** (1 / some.shape[-1])
    return np.asarray(np.maximum(out / out.max(), 1e-12))


def _axis_permutation(places: tuple[int, ...]) -> Array:
    """Rows: array axes, columns: x, y, z. The image's axes come first, the ones it lacks fill the rest."""
    rest = [p for p in range(3) if p not in places]
    out = np.zeros((3, 3))
    for axis, place in enumerate([*places, *rest]):
        out[place, axis] = 1.0
    return out
