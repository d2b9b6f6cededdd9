"""Whose a folder is where locks do not tell: several cluster filesystems keep ``flock`` to the host that asks, or have none.

Who takes a folder signs its lock file, and looks at the signature again before every change. So of two processes on two hosts
the one that came last goes on, as after a node that had been given up, and the other one stops at its next change.
"""

from __future__ import annotations

import os
import socket
import uuid
from contextlib import suppress
from pathlib import Path

from ..errors import Busy, OutputError

#: The file of a folder's lock.
LOCK = ".lock"
#: Signatures of this process by folder.
_mine: dict[str, bytes] = {}


def sign(folder: Path, descriptor: int) -> None:
    """Signs the lock file, open as ``descriptor``; where that cannot be, as on a full disk, the lock alone has to do."""
    mine = f"{socket.gethostname()} {os.getpid()} {uuid.uuid4().hex}\n".encode()
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, mine, 0)
        _mine[os.path.abspath(folder)] = mine


def forget(folder: Path) -> None:
    """The folder is given back."""
    _mine.pop(os.path.abspath(folder), None)


def taken(folder: Path) -> str:
    """Who has signed a folder after this process; empty if it is still ours, or was never held here."""
    mine = _mine.get(os.path.abspath(folder))
    if mine is None:
        return ""
    try:
        with open(folder / LOCK, "rb") as file:
            now = file.read()
    except FileNotFoundError:
        return "a process that has removed its lock"
    except OSError:  # the change that is to follow tells of it
        return ""
    words = now.decode(errors="replace").split()
    return "" if now in (mine, b"") else f"process {words[1]} on {words[0]}" if len(words) == 3 else "another process"


def check(folder: Path) -> None:
    """Whether a folder held by this process is still its own. Raises Busy if another one has taken it, OutputError if gone."""
    if other := taken(folder):
        if not folder.is_dir():
            raise OutputError(
                f"{folder}: was removed or renamed while a run was written there, which is stopped here\n"
                "  leave the folder where it is until its run has ended"
            )
        raise Busy(
            f"{folder}: {other} has taken this run over, so that it is stopped here\n"
            "  let one command at a time write a folder; locks hold on one host alone on this filesystem"
        )
