"""Keys as fields of dataclasses: what a key means, its unit and what it may be stand beside its default, once."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..errors import ConfigError, unknown
from ..units import quantity


def about(
    text: str,
    choices: Sequence[str] = (),
    names: Callable[[], Sequence[str]] | None = None,
    *,
    unit: str = "",
    value: str = "",
    many: bool = False,
    presets: str = "",
    section: str = "",
    flag: str = "",
) -> dict[str, Any]:
    """Metadata of a field that is a key.

    Args:
        text: what it means. choices: the values it may have, or the entries of a list. names: values that are found when
            they are shown; others are possible.
        unit: of the numbers, which may carry another: they are converted where the objects of the schema are made.
        value: how its text is read: ``text`` (commas, blanks, all), ``expression`` (commas in brackets belong to it), ``tree``
            (a mapping open to any key, of such values), ``schedule`` (one of several kinds of mappings, or a number); else as
            Hydra does.
        many: one value stands for a list of one, and ``a,b`` for ``[a,b]``.
        presets: the group of presets that it may name, a folder of configs/.
        section: ``MODULE:CLASS``, the schema of the mapping that it is, which is loaded when there is something in it.
        flag: ``--name``, another way to give it: true without a value, of a list one more entry.
    """
    return {
        "text": text, "choices": tuple(choices), "names": names, "unit": unit, "value": value, "many": many,
        "presets": presets, "section": section, "flag": flag,
    }  # fmt: skip


def key(default: Any, text: str, choices: Sequence[str] = (), **more: Any) -> Any:
    """A field of a schema: its default and what it means, see `about`. A list or mapping is copied, a class is called."""
    metadata = about(text, choices, **more)
    if isinstance(default, type):
        return dataclasses.field(default_factory=default, metadata=metadata)
    if isinstance(default, list | dict):
        return dataclasses.field(default_factory=default.copy, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class Key:
    """A key of a schema: its dotted path, its default, its metadata (see `about`), empty where none is said, and its type."""

    path: str
    default: Any
    metadata: Any
    type: str = ""

    @property
    def numeric(self) -> bool:
        """Whether it takes numbers alone."""
        words = set(re.findall(r"\w+", self.type))
        return bool(words & {"int", "float"}) and words <= {"int", "float", "list", "None"}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self.metadata.get(name, () if name == "choices" else "")


def schema_at(reference: Any) -> type:
    """A schema given by itself or as ``MODULE:CLASS``, which is loaded."""
    if not isinstance(reference, str):
        return reference
    import importlib

    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)


def keys_of(schema: type, prefix: str = "") -> Iterator[Key]:
    """All keys of a schema; of a group of keys those in it (and it, if something is said of it)."""
    for field in dataclasses.fields(schema):
        path = prefix + field.name
        made = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        group = dataclasses.is_dataclass(made) and not isinstance(made, type)
        if not group or field.metadata:
            yield Key(path, None if group else made, field.metadata, str(field.type))
        if group:
            yield from keys_of(type(made), f"{path}.")


def check_choices(settings: Any, prefix: str = "") -> None:
    """Refuses values that are not among the choices of their key.

    Raises:
        ConfigError: such a value.
    """
    for field in dataclasses.fields(settings):
        choices = field.metadata.get("choices")
        given = getattr(settings, field.name)
        if choices and isinstance(given, list | tuple):
            for name in given:
                if name not in choices:
                    raise unknown(prefix + field.name, name, list(choices), "property")
        elif choices and given not in choices:
            raise ConfigError(f"{prefix}{field.name}", f"is {given!r}; expected one of {', '.join(choices)}")


def convert(settings: Any) -> None:
    """Numbers that carry units, converted in place, frozen or not: the command line does it before, from Python nobody else.

    Raises:
        ConfigError: as `in_unit`.
    """
    for field in dataclasses.fields(settings):
        if unit := field.metadata.get("unit"):
            object.__setattr__(settings, field.name, in_unit(getattr(settings, field.name), unit, field.name))


def in_unit(value: Any, unit: str, path: str) -> Any:
    """A number, or the numbers of a list, converted if they carry units; anything else as it is.

    Raises:
        ConfigError: an unknown unit, one of another dimension, or some numbers with a unit and some without.
    """
    entries = value if isinstance(value, list | tuple) else [value]
    if not any(isinstance(entry, str) for entry in entries):
        return value
    read = [quantity(entry, unit, path) for entry in entries]
    if len({united for _, united in read}) > 1:
        raise ConfigError(path, f"is {value}; units are given everywhere or nowhere")
    numbers = [number for number, _ in read]
    return numbers if isinstance(value, list | tuple) else numbers[0]
