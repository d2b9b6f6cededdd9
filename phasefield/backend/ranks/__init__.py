"""One run over several processes (MPI): rank 0 leads, every rank has a part of each array.

- `world`: the processes, and what they tell each other;
- `team`: rank 0's words to the others; `member`: what every rank does of it;
- `exchange`: how parts of a field go from cells to modes;
- `backend`: the backend that the rest of the program sees.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .world import World, leading, world

__all__ = ["World", "leading", "together", "world"]


def together(work: Callable[[], Any]) -> Any:
    """What ``work`` gives: in one process just that, in several see `team.together`."""
    if world().size == 1:
        return work()
    from .team import together

    return together(work)
