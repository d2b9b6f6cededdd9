"""Ladders: which checks they have, which of them are asked for, and the climb."""

from __future__ import annotations

import fnmatch
import importlib
import pkgutil
from collections.abc import Callable, Iterator, Sequence

from ..errors import ConfigError, guess
from . import checks as topics
from .check import Check, Outcome
from .problems import Machine

#: Names of the ladders, and what they are.
LADDERS = {
    "quick": "what everything rests on, in two minutes on two cores",
    "full": "the same and more: three dimensions, every scheme, coexistence, media of any contrast",
    "pfhub": "benchmarks of the phase-field community, with files to upload",
}


def ladder(name: str) -> list[Check]:
    """The checks of ``quick`` or ``full``, in the order of topics and files.

    Raises:
        ValueError: two checks of one name.
    """
    found: list[Check] = []
    for module in pkgutil.iter_modules(topics.__path__):
        topic = importlib.import_module(f"{topics.__name__}.{module.name}")
        found += [check for check in topic.checks() if name == "full" or not check.full]
    names = [check.name for check in found]
    if twice := {n for n in names if names.count(n) > 1}:
        raise ValueError(f"several checks are called {min(twice)}")
    return found


def choose(names: Sequence[str], only: Sequence[str], key: str = "only") -> list[str]:
    """The names that patterns ask for, all without any: a pattern is of a whole name, or of what stands before its slash.

    Raises:
        ConfigError: a pattern that none fits.
    """
    chosen: set[str] = set()
    for pattern in only:
        fitting = [n for n in names if any(fnmatch.fnmatchcase(part, pattern) for part in (n, n.partition("/")[0]))]
        if not fitting:
            known = list(dict.fromkeys(n.partition("/")[0] for n in names))
            raise ConfigError(
                key, f"no check is called {pattern!r}{guess(pattern, [*known, *names])}",
                f"one of {', '.join(known)}, or a pattern of their checks, such as '{names[0].partition('/')[0]}/*'",
            )  # fmt: skip
        chosen.update(fitting)
    return [n for n in names if n in chosen] if only else list(names)


def climb(checks: Sequence[Check], machine: Machine, show: Callable[[str], None] | None = None) -> Iterator[Outcome]:
    """Makes checks one by one.

    Args:
        show: told what is being done.
    """
    for number, check in enumerate(checks, start=1):
        if show is not None:
            show(f"{number} of {len(checks)}: {check.what}")
        yield check.run(machine)
