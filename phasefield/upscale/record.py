"""A property record: effective properties in SI units, where they come from, and how uncertain every number is.

The uncertainty of a number has four parts (`PARTS`), each a standard uncertainty in the unit of the number (JCGM 100:2008, the
GUM): what is known of it stands there, and what is not is None, never zero. docs/record.md says what each is estimated from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..mechanics import tensors
from ..mechanics.properties import PROPERTIES
from ..mechanics.tensors import Array

#: What a record is known by, and the version of its schema that is written and the latest that is read.
SCHEMA, VERSION = "phasefield property record", 1
#: The parts of an uncertainty: voxels and solver; mixing rule and boundary; between samples; constants of the phases.
PARTS = ("numerical", "model", "statistical", "parameter")


@dataclass(frozen=True)
class Estimate:
    """One part of an uncertainty.

    Attributes:
        std: standard uncertainty, shaped as the value; NaN where there is no estimate of a component.
        contains: what it was estimated from. lacks: what belongs to the part and is not known.
    """

    std: Array
    contains: tuple[str, ...]
    lacks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Between:
    """The spread between samples of one size.

    Attributes:
        samples: how many. std: standard deviation of one sample. ci_low, ci_high: confidence interval of the mean, or None.
        level: of the interval. size: edge length of a sample, None if unknown, with its unit.
    """

    samples: int
    std: Array
    ci_low: Array | None = None
    ci_high: Array | None = None
    level: float | None = None
    size: float | None = None
    size_unit: str | None = None


@dataclass(frozen=True)
class Quantity:
    """A number or tensor with its unit and uncertainty.

    Attributes:
        value: a number (shape ()), a tensor of order 2 (3, 3), or a stiffness (6, 6) in Voigt form (engineering shear strains);
            NaN where it was not computed.
        unit: SI; ``1`` if it has no dimension, None if it is not known because the constants came without units.
        components: names of the rows and columns; empty for a number.
        uncertainty: the parts of `PARTS`, None where there is no estimate. between: the samples, if it is a mean of some.
        evidence: named numbers that tell how far the value can be trusted. notes: for the reader.
    """

    value: Array
    unit: str | None
    components: tuple[str, ...] = ()
    uncertainty: Mapping[str, Estimate | None] = field(default_factory=lambda: dict.fromkeys(PARTS))
    between: Between | None = None
    evidence: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether all components were computed."""
        return bool(np.isfinite(self.value).all())

    @property
    def mandel(self) -> Array:
        """The tensor as it is computed with: a stiffness (6, 6) in Mandel form, others (3, 3)."""
        return tensors.from_voigt(self.value) if self.value.shape == (6, 6) else self.value

    @property
    def std(self) -> Array | None:
        """The known parts together (root of the sum of squares, as they are independent), None if none is known."""
        known = [e.std for e in self.uncertainty.values() if e is not None]
        return np.sqrt(np.sum(np.square(known), axis=0)) if known else None


def number(value: float, unit: str | None, **more: Any) -> Quantity:
    """A number without components."""
    return Quantity(np.asarray(float(value)), unit, **more)


def tensor(name: str, value: Array, unit: str | None, **more: Any) -> Quantity:
    """An effective property by its name out of `PROPERTIES`, as the files hold it."""
    names = tensors.NAMES if PROPERTIES[name].order == 4 else tensors.AXES
    return Quantity(np.asarray(value, float), unit, names, **more)


@dataclass(frozen=True)
class Input:
    """A file that the record rests on; ``sha256`` is None where it could not be read any more."""

    role: str
    path: str
    sha256: str | None


@dataclass(frozen=True)
class Provenance:
    """Who made the numbers, from what: the program that computed them and the one that wrote the record (``exported``)."""

    source: str
    commit: str
    command: str
    config: str
    created: str
    inputs: tuple[Input, ...]
    exported: Mapping[str, str]


@dataclass(frozen=True)
class Parameter:
    """An uncertain constant of a phase, ``PHASE.CONSTANT``; ``kind`` is aleatoric or epistemic, empty where it is not said."""

    name: str
    value: float
    std: float | None
    unit: str
    kind: str = ""


