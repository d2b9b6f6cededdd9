"""The CPU backend: same numbers for any number of threads, one plan for all processes, caches that may be shared or read-only."""

from __future__ import annotations

import gc
import os
import stat
import subprocess
import sys
import textwrap
import threading
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import sympy as sp

from phasefield.api import spec_of
from phasefield.backend import Apply, Forward, Inverse, Layout, cpu_threads, leaned
from phasefield.backend.cpu import CpuBackend
from phasefield.backend.cpu_plans import plan_once
from phasefield.backend.fftw import Plan
from phasefield.codegen import K2, WEIGHT, GradientNorm, Kernel, Reduction, array_symbol
from phasefield.grid import Grid
from phasefield.simulation import Simulation

U = array_symbol("u", 0)


def _random(backend: CpuBackend, layout: Layout, components: int = 1) -> np.ndarray:
    buffer = backend.buffer(layout, components)
    buffer[..., : layout.cells[2]] = np.random.default_rng(1).standard_normal((components, *layout.cells))
    return buffer


@pytest.mark.parametrize("scheme", ["etdms2", "sbdf2"])
def test_result_does_not_depend_on_threads(scheme: str) -> None:
    states = []
    for threads in (1, 2, 3):
        spec = spec_of(
            "grid.shape=[160,128]", f"time.scheme={scheme}", f"threads.cpu={threads}", "device=cpu", "time.end=1"
        )
        backend = CpuBackend("double", threads)
        sim = Simulation(spec, backend=backend)
        for _ in range(10):
            sim.advance(1.0)
        states.append((sim.carry.u.copy(), sim.carry.energy, sim.carry.t))
    for state, energy, t in states[1:]:
        assert np.array_equal(state, states[0][0])
        assert energy == states[0][1]
        assert t == states[0][2]


def test_other_grids_and_constants_need_no_other_code() -> None:
    """A sweep, or a run on a finer grid, finds its kernels compiled: sizes and unused constants are not in their text."""

    def sources(*overrides: str) -> dict[str, str]:
        return _small(1, "output.observables=[free_energy]", *overrides).kernel_sources

    first = sources()
    assert {"attempt.py", "nonlinear.py", "observe_spectral.py"} <= set(first)
    assert sources("grid.shape=[30,28]", "grid.length=7") == first
    assert sources("model.parameters.W=3", "model.fields.c.mobility=2", "model.fields.c.kappa=3") == first
    other = sources("model=flory_huggins")
    assert other["nonlinear.py"] != first["nonlinear.py"]
    assert other["attempt.py"] == first["attempt.py"]


@pytest.mark.parametrize("boundary", ["periodic", "no-flux"])
def test_lean_arrays_lie_in_the_memory_of_others_in_single_precision(boundary: str) -> None:
    """Beside arrays of full precision in one kernel: what these get is good to the round-off of what is read, sums too."""
    layout = Layout(Grid((12, 7, 10), (1.0, 2.0, 3.0), (boundary,) * 3))
    backend, v = CpuBackend("double", 2), array_symbol("v", 0)
    mixed = Kernel("lean_test", "real", {"u": 1, "v": 2}, {"v": [2 * U + v, U]}, {"a": Reduction("sum", U * v)})
    there = [Forward("v", 2), Inverse("v", 2)]
    fill = Kernel("lean_fill", "real", {"u": 1, "v": 2}, {"v": [U**2, U]})
    operations = [Apply(fill), *there, Apply(mixed)]
    found, arrays = [], []
    for some in (operations, leaned(operations, {"v"})):
        u, buffer = _random(backend, layout), backend.buffer(layout, 2)
        found.append(backend.program(layout, some)({"u": u, "v": buffer})["a"])
        arrays.append(buffer)
    full, held = arrays
    rows = held.view(np.float32).reshape(2, -1)[:, : full[0].size].reshape(full.shape)
    full, lean = (a[..., : layout.cells[2]] for a in (full, rows))
    np.testing.assert_allclose(lean, full, atol=1e-6 * np.abs(full).max())
    assert found[1] == pytest.approx(found[0], rel=1e-6)
    assert found[1] != found[0]


@pytest.mark.parametrize("precision", ["double", "single"])
def test_reductions_against_numpy(precision: str) -> None:
    layout = Layout(Grid((12, 7, 10), (1.0, 2.0, 3.0), ("periodic",) * 3))
    backend = CpuBackend(precision, 2)  # type: ignore[arg-type]
    cells = _random(backend, layout)
    kernel = Kernel(
        "reduce_test",
        "real",
        {"u": 1},
        reductions={"a": Reduction("sum", U**2), "b": Reduction("min", U), "c": Reduction("max", sp.exp(U))},
    )
    found = backend.program(layout, [Apply(kernel)])({"u": cells})
    values = cells[0, ..., :10].astype(float)
    tolerance = 1e-13 if precision == "double" else 1e-6
    assert found["a"] == pytest.approx((values**2).sum(), rel=tolerance)
    assert found["b"] == values.min()
    assert found["c"] == pytest.approx(np.exp(values.max()), rel=tolerance)


