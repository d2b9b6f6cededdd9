"""Reconstructions have the two-point function they were asked for, within what they say."""

from __future__ import annotations

import numpy as np
import pytest

from phasefield.errors import ConfigError
from phasefield.homogenize import from_array
from phasefield.upscale.reconstruction import Target, reconstruct


def _disks(rng: np.random.Generator, size: int = 96, radius: float = 7.0, count: int = 14) -> np.ndarray:
    """Overlapping disks in a periodic square."""
    x = np.arange(size)
    out = np.zeros((size, size), bool)
    for a, b in rng.uniform(0, size, (count, 2)):
        dx, dy = ((x - c + size / 2) % size - size / 2 for c in (a, b))
        out |= dx[:, None] ** 2 + dy**2 < radius**2
    return out.astype(np.uint8)


def test_the_two_point_function_is_the_wanted_one() -> None:
    image = _disks(np.random.default_rng(0))
    target = Target.of_indicator(image, [True, True])
    wanted = target.on_grid(96)
    # Brute force: how often two points a lag apart lie in the phase.
    f = image.mean()
    for lag in ((0, 0), (3, 0), (2, 5), (90, 7)):
        both = np.mean(image * np.roll(image, lag, (0, 1)))
        assert wanted[lag] == pytest.approx((both - f**2) / (f - f**2), abs=1e-12)
    made = [reconstruct(target, 96, seed) for seed in range(3)]
    for each in made:
        share = each.phases.astype(float)
        assert share.mean() == pytest.approx(f, abs=1 / share.size)
        errors = []
        for lag in ((1, 0), (0, 4), (5, 5), (11, 0), (40, 20)):
            both = np.mean(share * np.roll(share, lag, (0, 1)))
            errors.append((both - f**2) / (f - f**2) - wanted[lag])
        assert np.sqrt(np.mean(np.square(errors))) < 3 * each.mismatch
        assert each.mismatch < 0.025
        assert each.mismatch < each.start / 2
    assert np.mean(made[0].phases != made[1].phases) > 0.2  # they are others
    assert (reconstruct(target, 96, 1).phases == made[1].phases).all()


def test_a_target_of_an_image_that_does_not_repeat() -> None:
    image = _disks(np.random.default_rng(1), 128, 6.0, 40)[:96, :80]
    target = Target.of_indicator(image, [False, False])
    wanted = target.on_grid(64)
    f = image.mean()
    cut = (image[3:, :-5] - f) * (image[:-3, 5:] - f)
    assert wanted[-3, 5] == pytest.approx(cut.mean() / (f - f**2), abs=1e-12)
    assert reconstruct(target, 64, 0).mismatch < 0.06


def test_in_three_dimensions_and_what_cannot_be() -> None:
    random = np.random.default_rng(2).random((8, 8, 8)) < 0.4
    image = np.kron(random, np.ones((3, 3, 3))).astype(np.uint8)
    made = reconstruct(Target.of_image(from_array(image)), 24, 0, 30)
    assert made.phases.shape == (24, 24, 24)
    assert made.mismatch < made.start
    with pytest.raises(ConfigError, match="3 phases"):
        Target.of_image(from_array(np.arange(36).reshape(6, 6) % 3))
    with pytest.raises(ConfigError, match="one phase"):
        Target.of_indicator(np.ones((8, 8)), [True, True])
