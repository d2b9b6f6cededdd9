"""Samples that are computed already: files of effective properties, read as what statistics are made of."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from ..homogenize.problem import varying
from ..mechanics import tensors
from ..mechanics.properties import PROPERTIES
from ..store import open_dataset
from .batches import Source
from .measuring import Measured, Values
from .record_properties import parameter_part, sharp

#: Attributes of files of effective properties that must be the same of all samples.
_SAME = ("material", "reference_temperature", "voxel", "boundary", "plane", "scheme", "precision")
#: The unit of the spacing where a file has it nowhere else, in what it tells of where it is from: "1.0859 nm, of the file".
_UNIT = re.compile(r"([^\W\d_]\S*), of the file$")


def of_properties(source: Source, key: str) -> Measured:
    """A sample from a file of effective properties, its last snapshot.

    Raises:
        Unreadable: it cannot be read.
    """
    with open_dataset(source.path) as data:
        data = data.isel(time=-1) if "time" in data.dims else data
        data.load()
    attrs = data.attrs
    shape = [int(n) for n in np.atleast_1d(attrs["image_shape"])]
    spacing = [float(h) for h in np.atleast_1d(attrs["image_spacing"])]
    pairs = [(n, h) for n, h in zip(shape, spacing, strict=True) if n > 1]
    edge = math.prod(n * h for n, h in pairs) ** (1 / len(pairs))
    values = {str(n): _values_of(data, str(n)) for n in data.data_vars if n in PROPERTIES}
    ratio = next((float(data[n]) for n in data.data_vars if str(n).endswith("_scale_ratio")), math.nan)
    least = min(n * h for n, h in pairs)
    names, shares = [str(p) for p in data["phase"].values], data["volume_fraction"].values
    phases = [str(p) for p in data["material_phase"].values] if "material_phase" in data else names
    sums: dict[str, float] = {}
    for name, share in zip(phases, shares, strict=True):
        sums[name] = sums.get(name, 0.0) + float(share)
    facts: dict[str, Any] = {n: str(attrs.get(n, "")) for n in _SAME}
    facts |= {"constants of the phases": _constants(data), "spacing": spacing, "unit": _unit(attrs), "axes": len(shape)}
    facts["unit of density"] = str(data["density"].attrs.get("units", "1")) if "density" in data else ""
    text = "\n".join(str(data[n].attrs.get("warnings", "")) for n in values)
    warnings = [w for w in dict.fromkeys(text.split("\n")) if w and not w.startswith("the cell is small")]
    return Measured(
        str(source.path), key, round(math.prod(n for n, _ in pairs) ** (1 / len(pairs))), edge, varying(shape), ratio * least,
        str(attrs.get("boundary", "periodic")), list(sums), list(sums.values()), values, facts, warnings,
        density=(_number(data, "density"), _number(data, "density_parameter_std")),
    )  # fmt: skip


def _number(data: Any, name: str) -> float:
    return float(data[name]) if name in data else math.nan


def _constants(data: Any) -> dict[str, Any]:
    """The tensors of the phases, by property and phase."""
    names = [n for n in map(str, data.data_vars) if n.startswith("constituent_") and "constituent" in data[n].dims]
    return {
        f"{name.removeprefix('constituent_')} of {phase}": np.asarray(values, float).tolist()
        for name in names
        for phase, values in zip(data["constituent"].values, data[name].values, strict=True)
    }


def _unit(attrs: Any) -> str:
    """The unit of the lengths of an image that was homogenized; empty where nobody told one."""
    if "image_spacing_unit" in attrs:
        return str(attrs["image_spacing_unit"])
    told = str(attrs.get("image_spacing_from", ""))
    found = _UNIT.search(told)
    return "m" if told.endswith("given") else found.group(1) if found else ""


def _values_of(data: Any, name: str) -> Values:
    variable = data[name]
    elastic = PROPERTIES[name].order == 4

    def tensor(of: str) -> Any:
        found = np.asarray(data[of].values, float)
        return tensors.from_voigt(found) if elastic else found

    others = {n: tensor(f"{name}_{n}") for n in ("voigt", "reuss", "kinematic", "static") if f"{name}_{n}" in data}
    margins = [float(data[v]) for v in data.data_vars if str(v).startswith(f"{name}_margin_")]
    margins = margins or [float(data[f"{name}_{n}"]) for n in ("voigt_margin", "reuss_margin") if f"{name}_{n}" in data]
    parts = {n: float(data[f"{name}_{n}"]) for n in ("discretisation", "mixing_spread") if f"{name}_{n}" in data}
    spread = parameter_part(data, name)
    return Values(
        str(variable.attrs.get("units", "1")), tensor(name), others, min(margins, default=math.nan), parts,
        float(data.attrs.get("tolerance", 0.0)), sharp(data),
        None if spread is None else tensor(f"{name}_parameter_std"), [] if spread is None else list(spread.lacks),
    )  # fmt: skip
