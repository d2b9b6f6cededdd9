"""What a run is said to take is what it takes; what does not fit is refused before anything is allocated."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import phasefield as pf
from phasefield.api import spec_of
from phasefield.backend import memory
from phasefield.backend.cpu import CpuBackend
from phasefield.errors import ConfigError
from phasefield.initial import Sample
from phasefield.initial.options import slabs
from phasefield.models import stabilizers
from phasefield.problem import build_model, initial_cells
from phasefield.simulation import Simulation, footprint

#: Runs a job in a process of its own; prints the most memory it held beyond that of the same job on a small grid.
_PEAK = """
import re, sys
from pathlib import Path
import phasefield as pf
from phasefield.report import picture

def now(key):
    return int(re.search(rf"{key}:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024

def go(name, *keys):
    run = pf.run("device=cpu", "threads.cpu=1", "time.end=1", "output.every=0.05", f"output.dir={sys.argv[1]}/{name}", *keys)
    picture(run.path)

go("small", *sys.argv[3:], "grid.shape=" + re.sub(r"\\d+", "16", sys.argv[2].split("=")[1]), "time.max_steps=6")
before = now("VmRSS")
Path("/proc/self/clear_refs").write_text("5")
go("large", *sys.argv[3:], sys.argv[2], "time.max_steps=6")
print(now("VmHWM") - before)
"""


def peak(tmp_path: Path, shape: str, *keys: str) -> int:
    command = [sys.executable, "-c", _PEAK, str(tmp_path), f"grid.shape={shape}", *keys]
    for name in ("compiled", "measured"):  # the first run of a problem on a machine also compiles and plans
        command[3] = str(tmp_path / name)
        out = subprocess.run(command, check=True, capture_output=True, text=True, timeout=140).stdout
    return int(out.split()[-1])


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peaks are read from /proc")
@pytest.mark.parametrize(
    ("shape", "keys", "most"),
    [
        ("[1500,1500]", (), 80),
        ("[1500,1500]", ("precision=single",), 42),
        ("[150,150,100]", ("grid.boundary=no-flux", "time.adaptive=false", "time.dt=0.1"), 80),
    ],
    ids=str,
)
@pytest.mark.slow
def test_the_peak_of_a_run(tmp_path: Path, shape: str, keys: tuple[str, ...], most: float) -> None:
    spec = spec_of("device=cpu", f"grid.shape={shape}", *keys)
    cells = math.prod(spec.grid.shape)
    said, used = footprint(spec, CpuBackend(spec.precision)).device, peak(tmp_path, shape, *keys)
    extra = 32 * 2**20  # what HDF5 is given at a time, threads, what the system's allocator keeps
    print(f"{said / cells:.1f} bytes per cell said, {used / cells:.1f} used")
    assert said / cells <= most
    assert said * 0.85 - extra < used < said * 1.15 + extra


@pytest.mark.parametrize(
    "shape", ["[20000,20000]", "[100000,100000]", "[2000,2000,2000]", "[1000000000000]", "[10000000000,10000000000]"]
)
def test_what_does_not_fit_is_refused_at_once(shape: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(memory, "_rooms", lambda: iter([16 * 2**30]))
    start = time.monotonic()
    with pytest.raises(
        ConfigError, match=r"grid\.shape: .* needs (about|more than) .* bytes per cell\); 16 GiB are free"
    ) as caught:
        pf.run(f"grid.shape={shape}", "device=cpu", f"output.dir={tmp_path}/run")
    assert time.monotonic() - start < 20
    assert caught.value.exit_code == 2
    assert not (tmp_path / "run").exists()


def test_what_is_said_to_fit_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    need = footprint(spec_of("device=cpu", "grid.shape=[64,64]"), CpuBackend()).device
    monkeypatch.setattr(memory, "_rooms", lambda: iter([need]))
    Simulation(spec_of("device=cpu", "grid.shape=[64,64]"))
    monkeypatch.setattr(memory, "_rooms", lambda: iter([need - 1]))
    with pytest.raises(ConfigError, match="precision=single"):
        Simulation(spec_of("device=cpu", "grid.shape=[64,64]"))


def test_limits_of_control_groups_and_slurm_count(tmp_path: Path) -> None:
    group = tmp_path / "cgroup" / "slice" / "job"
    group.mkdir(parents=True)
    (group / "memory.max").write_text("max\n")
    for name, content in {
        "memory.max": "1000",
        "memory.current": "700",
        "memory.stat": "anon 5\nactive_file 30\ninactive_file 20",
    }.items():
        (group.parent / name).write_text(content)
    (tmp_path / "self").write_text("0::/slice/job\n")
    assert list(memory._groups(tmp_path / "cgroup", tmp_path / "self")) == [350]
    first = tmp_path / "first" / "memory" / "job"
    first.mkdir(parents=True)
    for name, content in {
        "memory.limit_in_bytes": "500",
        "memory.usage_in_bytes": "100",
        "memory.stat": "total_active_file 7",
    }.items():
        (first / name).write_text(content)
    (tmp_path / "self").write_text("3:cpu:/x\n4:memory:/job\n")
    assert list(memory._groups(tmp_path / "first", tmp_path / "self")) == [407]
    assert memory._slurm({"SLURM_MEM_PER_NODE": "100"}) == 100 * 2**20
    assert memory._slurm({"SLURM_MEM_PER_CPU": "10", "SLURM_CPUS_ON_NODE": "4"}) == 40 * 2**20
    assert memory._slurm({}) is None
    assert 0 < memory.host_memory_available() < 2**50


@pytest.mark.parametrize("preset", ["cahn_hilliard", "precipitate", "grain_growth"])
def test_a_sample_stands_for_all_cells(preset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from phasefield.initial import sample as module

    spec = spec_of(f"model={preset}", "grid.shape=[120,100]")
    model, grid = build_model(spec), spec.grid.build()
    cells = initial_cells(spec, model, grid)
    whole = stabilizers(model, cells)
    monkeypatch.setattr(module, "_WHOLE", 0)
    taken = Sample(grid, len(cells))
    for rows in (slice(0, 50), slice(50, 51), slice(51, 120)):
        taken.add(rows, cells[:, rows])
    array = taken.array()
    assert array.shape[1] < 2000
    flat = cells.reshape(len(cells), -1)
    picks = np.unique(np.linspace(0, flat.shape[1] - 1, 48).astype(int))
    assert np.array_equal(array[:, np.linspace(0, array.shape[1] - 1, 48).astype(int)], flat[:, picks])
    assert np.array_equal(np.ptp(array, axis=1), np.ptp(flat, axis=1))
    np.testing.assert_allclose(array.mean(axis=1), flat.mean(axis=1), rtol=0, atol=1e-14)
    assert np.array_equal(array[:, array.argmax(axis=1)], flat[:, flat.argmax(axis=1)])
    np.testing.assert_allclose(stabilizers(model, array), whole, rtol=1e-9)
    assert [s.start for s in slabs(grid)] == [0]
