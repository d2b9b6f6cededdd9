"""The processes that compute together, and what they tell each other. Nothing of MPI is imported where there is but one."""

from __future__ import annotations

import functools
import os
import pickle
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from ...errors import DeviceError
from ...tasks import started
from ..control_groups import bound_to
from .beginning import all_come

#: Bytes of a message that most words fit into.
_SHORT = 4096
#: Looks for a word after which the core is offered to others, then left; longest nap in seconds.
_SPINS, _LOOKS, _NAP = 100, 20000, 1e-3
_ONE = "start one process: srun --ntasks=1 --cpus-per-task=N phasefield run ..."


class Group:
    """Processes that call the same methods in the same order; what is handed to these is pickled.

    Attributes:
        comm: the communicator of mpi4py, None where there is one process.
        rank: which of them this one is, from 0 on. size: how many there are.
    """

    def __init__(self, comm: Any = None) -> None:
        self.comm = comm
        self.rank: int = 0 if comm is None else comm.Get_rank()
        self.size: int = 1 if comm is None else comm.Get_size()

    def broadcast(self, value: Any = None) -> Any:
        """What rank 0 hands in."""
        return value if self.comm is None else self.comm.bcast(value)

    def wait_for_all(self) -> None:
        """Comes back when all ranks have called this."""
        if self.comm is not None:
            self.comm.Barrier()

    def gather(self, value: Any) -> list[Any] | None:
        """What all hand in, by rank, at rank 0; None elsewhere."""
        return [value] if self.comm is None else self.comm.gather(value)

    def everywhere(self, value: Any) -> list[Any]:
        """What all hand in, by rank, at every rank."""
        return [value] if self.comm is None else self.comm.allgather(value)

    def agree(self, value: Any) -> bool:
        """Whether all hand in the same."""
        return len(set(self.everywhere(value))) == 1


class World(Group):
    """All processes of a parallel program, equal ones that differ in their rank.

    Attributes:
        node: the communicator of the ranks that share this one's memory. cores: how many cores these are bound to, together.
        leading: whether the others do what this one says, see `team`.
    """

    leading = False

    def __init__(self, comm: Any = None) -> None:
        super().__init__(comm)
        self._words = np.empty(_SHORT, np.uint8)
        self.node: Any = None
        self.cores = len(bound_to())
        if comm is not None:
            from mpi4py import MPI

            # Here, where all ranks come by, for they make communicators together.
            self.node = comm.Split_type(MPI.COMM_TYPE_SHARED)
            self.cores = len(set().union(*self.node.allgather(bound_to())))
            self._notices = comm.Dup()
            self._sent: list[Any] = []
        self._kept: dict[Any, Any] = {}

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """What all ranks make together when one of them first asks, which all do; it lives as long as the process."""
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]

    @property
    def neighbours(self) -> int:
        """Ranks that share this one's machine, itself included."""
        return 1 if self.comm is None else self.node.Get_size()

    def say(self, value: Any) -> None:
        """Tells all others something that they `hear`."""
        data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
        self._words[:8] = np.frombuffer(len(data).to_bytes(8, "little"), np.uint8)
        short = len(data) <= len(self._words) - 8
        if short:
            self._words[8 : 8 + len(data)] = np.frombuffer(data, np.uint8)
        self.comm.Ibcast(self._words).Wait()
        if not short:
            self.comm.Bcast(np.frombuffer(data, np.uint8))

    def hear(self) -> Any:
        """What rank 0 says next. Who waits long for it leaves its core to others."""
        asked = self.comm.Ibcast(self._words)
        looks = 0
        while not asked.Test():
            looks += 1
            if looks > _LOOKS:
                time.sleep(min(_NAP, 1e-6 * (looks - _LOOKS)))
            elif looks > _SPINS:
                os.sched_yield()
        size = int.from_bytes(self._words[:8].tobytes(), "little")
        if size <= len(self._words) - 8:
            return pickle.loads(self._words[8 : 8 + size].tobytes())
        data = np.empty(size, np.uint8)
        self.comm.Bcast(data)
        return pickle.loads(data.tobytes())

    def notify(self, number: int) -> None:
        """Tells rank 0, whatever it does, of a signal that it will find by `notices`."""
        self._sent.append(self._notices.isend(number, 0))

    def notices(self) -> list[int]:
        """Signals that other ranks have told this one of since it last asked; waits for none."""
        found = []
        while self._notices.iprobe():
            found.append(self._notices.recv())
        return found

    def abort(self, message: str, code: int = 1) -> NoReturn:
        """Ends all ranks at once, after a message: the last resort, for others may wait for what will never come.

        Args:
            code: the exit code; launchers may give another for it.
        """
        sys.stderr.write(f"phasefield: error: rank {self.rank} of {self.size}: {message}\n")
        sys.stderr.flush()
        if self.comm is not None:
            self.comm.Abort(code)
        os._exit(code)


def _check_launcher(vendor: str) -> None:
    """Refuses a library that would end the process, with a page of its own words, where its launcher has not started it.

    Raises:
        RuntimeError: it is such a one.
    """
    if vendor == "Open MPI" and not any(name.startswith(("OMPI_", "PMI")) for name in os.environ):
        raise RuntimeError("neither mpirun nor srun --mpi=pmix has started Open MPI, the library that mpi4py found")


@functools.cache
def world() -> World:
    """The processes that were started together with this one.

    Raises:
        DeviceError: a launcher has started several, and they cannot talk to each other.
    """
    count = started()
    if count == 1:
        return World()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of a launcher that is another MPI's, which is told below
            import mpi4py

            mpi4py.rc.initialize, mpi4py.rc.finalize = False, True
            with all_come(count):
                from mpi4py import MPI

                if not MPI.Is_initialized():  # as it is where a script has imported it before
                    _check_launcher(MPI.get_vendor()[0])
                    MPI.Init_thread(MPI.THREAD_FUNNELED)  # only the main thread sends anything
    except (ImportError, RuntimeError) as error:
        raise DeviceError(
            f"{count} tasks were started, and MPI, by which they would compute together, cannot be used: {error}\n"
            f"  pip install 'phasefield[mpi]', or {_ONE}"
        ) from error
    if (size := MPI.COMM_WORLD.Get_size()) != count:
        name, version = MPI.get_vendor()
        raise DeviceError(
            f"{count} tasks were started, but MPI knows of {size}: the launcher is not that of this MPI, "
            f"{name} {'.'.join(map(str, version))}\n"
            "  one run over N processes: srun --mpi=pmi2 (see srun --mpi=list), or the mpirun of the MPI that mpi4py uses\n"
            f"  or {_ONE}"
        )
    return World(MPI.COMM_WORLD)


def leading() -> bool:
    """Whether this process leads others; nothing is asked of MPI."""
    return world.cache_info().currsize > 0 and world().leading


def met() -> bool:
    """Whether this process has met others; nothing is asked of MPI."""
    return world.cache_info().currsize > 0 and world().size > 1
