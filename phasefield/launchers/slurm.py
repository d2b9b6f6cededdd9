"""``hydra/launcher=slurm``: every member is a job of Slurm's, one array for all of them, by submitit.

submitit asks Slurm for SIGUSR2 ahead of a job's limit, which a cluster may send at preemption too, and requeues the job at once.
Here the member stops first, at the end of a step and with a checkpoint, and submitit comes after: it counts timeouts, keeps what
the job was asked, and requeues it. The member goes on in its folder, to the bits of an unbroken run.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import signals
from ..errors import ConfigError, PhasefieldError
from ..wall import seconds
from . import blank, environment, missing, needed

needed("slurm", "submitit", "hydra_plugins.hydra_submitit_launcher")

from hydra_plugins.hydra_submitit_launcher.submitit_launcher import SlurmLauncher  # noqa: E402

#: Seconds between two looks at the queue: at first, and at most.
_SOON, _LATER = 3.0, 30.0
#: Seconds that Slurm is given to end jobs that were cancelled: its KillWait is 30 unless a site says otherwise.
_ENDING = 90.0


class Slurm(SlurmLauncher):
    """Submits members, waits for them, and cancels them if it is stopped.

    Args:
        time: of a job, as in ``time.wall``; whole minutes to Slurm. params: of submitit.

    Raises:
        ConfigError: no such time.
    """

    restarts = True

    def __init__(self, time: Any, **params: Any) -> None:
        self.minutes = math.ceil(seconds(time, "hydra.launcher.time") / 60)
        self.environment = environment()
        super().__init__(**params)

    def __call__(self, *args: Any) -> Any:
        """A member, in its job. What stops it, limit or preemption, is heard by the run; after that it is submitit's."""
        os.environ.update(self.environment)
        requeue = signal.getsignal(signal.SIGUSR2)
        try:
            with signals.listening():
                signal.signal(signal.SIGUSR2, lambda number, frame: signal.raise_signal(signal.SIGUSR1))
                return super().__call__(*args)
        except (SystemExit, KeyboardInterrupt):  # written down in the member's folder
            signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # the second of two notices
            if _wanted() and callable(requeue):
                print("the job goes back to the queue; its run goes on from there", file=sys.stderr)
                try:
                    requeue(signal.SIGUSR2, None)  # leaves the process
                except Exception as error:  # too many timeouts, or a cluster that requeues nothing
                    print(f"phasefield: not requeued: {error}", file=sys.stderr)
        return blank()

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[Any]:
        """Runs the members that are not done; see `phasefield.launchers`.

        Raises:
            PhasefieldError: there is no Slurm here, or it refuses the jobs. Stopped: by a signal; no job is left then.
        """
        assert self.config is not None
        numbers = missing(self, initial_job_idx, len(job_overrides))
        results = [blank() for _ in job_overrides]
        if not numbers:
            return results
        jobs: dict[int, Any] = {}
        try:
            with signals.deferred():  # no job is submitted that is not known here
                jobs |= zip(numbers, self._submit(job_overrides, initial_job_idx, numbers), strict=True)
            folder = os.path.relpath(next(iter(jobs.values())).paths.folder)
            print(f"{len(jobs)} submitted to Slurm, job {', '.join(_ids(jobs))}; logs in {folder}", file=sys.stderr)
            _wait(list(jobs.values()))
        except BaseException:
            _cancel(jobs)
            raise
        for number, job in jobs.items():
            results[number - initial_job_idx] = _result(number, job)
        return results

    def _submit(self, job_overrides: Sequence[Sequence[str]], first: int, numbers: Sequence[int]) -> list[Any]:
        import submitit
        from hydra.core.singleton import Singleton
        from submitit.core.utils import FailedJobError, FailedSubmissionError, JobPaths

        if shutil.which("sbatch") is None or shutil.which("srun") is None:
            raise PhasefieldError(
                "hydra/launcher=slurm: there is no Slurm here (sbatch, srun)\n"
                "  give the command on a login node of the cluster, or take hydra/launcher=local"
            )
        params = {name: value for name, value in self.params.items() if value is not None}
        folder, timeouts = params.pop("submitit_folder"), params.pop("max_num_timeout")
        # Since Slurm 22.05 srun does not take this over from sbatch.
        srun = [f"--cpus-per-task={params['cpus_per_task']}"] if "cpus_per_task" in params else []
        general = {"name", "cpus_per_task", "gpus_per_node", "tasks_per_node", "mem_gb", "nodes", "stderr_to_stdout"}
        params = {name if name in general else f"slurm_{name}": value for name, value in params.items()}
        scripts = JobPaths.get_first_id_independent_folder(folder)
        new, state = not scripts.exists(), Singleton.get_state()
        jobs = [(list(job_overrides[n - first]), "hydra.sweep.dir", n, f"{n}", state) for n in numbers]
        try:
            executor = submitit.AutoExecutor(cluster="slurm", folder=folder, slurm_max_num_timeout=timeouts)
            executor.update_parameters(timeout_min=self.minutes, slurm_srun_args=srun, **params)
            with contextlib.redirect_stderr(
                io.StringIO()
            ):  # where submitit repeats what sbatch says, which is in the error
                return list(executor.map_array(self, *zip(*jobs, strict=True)))
        except (FailedJobError, FailedSubmissionError) as error:
            if new:  # of no use without jobs
                shutil.rmtree(scripts, ignore_errors=True)
            raise PhasefieldError(f"hydra/launcher=slurm: Slurm refuses the jobs: {_reason(error)}") from error
        except (TypeError, ValueError) as error:
            raise ConfigError("hydra.launcher", " ".join(str(error).split())) from error


