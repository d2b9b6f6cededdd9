"""Runs of `ranks_cases` over the GPUs of several ranks, with the host's memory in the place of every card's.

mpirun -n 2 python ranks_cards.py FOLDER NAME ...             # FOLDER/WAY/NAME for every one of WAYS
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import ranks_cases
from host_cuda import HostCuda

from phasefield.backend.ranks import cards, member

#: Hosts read each other's memory, or send messages.
WAYS = ("alltoall", "alltoall:1")


class HostCard(cards.CardBackend, HostCuda):
    """A card that is host memory."""

    def choose(self, number: int) -> None:
        pass


if __name__ == "__main__":
    member.why_unavailable = lambda: None
    cards.CardBackend = HostCard  # type: ignore[misc]
    for way in WAYS:
        os.environ["PHASEFIELD_RANKS_EXCHANGE"] = way
        for case in sys.argv[2:]:
            ranks_cases.make(case, Path(sys.argv[1]) / way, "device=gpu")
