"""The printed uncertainty covers the truth, and voxels at interfaces of any contrast are better than sharp ones or laminates.

The whole battery is in docs/results/homogenization_battery.md.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from homogenization_battery import COUNT, RESOLVED, cases, outcome
from test_homogenization_exact import disk, effective, grid, isotropic, tanh, word

from phasefield.homogenize import from_array
from phasefield.homogenize.merging import merged
from phasefield.homogenize.mixture import Mixture
from phasefield.homogenize.unresolved import mean_chord
from phasefield.mechanics import tensors
from phasefield.mechanics.mixing import mix
from phasefield.verify.exact_media import CUBIC, disks, fibres, spheres


def test_uncertainty_covers_the_truth() -> None:
    """Small cases of those kept aside: 24, of which one may be missed (1 of 20 is meant to be)."""
    found = []
    for case in cases(range(1, COUNT, 2)):
        if case.image.values[..., 0].size * case.image.shape[-1] <= (48**2 if len(case.image.shape) == 2 else 16**3):
            found.append(outcome(case))
        if len(found) == 24:
            break
    missed = [o for o in found if not o.covered]
    assert len(found) == 24
    assert len(missed) <= 2, missed
    assert np.median([o.estimate / o.error for o in found]) < 6


def test_uncertainty_of_what_half_a_grid_does_not_show() -> None:
    """Structures as fine as the voxels, nearly incompressible phases: the small ones of those kept aside."""
    some = [c for c in cases(range(RESOLVED + 1, COUNT, 2)) if c.image.values.size <= 64**2]
    found = [outcome(case) for case in some]
    assert len(found) > 15
    assert all(o.covered for o in found), [o for o in found if not o.covered]
    assert np.median([o.estimate / o.error for o in found if o.error > 1e-6]) < 3


@pytest.mark.parametrize("n", [16, 40])
def test_noise_in_bulk_moduli_is_told_from_what_it_is_of(n: int) -> None:
    """Any arrangement of phases of one shear modulus has Hill's K: trilinear elements are far off, and say so; of a large image
    by a block of it.
    """
    labels = np.random.default_rng(1).integers(0, 3, (n, n, n))
    bulk, shear = np.array([5.0, 40.0, 200.0]), 10.0
    shares = np.bincount(labels.ravel()) / labels.size
    exact = 1 / (shares / (bulk + 4 * shear / 3)).sum() - 4 * shear / 3
    result = effective(labels, [tensors.isotropic_stiffness(k, shear) for k in bulk], "stiffness", 1e-4, two_grid=True)
    error = result.moduli["K"] / exact - 1
    assert error > 0.5
    assert error < result.evidence["discretisation"] < 3 * error
    assert any("as fine as the voxels" in w for w in result.warnings)


def test_mean_chords_of_voxels() -> None:
    i = np.indices((8, 8, 8))
    for labels, exact in ((i.sum(0) % 2, 1.0), (i[0] // 2 % 2, 6.0), (i.sum(0) // 2 % 2, 2.0), (0 * i[0], math.inf)):
        assert mean_chord(from_array(labels).voxels()) == pytest.approx(exact)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_uncertainty_of_the_whole_battery() -> None:
    found = [outcome(case) for case in cases(range(1, COUNT, 2))]
    assert np.mean([o.covered for o in found]) >= 0.95
    assert np.median([o.estimate / o.error for o in found]) < 5


@pytest.mark.parametrize("k", [0, 1e-6, 1e-4, 1e-2, 0.02, 50, 100, 1e4, 1e6, math.inf])
def test_diffuse_disks_of_any_contrast(k: float) -> None:
    """At 64^2 sharp voxels are off by up to 2 %, laminates alone by up to 6 %."""
    for fraction in (0.2, 0.5):
        found = np.diag(effective(disk(64, fraction), [1.0, word(k)], tolerance=1e-6).tensor)[:2]
        np.testing.assert_allclose(found, disks(fraction, k), rtol=6e-3)


@pytest.mark.parametrize("k", [0, 1e-3, 1e3, math.inf])
def test_diffuse_spheres_of_any_contrast(k: float) -> None:
    """Sharp voxels at 32^3: 2.7 % off in voids, 14 % in rigid spheres."""
    n, fraction = 32, 0.4
    x = np.stack(grid((n, n, n), (1, 1, 1)))
    away = [x - np.array(c)[:, None, None, None] for c in CUBIC["bcc"]]
    radius = (3 * fraction / 2 / (4 * math.pi)) ** (1 / 3)
    distance = radius - np.min([np.linalg.norm(a - np.rint(a), axis=0) for a in away], axis=0)
    found = effective(tanh(distance * n), [1.0, word(k)], tolerance=1e-5).tensor
    np.testing.assert_allclose(np.diag(found), spheres("bcc", fraction, k), rtol=3e-2)


@pytest.mark.parametrize("fibre", ["void", (1e-3, 0.2), (1e3, 0.2), "rigid"])
def test_diffuse_fibres_of_any_contrast(fibre: tuple[float, float] | str) -> None:
    inside = fibre if isinstance(fibre, str) else isotropic(E=fibre[0], nu=fibre[1])
    found = effective(disk(64, 0.3), [isotropic(E=1, nu=0.3), inside], "stiffness", 1e-6)
    c = tensors.to_voigt(found.tensor)
    exact = fibres(0.3, (1.0, 0.3), fibre)
    np.testing.assert_allclose([(c[0, 0] + c[0, 1]) / 2, (c[0, 0] - c[0, 1]) / 2, c[5, 5]], exact, rtol=1.5e-2)
    assert not found.warnings


def test_the_answer_is_continuous_in_the_contrast() -> None:
    image = disk(48, 0.45)

    def found(k: float) -> float:
        return float(effective(image, [1.0, word(k)], tolerance=1e-8).tensor[0, 0])

    assert found(1e-9) == pytest.approx(found(0), rel=1e-5)
    assert found(1e5) == pytest.approx(found(math.inf), rel=1e-4)
    for k in (50.0, 1 / 50):  # where laminates begin to merge
        assert found(k * 1.001) == pytest.approx(found(k / 1.001), rel=2e-3)


@pytest.mark.parametrize("contrast", [1e3, 1e-6])
@pytest.mark.parametrize("order", [3, 6])
def test_layers_along_an_axis_stay_exact(order: int, contrast: float) -> None:
    """What a cut voxel gives to its neighbours is what it loses: flux across and along layers is that of the fractions."""
    x = np.arange(24) + 0.5
    image = np.broadcast_to(tanh(6.3 - np.abs(x - 12.1))[:, None], (24, 6)).copy()
    pure = [np.eye(order), contrast * np.eye(order)]
    name = "conductivity" if order == 3 else "stiffness"
    share = from_array(image, levels=[0, 1]).voxels().volume_fractions[:1]
    exact = mix("laminate", pure[0][None], pure[1][None], share, np.eye(3)[:1])[0]
    found = effective(image, pure, name, 1e-10).tensor
    np.testing.assert_allclose(np.diag(found), np.diag(exact), rtol=3e-3)


def test_layers_thinner_than_a_voxel_are_not_lost() -> None:
    """A conducting layer that fills no voxel by half stays a laminate."""
    pure = np.array([np.eye(3), 1e4 * np.eye(3)])
    index = np.zeros((16, 4), np.int32)
    index[7] = 2 + np.arange(4)
    normal = np.concatenate([np.zeros((2, 3)), np.tile([1.0, 0, 0], (4, 1))])
    first, second = np.array([0, 1, 0, 0, 0, 0]), np.array([0, 1, 1, 1, 1, 1])
    fraction = np.array([1, 1, 0.7, 0.7, 0.7, 0.7])
    made = Mixture(index, first, second, fraction, normal, (1.0, 1.0), 2, "laminate")
    np.testing.assert_allclose(merged(made, pure).tensors(pure)[2:6], made.tensors(pure)[2:6])


def test_touching_rigid_voxels_are_told() -> None:
    """Spheres that almost touch (f = 0.5) touch on a coarse grid, and the answer has no bound."""
    n = 16
    r = np.sqrt(sum(a**2 for a in grid((n, n, n), (1, 1, 1))))
    labels = (r < (3 * 0.5 / (4 * math.pi)) ** (1 / 3)).astype(int)
    touching = effective(labels, [1.0, "rigid"], tolerance=1e-4, two_grid=True)
    assert touching.tensor[0, 0] > 1e3
    assert any("touch" in w for w in touching.warnings)
    assert math.isinf(touching.evidence["discretisation"])
    apart = effective((r < 0.4).astype(int), [1.0, "rigid"], tolerance=1e-4, two_grid=True)
    assert not any("touch" in w for w in apart.warnings)


def test_no_mixing_rule_for_voids() -> None:
    result = effective(disk(32, 0.3), [1.0, "void"], two_grid=True, mixing=True)
    assert math.isnan(result.evidence["mixing_spread"])


@pytest.mark.parametrize(("prop", "size"), [("conductivity", 3), ("stiffness", 6)])
def test_tolerance_of_the_weakest_direction(prop: str, size: int) -> None:
    """Layers across (1, 1, 0) with some voxels out of place, contrast 1e4: the smallest eigenvalue is no unit load's."""
    n = 16 if size == 3 else 12
    phase = np.add.outer(np.add.outer(np.arange(n), np.arange(n)), np.zeros(n)) + 0.5
    labels = (phase / n % 1 < 0.5).astype(int)
    labels[np.random.default_rng(0).random(labels.shape) < 0.02] = 1
    pure = [1.0, 1e4] if size == 3 else [isotropic(E=1, nu=0.3), isotropic(E=1e4, nu=0.2)]
    rough, fine = (effective(labels, pure, prop, t).tensor for t in (1e-5, 1e-10))
    values, vectors = np.linalg.eigh(fine)
    assert values[-1] > 200 * values[0]
    scaled = vectors / np.sqrt(values)
    assert np.abs(np.linalg.eigvalsh(scaled.T @ (rough - fine) @ scaled)).max() < 1e-5
