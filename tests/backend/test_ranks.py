"""One run over several processes is the run of one."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import ranks_cases
from host_driver import HAS_COMPILER

import phasefield as pf
from phasefield.store import load_checkpoint, open_dataset

MPIRUN = shutil.which("mpirun", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
HERE = Path(__file__).parent


def _environment() -> dict[str, str]:
    """That of processes which MPI starts: with the library of this very mpirun, of which a machine may have several."""
    library = Path(MPIRUN or "").resolve().parents[1] / "lib" / "libmpi.so.12"
    own = {"MPI4PY_LIBMPI": str(library)} if library.exists() else {}
    return {**os.environ, **own, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("mpi4py") is None or MPIRUN is None, reason="mpi4py or mpirun is not here: phasefield[mpi]"
)
needs_compiler = pytest.mark.skipif(not HAS_COMPILER, reason="g++ is not here, which compiles the kernels of stand-ins")


def mpirun(count: int, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(MPIRUN or "").resolve()), "-n", str(count), *words],
        env=_environment() | more,
        stdin=subprocess.DEVNULL,  # else mpirun takes what is meant for pytest
        capture_output=True,
        text=True,
        timeout=200,
    )


def phasefield(count: int, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    return mpirun(count, sys.executable, "-m", "phasefield.cli", *words, **more)


def made_by(count: int, folder: Path, *names: str) -> None:
    done = mpirun(count, sys.executable, str(HERE / "ranks_cases.py"), str(folder), *names)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def made_alone(folder: Path, *names: str) -> None:
    for name in names:
        ranks_cases.make(name, folder)


def difference(one: Path, other: Path) -> float:
    """Largest difference of the fields; both have the same steps."""
    a, b = pf.open_run(one), pf.open_run(other)
    assert np.array_equal(a.history.step, b.history.step)
    return max(float(abs(a.fields[name] - b.fields[name]).max()) for name in a.fields.data_vars)


def same(one: Path, other: Path) -> bool:
    """Whether the files of two runs hold the same bits."""
    a, b = pf.open_run(one), pf.open_run(other)
    return a.fields.load().equals(b.fields.load()) and a.history.equals(b.history)


def test_two_ranks_are_one_process(tmp_path: Path) -> None:
    names = ["odd/30", "mixed/20"]
    made_alone(tmp_path / "one", *names)
    made_by(2, tmp_path / "two", *names)
    for name in ("odd", "mixed"):
        for way in ("alltoall", "alltoall:1"):
            assert difference(tmp_path / "one" / name, tmp_path / "two" / way / name) < 1e-13
        assert same(tmp_path / "one" / name, tmp_path / "two" / "shared" / name)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All cases, made by one process."""
    folder = tmp_path_factory.mktemp("one")
    made_alone(folder, *ranks_cases.CASES)
    return folder


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("count", [2, 3, 4])
def test_every_case(count: int, alone: Path, tmp_path: Path) -> None:
    made_by(count, tmp_path)
    for name in ranks_cases.CASES:
        # One process, or several that share memory, solve for equilibrium in single precision where that is enough.
        least = {"single": 2e-6, "phases": 1e-9}.get(name, 1e-12)
        for way in [way for way in ranks_cases.WAYS if (tmp_path / way).exists() and way != "shared"]:
            assert difference(alone / name, tmp_path / way / name) < least, (way, name)
        assert same(alone / name, tmp_path / "shared" / name), name


def made_by_cards(count: int, folder: Path, *names: str) -> None:
    done = mpirun(count, sys.executable, str(HERE / "ranks_cards.py"), str(folder), *names)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_compiler
def test_gpus_of_two_ranks_are_one_process(tmp_path: Path) -> None:
    """By stand-ins on the host's memory; what was stopped goes on to the same bits."""
    made_alone(tmp_path / "one", "odd/20", "mixed/8")
    made_by_cards(2, tmp_path / "cards", "odd/9", "odd/20", "mixed/8")
    made_by_cards(2, tmp_path / "whole", "odd/20")
    for way in ("alltoall", "alltoall:1"):
        for name in ("odd", "mixed"):
            assert difference(tmp_path / "one" / name, tmp_path / "cards" / way / name) < 1e-13
        parted, whole = (load_checkpoint(tmp_path / n / way / "odd" / "checkpoint.npz")[0] for n in ("cards", "whole"))
        assert all(np.array_equal(values, parted[array]) for array, values in whole.items())


@needs_compiler
@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_case_on_gpus(alone: Path, tmp_path: Path) -> None:
    names = [name for name in ranks_cases.CASES if not name.startswith("pencils")]
    made_by_cards(3, tmp_path, *names)
    for name in names:
        for way in ("alltoall", "alltoall:1"):
            assert difference(alone / name, tmp_path / way / name) < (2e-6 if name == "single" else 1e-12), (way, name)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_resuming_on_as_many_ranks_gives_the_same_bits(tmp_path: Path) -> None:
    made_by(2, tmp_path / "whole", "odd/40", "solid/30")
    made_by(2, tmp_path / "parted", "odd/17", "odd/40", "solid/11", "solid/30")
    made_by(3, tmp_path / "other", "odd/17", "solid/11")
    made_by(2, tmp_path / "other", "odd/40", "solid/30")
    for name in ("odd", "solid"):
        for way in ("alltoall", "shared"):
            whole, parted, other = (
                load_checkpoint(tmp_path / made / way / name / "checkpoint.npz")[0]
                for made in ("whole", "parted", "other")
            )
            for array, values in whole.items():
                assert np.array_equal(values, parted[array]), (name, way, array)
                assert abs(values - other[array]).max() <= (1e-12 if way == "alltoall" else 0.0) * abs(values).max()


