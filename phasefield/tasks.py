"""Tasks: a call of the command line is one process, or one of the equal ones that a launcher of parallel programs has started."""

from __future__ import annotations

import os
from collections.abc import Mapping

from .errors import PhasefieldError

#: Which process of a step or a parallel program this is, and how many there are, of several counts the least: of srun, MPICH and
#: its kin, Open MPI. In a batch script SLURM_NTASKS says how many tasks it may start; the count of a step is there only if the
#: script was submitted within that step.
_COUNTS = (
    ("SLURM_PROCID", ("SLURM_STEP_NUM_TASKS", "SLURM_NTASKS")),
    ("PMI_RANK", ("PMI_SIZE",)),
    ("OMPI_COMM_WORLD_RANK", ("OMPI_COMM_WORLD_SIZE",)),
)


class OneOfMany(PhasefieldError):
    """A call that was started several times over.

    Args:
        count: of processes. first: whether this is the one that says so for all.
    """

    def __init__(self, count: int, first: bool) -> None:
        self.first = first
        super().__init__(
            f"{count} tasks were started, but this command is one process with threads\n"
            "  one process on N cores: srun --ntasks=1 --cpus-per-task=N phasefield ...\n"
            "  one run over N processes: mpirun -n N phasefield run ... (or resume)\n"
            "  many runs: phasefield run -m KEY=VALUE,VALUE hydra/launcher=slurm (or local), or an array of jobs"
        )


def started(environment: Mapping[str, str] = os.environ) -> int:
    """How many processes a step of Slurm's or an MPI program has of which this is one; 1 where nobody says."""
    return _place(environment)[0]


def first(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this is the one of them that speaks for all."""
    return _place(environment)[1]


def check_alone(environment: Mapping[str, str] = os.environ) -> None:
    """Refuses to be one of several processes of a step of Slurm's or of an MPI program.

    Raises:
        OneOfMany: it is.
    """
    count, speaks = _place(environment)
    if count > 1:
        raise OneOfMany(count, speaks)


def _place(environment: Mapping[str, str]) -> tuple[int, bool]:
    """How many processes there are, and whether this is the first."""
    for rank, sizes in _COUNTS:
        here, counts = environment.get(rank, ""), [environment.get(size, "") for size in sizes]
        if here.isdigit() and all(map(str.isdigit, counts)) and (count := min(map(int, counts))) > 1:
            return count, int(here) == 0
    return 1, True
