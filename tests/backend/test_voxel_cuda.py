"""Homogenization's kernels for the GPU compile without one; on host memory, what tests/gpu does not ask of a card."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from device_compiler import architectures, available, compile_all, nvrtc, run_nvrtc
from host_cuda import HAS_COMPILER, HostCuda, as_the_card
from voxel_cases import pair

from phasefield.api import spec_of
from phasefield.backend import voxel
from phasefield.backend.voxel import cuda_source
from phasefield.backend.voxel import cuda_surface_source as surface
from phasefield.errors import ConfigError, DeviceError
from phasefield.homogenize.observables import observables
from phasefield.mechanics.cell import CellProblem
from phasefield.mechanics.options import Options
from phasefield.simulation import Simulation

host = pytest.mark.skipif(not HAS_COMPILER, reason="g++ is not here")


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """``device=gpu`` means the stand-in."""
    as_the_card(monkeypatch)


@host
@pytest.mark.parametrize("boundary", ["periodic", "kinematic"])
def test_an_iteration_brings_nothing_to_the_device_and_is_recorded(
    gpu: None, boundary: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reference medium is there; walls of small grids take one chunk an axis, for which they launch three kernels."""
    _, problem = pair((4, 5, 6), False, boundary=boundary)
    operators, w = problem.operators, problem.operators.spectral()
    operators.green(w, problem.preconditioner.reference)
    monkeypatch.setattr(HostCuda, "array", lambda *_: pytest.fail("an upload"))
    for _ in range(2):
        operators.green(w, problem.preconditioner.reference)
    (graph,) = operators.stream.graphs
    assert graph.launches == 2
    # Of one component: a transform each way, or three kernels an axis each way; the operator, and the sum.
    assert len(graph.actions) == (2 if boundary == "periodic" else 2 * 3 * 3) + 2


