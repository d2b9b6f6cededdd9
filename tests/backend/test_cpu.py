"""The CPU backend: same numbers for any number of threads, one plan for all processes, caches that may be shared or read-only."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import sympy as sp

from phasefield.api import spec_of
from phasefield.backend import Forward, Layout, Run
from phasefield.backend.base import cpu_threads
from phasefield.backend.cpu import CpuBackend
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
    found = backend.program(layout, [Run(kernel)])({"u": cells})
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
    assert backend.program(layout, [Run(kernel)])({"u": buffer})["power"] / layout.grid.norm**2 == pytest.approx(
        mean_square, rel=1e-13
    )


def test_gradient_norm_is_the_central_difference() -> None:
    grid = Grid((16, 12), (2.0, 3.0), ("periodic", "no-flux"))
    layout, backend = Layout(grid), CpuBackend()
    buffer = _random(backend, layout)
    target = buffer.copy()
    kernel = Kernel("gradient_test", "real", {"u": 1, "g": 1}, {"g": [GradientNorm(U)]})
    backend.program(layout, [Run(kernel)])({"u": buffer, "g": target})
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
    backend.program(layout, [Run(kernel)])({"u": buffer})
    np.testing.assert_allclose(buffer, expected, rtol=1e-13, atol=1e-15)


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
    sim = Simulation(spec_of("grid.shape=[48,48]", "time.end=1", "device=cpu", "threads.cpu=1"))
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
