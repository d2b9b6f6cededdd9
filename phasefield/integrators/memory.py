"""Warm starts of a split beside a carry's history: rings of arrays, the latest first, and numbers.

Operations find ``NAME``, ``NAME_old``, ``NAME_old2`` ... as the last accepted evaluation left them and change none of them, but
fill ``NAME_next``. Once a step is accepted the names rotate: a refused one costs nothing and leaves nothing. Where operations
told `KEPT` as 1 nothing is new. Numbers that they tell under names that begin with `NOTE` are among the scalars of the next step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

NEXT, NOTE, KEPT = "_next", "note_", "memory_kept"


class Rings:
    """The rings of a split's memory, and the free buffer of each.

    Args:
        memory: name -> components, see `phasefield.models.Split`. buffer: makes one of so many components.
    """

    def __init__(self, memory: Mapping[str, int], buffer: Callable[[int], Any]) -> None:
        firsts = [name for name in memory if not name.rpartition("_")[2].startswith("old")]
        self._rings = {
            first: [first, *(name for name in memory if name.startswith(f"{first}_old"))] for first in firsts
        }
        self._free = {first: buffer(memory[first]) for first in firsts}

    @property
    def spare(self) -> dict[str, Any]:
        """What operations fill, by its name."""
        return {first + NEXT: buffer for first, buffer in self._free.items()}

    def push(self, memory: dict[str, Any], told: Mapping[str, float]) -> None:
        """Makes what operations have filled the latest of its ring, unless they told that they filled nothing."""
        if told.get(KEPT):
            return
        for first, names in self._rings.items():
            new = self._free[first]
            for name in names:
                memory[name], new = new, memory[name]
            self._free[first] = new


def notes(told: Mapping[str, float]) -> dict[str, float]:
    """The numbers among what operations told that the next step is to know."""
    return {name: value for name, value in told.items() if name.startswith(NOTE) or name == KEPT}
