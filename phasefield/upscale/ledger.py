"""Results in a file, one a line (JSON): what is written stays, whatever happens to what comes after it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Container
from pathlib import Path
from typing import Any

from ..errors import ConfigError, OutputError
from ..store import write_text


class Ledger:
    """Entries of one kind by their keys. A line that was cut off where a process ended is cut away with the next entry.

    Args:
        path: the file, which need not be there yet; None keeps nothing. kind: what the entries are, in a word; the file is
            known by it. version: of the entries; those of another one are not read. key: of the command, for messages.
        read: makes of an entry, a mapping with a ``key``, what is kept of it.

    Attributes:
        known: what was read, and put, by the keys.

    Raises:
        ConfigError: the file is something else, of another version, or damaged before its last line.
    """

    def __init__(
        self, path: Path | None, kind: str, version: int, key: str, read: Callable[[dict[str, Any]], Any] = dict
    ) -> None:
        self.path, self._kind = path, kind
        self._head = json.dumps({"phasefield": kind, "version": version}) + "\n"
        self._lines: dict[str, str] = {}
        self.known: dict[str, Any] = {}
        self._whole = self._size = 0
        if path is None or not path.exists():
            return
        hint = f"give another file, {key}=FILE"
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ConfigError(key, f"{path} cannot be read: {error.strerror or error}", hint) from error
        self._size, self._whole = len(content), content.rfind(b"\n") + 1
        if not content or self._head.encode().startswith(content):  # killed before anything was kept
            self._whole = 0
            return
        head, *lines = content[: self._whole].decode(errors="replace").splitlines() or [""]
        if head + "\n" != self._head:
            ours = head.startswith(json.dumps({"phasefield": kind})[:-1])
            what = f"holds {kind} of another version; delete it" if ours else f"is there and is no file of {kind}"
            raise ConfigError(key, f"{path} {what}", hint)
        for number, line in enumerate(lines, 2):
            try:
                entry = json.loads(line)
                self.known[entry["key"]] = read(entry)
            except (ValueError, KeyError, TypeError) as error:
                problem = f"{path}: line {number} of it is damaged"
                raise ConfigError(key, problem, f"delete that line, or {hint}") from error
            self._lines[entry["key"]] = line

    def put(self, entry: dict[str, Any], value: Any) -> None:
        """Keeps an entry and what is read of it.

        Raises:
            OutputError: the file cannot be written.
        """
        line = json.dumps(entry)
        self.known[entry["key"]], self._lines[entry["key"]] = value, line
        if self.path is None:
            return
        added = ((self._head if self._whole == 0 else "") + line + "\n").encode()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self._size > self._whole:
                os.truncate(self.path, self._whole)
            with open(self.path, "ab") as file:
                file.write(added)
        except OSError as error:
            self._size = self._whole + 1  # as much of the line as went in is cut away
            raise OutputError(f"{self.path}: {self._kind} cannot be kept: {error.strerror or error}") from error
        self._whole += len(added)
        self._size = self._whole

    def keep(self, keys: Container[str]) -> None:
        """Forgets all other entries."""
        kept = {k: line for k, line in self._lines.items() if k in keys}
        if self.path is None or len(kept) == len(self._lines):
            return
        text = self._head + "".join(f"{line}\n" for line in kept.values())
        write_text(self.path, text)
        self._whole = self._size = len(text.encode())
        self._lines, self.known = kept, {k: self.known[k] for k in kept}
