"""Standard output and error of the command line, whatever they are connected to."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any


class _Unfailing:
    """A stream for messages: that nobody can read them any more is no reason to stop."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()


@contextmanager
def console() -> Iterator[None]:
    """Characters that the terminal's encoding lacks are written as escapes, and messages to a closed stream are dropped."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    before = sys.stderr
    if before is not None:
        sys.stderr = _Unfailing(before)
    try:
        yield
    finally:
        sys.stderr = before


def finish(code: int) -> int:
    """Writes out what waits in standard output; the exit code: that of the command, or 2 where its output went nowhere.

    A pipe that nobody reads any more (``| head``) is no error.
    """
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        give_up()
    except OSError as error:
        give_up()
        print(f"phasefield: error: standard output cannot be written: {error.strerror or error}", file=sys.stderr)
        return code or 2
    return code


def give_up() -> None:
    """Lets Python close standard output without a complaint."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
