"""What a command's words are to Hydra: the schema of its keys, and how the text of each is to be read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..keys import keys_of, schema_at
from ..keys.meaning import Key
from ..specs import EXPRESSIONS, RunSpec

#: How fields of a model and their initial conditions are read, whatever their names are.
_EXPRESSION = (
    rf"model\.energy|model\.parameters\.\w+|model\.fields\.\w+\.({'|'.join(EXPRESSIONS)})(\.\w+)*",
    r"model\.fields\.\w+\.walls(\.\w+)*",
    r"initial\.\w+(\.\w+)*|model\.fields\.\w+\.initial(\.\w+)*",
)
_TEXT = (r"model\.(name|description)|model\.fields\.\w+\.(units|description)",)
_OPEN = (r"model\.(fields|parameters)", "initial")
#: Keys that hold one mapping out of several kinds.
REPLACED = re.compile(r"^(initial\.\w+|model\.fields\.\w+\.initial|model\.parameters\.\w+|output\.(every|history))$")
#: Groups of Hydra whose presets may be files of one's own.
FILED = ("model", "experiment")


@dataclass(frozen=True)
class Language:
    """The keys of a command.

    Attributes:
        name: of its configuration. schema: the dataclass of its keys, or ``MODULE:CLASS``, loaded when it is needed.
    """

    name: str
    reference: Any

    @cached_property
    def schema(self) -> type:
        return schema_at(self.reference)

    @property
    def primary(self) -> str:
        """The name of the configuration that Hydra begins with: a file for runs, made from the schema for others."""
        return "config" if self.name == "run" else f"phasefield_{self.name}"

    @property
    def module(self) -> str:
        """The package whose folders are groups to Hydra; one without any for all but runs, whose keys may have a group's name."""
        return "phasefield.configs" if self.name == "run" else "phasefield.config"

    @cached_property
    def keys(self) -> list[Key]:
        """All keys but those of sections (mappings with a schema of their own)."""
        return list(keys_of(self.schema))

    @cached_property
    def sections(self) -> dict[str, Language]:
        """Mappings with a schema of their own, by their keys."""
        return {k.path: Language(k.path, k.section) for k in self.keys if k.section}

    def reading(self, overrides: Sequence[str]) -> Reading:
        """How these overrides are read. Schemas of sections are loaded only if one of them is spoken of."""
        keys = list(self.keys)
        for prefix, section in self.sections.items():
            if any(re.match(rf"\+{{0,2}}{prefix}\b", o) for o in overrides):
                keys += [Key(f"{prefix}.{k.path}", k.default, k.metadata) for k in section.keys]
        return Reading(tuple(keys), self.name == "run")


@dataclass(frozen=True, eq=False)
class Reading:
    """How the text of keys is read."""

    keys: tuple[Key, ...]
    run: bool

    def _of(self, value: str) -> Iterator[str]:
        yield from (re.escape(k.path) for k in self.keys if k.value == value)

    @cached_property
    def trees(self) -> re.Pattern[str]:
        """Mappings open to any key, and what is in them."""
        return _any([rf"{path}(\.[\w-]+)*" for path in self._of("tree")])

    @cached_property
    def expression(self) -> re.Pattern[str]:
        """Keys whose values are quoted before Hydra's grammar sees them."""
        united = [re.escape(k.path) for k in self.keys if k.unit]
        return _any([*(_EXPRESSION if self.run else ()), *self._of("expression"), *united, self.trees.pattern])

    @cached_property
    def text(self) -> re.Pattern[str]:
        """Keys whose values are text, commas, blanks and all."""
        return _any([*(_TEXT if self.run else ()), *self._of("text")])

    @cached_property
    def open(self) -> re.Pattern[str]:
        """What can be set without being there, so that no ``+`` is needed."""
        paths = [re.escape(k.path) for k in self.keys if k.section or k.value in ("tree", "schedule")]
        return _any([*(_OPEN if self.run else ()), *paths], end=r"(\.[\w-]|$)")

    @cached_property
    def many(self) -> frozenset[str]:
        return frozenset(k.path for k in self.keys if k.many)

    @cached_property
    def presets(self) -> dict[str, str]:
        """Keys that name presets which are read here and not by Hydra, with their groups."""
        return {k.path: k.presets for k in self.keys if k.presets and k.presets not in FILED}


def _any(patterns: Sequence[str], end: str = "$") -> re.Pattern[str]:
    return re.compile(rf"^(?:{'|'.join(f'(?:{p})' for p in patterns)}){end}" if patterns else r"(?!)")


#: The language of ``phasefield run``, and of a run's config.yaml.
RUN = Language("run", RunSpec)
