"""Power cuts: a run on a disk that remembers what was synced, cut off at a change, then the same command on what is left."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import reliability_faults as faults
from reliability_disk import Change, Disk, after_a_cut
from reliability_faults import Fault
from reliability_mount import mounted

from .common import KINDS, Found, bits, goes_on, said, scratch, state, workshop

#: Files that nothing depends on.
_MESSAGES = ("run.log", "said.txt", "seen.txt")


def recorded(kind: str, cache: Path | None, begun: bool = False) -> tuple[list[Change], list[Change], str]:
    """What was on the disk before a run of a kind, the changes that it makes, and its bits.

    Args:
        cache: of compiled kernels, elsewhere; None for an empty one on the same disk.
        begun: whether the run goes on from one that was killed amid a change of history.nc.
    """
    with scratch() as place:
        disk, content = place / "disk", place / "content"
        content.mkdir()
        os.environ["PHASEFIELD_CACHE"] = str(cache or disk / "cache")
        if begun:
            fault = Fault("torn", 1, name="history.nc", below=str(content / "run"))
            seen = _seen(kind, content, fault)
            shutil.rmtree(content / "run")
            at = [n for n, name in enumerate(seen, 1) if name == "pwrite"]
            code = faults.call(
                KINDS[kind], content, Fault("torn", at[len(at) // 2], name=fault.name, below=fault.below)
            )
            if code != -signal.SIGKILL:
                raise RuntimeError(f"the run was not killed: {code}: {said(content)}")
        start = Disk(record=True)
        start.load(content)
        with mounted(disk, content) as changes:
            code = faults.call(KINDS[kind], disk)
            right = bits(disk / "run") if code == 0 else f"exit code {code}: {said(disk)}"
        return start.changes, changes, right


def _seen(kind: str, place: Path, fault: Fault) -> list[str]:
    """The operations of a run of a kind that a fault counts."""
    faults.call(KINDS[kind], place, Fault(name=fault.name, below=fault.below), seen="seen.txt")
    return [line.split(" ", 1)[0] for line in (place / "seen.txt").read_text().splitlines()]


def states(start: list[Change], changes: list[Change], kinds: dict[str, int]) -> list[tuple[int, str, int]]:
    """The cuts that leave different things: number of changes before, what is left, seed. Messages alone make no difference.

    Args:
        kinds: of what may be left (`reliability_disk.LEFT`), with how many seeds.
    """
    found: dict[object, tuple[int, str, int]] = {}
    for at in range(len(changes) + 1):
        for left, seeds in kinds.items():
            for seed in range(seeds):
                drawn = at * 1000 + seed
                disk = after_a_cut(start, changes[:at], left, drawn)
                found.setdefault(disk.content(leave_out=_MESSAGES), (at, left, drawn))
    return list(found.values())


def cut(
    kind: str, start: list[Change], changes: list[Change], at: int, left: str, seed: int, cache: Path | None, right: str
) -> Found:
    """Cuts the power behind ``at`` changes; then the same command."""
    with workshop(cache) as place:
        after_a_cut(start, changes[:at], left, seed).store(place)
        found = Found(state(place))
        found.wrong = goes_on(place, KINDS[kind], right)
        found.wrong = [f"{kind}, cut at change {at} of {len(changes)}, left: {left} ({seed}): {w}" for w in found.wrong]
        return found


def ended(start: list[Change], changes: list[Change], right: str) -> Found:
    """Cuts the power once the command has ended: all is there, by what was synced alone."""
    with scratch() as place:
        after_a_cut(start, changes, "nothing").store(place)
        found = Found("after the end")
        if bits(place / "run") != right:
            found.wrong.append("a run that had ended was not on the disk")
        return found
