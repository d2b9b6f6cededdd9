"""Launchers: where the members of a sweep run. One module each, one file in ``configs/hydra/launcher/`` each.

The file lists all keys of the launcher with their defaults, and names its class, ``_target_: hydra_plugins.MODULE.CLASS``: Hydra
takes plugins from ``hydra_plugins`` alone, and what follows is where the class is. It is a `hydra.plugins.launcher.Launcher` that
runs the members which `missing` names, and gives a `JobReturn` for every member (`blank` for the others).

``restarts`` on the class: whether it may start a member anew that was stopped, which then takes up what is in its folder.

What a member has to tell goes through ``member.yaml`` in its folder (`phasefield.sweep`). A member that was stopped leaves the
function that Hydra calls with `SystemExit` or `KeyboardInterrupt`, both written down before: the launcher decides what follows.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

from ..backend.cache import cache_folder
from ..backend.selection import cores_at_hand
from ..errors import PhasefieldError


def needed(launcher: str, *modules: str) -> None:
    """Refuses a launcher whose libraries, those of the extra of its name, are not installed.

    Raises:
        PhasefieldError: one of them cannot be imported.
    """
    for module in modules:
        try:
            import_module(module)
        except ImportError as error:
            raise PhasefieldError(
                f"hydra/launcher={launcher}: {error.name or module} is not installed\n  pip install 'phasefield[{launcher}]'"
            ) from None


def environment() -> dict[str, str]:
    """What members need of this process's environment, wherever they start: one cache of kernels and plans for all of them."""
    return {"PHASEFIELD_CACHE": os.path.abspath(cache_folder())}


def missing(launcher: Any, first: int, count: int) -> list[int]:
    """Numbers of the members that are to run, out of ``count`` from ``first`` on."""
    done = getattr(launcher.task_function, "done", frozenset[int]())
    return [number for number in range(first, first + count) if number not in done]


def blank() -> Any:
    """What Hydra is given for a member that says how it came out in its folder, or that did not run."""
    from hydra.core.utils import JobReturn, JobStatus

    return JobReturn(status=JobStatus.COMPLETED)


def cores() -> int:
    """Cores that this process may use: of its affinity, its control group, its job of Slurm's."""
    job = os.environ.get("SLURM_CPUS_PER_TASK", "")
    here = cores_at_hand()
    return min(here, int(job)) if job.isdigit() and int(job) else here


def threads_told() -> int | None:
    """Threads that each member is to have, as ``OMP_NUM_THREADS`` says; None where it says nothing."""
    told = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return int(told) if told.isdigit() and int(told) else None


def shares(cores: int, members: int, processes: int | None = None, threads: int | None = None) -> tuple[int, int]:
    """Processes, and threads for each, whose product is no more than the cores unless both were asked for.

    Args:
        processes, threads: as asked for; None leaves the choice here.
    """
    if processes is None:
        processes = max(1, cores // (threads or 1))
    processes = min(processes, members)
    return processes, threads or max(1, cores // processes)