def test_parseval_of_a_kernel_sum() -> None:
    layout = Layout(Grid((9, 8), (1.0, 2.0), ("periodic", "periodic")))
    backend = CpuBackend()
    buffer = _random(backend, layout)
    mean_square = float((buffer[0, ..., :8] ** 2).mean())
    backend.program(layout, [Forward("u", 1)])({"u": buffer})
    kernel = Kernel("parseval_test", "spectral", {"u": 1}, reductions={"power": Reduction("sum", WEIGHT * U**2)})
    assert backend.program(layout, [Apply(kernel)])({"u": buffer})["power"] / layout.grid.norm**2 == pytest.approx(
        mean_square, rel=1e-13
    )


def test_gradient_norm_is_the_central_difference() -> None:
    grid = Grid((16, 12), (2.0, 3.0), ("periodic", "no-flux"))
    layout, backend = Layout(grid), CpuBackend()
    buffer = _random(backend, layout)
    target = buffer.copy()
    kernel = Kernel("gradient_test", "real", {"u": 1, "g": 1}, {"g": [GradientNorm(U)]})
    backend.program(layout, [Apply(kernel)])({"u": buffer, "g": target})
    u = buffer[0, :, 0, :]
    padded = np.pad(u, ((0, 0), (1, 1)), mode="edge")
    gx = (np.roll(u, -1, 0) - np.roll(u, 1, 0)) / (2 * grid.axes[0].spacing)
    gy = (padded[:, 2:] - padded[:, :-2]) / (2 * grid.axes[1].spacing)
    np.testing.assert_allclose(target[0, :, 0, :], np.hypot(gx, gy), rtol=1e-13, atol=1e-13)


def test_spectral_kernel_applies_to_both_parts_and_mirrored_rows() -> None:
    from phasefield.codegen import Phi

    layout, backend = Layout(Grid((10, 6, 8), (1.0, 1.0, 1.0), ("periodic",) * 3)), CpuBackend()
    buffer = _random(backend, layout)
    expected = buffer.copy()
    k2 = sum(np.ix_(*(a.k2 for a in layout.grid.axes)), np.zeros(())) * -1e-3
    view = expected.view(complex)
    view[0] *= np.exp(k2)
    kernel = Kernel("mirror_test", "spectral", {"u": 1}, {"u": [Phi(0, -K2 / 1000) * U]})
    backend.program(layout, [Apply(kernel)])({"u": buffer})
    np.testing.assert_allclose(buffer, expected, rtol=1e-13, atol=1e-15)


def test_threads_plan_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FFTW's wisdom is one for the process: at once, each would forget what another has just read, and plan to other bits."""
    monkeypatch.setenv("PHASEFIELD_CACHE", str(tmp_path))
    at_work, most = [0], [0]

    def plan() -> dict[tuple[str, bool, bool], Plan]:
        at_work[0] += 1
        most[0] = max(most[0], at_work[0])
        time.sleep(0.02)
        at_work[0] -= 1
        return {}

    threads = [threading.Thread(target=plan_once, args=(f"key{n}", plan)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]


def test_threads_follow_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "5")
    assert cpu_threads() == 3
    assert cpu_threads(7) == 7
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert cpu_threads() == 5
    monkeypatch.delenv("SLURM_CPUS_PER_TASK")
    assert 1 <= cpu_threads() <= (os.cpu_count() or 1)


_STEP = textwrap.dedent(
    """
    import hashlib
    from phasefield.api import spec_of
    from phasefield.simulation import Simulation
    fixed = "time.scheme=etd1", "time.adaptive=false", "time.dt=0.01", "output.observables=[free_energy]"
    sim = Simulation(spec_of("grid.shape=[48,48]", "time.end=1", "device=cpu", "threads.cpu=1", *fixed))
    for _ in range(5):
        sim.advance(1.0)
    print(hashlib.sha256(sim.carry.u.tobytes()).hexdigest())
    """
)


