"""Standard output and error of the command line, whatever they are connected to."""

from __future__ import annotations

import codecs
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from .errors import OutputError


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


class _Output(_Unfailing):
    """The stream for results: that they get lost is an error, but for a pipe that nobody reads any more (``| head``)."""

    def write(self, text: str) -> int:
        with self._told():
            return self._stream.write(text)

    def flush(self) -> None:
        with self._told():
            self._stream.flush()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            raise
        except OSError as error:
            self.close_quietly()
            raise OutputError(f"standard output cannot be written: {error.strerror or error}") from error

    def close_quietly(self) -> None:
        """Lets Python close the stream without a complaint."""
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())


def _as_is(error: UnicodeError) -> tuple[str | bytes, int]:
    """Bytes of a name that the locale could not read go out as they came; other characters that it lacks become escapes."""
    assert isinstance(error, UnicodeEncodeError)
    for handle in ("surrogateescape", "backslashreplace"):
        with suppress(UnicodeError):
            return codecs.lookup_error(handle)(error)
    raise error


codecs.register_error("phasefield.as_is", _as_is)


@contextmanager
def console() -> Iterator[None]:
    """Characters that the terminal's encoding lacks are written as escapes, and what goes to a stream that is closed is dropped.

    Raises:
        OutputError: what is printed cannot be written.
    """
    before = sys.stdout, sys.stderr
    for stream in before:
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="phasefield.as_is")
    # Of a stream that was closed before the start, nothing else must get the number, as a file of results would.
    nowhere = [open(os.devnull, "w") if s is None else s for s in before]  # noqa: SIM115 - open to the end
    sys.stdout, sys.stderr = (kind(s) for kind, s in zip((_Output, _Unfailing), nowhere, strict=True))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def columns(most: int, least: int = 60) -> int:
    """Columns for text on standard output: those of the terminal, within bounds; without a terminal the most.

    ``COLUMNS`` in the environment says how many a terminal has.
    """
    if not sys.stdout.isatty():
        return most
    return max(least, min(most, shutil.get_terminal_size().columns))


def finish() -> None:
    """Writes out what waits in standard output. Raises OutputError."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        give_up()


def give_up() -> None:
    """Drops what waits in standard output, which nobody reads any more."""
    if isinstance(sys.stdout, _Output):
        sys.stdout.close_quietly()


#: Level of the messages shown; a list, for the command line sets it and the members of a sweep read it.
LEVEL = ["INFO"]
#: Whether a person follows one run here, so that its progress is shown; in processes that run many it is not.
FOLLOWED = [True]


def messages() -> None:
    """Log messages of the package go to standard error, plain."""
    import logging

    log = logging.getLogger("phasefield")
    log.disabled = False  # Hydra's logging setup switches off every logger it does not know
    if not log.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(message)s"))
        if not FOLLOWED[0]:
            handler.setLevel(logging.WARNING)
        log.addHandler(handler)
        log.propagate = False
    log.setLevel(LEVEL[0])
