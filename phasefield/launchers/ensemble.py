"""A launcher of Hydra's for many small runs on one machine: ``hydra/launcher=ensemble``.

What a small run costs beside its steps, the interpreter, its libraries, compiled kernels and plans, is paid once: a few processes
take one member after the other, each with its own share of the cores. On small grids threads wait for each other more than they
compute, so that members side by side, one thread each, are what the cores do best.

A member has its own folder, seed, parameters, step sizes and failure, as if it ran alone, and gives the same bits.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, NoReturn

from hydra.core.utils import run_job, setup_globals
from hydra.plugins.launcher import Launcher
from omegaconf import open_dict

from .. import console, signals
from ..errors import ConfigError
from . import blank, cores, environment, missing, shares, threads_told

#: Seconds between two looks for signals.
_LOOK = 0.2
#: Of Linux's prctl: the signal that a process gets when its parent dies.
_PDEATHSIG = 1


class Ensemble(Launcher):
    """Runs jobs in a few processes that are forked from this one.

    Args:
        processes: how many; None is one for every core, or fewer where ``OMP_NUM_THREADS`` gives each more than one.

    Raises:
        ConfigError: ``processes`` is not above 0.
    """

    def __init__(self, processes: int | None = None) -> None:
        if processes is not None and not (isinstance(processes, int) and processes > 0):
            raise ConfigError(
                "hydra.launcher.processes", f"is {processes}", "give a number above 0, or null for all cores"
            )
        self._wanted = processes

    def setup(self, *, hydra_context: Any, task_function: Any, config: Any) -> None:
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[Any]:
        """Runs the members that are not done; see `phasefield.launchers`.

        Raises:
            SystemExit: a member was stopped, or this process was asked to stop, and with it all others.
        """
        setup_globals()
        numbers = missing(self, initial_job_idx, len(job_overrides))
        if not numbers:
            return [blank() for _ in job_overrides]

        def run(number: int) -> None:
            self._run(number, job_overrides[number - initial_job_idx])

        os.environ |= environment()
        processes, threads = shares(cores(), len(numbers), self._wanted, threads_told())
        if "fork" in multiprocessing.get_all_start_methods() and sys.platform != "darwin":
            _Crew(run, numbers, processes, threads).work()
        else:  # there is nothing to inherit from a process that is started afresh
            for number in numbers:
                run(number)
        return [blank() for _ in job_overrides]

    def _run(self, number: int, overrides: Sequence[str]) -> None:
        config = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
        with open_dict(config):
            config.hydra.job.id = config.hydra.job.num = number
        run_job(
            hydra_context=self.hydra_context,
            task_function=self.task_function,
            config=config,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )


@dataclass
class _Hand:
    """A process, and the number of the job that it is at."""

    process: Any
    pipe: Connection
    number: int | None = None


class _Crew:
    """Processes that are handed one job after the other. They share nothing but a pipe each, so that one that is killed holds
    nobody up.

    Args:
        run: does the job of a number. numbers: of the jobs, in order. threads: of each process.
    """

    def __init__(self, run: Callable[[int], None], numbers: Sequence[int], processes: int, threads: int) -> None:
        self._fork = multiprocessing.get_context("fork")
        self._run, self._left = run, deque(numbers)
        self._processes, self._threads = processes, threads
        self._hands: list[_Hand] = []

    def work(self) -> None:
        """Until nothing is left, or a signal or a job asks to stop.

        Raises:
            SystemExit: stopped.
        """
        code = 0
        with signals.deferred() as stop:
            told = False
            for _ in range(self._processes):
                self._start()
            while self._hands:
                wait([*(h.pipe for h in self._hands), *(h.process.sentinel for h in self._hands)], _LOOK)
                for hand in list(self._hands):
                    if hand.process.exitcode is not None:
                        self._hands.remove(hand)
                        code = code or self._ended(hand)
                    elif hand.pipe.poll():
                        self._hand_out(hand)
                if stop.received is not None and not told:
                    told, code = True, 128 + stop.received
                    self._left.clear()
                    for hand in self._hands:
                        os.kill(hand.process.pid, stop.received)
            if told:
                stop.received = None
        if code:
            raise SystemExit(code)

    def _start(self) -> None:
        ours, theirs = self._fork.Pipe()
        process = self._fork.Process(target=self._serve, args=(theirs,), daemon=False)
        sys.stdout.flush()
        process.start()
        theirs.close()  # ends here when it ends there
        self._hands.append(_Hand(process, ours))

    def _hand_out(self, hand: _Hand) -> None:
        """The next job to a process that asks for one."""
        with suppress(EOFError, OSError):  # it has just ended, which its exit code tells
            hand.pipe.recv()
            hand.number = self._left.popleft() if self._left else None
            hand.pipe.send(hand.number)

    def _ended(self, hand: _Hand) -> int:
        """What an end means to the others: the exit code if they stop as well, else 0."""
        code = hand.process.exitcode
        hand.pipe.close()
        if code > 0:
            self._left.clear()
            return code
        if code < 0 and hand.number is not None:
            memory = ", as the system does when memory is short" if code == -signal.SIGKILL else ""
            print(f"run {hand.number}: its process was ended by signal {-code}{memory}", file=sys.stderr)
        if code < 0 and self._left:
            self._start()
        return 0

    @staticmethod
    def _asked(pipe: Connection) -> int | None:
        """The next job that is handed out, None for no more."""
        with suppress(EOFError, OSError):  # who hands them out is gone
            pipe.send(None)
            return pipe.recv()
        return None

    def _serve(self, pipe: Connection) -> NoReturn:
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
                while (number := self._asked(pipe)) is not None:
                    self._run(number)
        except signals.Stopped as stopped:
            raise SystemExit(128 + stopped.number) from None
        raise SystemExit(0)