def _start(cache: Path) -> subprocess.Popen[str]:
    environment = os.environ | {"PHASEFIELD_CACHE": str(cache)}
    return subprocess.Popen(
        [sys.executable, "-c", _STEP], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_processes_share_one_cold_cache(tmp_path: Path) -> None:
    """All start at once in an empty cache, none fails, and all compute the same bits."""
    processes = [_start(tmp_path / "cache") for _ in range(4)]
    results = [p.communicate(timeout=240) for p in processes]
    assert [p.returncode for p in processes] == [0] * 4, results
    assert len({out for out, _ in results}) == 1
    assert len(list((tmp_path / "cache" / "fftw").glob("*.wisdom"))) == 1


def test_unwritable_cache_is_no_obstacle(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    process = _start(blocked / "cache")
    _, error = process.communicate(timeout=240)
    assert process.returncode == 0, error
    assert blocked.read_text() == "not a folder"
    assert stat.S_ISREG(blocked.stat().st_mode)


def _advance(sim: Simulation, steps: int) -> np.ndarray:
    for _ in range(steps):
        sim.advance(1e6)
    return sim.carry.u.copy()


def _small(threads: int, *overrides: str) -> Simulation:
    return Simulation(
        spec_of("grid.shape=[96,64]", "device=cpu", f"threads.cpu={threads}", "time.end=1e6", "seed=3", *overrides)
    )


def test_threads_that_fell_asleep_come_back() -> None:
    sim, other = _small(3), _small(1)
    for _ in range(4):
        time.sleep(0.1)
        assert np.array_equal(_advance(sim, 3), _advance(other, 3))


def test_two_simulations_may_step_in_two_python_threads() -> None:
    expected = _advance(_small(1), 60)
    results: list[np.ndarray] = []
    simulations = [_small(2), _small(2)]
    threads = [threading.Thread(target=lambda s=s: results.append(_advance(s, 60))) for s in simulations]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(results) == 2
    for result in results:
        assert np.array_equal(result, expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_has_threads_of_its_own() -> None:
    sim = _small(2)
    _advance(sim, 5)
    child = os.fork()
    if child == 0:
        _advance(_small(2), 5)
        os._exit(7)
    deadline = time.monotonic() + 60
    status = (0, 0)
    while status[0] == 0 and time.monotonic() < deadline:
        status = os.waitpid(child, os.WNOHANG)
        time.sleep(0.02)
    if status[0] == 0:
        os.kill(child, 9)
    assert os.waitstatus_to_exitcode(status[1]) == 7


@pytest.mark.parametrize("adaptive", [True, False])
@pytest.mark.parametrize("threads", [1, 2])
def test_steps_allocate_nothing(adaptive: bool, threads: int) -> None:
    sim = _small(threads, f"time.adaptive={adaptive}", "time.dt=1e-3", "time.dt_max=1e-3")
    _advance(sim, 20)
    grown, peaks = [], []
    tracemalloc.start()
    try:
        # Threads of others (the test runner's own) allocate now and then: a leak would show in every round.
        for _ in range(5):
            sim.advance(1e6)
            gc.collect()  # empties Python's lists of free objects, which fill up again
            before, _ = tracemalloc.get_traced_memory()
            for step in range(200):
                if step == 100:
                    full, _ = tracemalloc.get_traced_memory()
                    tracemalloc.reset_peak()
                sim.advance(1e6)
            _, peak = tracemalloc.get_traced_memory()
            gc.collect()
            grown.append(tracemalloc.get_traced_memory()[0] - before)
            peaks.append(peak - full)
    finally:
        tracemalloc.stop()
    field = sim.carry.u.nbytes
    assert min(peaks) < 0.5 * field  # numbers and tuples, of which Python keeps some when they are free; no array
    assert min(grown) < 0.05 * field  # less than any object that stayed behind every step


@pytest.mark.parametrize("boundary", ["periodic", "no-flux"])
@pytest.mark.parametrize("shape", [(7,), (64,), (33, 20), (130, 34), (9, 11, 13), (40, 6, 18)])
@pytest.mark.parametrize("precision", ["double", "single"])
def test_fused_passes_are_the_transforms_and_kernels_one_by_one(
    shape: tuple[int, ...], boundary: str, precision: str
) -> None:
    layout = Layout(Grid(shape, (1.0,) * len(shape), (boundary,) * len(shape)))  # type: ignore[arg-type]
    backend = CpuBackend(precision, 2)  # type: ignore[arg-type]
    start = _random(backend, layout, 3)
    other = array_symbol("u", 1)
    kernel = Kernel("fused_test", "real", {"u": 3}, {"u": [U * other, U - other, None]})
    operations = [Forward("u", 3), Inverse("u", 2), Apply(kernel), Forward("u", 3)]
    whole, parts = backend.buffer(layout, 3), backend.buffer(layout, 3)
    whole[...] = parts[...] = start
    backend.program(layout, operations)({"u": whole})
    for operation in operations:
        backend.program(layout, [operation])({"u": parts})
    assert np.array_equal(whole, parts)
