"""The GPU's step, run on host memory, against the CPU's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from host_cuda import HAS_COMPILER, HostCuda

from phasefield.api import spec_of
from phasefield.backend import cells_of
from phasefield.backend.cpu import CpuBackend
from phasefield.integrators import SCHEMES
from phasefield.simulation import Simulation

pytestmark = pytest.mark.skipif(not HAS_COMPILER, reason="g++ is not here")

STEPS = 100
GRAINS = ("model=grain_growth", "model.fields.eta.components=5", "initial.eta={kind: voronoi, grains: 8}")
PRECIPITATE = (
    "model=precipitate",
    "initial.c={kind: circles, count: 2, radius: [4, 5], inside: 0.7, outside: 0.35, width: 2.0}",
    "initial.eta={kind: circles, count: 2, radius: [4, 5], inside: 1.0, outside: 0.0, width: 2.0}",
)
SOURCE = "model.fields.c.source=0.01*cos(0.2*x)*exp(-t) + 0.002*c*(1 - c)"
CASES = {
    "line": ("model=cahn_hilliard", "grid.shape=[33]"),
    "plane": ("model=cahn_hilliard", "grid.shape=[24,17]"),
    "space": ("model=cahn_hilliard", "grid.shape=[8,10,12]", "grid.dealias=true"),
    "no-flux": ("model=cahn_hilliard", "grid.shape=[20,15]", "grid.boundary=no-flux"),
    "mixed": ("model=allen_cahn", "grid.shape=[9,10,8]", "grid.boundary=[fixed,periodic,no-flux]"),
    "grains": (*GRAINS, "grid.shape=[16,18]"),
    "precipitate": (*PRECIPITATE, "grid.shape=[32,30]"),
    "conserved source": ("model=cahn_hilliard", SOURCE, "grid.shape=[16,18]"),
    "sources of two fields": (*PRECIPITATE, SOURCE, "model.fields.eta.source=-0.01*eta*y/32", "grid.shape=[32,30]"),
    "logarithms": ("model=flory_huggins", "grid.shape=[24,17]"),
}


def both(*overrides: str, precision: str = "double") -> tuple[Simulation, Simulation]:
    spec = spec_of("time.end=1e6", "time.dt=0.01", "time.tolerance=1e-3", f"precision={precision}", *overrides)
    return Simulation(spec, backend=CpuBackend(precision)), Simulation(spec, backend=HostCuda(precision))  # type: ignore[arg-type]


def look(sim: Simulation) -> tuple[np.ndarray, dict[str, Any]]:
    scratch, values = sim.observe(sim.carry)
    return cells_of(sim.layout, sim.backend.to_host(scratch)), values


def compare(cpu: Simulation, gpu: Simulation, tolerance: float) -> None:
    (cells, values), (others, theirs) = look(cpu), look(gpu)
    assert gpu.carry.step == cpu.carry.step
    assert gpu.carry.t == pytest.approx(cpu.carry.t, rel=tolerance)
    np.testing.assert_allclose(others, cells, rtol=0, atol=tolerance * np.abs(cells).max())
    for name, value in values.items():
        np.testing.assert_allclose(theirs[name], value, rtol=100 * tolerance, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("adaptive", ["true", "false"])
@pytest.mark.parametrize("case", CASES)
def test_steps_agree_with_the_cpu(case: str, adaptive: str) -> None:
    # The third differences of N that choose the step size of etdms3 magnify round-off.
    cpu, gpu = both(*CASES[case], f"time.adaptive={adaptive}", "time.scheme=etdms2")
    for _ in range(STEPS):
        cpu.advance(1e6)
        gpu.advance(1e6)
    compare(cpu, gpu, 1e-10)


# One case with the stages of the default's starter; the others are about what the cells hold.
@pytest.mark.parametrize(
    ("case", "scheme"),
    [("plane", "etdms3"), ("no-flux", "etdms2"), ("grains", "etdms2"), ("conserved source", "etdms2")],
)
def test_steps_agree_in_single_precision(case: str, scheme: str) -> None:
    cpu, gpu = both(*CASES[case], "time.adaptive=false", f"time.scheme={scheme}", precision="single")
    for _ in range(STEPS):
        cpu.advance(1e6)
        gpu.advance(1e6)
    compare(cpu, gpu, 1e-4)


@pytest.mark.parametrize("adaptive", ["true", "false"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme_agrees_with_the_cpu(scheme: str, adaptive: str) -> None:
    cpu, gpu = both(*CASES["plane"], f"time.adaptive={adaptive}", f"time.scheme={scheme}")
    for _ in range(STEPS):
        cpu.advance(1e6)
        gpu.advance(1e6)
    compare(cpu, gpu, 1e-10)


@pytest.mark.parametrize("case", ["plane", "no-flux"])
@pytest.mark.parametrize("adaptive", ["true", "false"])
def test_resuming_gives_the_same_bits(case: str, adaptive: str) -> None:
    overrides = (*CASES[case], "time.scheme=sbdf2", f"time.adaptive={adaptive}", "time.dt=0.01", "time.end=1e6")
    whole = Simulation(spec_of(*overrides), backend=HostCuda())
    for _ in range(10):
        whole.advance(1e6)
    half = Simulation(spec_of(*overrides), whole.state(), HostCuda())
    for _ in range(10):
        whole.advance(1e6)
        half.advance(1e6)
    assert half.carry.t == whole.carry.t
    assert half.backend.to_host(half.carry.u).tobytes() == whole.backend.to_host(whole.carry.u).tobytes()


@pytest.mark.parametrize("processors", [1, 7])
def test_more_threads_than_cells_and_fewer(processors: int) -> None:
    spec = spec_of("model=cahn_hilliard", "grid.shape=[61,67]", "time.end=1e6", "threads.cpu=1")
    cpu, gpu = Simulation(spec, backend=CpuBackend()), Simulation(spec, backend=HostCuda(processors=processors))
    for sim in (cpu, gpu):
        for _ in range(5):
            sim.advance(1e6)
    compare(cpu, gpu, 1e-12)


def test_wide_indices_compute_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    narrow = Simulation(spec_of(*CASES["space"], "time.end=1e6"), backend=HostCuda())
    monkeypatch.setattr("phasefield.codegen.WIDE", 1)
    wide = Simulation(spec_of(*CASES["space"], "time.end=1e6"), backend=HostCuda())
    assert "long long index_t" in wide.backend.sources["attempt"]  # type: ignore[attr-defined]
    for _ in range(5):
        narrow.advance(1e6)
        wide.advance(1e6)
    assert np.array_equal(look(narrow)[0], look(wide)[0])
