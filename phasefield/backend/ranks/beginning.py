"""How ranks meet: MPI begins when all have come, and would wait for ever for one that has left."""

from __future__ import annotations

import os
import select
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from ...signals import SIGNALS
from ...tasks import first

#: Seconds between two looks at who is there, and for how many looks one may be missed; seconds after which nobody comes any more.
_LOOK, _TIMES, _LAST = 1.0, 3, 300.0
#: Where launchers say how many ranks they start on this machine, and the names of their processes that do.
_HERE = ("MPI_LOCALNRANKS", "OMPI_COMM_WORLD_LOCAL_SIZE", "SLURM_STEP_TASKS_PER_NODE")
_LAUNCHERS = ("hydra_pmi_proxy", "slurmstepd", "orted", "prted")


@contextmanager
def all_come(count: int) -> Iterator[None]:
    """Kills this process if one of those that the launcher started beside it on this machine leaves while it waits within, or has
    not come for very long: launchers end all when one is killed.

    A process of its own looks after it, for MPI begins without letting other threads of Python run.

    Args:
        count: how many ranks there are, for the message.
    """
    done, bell = os.pipe()
    waits, launcher = os.getpid(), os.getppid()
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # of libraries' threads, which the other process has no use for
        child = os.fork()
    if child == 0:
        os.close(bell)
        _look(done, waits, launcher, count)
    os.close(done)
    try:
        yield
    finally:
        os.close(bell)
        os.waitpid(child, 0)


def _look(done: int, waits: int, launcher: int, count: int) -> NoReturn:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    beside, missed, looks = _expected(launcher), 0, 0
    while not select.select([done], [], [], _LOOK)[0] and os.getppid() == waits:
        looks += 1
        now = _beside(launcher)
        beside = max(beside, now)
        missed = missed + 1 if now < beside else 0
        if missed >= _TIMES or looks * _LOOK >= _LAST:
            if first():
                why = "one has ended before" if missed else f"one has not come for {_LAST:g} s"
                sys.stderr.write(
                    f"phasefield: error: not all of the {count} ranks have begun: {why}\n"
                    "  every rank needs the same command and the same environment, MPI included (pip install 'phasefield[mpi]')\n"
                )
                sys.stderr.flush()
            os.kill(waits, signal.SIGKILL)
            break
    os._exit(0)


def _expected(launcher: int) -> int:
    """How many processes a launcher is to start here; 0 where that cannot be told, as of a script between it and this one."""
    try:
        known = Path(f"/proc/{launcher}/comm").read_text().strip() in _LAUNCHERS
    except OSError:
        return 0
    said = next((os.environ[name] for name in _HERE if os.environ.get(name, "").isdigit()), "0")
    return int(said) if known else 0


def _beside(launcher: int) -> int:
    """Processes of a launcher's that have not ended; 0 where that cannot be told."""
    try:
        children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
        return sum("\nState:\tZ" not in Path(f"/proc/{child}/status").read_text() for child in children)
    except OSError:
        return 0
