"""Processes that work side by side, and what is said when one of them is lost."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from ..errors import ConfigError


@contextmanager
def whole(instead: str) -> Iterator[None]:
    """What is done with a pool of processes.

    Args:
        instead: what else would do, for the message.

    Raises:
        ConfigError: a process ended before its work did.
    """
    try:
        yield
    except BrokenProcessPool:
        raise ConfigError(
            "workers",
            "one of them ended before its work did: it ran out of memory, or the script starts itself anew in each of them",
            f'start a script\'s own work below if __name__ == "__main__", or {instead}',
        ) from None
