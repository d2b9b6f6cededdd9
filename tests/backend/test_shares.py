"""Homogenization by several processes, each of which has its planes of the image alone, gives what one gives."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import shares_cases
import shares_memory
from test_ranks import HERE, MPIRUN, mpirun

from phasefield.homogenize.footprint import footprint
from phasefield.homogenize.reading import read_file
from phasefield.store import open_dataset

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        importlib.util.find_spec("mpi4py") is None or MPIRUN is None,
        reason="mpi4py or mpirun is not here: phasefield[mpi]",
    ),
]
#: What is not computed of shares, what is all rounding, and what rounding decides.
OTHER = ("phase_", "scale_ratio", "hill_mandel", "asymmetry")


def differences(one: Path, other: Path) -> dict[str, float]:
    """Relative differences of tensors and evidence; of margins over what they are margins of, which is about one."""
    a, b = open_dataset(one).load(), open_dataset(other).load()
    out = {}
    for name, values in a.data_vars.items():
        if values.dtype.kind != "f" or any(part in str(name) for part in OTHER):
            continue
        x, y = values.values, b[name].values
        finite = np.isfinite(x)
        assert np.array_equal(x[~finite], y[~finite], equal_nan=True), name  # bounds are infinite with a rigid phase
        x, y = x[finite], y[finite]
        scale = max(float(np.abs(x).max(initial=0)), 1.0 if str(name).endswith(("margin", "levin")) else 0.0)
        out[str(name)] = float(np.abs(x - y).max(initial=0)) / (scale or 1.0)
    return out


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shares")
    for name in shares_cases.CASES:
        shares_cases.make(name, folder, folder)
    return folder


@pytest.mark.parametrize("count", [2, 5])
def test_every_case(count: int, alone: Path) -> None:
    done = mpirun(count, sys.executable, str(HERE / "shares_cases.py"), str(alone))
    assert done.returncode == 0, done.stdout + done.stderr
    assert not done.stdout
    for way in shares_cases.WAYS if count == 2 else shares_cases.WAYS[:1]:
        for name in shares_cases.CASES:
            found = differences(alone / f"{name}.nc", alone / way / f"{name}.nc")
            least = 1e-6 if name == "single" else 1e-10
            tensors = {n: d for n, d in found.items() if n in ("conductivity", "stiffness", "expansion")}
            assert tensors
            assert max(tensors.values()) < least, (way, name, tensors)
            assert max(found.values()) < 1e-6, (way, name, found)


def test_memory_is_that_of_the_footprint(tmp_path: Path) -> None:
    """Within 15 %, at 128^3 on one process and on two: mostly voxels of conduction, the solver of elasticity."""
    for side in (shares_memory.SIDE, shares_memory.SMALL):
        np.save(tmp_path / f"{side}.npy", shares_memory.body(side))
    voxels = read_file(tmp_path / f"{shares_memory.SIDE}.npy", (0, 1)).voxels()
    cut = float((voxels.first[voxels.index] != voxels.second[voxels.index]).mean())
    for name, elastic in (("conductivity", False), ("stiffness", True)):
        for count in (1, 2):
            done = mpirun(count, sys.executable, str(HERE / "shares_memory.py"), str(tmp_path), name)
            assert done.returncode == 0, done.stdout + done.stderr
            expected = footprint((shares_memory.SIDE,) * 3, elastic, cut, processes=count).most
            found = [int(line) for line in done.stdout.split()]
            assert len(found) == count
            for each in found:
                assert each == pytest.approx(expected, rel=0.15), (name, count, found, expected)


#: ``python -c FAULT RANK KIND ...``: the command line with a fault at one rank.
FAULT = """
import os, sys
rank, kind, *sys.argv[1:] = sys.argv[1:]
if os.environ["PMI_RANK"] == rank:
    import numpy as np
    from phasefield.backend.voxel.common import CommonSlab
    from phasefield.errors import NotConverged
    def failing(*words, **more):
        calls.append(1)
        if len(calls) == (1 if kind == "file" else 30):
            os.kill(os.getpid(), 9) if kind == "kill" else None
            raise {"file": OSError, "memory": MemoryError, "alone": NotConverged}[kind]("of a test")
        return whole(*words, **more)
    owner, name = (np.lib.format, "open_memmap") if kind == "file" else (CommonSlab, "apply")
    whole, calls = getattr(owner, name), []
    setattr(owner, name, failing)
from phasefield.cli import main
main()
"""


@pytest.mark.parametrize(
    ("kind", "rank", "told"),
    [
        ("file", 1, "on rank 1: "),
        ("memory", 1, "rank 1 of 2: out of memory: of a test"),
        ("alone", 0, "rank 0 of 2: of a test"),
        ("alone", 1, "rank 1 of 2: of a test"),
        ("kill", 0, ""),
        ("kill", 1, ""),
    ],
)
def test_a_fault_of_one_rank_ends_all_and_loses_nothing(kind: str, rank: int, told: str, tmp_path: Path) -> None:
    """What was there stays; no folder is left in which anything was begun."""
    np.save(tmp_path / "image.npy", shares_cases.waves((12, 10, 8)))
    keys = (shares_cases.SOFT, shares_cases.HEAT, *shares_cases.QUICK)
    words = ("homogenize", str(tmp_path / "image.npy"), *keys)
    assert mpirun(2, sys.executable, "-m", "phasefield.cli", *words, "voxel=sharp").returncode == 0
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    done = mpirun(2, sys.executable, "-c", FAULT, str(rank), kind, *words)
    assert done.returncode == (9 if kind == "kill" else 2), done.stderr
    assert done.stderr.count("phasefield: error:") == bool(told)
    assert told in done.stderr
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
