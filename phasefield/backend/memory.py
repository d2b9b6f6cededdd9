"""How much memory there is."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from .control_groups import MEMBERSHIPS, ROOT, groups

_UNLIMITED = 2**60  # a limit beyond this is none: version 1 of control groups writes the largest page-aligned number


def host_memory_available() -> int:
    """Bytes this process may still take: what the system has free, within its control groups, Slurm's and its own limits."""
    return max(0, min((room for room in _rooms() if room < _UNLIMITED), default=_UNLIMITED))


def _rooms() -> Iterator[int]:
    table: dict[str, int] = {}
    with suppress(OSError, ValueError):
        table = _table(Path("/proc/meminfo").read_text(), 1024)
    yield table.get("MemAvailable") or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    own: dict[str, int] = {}
    with suppress(OSError, ValueError):
        own = _table("\n".join(x for x in Path("/proc/self/status").read_text().splitlines() if " kB" in x), 1024)
    for limit, size in ((resource.RLIMIT_AS, "VmSize"), (resource.RLIMIT_DATA, "VmData")):
        soft = resource.getrlimit(limit)[0]
        if soft != resource.RLIM_INFINITY:
            yield soft - own.get(size, 0)
    if (slurm := _slurm(os.environ)) is not None:
        yield slurm - own.get("VmRSS", 0)
    yield from _groups()


def _table(text: str, unit: int) -> dict[str, int]:
    """Numbers of lines such as ``MemAvailable:  24 kB`` or ``file 4096``, in bytes."""
    words = (line.replace(":", " ").split() for line in text.splitlines())
    return {word[0]: int(word[1]) * unit for word in words if len(word) > 1 and word[1].isdigit()}


def _slurm(environment: Mapping[str, str]) -> int | None:
    """What Slurm grants a job on this node, bytes."""
    with suppress(KeyError, ValueError):
        if node := int(environment.get("SLURM_MEM_PER_NODE", "0")):
            return node * 2**20
        return int(environment["SLURM_MEM_PER_CPU"]) * int(environment["SLURM_CPUS_ON_NODE"]) * 2**20
    return None


#: A group's files of what it may take and has taken, and what names in its statistics begin with that count those below too.
_FILES = {
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_"),
    2: ("memory.max", "memory.current", ""),
}


def _groups(root: Path = ROOT, memberships: Path = MEMBERSHIPS) -> Iterator[int]:
    """What the control groups of this process have left; a page cache gives way and does not count."""
    for version, group in groups("memory", root, memberships):
        most, taken, prefix = _FILES[version]
        with suppress(OSError, ValueError):
            limit = int((group / most).read_text())
            used = int((group / taken).read_text())
            stat = _table((group / "memory.stat").read_text(), 1)
            yield limit - used + sum(stat.get(f"{prefix}{name}", 0) for name in ("inactive_file", "active_file"))
