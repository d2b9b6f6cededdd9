"""properties.nc: tensors, evidence, local fields and descriptors of all snapshots as one dataset."""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import Unreadable
from ..images.image import Image
from ..mechanics import tensors
from ..mechanics.phases import MaterialSystem
from ..mechanics.properties import PROPERTIES, STRAINS
from ..mechanics.tensors import Array
from ..provenance import git_commit, version
from ..store import open_dataset
from ..units import power
from .parameters import parameter_variables
from .problem import Problem
from .records import Record
from .result import Result, computed

#: How the title of the file begins; the file is known by it.
TITLE = "Effective properties of "
_EVIDENCE = {
    "hill_mandel": "Hill-Mandel residual |<s:e> - <s>:<e>| / <s:e>",
    "asymmetry": "norm of the antisymmetric part over the norm, before it is taken out",
    "lowest_eigenvalue": "lowest eigenvalue (Mandel form)",
    "voigt_margin": "lowest eigenvalue of the Voigt bound minus the tensor, relative; not negative",
    "reuss_margin": "lowest eigenvalue of the tensor minus the Reuss bound, relative; not negative",
    "distance_isotropic": "relative distance to the nearest isotropic tensor",
    "distance_cubic": "relative distance to the nearest tensor of cubic symmetry about the axes",
    "discretisation": "estimated relative discretisation error, from grids of half and a quarter of the voxels per axis",
    "mixing_spread": "relative difference to mixing the properties by the value of the field",
    "boundary_gap": "largest relative difference of the energies under uniform strain and uniform traction, over all loads",
    "margin_voigt_kinematic": "lowest eigenvalue of Voigt minus uniform strain (KUBC), relative; not negative",
    "margin_kinematic_periodic": "lowest eigenvalue of uniform strain (KUBC) minus periodic, relative; not negative",
    "margin_periodic_static": "lowest eigenvalue of periodic minus uniform traction (TUBC), relative; not negative",
    "margin_static_reuss": "lowest eigenvalue of uniform traction (TUBC) minus Reuss, relative; not negative",
    "certified_gap": "largest relative difference of the energies of the certified bounds, over all loads",
    "levin": "difference to Levin's exact relation, relative to the largest strain of a phase",
    "scale_ratio": "correlation length over cell size",
}


_OTHERS = {
    "voigt": "Voigt bound",
    "reuss": "Reuss bound",
    "kinematic": "under uniform strain or gradient on the faces (KUBC)",
    "lower": "certified lower bound of the voxel image (stress in equilibrium)",
    "upper": "certified upper bound of the voxel image (continuous displacement or potential)",
    "static": "under uniform traction or flux on the faces (TUBC)",
}


def holds_properties(path: Path) -> bool:
    """Whether a file is one that `dataset` made."""
    try:
        with open_dataset(path) as data:
            return str(data.attrs.get("title", "")).startswith(TITLE)
    except Unreadable:  # a file of another kind
        return False


#: Names of the attributes that say what the image was taken for, where ``image_`` before the word is another's.
_TAKEN = {"spacing": "image_spacing_from"}
#: Powers of a length that descriptors have.
_DESCRIBED = {"interface_area": -1, "correlation_length": 1, "mean_chord": 1}


def dataset(records: list[Record], command: str, notes: Sequence[str] = ()) -> Any:
    """All records as one `xarray.Dataset`; stiffness in Voigt form with labelled components.

    Args:
        records: of the snapshots of one material, the last under the settings asked for. command: as it was given.
    """
    import xarray

    variables: dict[str, Any] = {}
    coords: dict[str, Any] = {}
    if all(r.image.time is not None for r in records):  # an image has no time
        coords["time"] = ("time", [r.image.time for r in records], {"long_name": "time of the snapshot"})
    problem = records[-1].problem
    for k in range(len(records[0].results)):
        series = [r.results[k] for r in records]
        dims = _effective(variables, coords, series, problem)
        _beside(variables, coords, series, dims)
        parameter_variables(variables, coords, series, dims, problem)
        if series[-1].fields:
            _local_fields(variables, coords, series[-1], problem.image, problem.material.united)
        _loaded(variables, coords, series, problem.material)
    _phases(variables, coords, records)
    _constants(variables, coords, problem)
    _describe_variables(variables, coords, records)
    return xarray.Dataset(variables, coords, _attributes(records, command, notes))


