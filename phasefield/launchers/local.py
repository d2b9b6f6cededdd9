"""``hydra/launcher=local``: several members at once on this machine, by joblib's processes, which share its cores out.

joblib kills processes when it is interrupted. Here members are told to stop instead, and write their checkpoints.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future
from typing import Any

from .. import signals
from ..errors import ConfigError
from . import blank, cores, environment, missing, needed, shares, threads_told

needed("local", "joblib", "hydra_plugins.hydra_joblib_launcher")

from hydra_plugins.hydra_joblib_launcher.joblib_launcher import JoblibLauncher  # noqa: E402

#: Libraries with threads of their own, which get as many.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_ASKED = re.compile(r"\+*(?:[\w.]+\.)?threads(?:\.cpu)?=(\d+)$")


class Local(JoblibLauncher):
    """Runs members side by side.

    Args:
        n_jobs: processes; None takes as many as there are cores, or fewer where members have several threads each.

    Raises:
        ConfigError: no such number.
    """

    def __init__(self, n_jobs: Any = None) -> None:
        if n_jobs is not None and (not isinstance(n_jobs, int) or isinstance(n_jobs, bool) or n_jobs < 1):
            raise ConfigError(
                "hydra.launcher.n_jobs", f"is {n_jobs!r}; a whole number above zero, or null, is expected"
            )
        self.n_jobs = n_jobs
        super().__init__()

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[Any]:
        """Runs the members that are not done; see `phasefield.launchers`.

        Raises:
            Stopped: by a signal. SystemExit: a member was stopped, so that no other was begun.
        """
        numbers = missing(self, initial_job_idx, len(job_overrides))
        results = [blank() for _ in job_overrides]
        if not numbers:
            return results
        processes, threads = shares(cores(), len(numbers), self.n_jobs, self._threads(job_overrides))
        print(f"processes: {processes}, threads of each: {threads}, runs: {len(numbers)}", file=sys.stderr)
        stopped: list[int] = []
        with signals.deferred() as stop, _Pool(processes, threads) as pool:
            waiting, running = numbers, dict[Future[Any], int]()
            while running or (waiting and not stopped and stop.received is None):
                while waiting and len(running) < processes and not stopped and stop.received is None:
                    number, *waiting = waiting
                    job = number, list(job_overrides[number - initial_job_idx])
                    running[pool.submit(self, *job)] = number
                for future in pool.ended(stop.received):
                    number = running.pop(future)
                    answer = _answer(future, number)
                    if isinstance(answer, int):
                        stopped.append(answer)
                    elif answer is not None:
                        results[number - initial_job_idx] = answer
            if stopped and stop.received == signal.SIGUSR1:
                stop.received = None  # obeyed, and its exit code is that of the members
        signals.check()
        if stopped:
            raise SystemExit(stopped[0])
        return results

    def _threads(self, job_overrides: Sequence[Sequence[str]]) -> int | None:
        """Threads that a member is to have: as its keys say, else ``OMP_NUM_THREADS``."""
        from omegaconf import OmegaConf

        found = [int(m.group(1)) for job in job_overrides for o in job if (m := _ASKED.match(o))]
        found += [v for key in ("threads.cpu", "threads") if isinstance(v := OmegaConf.select(self.config, key), int)]
        return max(found) if found else threads_told()


class _Pool:
    """Processes that run members, each by itself: one that is killed takes no other along, and is replaced.

    They are told of signals, and stop by themselves when their parent is gone.
    """

    def __init__(self, processes: int, threads: int) -> None:
        self._env = environment() | dict.fromkeys(_THREADS, str(threads))
        self._places: list[Any] = [self._place() for _ in range(processes)]
        self._busy: dict[Future[Any], int] = {}
        self._told = False

    def _place(self) -> Any:
        from joblib.externals.loky.process_executor import ProcessPoolExecutor

        return ProcessPoolExecutor(1, initializer=_begin, initargs=(os.getpid(),), env=self._env)

    def __enter__(self) -> _Pool:
        return self

    def __exit__(self, kind: object, *error: object) -> None:
        for place in self._places:
            place.shutdown(wait=True, kill_workers=kind is not None)

    def submit(self, launcher: Local, number: int, overrides: list[str]) -> Future[Any]:
        """Runs a member in a process that is free; there must be one."""
        from hydra.core.singleton import Singleton

        context = launcher.hydra_context, launcher.config, launcher.task_function, Singleton.get_state()
        at = next(k for k in range(len(self._places)) if k not in self._busy.values())
        try:
            future: Future[Any] = self._places[at].submit(_member, number, overrides, *context)
        except RuntimeError:  # its process was killed
            self._places[at].shutdown(wait=True)
            self._places[at] = self._place()
            future = self._places[at].submit(_member, number, overrides, *context)
        self._busy[future] = at
        return future

    def ended(self, received: int | None) -> set[Future[Any]]:
        """Members that have ended, if any do within a moment. Tells all of a signal, once."""
        from joblib.externals.loky import wait

        if received is not None and not self._told:
            self._told = True
            for process in [p for place in self._places for p in (place._processes or {}).values()]:
                if process.is_alive():
                    os.kill(process.pid, received)
        done = set(wait(list(self._busy), timeout=0.2, return_when=FIRST_COMPLETED).done)
        for future in done:
            del self._busy[future]
        return done


def _answer(future: Future[Any], number: int) -> Any:
    """What a member gave back: a `JobReturn`, or the exit code of one that was stopped. What took its process is told here."""
    try:
        return future.result()
    except Exception as error:  # of the pool: the members' own are in their folders
        print(f"run {number}: its process was lost: {str(error).split('. ')[0]}", file=sys.stderr)
        return None


# In the processes.

#: The signal that was heard while no member ran, after which none is begun.
_heard: list[int] = []


def _begin(parent: int) -> None:
    """Prepares a process: signals wait for a member to hear them, and the end of the parent is one of them."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os.kill(os.getpid(), signal.SIGTERM)

    def note(number: int, frame: object) -> None:
        _heard.append(number)
        if os.getppid() != parent:
            os._exit(128 + number)

    for number in signals.SIGNALS:
        signal.signal(number, note)
    os.setpgid(0, 0)  # what is typed at a terminal comes through the parent, once
    threading.Thread(target=watch, name="phasefield-parent", daemon=True).start()
    sys.stderr = _Lines(sys.stderr)


def _member(number: int, overrides: list[str], context: Any, config: Any, task: Any, state: Any) -> Any:
    """A member; what Hydra makes of it, or its exit code if it was stopped."""
    from hydra_plugins.hydra_joblib_launcher._core import execute_job

    parent = os.getppid()
    if isinstance(sys.stderr, _Lines):
        sys.stderr.name = f"run {number}"
    try:
        with signals.listening():
            if _heard:
                return 128 + _heard[0]
            return execute_job(number, overrides, context, config, task, state)
    except SystemExit as stop:
        return int(stop.code or 0)
    except KeyboardInterrupt as stop:
        return 128 + getattr(stop, "number", signal.SIGINT)
    finally:
        if os.getppid() != parent:  # nobody is there to be answered
            os._exit(1)


class _Lines:
    """A stream of messages from one of several processes: whole lines, which begin with its name, and no terminal."""

    def __init__(self, stream: Any) -> None:
        self._stream, self._rest, self.name = stream, "", ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        if lines:
            head = f"{self.name}: "
            self._stream.write("".join(f"{head}{line.removeprefix(head)}\n" if line else "\n" for line in lines))
        return len(text)

    def isatty(self) -> bool:
        return False
