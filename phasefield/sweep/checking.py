"""All members of a sweep checked before the first one starts, each at the price of what tells it from the first.

Composing a configuration takes a tenth of a second. Members mostly differ in numbers (a seed, a parameter), which are put into
the checked objects of the first one: building an object is what checks its values, so the same is refused. Whatever is not as
simple as that is composed: texts, mappings, presets, a number where there was none, and what was refused, for its message.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import is_dataclass, replace
from typing import Any

from ..errors import PhasefieldError

_NUMBER = re.compile(r"(?P<key>\+{0,2}[\w.]+)=(?P<value>[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?)", re.IGNORECASE)


class _Otherwise(Exception):
    """The value is none that can be put in place of another."""


def complaints(jobs: Sequence[Sequence[str]], build: Callable[[Sequence[str]], Any]) -> dict[int, PhasefieldError]:
    """The members that cannot run, with the reasons.

    Args:
        jobs: the overrides of every member. build: the checked object of a member's configuration; raises PhasefieldError.
    """
    wrong: dict[int, PhasefieldError] = {}
    first: tuple[Sequence[str], Any] | None = None
    for number, job in enumerate(jobs):
        if first is not None:
            with suppress(PhasefieldError, _Otherwise):
                _with_numbers(first[1], _different(first[0], job))
                continue
        try:
            built = build(job)
        except PhasefieldError as error:
            wrong[number] = error
        else:
            first = first or (job, built)
    return wrong


def _different(before: Sequence[str], job: Sequence[str]) -> dict[str, int | float]:
    """Key -> number, of what a job is asked otherwise than another. Raises _Otherwise if more than numbers differ."""
    if len(before) != len(job):
        raise _Otherwise
    found: dict[str, int | float] = {}
    for old, new in zip(before, job, strict=True):
        if old == new:
            continue
        match = _NUMBER.fullmatch(new)
        if match is None or old.partition("=")[0] != match["key"]:
            raise _Otherwise
        digits = match["value"]
        found[match["key"].lstrip("+")] = int(digits) if re.fullmatch(r"[+-]?\d+", digits) else float(digits)
    return found


def _with_numbers(built: Any, numbers: Mapping[str, int | float]) -> Any:
    for key, number in numbers.items():
        built = _put(built, key.split("."), number)
    return built


def _put(owner: Any, names: Sequence[str], number: int | float) -> Any:
    """An object or mapping with another number at a path. Raises _Otherwise if none is there, or one of another kind."""
    name, *inner = names
    mapping = isinstance(owner, dict)
    if not (mapping and name in owner) and not (is_dataclass(owner) and hasattr(owner, name)):
        raise _Otherwise
    there = owner[name] if mapping else getattr(owner, name)
    if inner:
        new = _put(there, inner, number)
    elif type(there) is type(number):
        new = number
    elif type(there) is float:
        new = float(number)
    else:
        raise _Otherwise
    return {**owner, name: new} if mapping else replace(owner, **{name: new})