def _attributes(records: list[Record], command: str, notes: Sequence[str]) -> dict[str, Any]:
    """What was homogenized, how, and by what."""
    system, request, image = records[-1].problem.material, records[-1].problem.settings, records[0].image
    attrs = {
        "Conventions": "CF-1.11",
        "title": f"{TITLE}{image.source}",
        "source": f"phasefield {version()}",
        "git_commit": git_commit(),
        "command": command,
        "history": f"{datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds')} created by phasefield",
        "material": system.name,
        "material_source": system.source,
        "voxel": request.voxel,
        "scheme": request.solver.scheme,
        "boundary": request.boundary,
        "plane": request.plane if len(image.shape) == 2 else "",
        "tolerance": request.solver.tolerance,
        "precision": request.solver.precision,
        "seed": request.seed,
        "grains": getattr(request.grains, "source", ""),
        "notes": "\n".join(notes),
        "image_shape": list(image.shape),
        "image_spacing": list(image.spacing),
        "image_boundary": " ".join(image.boundary),
    }
    if system.temperature is not None:
        attrs["reference_temperature"] = system.temperature
    attrs |= {_TAKEN.get(what, f"image_{what}"): text for what, text in records[-1].image.taken}
    if image.kind == "field":
        attrs["image_levels"] = list(image.levels)
    if image.unit:
        attrs["image_spacing_unit"] = image.unit
    return attrs


def _effective(
    variables: dict[str, Any], coords: dict[str, Any], series: list[Result], problem: Problem
) -> tuple[str, ...]:
    """The effective tensor over time, and the iterations it took; returns the names of its axes."""
    result = series[0]
    elastic = result.tensor.shape == (6, 6)
    values = np.stack([computed(s.tensor, s.components) for s in series])
    text = {"units": result.unit, "long_name": f"effective {result.name.replace('_', ' ')}"}
    if elastic:
        coords["row"] = ("row", list(tensors.NAMES), {"long_name": "stress component"})
        coords["column"] = ("column", list(tensors.NAMES), {"long_name": "engineering strain component"})
        values, dims = tensors.to_voigt(values), ("time", "row", "column")
        sheet = "; plane stress, in-plane components only" if problem.sheet(result.name) else ""
        text["comment"] = f"Voigt form: engineering shear strains{sheet}"
    else:
        coords["i"] = ("i", list(tensors.AXES))
        coords["j"] = ("j", list(tensors.AXES))
        dims = ("time", "i", "j")
    text["preconditioner"] = result.preconditioner
    if result.warnings:
        text["warnings"] = "\n".join(dict.fromkeys(w for s in series for w in s.warnings))
    variables[result.name] = (dims, values, text)
    load = f"load_{result.name}"
    if labels := _load_labels(result):
        what = "load: mean strain or gradient of 1, in shear an engineering strain of 1"
        coords[load] = (load, labels, {"long_name": what})
    variables[f"{result.name}_iterations"] = (
        ("time", load), [s.iterations for s in series], {"long_name": "iterations of conjugate gradients per load"},
    )  # fmt: skip
    return dims


def _beside(variables: dict[str, Any], coords: dict[str, Any], series: list[Result], dims: tuple[str, ...]) -> None:
    """The evidence, the tensors beside the effective one, bounds and moduli over time."""
    result = series[0]
    for name in result.evidence:
        numbers = [s.evidence.get(name, math.nan) for s in series]
        unit = result.unit if name == "lowest_eigenvalue" else "1"
        variables[f"{result.name}_{name}"] = (("time",), numbers, {"long_name": _EVIDENCE[name], "units": unit})
    others: list[dict[str, Any]] = [{"voigt": s.voigt, "reuss": s.reuss, **s.boundary, **s.certified} for s in series]
    for name, value in others[0].items():
        if value is not None:
            kept = [s.faces if name in s.boundary else s.components for s in series]
            stack = np.stack([computed(o[name], c) for o, c in zip(others, kept, strict=True)])
            stack = tensors.to_voigt(stack) if value.shape == (6, 6) else stack
            text = {"units": result.unit, "long_name": _OTHERS[name]}
            variables[f"{result.name}_{name}"] = (dims, stack, text)
    for name in result.bounds:
        pairs = [s.bounds.get(name, (math.nan, math.nan)) for s in series]
        coords["bound"] = ("bound", ["lower", "upper"])
        label = f"Hashin-Shtrikman bounds of {name}, for isotropic arrangement in a large volume"
        text = {"units": result.unit, "long_name": label}
        variables[f"{result.name}_hashin_shtrikman_{name}"] = (("time", "bound"), pairs, text)
    for name in result.moduli:
        numbers = [s.moduli[name] for s in series]
        text = {"units": "1" if name == "nu" else result.unit, "long_name": f"{name} of the nearest isotropic tensor"}
        variables[f"{result.name}_{name}"] = (("time",), numbers, text)


