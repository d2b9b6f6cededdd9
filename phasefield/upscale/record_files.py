"""Records in files: JSON by the published schema (upscale/schema/), and the same record as NetCDF."""

from __future__ import annotations

import json
import os
import re
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ConfigError, OutputError, Unreadable
from ..store import open_dataset, write_dataset, write_text
from .record import PARTS, SCHEMA, VERSION, Record, from_dict, plain, to_dict

#: How the title of the NetCDF twin begins.
TITLE = "Property record: "
#: A list of numbers in indented JSON, which is written in one line.
_ROW = re.compile(r"\[\s+((?:(?:-?\d[\d.eE+-]*|null),?\s+)+)\]")


@cache
def schema(version: int = VERSION) -> dict[str, Any]:
    """The JSON Schema of a version of the record."""
    text = (
        resources.files(__package__).joinpath("schema", f"property_record_{version}.json").read_text(encoding="utf-8")
    )
    found: dict[str, Any] = json.loads(text)
    return found


def check(data: Any, at: object) -> None:
    """Refuses what is no valid record.

    Args:
        at: the file, for the message.

    Raises:
        Unreadable: another thing, a newer schema, or the first place where it departs from the schema.
    """
    import jsonschema

    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise Unreadable(at, f'is no property record (it lacks "schema": "{SCHEMA}")')
    found = data.get("schema_version")
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise Unreadable(at, f"has schema_version {found!r}; a whole number from 1 to {VERSION} is expected")
    if found > VERSION:
        raise Unreadable(
            at,
            f"is a property record of schema version {found}, newer than {VERSION}, the latest that is known here\n"
            "  update phasefield, or export the record again with this version",
        )
    error = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(schema(found)).iter_errors(data))
    if error is not None:
        place = ".".join(str(p) for p in error.absolute_path) or "the record"
        raise Unreadable(at, f"departs from schema version {found} at {place}: {error.message[:200]}")
    for name, q in _quantities(data):
        shape = [len(q.get("components", ()))] * 2 if q.get("components") else []
        arrays = {
            "value": q["value"],
            **{f"uncertainty.{p}.std": (q["uncertainty"][p] or {}).get("std") for p in PARTS},
        }
        if between := q["between_samples"]:
            arrays |= {f"between_samples.{k}": between[k] for k in ("std", "ci_low", "ci_high")}
        for part, values in arrays.items():
            if (values is not None or part == "value") and list(np.shape(np.array(values, object))) != shape:
                raise Unreadable(at, f"{name}.{part} is not of {' x '.join(map(str, shape)) or 'one number'}")
        value = np.asarray(np.array(q["value"], object), float)
        if shape and not np.allclose(
            value, value.T, rtol=1e-9, atol=1e-12 * np.nanmax(np.abs(value), initial=0), equal_nan=True
        ):
            raise Unreadable(at, f"{name}.value is not symmetric")


