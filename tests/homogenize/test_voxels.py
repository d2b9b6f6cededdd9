"""Fractions, normals, mixing rules, coarsening."""

from __future__ import annotations

import numpy as np
import pytest

from phasefield.errors import ConfigError
from phasefield.homogenize.mixture import Mixture
from phasefield.homogenize.reading import from_array
from phasefield.images import interface, voxels
from phasefield.images.levels import two_levels
from phasefield.mechanics.mixing import mix


def test_cut_fraction_against_sampling() -> None:
    rng = np.random.default_rng(0)
    for dim in (1, 2, 3):
        normal = rng.normal(size=(6, dim))
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        distance = rng.uniform(-0.7, 0.7, 6)
        points = (np.stack(np.meshgrid(*[np.arange(60)] * dim, indexing="ij"), -1).reshape(-1, dim) + 0.5) / 60 - 0.5
        sampled = [(points @ n + d > 0).mean() for n, d in zip(normal, distance, strict=True)]
        np.testing.assert_allclose(interface.cut_fraction(normal, distance, (1.0,) * dim), sampled, atol=0.01)


def test_cut_fraction_of_flat_faces_and_its_complement() -> None:
    distance = np.linspace(-0.6, 0.6, 13)
    flat = interface.cut_fraction(np.tile([0.0, 1.0, 0.0], (13, 1)), distance, (1, 1, 1))
    np.testing.assert_allclose(flat, np.clip(0.5 + distance, 0, 1), atol=1e-3)
    tilted = np.tile([0.6, 0.64, 0.48], (13, 1))
    both = interface.cut_fraction(tilted, distance, (1, 1, 1)) + interface.cut_fraction(tilted, -distance, (1, 1, 1))
    np.testing.assert_allclose(both, 1.0, atol=1e-12)


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("width", [1.0, 2.0, 4.0])
def test_volume_of_a_ball(dim: int, width: float) -> None:
    x = np.arange(40) - 19.7
    r = np.sqrt(sum(a**2 for a in np.meshgrid(*[x] * dim, indexing="ij")))
    geometry = voxels.from_field(0.5 * (1 + np.tanh((9.3 - r) / width)))
    volume = np.pi * 9.3**2 if dim == 2 else 4 / 3 * np.pi * 9.3**3
    assert geometry.volume_fractions[1] * 40**dim == pytest.approx(volume, rel=1e-3)


def test_a_volume_fraction_is_taken_as_one() -> None:
    x = (np.arange(320) + 0.5) / 10 - 16
    fine = np.hypot(x[:, None], x[None, :]) < 9.3
    fraction = fine.reshape(32, 10, 32, 10).mean(axis=(1, 3))
    geometry = voxels.from_field(fraction)
    assert geometry.volume_fractions[1] == pytest.approx(fraction.mean(), rel=1e-6)
    assert geometry.rule == "laminate"


@pytest.mark.parametrize("rule", voxels.RULES)
def test_mixing_lies_between_reuss_and_voigt(rule: str) -> None:
    rng = np.random.default_rng(3)
    for order in (3, 6):
        a = rng.normal(size=(4, order, order))
        first, second = (
            a[:2] @ np.swapaxes(a[:2], 1, 2) + np.eye(order),
            a[2:] @ np.swapaxes(a[2:], 1, 2) + np.eye(order),
        )
        if rule == "geometric":  # the logarithms of tensors that do not commute may leave the bounds
            first, second = np.array([[[1.0]], [[7.0]]]) * np.eye(order), np.array([[[4.0]], [[2.0]]]) * np.eye(order)
        f, n = np.array([0.3, 0.6]), np.array([[1, 0, 0], [0, 0.6, 0.8]])
        mixed = mix(rule, first, second, f, n)
        if rule == "sharp":
            np.testing.assert_array_equal(mixed, [second[0], first[1]])
            continue
        upper = mix("arithmetic", first, second, f, n)
        lower = mix("harmonic", first, second, f, n)
        for k in range(2):
            assert np.linalg.eigvalsh(upper[k] - mixed[k])[0] > -1e-10
            assert np.linalg.eigvalsh(mixed[k] - lower[k])[0] > -1e-10


