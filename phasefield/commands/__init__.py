"""The commands, one file each: a file that is here is a command of its name, with `COMMAND` (see `phasefield.command`) in it.

Its docstring is its help: first a line for each way to call it, ``SYNOPSIS   what it does``, then more about it. Nothing is
imported to list them.
"""

from __future__ import annotations

import importlib
import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..command import Call, Command


#: Where the files lie.
FOLDERS = [os.path.dirname(__file__)]


def names() -> list[str]:
    """All commands, the default one first."""
    files = (entry for folder in FOLDERS for entry in os.listdir(folder))
    found = (file.removesuffix(".py") for file in files if re.match(r"[a-z]\w*\.py$", file))
    return sorted(found, key=lambda name: (name != "run", name))


def find(name: str) -> Command:
    """A command by its name; its file is loaded."""
    command: Command = importlib.import_module(f".{name}", __name__).COMMAND
    return command


def head(name: str) -> tuple[list[tuple[str, str]], str]:
    """The ways to call a command with what they do, and what else its help says, read from its file without loading it."""
    place = next(p for folder in FOLDERS if os.path.isfile(p := os.path.join(folder, f"{name}.py")))
    with open(place, encoding="utf-8") as file:
        first, _, rest = file.read().split('"""')[1].partition("\n\n")
    lines = [re.split(r"\s{2,}", line.strip(), maxsplit=1) for line in first.splitlines()]
    return [(line[0], line[1] if len(line) > 1 else "") for line in lines], rest.strip("\n")


def call(name: str, given: Sequence[str], line: str = "", bare: bool = False) -> Call:
    """A call of a command from the arguments behind its name, see `phasefield.command.read`."""
    from ..command import read

    return read(name, find(name), given, names(), head(name)[0][0][0], line, bare, find)
