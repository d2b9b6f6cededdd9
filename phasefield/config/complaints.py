"""What is wrong with a configuration, in one message: the key, what was expected, what to do."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from .. import presets
from ..errors import ConfigError, closest
from ..keys.renamed import present
from ..specs import FieldSpec, RunSpec

SHOW = "`phasefield config show` prints every key with its value"

#: What OmegaConf and Hydra say, and what we say instead; ``{0}``, ``{1}`` are the groups, ``{key}`` the key.
_MESSAGES: tuple[tuple[str, str, str], ...] = (
    (r"Value '(.*)' of type '\w+' could not be converted to Float", "is {0!r}; a number is expected", ""),
    (r"Value '(.*)' of type '\w+' could not be converted to Integer", "is {0!r}; a whole number is expected", ""),
    (r"Value '(.*)' is not a valid bool", "is {0!r}; true or false is expected", ""),
    (
        r"(?:Invalid value assigned: (\w+) is not a ListConfig|Cannot merge ListConfig with)",
        "is not a list",
        "write {key}=[value] or {key}=[value1,value2]",
    ),
    (r"Cannot convert '(\w+)' to string: '(.*)'", "is {1}; text is expected", ""),
    (
        r"Invalid type assigned: \w+ is not a subclass of \w+\. value: ([^\n]*)",
        "is {0}; this is a group of keys",
        "set the keys in it",
    ),
    (
        r"(?:Cannot assign (\w+) to Dict|Cannot merge DictConfig with)",
        "is a mapping and cannot take this value",
        "write {key}={{name: value}} or {key}.name=value",
    ),
    (r"field '[\w.]+' is not Optional|Incompatible value 'None'", "cannot be null", ""),
    (
        r"Missing mandatory value|Structured config of type `\w+` has missing mandatory value",
        "is missing",
        "set {key}=...",
    ),
    (r"Interpolation key '(.*)' not found", "refers to ${{{0}}}, which does not exist", ""),
    (
        r"(?:Ambiguous value for argument|Sweep parameters) '([^=]+)=(.*?)'",
        "has several values: {1}",
        "to give a list, write {0}=[{1}]; to take one after the other, add -m",
    ),
    (r"raised while resolving interpolation: \"(.*)\"", "{0}", ""),
    (r"invalid literal for int\(\) with base 10: '(.*)'", "is no number of an entry in a list", ""),
    (r"Config group override must be a string", "a preset is chosen by its name", "e.g. model=cahn_hilliard"),
    (r"Multiple values for (\w+)\.", "is chosen twice", "write {0}=NAME once, without +"),
)


def config_error(error: BaseException, schema: type = RunSpec, own: Sequence[Path] = ()) -> ConfigError:
    """One readable message from an exception of Hydra or OmegaConf.

    Args:
        schema: of the configuration. own: folders of presets of one's own.
    """
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in chain:
        if isinstance(cause, ConfigError):
            return cause
        chain.append(cause)
        cause = cause.__cause__
    key = next((str(k) for c in chain if (k := getattr(c, "full_key", None))), "")
    texts = [str(c) for c in reversed(chain)]
    if not key and (told := re.search(r"^\s*full_key: ([\w.\[\]-]+)\s*$", "\n".join(texts), re.M)):
        key = told.group(1)  # of what a preset holds, Hydra quotes the complaint
    for text in texts:
        if found := re.search(r"Could not (?:find|load) '([\w/-]+)/([^'/]*)'", text):
            return _no_preset(found.group(1), found.group(2), own)
        if found := re.search(r"Key '(.*)' (?:not in '\w+'|is not in struct)", text):
            return _unknown_key(key or found.group(1), schema)
        if found := re.search(r"Could not override '(.*?)'\.", text):
            return _unknown_key(found.group(1), schema)
        for pattern, problem, hint in _MESSAGES:
            if found := re.search(pattern, text, re.S):
                key = key or next((g for g in found.groups() if g), "configuration")
                groups = found.groups()
                return ConfigError(key, problem.format(*groups, key=key), hint.format(*groups, key=key))
    drop = re.compile(r"^\s*(full_key:|object_type=|reference_type=|See https|Set the environment|$)")
    lines = [" ".join(line.split()) for text in texts for line in text.splitlines() if not drop.match(line)]
    return ConfigError(key or "configuration", "; ".join(dict.fromkeys(lines)), SHOW)


def _no_preset(group: str, name: str, own: Sequence[Path]) -> ConfigError:
    for known in ("model", "experiment"):  # a folder of presets is a group of its own to Hydra
        if group.startswith(known + "/"):
            group, name = known, f"{group.removeprefix(known + '/')}/{name}"
    if group in ("model", "experiment"):
        return presets.missing(group, name, own)
    return ConfigError(group, f"there is no preset {name!r}" if name else "no preset is named", SHOW)


def _unknown_key(key: str, schema: type) -> ConfigError:
    """The complaint that a schema has no such key."""
    from omegaconf import DictConfig, OmegaConf

    if schema is RunSpec and (found := present(key, "run")):  # within a mapping, or in a preset that Hydra has read
        return ConfigError(key, f"is now {found[0]}", f"write {found[0]} instead")

    node = OmegaConf.structured(schema)
    parent, _, name = key.rpartition(".")
    if re.match(r"^model\.fields\.\w+$", parent):
        siblings = list(OmegaConf.structured(FieldSpec))
    else:
        try:
            group = OmegaConf.select(node, parent) if parent else node
        except Exception:  # a part of the key is no name
            group = None
        siblings = list(map(str, group)) if isinstance(group, DictConfig) else []
    elsewhere = [f"{g}.{k}" for g in node if isinstance(node[g], DictConfig) for k in node[g]]
    same = [k for k in elsewhere if k.split(".")[-1] == name]
    near = closest(name, siblings)
    guess = f"{parent}.{near}".lstrip(".") if near else same[0] if same else closest(key, elsewhere)
    return ConfigError(
        key,
        "there is no such key" + (f"; did you mean {guess}?" if guess else ""),
        f"keys {f'of {parent}' if parent else 'at the top'}: {', '.join(siblings)}" if siblings else SHOW,
    )
