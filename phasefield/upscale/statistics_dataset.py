"""The file of statistics: a group per property, as datasets."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import Unreadable
from ..homogenize.parameters import parameter_coords
from ..homogenize.sensitivity import constants_of
from ..mechanics import tensors
from ..mechanics.phases import MaterialSystem
from ..mechanics.tensors import Array
from ..provenance import git_commit, version
from ..store import open_dataset
from .samples import ORIGINAL
from .statistics_settings import INTERVALS, Request
from .statistics_summary import AtSize, Property, Summary
from .titles import STATISTICS as TITLE

#: From tensors in Mandel form to those of the file.
Form = Callable[[Any], Array]
Dims = tuple[str, ...]

_OTHERS = {
    "voigt": "Voigt bound, mean over the samples",
    "reuss": "Reuss bound, mean over the samples",
    "kinematic": "mean under uniform strain or gradient on the faces (KUBC)",
    "static": "mean under uniform traction or flux on the faces (TUBC)",
}
_PARTS = {
    "numerical": "standard uncertainty by the size of the voxels and the solver, mean over the samples",
    "model": "standard uncertainty by the mixing rule and the boundary condition, mean over the samples",
    "parameter": "standard uncertainty by the constants of the phases, mean over the samples",
}


def holds_statistics(path: Path) -> bool:
    """Whether a file is one that `datasets` made."""
    try:
        with open_dataset(path) as data:
            return str(data.attrs.get("title", "")).startswith(TITLE)
    except Unreadable:
        return False


def datasets(
    summary: Summary, request: Request, command: str, facts: dict[str, Any], system: MaterialSystem | None = None
) -> tuple[Any, dict[str, Any]]:
    """The root of the file, and its groups by the names of the properties.

    Args:
        facts: attributes that tell where the samples come from. system: their material, None if they brought their properties.
    """
    import xarray

    samples = summary.samples
    unit = str(summary.own[0].facts.get("unit") or "1")
    length = {"units": unit}
    edges = [a.edge for a in summary.properties[0].sizes]
    size = ("size", edges, {"long_name": "edge of the samples, the root of their volume", "units": unit})
    coords: dict[str, Any] = {"size": size, "phase": ("phase", summary.phases)}
    coords["sample"] = ("sample", [s.name for s in samples], {"long_name": "what the sample was made of"})
    variables: dict[str, Any] = {
        "volume_fraction": (("size", "phase"), summary.fractions, {"units": "1", "long_name": "mean over the samples"}),
        "voxels": (("size",), summary.sizes, {"long_name": "edge of the samples in voxels"}),
        "sample_size": (("sample",), [s.edge for s in samples], {"long_name": "edge of a sample", **length}),
        "sample_correlation_length": (("sample",), [s.length for s in samples], {"long_name": "correlation length l", **length}),
        "sample_scale_ratio": (("sample",), [s.ratio for s in samples],
                               {"long_name": "l/L, correlation length over edge", "units": "1"}),
        "sample_volume_fraction": (("sample", "phase"), [s.fractions for s in samples], {"units": "1"}),
        "sample_original": (("sample",), np.array([s.name.startswith(ORIGINAL) for s in samples], np.int8),
                            {"long_name": "whether reconstructions are compared with it"}),
    }  # fmt: skip
    if mismatch := summary.mismatch:
        values = [mismatch[v] for v in summary.sizes]
        text = "root mean square difference of normalised covariances of reconstruction and original, mean over the samples"
        variables["two_point_mismatch"] = (("size",), values, {"long_name": text, "units": "1"})
    _densities(variables, coords, summary, system)
    if system is not None and any("parameter" in a.parts for p in summary.properties for a in p.sizes):
        parameter_coords(coords, constants_of(system, request.properties))
    root = xarray.Dataset(variables, coords, _attributes(summary, request, command, facts))
    return root, {p.name: _group(p, summary, request, size) for p in summary.properties}


def _densities(
    variables: dict[str, Any], coords: dict[str, Any], summary: Summary, system: MaterialSystem | None
) -> None:
    """The density over the size, and those of the phases, as files of effective properties have them."""
    mean, std = summary.density.T
    facts = summary.own[0].facts
    text = {"units": str(facts.get("unit of density") or "1")}
    if not np.isfinite(mean).any():
        return
    label = "density, the mean by volume, mean over the samples"
    variables["density"] = (("size",), mean, {**text, "long_name": label})
    if np.isfinite(std).any():
        label = "standard uncertainty of the density by those of the phases"
        variables["density_parameter_std"] = (("size",), std, {**text, "long_name": label})
    coords["constituent"] = ("constituent", summary.phases, {"long_name": "phase of the material"})
    for name in ("density", "density_std"):
        if system is None:  # as the files told it
            values = [facts.get("constants of the phases", {}).get(f"{name} of {p}", math.nan) for p in summary.phases]
        else:
            known = [p.density for p in system.phases]
            spreads = [d.spread if d else None for d in known]
            stds = [math.nan if s is None else s.std for s in spreads]
            values = stds if name == "density_std" else [math.nan if d is None else d.value for d in known]
        label = f"constituent {name.replace('_', ' ')}"
        variables[f"constituent_{name}"] = (("constituent",), values, {**text, "long_name": label})


def _attributes(summary: Summary, request: Request, command: str, facts: dict[str, Any]) -> dict[str, Any]:
    mine = summary.own[0]
    temperature = mine.facts.get("reference_temperature")
    attrs = {
        "title": f"{TITLE}, {len(summary.own)} samples",
        "source": f"phasefield {version()}",
        "git_commit": git_commit(),
        "command": command,
        "history": f"{datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds')} created by phasefield",
        "voxel": request.voxel,
        "scheme": request.solver.scheme,
        "boundary": mine.boundary,
        "boundary_comment": _boundary(mine.boundary, facts.get("kind", "")),
        "plane": request.plane if mine.dim == 2 else "",
        "tolerance": request.solver.tolerance,
        "precision": request.solver.precision,
        "seed": request.seed,
        "confidence": request.confidence,
        "interval": f"{request.interval}, of the mean",
        "error": float(request.error),
        "image_spacing": mine.facts["spacing"],
        "dimension": summary.dim,
        "notes": "\n".join(summary.notes),
    }
    if temperature:  # of files of effective properties
        attrs["reference_temperature"] = float(temperature)
    return {
        **attrs,
        **{k: v for k, v in facts.items() if v is not None},
        **{k: mine.facts[k] for k in ("material",) if k in mine.facts},
    }


def _boundary(boundary: str, kind: str) -> str:
    """What the boundary condition means for these samples."""
    if kind == "windows":
        cut = "windows cut from a larger image do not repeat: "
        if boundary == "all":
            between = "between uniform traction (static) and uniform strain (kinematic)"
            return f"{cut}mean is of periodic boundary conditions, which lie {between}"
        return f"{cut}{boundary} boundary conditions are one choice, whose bias boundary=all would show"
    if boundary == "all":
        return "mean is of periodic boundary conditions; static and kinematic ones stand beside it"
    return f"{boundary} boundary conditions"


def _group(prop: Property, summary: Summary, request: Request, size: Any) -> Any:
    import xarray

    names = list(tensors.NAMES) if prop.elastic else list(tensors.AXES)
    axes = ("row", "column") if prop.elastic else ("i", "j")
    dims, text = ("size", *axes), {"units": prop.unit}
    if prop.elastic:
        text["comment"] = "Voigt form: engineering shear strains"
    at = prop.sizes

    def form(values: Any) -> Array:
        stack = np.asarray(values, float)
        return tensors.to_voigt(stack) if prop.elastic else stack

    dependent = {} if summary.step is None else {"lacks": "independence of the samples"}
    coords = {"size": size, axes[0]: (axes[0], names), axes[1]: (axes[1], names), "scalar": ("scalar", prop.names)}
    coords["sample"] = ("sample", [s.name for s in summary.samples])
    variables: dict[str, Any] = {
        "mean": (dims, form([a.tensor.mean for a in at]), {**text, "long_name": f"mean effective {prop.name.replace('_', ' ')}"}),
        "std": (dims, form([a.tensor.std for a in at]), {**text, "long_name": "standard deviation of one sample", **dependent}),
        "samples": (("size",), [a.tensor.samples for a in at], {"long_name": "number of samples"}),
        "sample_value": (("sample", *axes), form([s.values[prop.name].tensor for s in summary.samples]), text),
        "sample_margin": (("sample",), [s.values[prop.name].margin for s in summary.samples],
                          {"units": "1", "long_name": "lowest Loewner difference of bounds and boundary conditions, relative"}),
    }  # fmt: skip
    _intervals(variables, prop, request, dims, text, form)
    for name, label in _OTHERS.items():
        if all(name in a.others for a in at):
            variables[name] = (dims, form([a.others[name] for a in at]), {**text, "long_name": label})
            variables[f"scalar_{name}"] = (
                ("size", "scalar"),
                [a.other_scalars[name] for a in at],
                {"units": prop.unit, "long_name": label},
            )
    _parts(variables, prop, dims, text, form)
    _originals(variables, at, dims, text, form)
    _scalar_variables(variables, prop, request)
    return xarray.Dataset(variables, coords, {"title": f"Statistics of {prop.name.replace('_', ' ')}"})


def _intervals(
    variables: dict[str, Any], prop: Property, request: Request, dims: Dims, text: dict[str, str], form: Form
) -> None:
    """Both kinds of confidence intervals, of the components and the invariants."""
    of = f"confidence interval of the mean, {100 * request.confidence:g} %"
    for kind, label in [(request.interval, "ci"), *((k, k) for k in INTERVALS)]:
        for end, which in enumerate(("low", "high")):
            values = form([a.tensor.interval(kind)[end] for a in prop.sizes])
            variables[f"{label}_{which}"] = (dims, values, {**text, "long_name": f"{which} end of the {of} ({kind})"})
            values = np.array([a.scalar.interval(kind)[end] for a in prop.sizes])
            variables[f"scalar_{label}_{which}"] = (
                ("size", "scalar"),
                values,
                {"units": prop.unit, "long_name": f"{which} end of the {of} ({kind})"},
            )


def _parts(variables: dict[str, Any], prop: Property, dims: Dims, text: dict[str, str], form: Form) -> None:
    """Standard uncertainties besides the scatter, with what they were estimated from and what they lack, in commas."""
    for name, label in _PARTS.items():
        if all(name in a.parts for a in prop.sizes):
            found = [a.parts[name] for a in prop.sizes]
            lacks = list(dict.fromkeys(n for p in found for n in p.lacks))
            contains = dict.fromkeys(n for p in found for n in p.contains if n not in lacks)
            told = {"contains": ", ".join(contains), "lacks": ", ".join(lacks)}
            variables[f"{name}_std"] = (dims, form([p.std for p in found]), {**text, "long_name": label, **told})


def _originals(variables: dict[str, Any], at: list[AtSize], dims: Dims, text: dict[str, str], form: Form) -> None:
    """What reconstructions are compared with."""
    found = [a.original for a in at if a.original is not None]
    if len(found) < len(at):
        return
    for name, k, label in (
        ("original_mean", 1, "mean of the originals of reconstructions"),
        ("original_std", 2, "standard deviation of the originals"),
    ):
        variables[name] = (dims, form([o[k] for o in found]), {**text, "long_name": label})
    variables["original_samples"] = (("size",), [o[0] for o in found], {"long_name": "number of originals"})


def _scalar_variables(variables: dict[str, Any], prop: Property, request: Request) -> None:
    """What is told of the invariants."""
    at, two = prop.sizes, ("size", "scalar")
    unit = {"units": prop.unit}
    what = "invariants: of the nearest isotropic tensor, in the plane of 2-D samples"
    variables["scalar_mean"] = (two, [a.scalar.mean for a in at], {**unit, "long_name": f"mean of the {what}"})
    variables["scalar_std"] = (
        two,
        [a.scalar.std for a in at],
        {**unit, "long_name": "standard deviation of one sample"},
    )
    if all(a.gap is not None for a in at):
        text = "half the difference between uniform strain and uniform traction, relative to the mean"
        variables["boundary_bias"] = (two, [a.gap for a in at], {"units": "1", "long_name": text})
    wanted = f"of {float(request.error):g}, {100 * request.confidence:g} % of the time"
    table: dict[str, tuple[Any, str]] = {
        "error_of_one": (lambda n: n.error, "relative error of one sample of this size"),
        "samples_needed": (lambda n: n.samples, f"samples of this size for a relative error {wanted}"),
        "representative": (
            lambda n: float(n.single) if math.isfinite(n.error) else math.nan,
            f"1 where one sample has a relative error {wanted}, boundary bias included",
        ),
        "size_needed": (
            lambda n: n.size,
            f"edge of one sample for a relative error {wanted}, by the scatter at this size",
        ),
    }
    for name, (pick, label) in table.items():
        values = [[pick(n) for n in a.needs] for a in at]
        variables[name] = (two, np.array(values, float), {"units": "1", "long_name": label})
    nan = math.nan
    for name, label in (("exponent", "a"), ("low", "low end of a"), ("high", "high end of a")):
        slopes = [float(getattr(f, name)) if f else nan for f in prop.fits]
        key = name if name == "exponent" else f"exponent_{name}"
        variables[key] = (("scalar",), slopes, {"units": "1", "long_name": f"{label} in Var ~ L^-a"})
    variables["integral_range"] = (
        ("scalar",), np.array(prop.ranges, float),
        {"long_name": "integral range, at the largest size", "comment": "in the unit of size to the power of the dimension"},
    )  # fmt: skip
