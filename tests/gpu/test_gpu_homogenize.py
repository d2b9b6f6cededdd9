"""Homogenization on a GPU: it agrees with the CPU, repeats to the bit and keeps within its memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from voxel_cases import SCHEMES, pair, problem, same

from phasefield.homogenize import Settings, build, from_array, homogenize
from phasefield.homogenize.mixture import Mixture
from phasefield.images import voxels
from phasefield.mechanics import tensors
from phasefield.mechanics.cell import CellProblem
from phasefield.mechanics.options import Options


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("kind", ["isotropic", "cut"])
@pytest.mark.parametrize("elastic", [False, True])
@pytest.mark.parametrize(
    "shape",
    [
        (7, 9),
        (5, 6, 7),
        *(pytest.param(s, marks=pytest.mark.slow) for s in [(11,), (6, 8), (6, 1, 8), (5, 6, 1), (1, 6, 7)]),
    ],
)
def test_solutions_are_the_cpus(shape: tuple[int, ...], elastic: bool, kind: str, scheme: str) -> None:
    same(*pair(shape, elastic, kind, scheme=scheme, tolerance=1e-10), 1e-10)


@pytest.mark.parametrize("elastic", [False, True])
def test_anisotropic_voxels(elastic: bool) -> None:
    same(*pair((6, 5, 4), elastic, "anisotropic", tolerance=1e-10), 1e-10)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("elastic", [False, True])
@pytest.mark.parametrize("boundary", ["kinematic", "static"])
@pytest.mark.parametrize("shape", [(9,), (6, 7), (4, 5, 6)])
def test_walls(shape: tuple[int, ...], boundary: str, elastic: bool, scheme: str) -> None:
    same(*pair(shape, elastic, "cut", boundary, scheme=scheme, tolerance=1e-10), 1e-9)


@pytest.mark.parametrize(("boundary", "elastic"), [("periodic", True), ("kinematic", False)])
def test_single_precision(boundary: str, elastic: bool) -> None:
    """Against the CPU in double precision, so that no loops have to be compiled for this."""
    cpu = problem("cpu", (7, 6, 9), elastic, "cut", boundary, tolerance=1e-8)
    gpu = problem("gpu", (7, 6, 9), elastic, "cut", boundary, precision="single", tolerance=1e-4)
    assert gpu.operators.dtype == np.float32
    load = np.linspace(1.0, 0.3, cpu.size)
    expected, found = cpu.solve(load), gpu.solve(load)
    np.testing.assert_allclose(found.mean, expected.mean, rtol=0, atol=1e-4 * np.abs(expected.mean).max())


def laminates(device: str, dim: int, elastic: bool, **options: Any) -> CellProblem:
    """A stiff ball with laminate voxels at its surface, in an anisotropic matrix."""
    n = 12
    x = (np.arange(n) + 0.5) / n - 0.5
    r = np.sqrt(sum(a**2 for a in np.meshgrid(*[x] * dim, indexing="ij")))
    geometry = Mixture.of(voxels.from_field(0.5 * (1 + np.tanh((0.3 - r) * n / 2))))
    size = 6 if elastic else 3
    soft = np.diag(np.arange(1.0, size + 1)) + 0.2
    stiff = 1000 * (tensors.isotropic_stiffness(1.0, 0.5) if elastic else np.eye(3))
    table = geometry.tensors(np.array([soft, stiff]))
    options = {"preconditioner": "green-schwarz", "threads": 1, **options}
    return CellProblem(geometry.index, table, geometry.spacing, Options(device=device, **options), geometry.cut)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("elastic", [False, True])
@pytest.mark.parametrize("dim", [2, 3])
def test_the_solve_at_the_surface_is_the_cpus(dim: int, elastic: bool, scheme: str) -> None:
    """The same nodes, the same polynomial (the CPU keeps its blocks in single precision), and as many iterations."""
    cpu, gpu = (laminates(device, dim, elastic, scheme=scheme, tolerance=1e-5) for device in ("cpu", "gpu"))
    assert gpu.preconditioner.surface.nodes == cpu.preconditioner.surface.nodes > 0
    products, fields = [], []
    for cell in (cpu, gpu):
        k = cell.operators
        w = k.spectral(2)
        host = np.zeros((*k.to_host(w).shape[:-1], w.shape[-1]))
        host[..., : cell.medium.index.shape[2]] = np.random.default_rng(2).normal(size=k.to_host(w).shape)
        k.assign(w, host)
        for _ in range(3):  # the third time from a recording
            k.assign(w, host)
            products.append(cell.preconditioner.inner(w))
        fields.append(k.to_host(w))
    np.testing.assert_array_equal(products[3], products[5])
    np.testing.assert_allclose(products[3], products[0], rtol=1e-5)
    np.testing.assert_allclose(fields[1], fields[0], rtol=0, atol=1e-5 * np.abs(fields[0]).max())
    load = np.linspace(1.0, 0.3, cpu.size)
    expected, found = cpu.solve(load), gpu.solve(load)
    np.testing.assert_allclose(found.mean, expected.mean, rtol=0, atol=1e-5 * np.abs(expected.mean).max())
    assert abs(found.iterations - expected.iterations) <= 1 + expected.iterations // 20


def test_the_solve_at_the_surface_in_single_precision() -> None:
    means = [
        laminates("gpu", 3, True, preconditioner=p, precision="single", tolerance=1e-4)
        for p in ("green", "green-schwarz")
    ]
    green, schwarz = (cell.solve(np.eye(6)[0]) for cell in means)
    np.testing.assert_allclose(schwarz.mean, green.mean, rtol=0, atol=1e-3 * np.abs(green.mean).max())
    assert schwarz.iterations < green.iterations


def test_auto_takes_the_same_preconditioner_on_both_devices() -> None:
    x = (np.arange(192) + 0.5) / 192 - 0.5
    geometry = Mixture.of(voxels.from_field(0.5 * (1 + np.tanh((0.3 - np.hypot(x[:, None], x)) * 96))))
    table = geometry.tensors(np.array([np.eye(3), 1000 * np.eye(3)]))
    chosen = [
        CellProblem(geometry.index, table, geometry.spacing, Options(device=device), geometry.cut).preconditioner.name
        for device in ("cpu", "gpu")
    ]
    assert chosen == ["green-schwarz"] * 2


def test_scaled_operator_and_start() -> None:
    cpu, gpu = pair((7, 8, 6), True, "anisotropic", preconditioner="green-jacobi", tolerance=1e-10)
    np.testing.assert_allclose(
        gpu.operators.to_host(gpu.preconditioner.scaling), cpu.preconditioner.scaling, rtol=1e-14
    )
    start = 0.1 * np.random.default_rng(5).random((3, 7, 8, 6))
    same(cpu, gpu, 1e-10, start=start)


def test_repeating_gives_the_same_bits() -> None:
    load = np.linspace(1.0, 0.3, 6)
    found = [problem("gpu", (12, 9, 10), True, "cut").solve(load, keep=True).fluctuation for _ in range(2)]
    assert found[0] is not None
    assert found[1] is not None
    assert found[0].tobytes() == found[1].tobytes()


def test_a_diffuse_image_with_the_scaled_operator() -> None:
    x = (np.arange(48) + 0.5) / 48 - 0.5
    image = from_array(0.5 * (1 + np.tanh((0.3 - np.hypot(x[:, None], x)) * 24)), levels=[0, 1])
    material = build({"phases": {"a": {"conductivity": 1}, "b": {"conductivity": 1000}}})
    found = []
    for device in ("cpu", "gpu"):
        options = Options(device=device, tolerance=1e-9, preconditioner="green-jacobi")
        (k,) = homogenize(image, material, Settings(properties=("conductivity",), solver=options))
        assert k.preconditioner == "green-jacobi"
        found.append(k.tensor)
    np.testing.assert_allclose(found[1], found[0], rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(("elastic", "limit"), [(False, 56), (True, 160)])
def test_memory(elastic: bool, limit: float, on_card: bool, used_bytes: Any, record_property: Any) -> None:
    """What a solve takes of the device's memory, cuFFT's work area included."""
    size = 6 if elastic else 3
    table = np.stack([np.eye(size), 10 * np.eye(size)])
    shape = (192, 192, 192) if on_card else (24, 24, 96)
    index = np.random.default_rng(1).integers(0, 2, shape, dtype=np.int32)
    before = used_bytes()
    gpu = CellProblem(index, table, (1.0, 1.0, 1.0), Options(device="gpu", preconditioner="green-jacobi"))
    gpu.solve(np.eye(size)[0])
    held = (used_bytes() - before) / index.size
    record_property("GPU memory in bytes a voxel", round(held, 1))
    assert held <= limit
