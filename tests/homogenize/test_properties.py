"""Whole results: evidence, boundary conditions, estimates, phases, errors, the solver's contract."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from phasefield.errors import ConfigError, NotConverged
from phasefield.homogenize import (
    CellProblem,
    Image,
    MaterialSystem,
    Options,
    Settings,
    bounds,
    build,
    from_array,
    homogenize,
)
from phasefield.homogenize.loads import mixed
from phasefield.homogenize.mixture import Mixture
from phasefield.mechanics import tensors

SOFT, HARD = {"E": "3 GPa", "nu": 0.35}, {"E": "70 GPa", "nu": 0.2}


def two_phases(**more: Any) -> MaterialSystem:
    soft = {"stiffness": SOFT, "conductivity": "0.2 W/(m K)", "expansion": "60 ppm/K"}
    hard = {"stiffness": HARD, "conductivity": "1 W/(m K)", "expansion": "5 ppm/K", **more}
    return build({"name": "test", "phases": {"soft": soft, "hard": hard}})


def disk(n: int = 32, dim: int = 2, radius: float = 0.3, width: float = 1.5) -> Image:
    x = (np.arange(n) + 0.5) / n - 0.5
    r = np.sqrt(sum(a**2 for a in np.meshgrid(*[x] * dim, indexing="ij")))
    return from_array(0.5 * (1 + np.tanh((radius - r) * n / width)), levels=[0, 1])


def test_evidence() -> None:
    found = homogenize(disk(), two_phases(), Settings(properties=("stiffness", "conductivity", "expansion")))
    plain = Settings(properties=("stiffness", "conductivity"), two_grid=False, mixing=False)
    for result, fine in zip(found[:2], homogenize(disk(128, width=6.0), two_phases(), plain), strict=True):
        e = result.evidence
        assert e["hill_mandel"] < 1e-6
        assert e["asymmetry"] < 1e-5
        assert e["lowest_eigenvalue"] > 0
        assert min(e["voigt_margin"], e["reuss_margin"]) > -1e-9
        error = bounds.energy_difference(fine.tensor, result.tensor)
        assert error < e["discretisation"] < 0.1
        assert 0.01 < e["mixing_spread"] < 0.5
        assert not result.warnings
    assert found[0].unit == "Pa"
    low, high = found[1].bounds["k"]
    assert low * (1 - 1e-3) < found[1].tensor[0, 0] < high
    assert found[2].evidence["levin"] < 1e-5


@pytest.mark.parametrize("shape", [(10, 9), (7, 8, 6)])
@pytest.mark.parametrize("name", ["stiffness", "conductivity"])
def test_order_of_boundary_conditions(shape: tuple[int, ...], name: str) -> None:
    """Reuss <= uniform traction <= periodic <= uniform strain <= Voigt holds for every arrangement of voxels."""
    image = from_array(np.random.default_rng(0).integers(0, 2, shape))
    settings = Settings(properties=(name,), boundary="all", two_grid=False, solver=Options(tolerance=1e-8))
    (result,) = homogenize(image, two_phases(), settings)
    margins = [v for k, v in result.evidence.items() if k.startswith("margin_")]
    assert len(margins) == 4
    assert min(margins) > 0
    for boundary in ("kinematic", "static"):
        (alone,) = homogenize(
            image,
            two_phases(),
            Settings(properties=(name,), boundary=boundary, two_grid=False, solver=settings.solver),
        )
        scale = np.abs(alone.tensor).max()
        block = np.ix_([0, 1], [0, 1])
        np.testing.assert_allclose(alone.tensor[block], result.boundary[boundary][block], atol=1e-6 * scale)


def test_voids_and_rigid_spheres() -> None:
    """Dilute limits: (K*-K)/K/f = -(3K+4G)/(4G) for voids, (3K+4G)/(3K) for rigid spheres."""
    k, g = 1.0, 0.6
    # Interfaces with either are sharp voxels: the radius of 5 voxels is felt.
    for kind, slope, allowed in (
        ("void", -(3 * k + 4 * g) / (4 * g), 0.08),
        ("rigid", (3 * k + 4 * g) / (3 * k), 0.16),
    ):
        system = build({"phases": {"matrix": {"stiffness": {"K": k, "G": g}}, "other": kind}})
        image = disk(41, 3, 0.13)
        (result,) = homogenize(image, system, Settings(two_grid=False, mixing=False))
        fraction = image.voxels("sharp").volume_fractions[1]
        assert (result.moduli["K"] - 1) / fraction == pytest.approx(slope, rel=allowed)


def test_expansion_of_a_uniform_strain() -> None:
    """The same stress-free strain everywhere, voids included, is the effective one."""
    strain = {"xx": 0.01, "yy": -0.02, "xy": 0.005}
    system = build(
        {"phases": {"a": {"stiffness": SOFT, "eigenstrain": strain}, "b": {"stiffness": HARD, "eigenstrain": strain}}}
    )
    (result,) = homogenize(disk(20), system, Settings(properties=("eigenstrain",)))
    np.testing.assert_allclose(result.tensor, [[0.01, 0.005, 0], [0.005, -0.02, 0], [0, 0, 0]], atol=1e-9)


def test_rotating_image_and_phases_rotates_the_result() -> None:
    labels = np.random.default_rng(3).integers(0, 3, (6, 5, 4))
    crystal = {"C11": 100, "C22": 130, "C33": 150, "C12": 40, "C13": 50, "C23": 60, "C44": 30, "C55": 20, "C66": 10}
    turns = [{"euler": [10.0 * i, 20.0, 30.0]} for i in range(3)]
    quarter = tensors.rotation_from_euler(np.pi / 2, 0, 0)  # x -> y, y -> -x
    system = build({"phases": {f"p{i}": {"stiffness": crystal, "orientation": t} for i, t in enumerate(turns)}})
    turned = build({"phases": {f"p{i}": {"stiffness": crystal} for i in range(3)}})
    for a, b in zip(turned.phases, system.phases, strict=True):
        assert b.rotation is not None
        a.rotation = quarter @ b.rotation
    rolled = np.ascontiguousarray(np.transpose(labels, (1, 0, 2))[::-1])
    settings = Settings(two_grid=False, solver=Options(tolerance=1e-10))
    here = homogenize(from_array(labels), system, settings)[0].tensor
    there = homogenize(from_array(rolled), turned, settings)[0].tensor
    np.testing.assert_allclose(there, tensors.rotate(here, quarter), atol=1e-7)


def test_plane_stress_and_strain_of_a_homogeneous_sheet() -> None:
    system = build({"phases": {"a": {"stiffness": {"E": 1, "nu": 0.3}}, "b": {"stiffness": {"E": 1, "nu": 0.3}}}})
    (sheet,) = homogenize(disk(16), system, Settings(plane="stress"))
    (body,) = homogenize(disk(16), system, Settings())
    assert sheet.tensor[0, 0] == pytest.approx(1 / 0.91)
    assert sheet.tensor[2, 2] == 0
    assert body.tensor[0, 0] == pytest.approx(0.7 / (1.3 * 0.4))


def test_non_cubic_voxels() -> None:
    """The same microstructure on voxels of half the height."""
    x, y = (np.arange(n) + 0.5 for n in (32, 64))
    r = np.hypot(x[:, None] - 16, y[None, :] / 2 - 16)
    image = from_array(0.5 * (1 + np.tanh((9.0 - r) / 1.5)), spacing=[1.0, 0.5], levels=[0, 1])
    (fine,) = homogenize(image, two_phases(), Settings(properties=("conductivity",), mixing=False))
    (plain,) = homogenize(disk(32, radius=9 / 32), two_phases(), Settings(properties=("conductivity",), mixing=False))
    np.testing.assert_allclose(fine.tensor, plain.tensor, rtol=5e-3, atol=1e-6)
    assert fine.tensor[0, 0] == pytest.approx(fine.tensor[1, 1], rel=2e-3)


@pytest.mark.parametrize("value", [0, 1])
def test_single_phase_is_answered_exactly(value: int) -> None:
    image = from_array(np.full((9, 8), value), levels=[0, 1])
    (result,) = homogenize(image, two_phases(), Settings(properties=("conductivity",)))
    np.testing.assert_allclose(result.tensor, (0.2, 1.0)[value] * np.eye(3), rtol=1e-14)
    assert result.iterations == [0, 0, 0]


def test_phases_are_matched() -> None:
    labels = np.random.default_rng(0).choice([10, 200], (8, 8))
    system = build({"phases": {"a": {"conductivity": 1, "level": 200}, "b": {"conductivity": 9, "level": 10}}})
    (result,) = homogenize(from_array(labels), system, Settings(properties=("conductivity",), two_grid=False))
    assert result.voigt is not None
    assert result.voigt[0, 0] == pytest.approx(np.where(labels == 200, 1, 9).mean())
    with pytest.raises(ConfigError, match="level 11"):
        homogenize(from_array(np.where(labels == 10, 11, 200)), system)
    with pytest.raises(ConfigError, match="2 phases"):
        homogenize(from_array(np.arange(64).reshape(8, 8) % 5), two_phases())
    with pytest.raises(ConfigError, match="permittivity: is missing"):
        homogenize(disk(), two_phases(), Settings(properties=("permittivity",)))
    with pytest.raises(ConfigError, match="did you mean 'stiffness'"):
        Settings(properties=("stifness",))


def test_not_converged_carries_its_history() -> None:
    labels = np.random.default_rng(0).integers(0, 2, (12, 12))
    table = np.array([np.eye(3), 1000 * np.eye(3)])
    with pytest.raises(NotConverged, match=r"solver\.max_iterations") as caught:
        CellProblem(labels, table, (1, 1), Options(max_iterations=5)).solve(np.array([1.0, 0, 0]))
    assert len(caught.value.history) == 5


def test_threads_give_the_same_bits_and_warm_starts_the_same_answer() -> None:
    labels = np.random.default_rng(0).integers(0, 2, (32, 32, 32))
    table = np.array([tensors.isotropic_stiffness(1, 1), tensors.isotropic_stiffness(5, 7)])
    one, two = (CellProblem(labels, table, (1, 1, 1), Options(threads=t)) for t in (1, 2))
    load = np.eye(6)[0]
    u = np.random.default_rng(1).normal(size=(1, 3, 32, 32, 32))
    out = []
    for problem in (one, two):
        w = problem.operators.spectral()
        problem.operators.apply(u, w, problem.tensors)
        out.append(w)
    np.testing.assert_array_equal(out[0], out[1])
    cold = one.solve(load, keep=True)
    warm = one.solve(load, start=cold.fluctuation)
    assert warm.iterations < cold.iterations
    np.testing.assert_allclose(warm.mean, cold.mean, rtol=1e-6, atol=1e-6)


@pytest.mark.slow
def test_single_precision() -> None:
    labels = np.random.default_rng(0).integers(0, 2, (16, 16, 16))
    table = np.array([tensors.isotropic_stiffness(1, 1), tensors.isotropic_stiffness(5, 7)])
    single, double = (
        CellProblem(labels, table, (1, 1, 1), Options(tolerance=1e-4, precision=p)) for p in ("single", "double")
    )
    a, b = single.solve(np.eye(6)[0]), double.solve(np.eye(6)[0])
    np.testing.assert_allclose(a.mean, b.mean, rtol=1e-3, atol=1e-4)
    assert single.bytes_per_voxel < 0.6 * double.bytes_per_voxel


def test_memory() -> None:
    """Bytes per voxel of the solver in double precision: at most 160 elastic, 56 scalar, with a tenth of the voxels cut."""
    image = disk(64, 3, 0.4)
    geometry = Mixture.of(image.voxels())
    assert geometry.cut[geometry.index].mean() > 0.02
    for pure, most in (
        (np.array([np.eye(3), 9 * np.eye(3)]), 56),
        (np.array([tensors.isotropic_stiffness(1, 1), tensors.isotropic_stiffness(9, 9)]), 160),
    ):
        problem = CellProblem(geometry.index, geometry.tensors(pure), geometry.spacing, Options(), geometry.cut)
        assert problem.bytes_per_voxel <= most


@pytest.mark.parametrize("shape", [(5, 5, 9), (8, 8, 8)])
def test_single_precision_for_small_voxels_and_odd_grids(shape: tuple[int, ...]) -> None:
    """Third powers of the symbol of voxels of nanometres, and modes of components that are not aligned."""
    index = np.random.default_rng(2).integers(0, 2, shape)
    table = np.stack([tensors.isotropic_stiffness(1.0, 1.0), tensors.isotropic_stiffness(9.0, 9.0)])
    found = [
        CellProblem(index, table, (h, h, h), Options(precision=p, tolerance=1e-4)).solve(np.eye(6)[0])
        for p, h in (("single", 1e-9), ("double", 1.0))
    ]
    np.testing.assert_allclose(found[0].mean, found[1].mean, rtol=0, atol=1e-3 * found[1].mean.max())
    assert found[0].iterations <= found[1].iterations + 1


def test_mixed_loading_and_bounds() -> None:
    c = tensors.isotropic_stiffness(*tensors.bulk_and_shear({"E": 10.0, "nu": 0.3}))
    strain, stress = mixed(c, {0: 0.01}, dict.fromkeys(range(1, 6), 0.0))
    assert stress[0] == pytest.approx(0.1)
    assert strain[1] == pytest.approx(-0.003)
    with pytest.raises(ConfigError, match="xy"):
        mixed(c, {0: 1.0}, dict.fromkeys(range(1, 5), 0.0))
    with pytest.raises(ConfigError, match="free to move"):
        mixed(np.diag([1.0, 0, 0]), {0: 1.0}, {1: 0.0, 2: 0.0})
    low, high = bounds.hashin_shtrikman_conductivity([0.5, 0.5], [1, 10])
    assert 1 / (0.5 + 0.05) < low < high < 5.5
    k = bounds.hashin_shtrikman_moduli([0.5, 0.5], [1, 10], [0.75, 3.0])["K"]
    assert k[0] == pytest.approx(31 / 13)


def test_local_fields_of_a_laminate() -> None:
    labels = np.repeat(np.arange(8) >= 4, 4).reshape(8, 4).astype(int)
    (result,) = homogenize(
        from_array(labels), two_phases(), Settings(properties=("conductivity",), fields=True, two_grid=False)
    )
    gradient, flux = result.fields["temperature_gradient"], result.fields["heat_flux"]
    assert gradient.shape == (3, 3, 8, 4)
    np.testing.assert_allclose(flux[0, 0], result.tensor[0, 0], rtol=1e-6)
    np.testing.assert_allclose(gradient[1, 1], 1.0, rtol=1e-6)
    np.testing.assert_allclose(gradient[0, 0].mean(), 1.0, rtol=1e-9)


def test_mixtures_with_rigid_and_void_phases_are_sharp() -> None:
    """Rules that mix by the field have none to offer, so that nothing is a mixture."""
    for kind in ("void", "rigid"):
        system = build({"phases": {"matrix": {"conductivity": 1}, "other": kind}})
        settings = Settings(properties=("conductivity",), voxel="arithmetic", two_grid=False, mixing=False)
        (diffuse,) = homogenize(disk(32), system, settings)
        (sharp,) = homogenize(from_array((disk(32).values > 0.5).astype(int)), system, settings)
        np.testing.assert_allclose(diffuse.tensor, sharp.tensor, rtol=1e-12)
        assert diffuse.iterations == sharp.iterations
        assert diffuse.preconditioner == sharp.preconditioner == "green"
        assert diffuse.evidence["voigt_margin"] == pytest.approx(sharp.evidence["voigt_margin"])


def test_the_estimate_sees_the_plane_behind_a_stiff_axis() -> None:
    """At contrast 1000 the axis z, which is exact, would hide the error of the plane; Perrins et al. 1979, f = 0.5."""
    image = disk(128, radius=(0.5 / np.pi) ** 0.5, width=2.0)
    system = build({"phases": {"a": {"conductivity": 1}, "b": {"conductivity": 1000}}})
    (result,) = homogenize(image, system, Settings(properties=("conductivity",), mixing=False))
    error = abs(result.tensor[0, 0] / 3.0714035 - 1)
    assert error < result.evidence["discretisation"] < 0.015


def test_the_estimate_knows_slow_convergence() -> None:
    """A checkerboard of contrast 100 converges as h^0.25: one halving of the grid shows a fourth of the error."""
    labels = np.add.outer(np.arange(128) // 64, np.arange(128) // 64) % 2
    system = build({"phases": {"a": {"conductivity": 1}, "b": {"conductivity": 100}}})
    (result,) = homogenize(from_array(labels), system, Settings(properties=("conductivity",)))
    error = abs(10 / result.tensor[0, 0] - 1)
    assert result.coarse is not None
    assert abs(result.coarse[0, 0] / result.tensor[0, 0] - 1) < error / 3
    assert error < result.evidence["discretisation"] < 2.5 * error


@pytest.mark.parametrize("boundary", ["kinematic", "static"])
def test_stress_free_strains_are_periodic(boundary: str) -> None:
    with pytest.raises(ConfigError, match=f"boundary: is {boundary}, for which expansion is not available"):
        Settings(properties=("stiffness", "expansion"), boundary=boundary)


def test_an_estimate_that_fails_does_not_lose_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    from phasefield.homogenize import properties

    def fail(*_: Any) -> None:
        raise NotConverged("stiffness (estimate) xx: the solver stopped", "try again")

    monkeypatch.setattr(properties, "estimates", fail)
    (result,) = homogenize(disk(), two_phases(), Settings())
    assert result.tensor[0, 0] > 0
    assert "without all estimates of error: stiffness (estimate) xx: the solver stopped" in result.warnings


def test_rounding_of_the_balance_is_told() -> None:
    options = Options(tolerance=1e-9, precision="single", device="cpu")
    (result,) = homogenize(disk(), two_phases(), Settings(two_grid=False, mixing=False, solver=options))
    assert any("rounding keeps the Hill-Mandel balance" in w for w in result.warnings)
