"""What a climb leaves: one JSON file with every outcome and where it comes from."""

from __future__ import annotations

import datetime
import json
import platform
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from ..errors import OutputError
from ..provenance import git_commit, version
from ..store import write_text
from .check import Outcome

#: Name of the file in the folder of a verification, and what it is of.
NAME, FORMAT = "verify.json", "phasefield verification 1"


@dataclass
class Record:
    """The outcomes of a ladder, in its order.

    Attributes:
        ladder: ``quick``, ``full`` or ``pfhub``. machine: device, precision and threads, in words. command: that made it.
        names: of all checks that were asked for. outcomes: of those that were made. more: what else there is to keep.
        created: when.
    """

    ladder: str
    machine: dict[str, Any]
    command: str
    names: list[str]
    outcomes: list[Outcome] = field(default_factory=list)
    more: dict[str, Any] = field(default_factory=dict)
    created: str = field(default_factory=lambda: datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"))

    @property
    def complete(self) -> bool:
        """Whether every check that was asked for was made."""
        return set(self.names) <= {o.name for o in self.outcomes}

    @property
    def good(self) -> bool:
        """Whether all of them are within what is allowed."""
        return self.complete and all(o.good for o in self.outcomes)

    @property
    def summary(self) -> str:
        """What came out, in a line."""
        counts = {v: sum(o.verdict == v for o in self.outcomes) for v in ("within", "outside", "failed", "skipped")}
        parts = [f"{counts['within']} of {len(self.names)} checks within what is allowed"]
        parts += [f"{counts[v]} {v}" for v in ("outside", "failed", "skipped") if counts[v]]
        if left := len(self.names) - len(self.outcomes):
            parts.append(f"{left} not made")
        return f"{', '.join(parts)}; {sum(o.seconds for o in self.outcomes):.0f} s"

    @property
    def facts(self) -> dict[str, Any]:
        """Where it comes from."""
        packages = ("numpy", "llvmlite", "numba", "pyfftw", "sympy")
        return {
            "created": self.created,
            "command": self.command,
            "source": f"phasefield {version()}",
            "git_commit": git_commit(),
            **self.machine,
            "system": f"Python {platform.python_version()} on {platform.system()} {platform.machine()}",
            "libraries": " ".join(f"{name} {metadata.version(name)}" for name in packages),
        }

    def write(self, folder: Path) -> Path:
        """Writes the file in one step; its path. Raises OutputError."""
        content = {
            "format": FORMAT,
            "ladder": self.ladder,
            "complete": self.complete,
            **self.facts,
            **self.more,
            "names": self.names,
            "checks": [o.to_json() for o in self.outcomes],
        }
        path = folder / NAME
        write_text(path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
        return path


def read(path: Path) -> dict[str, Any]:
    """What such a file holds, its checks as `Outcome`.

    Raises:
        OutputError: it cannot be read, or is something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise ValueError(f"its format is {content['format']!r}")
        return content | {"checks": [Outcome.from_json(c) for c in content["checks"]]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"{path}: is no record of a verification: {reason}") from error
