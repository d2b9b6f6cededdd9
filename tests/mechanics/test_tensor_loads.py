"""The loads of a tensor: what is accurate when only their energies are, and transforms in pairs."""

from __future__ import annotations

import numpy as np
import pytest

from phasefield.backend.voxel import VoxelGrid
from phasefield.backend.voxel.cpu import CpuVoxelOperators
from phasefield.backend.voxel.tensor_field import reference_table
from phasefield.homogenize.mixture import Mixture
from phasefield.images import voxels
from phasefield.mechanics import tensors
from phasefield.mechanics.cell import CellProblem
from phasefield.mechanics.loads import Load, Solution
from phasefield.mechanics.options import Options

SHAPE = (24, 20, 28)


def smooth() -> np.ndarray:
    """A band-limited random field of two values and a thin interface, 0 to 1."""
    rng = np.random.default_rng(3)
    k = np.sqrt(sum(f**2 for f in np.meshgrid(*(n * np.fft.fftfreq(n) for n in SHAPE), indexing="ij")))
    values = np.fft.ifftn(np.fft.fftn(rng.standard_normal(SHAPE)) * np.exp(-((k - 3) ** 2))).real
    return np.clip(0.5 + values / values.std() / 0.5, 0, 1)


@pytest.mark.parametrize(
    ("rule", "order", "precision"), [("sharp", 6, "single"), ("laminate", 6, "single"), ("laminate", 3, "double")]
)
def test_components_are_as_accurate_as_energies(rule: str, order: int, precision: str) -> None:
    geometry = Mixture.of(voxels.from_field(smooth(), rule))
    soft = np.diag(np.arange(2.0, order + 2)) + 0.3
    stiff = 20 * (np.eye(3) if order == 3 else tensors.isotropic_stiffness(1.0, 0.5))
    table = geometry.tensors(np.array([soft, stiff]))

    def solved(**options: object) -> tuple[np.ndarray, list[Solution]]:
        settings = Options(**{"device": "cpu", **options})  # type: ignore[arg-type]
        cell = CellProblem(geometry.index, table, geometry.spacing, settings, geometry.cut)
        solutions = cell.solve_tensor([Load(row) for row in np.eye(order)])
        return np.stack([s.mean for s in solutions], axis=1), solutions

    exact, _ = solved(tolerance=1e-10)
    by_component, slow = solved(tolerance=1e-4, precision=precision)
    by_energy, fast = solved(tolerance=1e-4, precision=precision, criterion="energy")
    scale = np.sqrt(np.outer(np.diag(exact), np.diag(exact)))
    assert np.abs((by_component - exact) / scale).max() < 1e-4
    assert np.abs((by_energy - exact) / scale).max() < 1e-4
    np.testing.assert_array_equal(by_energy, by_energy.T)
    # The energy of any fluctuation is an upper bound of every combination of loads.
    assert np.linalg.eigvalsh(by_energy - exact)[0] > -1e-6 * exact.max()
    assert sum(s.iterations for s in fast) <= 0.8 * sum(s.iterations for s in slow)


@pytest.mark.parametrize(("components", "precision"), [(1, "double"), (3, "single")])
def test_pairs_are_two_loads(components: int, precision: str) -> None:
    """Of very different size, on a grid whose last tiles are smaller, with any number of threads."""
    grid = VoxelGrid((35, 36, 31), (1.0, 0.7, 1.3), components, precision)
    operators = CpuVoxelOperators(grid, threads=1)
    rng = np.random.default_rng(1)
    values = rng.standard_normal((4, components, *operators.shape)) * np.array([1, 1e6, 1e-3, 0]).reshape(
        -1, 1, 1, 1, 1
    )
    stiffness = tensors.isotropic_stiffness(2.0, 1.0) + np.diag([3.0, 0, 0, 0, 1, 0])
    reference = np.array([1.0, 2, 3, 0.1, 0.2, 0.3]) if components == 1 else reference_table(stiffness)
    together, alone = operators.spectral(4), operators.spectral(1)
    together[..., : operators.shape[2]] = values
    work = operators.green(together, reference)
    shared = CpuVoxelOperators(grid, threads=2)
    others = shared.spectral(4)
    others[..., : operators.shape[2]] = values
    np.testing.assert_array_equal(shared.green(others, reference), work)
    np.testing.assert_array_equal(shared.to_host(others), operators.to_host(together))
    for load, each in enumerate(values):
        alone[0, ..., : operators.shape[2]] = each
        expected = operators.green(alone, reference)[0]
        near = (2e-6 if precision == "single" else 1e-14) * np.abs(alone).max()
        assert work[load] == pytest.approx(expected, rel=2e-6 if precision == "single" else 1e-13)
        np.testing.assert_allclose(operators.to_host(together)[load], operators.to_host(alone)[0], rtol=0, atol=near)