def _phases(variables: dict[str, Any], coords: dict[str, Any], records: list[Record]) -> None:
    """Shares and orientations of the phases of the image, by their labels: grains that come or go have no share in a snapshot."""
    system = records[-1].problem.material
    labels = sorted({label for r in records for label in r.image.labels})
    at = {label: k for k, label in enumerate(labels)}
    fractions = np.zeros((len(records), len(labels)))
    names, turns = [""] * len(labels), np.zeros((len(labels), 3, 3))
    for row, record in enumerate(records):
        place = [at[label] for label in record.image.labels]
        fractions[row, place] = record.fractions
        for k, number in zip(place, record.problem.assignment.phase, strict=True):
            names[k] = system.phases[number].name
        turns[place] = record.problem.assignment.turns
    grains = len(set(names)) < len(names)
    coords["phase"] = ("phase", [f"{label:g}" for label in labels] if grains else names)
    if grains:
        coords["material_phase"] = ("phase", names, {"long_name": "phase of the material that the grain consists of"})
    variables["volume_fraction"] = (("time", "phase"), fractions, {"units": "1"})
    text = {"long_name": "whether voxels hold two phases, so that mixing rules make a difference", "units": "1"}
    variables["diffuse"] = (("time",), np.array([r.diffuse for r in records], np.int8), text)
    pairs = np.array([system.density(r.problem.assignment.phase, r.fractions) for r in records])
    variables |= density_variables(system, pairs, ("time",))
    angles = np.degrees([tensors.euler_from_rotation(turn) for turn in turns])
    coords["angle"] = ("angle", ["phi1", "Phi", "phi2"])
    text = {"units": "degree", "long_name": "Euler angles of the crystal axes (Bunge), crystal to sample"}
    variables["orientation"] = (("phase", "angle"), angles, text)


def density_variables(system: MaterialSystem, pairs: Array, dims: tuple[str, ...]) -> dict[str, Any]:
    """The density, and what it is made of, where anything is known of it; phases are along ``constituent``.

    Args:
        pairs: (..., 2) of axes ``dims``: what `MaterialSystem.density` gives.
    """
    variables: dict[str, Any] = {}
    text = {"units": "kg/m^3" if system.united else "1"}
    constituents = [p.density for p in system.phases]
    if not any(constituents):
        return variables
    variables["density"] = (dims, pairs[..., 0], {**text, "long_name": "density, the mean by volume"})
    if np.isfinite(pairs[..., 1]).any():
        label = "standard uncertainty of the density by those of the phases"
        variables["density_parameter_std"] = (dims, pairs[..., 1], {**text, "long_name": label})
    spreads = [d.spread if d else None for d in constituents]
    for name, values in (
        ("constituent_density", [d.value if d else math.nan for d in constituents]),
        ("constituent_density_std", [s.std if s else math.nan for s in spreads]),
    ):
        variables[name] = (("constituent",), values, {**text, "long_name": name.replace("_", " ")})
    return variables


def _constants(variables: dict[str, Any], coords: dict[str, Any], problem: Problem) -> None:
    """What the phases of the material were taken to be, in the axes of their crystals: 0 is a void, inf is rigid."""
    system, request = problem.material, problem.settings
    needed = [*request.properties, *(["stiffness"] if set(request.properties) & set(STRAINS) else [])]
    coords["constituent"] = ("constituent", [p.name for p in system.phases], {"long_name": "phase of the material"})
    for name in dict.fromkeys(needed):
        elastic = PROPERTIES[name].order == 4
        axes = ("row", "column") if elastic else ("i", "j")
        for axis in axes:
            coords.setdefault(axis, (axis, list(tensors.NAMES if elastic else tensors.AXES)))
        n = 6 if elastic else 3
        values = np.full((len(system.phases), n, n), math.nan)
        for number, phase in enumerate(system.phases):
            value = phase.values.get(name)
            if isinstance(value, float):
                values[number] = np.where(np.eye(n) > 0, value, 0.0)
            elif value is not None:
                values[number] = tensors.to_voigt(value) if elastic else value
        text = {"units": system.unit(name), "long_name": f"{PROPERTIES[name].title} of the phase, in its crystal axes"}
        variables[f"constituent_{name}"] = (("constituent", *axes), values, text)


def _load_labels(result: Result) -> list[str]:
    """Names of the unit loads of a property; none where there are none."""
    names = tensors.NAMES if result.tensor.shape == (6, 6) else tensors.AXES
    return [names[k] for k in result.components]


