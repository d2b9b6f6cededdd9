"""What a format of ``phasefield export`` is: an entry of a table, with the keys that it reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from .errors import ConfigError, OutputError


@dataclass(frozen=True)
class Format:
    """A format.

    Attributes:
        text: what is written. keys: which of the command's keys it reads, besides ``format`` and ``output``.
        write: writes a source, by keys; the files, and what is to be told of them.
    """

    text: str
    keys: tuple[str, ...]
    write: Callable[[str | Path, Any], tuple[list[Path], str]]


def check_keys(formats: Mapping[str, Format], keys: Any, tolerated: tuple[str, ...] = ()) -> None:
    """Refuses keys that are given and that the chosen format does not read.

    Args:
        keys: an object of a schema with the key ``format``. tolerated: keys that may be given in vain.

    Raises:
        ConfigError: such a key.
    """
    own = formats[keys.format].keys
    for field in fields(keys):
        made = field.default if field.default_factory is MISSING else field.default_factory()
        if field.name in ("format", "output", *own, *tolerated) or getattr(keys, field.name) == made:
            continue
        takers = [name for name, form in formats.items() if field.name in form.keys]
        raise ConfigError(
            field.name,
            f"means nothing to format={keys.format} ({formats[keys.format].text}), which reads {', '.join(own) or 'no key'}",
            f"leave it out, or choose a format that reads it: {', '.join(takers)}",
        )


def replaceable(target: Path, mark: bytes, what: str, source: Path | None = None) -> None:
    """Refuses a target that is there and is not of our making.

    Args:
        mark: what files of our making hold. what: what such a file is called. source: what is read, which is never replaced.

    Raises:
        ConfigError: a folder, the source itself, a file of another origin.
    """
    if target.is_dir():
        raise ConfigError("output", f"{target} is a folder", "give a file")
    if not target.exists():
        return
    if source is not None and source.exists() and target.samefile(source):
        raise ConfigError("output", f"{target} is the source itself", "give another file")
    if not holds(target, mark):
        raise ConfigError(
            "output", f"{target} is there and is no {what} of ours; only such are replaced", "give another file"
        )


def holds(path: Path, mark: bytes) -> bool:
    """Whether a file holds some bytes; read piece by piece."""
    try:
        with open(path, "rb") as file:
            before = b""
            while piece := file.read(1 << 20):
                if mark in before + piece:
                    return True
                before = piece[-len(mark) :]
    except OSError:
        return False
    return False


def make_parent(target: Path) -> None:
    """Makes the folder that a file is to lie in.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{target}: cannot be written: {error.strerror or error}") from error
