"""Presets: GROUP/NAME.yaml in the folders of one's own, then in those of the package. One way to find them, for every group.

Nothing is imported here, so that help comes at once.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .errors import ConfigError, guess


def folder(group: str = "") -> Path:
    """Where those of the package lie, in a checkout and when installed."""
    here = Path(__file__).resolve().parent
    inside = here / "configs"
    return (inside if inside.is_dir() else here.parent / "configs") / group


def names(group: str, own: Sequence[Path] = ()) -> list[str]:
    """Names of the presets of a group: ``model``, ``experiment`` or ``material``. ``own``: folders before the package's."""
    found: set[str] = set()
    for root in (*(place / group for place in own), folder(group)):
        for place, _, files in os.walk(root):
            inside = os.path.relpath(place, root).replace(os.sep, "/")
            names = [file.removesuffix(".yaml") for file in files if file.endswith(".yaml")]
            found.update(names if inside == "." else (f"{inside}/{name}" for name in names))
    return sorted(found)


def is_file(choice: str) -> bool:
    """Whether a preset is chosen by the path of a file."""
    return choice.endswith((".yaml", ".yml"))


def find(group: str, choice: str, own: Sequence[Path] = (), key: str = "") -> Path:
    """The file of a preset, by its name or its own path.

    Raises:
        ConfigError: there is no such preset or file. ``key``: the key it was given for.
    """
    key = key or group
    if is_file(choice):
        path = Path(choice).expanduser()
        if not path.is_file():
            raise ConfigError(key, f"there is no file {path}", f"give the path of a YAML file, or a name: {key}=NAME")
        return path
    for root in (*(place / group for place in own), folder(group)):
        if choice and (path := root / f"{choice}.yaml").is_file():
            return path
    raise missing(group, choice, own, key)


def missing(group: str, choice: str, own: Sequence[Path] = (), key: str = "") -> ConfigError:
    """The complaint that there is no such preset."""
    key, known = key or group, names(group, own)
    return ConfigError(
        key,
        f"there is no preset {choice!r}{guess(choice, known)}" if choice else "no preset is named",
        f"presets: {', '.join(known)}; or {key}=FILE.yaml, a file of your own",
    )


def read(path: Path, key: str) -> tuple[Any, str]:
    """What the file of a preset holds, and its text.

    Raises:
        ConfigError: it is no YAML, or gives a key twice, of which YAML keeps the last without a word.
    """
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
        _unique(yaml.compose(text, Loader=yaml.SafeLoader), str(path), key)
        return yaml.safe_load(text), text
    except (OSError, ValueError, yaml.YAMLError) as error:  # YAML's dates and numbers raise ValueError
        raise ConfigError(key, f"{path} cannot be read: {' '.join(str(error).split())}") from error


def _unique(node: Any, source: str, key: str) -> None:
    """Refuses keys given twice in a node as PyYAML composes it."""
    waiting, done = [node], set()
    while waiting:
        node = waiting.pop()
        if id(node) in done or not isinstance(getattr(node, "value", None), list):
            continue
        done.add(id(node))
        seen: set[str] = set()
        for entry in node.value:
            if not isinstance(entry, tuple):
                waiting.append(entry)
                continue
            name, value = entry
            if str(name.value) in seen:
                line = name.start_mark.line + 1
                raise ConfigError(key, f"{source} gives {name.value!r} twice, the second time in line {line}")
            seen.add(str(name.value))
            waiting.append(value)
