"""What can go wrong beneath a program, brought about at a chosen operation on files of a process that is forked for it.

`Disk` counts the operations that change files (`CHANGES`, and files opened for writing), or that look at them (`LOOKS`), and
lets a fault happen at one of them: so every window between two of them is reached, and not only those that a random moment falls
into.
Writes that Python's buffered files make by themselves are seen as one, at the next operation on the file.

The functions of `os` are replaced, within the forked process only; Linux, for descriptors are named by /proc.
"""

from __future__ import annotations

import builtins
import errno
import importlib
import io
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Operations on the names and contents of files; ``open`` for writing besides.
CHANGES = (
    "replace",
    "rename",
    "link",
    "unlink",
    "remove",
    "rmdir",
    "mkdir",
    "fsync",
    "pwrite",
    "ftruncate",
    "utime",
    "chmod",
)
#: Operations that tell what is there; ``open`` for reading besides.
LOOKS = ("stat", "lstat", "listdir", "scandir")
#: What a run, a sweep and a picture import.
_IMPORTS = (
    "hydra._internal.hydra",
    "hydra.core.hydra_config",
    "matplotlib.backends.backend_agg",
    "xarray",
    "phasefield.backend.cpu",
    "phasefield.cli",
    "phasefield.commands.run",
    "phasefield.display",
    "phasefield.driver",
    "phasefield.report",
    "phasefield.sweep",
)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


@dataclass(frozen=True)
class Fault:
    """What happens, at which operations of those counted.

    Attributes:
        kind: ``kill``; ``torn``: half of a write, or an opening for writing and no more, then ``kill``; ``signal``; ``error``;
            nothing for a mere count.
        at: number of the first operation that it happens at, from 1 on. count: of how many.
        number: of the signal or the error. looks: whether operations that look are counted, instead of those that change.
        name: only files whose name contains it count. below: only in this folder; nothing for any.
    """

    kind: str = ""
    at: int = 1
    count: int = 1
    number: int = 0
    looks: bool = False
    name: str = ""
    below: str = ""


class Disk:
    """Operations on files, counted.

    Attributes:
        seen: name and path of every operation counted.
    """

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.seen: list[tuple[str, str]] = []
        self._below = os.path.realpath(fault.below) if fault.below else ""
        self._readlink = os.readlink
        self._real: dict[str, Any] = {}

    def install(self) -> None:
        """From here on the operations of this process are counted."""
        for name in LOOKS if self.fault.looks else CHANGES:
            setattr(os, name, self._watched(name, getattr(os, name)))
        self._real["open"] = os.open

        def os_open(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
            torn = bool(flags & _WRITING) != self.fault.looks and self._count("open", path)
            descriptor = self._real["open"](path, flags, *args, **kwargs)
            if torn:
                _kill()
            return descriptor

        def io_open(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            counts = any(c in mode for c in "wax+") != self.fault.looks and not isinstance(file, int)
            torn = counts and self._count("open", file)
            stream = opened(file, mode, *args, **kwargs)
            if torn:
                _kill()
            return stream

        opened = io.open
        os.open = os_open  # type: ignore[assignment]
        builtins.open = io.open = io_open  # type: ignore[assignment]

    def _watched(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        self._real[name] = original

        def operation(target: Any = ".", *args: Any, **kwargs: Any) -> Any:
            # Renaming is known by the new name.
            torn = self._count(name, args[0] if name in ("replace", "rename", "link") else target)
            if torn:
                if name == "pwrite":
                    original(target, bytes(args[0])[: len(args[0]) // 2], args[1])
                _kill()
            return original(target, *args, **kwargs)

        return operation

    def _count(self, name: str, target: Any) -> bool:
        """Notes an operation and lets happen what is to happen before it; whether half of it is to happen."""
        path = self._path(target)
        if not path or not path.startswith(self._below) or self.fault.name not in os.path.basename(path):
            return False
        self.seen.append((name, path))
        fault = self.fault
        if not fault.at <= len(self.seen) < fault.at + fault.count:
            return False
        if fault.kind == "kill":
            _kill()
        if fault.kind == "signal":
            os.kill(os.getpid(), fault.number)
        if fault.kind == "error":
            raise OSError(fault.number, os.strerror(fault.number), path)
        return fault.kind == "torn"

    def _path(self, target: Any) -> str:
        try:
            if isinstance(target, int):
                return self._readlink(f"/proc/self/fd/{target}")
            return os.path.abspath(os.fsdecode(target))
        except (OSError, TypeError):
            return ""


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)  # the thread that asked for it may run on for a moment


def warm() -> None:
    """Imports what a run imports, once for all processes forked from this one."""
    for name in _IMPORTS:
        importlib.import_module(name)


def ready(problems: Sequence[Sequence[str]], cache: Path) -> None:
    """`warm`, and runs these problems here, so that a fork finds imported what they need, kernels too."""
    import logging

    import phasefield

    warm()
    os.environ["PHASEFIELD_CACHE"] = str(cache)
    with tempfile.TemporaryDirectory(prefix="phasefield-reliability-") as folder:
        for words in problems:
            phasefield.run(
                *(w for w in words if not w.startswith("output.dir")), f"output.dir={folder}/{hash(tuple(words))}"
            )
    logging.getLogger("phasefield").handlers.clear()


def start(
    words: Sequence[str],
    folder: Path,
    fault: Fault | None = None,
    before: Callable[[], None] | None = None,
    gate: int | None = None,
    said: str = "said.txt",
    seen: str = "",
) -> int:
    """Forks a process that runs the command line ``words`` in ``folder``; its number.

    Args:
        fault: what happens to it. before: called in it first. gate: a descriptor that it waits at until all writers have
            closed it. said: file that its output is added to. seen: file for the operations counted.
    """
    if pid := os.fork():
        return pid
    code = 70
    try:
        code = _run(words, folder, fault, before, gate, said, seen)
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)


def _run(
    words: Sequence[str],
    folder: Path,
    fault: Fault | None,
    before: Callable[[], None] | None,
    gate: int | None,
    said: str,
    seen: str,
) -> int:
    import phasefield.commands.run as command
    from phasefield import cli

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    os.chdir(folder)
    output = os.open(folder / said, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.argv = ["phasefield", *words]
    command.STARTED = time.monotonic()
    if before is not None:
        before()
    disk = None
    if fault is not None:
        disk = Disk(fault)
        disk.install()
    if gate is not None:
        os.read(gate, 1)
    try:
        cli.main(list(words))
    except SystemExit as stop:
        code = stop.code
    else:
        code = 0
    if disk is not None and seen:
        (folder / seen).write_text("".join(f"{name} {path}\n" for name, path in disk.seen))
    return code if isinstance(code, int) else 0 if code is None else 1


def wait(pid: int, patience: float = 120.0) -> int:
    """The exit code of a process; negative for the signal that ended it.

    Raises:
        TimeoutError: it did not end in ``patience`` seconds; it is killed.
    """
    end = time.monotonic() + patience
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    raise TimeoutError(f"process {pid} did not end in {patience:g} s")


def call(words: Sequence[str], folder: Path, fault: Fault | None = None, **more: Any) -> int:
    """`start` and `wait`."""
    return wait(start(words, folder, fault, **more))


#: What a full disk, a quota, a broken or stale network filesystem answer.
ERRORS = {"ENOSPC": errno.ENOSPC, "EDQUOT": errno.EDQUOT, "EIO": errno.EIO, "ESTALE": errno.ESTALE}
