"""The verification ladder: what is known on paper, found again by the program, on any machine and device.

``phasefield verify quick|full|pfhub`` is what the command line calls (`command.execute`). A rung is a `Check`; the files of
``checks/`` hold them by topic and are found by themselves, those of ``pfhub/`` the community's benchmarks.
"""

from __future__ import annotations

from .check import Check, Outcome, Skip
from .ladder import LADDERS, climb, ladder
from .problems import Machine

__all__ = ["LADDERS", "Check", "Machine", "Outcome", "Skip", "climb", "ladder"]
