"""The job scripts and the launcher under a real Slurm; where none answers the scripts are only read by bash.

A private one is enough: one node, a partition `preempt` below `main` with PreemptMode=REQUEUE and some seconds of grace.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
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
        keys = [*MODEL, "time.end=30000", "output.every=3000"]
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
        larger = [key.replace("64,64", "96,96") for key in MODEL]
        chain = [SCRIPTS / "chain.sh", "6", *larger, "time.end=20000", "output.dir=run"]
        for _ in range(5):  # on a machine that others use too, links get less done
            subprocess.run(chain, cwd=tmp_path, env=queue.env, check=True, capture_output=True)
            queue.until(queue.idle)
            if "finished at time 20000" in queue.text():
                break
        assert "time.wall is over" in queue.text()
        assert float(pf.open_run(tmp_path / "run").fields.time[-1]) == 20000

    def test_several_ranks_are_preempted_and_requeued_to_the_bits_of_one(self, tmp_path: Path) -> None:
        pytest.importorskip("mpi4py")
        queue = Queue(tmp_path)
        keys = [*MODEL, "time.end=15000", "output.every=3000"]
        whole = ["phasefield", *keys, "output.dir=whole", "threads.cpu=1"]
        subprocess.run(whole, cwd=tmp_path, env=queue.env, check=True, capture_output=True)
        queue.submit("--partition=preempt", SCRIPTS / "mpi.sbatch", *keys, "output.dir=run")
        queue.until((tmp_path / "run" / "checkpoint.npz").exists)
        queue.submit("--exclusive", "--partition=main", "--wrap=sleep 2")
        queue.until(queue.idle)
        assert "stopped by signal" in queue.text(), "it was over before it was preempted"
        assert "2 ranks with 1 thread each" in queue.text()
        run, alone = (pf.open_run(tmp_path / name).fields.c.values.tobytes() for name in ("run", "whole"))
        assert run == alone


#: A sweep of two.
PAIR = [*MODEL, "time.end=30000", "output.every=3000", "threads.cpu=1", "seed=1,2"]


class Sweep:
    """A sweep that is launched on a queue."""

    def __init__(self, queue: Queue, *words: str) -> None:
        self.queue, self.folder = queue, queue.folder
        command = ["phasefield", "run", "-m", *words, "hydra/launcher=slurm", "hydra.launcher.time=5m"]
        self.child = subprocess.Popen(command, cwd=queue.folder, env=queue.env, stderr=subprocess.PIPE, text=True)
        self.said = ""

    @property
    def job(self) -> str:
        """The job's number, once it is submitted."""
        assert self.child.stderr is not None
        while not (found := re.search(r"submitted to Slurm, job (\d+)", self.said)):
            line = self.child.stderr.readline()
            assert line, self.said
            self.said += line
        return found.group(1)

    def begun(self, *members: str) -> None:
        self.queue.until(lambda: all((self.folder / m / "checkpoint.npz").exists() for m in members))

    def ended(self) -> int:
        """The exit code, of a command that has said all."""
        self.said += self.child.communicate(timeout=240)[1]
        return self.child.returncode

    def logs(self) -> str:
        return "\n".join(p.read_text() for p in self.folder.glob("*/slurm/*_log.out"))

    def queued(self) -> list[str]:
        asked = ["squeue", "-h", "-j", self.job, "-o", "%i"]
        return subprocess.run(asked, capture_output=True, text=True).stdout.split()


def bits(folder: Path) -> tuple[bytes, bytes]:
    run = pf.open_run(folder)
    return run.fields.c.values.tobytes(), run.history[["time", "free_energy"]].to_array().values.tobytes()


