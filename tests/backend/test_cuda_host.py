"""The GPU's step, run on host memory: what tests/gpu does not ask of a card."""

from __future__ import annotations

import numpy as np
import pytest
from gpu_cases import CASES, compare, look
from host_cuda import HAS_COMPILER, HostCuda

from phasefield.api import spec_of
from phasefield.backend.cpu import CpuBackend
from phasefield.simulation import Simulation

pytestmark = pytest.mark.skipif(not HAS_COMPILER, reason="g++ is not here")


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
    monkeypatch.setattr("phasefield.codegen.cuda.WIDE", 1)
    wide = Simulation(spec_of(*CASES["space"], "time.end=1e6"), backend=HostCuda())
    assert "long long index_t" in wide.backend.sources["attempt"]  # type: ignore[attr-defined]
    for _ in range(5):
        narrow.advance(1e6)
        wide.advance(1e6)
    assert np.array_equal(look(narrow)[0], look(wide)[0])
