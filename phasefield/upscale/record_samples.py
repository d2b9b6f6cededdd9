"""Records of many microstructures: statistics over samples, and predictions of a surrogate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ConfigError, Unreadable
from ..mechanics.properties import PROPERTIES
from ..mechanics.tensors import Array
from ..store import open_dataset
from .record import PARTS, Between, Estimate, Quantity, Record, tensor
from .record_origin import flat, origin
from .record_properties import SETTING, density_of, parameter_part, parameters_of, phases_of, temperature_of, unit_of

#: What a prediction tells of its surrogate.
_SURROGATE = ("surrogate_median_error", "surrogate_p95_error", "surrogate_test_samples")


def read_statistics(path: Path, data: Any, choice: Any) -> Record:
    """The record of the mean over the samples of one size, by default the largest."""
    groups = [n for n in PROPERTIES if n in _groups(path)]
    if not groups:
        raise ConfigError(str(path), "holds the statistics of no property")
    properties = {}
    for name in groups:
        with open_dataset(path, group=name) as group:
            properties[name] = _mean(_of_size(group, choice.size).load(), name, data.attrs.get("confidence"))
    return _record(_of_size(data, choice.size).load() if "size" in data.dims else data, "statistics", properties)


def read_prediction(path: Path, data: Any, choice: Any) -> Record:
    """The record of what a surrogate predicts."""
    data = data.squeeze("time", drop=True) if data.sizes.get("time") == 1 else data
    names = [n for n in PROPERTIES if n in data]
    if not names:
        raise ConfigError(str(path), "holds no effective property")
    if more := set(data[names[0]].dims) - {"row", "column", "i", "j"}:
        raise ConfigError(
            str(path), f"holds predictions along {', '.join(map(str, more))}", "a record is of one of them"
        )
    properties = {}
    for name in names:
        parts: dict[str, Estimate | None] = dict.fromkeys(PARTS)
        if f"{name}_model_std" in data:
            parts["model"] = _estimate(data[f"{name}_model_std"], "test error of the surrogate")
        parts["parameter"] = parameter_part(data, name)
        properties[name] = tensor(name, data[name].values, unit_of(data[name], name), uncertainty=parts)
    return _predicted(_record(data.load(), "prediction", properties), data.attrs)


def _predicted(record: Record, attrs: Mapping[str, Any]) -> Record:
    """The record with what it says of its surrogate, and a note where the query was beyond the training."""
    setting = {**record.setting, **{k: flat(attrs[k]) for k in _SURROGATE if k in attrs}}
    notes = record.notes
    if beyond := str(attrs.get("extrapolated", "")):
        notes = (*notes, f"beyond the training of the surrogate, so that its errors are not known there: {beyond}")
    return replace(record, setting=setting, notes=notes)


def _groups(path: Path) -> set[str]:
    import h5netcdf

    try:
        with h5netcdf.File(path, "r") as file:
            return set(file.groups)
    except OSError as error:
        raise Unreadable(path, f"cannot be read: {error}") from error


def _of_size(data: Any, size: float | None) -> Any:
    sizes = np.asarray(data["size"].values, float) if "size" in data.coords else np.arange(data.sizes["size"])
    if size is None:
        return data.isel(size=int(sizes.argmax()))
    k = int(np.abs(sizes - size).argmin())
    if abs(sizes[k] - size) > 1e-6 * abs(sizes[k]):
        raise ConfigError("size", f"is {size:g}; the file has {', '.join(f'{s:g}' for s in sizes)}")
    return data.isel(size=k)


def _mean(data: Any, name: str, level: Any) -> Quantity:
    """The mean of a property; its statistical uncertainty is that of a mean, the scatter of one sample stands beside it.

    Args:
        level: of the confidence interval, None if it is not said.
    """
    samples = int(data["samples"])
    parts: dict[str, Estimate | None] = dict.fromkeys(PARTS)
    for part in ("numerical", "model", "parameter"):
        if f"{part}_std" in data:
            parts[part] = _estimate(data[f"{part}_std"], "mean over the samples")
    between = None
    if samples > 1:
        std = np.asarray(data["std"].values, float)
        parts["statistical"] = Estimate(
            std / math.sqrt(samples), (f"{samples} samples",), _listed(data["std"].attrs.get("lacks"))
        )
        between = Between(
            samples,
            std,
            _values(data, "ci_low"),
            _values(data, "ci_high"),
            None if level is None else float(level),
            float(data["size"]) if "size" in data.coords else None,
            str(data["size"].attrs.get("units", "")) or None if "size" in data.coords else None,
        )
    return tensor(name, data["mean"].values, unit_of(data["mean"], name), uncertainty=parts, between=between)


def _values(data: Any, name: str) -> Array | None:
    return np.asarray(data[name].values, float) if name in data else None


def _estimate(variable: Any, source: str) -> Estimate | None:
    """A part as a file gives it, with the file's word on what is in it, and ``source`` where it says nothing."""
    std = np.asarray(variable.values, float)
    contains, lacks = (_listed(variable.attrs.get(word)) for word in ("contains", "lacks"))
    return Estimate(std, contains or (source,), lacks) if np.isfinite(std).any() else None


def _listed(text: Any) -> tuple[str, ...]:
    """An attribute that lists something."""
    return tuple(w.strip() for w in str(text or "").split(",") if w.strip())


def _record(data: Any, kind: str, properties: dict[str, Quantity]) -> Record:
    attrs = data.attrs
    setting = {k: flat(attrs[k]) for k in SETTING if flat(attrs.get(k, ""))}
    if "size" in data.coords and not data["size"].dims:
        setting["size"] = f"{float(data['size']):g} {data['size'].attrs.get('units', '')}".strip()
    return Record(
        str(attrs["title"]),
        kind,
        str(attrs.get("material", "")),
        str(attrs.get("material_source", "")),
        properties,
        density_of(data),
        temperature_of(attrs),
        phases_of(data),
        str(attrs.get("boundary", "")),
        setting,
        parameters_of(data),
        origin(attrs),
        tuple(n for n in str(attrs.get("notes", "")).splitlines() if n),
    )
