"""Runs of a benchmark, in folders that they go on in: how long they took and what memory they held."""

from __future__ import annotations

import json
import re
import resource
import sys
import time
from contextlib import suppress
from pathlib import Path

from ... import api, config
from ...signals import Stopped
from ...store import write_text
from ..problems import Machine
from .benchmark import Case, Made


def make(case: Case, folder: Path, machine: Machine) -> Made:
    """Makes a run, or goes on with it where it was stopped; one that has ended is left as it is.

    Args:
        folder: in which those of the benchmark lie.

    Raises:
        Stopped: a signal; the run has a checkpoint. PhasefieldError: as `api.run_config`.
    """
    place, ledger = folder / case.name, folder / f"{case.name}.json"
    spent = json.loads(ledger.read_text()) if ledger.is_file() else {"seconds": 0.0, "memory": 0}
    keys = (*machine.overrides, *case.overrides, "output.resume=auto", "output.picture=false", "output.kernels=false")
    composed = config.compose([*keys, f"output.dir='{_quoted(place)}'"])
    before = _stamp(place)
    _forget_peak()
    start = time.perf_counter()
    made = api.run_config(composed, command="phasefield verify pfhub", arrays=case.initial() if case.initial else None)
    seconds = time.perf_counter() - start
    if _stamp(place) != before:  # else it had ended, and was looked at only
        spent = {"seconds": spent["seconds"] + seconds, "memory": max(spent["memory"], _peak())}
        write_text(ledger, json.dumps(spent) + "\n")
    if made.outcome is not None and made.outcome.signal is not None:
        raise Stopped(made.outcome.signal, f"the same command goes on with {place}")
    return Made(place, made.history, float(spent["seconds"]), int(spent["memory"]))


def _stamp(place: Path) -> int | None:
    """When the run in a folder last wrote its history; None if there is none."""
    try:
        return (place / "history.nc").stat().st_mtime_ns
    except FileNotFoundError:
        return None


def _quoted(path: Path) -> str:
    return str(path).replace("\\", "\\\\").replace("'", "\\'")


def _forget_peak() -> None:
    """Lets the process' peak begin anew, where the system can (Linux)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak() -> int:
    """Most memory that the process has held since, KiB; where that cannot be told, since its start."""
    with suppress(OSError):
        if found := re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text()):
            return int(found.group(1))
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most // 1024 if sys.platform == "darwin" else most
