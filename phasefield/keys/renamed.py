"""Keys that have another name now: the one place that knows the former ones.

On command lines, from Python and in presets of one's own a former name works, with a warning, up to the version said here, and is
refused from then on with the name to write instead. What earlier versions wrote (configurations and checkpoints of runs, sweeps)
is read on without end and without a word.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Renamed:
    """A key that was renamed, with all that is in it.

    Attributes:
        old, new: dotted paths; ``*`` stands for any one name, the same in both in their order: ``model.fields.*.mobility``.
        gone: the version, ``MAJOR.MINOR``, from which on the former name is refused; one minor version lies between.
    """

    old: str
    new: str
    gone: str

    def applied(self, path: str) -> str | None:
        """The present path of a former one, or of what lies in it; None of any other."""
        pattern = r"\.".join(r"([^.]+)" if part == "*" else re.escape(part) for part in self.old.split("."))
        found = re.match(rf"{pattern}(?=\.|$)", path)
        if not found:
            return None
        names = iter(found.groups())
        return ".".join(next(names) if part == "*" else part for part in self.new.split(".")) + path[found.end() :]


#: By the name of their command. Those of a command that is a section of another, such as homogenize of run, count there too.
RENAMED: dict[str, list[Renamed]] = {}


def present(path: str, command: str) -> tuple[str, Renamed] | None:
    """The present name of a key of a command, and how it came to be; None of a key that was not renamed."""
    for renamed in RENAMED.get(command, ()):
        if (now := renamed.applied(path)) is not None:
            return now, renamed
    section, _, inner = path.partition(".")
    if inner and section != command and (found := present(inner, section)):
        return f"{section}.{found[0]}", found[1]
    return None


def of_earlier(values: Mapping[str, Any], command: str) -> dict[str, Any]:
    """Values by dotted path, as an earlier version wrote them, under the present names; those under present names win."""
    out: dict[str, Any] = {}
    for path, value in values.items():
        found = present(path, command)
        if found is None:
            out[path] = value
        else:
            out.setdefault(found[0], values.get(found[0], value))
    return out
