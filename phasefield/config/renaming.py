"""Former names of keys, wherever keys are read: command lines, Python, presets of one's own, and files of earlier versions."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from typing import Any

from ..errors import ConfigError
from ..keys.renamed import Renamed, present
from ..provenance import version

log = logging.getLogger("phasefield")

_KEY = re.compile(r"^(\+{0,2})([\w.-]+)(\s*=.*)$", re.S)
#: Keys whose former names were told of.
_told: set[str] = set()


def current(overrides: Sequence[str], command: str, earlier: bool = False) -> list[str]:
    """Overrides of a command under the present names of their keys.

    Args:
        earlier: they are from a file that an earlier version wrote: read in silence, and for ever.

    Raises:
        ConfigError: a name that is no longer read, or one given beside the present one.
    """
    out, given = [], {m.group(2) for o in overrides if (m := _KEY.match(o))}
    for override in overrides:
        found = _KEY.match(override)
        now = found and present(found.group(2), command)
        if not found or not now:
            out.append(override)
            continue
        if not earlier:
            _tell(found.group(2), *now, given)
        elif now[0] in given:
            continue
        out.append(f"{found.group(1)}{now[0]}{found.group(3)}")
    return out


def renew(content: Any, command: str, prefix: str = "", earlier: bool = False) -> None:
    """Puts what lies under former names in a configuration (an OmegaConf mapping) under the present ones, in place.

    Args:
        prefix: of all its keys, with a dot. earlier: as for `current`.

    Raises:
        ConfigError: as `current`; a former key of a group whose present one lies outside of it.
    """
    from omegaconf import OmegaConf, open_dict

    for path in list(_paths(content, prefix)):
        now = present(path, command)
        if not now:
            continue
        inner, old = now[0].removeprefix(prefix), path.removeprefix(prefix)
        if prefix and not now[0].startswith(prefix):
            raise ConfigError(path, f"is now {now[0]}", "set it outside of this file")
        there = OmegaConf.select(content, inner) is not None
        if not earlier:
            _tell(path, *now, {now[0]} if there else set())
        with open_dict(content):
            value = OmegaConf.select(content, old)
            _remove(content, old)
            if not there:
                OmegaConf.update(content, inner, value, force_add=True)


def _remove(content: Any, path: str) -> None:
    """Takes out what lies under a path, and the groups that are empty without it."""
    from omegaconf import OmegaConf

    while path:
        parent, _, name = path.rpartition(".")
        group = OmegaConf.select(content, parent) if parent else content
        del group[name]
        path = parent if not len(group) else ""


def _paths(content: Any, prefix: str) -> Iterator[str]:
    """Dotted paths of all mappings and values, outer ones first."""
    from omegaconf import OmegaConf

    for name in content:
        yield f"{prefix}{name}"
        value = content._get_node(name)
        if OmegaConf.is_dict(value) and not (value._is_none() or value._is_missing() or value._is_interpolation()):
            yield from _paths(value, f"{prefix}{name}.")


def _tell(path: str, now: str, renamed: Renamed, given: set[str]) -> None:
    """Warns, once in a process, of a former name.

    Raises:
        ConfigError: it is no longer read, or given beside the present one.
    """
    if _number(version()) >= _number(renamed.gone):
        raise ConfigError(path, f"is now {now}", f"write {now}=...")
    if now in given:
        raise ConfigError(path, f"is now {now}, which is given too", "leave one of them out")
    if path not in _told:
        _told.add(path)
        log.warning("%s is now %s; the former name goes in version %s", path, now, renamed.gone)


def _number(text: str) -> tuple[int, ...]:
    """MAJOR, MINOR of a version; of one that is not known less than all others."""
    found = re.match(r"(\d+)\.(\d+)", text)
    return tuple(map(int, found.groups())) if found else ()
