"""Memory: how much there is, and what a run would take, found by going through its motions."""

from __future__ import annotations

import math
import os
import resource
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from .base import Backend, Compiled, Forward, Inverse, Layout, Operation, Program, Run

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
    yield from _groups(Path("/sys/fs/cgroup"), Path("/proc/self/cgroup"))


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


def _groups(root: Path, memberships: Path) -> Iterator[int]:
    """What the control groups of this process, version 1 or 2, have left; a page cache gives way and does not count."""
    try:
        lines = [line.split(":", 2) for line in memberships.read_text().splitlines()]
    except OSError:
        return
    for _, controllers, inside in (line for line in lines if len(line) == 3):
        if controllers and "memory" not in controllers.split(","):
            continue
        version = (
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_")
            if controllers
            else ("memory.max", "memory.current", "")
        )
        base = root / "memory" if controllers else root
        folder = base / inside.strip("/")
        # Inside a container the path may be that of the host; the root is then this container's own.
        for group in [folder, *folder.parents]:
            if base not in (group, *group.parents):
                break
            with suppress(OSError, ValueError):
                limit = int((group / version[0]).read_text())
                used = int((group / version[1]).read_text())
                stat = _table((group / "memory.stat").read_text(), 1)
                yield (
                    limit - used + sum(stat.get(f"{version[2]}{name}", 0) for name in ("inactive_file", "active_file"))
                )


class Rehearsal:
    """A backend in another's place: it counts the buffers it is asked for and gives arrays that take no memory.

    What is built on it allocates in the order and for as long as on the real one, so the peaks are those of the real thing.

    Attributes:
        device, host: most bytes held at a time in the device's memory and, where that is another, in the host's.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.name, self.description, self.precision = backend.name, backend.description, backend.precision
        self.readback_every = backend.readback_every
        self._on_host = "device" if backend.name == "cpu" else "host"
        self.device = self.host = 0
        self._held = {"device": 0, "host": 0}
        self._transforms = 0

    @property
    def dtype(self) -> str:
        return self._backend.dtype

    def _take(self, where: str, size: int) -> None:
        self._held[where] += size
        setattr(self, where, max(getattr(self, where), self._held[where]))

    def _give(self, where: str, size: int) -> None:
        self._held[where] -= size

    def _array(self, where: str, shape: Sequence[int]) -> np.ndarray:
        one = np.zeros((), self.dtype)
        # Views lead back to the one number, which therefore lives as long as any of them.
        weakref.finalize(one, self._give, where, math.prod(shape) * one.itemsize)
        self._take(where, math.prod(shape) * one.itemsize)
        return np.lib.stride_tricks.as_strided(one, tuple(shape), (0,) * len(shape))

    def buffer(self, layout: Layout, components: int) -> np.ndarray:
        return self._array("device", layout.buffer_shape(components))

    def program(self, layout: Layout, operations: Sequence[Operation]) -> Program:
        transformed = max([0, *(o.components for o in operations if isinstance(o, Forward | Inverse))])
        size = math.prod(layout.buffer_shape(transformed)) * np.dtype(self.dtype).itemsize
        work = self._backend.transform_memory(size, layout.parts == 2)
        if work > self._transforms:  # which all programs share
            self._take("device", work - self._transforms)
            self._transforms = work
        tables = self._backend.table_memory(layout, operations)
        program = _Motions([o for o in operations if isinstance(o, Run)])
        self._take("device", tables)
        weakref.finalize(program, self._give, "device", tables)
        return program

    def to_host(self, buffer: np.ndarray) -> np.ndarray:
        return self._array(self._on_host, buffer.shape)

    def lend(self, buffer: np.ndarray) -> np.ndarray:
        return buffer if self._on_host == "device" else self.to_host(buffer)

    def from_host(self, array: np.ndarray, buffer: np.ndarray) -> None:
        pass

    def copy(self, source: np.ndarray, target: np.ndarray) -> None:
        pass

    def synchronize(self) -> None:
        pass

    def snapshot(self, buffer: np.ndarray) -> Callable[[], np.ndarray]:
        host = self.to_host(buffer)
        return lambda: host

    def memory_available(self) -> int:
        return self._backend.memory_available()

    def transform_memory(self, largest: int, periodic: bool) -> int:
        return self._backend.transform_memory(largest, periodic)

    def table_memory(self, layout: Layout, operations: Sequence[Operation]) -> int:
        return self._backend.table_memory(layout, operations)


class _Motions:
    """A program that reduces everything to zero."""

    kernels: Sequence[Compiled] = ()

    def __init__(self, runs: Sequence[Run]) -> None:
        self._found = {name: 0.0 for run in runs for name in run.kernel.reductions}

    def __call__(self, arrays: Mapping[str, Any], scalars: Mapping[str, float] | None = None) -> dict[str, float]:
        return dict(self._found)
