"""``surrogate check``: what a surrogate promises, tried on random queries, and its errors on microstructures it has not seen."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...homogenize.bounds import loewner_margin
from ...mechanics.materials import system_of
from ...mechanics.tensors import Array, isotropic_stiffness, rotation_mandel
from .blocks import group
from .bracket import Mixture
from .features import Query
from .fitting import cache_of, reading
from .images import collect
from .labels import labels
from .model import Surrogate
from .moments import Moments
from .settings import Settings
from .training import Scores

#: What counts as a violation: rounding of the bounds themselves, relative to Voigt's.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Promises:
    """Random queries.

    Attributes:
        queries: how many. not_positive, beyond_voigt, below_reuss: tensors that are so. equivariance: largest relative difference
            between the tensor of a turned or mirrored image and the turned or mirrored tensor.
    """

    queries: int
    not_positive: int
    beyond_voigt: int
    below_reuss: int
    equivariance: float

    @property
    def kept(self) -> bool:
        return not (self.not_positive or self.beyond_voigt or self.below_reuss) and self.equivariance < 1e-9


@dataclass(frozen=True)
class Checked:
    """What came of a check; ``scores`` of new microstructures, if any, and how many of those given were trained with."""

    surrogate: Surrogate
    promises: Promises
    scores: Scores | None = None
    seen: int = 0
    notes: tuple[str, ...] = ()


def check(
    surrogate: Surrogate,
    paths: Sequence[str] = (),
    settings: Settings | None = None,
    beside: Path | None = None,
    show: Callable[[str], None] | None = None,
) -> Checked:
    """Tries the promises of a surrogate, and measures its errors on microstructures that it was not trained with.

    Args:
        paths: sweeps, runs or images, whose tensors are computed. beside: the surrogate's file, for the cache of labels.
    """
    settings = settings or Settings()
    promises = try_promises(surrogate, settings.queries, settings.seed, show)
    if not paths:
        return Checked(surrogate, promises)
    about = surrogate.about
    solver = dataclasses.replace(settings.solver, scheme=about["scheme"], tolerance=about["tolerance"])
    same = dataclasses.replace(settings, property=surrogate.prop, voxel=about["voxel"], solver=solver)
    notes: list[str] = []
    found = collect(paths, reading(same), same.skip, notes.append)
    new = [m for m in found if m.hash not in set(surrogate.images)]
    material = system_of(settings.material) if settings.material is not None else None
    cache = cache_of(same, beside or Path("surrogate.nc"))
    made = labels(new, same, material, cache, show)
    for label in made:
        surrogate.check_kind(label.query)
    usable = [label for label in made if not label.query.uniform]
    return Checked(
        surrogate,
        promises,
        Scores.of(surrogate, usable) if usable else None,
        len(found) - len(new),
        (*notes, *cache.notes),
    )


def try_promises(surrogate: Surrogate, queries: int, seed: int, show: Callable[[str], None] | None = None) -> Promises:
    """Random images and phases, half of them beyond the range of the training."""
    rng = np.random.default_rng(seed)
    turns = group(surrogate.dim, 2)
    failed = np.zeros(3, int)
    worst = 0.0
    for number in range(queries):
        if show and number % 100 == 0:
            show(f"random query {number} of {queries}")
        share = random_share(surrogate, rng)
        first, second = random_phases(surrogate, rng, wide=number % 2 == 1)
        query = Query(first, second, Moments.of(share, (1.0,) * share.ndim))
        tensor = surrogate.tensor(query)
        mixture = Mixture(first, second, query.moments.fraction)
        failed += [
            np.linalg.eigvalsh(tensor)[0] <= 0,
            loewner_margin(mixture.voigt, tensor) < -_ROUNDING,
            loewner_margin(tensor, mixture.reuss) < -_ROUNDING,
        ]
        if number % 10 == 0:
            turn = turns[rng.integers(len(turns))]
            again = surrogate.tensor(Query(first, second, Moments.of(turned(share, turn), (1.0,) * share.ndim)))
            q = np.eye(3)
            q[: share.ndim, : share.ndim] = turn
            q = rotation_mandel(q) if len(tensor) == 6 else q
            worst = max(worst, float(np.linalg.norm(again - q @ tensor @ q.T) / np.linalg.norm(tensor)))
    return Promises(queries, int(failed[0]), int(failed[1]), int(failed[2]), worst)


def turned(share: Array, turn: Array) -> Array:
    """An image whose axes are permuted and reflected: what was along axis b is along the axis a with ``turn[a, b] = +-1``."""
    places = np.abs(turn).argmax(1)
    out = np.transpose(share, places)
    flipped = [a for a, b in enumerate(places) if turn[a, b] < 0]
    return np.flip(out, tuple(flipped))


def random_share(surrogate: Surrogate, rng: Any) -> Array:
    """A thresholded Gaussian field, stretched along a random direction, of a fraction from 2 to 98 %."""
    n, dim = (32, 2) if surrogate.dim == 2 else (12, 3)
    k = np.stack(np.meshgrid(*[np.fft.fftfreq(n)] * dim, indexing="ij"))
    axis = rng.standard_normal(dim)
    axis /= np.linalg.norm(axis)
    length, stretch = rng.uniform(1.5, n / 5), np.exp(rng.uniform(-1.2, 1.2))
    squares = (k**2).sum(0) + (stretch**2 - 1) * np.tensordot(axis, k, 1) ** 2
    noise = np.fft.fftn(rng.standard_normal((n,) * dim))
    values = np.fft.ifftn(noise * np.exp(-5 * squares * length**2)).real
    return np.asarray(values > np.quantile(values, rng.uniform(0.02, 0.98))).astype(float)


def random_phases(surrogate: Surrogate, rng: Any, wide: bool) -> tuple[Array, Array]:
    """Isotropic phases within the range of the training, or with contrasts up to 1000 and Poisson's ratios from -0.5 to 0.49."""
    top = 1000.0 if wide else next(v[1] for k, v in surrogate.ranges.items() if k.startswith("contrast"))
    values = np.exp(rng.uniform(0, np.log(top), 2))
    if surrogate.order == 2:
        return values[0] * np.eye(3), values[1] * np.eye(3)
    low, high = (-0.5, 0.49) if wide else (0.1, 0.4)
    nu = rng.uniform(low, high, 2)
    first, second = (
        isotropic_stiffness(e / (3 * (1 - 2 * v)), e / (2 * (1 + v))) for e, v in zip(values, nu, strict=True)
    )
    return first, second
