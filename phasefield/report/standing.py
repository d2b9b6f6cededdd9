"""How the run in a folder stands: going, ended, stopped."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

from ..store import RunFolder

_ENDED = {
    "finished": "finished",
    "steady": "finished: steady state",
    "max_steps": "finished: time.max_steps reached",
}


@dataclass(frozen=True)
class Standing:
    """How a run stands.

    Attributes:
        kind: ``none`` (no run), ``running``, ``ended``, ``stopped`` (before its end) or ``unknown``. text: the same in words.
    """

    kind: str
    text: str

    @property
    def running(self) -> bool:
        return self.kind == "running"


def standing(path: str | Path) -> Standing:
    """How the run in a folder stands. Nothing is written, and no run is kept from starting."""
    folder = RunFolder(Path(path))
    if not folder.fields.exists() and not folder.checkpoint.exists():
        return Standing("running", "starting") if _locked(folder) else Standing("none", "not started")
    if ended := _ended(folder):
        return Standing("ended", ended)
    if _locked(folder):
        return Standing("running", "running")
    if not folder.checkpoint.exists():
        return Standing("unknown", "unknown (there is no checkpoint)")
    return Standing("stopped", "stopped before its end; phasefield resume continues it")


def _ended(folder: RunFolder) -> str:
    """How the checkpoint says that the run ended; nothing if it did not. Its numbers are not read."""
    try:
        with zipfile.ZipFile(folder.checkpoint) as archive:
            head = json.loads(archive.read("phasefield-checkpoint.json"))
        reason = head["meta"]["written"]["ended"]
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        return ""
    return _ENDED.get(reason, str(reason))


def _locked(folder: RunFolder) -> bool:
    """Whether a process holds the folder's lock."""
    try:
        descriptor = os.open(folder.path / ".lock", os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno == errno.EWOULDBLOCK
    finally:
        os.close(descriptor)
    return False
