"""From effective properties to a record or a card in a file."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ConfigError
from ..formats import Format, check_keys, make_parent, replaceable
from ..homogenize.table import wrapped
from ..keys import check_choices, convert, key
from ..mechanics.properties import PROPERTIES
from ..store import expanded, write_text
from ..units import temperature
from . import record_files
from .cards import FORMATS as CARDS
from .cards import MARK, card
from .cards.content import AXES, CARRIED, THRESHOLD, notes_of
from .record import PARTS, Record, number
from .sources import read_record


@dataclass
class Export:
    """The keys of the command."""

    format: str = key("json", "a property record, or a card for a solver", ("json", *CARDS))
    units: str = key(
        "m-kg-s", "of a card: base units LENGTH-MASS-TIME, e.g. mm-t-s; as-given where none are known", value="text"
    )
    output: str | None = key(None, "the file to write; by default beside the source", value="text")
    name: str | None = key(None, "of the material on a card; by default that of the source", value="text")
    axes: str = key(
        "sample",
        "a card's constants are about the axes of the sample, or about principal ones, with an orientation",
        AXES,
    )
    threshold: float = key(
        THRESHOLD, "relative distance to isotropic or orthotropic up to which a card says a tensor is it"
    )
    properties: list[str] = key([], "on a card; by default all it can hold", CARRIED, many=True)
    time: float | None = key(None, "snapshot of properties.nc; by default the last")
    size: float | None = key(None, "sample size of a statistics file; by default the largest")
    density: Any = key(None, "of the material, where the source tells none; kg/m^3", unit="kg/m^3")
    temperature: Any = key(None, "reference temperature, where the source tells none; K, or with degC", value="text")

    def __post_init__(self) -> None:
        check_choices(self)
        convert(self)


def export(source: str | Path, keys: Export | None = None) -> tuple[list[Path], Record, str]:
    """Writes the record or the card; the files, the record, and what is to be told of it.

    Raises:
        ConfigError: a source or key that will not do. Unreadable: a damaged file, a record of a newer schema.
        OutputError: the file cannot be written, or holds something else.
    """
    keys = keys or Export()
    check_keys(FORMATS, keys, TOLERATED)
    record = _completed(read_record(source, keys.time, keys.size), keys)
    where = expanded(source)
    inside = where / "properties.nc" if where.is_dir() else where
    stem = inside.stem.removesuffix("_record")
    if keys.format == "json":
        beside = inside.with_name(f"{stem}_record.json")
        target = record_files.target_json(expanded(keys.output)) if keys.output else beside
        _not_the_source(target.with_suffix(".nc"), inside)
        record_files.replaceable(target)
        files = list(record_files.write(record, target))
        note = f"\nunits={keys.units} is of cards: a record is in SI units" if keys.units != Export.units else ""
        return files, record, _summary(record) + note
    form = CARDS[keys.format]
    target = expanded(keys.output) if keys.output else inside.with_name(f"{stem}_{keys.format}{form.suffix}")
    replaceable(target, MARK.encode(), "card", inside)
    text = card(record, keys.format, keys.units, keys.name or "", keys.axes, keys.threshold, tuple(keys.properties))
    make_parent(target)
    write_text(target, text)
    heading = [line for line in text.splitlines() if line.startswith(form.comment)]
    return [target], record, "\n".join(line.removeprefix(form.comment).removeprefix(" ") for line in heading)


def _completed(record: Record, keys: Export) -> Record:
    """The record with what was said besides."""
    changes: dict[str, Any] = {}
    for name, value, unit in (
        ("density", keys.density, "kg/m^3"),
        (
            "reference_temperature",
            None if keys.temperature is None else temperature(keys.temperature, "temperature"),
            "K",
        ),
    ):
        if value is None:
            continue
        key_ = name.removeprefix("reference_")
        if getattr(record, name) is not None:
            raise ConfigError(
                key_, f"is given, but the source tells {float(getattr(record, name).value):g} {unit}", "leave it out"
            )
        if not value > 0:
            raise ConfigError(key_, f"is {value:g}; a positive number is expected")
        changes[name] = number(float(value), unit, notes=("given when the record was exported",))
    return replace(record, **changes)


def _not_the_source(target: Path, source: Path) -> None:
    if os.path.exists(target) and source.exists() and target.samefile(source):
        raise ConfigError("output", f"{target} is the source itself", "give another file, output=NAME.json")


def _summary(record: Record) -> str:
    """What a record holds, for the terminal: every property with the parts of its uncertainty."""
    lines = [f"{record.title}: {record.material}"]
    for name, q in record.properties.items():
        unit = "unit not known" if q.unit is None else q.unit if q.unit != "1" else "no dimension"
        lines.append(f"  {PROPERTIES[name].title} [{unit}]" + ("" if q.whole else ", computed in part"))
        for part in PARTS:
            estimate = q.uncertainty.get(part)
            lines.append(f"    {part:<12} {'no estimate' if estimate is None else _told(q.value, estimate)}")
    for title, one in (("density", record.density), ("reference temperature", record.reference_temperature)):
        said = "not known" if one is None else f"{float(one.value):g} {one.unit or '(unit not known)'}"
        lines.append(f"  {title}: {said}")
    lines += [wrapped("note", note, 2) for note in notes_of(record, record.properties)]
    return "\n".join(lines)


def _told(value: Any, estimate: Any) -> str:
    """A part of an uncertainty in a line."""
    largest = float(np.nanmax(np.abs(value), initial=0)) or 1.0
    more = f" and {len(estimate.lacks) - 3} more" if len(estimate.lacks) > 3 else ""
    lacks = f"; without {', '.join(estimate.lacks[:3])}{more}" if estimate.lacks else ""
    percent = 100 * float(np.nanmax(estimate.std)) / largest
    return f"{percent:.2g} % of the largest component ({', '.join(estimate.contains)}{lacks})"


def _without_record(source: str | Path, keys: Any) -> tuple[list[Path], str]:
    files, _, text = export(source, keys)
    return files, text


_OF_ALL = ("time", "size", "density", "temperature")
#: Keys that a property record tells of instead of refusing them.
TOLERATED = ("units",)
FORMATS = {
    "json": Format("a property record in SI units", _OF_ALL, _without_record),
    **{
        name: Format(
            f"a material card for {form.title}",
            ("units", "name", "axes", "threshold", "properties", *_OF_ALL),
            _without_record,
        )
        for name, form in CARDS.items()
    },
}