def _local_fields(
    variables: dict[str, Any], coords: dict[str, Any], result: Result, image: Image, united: bool
) -> None:
    """Local fields of the unit loads, and of the load of the request: their sum, weighted by its mean gradient."""
    space = tensors.AXES[: len(image.shape)]
    for axis, n, h in zip(space, image.shape, image.spacing, strict=True):
        coords[axis] = (axis, (np.arange(n) + 0.5) * h)
    for name, value in result.fields.items():
        component = _component(coords, value.shape[1])
        factor = mandel_factor(name, value.shape[1]).reshape((-1,) + (1,) * len(space))
        text = {"long_name": f"local {name.replace('_', ' ')} for unit loads, last snapshot"} | _convention(name)
        text["units"] = _local_unit(result.name, name) if united else "1"
        shaped = value * factor
        if result.mean is not None:
            weights = result.mean.gradient[list(result.components)]
            sum_ = np.tensordot(weights, value, 1) * factor
            of_load = text | {"long_name": f"local {name.replace('_', ' ')} under the load, last snapshot"}
            variables[f"{result.name}_local_{name}"] = ((component, *space), sum_.astype(np.float32), of_load)
        if result.tensor.shape == (6, 6):  # per engineering shear strain
            shaped[[k for k, c in enumerate(result.components) if c > 2]] /= tensors.FACTOR[-1]
        variables[f"{result.name}_{name}"] = (
            (f"load_{result.name}", component, *space),
            shaped.astype(np.float32),
            text,
        )


def _local_unit(prop: str, name: str) -> str:
    """Unit of a local field, of a stress-free strain that of what a unit of its cause makes."""
    known = PROPERTIES[prop]
    if prop in STRAINS:
        stress = "Pa" if known.unit == "1" else f"Pa {known.unit}".replace(" 1/", "/")
        return stress if name.endswith("stress") else known.unit
    return known.units[0] if name == known.gradient else known.units[1]


def _component(coords: dict[str, Any], size: int) -> str:
    name = "component" if size == 6 else "i"
    coords[name] = (name, list(tensors.NAMES if size == 6 else tensors.AXES))
    return name


def mandel_factor(name: str, size: int) -> Array:
    """From Mandel components to those of the file: engineering shear strains, stresses as they are."""
    if size != 6:
        return np.ones(size)
    return tensors.FACTOR if name.endswith("strain") else 1 / tensors.FACTOR


def _convention(name: str) -> dict[str, str]:
    return {"comment": "engineering shear strains"} if name.endswith("strain") else {}


def _loaded(variables: dict[str, Any], coords: dict[str, Any], series: list[Result], system: MaterialSystem) -> None:
    """Mean gradient and flux under the load of the request."""
    means = [s.mean for s in series if s.mean is not None]
    if not means:
        return
    prop = PROPERTIES[series[0].name]
    for name, unit, part in zip((prop.gradient, prop.flux), prop.units, ("gradient", "flux"), strict=True):
        values = np.stack([getattr(m, part) for m in means])
        size = values.shape[-1]
        text = {"long_name": f"mean {name.replace('_', ' ')} under the load", "units": unit if system.united else "1"}
        dims = ("time", _component(coords, size))
        variables[f"{prop.name}_mean_{name}"] = (dims, values * mandel_factor(name, size), text | _convention(name))


def _describe_variables(variables: dict[str, Any], coords: dict[str, Any], records: list[Record]) -> None:
    if not all(r.descriptors for r in records) or len({r.image.labels for r in records}) > 1:
        return
    one, unit = records[0].descriptors[0], records[0].image.unit
    coords["lag"] = ("lag", one.lag, {"long_name": "distance", **_length(unit, 1)})
    coords["wavenumber"] = ("wavenumber", one.wavenumber, {"long_name": "angular wavenumber", **_length(unit, -1)})
    table = {
        "interface_area": ((), "interface per volume, by the mean over the axes: exact for isotropic arrangement"),
        "correlation_length": ((), "distance at which the two-point function has fallen to 1/e"),
        "mean_chord": ((), "mean chord length"),
        "components": ((), "number of connected pieces"),
        "largest": ((), "share of the phase in its largest piece"),
        "two_point": (("lag",), "two-point probability, radial mean"),
        "lineal_path": (("lag",), "lineal path function, mean over the axes"),
        "chord_density": (("lag",), "share of chords of this length, mean over the axes"),
        "structure_factor": (("wavenumber",), "structure factor, radial mean"),
        "percolates": (("axis",), "whether the phase connects opposite faces"),
    }
    coords["axis"] = ("axis", list(tensors.AXES[: len(records[0].image.shape)]))
    for name, (dims, label) in table.items():
        values = np.array([[np.asarray(getattr(d, name)) for d in r.descriptors] for r in records])
        if values.dtype == bool:
            values = values.astype(np.int8)
        variables[f"phase_{name}"] = (
            ("time", "phase", *dims),
            values,
            {"long_name": label, **_length(unit, _DESCRIBED.get(name, 0))},
        )


def _length(unit: str, exponent: int) -> dict[str, str]:
    """Units of a power of a length of the image; where its spacing has none, no more than that can be said."""
    if not exponent:
        return {"units": "1"}
    if unit:
        return {"units": power(unit, exponent)}
    return {"comment": f"in {'one over ' if exponent < 0 else ''}the unit of length of image_spacing"}