@dataclass(frozen=True)
class Record:
    """Effective properties of one material.

    Attributes:
        title: what it is of. kind: ``sample`` (one microstructure), ``statistics`` (the mean of several) or ``prediction``.
        material: its name. material_source: where its constants are from.
        properties: by name. density, reference_temperature: None where unknown.
        phases: volume fractions by phase. boundary: condition on the faces of the cell. setting: how it was computed, texts.
        notes: for the reader.
    """

    title: str
    kind: str
    material: str
    material_source: str
    properties: Mapping[str, Quantity]
    density: Quantity | None
    reference_temperature: Quantity | None
    phases: Mapping[str, Quantity]
    boundary: str
    setting: Mapping[str, str]
    parameters: tuple[Parameter, ...]
    provenance: Provenance
    notes: tuple[str, ...] = ()

    @property
    def united(self) -> bool:
        """Whether the units of all values are known."""
        known = [*self.properties.values(), *([self.density] if self.density else [])]
        return all(q.unit is not None for q in known)


# -- as JSON -----------------------------------------------------------------------------------------------------------


def to_dict(record: Record) -> dict[str, Any]:
    """The record as JSON holds it (docs/record.md); what is not known is None."""
    at = record.provenance
    return {
        "schema": SCHEMA,
        "schema_version": VERSION,
        "title": record.title,
        "kind": record.kind,
        "material": {"name": record.material, "source": record.material_source},
        "reference_temperature": _quantity(record.reference_temperature),
        "density": _quantity(record.density),
        "phases": [{"name": n, "volume_fraction": _quantity(q)} for n, q in record.phases.items()],
        "boundary": record.boundary,
        "setting": dict(record.setting),
        "properties": {name: _quantity(q) for name, q in record.properties.items()},
        "parameters": [vars(p).copy() for p in record.parameters],
        "provenance": {
            "source": at.source, "commit": at.commit, "command": at.command, "config": at.config, "created": at.created,
            "inputs": [vars(i).copy() for i in at.inputs], "exported": dict(at.exported),
        },
        "notes": list(record.notes),
    }  # fmt: skip


def from_dict(data: Mapping[str, Any]) -> Record:
    """The inverse of `to_dict`, of what its schema has found valid."""
    at = data["provenance"]
    return Record(
        data["title"],
        data["kind"],
        data["material"]["name"],
        data["material"]["source"],
        {name: _from(q) for name, q in data["properties"].items()},
        _from(data["density"]) if data["density"] else None,
        _from(data["reference_temperature"]) if data["reference_temperature"] else None,
        {p["name"]: _from(p["volume_fraction"]) for p in data["phases"]},
        data["boundary"],
        data["setting"],
        tuple(Parameter(**p) for p in data["parameters"]),
        Provenance(**{**at, "inputs": tuple(Input(**i) for i in at["inputs"])}),
        tuple(data["notes"]),
    )


def _quantity(q: Quantity | None) -> dict[str, Any] | None:
    if q is None:
        return None
    parts = {
        name: None if e is None else {"std": plain(e.std), "contains": list(e.contains), "lacks": list(e.lacks)}
        for name, e in ((n, q.uncertainty.get(n)) for n in PARTS)
    }
    b = q.between
    between = b and {
        "samples": b.samples, "std": plain(b.std), "ci_low": plain(b.ci_low), "ci_high": plain(b.ci_high),
        "level": b.level, "size": b.size, "size_unit": b.size_unit,
    }  # fmt: skip
    out: dict[str, Any] = {"unit": q.unit, "value": plain(q.value), "uncertainty": parts}
    if q.components:
        form = "Voigt matrix, engineering shear strains" if len(q.components) == 6 else "tensor of order 2"
        out |= {"form": form, "components": list(q.components)}
    evidence = {n: v if math.isfinite(v) else None for n, v in q.evidence.items()}
    return out | {"between_samples": between, "evidence": evidence, "notes": list(q.notes)}


def _from(data: Mapping[str, Any]) -> Quantity:
    parts = {
        name: None if e is None else Estimate(_array(e["std"]), tuple(e["contains"]), tuple(e["lacks"]))
        for name, e in data["uncertainty"].items()
    }
    between = None
    if b := data["between_samples"]:
        arrays = {n: None if b[n] is None else _array(b[n]) for n in ("ci_low", "ci_high")}
        between = Between(**{**b, "std": _array(b["std"]), **arrays})
    evidence = {n: math.nan if v is None else v for n, v in data["evidence"].items()}
    return Quantity(
        _array(data["value"]),
        data["unit"],
        tuple(data.get("components", ())),
        parts,
        between,
        evidence,
        tuple(data["notes"]),
    )


def plain(value: Array | None) -> Any:
    """Numbers as lists, None for what is not finite: JSON knows no NaN."""
    if value is None:
        return None
    values = np.asarray(value, float)
    out = values.astype(object)
    out[~np.isfinite(values)] = None
    return out.tolist()


def _array(value: Any) -> Array:
    return np.asarray(np.array(value, object) if value is None else value, float)
