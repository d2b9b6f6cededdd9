"""Homogenization on a real GPU: it agrees with the CPU, repeats to the bit and keeps within its memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from phasefield.backend.cuda import why_unavailable
from phasefield.homogenize import Settings, build, from_array, homogenize
from phasefield.homogenize.solver import CellProblem, Options

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(bool(why_unavailable()), reason=str(why_unavailable()))]

#: Of one to three axes, and stacks of one voxel along the first, second or third.
SHAPES = [(65,), (31, 24), (64, 64), (17, 20, 33), (32, 32, 32), (64, 1, 64), (64, 64, 1), (1, 48, 48)]


def problem(
    device: str, shape: tuple[int, ...], elastic: bool, boundary: str = "periodic", **options: Any
) -> CellProblem:
    """Isotropic, anisotropic and cut voxels at random."""
    rng = np.random.default_rng(3)
    size = 6 if elastic else 3
    table = np.zeros((5, size, size))
    table[:3] = np.eye(size) * (0.5 + rng.random((3, 1, 1)))
    if elastic:
        table[:3, :3, :3] += rng.random((3, 1, 1))
    a = rng.random((2, size, size))
    table[3:] = a @ a.transpose(0, 2, 1) + np.eye(size)
    index = rng.integers(0, 5, shape)
    spacing = (0.5, 0.7, 0.4)[: len(shape)]
    return CellProblem(index, table, spacing, Options(device=device, **options), np.arange(5) == 4, boundary)


@pytest.mark.parametrize("scheme", ["q1", "rotated"])
@pytest.mark.parametrize("elastic", [False, True])
@pytest.mark.parametrize("boundary", ["periodic", "kinematic", "static"])
@pytest.mark.parametrize("shape", SHAPES)
def test_solutions_are_the_cpus(shape: tuple[int, ...], boundary: str, elastic: bool, scheme: str) -> None:
    cpu, gpu = (problem(d, shape, elastic, boundary, scheme=scheme, tolerance=1e-10) for d in ("cpu", "gpu"))
    assert type(gpu.kernels).__name__.startswith("Cuda")
    load = np.linspace(1.0, 0.3, cpu.size)
    expected, found = cpu.solve(load), gpu.solve(load)
    np.testing.assert_allclose(found.mean, expected.mean, rtol=0, atol=1e-9 * np.abs(expected.mean).max())
    assert found.energy == pytest.approx(expected.energy, rel=1e-9)


@pytest.mark.parametrize("elastic", [False, True])
def test_single_precision(elastic: bool) -> None:
    cpu, gpu = (problem(d, (24, 25, 26), elastic, precision="single", tolerance=1e-4) for d in ("cpu", "gpu"))
    load = np.linspace(1.0, 0.3, cpu.size)
    expected, found = cpu.solve(load), gpu.solve(load)
    np.testing.assert_allclose(found.mean, expected.mean, rtol=0, atol=1e-4 * np.abs(expected.mean).max())


def test_repeating_gives_the_same_bits() -> None:
    load = np.linspace(1.0, 0.3, 6)
    found = [problem("gpu", (40, 33, 36), True).solve(load, keep=True).fluctuation for _ in range(2)]
    assert found[0] is not None
    assert found[1] is not None
    assert found[0].tobytes() == found[1].tobytes()


def test_a_diffuse_image_with_the_scaled_operator() -> None:
    x = (np.arange(48) + 0.5) / 48 - 0.5
    image = from_array(0.5 * (1 + np.tanh((0.3 - np.hypot(x[:, None], x)) * 24)), levels=[0, 1])
    material = build({"phases": {"a": {"conductivity": 1}, "b": {"conductivity": 1000}}})
    tensors = []
    for device in ("cpu", "gpu"):
        options = Options(device=device, tolerance=1e-9, preconditioner="green-jacobi")
        (k,) = homogenize(image, material, Settings(("conductivity",), solver=options))
        assert k.preconditioner == "green-jacobi"
        tensors.append(k.tensor)
    np.testing.assert_allclose(tensors[1], tensors[0], rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(("elastic", "limit"), [(False, 56), (True, 160)])
def test_memory(elastic: bool, limit: float) -> None:
    """What a solve takes from the pool, cuFFT's work area included."""
    import cupy

    pool = cupy.get_default_memory_pool()
    size = 6 if elastic else 3
    table = np.stack([np.eye(size), 10 * np.eye(size)])
    index = np.random.default_rng(1).integers(0, 2, (192, 192, 192), dtype=np.int32)
    before = pool.used_bytes()
    gpu = CellProblem(index, table, (1.0, 1.0, 1.0), Options(device="gpu", preconditioner="green-jacobi"))
    gpu.solve(np.eye(size)[0])
    held = (pool.used_bytes() - before) / index.size
    print(f"\nGPU memory: {held:.1f} bytes per voxel")
    assert held <= limit
