"""Statistics of apparent properties over samples: moments, confidence intervals, and what the size of the samples does to them.

Apparent properties of samples of edge L scatter with a variance that falls as ``L^-a``, a = d once the samples are many
correlation lengths wide. From it follow the integral range and how large, or how many, samples must be for a wanted error (Kanit,
Forest, Galliet, Mounoury and Jeulin, Int. J. Solids Struct. 40 (2003) 3647).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import ConfigError
from ..mechanics.tensors import Array

#: Fewest samples that an interval is computed of.
FEWEST = 3
#: Spread, relative to the largest component, below which values are equal.
_EQUAL = 1e-12


def enough(count: int, size: int | None = None) -> None:
    """Refuses samples that are too few for an interval.

    Raises:
        ConfigError: fewer than `FEWEST`.
    """
    if count < FEWEST:
        many = "is one sample" if count == 1 else f"are {count} samples"
        of = "" if size is None else f" of {size} voxels"
        raise ConfigError(
            "samples", f"there {many}{of}; at least {FEWEST} are needed for an interval",
            "give more samples or members, or smaller windows",
        )  # fmt: skip


@dataclass(frozen=True)
class Estimate:
    """Mean of some samples; arrays have the shape of one sample's value.

    Attributes:
        samples: how many. std: of one sample, with ``samples - 1``. t, bca: confidence intervals of the mean, pairs low, high.
    """

    samples: int
    mean: Array
    std: Array
    t: tuple[Array, Array]
    bca: tuple[Array, Array]

    def interval(self, kind: str) -> tuple[Array, Array]:
        return self.t if kind == "t" else self.bca


def estimate(values: Array, confidence: float = 0.95, resamples: int = 2000, seed: int = 1) -> Estimate:
    """Mean, standard deviation and confidence intervals of the mean.

    The t interval is exact for normal values; the bootstrap's is bias-corrected and accelerated (Efron, J. Am. Stat. Assoc. 82
    (1987) 171), for skewed ones, and too short for fewer than some ten samples.

    Args:
        values: (samples, ...). confidence: of the intervals. resamples, seed: of the bootstrap.

    Raises:
        ConfigError: fewer than `FEWEST` samples.
    """
    import inspect

    from scipy import stats

    source = "rng" if "rng" in inspect.signature(stats.bootstrap).parameters else "random_state"  # before SciPy 1.15
    values = np.asarray(values, float)
    count = len(values)
    enough(count)
    mean, std = values.mean(axis=0), values.std(axis=0, ddof=1)
    half = float(stats.t.ppf((1 + confidence) / 2, count - 1)) * std / math.sqrt(count)
    flat = values.reshape(count, -1)
    low, high = flat.mean(axis=0), flat.mean(axis=0)
    scale = float(np.nanmax(np.abs(flat), initial=0.0))
    spread = np.flatnonzero(flat.std(axis=0) > _EQUAL * scale)
    if len(spread):
        # Columns that are equal (a symmetric tensor's) are resampled once.
        distinct, back = np.unique(flat[:, spread], axis=1, return_inverse=True)
        found = stats.bootstrap(
            (distinct,), _mean, axis=0, vectorized=True, n_resamples=resamples, confidence_level=confidence,
            method="BCa", batch=max(1, 2**22 // max(1, distinct.size)), **{source: np.random.default_rng(seed)},
        ).confidence_interval  # fmt: skip
        low[spread], high[spread] = found.low[back.ravel()], found.high[back.ravel()]
    shape = values.shape[1:]
    return Estimate(count, mean, std, (mean - half, mean + half), (low.reshape(shape), high.reshape(shape)))


def _mean(values: Array, axis: int = 0) -> Array:
    return np.asarray(np.mean(values, axis=axis))


@dataclass(frozen=True)
class Scaling:
    """``Var ~ L^-exponent``, fitted.

    Attributes:
        low, high: confidence interval of the exponent.
    """

    exponent: float
    low: float
    high: float

    def includes(self, exponent: float) -> bool:
        return self.low <= exponent <= self.high


def scaling(
    sizes: Sequence[float], variances: Sequence[float], samples: Sequence[int], confidence: float = 0.95
) -> Scaling | None:
    """The exponent of the variance of samples over their size, by least squares of logarithms.

    The logarithm of a normal sample's variance is off its own by ``psi(k) - ln k`` in the mean and has the variance
    ``psi'(k)``, k = (samples - 1)/2 (Bartlett and Kendall, J. R. Stat. Soc. Suppl. 8 (1946) 128): the first is taken out, the
    second weighs the sizes and gives the interval. Windows of one image are not independent between sizes,
    which it does not know.

    Returns:
        None of fewer than two sizes, or where nothing scatters.
    """
    from scipy import special, stats

    good = [k for k, v in enumerate(variances) if v > 0 and samples[k] >= FEWEST]
    if len({sizes[k] for k in good}) < 2:
        return None
    half = np.array([(samples[k] - 1) / 2 for k in good])
    y = np.log([variances[k] for k in good]) - (special.psi(half) - np.log(half))
    x, weight = np.log([sizes[k] for k in good]), 1 / special.polygamma(1, half)
    middle = float(weight @ x / weight.sum())
    square = float(weight @ (x - middle) ** 2)
    slope = float(weight @ ((x - middle) * y)) / square
    wide = float(stats.norm.ppf((1 + confidence) / 2)) / math.sqrt(square)
    return Scaling(-slope, -slope - wide, -slope + wide)


def integral_range(variance: float, size: float, dim: int, point: float) -> float:
    """Volume (area) in which one independent value lies: ``Var(L) L^d / Var(point)`` (Matheron 1971; Kanit et al. 2003).

    Args:
        point: variance of the property from point to point of the material, ``f (1 - f) (P1 - P2)^2`` of two phases.
    """
    return variance * size**dim / point if point > 0 and math.isfinite(point) else math.nan


@dataclass(frozen=True)
class Need:
    """What a wanted relative error of the mean takes.

    Attributes:
        error: of one sample of the size: half the interval that its value lies in. samples: how many of this size would do.
        single: whether one sample is representative, as far as is known. size: edge at which one would be. NaN where nothing
            tells.
    """

    error: float
    samples: float
    single: bool
    size: float


def need(
    mean: float, std: float, size: float, wanted: float, exponent: float, bias: float = 0.0, confidence: float = 0.95
) -> Need:
    """How many samples, or how large a one, a relative error takes.

    Args:
        wanted: relative error. exponent: of the variance over the size. bias: of this size, relative; more samples do not help
            against it.
    """
    from scipy import stats

    if not mean or not math.isfinite(std):
        return Need(math.nan, math.nan, False, math.nan)
    error = float(stats.norm.ppf((1 + confidence) / 2)) * std / abs(mean)
    count = max(1, math.ceil((error / wanted) ** 2 - 1e-9))
    larger = size * max(1.0, (error / wanted) ** (2 / exponent)) if exponent > 0 else math.nan
    return Need(error, float(count), error <= wanted and abs(bias) <= wanted, larger)
