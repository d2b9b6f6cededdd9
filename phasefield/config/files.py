"""Presets of one's own: files given by their path, and folders on Hydra's search path."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import presets
from ..errors import ConfigError
from ..specs import ModelSpec, RunSpec
from .grammar import split, unquoted
from .renaming import renew

_PACKAGE = re.compile(r"(?m)^#\s*@package\s+(\S+)\s*$")


def read_preset(group: str, choice: str) -> tuple[Any, str]:
    """The content of a file that a preset is chosen by, and the part of the configuration it belongs to.

    Raises:
        ConfigError: there is no such file, it is no YAML, or it holds something else than a preset of the group.
    """
    from omegaconf import OmegaConf

    path = presets.find(group, unquoted(choice))
    held, text = presets.read(path, group)
    try:
        content = OmegaConf.create(held or {})
        OmegaConf.to_yaml(content)
    except Exception as error:  # OmegaConf raises anything from ValueError to errors of its own
        raise ConfigError(group, f"{path} cannot be read: {' '.join(str(error).split())}") from error
    if not OmegaConf.is_dict(content):
        raise ConfigError(group, f"{path} holds no mapping of keys to values")
    renew(content, "run", "model." if group == "model" else "")
    schema = [f.name for f in dataclasses.fields(ModelSpec if group == "model" else RunSpec)]
    if strange := [str(key) for key in content if key not in schema and key != "defaults"]:
        hint = f"keys of {'a model' if group == 'model' else 'an experiment'}: {', '.join(schema)}"
        if group == "model" and strange[0] in {f.name for f in dataclasses.fields(RunSpec)}:
            hint += f"\n  a file with the keys of a whole run is an experiment: experiment={choice}"
        raise ConfigError(group, f"{path} has the key {strange[0]!r}, which means nothing there", hint)
    if group == "model" and "name" not in content:
        content.name = path.stem
    found = _PACKAGE.search(text)
    return content, found.group(1) if found else group if group == "model" else "_global_"


def search_path(overrides: Sequence[str]) -> list[Path]:
    """The folders of presets of one's own that overrides name. Hydra says nothing of those that are not there.

    Raises:
        ConfigError: one of them, or a package that cannot be imported.
    """
    key = "hydra.searchpath"
    found: list[Path] = []
    for override in overrides:
        name, equals, text = override.lstrip("+").partition("=")
        if not equals or name.strip() != key:
            continue
        text = unquoted(text)
        listed = split(text[1:-1], ",") if text[:1] + text[-1:] == "[]" else [text]
        if text[:1] != "[" and Path(text.removeprefix("file://")).is_dir():
            raise ConfigError(key, f"is {text}; a list is expected", f"write {key}=[{text}], or --config-dir {text}")
        for place in filter(None, map(unquoted, listed)):
            scheme, _, rest = place.rpartition("://")
            if scheme == "pkg":
                try:
                    package = importlib.util.find_spec(rest)
                except (ImportError, ValueError):
                    package = None
                if package is None:
                    raise ConfigError(key, f"there is no package {rest}", "a folder is given as file:///DIR")
                found += map(Path, package.submodule_search_locations or ())
            elif scheme not in ("", "file"):
                raise ConfigError(key, f"{place} is neither a folder, file:///DIR, nor a package, pkg://NAME")
            elif not Path(rest).is_dir():
                raise ConfigError(key, f"there is no folder {rest}", "presets lie in DIR/GROUP/NAME.yaml: file:///DIR")
            else:
                found.append(Path(rest))
    return found
