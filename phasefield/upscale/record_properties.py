"""The record of one microstructure: properties.nc, as homogenize writes it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ConfigError
from ..mechanics.properties import PROPERTIES
from ..mechanics.tensors import Array
from . import record_evidence
from .record import PARTS, Estimate, Parameter, Quantity, Record, number, tensor
from .record_origin import flat, origin

#: Numbers beside a tensor that tell how far it can be trusted.
EVIDENCE = (
    "discretisation", "mixing_spread", "boundary_gap", "certified_gap", "hill_mandel", "asymmetry", "lowest_eigenvalue",
    "voigt_margin", "reuss_margin", "distance_isotropic", "distance_cubic", "levin", "scale_ratio",
)  # fmt: skip
#: What of the file's attributes says how the properties were computed.
SETTING = (
    "voxel", "plane", "scheme", "tolerance", "precision", "seed", "image_shape", "image_spacing", "image_spacing_from",
    "image_boundary", "image_axes", "image_levels", "image_values", "image_phases",
)  # fmt: skip


def read(path: Path, data: Any, choice: Any) -> Record:
    """The record of one snapshot, by default the last."""
    at = data.isel(time=_chosen(data, choice.time)).load() if "time" in data.dims else data.load()
    names = [n for n in PROPERTIES if n in at]
    if not names:
        raise ConfigError(str(path), "holds no effective property")
    attrs = at.attrs
    properties = {name: _property(at, name) for name in names}
    setting = {k: flat(attrs[k]) for k in SETTING if flat(attrs.get(k, ""))}
    if "time" in at.coords:
        setting["time"] = f"{float(at.time):.10g}"
    return Record(
        str(attrs["title"]),
        "sample",
        str(attrs.get("material", "")),
        str(attrs.get("material_source", "")),
        properties,
        density_of(at),
        temperature_of(attrs),
        phases_of(at),
        str(attrs.get("boundary", "")),
        setting,
        parameters_of(at),
        origin(attrs),
        tuple(n for n in str(attrs.get("notes", "")).splitlines() if n),
    )


def _chosen(data: Any, time: float | None) -> int:
    if time is None:
        return data.sizes["time"] - 1
    times = np.asarray(data.time.values, float) if "time" in data.coords else np.array([])
    if not times.size:
        raise ConfigError("time", f"is {time:g}, but the file has no times", "leave it out")
    k = int(np.abs(times - time).argmin())
    if abs(times[k] - time) > 1e-6 * max(abs(time), abs(times[k])):
        raise ConfigError("time", f"is {time:g}; the file has {', '.join(f'{t:g}' for t in times[:20])}")
    return k


def unit_of(variable: Any, name: str) -> str | None:
    """The unit of a property, None where the constants of its phases had none."""
    unit = str(variable.attrs.get("units", "1"))
    return None if unit == "1" != PROPERTIES[name].unit else unit


def _property(data: Any, name: str) -> Quantity:
    variable = data[name]
    value = np.asarray(variable.values, float)
    evidence = {e: float(data[f"{name}_{e}"]) for e in EVIDENCE if f"{name}_{e}" in data}
    attrs = data.attrs

    def other(word: str) -> Array | None:
        return np.asarray(data[f"{name}_{word}"].values, float) if f"{name}_{word}" in data else None

    parts: dict[str, Estimate | None] = dict.fromkeys(PARTS)
    if PROPERTIES[name].positive:  # of stress-free strains no energy is estimated
        parts["numerical"] = record_evidence.numerical(value, evidence, float(attrs.get("tolerance", 0.0)))
        faces = other("kinematic"), other("static")
        parts["model"] = record_evidence.model(value, evidence, *faces, sharp(data))
    parts["parameter"] = parameter_part(data, name)
    warnings = str(variable.attrs.get("warnings", "")).splitlines()
    return tensor(
        name,
        value,
        unit_of(variable, name),
        uncertainty=parts,
        evidence=evidence,
        notes=tuple(w for w in warnings if w),
    )


def sharp(data: Any) -> bool:
    """Whether no voxel holds two phases; files that do not say it yet are asked whether they are of a field."""
    return not int(data["diffuse"]) if "diffuse" in data else "image_levels" not in data.attrs


def parameter_part(data: Any, name: str) -> Estimate | None:
    """What the uncertain constants of the phases make of a property; None where none that it depends on has an uncertainty."""
    if f"{name}_parameter_std" not in data:
        return None
    std = np.asarray(data[f"{name}_parameter_std"].values, float)
    if not (np.isfinite(std) & (std > 0)).any():
        return None
    return Estimate(std, ("constants of the phases",), tuple(p.name for p in _felt(data, name) if p.std is None))


def _felt(data: Any, name: str) -> list[Parameter]:
    """The constants that a property depends on; all of them where its derivatives are not there."""
    known = parameters_of(data)
    if f"{name}_sensitivity" not in data:
        return list(known)
    slopes = data[f"{name}_sensitivity"]
    size = np.abs(slopes).max([d for d in slopes.dims if d != "parameter"])
    felt = {str(p) for p, s in zip(data["parameter"].values, np.asarray(size.values, float), strict=True) if s > 0}
    return [p for p in known if p.name in felt]


def parameters_of(data: Any) -> tuple[Parameter, ...]:
    """The constants of the phases that may be uncertain."""
    if "parameter" not in data.coords:
        return ()

    def column(name: str, missing: Any) -> list[Any]:
        there = f"parameter_{name}" in data
        return (
            np.atleast_1d(data[f"parameter_{name}"].values).tolist() if there else [missing] * data.sizes["parameter"]
        )

    columns = zip(
        map(str, data.parameter.values),
        column("value", math.nan),
        column("std", math.nan),
        column("unit", "1"),
        column("kind", ""),
        strict=True,
    )
    out = [
        Parameter(name, float(value), float(std) if math.isfinite(std) else None, str(unit), str(kind))
        for name, value, std, unit, kind in columns
    ]
    return tuple(p for p in out if math.isfinite(p.value))


def phases_of(data: Any) -> dict[str, Quantity]:
    """Volume fractions of the phases of the material; grains of one phase are counted together."""
    if "volume_fraction" not in data:
        return {}
    names = data["material_phase"].values if "material_phase" in data.coords else data["phase"].values
    shares: dict[str, float] = {}
    for name, share in zip(map(str, names), np.asarray(data["volume_fraction"].values, float), strict=True):
        shares[name] = shares.get(name, 0.0) + float(share)
    return {name: number(share, "1") for name, share in shares.items()}


def density_of(data: Any) -> Quantity | None:
    """The density, if the phases have one."""
    if "density" not in data or not np.isfinite(float(data["density"])):
        return None
    unit = str(data["density"].attrs.get("units", "1"))
    parts: dict[str, Estimate | None] = dict.fromkeys(PARTS)
    if "density_parameter_std" in data and np.isfinite(float(data["density_parameter_std"])):
        lacks: list[str] = []
        if "constituent_density_std" in data:
            known = np.isfinite(data["constituent_density_std"].values) | (data["constituent_density"].values == 0)
            lacks = [f"{n}.density" for n, k in zip(data["constituent"].values, known, strict=True) if not k]
        std = np.asarray(float(data["density_parameter_std"]))
        parts["parameter"] = Estimate(std, ("densities of the phases",), tuple(lacks))
    return number(float(data["density"]), unit if unit != "1" else None, uncertainty=parts)


def temperature_of(attrs: Mapping[str, Any]) -> Quantity | None:
    """The temperature that the constants are of, if it is said."""
    value = attrs.get("reference_temperature")
    return None if value is None else number(float(value), "K")
