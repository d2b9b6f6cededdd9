"""What ``phasefield export`` writes: properties for other models, fields for other programs, from one table of formats."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from . import sweep
from .errors import ConfigError, PhasefieldError
from .formats import check_keys
from .keys import check_choices, convert, key
from .store import expanded
from .upscale import export as properties
from .viewing import formats as fields
from .viewing.settings import FieldKeys

FORMATS = {**properties.FORMATS, **fields.FORMATS}


@dataclass
class Export(FieldKeys, properties.Export):
    """The keys of the command: those of properties and those of fields."""

    format: str = key(
        "json",
        "; ".join(f"{name}: {form.text}" for name, form in FORMATS.items() if name in ("json", *fields.FORMATS))
        + "; others: a material card for a solver",
        tuple(FORMATS),
    )
    output: str | None = key(
        None, "the file to write, of many pictures the folder; by default beside the source", value="text"
    )
    time: float | None = key(
        None, "snapshot of properties.nc, by default the last; png, mp4: the one nearest to this time, by default all"
    )

    def __post_init__(self) -> None:
        check_choices(self)
        convert(self)
        FieldKeys.__post_init__(self)


def export(source: str | Path, keys: Export) -> tuple[list[Path], str]:
    """Writes a source in the format of the keys; the files (of many the first and the last), and what is to be told.

    Raises:
        ConfigError: a source or key that will not do. OutputError: a source that cannot be read, a file that cannot be written.
    """
    _check(keys)
    return FORMATS[keys.format].write(source, keys)


def _check(keys: Export) -> None:
    """Refuses keys that mean nothing to the format. Raises ConfigError."""
    check_keys(FORMATS, keys, properties.TOLERATED if keys.format == "json" else ())
    if keys.format == "mp4" and keys.time is not None:
        raise ConfigError("time", "chooses one snapshot, which makes no film", "format=png draws it")


def export_all(source: str | Path, keys: Export) -> int:
    """Writes every run of a sweep in the format of the keys, beside its own files; the exit code, 1 if one cannot be written.

    Raises:
        ConfigError: a key that will not do, one file for all. OutputError: the sweep cannot be read.
    """
    where = expanded(source)
    found = sweep.members(where)
    if keys.output is not None:
        raise ConfigError(
            "output",
            f"is {keys.output}, but {where} holds {len(found)} runs",
            "leave it out: each has its files beside it",
        )
    _check(keys)
    code = 0
    for member in found:
        try:
            files, text = export(where / member.name, keys)
        except PhasefieldError as error:
            code = 1
            print(f"phasefield: error: {error}", file=sys.stderr)
        else:
            print(text, *map(str, files), sep="\n")
    return code
