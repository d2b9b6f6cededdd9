"""The job scripts under a real Slurm; where none answers they are only read by bash.

A private one is enough: one node, a partition `preempt` below `main` with PreemptMode=REQUEUE and some seconds of grace.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import phasefield as pf

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts" / "slurm"
MODEL = ["model=spinodal", "grid.shape=[64,64]", "time.adaptive=false", "time.dt=0.5", "output.picture=false"]


def answers() -> bool:
    return bool(shutil.which("sinfo")) and subprocess.run(["sinfo"], capture_output=True).returncode == 0


slurm = [pytest.mark.slow, pytest.mark.skipif(not answers(), reason="no Slurm answers (sinfo)")]


@pytest.mark.parametrize("script", sorted(p.name for p in SCRIPTS.iterdir()))
def test_scripts_are_read(script: str) -> None:
    subprocess.run(["bash", "-n", SCRIPTS / script], check=True)


class Queue:
    """Submits jobs that find this environment's phasefield, and waits for them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.env = os.environ | {"PATH": path, "PHASEFIELD_CACHE": str(folder / "cache")}

    def submit(self, *words: str | Path) -> str:
        job = ["sbatch", "--parsable", "--time=5", *map(str, words)]
        return subprocess.run(
            job, cwd=self.folder, env=self.env, check=True, capture_output=True, text=True
        ).stdout.strip()

    def until(self, condition: Callable[[], bool], seconds: float = 150) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, self.text()
            time.sleep(0.5)

    def idle(self) -> bool:
        return not subprocess.run(["squeue", "-h"], capture_output=True, text=True, check=True).stdout.strip()

    def text(self) -> str:
        return "\n".join(p.read_text() for p in self.folder.glob("*.log"))


class TestUnderSlurm:
    pytestmark = slurm

    def test_preempted_and_requeued_a_run_ends_with_the_same_bits(self, tmp_path: Path) -> None:
        queue = Queue(tmp_path)
        keys = [*MODEL, "time.end=6000", "output.every=500"]
        # With the same cache: FFTW's plans, and with them the last bits, are those of the first who makes them.
        whole = ["phasefield", *keys, "output.dir=whole", "threads.cpu=1"]
        subprocess.run(whole, cwd=tmp_path, env=queue.env, check=True, capture_output=True)
        queue.submit("--cpus-per-task=1", "--partition=preempt", SCRIPTS / "run.sbatch", *keys, "output.dir=run")
        queue.until((tmp_path / "run" / "checkpoint.npz").exists)
        queue.submit("--exclusive", "--partition=main", "--wrap=sleep 2")
        queue.until(queue.idle)
        assert "stopped by signal" in queue.text(), "it was over before it was preempted"
        run, alone = (pf.open_run(tmp_path / name).fields.c.values.tobytes() for name in ("run", "whole"))
        assert run == alone

    def test_an_array_on_an_empty_cache(self, tmp_path: Path) -> None:
        queue = Queue(tmp_path)
        queue.submit("--array=1-8", SCRIPTS / "array.sbatch", "runs", *MODEL, "time.end=20")
        queue.until(queue.idle)
        runs = [pf.open_run(tmp_path / "runs" / str(n)) for n in range(1, 9)]
        assert all(float(run.fields.time[-1]) == 20 for run in runs)
        assert len({run.fields.c[-1].values.tobytes() for run in runs}) == 8

    def test_members_from_a_file(self, tmp_path: Path) -> None:
        queue = Queue(tmp_path)
        (tmp_path / "members.txt").write_text("seed=3\nseed=4 'title=of two words'\n")
        queue.env["MEMBERS"] = "members.txt"
        queue.submit("--array=1-2", SCRIPTS / "array.sbatch", "runs", *MODEL, "time.end=5")
        queue.until(queue.idle)
        assert pf.open_run(tmp_path / "runs" / "2").fields.attrs["title"] == "of two words"

    def test_a_chain_comes_to_the_end(self, tmp_path: Path) -> None:
        queue = Queue(tmp_path)
        queue.env["WALL"] = "6"
        chain = [SCRIPTS / "chain.sh", "4", *MODEL, "grid.shape=[96,96]", "time.end=6000", "output.dir=run"]
        subprocess.run(chain, cwd=tmp_path, env=queue.env, check=True, capture_output=True)
        queue.until(queue.idle)
        assert "time.wall is over" in queue.text()
        assert float(pf.open_run(tmp_path / "run").fields.time[-1]) == 6000
