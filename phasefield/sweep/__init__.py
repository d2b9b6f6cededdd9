"""Sweeps: one run for each combination of values, in numbered folders below one that tells of all.

``sweep.yaml`` in that folder holds the command and what every member was asked; ``member.yaml`` in a member's folder how it came
out. Members may run in other processes, by a launcher (`phasefield.launchers`): what they have to tell goes through these files.
"""

from .folder import asked, extend, is_sweep, prepare
from .launching import again, check_resume, launch
from .member import Member, members, run_member, stops
from .telling import differences, overview, readable, report

__all__ = [
    "Member",
    "again",
    "asked",
    "check_resume",
    "differences",
    "extend",
    "is_sweep",
    "launch",
    "members",
    "overview",
    "prepare",
    "readable",
    "report",
    "run_member",
    "stops",
]
