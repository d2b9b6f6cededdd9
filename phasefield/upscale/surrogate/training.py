"""Training: parts by realisation, what is learnt from one, chosen by the second and measured on the third."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import ConfigError
from ...mechanics.tensors import AXES, NAMES, Array
from .blocks import Block, group
from .bracket import Mixture, expit, logit
from .features import Estimate, extremes
from .labels import Label
from .model import Learnt, Surrogate
from .process import learn
from .settings import Settings

#: Fewest microstructures, and how many of the test part say little about a 95th percentile.
FEWEST, FEW = 10, 50
#: Ridges that the coefficients of the rest are found with, relative to the mean square of a term; infinity leaves it out.
_RIDGES = (np.inf, 1e-1, 1e-2, 1e-3)


@dataclass(frozen=True)
class Scores:
    """Errors of some samples.

    Attributes:
        relative: Frobenius norms of the errors over those of the tensors, (samples,).
        components: errors over the tensors' norms, (samples, n, n). scaled: over the norms of Voigt - Reuss.
        contrasts: of the samples.
    """

    relative: Array
    components: Array
    scaled: Array
    contrasts: Array

    @classmethod
    def of(cls, surrogate: Surrogate, samples: Sequence[Label]) -> Scores:
        components, scaled, contrasts = [], [], []
        for s in samples:
            error = surrogate.tensor(s.query) - s.tensor
            mixture = Mixture(s.query.first, s.query.second, s.query.moments.fraction)
            width = float(np.linalg.norm(mixture.voigt - mixture.reuss))
            components.append(error / np.linalg.norm(s.tensor))
            scaled.append(error / width if width > 1e-6 * np.linalg.norm(s.tensor) else np.zeros_like(error))
            contrasts.append(next(v for k, v in s.query.ranges.items() if k.startswith("contrast")))
        parts = np.array(components)
        return cls(np.sqrt((parts**2).sum((1, 2))), parts, np.array(scaled), np.array(contrasts))

    @property
    def summary(self) -> dict[str, Any]:
        """Median, 95th percentile and largest relative error, of the components too, as plain numbers."""
        size = np.abs(self.components)
        return {
            "samples": len(self.relative),
            "median": float(np.median(self.relative)),
            "p95": float(np.quantile(self.relative, 0.95)),
            "largest": float(self.relative.max()),
            "component_p95": np.quantile(size, 0.95, 0).tolist(),
        }


def sizes_of_parts(count: int, settings: Settings) -> tuple[int, int]:
    """How many of so many realisations are for the test and for validation.

    Raises:
        ConfigError: there are too few, or too few are left for the training.
    """
    if count < FEWEST:
        raise ConfigError(
            "surrogate",
            f"there are {count} microstructures; at least {FEWEST} are needed, some hundred for errors of a few per cent",
            "different materials or times of one run count once; give more runs or images",
        )
    test, validation = (max(2, round(share * count)) for share in (settings.test, settings.validation))
    if (left := count - test - validation) < FEWEST // 2:
        raise ConfigError(
            "test",
            f"and validation take {test} and {validation} of {count} microstructures, which leaves {left} for the training; at "
            f"least {FEWEST // 2} are needed",
            "give smaller shares",
        )
    return test, validation


def parts(samples: Sequence[Label], settings: Settings) -> dict[str, list[Label]]:
    """Samples for training, validation and test; all of one realisation are in one part.

    Raises:
        ConfigError: see `sizes_of_parts`.
    """
    origins = sorted({s.source.origin for s in samples})
    # By their content, not their names: a sweep that was moved has the same parts.
    first = {s.source.origin: s.source.hash for s in reversed(samples)}
    order = sorted(origins, key=lambda o: first[o])
    np.random.default_rng(settings.seed).shuffle(order)
    test, validation = sizes_of_parts(len(order), settings)
    names = dict.fromkeys(order[:test], "test") | dict.fromkeys(order[test : test + validation], "validation")
    out: dict[str, list[Label]] = {"training": [], "validation": [], "test": []}
    for s in samples:
        out[names.get(s.source.origin, "training")].append(s)
    return out


def train(samples: Sequence[Label], settings: Settings) -> tuple[Surrogate, dict[str, Scores]]:
    """A surrogate of labels, and its errors by part.

    Raises:
        ConfigError: too few microstructures, or images of different numbers of axes.
        PhasefieldError: scikit-learn is missing.
    """
    dims = {s.query.moments.dim for s in samples}
    if len(dims) > 1:
        raise ConfigError("surrogate", "the images have two axes here and three there; a surrogate is of one kind")
    usable = [s for s in samples if not s.query.uniform]
    part = parts(usable, settings)
    (dim,) = dims
    ranges = _with_plan(extremes([s.query for s in usable]), settings)  # the told errors were measured there too
    first = part["training"][0]
    size = len(first.tensor)
    made = Surrogate(settings.property, dim, {}, ranges, {}, np.zeros((size, size)))
    made.images = sorted({s.source.hash for s in usable})
    for block in made.blocks:
        _learn_block(made, block, part, settings)
    scores = {name: Scores.of(made, part[name]) for name in part}
    made.spread = _spread(scores["test"].scaled, dim)
    made.about = {
        "errors": {name: score.summary for name, score in scores.items()},
        "by_contrast": _by_contrast(scores["test"]),
        "realisations": {name: len({s.source.origin for s in part[name]}) for name in part},
        "shapes": sorted({"x".join(map(str, s.source.voxels.shape)) for s in usable}),
        "seconds": _median([s.seconds for s in usable]),
        "voxel": settings.voxel,
        "scheme": settings.solver.scheme,
        "tolerance": settings.solver.tolerance,
        "boundary": "periodic",
        "components": list(NAMES if size == 6 else AXES),
        "coverage": _coverage(scores["test"].scaled, made.spread),
    }
    return made, scores


def _with_plan(found: dict[str, tuple[float, float]], settings: Settings) -> dict[str, tuple[float, float]]:
    """The ranges of constants that were drawn from, where they are wider than what was drawn."""
    if not settings.samples:
        return found
    planned = {
        name: settings.contrast if name.startswith("contrast") else settings.poisson
        for name in found
        if name[:3] in ("con", "Poi")
    }
    return found | {k: (min(found[k][0], p[0]), max(found[k][1], p[1])) for k, p in planned.items()}


def _learn_block(made: Surrogate, block: Block, part: Mapping[str, list[Label]], settings: Settings) -> None:
    """Learns one block from the training part; the ridge is the best of the validation part."""
    known = {name: [s.query.estimate(block) for s in samples] for name, samples in part.items()}
    targets = [
        logit(e.mixture.position(block.of(s.tensor))) for e, s in zip(known["training"], part["training"], strict=True)
    ]
    rest = np.stack([t - e.middle for t, e in zip(targets, known["training"], strict=True)])
    scale = np.stack([e.scale for e in known["training"]])
    noise = np.stack(
        [_noise(e, s, settings.solver.tolerance) for e, s in zip(known["training"], part["training"], strict=True)]
    )
    inputs = np.stack([e.inputs for e in known["training"]])
    outputs = np.where(noise < 1, block.scalars(rest) / scale, 0.0)
    process = learn(inputs, outputs, np.minimum(noise, 1e4) / scale**2, settings.seed)
    trusted = noise.max(1) < 1e-2
    best: tuple[float, Array] | None = None
    wanted = [block.of(s.tensor) for s in part["validation"]]
    for ridge in _RIDGES:
        coefficients = _coefficients(
            block, [e for e, t in zip(known["training"], trusted, strict=True) if t], rest[trusted], ridge
        )
        trial = Surrogate(made.prop, made.dim, {block.name: Learnt(process, coefficients)}, {}, {}, made.spread)
        error = _mean_error(trial, block, known["validation"], wanted)
        if best is None or error < best[0]:
            best = error, coefficients
    assert best is not None
    made.learnt[block.name] = Learnt(process, best[1])
    made.surprise[block.name] = max(float(process.std(e.inputs).max()) for held in known.values() for e in held)


def _mean_error(trial: Surrogate, block: Block, estimates: Sequence[Estimate], wanted: Sequence[Array]) -> float:
    errors = []
    for e, tensor in zip(estimates, wanted, strict=True):
        found = e.mixture.effective(expit(trial.learnt[block.name].free(e)))
        errors.append(np.linalg.norm(found - tensor) / np.linalg.norm(tensor))
    return float(np.mean(np.square(errors)))


def _noise(estimate: Estimate, sample: Label, tolerance: float) -> Array:
    """Variance of the target's scalars: the solver's tolerance, over what the phases differ by in each of them."""
    block, mixture = estimate.block, estimate.mixture
    width = np.maximum(block.scalars(mixture.voigt - mixture.reuss), 0)
    whole = block.scalars(mixture.voigt)
    slope = 0.05  # least derivative of X by S that matters
    return np.asarray((tolerance * whole / (slope * width + 1e-12 * whole)) ** 2)


def _coefficients(block: Block, estimates: Sequence[Estimate], rest: Array, ridge: float) -> Array:
    """Ridge regression of what changes with the axes, entry by entry; one row per orbit of entries."""
    count = estimates[0].terms().shape[0] if estimates else 12
    out = np.zeros((len(block.orbits), count))
    if not np.isfinite(ridge) or not estimates:
        return out
    terms = np.stack([e.terms() for e in estimates])
    target = block.rest(rest)
    for row, orbit in zip(out, block.orbits, strict=True):
        x = np.concatenate([terms[:, :, a, b] for a, b in orbit])
        y = np.concatenate([target[:, a, b] for a, b in orbit])
        square = x.T @ x
        size = np.trace(square) / count
        if size > 1e-12 * len(x):
            row[:] = np.linalg.solve(square + ridge * size * np.eye(count), x.T @ y)
    return out


def _spread(scaled: Array, dim: int) -> Array:
    """Root mean square per component, the same in all axes that are alike."""
    squares = (scaled**2).mean(0)
    order = 4 if scaled.shape[-1] == 6 else 2
    turns = np.abs(group(3, order))
    if dim == 2:  # z stays
        along = {4: 2, 2: 2}[order]
        turns = turns[[bool(t[along, along]) for t in turns]]
    return np.asarray(np.sqrt(np.mean([t @ squares @ t.T for t in turns], axis=0)))


def _coverage(scaled: Array, spread: Array) -> float:
    """Share of the test part's components within two standard deviations."""
    told = spread > 1e-9
    return float((np.abs(scaled)[:, told] <= 2 * spread[told]).mean()) if told.any() else 1.0


def _by_contrast(scores: Scores) -> list[dict[str, float]]:
    """Errors of the test part in thirds of the contrast."""
    order = np.argsort(scores.contrasts, kind="stable")
    return [
        {
            "from": float(scores.contrasts[third].min()),
            "to": float(scores.contrasts[third].max()),
            "median": float(np.median(scores.relative[third])),
            "p95": float(np.quantile(scores.relative[third], 0.95)),
        }
        for third in np.array_split(order, 3)
        if len(third)
    ]


def _median(seconds: Sequence[float]) -> float:
    finite = [s for s in seconds if np.isfinite(s)]
    return float(np.median(finite)) if finite else float("nan")
