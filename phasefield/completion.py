"""Shell completion: commands, presets and what a schema knows from here; the rest of a run's keys from Hydra."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import pairwise

from . import commands, config, presets
from .errors import PhasefieldError


def answer(given: list[str]) -> int:
    """Completion asked for by the shell, its script, and what Hydra tells of itself."""
    if "COMP_LINE" in os.environ and "-sc" in given:
        return _complete(given, os.environ["COMP_LINE"])
    if {"-sc", "--shell-completion"} & set(given):
        _check(given)
    config.launch([], options=given)
    return 0


def _check(given: list[str]) -> None:
    at = min(given.index(a) for a in ("-sc", "--shell-completion") if a in given)
    action, _, shell = (given[at + 1] if at + 1 < len(given) else "").partition("=")
    if action not in ("install", "uninstall", "query") or shell not in ("bash", "zsh", "fish"):
        asked = f" {given[at + 1]}" if at + 1 < len(given) else ""
        raise PhasefieldError(
            f"{given[at]}{asked}: install=SHELL or uninstall=SHELL is expected, SHELL one of bash, zsh, fish\n"
            '  e.g. eval "$(phasefield -sc install=bash)"'
        )


def _complete(given: list[str], line: str) -> int:
    """Offers for the last word of a line."""
    known = commands.names()
    words = line.split(" ")[1:]
    last = words.pop()
    if not words:
        _offer(known, last)
    name = words.pop(0) if words and words[0] in known else "run"
    if name == "config":
        if not words:
            return _offer(("show", "validate"), last)
        name = words[1] if len(words) > 1 and words[1] in known else "run"
        if len(words) == 1:
            _offer(known, last)
    command = commands.find(name)
    if "=" not in last and not any("=" in word for word in words) and (command.more or len(words) < len(command.words)):
        return 0  # folders are the shell's to complete
    language = config.Language(command.others or name, commands.find(command.others or name).keys)
    try:
        return _keys(given, language, words, last)
    except PhasefieldError:
        return 0  # half a word is no mistake


def _keys(given: list[str], language: config.Language, words: list[str], last: str) -> int:
    path, equals, _ = last.lstrip("+").partition("=")
    at = [word for word in words if word.startswith("hydra.searchpath=")]
    at += [f"hydra.searchpath=[{b}]" for a, b in pairwise(words) if a in ("-cd", "--config-dir")]
    keys = language.reading([last]).keys
    if equals and path == "experiment":  # Hydra offers no presets in subfolders
        return _offer((f"{path}={preset}" for preset in presets.names(path, config.search_path(at))), last)
    for key in keys:
        if equals and key.path == path and (key.choices or key.presets):
            values = [*key.choices, *(presets.names(key.presets, config.search_path(at)) if key.presets else ())]
            return _offer((f"{path}={value}" for value in values), last)
    if language.name != "run" or any(path.startswith(f"{section}.") for section in language.sections):
        return _offer((f"{key.path}=" for key in keys), last)
    # Hydra knows of keys alone.
    os.environ["COMP_LINE"] = f"phasefield {last}"
    os.environ["COMP_POINT"] = str(len(os.environ["COMP_LINE"]))
    config.launch([], language=language, options=given)
    return 0


def _offer(words: Iterator[str] | list[str] | tuple[str, ...], start: str) -> int:
    if found := [word for word in words if word.startswith(start)]:
        print("\n".join(found))
    return 0
