"""Certified bounds: in equilibrium, integrated exactly, on the right side of what is known exactly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray

from phasefield.errors import ConfigError
from phasefield.homogenize import CellProblem, Image, Options, Settings, build, command, from_array, homogenize
from phasefield.homogenize.bounds import loewner_margin
from phasefield.homogenize.certify import Equilibrated, lower_bound
from phasefield.mechanics import tensors

SCALAR = np.array([np.eye(3), np.diag([10.0, 7.0, 20.0])])
SCALAR[1] = tensors.rotate(SCALAR[1], tensors.rotation_from_euler(0.4, 0.7, 0.2))
CRYSTAL = tensors.rotate(tensors.cubic_stiffness(16, 10, 8), tensors.rotation_from_euler(0.3, 0.5, 0.1))
ELASTIC = np.array([tensors.isotropic_stiffness(1, 0.5), CRYSTAL])
TABLES = {"scalar": SCALAR, "elastic": ELASTIC}


def upper_bound(index: np.ndarray, table: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    problem = CellProblem(index, table, spacing, Options(tolerance=1e-9))
    unit = np.eye(problem.size)
    return problem.energy([problem.solve(e, keep=True).fluctuation for e in unit], unit)  # type: ignore[misc]


def certified(
    image: Image, phases: dict[str, Any], name: str, **more: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    settings = Settings(
        properties=(name,), certify=True, two_grid=False, mixing=False, solver=Options(tolerance=1e-8), **more
    )
    (result,) = homogenize(image, build({"phases": phases}), settings)
    return result.certified["lower"], result.tensor, result.certified["upper"]


@pytest.mark.parametrize("shape", [(7, 6), (4, 5, 3)])
@pytest.mark.parametrize("kind", ["scalar", "elastic"])
def test_bounds_close_in_on_refined_voxels(kind: str, shape: tuple[int, ...]) -> None:
    """The spaces on finer voxels of the same image contain the coarse ones: L <= L' <= C* <= U' <= U."""
    table, n = TABLES[kind], len(TABLES[kind][0])
    coarse, spacing = np.random.default_rng(1).integers(0, 2, shape), (1.0, 1.3, 0.8)[: len(shape)]
    fine = coarse
    for axis in range(len(shape)):
        fine = np.repeat(fine, 2, axis)
    half = tuple(h / 2 for h in spacing)
    lower, low = (lower_bound(i, table, h, range(n), 1e-9) for i, h in ((coarse, spacing), (fine, half)))
    upper, up = (upper_bound(i, table, h) for i, h in ((coarse, spacing), (fine, half)))
    for above, below in ((upper, up), (up, low), (low, lower)):
        assert loewner_margin(above, below) > -1e-8
    assert np.linalg.norm(up - low) < 0.7 * np.linalg.norm(upper - lower)


@pytest.mark.parametrize("kind", ["scalar", "elastic"])
@pytest.mark.parametrize("axis", range(3))
def test_laminates_leave_no_gap(kind: str, axis: int) -> None:
    index = np.zeros((4, 4, 4), int)
    np.moveaxis(index, axis, 0)[1] = 1
    table = TABLES[kind]
    lower, upper = (
        lower_bound(index, table, (1.0,) * 3, range(len(table[0])), 1e-12),
        upper_bound(index, table, (1.0,) * 3),
    )
    np.testing.assert_allclose(lower, upper, atol=1e-9 * np.abs(upper).max())


def test_in_two_dimensions_the_dual_is_the_rotated_problem() -> None:
    """Fluxes without sources are rotated gradients of bilinear stream functions: L(k) = R^T U(R k^-1 R^T)^-1 R."""
    index = np.random.default_rng(4).integers(0, 2, (8, 7))
    turn = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    table = np.array([np.eye(3), np.zeros((3, 3))])
    table[1, :2, :2], table[1, 2, 2] = [[9, 2], [2, 4]], 5.0
    lower = lower_bound(index, table, (1.0, 0.7), [0, 1], 1e-12)[:2, :2]
    dual = upper_bound(index, turn @ np.linalg.inv(table) @ turn.T, (1.0, 0.7))
    expected = np.linalg.inv((turn.T @ dual @ turn)[:2, :2])
    np.testing.assert_allclose(lower, expected, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("n", [4, 8])
def test_checkerboard(n: int) -> None:
    x = np.arange(2 * n) // n
    low, _, high = certified(
        from_array(x[:, None] ^ x), {"a": {"conductivity": 1}, "b": {"conductivity": 9}}, "conductivity"
    )
    assert low[0, 0] < 3.0 < high[0, 0]
    assert low[0, 0] * high[0, 0] == pytest.approx(9.0, rel=1e-6)  # duality of the bounds themselves


@pytest.mark.parametrize("shape", [(10, 9), (5, 6, 7)])
def test_hill(shape: tuple[int, ...]) -> None:
    """Equal shear moduli: the bulk modulus of any arrangement is known (Hill 1963), 1/(K + 4G/3) is the mean."""
    image = from_array(np.random.default_rng(5).integers(0, 2, shape))
    phases = {"a": {"stiffness": {"K": 1, "G": 2}}, "b": {"stiffness": {"K": 30, "G": 2}}}
    low, _, high = certified(image, phases, "stiffness")
    f = image.values.mean()
    m = 1 / ((1 - f) / (1 + 8 / 3) + f / (30 + 8 / 3))
    exact = tensors.isotropic_stiffness(m - 8 / 3, 2)
    assert loewner_margin(high, exact) > -1e-8
    assert loewner_margin(exact, low) > -1e-8
    assert np.linalg.norm(high - low) > 1e-3 * np.linalg.norm(high)


def _spline(degree: int, x: np.ndarray) -> np.ndarray:
    """The centred B-spline of unit knots."""
    if degree == 0:
        return ((x >= -0.5) & (x < 0.5)).astype(float)
    if degree == 1:
        return np.clip(1 - np.abs(x), 0, None)
    a = np.abs(x)
    return np.where(a < 0.5, 0.75 - a**2, np.where(a < 1.5, 0.5 * (1.5 - a) ** 2, 0.0))


@pytest.mark.parametrize("kind", ["scalar", "elastic"])
def test_equilibrium_and_energy_in_every_point(kind: str) -> None:
    """Against the splines themselves: the divergence by finite differences, the energy by Gauss points."""
    rng = np.random.default_rng(6)
    shape, spacing, table = (4, 5, 3), (1.0, 1.3, 0.8), TABLES[kind]
    index = rng.integers(0, 2, shape)
    compliance = np.linalg.inv(table)
    cell = Equilibrated(index, compliance, spacing)
    free = rng.standard_normal((cell.size, *shape))
    stress = cell.project(free)
    np.testing.assert_allclose(cell.project(stress), stress, atol=1e-13)
    pairs = [(a, a) for a in range(3)] if kind == "scalar" else list(tensors.PAIRS)

    def value(coefficients: np.ndarray, component: int, at: np.ndarray) -> np.ndarray:
        """The field at points (m, 3) in voxels."""
        weights = []
        for axis, n in enumerate(shape):
            ends = pairs[component]
            degree = (1 if kind == "scalar" else ends.count(axis)) if axis in ends else 0
            places = np.arange(n) + (0.0 if degree == 1 else 0.5)
            distance = (at[:, axis, None] - places + n / 2) % n - n / 2
            weights.append(sum(_spline(degree, distance + k * n) for k in (-1, 0, 1)))
        return np.einsum("mi,mj,mk,ijk->m", *weights, coefficients[component])

    points = rng.uniform(0, 1, (40, 3)) * shape
    near = np.abs(points - np.rint(points)).min(axis=1) > 1e-3
    points, step = points[near], 1e-5
    rows = (
        [range(3)] if kind == "scalar" else [[pairs.index((min(i, j), max(i, j))) for j in range(3)] for i in range(3)]
    )
    for row in rows:
        divergence = np.zeros(len(points))
        for axis, component in enumerate(row):
            move = step * np.eye(3)[axis]
            factor = tensors.FACTOR[component] if kind == "elastic" else 1.0
            change = value(stress, component, points + move) - value(stress, component, points - move)
            divergence += change / (2 * step * spacing[axis] * factor)
        np.testing.assert_allclose(divergence, 0, atol=1e-8)
    nodes, gauss = np.polynomial.legendre.leggauss(3)
    total = 0.0
    corners = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1).reshape(-1, 3)
    for at in np.ndindex(3, 3, 3):
        local = corners + (nodes[list(at)] + 1) / 2
        s = np.stack([value(free, c, local) for c in range(cell.size)], axis=-1)
        total += np.prod(gauss[list(at)] / 2) * np.einsum("mi,mij,mj->", s, compliance[index.ravel()], s)
    assert np.vdot(free, cell.gradient(free)) == pytest.approx(total, rel=1e-12)


def test_sheets_cut_voxels_and_voids() -> None:
    x = (np.arange(16) + 0.5) / 16 - 0.5
    disk = from_array(0.5 * (1 + np.tanh((0.3 - np.hypot(x[:, None], x)) * 16)), levels=[0, 1])
    two = {"a": {"stiffness": {"E": 1, "nu": 0.3}}, "b": {"stiffness": {"E": 10, "nu": 0.2}}}
    for plane in ("strain", "stress"):
        low, _, high = certified(disk, two, "stiffness", plane=plane)
        block = np.ix_(tensors.PLANE, tensors.PLANE)
        assert loewner_margin(high[block], low[block]) > 0
        assert np.linalg.norm(high - low) < 0.05 * np.linalg.norm(high)
    low, _, high = certified(disk, {**two, "b": "void"}, "stiffness")
    assert not low.any()
    assert np.linalg.eigvalsh(high)[0] > 0
    apart = from_array(np.repeat([[0, 0, 1, 1]], 4, axis=0))
    assert not certified(apart, {"a": {"conductivity": 1}, "b": "void"}, "conductivity")[0].any()
    low, exact, high = certified(apart, {"a": {"conductivity": 1}, "b": "rigid"}, "conductivity")
    np.testing.assert_allclose(low, high, rtol=1e-6)
    np.testing.assert_allclose(exact, high, rtol=1e-6)
    for name in ("stiffness", "conductivity"):
        uniform = {p: {**two["a"], "conductivity": [1, 2, 3]} for p in "ab"}
        low, exact, high = certified(disk, uniform, name)
        np.testing.assert_allclose(low, exact, atol=1e-10 * np.abs(exact).max())
        np.testing.assert_allclose(high, exact, atol=1e-10 * np.abs(exact).max())


def test_from_the_command(tmp_path: Path) -> None:
    path = tmp_path / "image.npy"
    np.save(path, np.random.default_rng(3).integers(0, 2, (8, 8)))
    given = [
        "material={phases: {a: {conductivity: 1}, b: {conductivity: 5}}}",
        "properties=conductivity",
        "certify=true",
    ]
    target, records, _ = command.run(path, [*given, "descriptors=false"])
    data = xarray.load_dataset(target).isel(time=0)
    assert data.conductivity_lower[0, 0] < data.conductivity[0, 0] <= data.conductivity_upper[0, 0] * (1 + 1e-9)
    gap = 100 * data.conductivity_certified_gap.item()
    shown = " ".join(command.table(records).split())
    assert f"certified bounds of the voxel image {gap:.2g} % apart" in shown
    with pytest.raises(ConfigError, match="certify: needs boundary"):
        command.run(path, [*given, "boundary=static"])


def test_fields_of_one_gauss_point_are_improved_before_they_bound() -> None:
    """Modes that cost nothing in the rotated scheme have energy in the bound: as they come they give a gap of 12 %."""
    x = np.arange(32) - 15.5
    labels = (np.hypot(*np.meshgrid(x, x)) < 9).astype(int)
    phases = {"a": {"stiffness": {"E": 1, "nu": 0.3}}, "b": {"stiffness": {"E": 10, "nu": 0.3}}}
    settings = Settings(certify=True, two_grid=False, solver=Options(scheme="rotated", tolerance=1e-8))
    (result,) = homogenize(from_array(labels), build({"phases": phases}), settings)
    assert 0 < result.evidence["certified_gap"] < 0.04
