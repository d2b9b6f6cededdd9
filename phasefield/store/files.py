"""Files that appear, or take another's place, in one step."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from ..errors import ConfigError, Unreadable, Unwritable
from . import claim


def expanded(path: str | os.PathLike[str]) -> Path:
    """A path as a user writes it: ``~`` is the home folder. Raises ConfigError for what is no path."""
    if not isinstance(path, str | os.PathLike):
        raise ConfigError(repr(path), "is no path; text or a pathlib.Path is expected")
    return Path(os.path.expanduser(path))


def sha256(path: Path) -> str:
    """The hash of a file.

    Raises:
        Unreadable: it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise Unreadable(path, f"cannot be read: {error.strerror or error}") from error


def sync_folder(folder: Path) -> None:
    """Make renames and removals in ``folder`` durable, where the filesystem can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A new file that takes the place of ``path`` in one step when the block ends well, and leaves no trace if not.

    Raises:
        OutputError: it cannot be written, or another process has taken over the folder, which this one holds.
    """
    temporary = path.with_name(path.name[:200] + ".tmp")  # names have 255 bytes at most
    try:
        with open(temporary, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        claim.check(path.parent)
        os.replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            raise Unwritable(f"{path}: cannot be written: {error.strerror or error}") from error
        raise
    sync_folder(path.parent)


def write_text(path: Path, text: str) -> None:
    """Writes a text file in one step; bytes of a command line that are no UTF-8 stay as they are. Raises OutputError."""
    write_bytes(path, text.encode("utf-8", "surrogateescape"))


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file in one step. Raises OutputError; an older one at ``path`` is then untouched."""
    with replacing(path) as file:
        file.write(content)


def write_new(path: Path, text: str) -> None:
    """Writes a text file in one step where there is none: of many processes one, and nobody sees half of it.

    Raises:
        FileExistsError: there is one. OutputError, OSError: the file cannot be written.
    """
    own = path.with_name(f"{path.name[:180]}.{socket.gethostname()[:40]}.{os.getpid()}")
    write_text(own, text)
    try:
        os.link(own, path)
    except FileExistsError:
        raise
    except OSError:  # a filesystem without links
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        os.replace(own, path)
    finally:
        own.unlink(missing_ok=True)
    sync_folder(path.parent)
