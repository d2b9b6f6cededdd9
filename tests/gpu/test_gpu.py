"""On a GPU: it agrees with the CPU, resumes to the same bits and keeps within its memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gpu_cases import CASES, NOISY, STEPS, compare

from phasefield.api import spec_of
from phasefield.backend import cells_of, select
from phasefield.backend.cuda_memory import WorkArea
from phasefield.errors import DeviceError
from phasefield.integrators import SCHEMES
from phasefield.simulation import Simulation


def build(device: str, *overrides: str, checkpoint: Any = None) -> Simulation:
    spec = spec_of(
        "time.end=1e6", "time.dt=0.01", "time.dt_max=0.01", "time.tolerance=0.05", *overrides, f"device={device}"
    )
    return Simulation(spec, checkpoint)


def agree(tolerance: float, *overrides: str) -> Simulation:
    cpu, gpu = build("cpu", *overrides), build("gpu", *overrides)
    assert gpu.backend.name == "gpu"
    for _ in range(STEPS):
        cpu.advance(1e6)
        gpu.advance(1e6)
    compare(cpu, gpu, tolerance)
    return gpu


#: Of adaptive steps these run in every suite: the others differ in what the cells hold, which fixed steps show as well.
ADAPTIVE = ("line", "plane", "no-flux", "conserved source", "logarithms")


@pytest.mark.parametrize(
    ("case", "adaptive"),
    [
        pytest.param(case, adaptive, marks=pytest.mark.slow if adaptive == "true" and case not in ADAPTIVE else ())
        for adaptive in ("true", "false")
        for case in CASES
    ],
)
def test_models_agree_with_the_cpu(case: str, adaptive: str) -> None:
    # The third differences of N that choose the step size of etdms3 magnify round-off.
    agree(1e-10, *CASES[case], f"time.adaptive={adaptive}", "time.scheme=etdms2")


# One case with the stages of the default's starter; the others are about what the cells hold.
@pytest.mark.parametrize(
    ("case", "scheme"),
    [
        ("plane", "etdms3"),
        ("no-flux", "etdms2"),
        pytest.param("grains", "etdms2", marks=pytest.mark.slow),
        ("conserved source", "etdms2"),
    ],
)
def test_single_precision_agrees_with_the_cpu(case: str, scheme: str) -> None:
    agree(1e-4, *CASES[case], "time.adaptive=false", "precision=single", f"time.scheme={scheme}")


@pytest.mark.parametrize("case", NOISY)
def test_noise_agrees_with_the_cpu(case: str) -> None:
    agree(1e-10, *NOISY[case], "time.adaptive=false", "time.scheme=etdrk2")


def test_noise_agrees_with_the_cpu_in_single_precision() -> None:
    agree(1e-4, *NOISY["space"], "time.adaptive=false", "time.scheme=etdrk2", "precision=single")


@pytest.mark.parametrize("adaptive", ["true", "false"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_schemes_agree_with_the_cpu(scheme: str, adaptive: str) -> None:
    gpu = agree(1e-10, *CASES["plane"], f"time.scheme={scheme}", f"time.adaptive={adaptive}")
    graphs = gpu.integrator._method.update._recorder.graphs  # type: ignore[attr-defined]
    assert graphs
    assert all(graphs.values()), "every binding of the rotating names is kept until it comes again"


@pytest.mark.parametrize(("case", "scheme"), [("plane", "sbdf2"), ("no-flux", "sbdf2"), ("grains", "etdms2")])
@pytest.mark.parametrize("adaptive", ["true", "false"])
def test_resuming_gives_the_same_bits(case: str, scheme: str, adaptive: str) -> None:
    overrides = (*CASES[case], f"time.scheme={scheme}", f"time.adaptive={adaptive}")
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
        sim = build("gpu", *CASES["space"], "time.scheme=etdms2")
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
        kept = sim.integrator._method.update._recorder.graphs  # type: ignore[attr-defined]
        assert any(kept.values()) == graphs, "what was recorded"
        states.append(sim.backend.to_host(sim.carry.u).tobytes())
    assert states[0] == states[1]


def test_snapshots_are_of_their_time_while_steps_go_on(on_card: bool) -> None:
    """Staged copies on the way, and plain ones when too many are, hold what the buffer held when they were asked for."""
    sim = build("gpu", *CASES["plane"], "time.scheme=etdms2", *(["grid.shape=[512,512]"] if on_card else []))
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
        sim = build(device, *CASES["plane"], "time.end=1", "time.scheme=etdms2", "output.every=0.05")
        execute(sim, RunFolder.create(tmp_path / device))
    cpu, gpu = (xr.open_dataset(tmp_path / device / "fields.nc") for device in ("cpu", "gpu"))
    assert len(gpu.time) == 21
    np.testing.assert_allclose(gpu.c, cpu.c, rtol=0, atol=1e-10)


@pytest.mark.parametrize("components", [1, 3])
@pytest.mark.parametrize("shape", [(64,), (33,), (32, 48), (31, 45), (16, 18, 20), (15, 17, 21)])
def test_both_kinds_of_plan_agree(shape: tuple[int, ...], components: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plans with 64-bit sizes serve grids that no test has time for; on small ones they give the same."""
    from phasefield.backend import Layout
    from phasefield.backend.cuda_transforms import CufftTransform
    from phasefield.grid import Grid

    layout = Layout(Grid(shape, (1.0,) * len(shape), ("periodic",) * len(shape)))
    host = np.random.default_rng(1).normal(size=(components, *shape))
    for precision, tolerance in (("double", 1e-13), ("single", 1e-5)):
        for limit in (2**31, 0):
            monkeypatch.setattr("phasefield.backend.cuda_transforms._INT", limit)
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


def test_memory_stays_within_five_fields(on_card: bool, used_bytes: Any, record_property: Any) -> None:
    """State, N, its history and scratch space, and cuFFT's work area, which all transforms share."""
    shape = [256, 512, 512] if on_card else [32, 32, 512]  # large enough for sums in the making to be little
    before = used_bytes()
    sim = build("gpu", "model=cahn_hilliard", f"grid.shape={shape}", "time.adaptive=false", "time.scheme=etdms2")
    for _ in range(3):
        sim.advance(1e6)
    sim.backend.synchronize()
    field = 8 * sim.grid.cells
    fields = (used_bytes() - before) / field
    area: WorkArea = sim.backend.area  # type: ignore[attr-defined]
    record_property("GPU memory in fields", round(fields, 2))
    record_property("of which the work area", round(area.size / field, 2))
    assert fields <= 5.1


def test_too_large_a_field_is_one_clear_message() -> None:
    from phasefield.backend import Layout
    from phasefield.grid import Grid

    backend = select("gpu", "double")
    with pytest.raises(DeviceError, match=r"grid\.shape: .*out of memory"):
        backend.buffer(Layout(Grid((1 << 20, 1 << 20), (1.0, 1.0), ("periodic",) * 2)), 1)
