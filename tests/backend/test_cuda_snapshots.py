"""Snapshots leave the GPU beside the steps, through page-locked memory that is bounded."""

from __future__ import annotations

import gc
import threading
from typing import Any

import numpy as np
import pytest
from gpu_cases import CASES
from host_cuda import HostCuda
from test_cuda_programs import LAYOUT, filled, needs_compiler, refusal

from phasefield.api import spec_of
from phasefield.backend import cells_of, cuda_memory
from phasefield.backend.cpu import CpuBackend
from phasefield.backend.cuda_memory import _LEAVING, _LOCKED_SHARE
from phasefield.simulation import Simulation


def test_a_snapshot_waits_for_nothing_and_outlives_its_buffer() -> None:
    backend = HostCuda()
    buffer = filled(backend)
    before = backend.to_host(buffer)
    done = backend.stream.done
    arrived = backend.snapshot(buffer)
    assert backend.stream.done == done
    backend.copy(backend.buffer(LAYOUT, 1), buffer)  # the next step
    assert np.isnan(backend._outbox._places[0]._lent()).all()
    found: list[np.ndarray] = []
    thread = threading.Thread(target=lambda: found.append(arrived()))
    thread.start()
    thread.join()
    assert np.array_equal(found[0], before)
    assert not backend.to_host(buffer).any()


def test_page_locked_memory_is_bounded() -> None:
    backend = HostCuda()
    buffer = filled(backend)

    def held() -> int:
        gc.collect()
        return sum(place.lent for place in backend._outbox._places)

    waiting = [backend.snapshot(buffer) for _ in range(_LEAVING)]
    done = backend.stream.done
    plain = backend.snapshot(buffer)
    assert backend.stream.done > done, "a plain copy waits"
    assert np.array_equal(plain(), waiting[0]())
    view = cells_of(LAYOUT, waiting.pop()())
    assert held() == _LEAVING, "a view holds its memory"
    waiting.clear()
    assert held() == 1
    waiting.append(backend.snapshot(buffer))
    assert held() == 2
    waiting.pop()()
    del view
    assert held() == 0


def test_page_locked_memory_is_exact_and_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    locked: list[int] = []
    plain = HostCuda.page_locked
    monkeypatch.setattr(HostCuda, "page_locked", lambda self, size: locked.append(size) or plain(self, size))
    backend = HostCuda()
    buffer = filled(backend)
    for _ in range(3):
        assert np.array_equal(backend.snapshot(buffer)(), backend.to_host(buffer))
    assert locked == [buffer.nbytes]
    backend.snapshot(buffer[:, :2])()
    assert locked == [buffer.nbytes, buffer[:, :2].nbytes]
    monkeypatch.setattr(cuda_memory, "host_memory_available", lambda: _LOCKED_SHARE * buffer.nbytes - 1)
    arrived = backend.snapshot(buffer)
    assert not any(place.lent for place in backend._outbox._places), "it would lock more than its share"
    assert np.array_equal(arrived(), backend.to_host(buffer))


@pytest.mark.parametrize("what", ["page_locked", "duplicate"])
def test_without_memory_to_spare_a_snapshot_is_a_plain_copy(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> None:
        raise refusal("cudaErrorMemoryAllocation: out of memory")

    backend = HostCuda()
    buffer = filled(backend)
    monkeypatch.setattr(backend, what, fails)
    assert np.array_equal(backend.snapshot(buffer)(), backend.to_host(buffer))


def test_a_backend_in_host_memory_copies_at_once() -> None:
    backend = CpuBackend()
    buffer = backend.buffer(LAYOUT, 1)
    buffer[...] = 1.0
    arrived = backend.snapshot(buffer)
    buffer[...] = 2.0
    assert (arrived() == 1.0).all()


@needs_compiler
@pytest.mark.parametrize("adaptive", ["true", "false"])
def test_a_run_writes_what_the_cpu_writes(adaptive: str, tmp_path: Any) -> None:
    import xarray as xr

    from phasefield.driver import execute
    from phasefield.store import RunFolder

    spec = spec_of(*CASES["plane"], f"time.adaptive={adaptive}", "time.end=1", "time.dt=0.02", "output.every=0.1")
    for name, backend in (("cpu", CpuBackend()), ("gpu", HostCuda())):
        execute(Simulation(spec, backend=backend), RunFolder.create(tmp_path / name))
    cpu, gpu = (xr.open_dataset(tmp_path / name / "fields.nc") for name in ("cpu", "gpu"))
    assert len(gpu.time) == 11
    np.testing.assert_allclose(gpu.c, cpu.c, rtol=0, atol=1e-10)