@host
@pytest.mark.slow
def test_walls_of_large_grids_take_their_lines_by_shares(gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    _, whole = pair((4, 5, 6), True, "cut", "static", tolerance=1e-9)
    monkeypatch.setattr("phasefield.backend.voxel.cuda._LINES", 0)
    _, parts = pair((4, 5, 6), True, "cut", "static", tolerance=1e-9)
    assert [chunks for _, _, chunks, _, _ in whole.operators._axes] == [1, 1, 1]
    assert all(chunks > 1 for _, _, chunks, _, _ in parts.operators._axes)
    load = np.linspace(1.0, 0.3, 6)
    np.testing.assert_allclose(parts.solve(load).mean, whole.solve(load).mean, rtol=1e-12)


@host
def test_more_threads_than_voxels_and_wide_indices(gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums over any number of threads, and 64-bit indices, which only huge grids would take."""
    _, narrow = pair((5, 6, 7), True, "cut")
    monkeypatch.setattr("phasefield.backend.voxel.cuda.WIDE", 1)
    monkeypatch.setattr(voxel, "_gpu", lambda precision: HostCuda(precision, processors=7))
    _, wide = pair((5, 6, 7), True, "cut")
    assert wide.operators._wide
    assert not narrow.operators._wide
    load = np.linspace(1.0, 0.3, 6)
    results = [p.solve(load, keep=True) for p in (narrow, wide)]
    np.testing.assert_allclose(results[1].mean, results[0].mean, rtol=1e-14)
    assert results[0].fluctuation is not None
    np.testing.assert_allclose(results[1].fluctuation, results[0].fluctuation, rtol=0, atol=1e-12)


@host
def test_memory(gpu: None) -> None:
    """Bytes per voxel in double precision, with the area of a transform of one component, and as estimated."""
    for elastic, limit in ((False, 56), (True, 160)):
        _, problem = pair((24, 24, 24), elastic, preconditioner="green-jacobi")
        assert not isinstance(problem.operators, voxel.cpu.CpuVoxelOperators)
        held = problem.bytes_per_voxel + 8 * 26 / 24
        assert held < limit
        estimate = voxel.device_bytes((24, 24, 24), 3 if elastic else 1, "double") / 24**3
        assert held == pytest.approx(estimate, rel=0.05)


def test_too_little_memory(gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HostCuda, "memory_available", lambda self: 1000)
    with pytest.raises(DeviceError, match="device=cpu"):
        pair((6, 8), False)
    grid = voxel.VoxelGrid((6, 1, 8), (1.0, 1.0, 1.0), 1)
    assert isinstance(voxel.voxel_operators("auto", "periodic", grid), voxel.cpu.CpuVoxelOperators)


def test_the_fourier_scheme_says_it_has_no_gpu_and_one_precision() -> None:
    with pytest.raises(ConfigError, match="device=cpu"):
        CellProblem(np.zeros((3, 3), int), np.eye(3)[None], (1, 1), Options(scheme="fourier", device="gpu"))
    with pytest.raises(ConfigError, match=r"solver\.precision.*single"):
        CellProblem(np.zeros((3, 3), int), np.eye(3)[None], (1, 1), Options(scheme="fourier", precision="single"))
    with pytest.raises(ConfigError, match="auto, cpu, gpu"):
        Options(device="tpu")


@host
def test_properties_of_a_run_on_its_device(gpu: None) -> None:
    spec = spec_of(
        "model=spinodal", "grid.shape=[12,10]", "time.end=10", "output.observables=[stiffness,conductivity]",
        "homogenize.levels=[0.3,0.7]", "homogenize.material={phases: {a: {stiffness: {E: 1, nu: 0.3}, conductivity: 1}, "
        "b: {stiffness: {E: 10, nu: 0.2}, conductivity: 10}}}",
    )  # fmt: skip
    values = []
    for device in ("cpu", "gpu"):
        sim = Simulation(spec, backend=HostCuda(), observables=observables(spec.homogenize, device))  # type: ignore[arg-type]
        values.append(sim.observe(sim.carry)[1])
    assert {"stiffness", "conductivity"} <= set(values[0])
    for name, expected in values[0].items():
        np.testing.assert_allclose(values[1][name], expected, rtol=1e-9, atol=1e-11, err_msg=name)


# -- compilers ---------------------------------------------------------------------------------------------------------


def texts(dtype: str, wide: bool) -> dict[str, str]:
    """Every kernel, under distinct names."""
    found = {}
    flags = (False, True)
    for c in (1, 3):
        for full, anisotropic, clamped in itertools.product(flags, flags, flags):
            key = f"apply{c}{'_full' * full}{'_any' * anisotropic}{'_held' * clamped}"
            found[key] = cuda_source.apply_source(c, full, anisotropic, clamped, dtype, wide)
        for flag in flags:
            found[f"load{c}{flag}"] = cuda_source.nodal_forces_source(c, flag, dtype, wide)
            found[f"advance{c}{flag}"] = cuda_source.advance_source(c, flag, dtype, wide)
            found[f"direction{c}{flag}"] = cuda_source.direction_source(c, flag, dtype, wide)
        found[f"dot{c}"] = cuda_source.dot_source(c, dtype, wide)
        found[f"green{c}"] = cuda_source.green_source(c, dtype, wide)
        for full, anisotropic in itertools.product(flags, flags):
            key = f"{c}{'_full' * full}{'_any' * anisotropic}"
            found[f"surface_step{key}"] = surface.surface_step_source(c, full, anisotropic, dtype, wide)
            found[f"surface_blocks{key}"] = surface.surface_blocks_source(c, full, anisotropic, dtype, wide)
        found[f"surface_start{c}"] = surface.surface_start_source(c, dtype, wide)
        found[f"surface_add{c}"] = surface.surface_add_source(c, dtype, wide)
    found["surface_scale"] = surface.surface_scale_source(dtype, wide)
    found["soft_side"] = surface.soft_side_source(dtype, wide)
    found["corner_mean"] = cuda_source.corner_mean_source(dtype, wide)
    for odd in flags:
        found[f"extend{odd}"] = cuda_source.extend_source(odd, dtype, wide)
        found[f"restrict{odd}"] = cuda_source.restrict_lines_source(odd, dtype, wide)
        found[f"wall{odd}"] = cuda_source.wall_source(odd, dtype, wide)
    return found


# Both compilers share the assembler: of nvcc one case shows that it takes the text.
@pytest.mark.parametrize(
    ("compiler", "dtype", "wide"),
    [("nvrtc", "float64", False), ("nvrtc", "float64", True), ("nvrtc", "float32", False), ("nvcc", "float64", True)],
)
def test_kernels_spill_nothing(compiler: str, dtype: str, wide: bool) -> None:
    if compiler not in available():
        pytest.skip(f"{compiler} is not here")
    sources = texts(dtype, wide)
    usage = compile_all(compiler, sources)
    assert set(usage) == set(sources)
    for name, used in usage.items():
        assert used.spilled == 0, name
        if (
            name.startswith(("apply", "surface_step")) and "_any" not in name
        ):  # bound by arithmetic: four blocks a multiprocessor
            assert used.registers <= 128, name
        assert used.registers <= 168, name  # three blocks


@pytest.mark.parametrize("architecture", ["sm_75", "sm_100"])  # the oldest and the newest; sm_90: the test above
def test_kernels_compile_for_every_generation(architecture: str) -> None:
    if nvrtc() is None or architecture not in architectures():
        pytest.skip(f"NVRTC for {architecture} is not here")
    usage = compile_all("nvrtc", texts("float64", True), architecture)
    assert max(u.spilled for u in usage.values()) == 0


def test_single_precision_computes_in_double_only_to_add_up() -> None:
    if nvrtc() is None:
        pytest.skip("NVRTC (pip install nvidia-cuda-nvrtc) is not here")
    for name, text in texts("float32", False).items():
        if name in ("corner_mean", "soft_side"):  # once per problem
            continue
        _, ptx = run_nvrtc(text, "-arch=compute_90", kind="PTX")
        lines = [line.split()[0] for line in ptx.decode().splitlines() if line.strip()[:1].isalpha()]
        assert any("f32" in line for line in lines)
        allowed = (
            "cvt.f64.f32",
            "add.f64",
            "add.rn.f64",
            "fma.rn.f64",
            "mul.f64",
            "mov.f64",
            "st.global.f64",
            "selp.f64",
        )
        for line in lines:
            assert "f64" not in line or line in allowed, (name, line)
