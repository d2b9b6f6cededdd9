"""Who wants to know how far a solve is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

#: Gets the load, the iteration, the error of the property and the tolerance.
Watcher = Callable[[str, int, float, float], None]
_watcher: ContextVar[Watcher | None] = ContextVar("watcher", default=None)


@contextmanager
def watched(watcher: Watcher) -> Iterator[None]:
    """Calls a function at every iteration of the solves within."""
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)


def tell(load: str, iteration: int, error: float, tolerance: float) -> None:
    """An iteration is done."""
    if (watcher := _watcher.get()) is not None:
        watcher(load, iteration, error, tolerance)
