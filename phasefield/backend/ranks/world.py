"""The processes that compute together, and what they tell each other. Nothing of MPI is imported where there is but one."""

from __future__ import annotations

import functools
import os
import sys
from typing import Any, NoReturn

from ...errors import DeviceError
from ...tasks import started


class World:
    """All processes of a parallel program, equal ones that differ in their rank.

    What is handed to these methods is pickled; all ranks call the same ones in the same order.

    Attributes:
        rank: which one this is, from 0 on. size: how many there are. comm: the communicator of mpi4py, None where there is one.
    """

    def __init__(self, comm: Any = None) -> None:
        self.comm = comm
        self.rank: int = 0 if comm is None else comm.Get_rank()
        self.size: int = 1 if comm is None else comm.Get_size()

    @functools.cached_property
    def node(self) -> Any:
        """The communicator of the ranks that share this one's memory."""
        from mpi4py import MPI

        return self.comm.Split_type(MPI.COMM_TYPE_SHARED)

    @property
    def neighbours(self) -> int:
        """Ranks that share this one's machine, itself included."""
        return 1 if self.comm is None else self.node.Get_size()

    def broadcast(self, value: Any = None) -> Any:
        """What rank 0 hands in."""
        return value if self.comm is None else self.comm.bcast(value)

    def gather(self, value: Any) -> list[Any] | None:
        """What all hand in, by rank, at rank 0; None elsewhere."""
        return [value] if self.comm is None else self.comm.gather(value)

    def agree(self, value: Any) -> bool:
        """Whether all hand in the same."""
        return self.comm is None or len(set(self.comm.allgather(value))) == 1

    def abort(self, message: str, code: int = 1) -> NoReturn:
        """Ends all ranks at once, after a message: the last resort, for others may wait for what will never come."""
        sys.stderr.write(f"phasefield: error: rank {self.rank} of {self.size}: {message}\n")
        sys.stderr.flush()
        if self.comm is not None:
            self.comm.Abort(code)
        os._exit(code)


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
        import mpi4py

        mpi4py.rc.thread_level = "funneled"  # only the main thread sends anything
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise DeviceError(
            f"{count} tasks were started, and MPI, by which they would compute together, cannot be used: {error}\n"
            "  pip install 'phasefield[mpi]', or start one: srun --ntasks=1 --cpus-per-task=N phasefield run ..."
        ) from error
    found = World(MPI.COMM_WORLD)
    if found.size != count:
        raise DeviceError(
            f"{count} tasks were started, but MPI knows of {found.size}: the launcher is not that of this MPI\n"
            "  with Slurm: srun --mpi=pmi2 (or the kind that `srun --mpi=list` shows for it); else its own mpirun"
        )
    return found
