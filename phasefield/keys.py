"""Keys of the command as fields of dataclasses: what a key means and may be stands beside its default, once."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

from .errors import ConfigError, unknown

#: Column where the text of a key starts in the help.
_INDENT = 6


def about(text: str, choices: Sequence[str] = (), names: Callable[[], list[str]] | None = None) -> dict[str, Any]:
    """Metadata of a field that is a key.

    Args:
        text: what it means. choices: the values it may have, or the entries of a list. names: values that are found when
            they are shown; others are possible.
    """
    return {"text": text, "choices": tuple(choices), "names": names}


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
                    raise unknown(field.name, name, list(choices), "property")
        elif choices and given not in choices:
            raise ConfigError(f"{prefix}{field.name}", f"is {given!r}; expected one of {', '.join(choices)}")


def described(field: dataclasses.Field[Any], prefix: str = "", width: int = 80) -> list[str]:
    """Lines of help for a key: name, default, meaning and values."""
    names = field.metadata["names"]
    values = field.metadata["choices"] or (names() if names else ())
    indent = " " * _INDENT
    lines = [f"  {prefix}{field.name}={_written(field.default)}"]
    for text in (field.metadata["text"], " | ".join(values)):
        lines += textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
    return lines


def _written(value: Any) -> str:
    """A value as it is written on the command line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_written, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)
