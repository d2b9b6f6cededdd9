"""A launcher of Hydra's for many small runs on one machine: ``hydra/launcher=ensemble``.

What a small run costs beside its steps, the interpreter, its libraries, compiled kernels and plans, is paid once: a few processes
take one member after the other, each with its own share of the cores. On small grids threads wait for each other more than they
compute, so that members side by side, one thread each, are what the cores do best.

A member has its own folder, seed, parameters, step sizes and failure, as if it ran alone, and gives the same bits.
"""

from __future__ import annotations

import ctypes
import importlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from omegaconf import open_dict

from . import console, signals
from .backend import cpu_threads
from .errors import ConfigError

#: Called with the number of a member whose process has ended without a word, and with why.
Lost = Callable[[int, str], None]

_NAME = "hydra_plugins.phasefield"
#: Seconds between two looks at the processes.
_LOOK = 0.2
#: Of Linux's prctl: the signal that a process gets when its parent dies.
_PDEATHSIG = 1


def register(lost: Lost) -> None:
    """Makes the launcher known to Hydra, which has to be done before it composes.

    Hydra takes plugins from its package ``hydra_plugins`` alone, so that this module goes by a name in there.
    """
    try:
        package = importlib.import_module("hydra_plugins")
    except ImportError:  # no other plugin is installed
        package = sys.modules["hydra_plugins"] = ModuleType("hydra_plugins")
    sys.modules[_NAME] = package.phasefield = sys.modules[__name__]  # type: ignore[attr-defined]
    Ensemble.__module__, Ensemble.lost = _NAME, staticmethod(lost)
    Plugins.instance().register(Ensemble)


class Ensemble(Launcher):
    """Runs jobs in a few processes that are forked from this one.

    Args:
        processes: how many; None is one for every core that this process may use.

    Raises:
        ConfigError: ``processes`` is not above 0.
    """

    lost: Lost = staticmethod(lambda number, why: None)

    def __init__(self, processes: int | None = None) -> None:
        if processes is not None and not (isinstance(processes, int) and processes > 0):
            raise ConfigError("hydra.launcher.processes", f"is {processes}", "give a number above 0, or null for all cores")
        self._wanted = processes

    def setup(self, *, hydra_context: Any, task_function: Any, config: Any) -> None:
        self._context, self._task, self._config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Runs all jobs; what became of them is in their folders.

        Raises:
            SystemExit: a job was stopped, or this process was asked to stop, and with it all others.
        """
        setup_globals()
        Path(str(self._config.hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)
        jobs = dict(enumerate(map(list, job_overrides), initial_job_idx))
        cores = cpu_threads()
        processes = min(self._wanted or cores, len(jobs))
        if "fork" in multiprocessing.get_all_start_methods() and sys.platform != "darwin":
            _Crew(self._run, jobs, processes, max(1, cores // processes), self.lost).work()
        else:  # there is nothing to inherit from a process that is started afresh
            for number in jobs:
                self._run(number, jobs[number])
        return [self._returned(job) for job in jobs.values()]

    def _run(self, number: int, overrides: Sequence[str]) -> None:
        config = self._context.config_loader.load_sweep_config(self._config, list(overrides))
        with open_dict(config):
            config.hydra.job.id = config.hydra.job.num = number
        run_job(
            hydra_context=self._context,
            task_function=self._task,
            config=config,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )

    @staticmethod
    def _returned(overrides: Sequence[str]) -> JobReturn:
        done = JobReturn(overrides=list(overrides), status=JobStatus.COMPLETED)
        done.return_value = None
        return done


class _Crew:
    """Processes that take jobs from one list, in order.

    Args:
        run: does a job, given its number and what it is asked. jobs: by number.
        threads: of each process.
    """

    def __init__(
        self,
        run: Callable[[int, Sequence[str]], None],
        jobs: dict[int, list[str]],
        processes: int,
        threads: int,
        lost: Lost,
    ) -> None:
        self._fork = multiprocessing.get_context("fork")
        self._run, self._jobs, self._numbers, self._lost = run, jobs, list(jobs), lost
        self._processes, self._threads = processes, threads
        self._taken = self._fork.Value("q", 0)
        #: Of every process the place in the list of what it is at, -1 for nothing.
        self._at = self._fork.Array("q", [-1] * processes)

    def work(self) -> None:
        """Until nothing is left, or a signal asks to stop.

        Raises:
            SystemExit: stopped, by a signal or by a job's own wish.
        """
        with signals.deferred() as stop:
            crew = [self._start(place) for place in range(self._processes)]
            told, codes = False, set[int]()
            while any(crew):
                for place, process in enumerate(crew):
                    if process is None:
                        continue
                    process.join(_LOOK / len(crew))
                    if process.exitcode is None:
                        continue
                    crew[place] = self._after(place, process.exitcode, codes, told)
                if stop.received is not None and not told:
                    told = True
                    self._close()
                    for process in filter(None, crew):
                        if process.is_alive() and process.pid is not None:
                            os.kill(process.pid, stop.received)
            if told:
                codes.add(128 + stop.received) if not codes and stop.received is not None else None
                stop.received = None
        if codes:
            raise SystemExit(max(codes))

    def _start(self, place: int) -> Any:
        sys.stdout.flush()
        process = self._fork.Process(target=self._serve, args=(place,), name=f"phasefield-{place}")
        process.start()
        return process

    def _close(self) -> None:
        """Nobody takes another job."""
        with self._taken.get_lock():
            self._taken.value = len(self._numbers)

    def _after(self, place: int, code: int, codes: set[int], told: bool) -> Any:
        """What takes the place of a process that has ended, if anything."""
        if code > 0:
            codes.add(code)
        if code >= 0 or told:
            return None
        self._lost(self._numbers[self._at[place]], f"its process was ended by signal {-code}{_memory(-code)}")
        return self._start(place) if self._taken.value < len(self._numbers) else None

    def _serve(self, place: int) -> NoReturn:
        """A process: job after job."""
        # Signals reach it through its parent alone, a terminal's as well: each once.
        os.setpgid(0, 0)
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGTERM)
        signals.forked()
        os.environ["OMP_NUM_THREADS"] = str(self._threads)
        console.FOLLOWED[0] = False
        try:
            with signals.listening():
                while (taken := self._take()) is not None:
                    self._at[place] = taken
                    number = self._numbers[taken]
                    self._run(number, self._jobs[number])
            raise SystemExit(0)
        except signals.Stopped as stopped:
            self._close()
            raise SystemExit(128 + stopped.number) from None
        except SystemExit as stopped:
            if stopped.code:
                self._close()
            raise

    def _take(self) -> int | None:
        """The place of the next job in the list, None if there is none."""
        with self._taken.get_lock():
            taken = self._taken.value
            if taken >= len(self._numbers):
                return None
            self._taken.value = taken + 1
            return taken


def _memory(number: int) -> str:
    return ", as the system does when memory is short" if number == signal.SIGKILL else ""

