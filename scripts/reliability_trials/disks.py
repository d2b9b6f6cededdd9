"""Disks that fill."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import reliability_faults as faults
from reliability_faults import Fault

from .common import ERROR, KINDS, Found, bits, complain, said, scratch, state, workshop


def can_mount() -> bool:
    """Whether a small filesystem can be had."""
    with scratch() as place, contextlib.suppress(OSError):
        if (
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", place], capture_output=True).returncode
            == 0
        ):
            return subprocess.run(["umount", place], capture_output=True).returncode == 0
    return False


@contextlib.contextmanager
def small_disk(place: Path, size: int) -> Iterator[Callable[[], None]]:
    """A filesystem of ``size`` bytes at ``place``; yields what makes room on it."""
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", place], check=True)
    try:
        yield lambda: subprocess.run(["mount", "-o", "remount,size=64m", place], check=True) and None
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def full(kind: str, pages: int, cache: Path, right: str) -> Found:
    """A disk that is full after so many pages; then it has room."""
    with workshop(cache) as place, small_disk(place / "disk", 4096 * pages) as make_room:
        disk = place / "disk"
        words = [w.replace("output.dir=run", f"output.dir={disk}/run") for w in KINDS[kind]]
        code = faults.call(words, place)
        found = Found(state(disk), fired=code != 0)
        found.wrong = complain(place, code, (0, *ERROR))
        if code == 2 and "No space left" not in said(place):
            found.wrong.append(f"the message does not say that the disk is full: {said(place)[-500:]}")
        make_room()
        (place / "said.txt").unlink()
        code = faults.call(words, place)
        found.wrong += complain(place, code, (0,))
        if not found.wrong and bits(disk / "run") != right:
            found.wrong.append("other bits than the unbroken run")
        found.wrong = [f"{kind} on {pages} pages: {w}" for w in found.wrong]
        return found


def reported(fault: Fault, cache: Path, right: str) -> Found:
    """A kill or an error while a report is written; then the same command, and the run is as it was."""
    with workshop(cache) as place:
        if faults.call(KINDS["run"], place):
            return Found("", [f"the run ended with an error: {said(place)}"])
        page, words = place / "run" / "report.html", ["report", "run"]
        code = faults.call(words, place, replace(fault, below=str(page.parent)))
        found = Found("no page yet" if not page.exists() else "a page", fired=code != 0)
        found.wrong = complain(place, code, (0, -signal.SIGKILL) if fault.kind == "kill" else (0, 2))
        if page.exists() and "</html>" not in page.read_text():
            found.wrong.append("half a page")
        (place / "said.txt").unlink(missing_ok=True)
        found.wrong += complain(place, faults.call(words, place), (0,))
        if not page.exists() or "</html>" not in page.read_text():
            found.wrong.append("no whole page afterwards")
        if bits(place / "run") != right:
            found.wrong.append("the run was changed")
        found.wrong = [f"report, {fault.kind} at {fault.at}: {w}" for w in found.wrong]
        return found
