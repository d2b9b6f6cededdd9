"""One run over several processes (MPI): rank 0 leads, every rank has a part of each array.

- `world`: the processes, and what they tell each other;
- `apart`: tasks that are no ranks, for they were asked for different things;
- `beginning`: how they meet; `guard`: what ends them where one is lost;
- `team`: rank 0's words to the others; `member`: what every rank does of it;
- `exchange`: how parts of a field go from cells to modes; `shared`: how ranks of one machine do without that;
- `cards`: parts on GPUs;
- `backend`: the backend that the rest of the program sees.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ...errors import DeviceError
from .world import World, leading, met, world

__all__ = ["World", "leading", "met", "together", "world"]


def together(work: Callable[[], Any]) -> Any:
    """What ``work`` gives: in one process just that, in several see `team.together`.

    Raises:
        DeviceError: a rank lacks what the work needs.
    """
    if world().size == 1:
        return work()
    _check_environment()
    from .team import together

    return together(work)


@functools.cache
def _check_environment() -> None:
    """Whether every rank has what is needed, which all ask once, together. Raises DeviceError."""
    missing = ""
    try:
        from . import team  # noqa: F401
    except ImportError as error:
        missing = str(error)
    for rank, of in enumerate(world().everywhere(missing)):
        if of:
            raise DeviceError(f"rank {rank} of {world().size}: {of}\n  every rank needs the same environment")
