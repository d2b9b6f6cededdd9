"""On a real GPU: it agrees with the CPU, resumes to the same bits and keeps within its memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from phasefield.api import spec_of
from phasefield.backend import cells_of, select
from phasefield.backend.cuda import WorkArea, why_unavailable
from phasefield.errors import DeviceError
from phasefield.integrators import SCHEMES
from phasefield.simulation import Simulation

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(bool(why_unavailable()), reason=str(why_unavailable()))]

STEPS = 100
PRECIPITATE = (
    "model=precipitate",
    "initial.c={kind: circles, count: 3, radius: [5, 7], inside: 0.7, outside: 0.35, width: 2.0}",
    "initial.eta={kind: circles, count: 3, radius: [5, 7], inside: 1.0, outside: 0.0, width: 2.0}",
    "grid.shape=[48,50]",
)
CASES = {
    "line": ("model=cahn_hilliard", "grid.shape=[129]"),
    "plane": ("model=cahn_hilliard", "grid.shape=[64,48]"),
    "odd plane": ("model=cahn_hilliard", "grid.shape=[63,45]", "grid.dealias=true"),
    "space": ("model=cahn_hilliard", "grid.shape=[16,20,24]"),
    "no-flux": ("model=cahn_hilliard", "grid.shape=[40,33]", "grid.boundary=no-flux"),
    "fixed": ("model=allen_cahn", "grid.shape=[16,12,20]", "grid.boundary=fixed"),
    "mixed": ("model=allen_cahn", "grid.shape=[15,12,20]", "grid.boundary=[fixed,periodic,no-flux]"),
    "grains": ("model=grain_growth", "initial.eta={kind: voronoi, grains: 12}", "grid.shape=[40,36]"),
    "precipitate": PRECIPITATE,
    "conserved source": (
        "model=cahn_hilliard", "model.fields.c.source=0.01*cos(0.2*x)*exp(-t) + 0.002*c*(1 - c)", "grid.shape=[40,36]",
    ),
    "logarithms": ("model=flory_huggins", "grid.shape=[48,35]"),
}  # fmt: skip


def build(device: str, *overrides: str, checkpoint: Any = None) -> Simulation:
    spec = spec_of(
        "time.end=1e6", "time.dt=0.01", "time.tolerance=1e-3", "threads.cpu=4", *overrides, f"device={device}"
    )
    return Simulation(spec, checkpoint)


def look(sim: Simulation) -> tuple[np.ndarray, dict[str, Any]]:
    scratch, values = sim.observe(sim.carry)
    return cells_of(sim.layout, sim.backend.to_host(scratch)), values


def agree(tolerance: float, *overrides: str) -> None:
    cpu, gpu = build("cpu", *overrides), build("gpu", *overrides)
    assert gpu.backend.name == "gpu"
    for sim in (cpu, gpu):
        for _ in range(STEPS):
            sim.advance(1e6)
    (cells, values), (others, theirs) = look(cpu), look(gpu)
    assert gpu.carry.t == pytest.approx(cpu.carry.t, rel=tolerance)
    np.testing.assert_allclose(others, cells, rtol=0, atol=tolerance * np.abs(cells).max())
    for name, value in values.items():
        np.testing.assert_allclose(theirs[name], value, rtol=100 * tolerance, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("adaptive", ["true", "false"])
@pytest.mark.parametrize("case", CASES)
def test_models_agree_with_the_cpu(case: str, adaptive: str) -> None:
    agree(1e-10, *CASES[case], f"time.adaptive={adaptive}", "time.scheme=etdms2")  # see test_cuda_host


@pytest.mark.parametrize("case", ["plane", "no-flux", "grains", "precipitate"])
def test_single_precision_agrees_with_the_cpu(case: str) -> None:
    agree(1e-4, *CASES[case], "time.adaptive=false", "precision=single")


@pytest.mark.parametrize("adaptive", ["true", "false"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_schemes_agree_with_the_cpu(scheme: str, adaptive: str) -> None:
    agree(1e-10, *CASES["plane"], f"time.scheme={scheme}", f"time.adaptive={adaptive}")


@pytest.mark.parametrize("case", ["space", "no-flux", "grains"])
@pytest.mark.parametrize("adaptive", ["true", "false"])
def test_resuming_gives_the_same_bits(case: str, adaptive: str) -> None:
    overrides = (*CASES[case], f"time.adaptive={adaptive}")
    whole = build("gpu", *overrides)
    for _ in range(20):
        whole.advance(1e6)
    half = build("gpu", *overrides, checkpoint=whole.state())
    for _ in range(20):
        whole.advance(1e6)
        half.advance(1e6)
    assert half.carry.t == whole.carry.t
    assert half.backend.to_host(half.carry.u).tobytes() == whole.backend.to_host(whole.carry.u).tobytes()


def test_repeating_gives_the_same_bits() -> None:
    states = []
    for _ in range(2):
        sim = build("gpu", *CASES["space"])
        for _ in range(STEPS):
            sim.advance(1e6)
        states.append(sim.backend.to_host(sim.carry.u).tobytes())
    assert states[0] == states[1]


@pytest.mark.parametrize("scheme", ["imex1", "etdms2", "sbdf2", "etdrk4"])
@pytest.mark.parametrize("adaptive", ["true", "false"])
def test_graphs_and_plain_launches_give_the_same_bits(scheme: str, adaptive: str) -> None:
    from phasefield.backend.cuda import CudaBackend

    states = []
    for graphs in (True, False):
        spec = spec_of(
            *CASES["space"], f"time.scheme={scheme}", f"time.adaptive={adaptive}", "time.dt=0.01", "time.end=1e6"
        )
        sim = Simulation(spec, backend=CudaBackend(graphs=graphs))
        for _ in range(STEPS):
            sim.advance(1e6)
        kept = sim.integrator._update._graphs  # type: ignore[attr-defined]
        assert any(kept.values()) == graphs, "what was recorded"
        states.append(sim.backend.to_host(sim.carry.u).tobytes())
    assert states[0] == states[1]


def test_snapshots_are_of_their_time_while_steps_go_on() -> None:
    """Staged copies on the way, and plain ones when too many are, hold what the buffer held when they were asked for."""
    sim = build("gpu", "model=cahn_hilliard", "grid.shape=[512,512]")
    backend = sim.backend
    asked, expected = [], []
    for _ in range(12):
        sim.advance(1e6)
        scratch, _ = sim.observe(sim.carry)
        asked.append(backend.snapshot(scratch))  # type: ignore[attr-defined]
        expected.append(backend.to_host(scratch))
        if len(asked) == 4:  # which lets go of their memory
            assert all(a().tobytes() == b.tobytes() for a, b in zip(asked, expected, strict=True))
            asked, expected = [], []
    assert not asked


def test_a_run_writes_the_same_as_the_cpu(tmp_path: Any) -> None:
    import xarray as xr

    from phasefield.driver import execute
    from phasefield.store import RunFolder

    for device in ("cpu", "gpu"):
        sim = build(device, *CASES["plane"], "time.end=1", "time.tolerance=1e-3", "output.every=0.05")
        execute(sim, RunFolder.create(tmp_path / device))
    cpu, gpu = (xr.open_dataset(tmp_path / device / "fields.nc") for device in ("cpu", "gpu"))
    assert len(gpu.time) == 21
    np.testing.assert_allclose(gpu.c, cpu.c, rtol=0, atol=1e-10)


@pytest.mark.parametrize("components", [1, 3])
@pytest.mark.parametrize("shape", [(64,), (33,), (32, 48), (31, 45), (16, 18, 20), (15, 17, 21)])
def test_both_kinds_of_plan_agree(shape: tuple[int, ...], components: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plans with 64-bit sizes serve grids that no test has time for; on small ones they give the same."""
    from phasefield.backend import Layout
    from phasefield.backend.cuda import CufftTransform
    from phasefield.grid import Grid

    layout = Layout(Grid(shape, (1.0,) * len(shape), ("periodic",) * len(shape)))
    host = np.random.default_rng(1).normal(size=(components, *shape))
    for precision, tolerance in (("double", 1e-13), ("single", 1e-5)):
        for limit in (2**31, 0):
            monkeypatch.setattr("phasefield.backend.cuda._INT", limit)
            backend = select("gpu", precision)  # type: ignore[arg-type]
            buffer = backend.buffer(layout, components)
            padded = np.zeros(buffer.shape, buffer.dtype)
            cells_of(layout, padded)[...] = host
            backend.from_host(padded, buffer)
            transform = CufftTransform(backend, layout.grid.shape, components)  # type: ignore[arg-type]
            transform.forward(buffer)
            modes = backend.to_host(buffer).view(np.result_type(buffer.dtype, np.complex64))
            expected = np.fft.rfftn(host, axes=range(1, host.ndim)).reshape(modes.shape)
            assert np.abs(modes - expected).max() < tolerance * np.abs(expected).max()
            transform.inverse(buffer)
            cells = cells_of(layout, backend.to_host(buffer)) / layout.grid.cells
            assert np.abs(cells - host).max() < 10 * tolerance


def test_memory_stays_within_five_fields() -> None:
    """State, N, its history and scratch space, and cuFFT's work area, which all transforms share."""
    import cupy

    pool = cupy.get_default_memory_pool()
    before = pool.used_bytes()
    sim = build("gpu", "model=cahn_hilliard", "grid.shape=[256,256,256]", "time.adaptive=false", "time.scheme=etdms2")
    for _ in range(3):
        sim.advance(1e6)
    sim.backend.synchronize()
    fields = (pool.used_bytes() - before) / (8 * 256**3)
    area: WorkArea = sim.backend.area  # type: ignore[attr-defined]
    print(f"\nGPU memory: {fields:.2f} fields, of which the work area is {area.size / (8 * 256**3):.2f}")
    assert fields <= 5.1


def test_too_large_a_field_is_one_clear_message() -> None:
    from phasefield.backend import Layout
    from phasefield.grid import Grid

    backend = select("gpu", "double")
    with pytest.raises(DeviceError, match=r"grid\.shape: .*out of memory"):
        backend.buffer(Layout(Grid((1 << 20, 1 << 20), (1.0, 1.0), ("periodic",) * 2)), 1)