def test_two_phases_as_field_and_as_fields_agree() -> None:
    x = np.arange(30) - 14.6
    phi = 0.5 * (1 + np.tanh((8.2 - np.hypot(x[:, None], x[None, :])) / 2))
    one, many = Mixture.of(voxels.from_field(phi)), Mixture.of(voxels.from_fields(np.array([1 - phi, phi])))
    pure = np.array([np.eye(3), 7 * np.eye(3)])
    np.testing.assert_allclose(one.tensors(pure)[one.index], many.tensors(pure)[many.index], atol=2e-2)
    assert one.volume_fractions[1] == pytest.approx(many.volume_fractions[1], rel=1e-3)


def test_coarse_grids_keep_the_mean() -> None:
    field = np.random.default_rng(1).random((9, 14, 5))
    coarse = voxels.coarsened(field, range(3))
    assert coarse.shape == (4, 7, 2)
    assert coarse.mean() == pytest.approx(field.mean())


def test_labels_and_fields_are_told_apart() -> None:
    rng = np.random.default_rng(0)
    assert from_array(rng.integers(0, 3, (8, 8))).kind == "labels"
    assert from_array(rng.integers(0, 2, (8, 8)) * 255.0).names == ("0", "255")
    assert from_array(rng.random((8, 8))).kind == "field"
    assert from_array(rng.integers(0, 255, (32, 32), dtype=np.uint8)).kind == "field"
    grey = np.concatenate([rng.normal(60, 5, 500), rng.normal(180, 5, 500)])
    assert two_levels(grey) == pytest.approx((60, 180), abs=2)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.array([[1.0, np.nan], [0.0, 1.0]]), "not finite"),
        (np.zeros((2, 2, 2, 2)), "4 axes"),
        (np.array(["a", "b"]), "numbers are expected"),
        (np.zeros((1, 1)), "at least 2 voxels"),
    ],
)
def test_images_that_are_none(image: np.ndarray, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_array(image)


@pytest.mark.parametrize("spacing", [(1.0, 2.0), (1.0, 2.0, 0.5)])
def test_volume_of_an_ellipsoid_of_voxels(spacing: tuple[float, ...]) -> None:
    """A ball on voxels that are not cubes: the curvature counts by the voxel's edge along each axis."""
    grid = np.meshgrid(*[(np.arange(round(40 / h)) + 0.5) * h - 19.8 for h in spacing], indexing="ij")
    r = np.sqrt(sum(a**2 for a in grid))
    geometry = voxels.from_field(0.5 * (1 + np.tanh((13.3 - r) / 4)), spacing=spacing)
    volume = np.pi * 13.3**2 if len(spacing) == 2 else 4 / 3 * np.pi * 13.3**3
    assert geometry.volume_fractions[1] * 40 ** len(spacing) == pytest.approx(volume, rel=2e-5)


def test_levels_of_a_tanh_field_that_hardly_has_bulk() -> None:
    """A disk of 4 voxels with an interface as wide: found levels give the same volume as 0 and 1, or -1 and 1, would."""
    x = np.arange(32) - 15.5
    inside = np.tanh((3.84 - np.hypot(x[:, None], x)) / 2)
    assert two_levels(0.5 * (1 + inside)) == (0.0, 1.0)
    assert two_levels(inside) == (-1.0, 1.0)
    volume = from_array(inside).voxels().volume_fractions[1] * 32**2
    assert volume == pytest.approx(np.pi * 3.84**2, rel=1e-3)


def test_levels_that_are_not_those_of_the_order_parameter_stay() -> None:
    x = np.arange(64) - 31.5
    field = 0.5 + 0.45 * np.tanh((18 - np.hypot(x[:, None], x)) / 2)
    field += np.random.default_rng(0).normal(0, 2e-3, field.shape)
    assert two_levels(field) == pytest.approx((0.05, 0.95), abs=2e-3)
