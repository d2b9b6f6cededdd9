"""Tasks: one call of the command line is one process. A launcher of parallel programs starts as many equal ones as it is told."""

from __future__ import annotations

import os
from collections.abc import Mapping

from .errors import PhasefieldError

#: How many processes a step or a parallel program has, and which of them this is: srun, then MPICH and its kin, then Open MPI. A
#: batch script has the first pair's second name alone, and SLURM_NTASKS, which counts what it may start.
_COUNTS = (
    ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID"),
    ("PMI_SIZE", "PMI_RANK"),
    ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
)


class OneOfMany(PhasefieldError):
    """A call that was started several times over.

    Args:
        count: of processes. first: whether this is the one that says so for all.
    """

    def __init__(self, count: int, first: bool) -> None:
        self.first = first
        super().__init__(
            f"{count} tasks were started, but a call of phasefield is one process with threads\n"
            "  one run on N cores: srun --ntasks=1 --cpus-per-task=N phasefield run ...\n"
            "  many runs: phasefield run -m KEY=VALUE,VALUE hydra/launcher=slurm (or local), or an array of jobs"
        )


def check_alone(environment: Mapping[str, str] = os.environ) -> None:
    """Refuses to be one of several processes of a step of Slurm's or of an MPI program.

    Raises:
        OneOfMany: it is.
    """
    for size, rank in _COUNTS:
        count = environment.get(size, "")
        if count.isdigit() and int(count) > 1 and environment.get(rank, "").isdigit():
            raise OneOfMany(int(count), int(environment[rank]) == 0)
