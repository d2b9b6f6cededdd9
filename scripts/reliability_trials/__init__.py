"""Trials of `reliability.py`: each starts a run under a fault, lets the same command go on, and compares bits.

A trial works in a folder of its own and returns what happened in words and what was wrong, nothing if all was right. Right is:
the command ended with an exit code of docs/cluster.md and at most one error message, and the same command, once the fault is
gone, ends with 0 and the bits of a run that nothing happened to (`bits`).
"""

from __future__ import annotations

from .clocks import clocked
from .common import KINDS, LONG, MEMBERS, SHORT, Found, bits, complain, operations, said, state, whole, workshop
from .crowds import together
from .disks import can_mount, full, reported, small_disk
from .endurance import endures
from .hosts import both, crowd, moved
from .kills import at_moments, at_operation, real
from .networks import cache_late, held_elsewhere, seen_late
from .power import cut, ended, recorded, states
from .signals import signalled, walled

__all__ = [
    "KINDS",
    "LONG",
    "MEMBERS",
    "SHORT",
    "Found",
    "at_moments",
    "at_operation",
    "bits",
    "both",
    "cache_late",
    "can_mount",
    "clocked",
    "complain",
    "crowd",
    "cut",
    "ended",
    "endures",
    "full",
    "held_elsewhere",
    "moved",
    "operations",
    "real",
    "recorded",
    "reported",
    "said",
    "seen_late",
    "signalled",
    "small_disk",
    "state",
    "states",
    "together",
    "walled",
    "whole",
    "workshop",
]
