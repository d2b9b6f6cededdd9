"""Which device a run takes, and how many threads."""

from __future__ import annotations

import contextlib
import functools
import logging
import math
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import DeviceError
from .cache import cache_folder
from .control_groups import MEMBERSHIPS, ROOT, bound_to, groups
from .protocol import Backend, Precision
from .ranks import leading, world

log = logging.getLogger("phasefield")

#: More threads than any machine has cores for; the attempt to start them would end the process.
MOST_THREADS = 1024


def cpu_threads(requested: int | None = None) -> int:
    """Threads to use: as asked, else OMP_NUM_THREADS, else Slurm's cpus-per-task, else `cores_at_hand`.

    Raises:
        DeviceError: more than `MOST_THREADS`.
    """
    asked = {"threads.cpu": str(requested or "")}
    asked |= {name: os.environ.get(name, "").split(",")[0] for name in ("OMP_NUM_THREADS", "SLURM_CPUS_PER_TASK")}
    for name, value in asked.items():
        if value.isdigit() and int(value) > 0:
            if int(value) > MOST_THREADS:
                raise DeviceError(
                    f"{name}: is {value}; at most {MOST_THREADS} threads are started\n  set threads.cpu=N"
                )
            return int(value)
    return cores_at_hand()


def cores_at_hand(root: Path = ROOT, memberships: Path = MEMBERSHIPS, bound: int | None = None) -> int:
    """Cores that this process may use: those it is bound to, and no more than its control groups grant time on.

    Args:
        bound: how many cores processes are bound to that use them together; None for this one's own.

    A container with ``--cpus=1.5`` sees all cores of its host and may compute 1.5 s in a second: two threads, for one could not
    use it all.
    """
    cores = bound or len(bound_to())
    return max(1, min([cores, *(math.ceil(quota) for quota in _quotas(root, memberships))]))


def _quotas(root: Path, memberships: Path) -> Iterator[float]:
    """Seconds of computing in a second that each control group grants; none where it grants any."""
    for version, group in groups("cpu", root, memberships):
        with contextlib.suppress(OSError, ValueError):
            if version == 2:
                quota, period = (group / "cpu.max").read_text().split()
            else:
                quota, period = ((group / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
            if quota.strip() != "max" and int(quota) > 0:  # version 1 writes -1 for none
                yield int(quota) / int(period)


def gpu_wanted(device: str) -> bool:
    """Whether ``device`` = ``auto``, ``cpu`` or ``gpu`` means a GPU here.

    Raises:
        DeviceError: ``gpu`` was asked for and there is none, or CuPy is missing.
    """
    if device == "cpu":
        return False
    from .cuda import why_unavailable

    reason = why_unavailable()
    if reason is None:
        return True
    if device == "gpu":
        raise DeviceError(
            f"device=gpu: {reason}\n  Use device=cpu, or device=auto to take a GPU only where there is one."
        )
    _say(reason)
    return False


def _tell_once(text: str) -> None:
    """Logs what will not change before the machine does: for people once, in detailed logs always."""
    told = cache_folder() / "told" / platform.node()
    known = False
    with contextlib.suppress(OSError, ValueError):  # a damaged file tells nothing
        known = told.is_file() and told.read_bytes() == text.encode()
        if not known:
            told.parent.mkdir(parents=True, exist_ok=True)
            told.write_text(text)
    log.log(logging.DEBUG if known else logging.INFO, text)


@functools.cache
def _say(reason: str) -> None:
    """Tells why ``auto`` is the CPU: loudly if somebody has installed CuPy, which is for a GPU, and not hidden the GPUs."""
    from .cuda_errors import installed

    hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "all") in ("", "-1")
    text = f"no GPU: {reason}; running on the CPU"
    if installed() and not hidden:
        log.warning("%s", text)
    else:
        _tell_once(text)


def select(device: str, precision: Precision, threads: int | None = None) -> Backend[Any]:
    """The backend for ``device`` = ``auto``, ``cpu`` or ``gpu``.

    Where several processes compute together it is that of all of them, see `phasefield.backend.ranks`.

    Raises:
        DeviceError: ``gpu`` was asked for and there is none, or CuPy is missing.
    """
    if leading():
        return _of_ranks(device, precision, threads)
    if gpu_wanted(device):
        from .cuda import CudaBackend

        return CudaBackend(precision)
    from .cpu import CpuBackend

    return CpuBackend(precision, cpu_threads(threads))


def _of_ranks(device: str, precision: Precision, threads: int | None) -> Backend[Any]:
    from .ranks.backend import backend_of_ranks, cards_of_ranks

    if device == "gpu":
        return cards_of_ranks(precision)
    return backend_of_ranks(precision, cpu_threads(threads) if threads else threads_of_rank())


def threads_of_rank() -> int:
    """Threads of each rank where nobody asks for a number: ``OMP_NUM_THREADS``, else those of Slurm's cpus-per-task, but not more
    than a fair share of the machine's cores, which no launcher has to have bound its ranks to.

    Raises:
        DeviceError: more than `MOST_THREADS`.
    """

    if os.environ.get("OMP_NUM_THREADS", "").split(",")[0].isdigit():
        return cpu_threads()
    here = world()
    return max(1, min(cpu_threads(), cores_at_hand(bound=here.cores) // here.neighbours))
