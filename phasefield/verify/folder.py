"""The folder of a verification: how it is found, and the log in it."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .. import running
from ..errors import ConfigError, OutputError
from ..store import expanded
from . import record

log = logging.getLogger("phasefield")


def new(output: str | None) -> Path:
    """A folder for new results: the one that is named, which must be new or empty, or one under runs/.

    Raises:
        ConfigError: it is a file, or holds something. OutputError: it cannot be made.
    """
    if output is None:
        return running.new_folder("_verify", "output")[0]
    folder = expanded(output)
    if folder.is_dir() and any(folder.iterdir()):
        what = "a verification" if (folder / record.NAME).exists() else "something else"
        raise ConfigError("output", f"{folder} holds {what}", "give a folder that is new or empty, output=DIR")
    return made(folder)


def made(folder: Path) -> Path:
    """A folder, made if it is not there.

    Raises:
        ConfigError: it is a file. OutputError: it cannot be made or written.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError("output", f"{folder} is a file", "give a folder, output=DIR")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made: {error.strerror or error}\n  choose another output") from error
    if not os.access(folder, os.W_OK):
        raise OutputError(f"{folder}: cannot be written\n  choose another output")
    return folder


@contextmanager
def logged(folder: Path) -> Iterator[None]:
    """The messages of the package go to ``verify.log`` in the folder, and not between the lines of the table."""
    handler = logging.FileHandler(folder / "verify.log", encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    before = log.handlers[:], log.propagate, log.level
    log.handlers[:], log.propagate = [handler], False
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        handler.close()
        log.handlers[:], log.propagate = before[0], before[1]
        log.setLevel(before[2])
