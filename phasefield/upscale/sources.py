"""From a file to the property record it holds: one line of `KINDS` a kind of file."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..homogenize import dataset as properties
from ..store import expanded, open_dataset, sha256, sweep_instead
from . import record_files, record_properties, record_samples, titles
from .record import Input, Record


@dataclass(frozen=True)
class Choice:
    """What is taken of a file that holds more than one record: a time of several snapshots, a size of several samples."""

    time: float | None = None
    size: float | None = None


@dataclass(frozen=True)
class Kind:
    """A kind of NetCDF file.

    Attributes:
        title: how its title begins. read: the record in it. takes: what there may be to choose, a field of `Choice`.
    """

    name: str
    title: str
    read: Callable[[Path, Any, Choice], Record]
    takes: str = ""


KINDS = (
    Kind("effective properties", properties.TITLE, record_properties.read, "time"),
    Kind("statistics", titles.STATISTICS, record_samples.read_statistics, "size"),
    Kind("a prediction", titles.PREDICTION, record_samples.read_prediction),
    Kind("a property record", record_files.TITLE, lambda path, data, choice: record_files.from_dataset(data, path)),
)


def read_record(source: str | Path, time: float | None = None, size: float | None = None) -> Record:
    """The record of a run folder (its properties.nc), of properties.nc, a statistics or prediction file, or a record itself.

    Args:
        time: of the snapshot, the last by default. size: of the samples of a statistics file, the largest by default.

    Raises:
        ConfigError: there is nothing such, or it is of another kind. Unreadable: a damaged file, a record of a newer schema.
    """
    path = _file(expanded(source))
    choice = Choice(time, size)
    if path.suffix.lower() == ".json":
        kind, record = KINDS[-1], record_files.read_json(path)
    else:
        with open_dataset(path) as data:
            title = str(data.attrs.get("title", ""))
            found = next((k for k in KINDS if title.startswith(k.title)), None)
            if found is None:
                known = ", ".join(k.name for k in KINDS)
                raise ConfigError(
                    str(path),
                    f"holds {f'{title!r}' if title else 'nothing that is known'}; one of these is expected: {known}",
                    "effective properties are made with phasefield homogenize",
                )
            kind, record = found, found.read(path, data, choice)
    for key in ("time", "size"):
        if getattr(choice, key) is not None and kind.takes != key:
            raise ConfigError(
                key, f"is {getattr(choice, key):g}, but {path.name} is {kind.name}, which has none to choose"
            )
    return record if kind is KINDS[-1] else _resting_on(record, path, kind)


def _file(path: Path) -> Path:
    """The file to read."""
    if path.is_dir():
        inside = path / "properties.nc"
        if not inside.is_file():
            make = f"make it with phasefield homogenize {path} material=NAME"
            raise ConfigError(str(path), *(sweep_instead(path) or ("holds no properties.nc", make)))
        return inside
    if not os.path.exists(path):
        raise ConfigError(str(path), "there is no such file or folder", "give a run folder or a file of properties")
    return path


def _resting_on(record: Record, path: Path, kind: Kind) -> Record:
    """The record with the file that it was read from among its inputs."""
    own = Input(kind.name, os.path.abspath(path), sha256(path))
    at = record.provenance
    return replace(record, provenance=replace(at, inputs=(own, *at.inputs)))
