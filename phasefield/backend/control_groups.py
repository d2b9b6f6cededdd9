"""Cores that this process is bound to, and where the limits of the control groups that it is in lie, of version 1 or 2, inside a
container or out of it.

The folders follow cgroups(7): version 1 has a tree for each controller, version 2 one for all.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

ROOT, MEMBERSHIPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def groups(controller: str, root: Path = ROOT, memberships: Path = MEMBERSHIPS) -> Iterator[tuple[int, Path]]:
    """The version and the folder of every group that may limit ``controller`` (``memory``, ``cpu``) here, innermost first.

    A folder need not exist, nor hold a limit: a process in a container may be told the path that its group has on the host.
    """
    try:
        lines = [line.split(":", 2) for line in memberships.read_text().splitlines()]
    except OSError:
        return
    for _, controllers, inside in (line for line in lines if len(line) == 3):
        if controllers and controller not in controllers.split(","):
            continue
        base = root / controller if controllers else root
        folder = base / inside.strip("/")
        # Inside a container the path may be that of the host; the root is then this container's own.
        for group in [folder, *folder.parents]:
            if base not in (group, *group.parents):
                break
            yield (1 if controllers else 2), group


def bound_to() -> set[int]:
    """The cores that this process is bound to, by number."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