def _quantities(data: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """All numbers with their places."""
    named = [(f"properties.{n}", q) for n, q in data["properties"].items()]
    named += [(n, data[n]) for n in ("density", "reference_temperature") if data[n]]
    return named + [(f"phases.{p['name']}", p["volume_fraction"]) for p in data["phases"]]


def holds_record(path: Path) -> bool:
    """Whether a file is a record, of any version: such a one may be replaced by another."""
    try:
        if path.suffix.lower() == ".json":
            return json.loads(path.read_text(encoding="utf-8")).get("schema") == SCHEMA
        with open_dataset(path) as data:
            return str(data.attrs.get("title", "")).startswith(TITLE)
    except (OSError, ValueError, AttributeError, Unreadable):
        return False


def read_json(path: Path) -> Record:
    """A record from its JSON file.

    Raises:
        Unreadable: no such file, no JSON, no valid record, or one of a newer schema.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_number)
    except OSError as error:
        raise Unreadable(path, f"cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise Unreadable(path, f"is no JSON: {error}") from error
    check(data, path)
    return from_dict(data)


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is no number there; what is not known is null")


def write(record: Record, path: Path) -> tuple[Path, Path]:
    """Writes the JSON file and its NetCDF twin beside it; the two paths.

    Raises:
        Unreadable: the record is not valid (nothing is written). OutputError: a file cannot be written.
    """
    data = to_dict(record)
    check(data, path)
    twin = path.with_suffix(".nc")
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False)
    write_text(path, _ROW.sub(lambda m: f"[{' '.join(m[1].split())}]", text) + "\n")
    write_dataset(to_dataset(record), twin)
    return path, twin


# -- NetCDF ------------------------------------------------------------------------------------------------------------


def to_dataset(record: Record) -> Any:
    """The record as an `xarray.Dataset`: every number a variable, the rest as JSON in the variable ``record``."""
    import xarray

    rest = to_dict(record)
    variables: dict[str, Any] = {}
    coords: dict[str, Any] = {}
    for place, q in _quantities(rest):
        name = _variable(place)
        elastic = len(q.get("components", ())) == 6
        dims = () if not q.get("components") else ("row", "column") if elastic else ("i", "j")
        for d in dims:
            coords[d] = (d, q["components"])
        unit = {"units": q["unit"]} if q["unit"] else {"comment": "its unit is not known"}
        for key, values, text in _arrays(q):
            variables[f"{name}{key}"] = (
                dims,
                np.asarray(np.array(values, object), float),
                {**unit, "long_name": f"{place}{text}"},
            )
        _hollow(q)
    variables["record"] = ((), json.dumps(rest, ensure_ascii=False), {"long_name": "what has no axes, as JSON"})
    attrs = {
        "title": f"{TITLE}{record.title}",
        "source": record.provenance.source,
        "git_commit": record.provenance.commit,
        "command": record.provenance.command,
        "schema": f"{SCHEMA}, version {VERSION}",
        "material": record.material,
        "boundary": record.boundary,
    }
    return xarray.Dataset(variables, coords, attrs)


def _variable(place: str) -> str:
    """The name of a number in the NetCDF file."""
    return place.removeprefix("properties.").replace("phases.", "volume_fraction_").replace("/", "_")


def _arrays(q: dict[str, Any]) -> list[tuple[str, Any, str]]:
    """The numbers of a quantity: what ends the name of its variable, values, what they are."""
    out = [("", q["value"], "")]
    out += [
        (f"_{p}_std", q["uncertainty"][p]["std"], f": {p} standard uncertainty") for p in PARTS if q["uncertainty"][p]
    ]
    if between := q["between_samples"]:
        texts = {
            "std": "standard deviation between samples",
            "ci_low": "lower limit of the mean",
            "ci_high": "upper limit of the mean",
        }
        out += [(f"_between_{k}", between[k], f": {text}") for k, text in texts.items() if between[k] is not None]
    return out


def _hollow(q: dict[str, Any]) -> None:
    """Takes the numbers out of a quantity that lie in variables."""
    q["value"] = None
    for part in q["uncertainty"].values():
        if part:
            part["std"] = None
    if between := q["between_samples"]:
        for key in ("std", "ci_low", "ci_high"):
            between[key] = False if between[key] is None else None


def from_dataset(data: Any, path: object) -> Record:
    """The record of a NetCDF twin.

    Raises:
        Unreadable: it is not valid, or of a newer schema.
    """
    try:
        rest = json.loads(str(np.asarray(data["record"].values).item()))
        if rest["schema_version"] <= VERSION:
            for place, q in _quantities(rest):
                _fill(data, _variable(place), q)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Unreadable(path, f"is a damaged property record: {error}") from error
    check(rest, path)
    return from_dict(rest)


def _fill(data: Any, name: str, q: dict[str, Any]) -> None:
    """Puts the numbers back that `_hollow` took out."""

    def values(key: str) -> Any:
        return plain(data[f"{name}{key}"].values)

    q["value"] = values("")
    for part, estimate in q["uncertainty"].items():
        if estimate:
            estimate["std"] = values(f"_{part}_std")
    if between := q["between_samples"]:
        for key in ("std", "ci_low", "ci_high"):
            between[key] = None if between[key] is False else values(f"_between_{key}")


def replaceable(path: Path) -> None:
    """Refuses a target that is there and is no record.

    Raises:
        OutputError: such a file.
    """
    for each in (path, path.with_suffix(".nc")):
        if os.path.isdir(each) or (os.path.exists(each) and not holds_record(each)):
            raise OutputError(
                f"{each}: is there and is no property record; only such are replaced\n  give another file, output=NAME.json"
            )


def target_json(output: str | Path) -> Path:
    """The JSON file of an output that may be given without its ending.

    Raises:
        ConfigError: an ending of something else.
    """
    path = Path(output)
    if not path.name or path.is_dir():
        raise ConfigError("output", f"{path} is a folder", "give a file, output=NAME.json")
    if path.suffix.lower() not in (".json", ".nc", ""):
        raise ConfigError("output", f"is {path.name!r}; format=json writes NAME.json and NAME.nc", "end it with .json")
    return path.with_suffix(".json")