@pytest.mark.slow
def test_a_script_may_have_imported_mpi_before() -> None:
    script = "from mpi4py import MPI; from phasefield.backend import world; print(world().size, flush=True)"
    done = mpirun(2, sys.executable, "-c", script)
    assert (done.returncode, "".join(done.stdout.split())) == (0, "22"), done.stdout + done.stderr


@pytest.mark.slow
def test_what_ranks_do_not_do_is_told_once(tmp_path: Path) -> None:
    here = [f"output.dir={tmp_path / 'run'}", "output.picture=false", "time.end=1"]
    for words, more, told in (
        (["run", "grid.shape=[64]", "grid.length=64"], {}, "grid.shape: [64] cannot be parted among 2 ranks"),
        (
            [
                "run",
                "grid.shape=[12,12]",
                "grid.boundary=[no-flux,periodic]",
                "model=cahn_hilliard",
                "model.fields.c.mobility=1-0.5*c**2",
            ],
            {},
            "derivatives along y, periodic where others have walls",
        ),
        (["run", "device=gpu"], {}, "device=gpu: "),
        (["run", "-m", "seed=1,2"], {}, "2 tasks were started"),
        (["run", "model.no=1"], {}, "model.no"),
        (
            ["run", "grid.shape=[8,8]"],
            {"PHASEFIELD_RANKS_EXCHANGE": "pigeon"},
            "PHASEFIELD_RANKS_EXCHANGE: is 'pigeon'",
        ),
        (["run", "grid.shape=[8,8]"], {"PHASEFIELD_RANKS_EXCHANGE": "shared:2"}, "is 'shared:2'; auto"),
    ):
        done = phasefield(2, *words, *here, **{"PHASEFIELD_RANKS_EXCHANGE": "alltoall", **more})
        assert done.returncode == 2, done.stderr
        assert done.stderr.count("phasefield: error:") == 1
        assert told in done.stderr
        assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_ranks_have_no_graphics_card_for_a_body(tmp_path: Path) -> None:
    np.save(tmp_path / "body.npy", np.eye(8, dtype=np.uint8))
    material = "material={phases: {a: {level: 0, stiffness: {E: 1, nu: 0}}, b: {level: 1, stiffness: {E: 3, nu: 0}}}}"
    done = phasefield(2, "homogenize", str(tmp_path / "body.npy"), material, "levels=[0,1]", "device=gpu")
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("phasefield: error:") == 1
    assert "device=gpu: several processes compute on CPUs" in done.stderr


@pytest.mark.slow
def test_ranks_share_the_cores_where_nobody_says_how_many_threads(tmp_path: Path) -> None:
    """Each gets its share, one at least; the bits are those of any number."""
    more = {"OMP_NUM_THREADS": "", "PHASEFIELD_RANKS_EXCHANGE": "alltoall"}
    words = [*ranks_cases.SMALL, *ranks_cases.CASES["plane"]]
    for name, own in (("shared", more), ("one", {"PHASEFIELD_RANKS_EXCHANGE": "alltoall"})):
        done = phasefield(2, "run", *words, f"output.dir={tmp_path / name}", **own)
        assert done.returncode == 0, done.stderr
    cores = max(1, len(os.sched_getaffinity(0)) // 2)
    assert f"2 ranks with {cores} thread" in pf.open_run(tmp_path / "shared").fields.attrs["device"]
    assert same(tmp_path / "one", tmp_path / "shared")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_homogenization_over_ranks(tmp_path: Path) -> None:
    """A smooth image of uneven sides with mixed voxels, and a picture."""
    x, y, z = np.meshgrid(np.arange(18), np.arange(12), np.arange(10), indexing="ij")
    smooth = (
        np.sin(2 * np.pi * x / 18)
        + np.cos(2 * np.pi * (y / 12 + z / 10))
        + 0.3 * np.sin(2 * np.pi * (2 * y / 12 - x / 18))
    )
    np.save(tmp_path / "body.npy", 0.5 + 0.5 * np.tanh(smooth))
    np.save(tmp_path / "picture.npy", (smooth[:, :, 0] > 0.2).astype(np.uint8))
    stiffness = "{a: {level: 0, stiffness: {E: 70, nu: 0.3}}, b: {level: 1, stiffness: {E: 700, nu: 0.2}}}"
    for name in ("body", "picture"):
        words = (
            "homogenize",
            str(tmp_path / f"{name}.npy"),
            f"material={{phases: {stiffness}}}",
            "levels=[0,1]",
            "solver.tolerance=1e-9",
        )
        for count in (1, 2, 3):
            done = phasefield(count, *words, f"output={tmp_path}/{name}{count}.nc")
            assert done.returncode == 0, done.stdout + done.stderr
        of = [open_dataset(tmp_path / f"{name}{count}.nc")["stiffness"].load() for count in (1, 2, 3)]
        assert float(abs(of[0]).max()) > 0
        for other in of[1:]:
            assert float(abs(other - of[0]).max() / abs(of[0]).max()) < 1e-10, name
