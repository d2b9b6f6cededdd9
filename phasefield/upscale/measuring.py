"""What is computed of one sample: its apparent tensors and what statistics need to know of it; and of many, side by side."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..errors import NotConverged, PhasefieldError
from ..homogenize.problem import Problem, varying
from ..homogenize.properties import results_of
from ..homogenize.result import Result, computed
from ..homogenize.sensitivity import parameters
from ..images.descriptors import correlation_length, two_point
from ..images.image import Image
from ..mechanics.phases import MaterialSystem
from ..mechanics.tensors import Array
from .statistics_settings import Request
from .windows import CUT
from .workers import whole

#: Voxels of all samples below which starting another process costs more than it saves: a second's work.
_WORTH_A_PROCESS = 1 << 18
#: Voxels of one sample above which its solver takes all threads: several would fill the memory, and gain nothing.
_LARGE = 1 << 23
#: How many threads the libraries of linear algebra take: one in each worker, or they wait for each other.
_BLAS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
#: Phases of which correlations are looked at.
_DESCRIBED = 8


@dataclass
class Values:
    """One property of one sample.

    Attributes:
        tensor: apparent, (6, 6) Mandel or (3, 3), NaN for what was not computed. others: ``voigt``, ``reuss``, and
            where they were computed ``kinematic`` and ``static``. margin: lowest of the Loewner differences of bounds and
            boundary conditions that must not be negative, relative.
        parts: relative uncertainties by the name of their evidence, ``discretisation`` and ``mixing_spread``.
        tolerance: of the solver. sharp: whether no voxel holds two phases, so that there is nothing to mix.
        parameter_std: what the uncertainties of the phases' constants make of it, a tensor; None where they have none.
        unknown: labels of constants that it depends on and that carry no uncertainty, where others do.
    """

    unit: str
    tensor: Array
    others: dict[str, Array] = field(default_factory=dict)
    margin: float = np.nan
    parts: dict[str, float] = field(default_factory=dict)
    tolerance: float = 0.0
    sharp: bool = True
    parameter_std: Array | None = None
    unknown: list[str] = field(default_factory=list)


@dataclass
class Measured:
    """What is known of one sample.

    Attributes:
        name, key: what it is called, and what tells it and its settings from all others. voxels: its nominal edge.
        edge: the dim-th root of its volume. axes: those that anything varies along. length: correlation length of its phases.
        mismatch: of a reconstruction's two-point function. density: and its standard uncertainty, NaN where it is not known.
        boundary: that the tensors have. phases, fractions: of the image. facts: what must be the same of all samples.
    """

    name: str
    key: str
    voxels: int
    edge: float
    axes: list[int]
    length: float
    boundary: str
    phases: list[str]
    fractions: list[float]
    values: dict[str, Values]
    facts: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    mismatch: float = np.nan
    density: tuple[float, float] = (np.nan, np.nan)

    @property
    def dim(self) -> int:
        return len(self.axes)

    @property
    def ratio(self) -> float:
        """Correlation length over the edge."""
        return self.length / self.edge

    def to_json(self) -> dict[str, Any]:
        out = dict(vars(self))
        out["values"] = {
            name: {
                **vars(v), "tensor": v.tensor.tolist(), "others": {n: a.tolist() for n, a in v.others.items()},
                "parameter_std": None if v.parameter_std is None else v.parameter_std.tolist(),
            }
            for name, v in self.values.items()
        }  # fmt: skip
        return out

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Measured:
        def values(v: Mapping[str, Any]) -> Values:
            others = {n: np.asarray(a, float) for n, a in v["others"].items()}
            spread = v["parameter_std"]
            spread = None if spread is None else np.asarray(spread, float)
            return Values(**{**v, "tensor": np.asarray(v["tensor"], float), "others": others, "parameter_std": spread})

        made = {name: values(v) for name, v in told["values"].items()}
        return cls(**{**told, "values": made, "density": tuple(told["density"])})


@dataclass(frozen=True)
class Task:
    """A sample to compute: its image and what is known of it beforehand.

    Attributes:
        length: correlation length if that of a larger image is known. mismatch: of a reconstruction.
        seed: of random orientations, that of the request unless told.
    """

    name: str
    key: str
    voxels: int
    image: Image
    length: float | None = None
    mismatch: float = np.nan
    seed: int | None = None


@dataclass(frozen=True)
class Failed:
    """A sample of which nothing came, and why."""

    name: str
    reason: str


def measure(task: Task, system: MaterialSystem, request: Request) -> Measured:
    """Apparent properties of a sample, in double precision where single is not enough.

    Raises:
        PhasefieldError: what `homogenize` raises.
    """
    image = task.image
    request = request if task.seed is None else replace(request, seed=task.seed, threads=None, device=None)
    periodic = all(b == "periodic" for b, n in zip(image.boundary, image.shape, strict=True) if n > 1)
    results, problem = _solved(image, system, request, periodic or has_voids(system, request))
    settings = problem.settings
    axes = varying(image.shape)
    volume = float(np.prod([image.shape[d] * image.spacing[d] for d in axes]))
    fractions = problem.voxels.volume_fractions
    sums = np.bincount(problem.assignment.phase, fractions, minlength=len(system.phases))
    warnings = [w for r in results for w in r.warnings if not w.startswith("the cell is small") and f"({CUT})" not in w]
    return Measured(
        task.name,
        task.key,
        task.voxels,
        volume ** (1 / len(axes)),
        axes,
        _length(problem) if task.length is None else task.length,
        settings.boundary,
        [p.name for p in system.phases],
        sums.tolist(),
        {r.name: _values(r, problem) for r in results},
        {
            "spacing": list(image.spacing), "unit": image.unit, "axes": len(image.shape),
            "unit of density": "kg/m^3" if system.united else "1",
        },
        list(dict.fromkeys(warnings)),
        task.mismatch,
        system.density(problem.assignment.phase, fractions),
    )  # fmt: skip


def has_voids(system: MaterialSystem, request: Request) -> bool:
    """Whether a phase resists nothing: on voids in the faces uniform tractions have no answer."""
    return any(
        p.values.get(n) == 0.0 for p in system.phases for n in request.properties if isinstance(p.values.get(n), float)
    )


def _solved(image: Image, system: MaterialSystem, request: Request, periodic: bool) -> tuple[list[Result], Problem]:
    """The results with the precision asked for, or in double where rounding shows."""
    problem = Problem.of(image, system, request.settings(periodic))
    single = request.solver.precision == "single"
    try:
        results = results_of(problem)
        if not single or not any(w.startswith("rounding keeps") for r in results for w in r.warnings):
            return results, problem
    except NotConverged:
        if not single:
            raise
    problem = replace(problem, settings=request.settings(periodic, "double"))
    return results_of(problem), problem


def _values(result: Result, problem: Problem) -> Values:
    e = result.evidence
    others = {"voigt": result.voigt, "reuss": result.reuss}
    shown = {n: computed(v, result.components) for n, v in others.items() if v is not None}
    shown |= {n: computed(v, result.faces) for n, v in result.boundary.items()}
    margins = [v for n, v in e.items() if n.startswith("margin_")] or [
        e[n] for n in ("voigt_margin", "reuss_margin") if n in e
    ]
    parts: dict[str, float] = {n: float(e[n]) for n in ("discretisation", "mixing_spread") if n in e}
    made = result.propagation
    unknown: list[str] = []
    if made is not None and result.sensitivity is not None:
        felt = np.abs(result.sensitivity).max(axis=(1, 2)) > 0
        known = parameters(problem)
        unknown = [n for (n, c), on in zip(known.items(), felt, strict=True) if on and c.spread is None]
    return Values(
        result.unit, computed(result.tensor, result.components), shown, float(min(margins, default=np.nan)), parts,
        problem.settings.solver.tolerance, not problem.image.diffuse,
        None if made is None or not made.tensor.std.any() else computed(made.tensor.std, result.components), unknown,
    )  # fmt: skip


def _length(problem: Problem) -> float:
    """The largest correlation length of the phases."""
    image, geometry = problem.image, problem.voxels
    count = min(image.phases, _DESCRIBED) if image.phases != 2 else 1  # of two phases both have the same
    found = [length_of(geometry.share(k), image) for k in range(count)]
    return max((v for v in found if np.isfinite(v)), default=np.nan)


def length_of(share: Array, image: Image) -> float:
    """Correlation length of the phase that fills ``share`` of every voxel of an image."""
    pairs = [(s, n) for s, n in zip(image.spacing, share.shape, strict=True) if n > 1]
    step = min(s for s, _ in pairs)
    lag = np.arange(max(2, int(min(s * n for s, n in pairs) / 2 / step) + 1)) * step
    values = two_point(np.asarray(share, float), image.spacing, [b == "periodic" for b in image.boundary], lag)
    values[0] = share.mean()
    return correlation_length(lag, values, float(share.mean()))


# -- many --------------------------------------------------------------------------------------------------------------


def workers_for(request: Request, samples: int, voxels: int, threads: int, gpu: bool) -> int:
    """Processes that pay: one for every thread, unless there is little to do, samples are large, or a GPU does it.

    Args:
        samples, voxels: how many are left to compute, and of how many voxels each. threads: of this machine.
    """
    if request.workers is not None:
        return min(request.workers, max(1, samples))
    if gpu or voxels > _LARGE or samples * voxels < _WORTH_A_PROCESS:
        return 1
    return max(1, min(threads, samples))


def measure_all(
    tasks: Iterable[Task | Failed], system: MaterialSystem, request: Request, workers: int, threads: int
) -> Iterator[Measured | Failed]:
    """Every sample as it is done; few of them are in memory at a time.

    Args:
        threads: of this machine, which the workers share.

    Raises:
        ConfigError: a worker was lost; the samples that were done before have come.
    """
    if workers == 1:
        for task in tasks:
            yield task if isinstance(task, Failed) else _attempt(task, system, request)
        return
    each = replace(request.solver, threads=max(1, threads // workers))
    request = replace(request, solver=each, threads=None)
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin, (system, request))
    waiting: set[Future[Measured | Failed]] = set()
    before = {name: os.environ.get(name) for name in _BLAS}
    os.environ.update(dict.fromkeys(_BLAS, "1"))  # which the workers find when they load NumPy
    try:
        with whole("use fewer workers, workers=1"):
            for task in tasks:
                if isinstance(task, Failed):
                    yield task
                    continue
                waiting.add(pool.submit(_work, task))
                if len(waiting) >= 2 * workers:
                    done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in done)
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
    except BaseException:
        for process in list(getattr(pool, "_processes", {}).values()):
            process.terminate()
        raise
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})
        pool.shutdown(wait=False, cancel_futures=True)


def _attempt(task: Task, system: MaterialSystem, request: Request) -> Measured | Failed:
    try:
        return measure(task, system, request)
    except PhasefieldError as error:
        return Failed(task.name, str(error))


_shared: list[Any] = []


def _begin(system: MaterialSystem, request: Request) -> None:
    """A worker's beginning: what all its samples share. Interruptions are its parent's to handle."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _shared[:] = [system, request]


def _work(task: Task) -> Measured | Failed:
    return _attempt(task, *_shared)
