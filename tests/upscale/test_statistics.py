"""Intervals and exponents against what theory says of known distributions and media."""

from __future__ import annotations

import numpy as np
import pytest

from phasefield.errors import ConfigError
from phasefield.upscale.statistics import estimate, integral_range, need, scaling


def test_intervals_cover_the_mean_as_often_as_they_say() -> None:
    random, trials = np.random.default_rng(3), 300
    normal = random.normal(2.0, 0.5, (20, trials))
    made = estimate(normal, 0.9, 500)
    for kind, slack in (("t", 0.0), ("bca", 0.03)):
        low, high = made.interval(kind)
        # Three standard errors of a share of 0.9 among 300; the bootstrap of 20 values is a little short.
        assert np.mean((low <= 2.0) & (high >= 2.0)) == pytest.approx(0.9, abs=0.052 + slack), kind
    # Skewed values, of which BCa knows: it misses on both sides more evenly than the symmetric t interval.
    skewed = random.exponential(1.0, (25, trials))
    made = estimate(skewed, 0.9, 500)
    sides = {kind: np.mean(made.interval(kind)[1] < 1) - np.mean(made.interval(kind)[0] > 1) for kind in ("t", "bca")}
    assert 0 <= sides["bca"] < sides["t"]


def test_values_that_are_equal_and_samples_that_are_few() -> None:
    values = np.zeros((5, 2, 2))
    values[:, 0, 0], values[:, 0, 1] = [1, 2, 3, 4, 5], 7.0
    made = estimate(values)
    assert made.t[0][0, 1] == made.bca[1][0, 1] == 7.0
    assert made.std[0, 1] == 0
    assert made.std[0, 0] == pytest.approx(np.sqrt(2.5))
    assert made.bca[0][0, 0] < 3 < made.bca[1][0, 0]
    with pytest.raises(ConfigError, match="at least 3"):
        estimate(values[:2])


def _cells(rng: np.random.Generator, size: int, count: int) -> np.ndarray:
    """Samples of a checkerboard of independent cells of 4 voxels that are 1 with probability 0.3, by their mean (Voigt)."""
    cells = rng.random((count, size // 4, size // 4)) < 0.3
    return cells.mean(axis=(1, 2))


def test_the_exponent_and_the_integral_range_of_independent_cells() -> None:
    rng, sizes = np.random.default_rng(0), (16, 32, 64, 128)
    inside, exponents = 0, []
    for _ in range(100):
        counts = (64, 32, 16, 8)
        variances = [float(np.var(_cells(rng, s, n), ddof=1)) for s, n in zip(sizes, counts, strict=True)]
        fit = scaling(sizes, variances, counts)
        assert fit is not None
        inside += fit.includes(2.0)
        exponents.append(fit.exponent)
    assert np.mean(exponents) == pytest.approx(2.0, abs=0.07)  # Var = f (1 - f) (4 / L)^2 exactly
    assert 88 <= inside <= 100  # of intervals of 95 %
    variance = float(np.var(_cells(rng, 64, 4000), ddof=1))
    assert integral_range(variance, 64, 2, 0.3 * 0.7) == pytest.approx(16, rel=0.08)


def test_what_an_error_takes() -> None:
    one = need(10.0, 0.5, 64.0, 0.01, 2.0)
    assert one.error == pytest.approx(1.96 * 0.05, rel=1e-3)
    assert not one.single
    assert one.samples == 97  # (9.8 %/1 %)^2 = 96.04
    assert one.size == pytest.approx(64 * 9.7998, rel=1e-3)
    assert need(10.0, 0.05, 64.0, 0.01, 2.0).single
    assert not need(10.0, 0.05, 64.0, 0.01, 2.0, bias=0.02).single
