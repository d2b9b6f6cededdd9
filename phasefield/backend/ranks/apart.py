"""Tasks of a step of Slurm's that have nothing to do with each other: many runs by one `srun`, each in a folder of its own.

Plain `srun` joins its tasks by nothing. What they were asked they tell each other through files, which are compared before
anything is made: only so is the same command, started N times by mistake, told from N commands.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from ...tasks import first, started
from ..cache import cache_folder, publish

log = logging.getLogger("phasefield")

#: Seconds between two looks at who has come; after which nobody comes any more; after which what was told is of no use.
_LOOK, _LAST, _OLD = 0.05, 60.0, 30 * 86400.0
#: What is there only where tasks have been joined, for MPI to find each other by.
_JOINED = ("PMI_RANK", "PMI_FD", "PMIX_RANK", "PMIX_NAMESPACE", "OMPI_COMM_WORLD_RANK", "I_MPI_PMI_LIBRARY")


def apart(command: Sequence[str], folder: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the tasks of this step of Slurm's were each asked for something else, and no two for results in one folder.

    Waits for all of them. False at once where this is no such task, or MPI joins them; False with a warning where they cannot
    hear of each other, so that MPI has the last word.

    Args:
        command: of this task. folder: where its results belong; empty if the command does not say.
    """
    count, number = started(environment), environment.get("SLURM_PROCID", "")
    if count == 1 or not number.isdigit() or any(name in environment for name in _JOINED):
        return False
    where = os.path.realpath(os.path.expanduser(folder)) if folder else ""
    names = ("SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_RESTART_COUNT")
    place = cache_folder() / "steps" / "-".join(environment.get(name) or "0" for name in names)
    try:
        told = _meet(place, int(number), count, "\0".join([where, *command]))
    except OSError as error:
        if first(environment):
            log.warning(
                "%s: the %d tasks of this step cannot tell each other what they were asked: %s; "
                "name a folder that all can write, PHASEFIELD_CACHE=DIR",
                place, count, error.strerror or error,
            )  # fmt: skip
        return False
    folders = [named for text in told if (named := text.partition("\0")[0])]
    return len(set(told)) == count and len(set(folders)) == len(folders)


def leave() -> None:
    """Makes this task the only one of its step for all that asks; it has the core that Slurm gives a task, or those asked for."""
    os.environ["SLURM_STEP_NUM_TASKS"] = "1"
    os.environ.setdefault("SLURM_CPUS_PER_TASK", "1")


def _meet(place: Path, number: int, count: int, text: str) -> list[str]:
    """What all ``count`` tasks say, by their numbers, of which this one is ``number``. A step may meet several times.

    Raises:
        OSError: the folder cannot be written. TimeoutError: some have not come.
    """
    _forget(place.parent)
    place.mkdir(parents=True, exist_ok=True)
    turn = len(list(place.glob(f"{number}.*")))
    publish(place, f"{number}.{turn}", text.encode("utf-8", "surrogateescape"))
    files, end = [f"{task}.{turn}" for task in range(count)], time.monotonic() + _LAST
    # Listed, not looked for: of a file that was looked for too early, NFS says for half a minute that there is none.
    while missing := len({*files} - {*os.listdir(place)}):
        if time.monotonic() > end:
            raise TimeoutError(f"{missing} have not been heard of for {_LAST:g} s")
        time.sleep(_LOOK)
    return [(place / file).read_bytes().decode("utf-8", "surrogateescape") for file in files]


def _forget(steps: Path) -> None:
    """Removes what tasks of long ago told each other."""
    for step in steps.glob("*"):
        with suppress(OSError):
            if time.time() - step.stat().st_mtime > _OLD:
                shutil.rmtree(step)