def _reason(error: BaseException) -> str:
    """What sbatch said, out of what submitit makes of it."""
    lines = [line.strip() for line in str(error).splitlines()]
    said = [line.removeprefix("sbatch: ").removeprefix("error: ") for line in lines if line.startswith("sbatch:")]
    return "; ".join(said or [line for line in lines if line][-1:])


def _wanted() -> bool:
    """Whether Slurm still wants this job: one that was cancelled, and ends, must not be requeued."""
    state = _squeue([os.environ.get("SLURM_JOB_ID", "")], "%T")
    return state is None or "RUNNING" in state


def _squeue(ids: Sequence[str], column: str) -> list[str] | None:
    """A column of the queue for some jobs, a line for each task of an array; None if Slurm does not answer."""
    answer = subprocess.run(
        ["squeue", "--noheader", "--array", f"--jobs={','.join(ids)}", f"--format={column}"],
        capture_output=True,
        text=True,
    )
    if answer.returncode and "Invalid job id" not in answer.stderr:  # which is said of jobs that ended long ago
        return None
    return answer.stdout.split()


def _ids(jobs: dict[int, Any]) -> list[str]:
    """Numbers of jobs, of an array one."""
    return list(dict.fromkeys(job.job_id.split("_")[0] for job in jobs.values()))


def _wait(jobs: Sequence[Any]) -> None:
    """Waits until every job has left its result, or has left the queue without one.

    The queue is asked for what submitit asks accounting for, which not every cluster has. A job counts as lost when it is missing
    twice: between the two looks its result comes through the filesystem.
    """
    waiting = {job.job_id: job for job in jobs}
    began = looked = time.monotonic()
    absent: set[str] = set()
    while waiting := {name: job for name, job in waiting.items() if not job.paths.result_pickle.exists()}:
        time.sleep(0.5)
        now = time.monotonic()
        if now - looked < min(_SOON + 0.1 * (now - began), _LATER):
            continue
        looked = now
        queued = _squeue(list(dict.fromkeys(name.split("_")[0] for name in waiting)), "%i")
        if queued is not None:
            gone = set(waiting) - set(queued)
            waiting = {name: job for name, job in waiting.items() if name not in gone & absent}
            absent = gone


def _cancel(jobs: dict[int, Any]) -> None:
    """Cancels jobs, and waits while their members write checkpoints."""
    if not jobs:
        return
    ids = _ids(jobs)
    print(f"cancelling job {', '.join(ids)}; its members write checkpoints", file=sys.stderr)
    subprocess.run(["scancel", *ids], capture_output=True)
    end = time.monotonic() + _ENDING
    while _squeue(ids, "%i") != [] and time.monotonic() < end:
        time.sleep(0.5)


def _result(number: int, job: Any) -> Any:
    """What a job gave back, for sweepers that choose by it. What went wrong outside its member is told here."""
    from submitit.core.utils import pickle_load

    log = os.path.relpath(job.paths.stdout)
    if not Path(job.paths.result_pickle).exists():
        print(f"run {number}: its job left the queue before its end; see {log}", file=sys.stderr)
        return blank()
    outcome, value = pickle_load(job.paths.result_pickle)
    if outcome == "success":
        return value
    last = str(value).strip().splitlines()[-1:]
    print(f"run {number}: its job failed: {''.join(last)}; see {log}", file=sys.stderr)
    return blank()
