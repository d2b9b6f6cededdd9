"""Descriptors against known microstructures."""

from __future__ import annotations

import numpy as np
import pytest

from phasefield.homogenize import Settings, build, from_array
from phasefield.homogenize.problem import Problem
from phasefield.homogenize.records import measure
from phasefield.images import descriptors


def test_of_a_laminate() -> None:
    share = np.zeros((32, 24))
    share[:8] = 1
    d = descriptors.describe(share, (1.0, 1.0), (True, True))
    assert d.fraction == 0.25
    assert d.percolates == (False, True)
    assert d.components == 1
    assert d.largest == 1.0
    assert d.two_point[0] == pytest.approx(0.25)
    assert d.lineal_path[0] == pytest.approx(0.25)
    # Chords: 8 across, 24 along.
    assert d.mean_chord == pytest.approx(16.0)


def test_of_disks_and_spheres() -> None:
    for dim, n in ((2, 96), (3, 48)):
        x = np.arange(n) - n / 2 + 0.5
        r = np.sqrt(sum(a**2 for a in np.meshgrid(*[x] * dim, indexing="ij")))
        radius = 0.3 * n
        sharp, diffuse = (r < radius).astype(float), 0.5 * (1 + np.tanh((radius - r) / 2))
        exact = (2 * np.pi * radius if dim == 2 else 4 * np.pi * radius**2) / n**dim
        for share, allowed in ((sharp, 0.05), (diffuse, 0.03)):
            area = descriptors.interface_area(share, (1.0,) * dim, (True,) * dim)
            assert area == pytest.approx(exact, rel=allowed)
        d = descriptors.describe(sharp, (1.0,) * dim, (True,) * dim)
        assert not any(d.percolates)
        assert descriptors.describe(1 - sharp, (1.0,) * dim, (True,) * dim).percolates == (True,) * dim


def test_uncorrelated_voxels() -> None:
    share = (np.random.default_rng(0).random((64, 64)) < 0.3).astype(float)
    d = descriptors.describe(share, (1.0, 1.0), (True, True))
    f = d.fraction
    np.testing.assert_allclose(d.two_point[2:], f**2, atol=0.01)
    np.testing.assert_allclose(d.lineal_path[:4], f ** np.arange(1, 5), atol=0.012)
    assert np.nanmean(d.structure_factor[1:]) == pytest.approx(f * (1 - f), rel=0.1)
    assert d.correlation_length < 1.0


@pytest.mark.parametrize("periodic", [True, False])
def test_components_against_scipy(periodic: bool) -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    inside = np.random.default_rng(2).random((20, 21, 9)) < 0.35
    labels, count = descriptors.components(inside, (periodic,) * 3)
    if not periodic:
        expected, number = ndimage.label(inside)
        assert count == number
        pairs = np.unique(np.stack([labels[inside], expected[inside]]), axis=1)
        assert pairs.shape[1] == number
    else:
        # Shifting a periodic image changes nothing.
        assert count == descriptors.components(np.roll(inside, (7, 5, 3), (0, 1, 2)), (True,) * 3)[1]


def test_walls_are_no_neighbours() -> None:
    inside = np.zeros((6, 6), bool)
    inside[0] = inside[-1] = True
    assert descriptors.components(inside, (True, True))[1] == 1
    assert descriptors.components(inside, (False, False))[1] == 2
    assert not descriptors.percolates(inside, 0, (False, False))
    assert descriptors.percolates(inside, 1, (False, False))


def test_diagonal_winding() -> None:
    """A thread that comes back shifted still winds around both axes, but does not close along one of them alone."""
    n = 8
    inside = np.zeros((n, n), bool)
    for i in range(n):
        inside[i, i] = inside[i, (i + 1) % n] = True
    assert descriptors.components(inside, (True, True))[1] == 1
    assert descriptors.percolates(inside, 0, (True, True))


def test_single_phase() -> None:
    d = descriptors.describe(np.ones((8, 8)), (1.0, 1.0), (True, True))
    assert d.percolates == (True, True)
    assert np.isnan(d.correlation_length)
    d = descriptors.describe(np.zeros((8, 8)), (1.0, 1.0), (True, True))
    assert d.components == 0
    assert d.percolates == (False, False)


def test_correlations_are_those_of_the_material_not_of_the_field() -> None:
    """Of a disk they are those of the disk, however wide its interface: the overlap of two disks."""
    n, radius = 64, 20.0
    x = np.arange(n) - n / 2 + 0.5
    r = np.hypot(x[:, None], x)
    system = build({"phases": {"a": {"conductivity": 1}, "b": {"conductivity": 10}}})
    settings = Settings(properties=("conductivity",), two_grid=False, mixing=False)
    for width in (1.5, 3.0):
        image = from_array(0.5 * (1 + np.tanh((radius - r) / width)), levels=[0, 1])
        record = measure(Problem.of(image, system, settings))
        disk = record.descriptors[1]
        assert disk.two_point[0] == disk.fraction == pytest.approx(record.fractions[1], abs=1e-12)
        assert disk.fraction == pytest.approx(np.pi * radius**2 / n**2, rel=1e-4)
        lag = disk.lag[2:20]
        lens = 2 * radius**2 * np.arccos(lag / 2 / radius) - lag / 2 * np.sqrt(4 * radius**2 - lag**2)
        np.testing.assert_allclose(disk.two_point[2:20], lens / n**2, rtol=0.015)
        assert disk.lineal_path[0] == pytest.approx(disk.fraction, rel=1e-12)
        chord = np.pi * radius / 2  # the mean one of a disk
        assert disk.mean_chord == pytest.approx(chord, rel=0.02)
        assert disk.interface_area == pytest.approx(2 * np.pi * radius / n**2, rel=0.03)