class TestLauncher:
    pytestmark = slurm

    def test_preempted_and_requeued_members_end_with_the_same_bits(self, tmp_path: Path) -> None:
        queue = Queue(tmp_path)
        whole = ["phasefield", "run", "-m", *PAIR, "output.dir=whole"]
        subprocess.run(whole, cwd=tmp_path, env=queue.env, check=True, capture_output=True)
        sweep = Sweep(queue, *PAIR, "output.dir=many", "hydra.launcher.partition=preempt")
        sweep.begun("many/0", "many/1")
        queue.submit("--exclusive", "--partition=main", "--wrap=sleep 2")
        assert sweep.ended() == 0, sweep.said
        assert "many: 2 runs, all done" in sweep.said
        assert "the job goes back to the queue" in sweep.logs(), "all was over before it was preempted"
        assert "resuming at time" in sweep.logs()
        for member in "01":
            assert bits(tmp_path / "many" / member) == bits(tmp_path / "whole" / member)

    def test_a_limit_that_comes_too_often(self, tmp_path: Path) -> None:
        """A member is told of its limit, goes on in another job, and is told again: more than it is given."""
        queue = Queue(tmp_path)
        keys = [*MODEL, "time.end=1e6", "output.every=1e5", "seed=1", "output.dir=many"]
        sweep = Sweep(queue, *keys, "hydra.launcher.max_num_timeout=1")
        for times in (1, 2):
            queue.until(lambda n=times: sweep.logs().count("steps to time 1e+06") == n)  # type: ignore[misc]
            sweep.begun("many/0")
            subprocess.run(["scancel", "--signal=USR2", sweep.job], check=True)
        assert sweep.ended() == 85, sweep.said
        assert "85    stopped to be continued" in sweep.said
        assert "timed-out too many times" in sweep.logs()
        assert sweep.logs().count("resuming at time") == 1
        queue.until(lambda: not sweep.queued())

    def test_an_interrupted_sweep_leaves_a_table_and_no_job(self, tmp_path: Path) -> None:
        """Given again, the command runs what is missing."""
        queue = Queue(tmp_path)
        keys = [*MODEL, "output.every=1e5", "time.end=5,1e5", "output.dir=many", "output.resume=auto"]
        sweep = Sweep(queue, *keys)
        sweep.begun("many/0", "many/1")
        queue.until(lambda: any(tmp_path.glob("many/slurm/*_0_0_result.pkl")))
        sweep.child.send_signal(signal.SIGINT)
        assert sweep.ended() == 130, sweep.said
        assert "many: 2 runs, 1 done, 0 failed, 1 stopped or not started" in sweep.said
        queue.until(lambda: not sweep.queued())
        assert "goes back to the queue" not in sweep.logs()
        steps = pf.open_run(tmp_path / "many" / "1").history.step[-1]
        assert steps > 0
        again = Sweep(queue, *keys)
        assert again.job
        assert "many: 1 of 2 runs are done\n1 submitted" in again.said
        queue.until(lambda: "resuming at time" in again.logs())
        again.child.send_signal(signal.SIGTERM)
        assert again.ended() == 143, again.said
        queue.until(lambda: not again.queued())

    def test_eight_on_an_empty_cache(self, tmp_path: Path) -> None:
        queue = Queue(tmp_path)
        queue.env["PHASEFIELD_CACHE"] = "cache"  # of the folder that the command was given in
        sweep = Sweep(queue, *MODEL, "time.end=20", "seed=1,2,3,4,5,6,7,8", "output.dir=many")
        assert sweep.ended() == 0, sweep.said
        assert "damaged" not in sweep.logs()
        assert len({bits(tmp_path / "many" / str(n)) for n in range(8)}) == 8
        alone = ["phasefield", *MODEL, "time.end=20", "seed=3", "output.dir=alone", "threads.cpu=1"]
        subprocess.run(alone, cwd=tmp_path, env=queue.env, check=True, capture_output=True)
        assert bits(tmp_path / "alone") == bits(tmp_path / "many" / "2")

    def test_what_slurm_refuses_leaves_nothing(self, tmp_path: Path) -> None:
        sweep = Sweep(Queue(tmp_path), *PAIR, "output.dir=many", "hydra.launcher.partition=nonsense")
        assert sweep.ended() == 2
        assert sweep.said.startswith("phasefield: error: hydra/launcher=slurm: Slurm refuses the jobs: ")
        assert "invalid partition" in sweep.said
        assert len(sweep.said.splitlines()) == 1
        assert not list(tmp_path.iterdir())

    def test_many_tasks_are_refused_once(self, tmp_path: Path) -> None:
        queue = Queue(tmp_path)
        keys = ["phasefield", "run", *MODEL, "time.end=5"]
        many = ["srun", "--time=5", "--ntasks=4", *keys, "output.dir=many"]
        answer = subprocess.run(many, cwd=tmp_path, env=queue.env, capture_output=True, text=True)
        assert answer.returncode == 2
        assert answer.stderr.count("phasefield: error: 4 tasks were started") == 1
        assert "srun --ntasks=1 --cpus-per-task=N phasefield run" in answer.stderr
        assert not (tmp_path / "many").exists()
        # Of their own, each in its folder.
        own = f"{' '.join(keys)} seed=$SLURM_PROCID output.dir=own/$SLURM_PROCID"
        apart = ["srun", "--time=5", "--ntasks=2", "--mpi=none", "bash", "-c", own]
        subprocess.run(apart, cwd=tmp_path, env=queue.env, check=True, capture_output=True)
        assert bits(tmp_path / "own" / "0") != bits(tmp_path / "own" / "1")
        # A job that may start four, and a step of one in it.
        script = f"{' '.join(keys)} output.dir=batch && srun --ntasks=1 {' '.join(keys)} output.dir=step"
        queue.submit("--ntasks=4", "--output=job.log", f"--wrap={script}")
        queue.until(queue.idle)
        assert {p.parent.name for p in tmp_path.glob("*/checkpoint.npz")} == {"batch", "step"}, queue.text()
