"""Labels: effective tensors of microstructures with materials, computed once and kept in a file."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import ConfigError, NotConverged
from ...homogenize.dataset import holds_properties
from ...homogenize.problem import Problem
from ...homogenize.properties import VERSION, results_of
from ...homogenize.settings import Settings as Method
from ...mechanics import tensors
from ...mechanics.materials import build
from ...mechanics.options import Options
from ...mechanics.phases import MaterialSystem
from ...mechanics.properties import PROPERTIES
from ...mechanics.tensors import Array
from ...store import open_dataset
from ..ledger import Ledger
from .features import Query
from .images import Microstructure
from .settings import Settings


@dataclass(frozen=True)
class Label:
    """A computed tensor.

    Attributes:
        query: the microstructure's moments and the phases' tensors. tensor: (6, 6) Mandel or (3, 3).
        seconds: that the solve took, nan where it was not made here. fresh: whether it was made now.
    """

    source: Microstructure
    query: Query
    tensor: Array
    seconds: float
    fresh: bool = False


def isotropic_pair(problem: Problem, name: str) -> tuple[Array, Array]:
    """The tensors of an image's two phases.

    Raises:
        ConfigError: they are not two isotropic ones with positive finite constants.
    """
    pure, extreme = problem.pure(name)
    for phase, tensor, limit in zip(problem.names, pure, extreme, strict=True):
        if limit:
            raise ConfigError(
                "material",
                f"phase {phase!r} is void or rigid; a surrogate is of phases of finite {PROPERTIES[name].title}",
            )
        if tensors.nearest_isotropic(tensor)[1] > 1e-6:
            raise ConfigError(
                "material",
                f"phase {phase!r} is not isotropic in its {PROPERTIES[name].title}; a surrogate is of two isotropic phases",
                "compute it with phasefield homogenize",
            )
    return pure[0], pure[1]


def method(prop: str, rule: str, solver: Options) -> Method:
    """How tensors are computed."""
    return Method(properties=(prop,), voxel=rule, two_grid=False, mixing=False, sensitivity=False, solver=solver)


def drawn(settings: Settings, image: Microstructure) -> Iterator[MaterialSystem]:
    """The materials of a microstructure: they depend on it and on the seed alone, not on what else is trained with."""
    rng = np.random.default_rng([settings.seed, int(image.hash[:12], 16)])
    low, high = np.log(settings.contrast)
    for _ in range(settings.samples):
        ratio = float(np.exp(rng.uniform(low, high)))
        second = {"either": rng.uniform() < 0.5, "first": False, "second": True}[settings.stiffer]
        values = (1.0, ratio) if second else (ratio, 1.0)
        nu = rng.uniform(settings.poisson[0], settings.poisson[1], 2)
        phases: dict[str, Any] = {}
        for name, value, poisson in zip("ab", values, nu, strict=True):
            elastic = settings.property == "stiffness"
            phases[name] = {settings.property: {"E": value, "nu": float(poisson)} if elastic else value}
        yield build({"name": "drawn", "phases": phases})


def labels(
    images: Sequence[Microstructure],
    settings: Settings,
    material: MaterialSystem | None,
    cache: Cache,
    say: Callable[[str], None] | None = None,
) -> list[Label]:
    """All labels of microstructures: from their files of properties, then computed, if not yet in the cache.

    Raises:
        ConfigError: a material that does not fit. NotConverged: a solve failed and ``skip`` is not said.
    """
    out: list[Label] = []
    for number, image in enumerate(images):
        if say:
            say(f"labels of microstructure {number + 1} of {len(images)}")
        out += known(image, settings)
        for system in [*drawn(settings, image), *([material] if material is not None else [])]:
            try:
                out.append(_label(image, system, settings, cache))
            except NotConverged as error:
                if not settings.skip:
                    raise
                cache.notes.append(f"left out: {image.name}: {str(error).splitlines()[0]}")
    return out


def _label(image: Microstructure, system: MaterialSystem, settings: Settings, cache: Cache) -> Label:
    how = method(settings.property, settings.voxel, settings.solver)
    problem = Problem.of(image.image, system, how)
    first, second = isotropic_pair(problem, settings.property)
    query = Query(first, second, image.moments)
    key = _key(image, first, second, settings)
    if (entry := cache.get(key, len(first))) is not None:
        return Label(image, query, *entry)
    begin = time.perf_counter()
    (result,) = results_of(problem)
    seconds = time.perf_counter() - begin
    cache.put(key, result.tensor, seconds)
    return Label(image, query, result.tensor, seconds, True)


def _key(image: Microstructure, first: Array, second: Array, settings: Settings) -> str:
    """Of a label: what it depends on."""
    numbers = " ".join(f"{v:.12g}" for v in np.concatenate([first.ravel(), second.ravel()]))
    solver = settings.solver
    how = (VERSION, settings.property, settings.voxel, solver.scheme, solver.tolerance, solver.precision)
    return hashlib.sha256(f"{image.hash} {how} {numbers}".encode()).hexdigest()[:32]


def known(image: Microstructure, settings: Settings) -> list[Label]:
    """What files of effective properties hold of a microstructure, as far as it was computed in the same way."""
    out = []
    for path in image.properties:
        if not holds_properties(path):
            continue
        with open_dataset(path) as data:
            found = _held(data.load(), image, settings)
        out += [found] if found is not None else []
    return out


def _held(data: Any, image: Microstructure, settings: Settings) -> Label | None:
    name = settings.property
    same = {"voxel": settings.voxel, "scheme": settings.solver.scheme}
    if name not in data or any(data.attrs.get(k) != v for k, v in same.items()) or data.attrs.get("plane") == "stress":
        return None
    if data.attrs.get("boundary") not in ("periodic", "all") or list(data.attrs["image_shape"]) != list(
        image.voxels.shape
    ):
        return None
    times = data["time"].values if "time" in data.coords else np.array([np.nan])
    at = [k for k, t in enumerate(times) if image.image.time is None or np.isnan(t) or np.isclose(t, image.image.time)]
    names = [str(p) for p in data["constituent"].values]
    phases = [str(p) for p in data["phase"].values]
    if not at or len(phases) != 2 or not set(phases) <= set(names):
        return None
    tensor = data[name].isel(time=at[-1]).values
    pure = np.stack([data[f"constituent_{name}"].values[names.index(p)] for p in phases])
    if PROPERTIES[name].order == 4:
        tensor, pure = tensors.from_voigt(tensor), tensors.from_voigt(pure)
    fractions = data["volume_fraction"].isel(time=at[-1]).values
    usable = np.isfinite(tensor).all() and np.isfinite(pure).all() and np.abs(pure).max(axis=(1, 2)).min() > 0
    if not usable or max(tensors.nearest_isotropic(p)[1] for p in pure) > 1e-6:
        return None
    if abs(fractions[1] - image.moments.fraction) > 1e-6:  # of another image
        return None
    return Label(image, Query(pure[0], pure[1], image.moments), tensor, float("nan"))


class Cache:
    """Labels in a file, see `Ledger`.

    Raises:
        ConfigError: the file is something else.
    """

    def __init__(self, path: Path | None) -> None:
        self.path, self.notes = path, list[str]()
        self._ledger = Ledger(path, "labels", 1, "cache", lambda entry: (entry["tensor"], entry["seconds"]))

    def __len__(self) -> int:
        return len(self._ledger.known)

    def get(self, key: str, size: int) -> tuple[Array, float] | None:
        if key not in self._ledger.known:
            return None
        tensor, seconds = self._ledger.known[key]
        return np.array(tensor).reshape(size, size), seconds

    def put(self, key: str, tensor: Array, seconds: float) -> None:
        """Raises OutputError: the file cannot be written."""
        numbers = tensor.ravel().tolist()
        self._ledger.put({"key": key, "seconds": seconds, "tensor": numbers}, (numbers, seconds))
