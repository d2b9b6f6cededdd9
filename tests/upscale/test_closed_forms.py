"""Statistics and indices against closed forms: the Boolean model, Ishigami's function, intervals that hold as often as told."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate

from phasefield.upscale.statistics import estimate, integral_range, scaling
from phasefield.upscale.uncertainty import _indices, _saltelli

RADIUS, EDGE, UNCOVERED = 4.0, 512, 0.6
DENSITY = -np.log(UNCOVERED) / (np.pi * RADIUS**2)


def boolean(rng: np.random.Generator) -> np.ndarray:
    """What disks at the points of a Poisson process leave uncovered, on a periodic grid (Matheron 1975)."""
    covered, around = np.zeros((EDGE, EDGE), bool), np.arange(-5, 6)
    for x, y in rng.random((rng.poisson(DENSITY * EDGE**2), 2)) * EDGE:
        i, j = int(x) + around, int(y) + around
        inside = (i[:, None] + 0.5 - x) ** 2 + (j + 0.5 - y) ** 2 < RADIUS**2
        covered[np.ix_(i % EDGE, j % EDGE)] |= inside
    return ~covered


def covariance(h: float) -> float:
    """``p^2 (exp(density K(h)) - 1)``, K the area that two disks at the distance h share."""
    u = min(h / (2 * RADIUS), 1.0)
    shared = 2 * RADIUS**2 * (np.arccos(u) - u * np.sqrt(1 - u * u))
    return UNCOVERED**2 * float(np.expm1(DENSITY * shared))


def variance(edge: int) -> float:
    """Of the share of a square window."""
    reach = min(edge, 2 * RADIUS)

    def weighted(x: float, y: float) -> float:
        return (1 - x / edge) * (1 - y / edge) * covariance(float(np.hypot(x, y)))

    return 4 * integrate.dblquad(weighted, 0, reach, 0, reach, epsrel=1e-4)[0] / edge**2


def test_the_boolean_model() -> None:
    rng, sizes = np.random.default_rng(5), [16, 32, 64]
    fields = [boolean(rng) for _ in range(6)]
    shares = [
        np.concatenate([f.reshape(EDGE // n, n, EDGE // n, n).mean((1, 3)).ravel() for f in fields]) for n in sizes
    ]
    found, exact = [float(s.var(ddof=1)) for s in shares], [variance(n) for n in sizes]
    for share, one, other in zip(shares, found, exact, strict=True):
        assert one == pytest.approx(other, rel=4 * np.sqrt(2 / len(share)))  # four standard errors
    point = UNCOVERED * (1 - UNCOVERED)
    area = 2 * np.pi * integrate.quad(lambda h: h * covariance(h), 0, 2 * RADIUS)[0] / point
    assert integral_range(exact[-1], 64, 2, point) == pytest.approx(area, rel=0.09)  # of a window, too small by O(R/L)
    assert integral_range(found[-1], 64, 2, point) == pytest.approx(area, rel=0.2)
    fit = scaling(sizes, found, [len(s) for s in shares])
    slope = -np.polyfit(np.log(sizes), np.log(exact), 1)[0]
    assert fit is not None
    assert fit.includes(slope)
    assert not fit.includes(2.0)  # these windows are not yet many correlation lengths wide


@pytest.mark.parametrize(
    ("draw", "mean"),
    [
        (lambda rng: rng.standard_normal(30), 0.0),
        (lambda rng: rng.lognormal(0.0, 0.5, 30), np.exp(0.125)),
    ],
    ids=["normal", "lognormal"],
)
def test_intervals_hold_the_mean_as_often_as_they_say(draw, mean) -> None:
    rng, trials, held = np.random.default_rng(2), 200, np.zeros(2)
    for k in range(trials):
        made = estimate(draw(rng), 0.9, 400, seed=k)
        held += [low <= mean <= high for low, high in (made.t, made.bca)]
    # Three standard errors around 0.9; the bootstrap of thirty samples is known to be some per cents short.
    assert np.all(np.abs(held / trials - [0.9, 0.88]) < 3 * np.sqrt(0.9 * 0.1 / trials))


def test_sobol_indices_of_ishigami() -> None:
    """Ishigami and Homma (1990), a = 7, b = 0.1: an input that acts through another alone, one that acts by itself."""
    angle = np.pi * (2 * _saltelli(3, 1024, 1) - 1)
    y = np.sin(angle[:, 0]) + 7 * np.sin(angle[:, 1]) ** 2 + 0.1 * angle[:, 2] ** 4 * np.sin(angle[:, 0])
    first, near, total, around = _indices(y, 3, 1)
    np.testing.assert_allclose(first, [0.3139, 0.4424, 0.0], atol=0.01)
    np.testing.assert_allclose(total, [0.5576, 0.4424, 0.2437], atol=0.01)
    assert np.all(near < 0.1)
    assert np.all(around < 0.1)
