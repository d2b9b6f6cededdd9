"""Values given from Python as overrides of the command line; arrays stay what they are."""

from __future__ import annotations

import numbers
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ConfigError
from ..specs import ARRAY

#: Initial conditions, which may be arrays.
_INITIAL = re.compile(r"^(?:initial\.(\w+)|model\.fields\.(\w+)\.initial)$")
#: Mappings that are one value.
_WHOLE = re.compile(
    r"^(initial\.\w+|model\.fields\.\w+\.initial|model\.parameters\.\w+|output\.(every|history)|homogenize\.\w+)$"
)
_WORD = re.compile(r"^[A-Za-z_][\w.-]*$", re.ASCII)


def overrides_of(keys: Mapping[str, Any]) -> tuple[list[str], dict[str, Any]]:
    """Overrides for values from Python, and the arrays among them by the field they start.

    Args:
        keys: nested keys; numbers, texts (as on the command line), truth values, None, lists, mappings and arrays.

    Raises:
        ConfigError: a value of another type, or a key that is no text.
    """
    overrides: list[str] = []
    arrays: dict[str, Any] = {}
    for key, value in _flat(keys, ""):
        found = _INITIAL.match(key)
        if found and _is_array(value):
            name = found.group(1) or found.group(2)
            arrays[name] = value
            value = {"kind": "file", "path": f"{ARRAY}{name}.npy"}
            key = f"initial.{name}"
        overrides.append(f"{key}={value if isinstance(value, str) else _written(key, value)}")
    return overrides, arrays


def _flat(keys: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in keys.items():
        key = f"{prefix}{name}"
        if not isinstance(name, str):
            raise ConfigError(key, f"is no name of a key; text is expected, not {type(name).__name__}")
        if isinstance(value, Mapping) and value and not _WHOLE.match(key):
            yield from _flat(value, f"{key}.")
        else:
            yield key, value


def _is_array(value: Any) -> bool:
    """An array of NumPy, or what lies in one with named axes (xarray)."""
    return (
        isinstance(value, np.ndarray) or (hasattr(value, "__array__") and hasattr(value, "dims"))
    ) and value.ndim > 0


def _written(key: str, value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool | np.bool_):
        return str(bool(value)).lower()
    if isinstance(value, np.ndarray | np.generic):
        return _written(key, value.tolist())
    if isinstance(value, numbers.Integral):
        return str(int(value))
    if isinstance(value, numbers.Real):
        return repr(float(value))
    if isinstance(value, str):
        return value if _WORD.match(value) and value not in ("null", "true", "false") else _quoted(value)
    if isinstance(value, Path):
        return _quoted(str(value))
    if isinstance(value, list | tuple):
        return f"[{', '.join(_written(key, v) for v in value)}]"
    if isinstance(value, Mapping):
        items = (f"{name}: {_written(key + '.' + str(name), item)}" for name, item in value.items())
        return "{" + ", ".join(items) + "}"
    raise ConfigError(
        key,
        f"is of type {type(value).__name__}; a number, text, true or false, a list, a mapping or an array is expected",
    )


def _quoted(text: str) -> str:
    return "'" + re.sub(r"(\\+)(?='|$)", r"\1\1", text).replace("'", "\\'") + "'"
