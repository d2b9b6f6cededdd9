"""``phasefield homogenize``: from a run folder or an image file to properties.nc and a table."""

from __future__ import annotations

import dataclasses
import datetime
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ConfigError, OutputError
from ..provenance import git_commit, version
from . import tensors
from .descriptors import Descriptors, describe
from .image import Image, Snapshots, read_file
from .materials import PROPERTIES, MaterialSystem, system_of
from .properties import Result, assign, homogenize
from .settings import USAGE, Request, parse
from .tensors import Array

#: Correlation length over cell size above which the cell is small.
_SMALL_CELL = 0.1


# -- running -----------------------------------------------------------------------------------------------------------


@dataclass
class Record:
    """Everything about one snapshot; ``phases``: numbers in the material of the image's."""

    image: Image
    results: list[Result]
    fractions: Array
    descriptors: list[Descriptors]
    phases: tuple[int, ...] = ()


def run(
    path: str | Path, overrides: Sequence[str], command: str = "", show: Callable[[str], None] | None = None
) -> tuple[Path, list[Record], MaterialSystem]:
    """Homogenizes a run or an image as the command line does; returns the file, the records, the material.

    Raises:
        ConfigError: see the messages. NotConverged: a solve failed. OutputError: the file cannot be written.
    """
    request = parse(overrides)
    system = system_of(request.material)
    where = Path(path)
    images = _images(where, request)
    records: list[Record] = []
    start: dict[str, list[np.ndarray]] | None = {} if len(images) > 1 else None
    for number, image in enumerate(images):
        if show:
            show(f"snapshot {number + 1} of {len(images)}" if len(images) > 1 else "homogenizing")
        results = homogenize(image, system, request, start)
        if start is not None:
            start = {r.name: r.fluctuations for r in results if r.fluctuations}
        for result in results:
            result.fluctuations = []
        geometry, assignment = image.voxels(request.voxel), assign(image, system, request)
        described = _describe(image) if request.descriptors else []
        _scale_warning(image, results, described)
        records.append(Record(image, results, geometry.volume_fractions, described, assignment.phase))
    target = Path(request.output) if request.output else _target(where)
    data = dataset(records, system, request, command)
    _write(data, target)
    return target, records, system


def _images(where: Path, request: Request) -> list[Image]:
    spacing = request.spacing
    if not where.exists():
        raise ConfigError(str(where), "there is no such file or folder", f"usage: {USAGE}")
    if not where.is_dir() and where.suffix.lower() != ".nc":
        if request.times != "last":
            raise ConfigError("times", f"is {request.times!r}, but {where.name} is one image")
        image = read_file(where, request.field, request.levels, None)
        return [_spaced(image, spacing)]
    snapshots = Snapshots(where, request.field, request.levels, None)
    count = len(snapshots)
    if request.times == "last":
        chosen = [count - 1]
    elif request.times == "all":
        chosen = list(range(count))
    else:
        wanted = request.times if isinstance(request.times, list) else [request.times]
        if not all(isinstance(t, int | float) for t in wanted):
            raise ConfigError("times", f"is {request.times!r}; last, all, a number or a list of numbers is expected")
        chosen = [int(np.abs(snapshots.times - t).argmin()) for t in wanted]
    return [_spaced(snapshots[i], spacing) for i in chosen]


def _spaced(image: Image, spacing: list[float] | None) -> Image:
    if spacing is None:
        return image
    steps = spacing * len(image.shape) if len(spacing) == 1 else spacing
    if len(steps) != len(image.shape) or not all(0 < s < math.inf for s in steps):
        raise ConfigError("spacing", f"is {spacing}; one positive number, or {len(image.shape)}, are expected")
    return dataclasses.replace(image, spacing=tuple(steps))


def _describe(image: Image) -> list[Descriptors]:
    periodic = [b == "periodic" for b in image.boundary]
    if image.kind == "field":
        high = np.clip(image.indicator, 0, 1)
        shares: list[Array] = [1 - high, high]
    elif image.phases > 8:
        return []
    elif image.kind == "labels":
        shares = [(image.values == k).astype(float) for k in range(image.phases)]
    else:
        winner = image.values.argmax(axis=0)
        shares = [(winner == k).astype(float) for k in range(image.phases)]
    return [describe(share, image.spacing, periodic) for share in shares]


def _scale_warning(image: Image, results: list[Result], described: list[Descriptors]) -> None:
    lengths = [d.correlation_length for d in described if np.isfinite(d.correlation_length)]
    if not lengths:
        return
    size = min(n * h for n, h in zip(image.shape, image.spacing, strict=True) if n > 1)
    ratio = max(lengths) / size
    for result in results:
        result.evidence["scale_ratio"] = ratio
        if ratio > _SMALL_CELL:
            result.warnings.append(
                f"the cell is small: correlation length over cell size l/L = {ratio:.2g}, another sample will differ"
            )


def _target(where: Path) -> Path:
    return where / "properties.nc" if where.is_dir() else where.with_name(f"{where.stem}_properties.nc")


# -- output ------------------------------------------------------------------------------------------------------------

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


def dataset(records: list[Record], system: MaterialSystem, request: Request, command: str) -> Any:
    """All records as one `xarray.Dataset`; stiffness in Voigt form with labelled components."""
    import xarray

    times = np.array([r.image.time if r.image.time is not None else math.nan for r in records])
    variables: dict[str, Any] = {}
    coords: dict[str, Any] = {"time": ("time", times, {"long_name": "time of the snapshot"})}
    first = records[0]
    for k, result in enumerate(first.results):
        series = [r.results[k] for r in records]
        if result.tensor.shape == (6, 6):
            coords["row"] = ("row", list(tensors.NAMES), {"long_name": "stress component"})
            coords["column"] = ("column", list(tensors.NAMES), {"long_name": "engineering strain component"})
            values, dims = tensors.to_voigt(np.stack([s.tensor for s in series])), ("time", "row", "column")
        else:
            coords["i"] = ("i", list(tensors.AXES))
            coords["j"] = ("j", list(tensors.AXES))
            values, dims = np.stack([s.tensor for s in series]), ("time", "i", "j")
        text = {"units": result.unit, "long_name": f"effective {result.name.replace('_', ' ')}"}
        if result.tensor.shape == (6, 6):
            text["comment"] = "Voigt form: engineering shear strains" + (
                "; plane stress, in-plane components only"
                if request.plane == "stress" and len(first.image.shape) == 2
                else ""
            )
        text["preconditioner"] = result.preconditioner
        if result.warnings:
            text["warnings"] = "; ".join(dict.fromkeys(w for s in series for w in s.warnings))
        variables[result.name] = (dims, values, text)
        load = f"load_{result.name}"
        if labels := _load_labels(result):
            coords[load] = (
                load,
                labels,
                {"long_name": "load: mean strain or gradient of 1, in shear an engineering strain of 1"},
            )
        variables[f"{result.name}_iterations"] = (
            ("time", load), [s.iterations for s in series], {"long_name": "iterations of conjugate gradients per load"},
        )  # fmt: skip
        for name in result.evidence:
            numbers = [s.evidence.get(name, math.nan) for s in series]
            unit = result.unit if name == "lowest_eigenvalue" else "1"
            variables[f"{result.name}_{name}"] = (("time",), numbers, {"long_name": _EVIDENCE[name], "units": unit})
        others: list[dict[str, Any]] = [
            {"voigt": s.voigt, "reuss": s.reuss, **s.boundary, **s.certified} for s in series
        ]
        for name, value in others[0].items():
            if value is not None:
                stack = np.stack([o[name] for o in others])
                stack = tensors.to_voigt(stack) if value.shape == (6, 6) else stack
                variables[f"{result.name}_{name}"] = (
                    dims,
                    stack,
                    {"units": result.unit, "long_name": _OTHERS[name]},
                )
        for name in result.bounds:
            pairs = [s.bounds.get(name, (math.nan, math.nan)) for s in series]
            coords["bound"] = ("bound", ["lower", "upper"])
            label = f"Hashin-Shtrikman bounds of {name}, for isotropic arrangement in a large volume"
            variables[f"{result.name}_hashin_shtrikman_{name}"] = (
                ("time", "bound"),
                pairs,
                {"units": result.unit, "long_name": label},
            )
        for name in result.moduli:
            numbers = [s.moduli[name] for s in series]
            unit = "1" if name == "nu" else result.unit
            variables[f"{result.name}_{name}"] = (
                ("time",),
                numbers,
                {"units": unit, "long_name": f"{name} of the nearest isotropic tensor"},
            )
        if result.fields:
            _local_fields(variables, coords, records[-1].results[k], records[-1].image)
        _loaded(variables, coords, series, system)
    names = [system.phases[k].name for k in first.phases]
    grains = len(set(names)) < len(names)
    coords["phase"] = ("phase", [f"{label:g}" for label in first.image.labels] if grains else names)
    if grains:
        coords["material_phase"] = ("phase", names, {"long_name": "phase of the material that the grain consists of"})
    variables["volume_fraction"] = (("time", "phase"), np.stack([r.fractions for r in records]), {"units": "1"})
    _describe_variables(variables, coords, records)
    attrs = {
        "Conventions": "CF-1.11",
        "title": f"Effective properties of {first.image.source}",
        "source": f"phasefield {version()}",
        "git_commit": git_commit(),
        "command": command,
        "history": f"{datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds')} created by phasefield",
        "material": system.name,
        "material_source": system.source,
        "voxel": request.voxel,
        "scheme": request.solver.scheme,
        "boundary": request.boundary,
        "plane": request.plane if len(first.image.shape) == 2 else "",
        "tolerance": request.solver.tolerance,
        "precision": request.solver.precision,
        "image_shape": list(first.image.shape),
        "image_spacing": list(first.image.spacing),
    }
    if first.image.kind == "field":
        attrs["image_levels"] = list(first.image.levels)
    return xarray.Dataset(variables, coords, attrs)


def _load_labels(result: Result) -> list[str]:
    """Names of the unit loads of a property; none where there are none."""
    names = tensors.NAMES if result.tensor.shape == (6, 6) else tensors.AXES
    return [names[k] for k in result.components]


def _local_fields(variables: dict[str, Any], coords: dict[str, Any], result: Result, image: Image) -> None:
    """Local fields of the unit loads, and of the load of the request: their sum, weighted by its mean gradient."""
    space = tensors.AXES[: len(image.shape)]
    for axis, n, h in zip(space, image.shape, image.spacing, strict=True):
        coords[axis] = (axis, (np.arange(n) + 0.5) * h)
    for name, value in result.fields.items():
        component = _component(coords, value.shape[1])
        factor = _factor(name, value.shape[1]).reshape((-1,) + (1,) * len(space))
        text = {"long_name": f"local {name.replace('_', ' ')} for unit loads, last snapshot"} | _convention(name)
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


def _component(coords: dict[str, Any], size: int) -> str:
    name = "component" if size == 6 else "i"
    coords[name] = (name, list(tensors.NAMES if size == 6 else tensors.AXES))
    return name


def _factor(name: str, size: int) -> Array:
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
        variables[f"{prop.name}_mean_{name}"] = (dims, values * _factor(name, size), text | _convention(name))


def _describe_variables(variables: dict[str, Any], coords: dict[str, Any], records: list[Record]) -> None:
    if not all(r.descriptors for r in records):
        return
    one = records[0].descriptors[0]
    coords["lag"] = ("lag", one.lag, {"long_name": "distance"})
    coords["wavenumber"] = ("wavenumber", one.wavenumber, {"long_name": "wavenumber"})
    table = {
        "interface_area": ((), "interface per volume"),
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
        variables[f"phase_{name}"] = (("time", "phase", *dims), values, {"long_name": label})


def _write(data: Any, target: Path) -> None:
    temporary = target.with_name(target.name + ".tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        data.to_netcdf(temporary, engine="h5netcdf", invalid_netcdf=False)
        os.replace(temporary, target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OutputError(f"{target}: cannot be written: {error.strerror or error}") from error


# -- the table ---------------------------------------------------------------------------------------------------------

_SCALES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "u"), (1e-9, "n"))


def _scaled(unit: str, values: Array) -> tuple[float, str]:
    """A factor and a unit that make the largest value a number between 1 and 1000."""
    if unit not in ("Pa", "S/m"):
        return 1.0, unit
    largest = float(np.abs(values).max())
    for factor, prefix in _SCALES:
        if largest >= factor:
            return factor, prefix + unit
    return 1.0, unit


def table(records: list[Record], system: MaterialSystem) -> str:
    """The results in words and numbers for a terminal."""
    out = []
    image = records[-1].image
    size = " x ".join(map(str, image.shape))
    shares = records[-1].fractions
    numbers = records[-1].phases
    sums = np.bincount(numbers, shares, minlength=len(system.phases))
    listed = ", ".join(f"{system.phases[k].name} {100 * sums[k]:.4g} %" for k in dict.fromkeys(numbers))
    more = f" in {len(shares)} grains" if len(set(numbers)) < len(shares) else ""
    out.append(f"{image.source}: {size} voxels; {listed}{more}")
    if len(records) > 1:
        out.append(_series(records))
    for result in records[-1].results:
        out.append(_block(result, records[-1].image))
    return "\n\n".join(out)


def _block(result: Result, image: Image) -> str:
    factor, unit = _scaled(result.unit, result.tensor)
    when = f" at time {image.time:g}" if image.time is not None else ""
    lines = [f"{result.name.replace('_', ' ')}{when}" + (f" [{unit}]" if unit != "1" else "")]
    if result.tensor.shape == (6, 6):
        values, labels = tensors.to_voigt(result.tensor) / factor, list(tensors.NAMES)
    else:
        values, labels = result.tensor / factor, list(tensors.AXES)
    floor = 1e-9 * float(np.abs(values).max())
    lines.append("      " + "".join(f"{label:>12}" for label in labels))
    for label, row in zip(labels, values, strict=True):
        lines.append(f"  {label:<4}" + "".join(f"{0.0 if abs(v) < floor else v:>12.5g}" for v in row))
    if result.moduli:
        m = result.moduli
        lines.append(
            "  nearest isotropic: "
            + ", ".join(f"{n} = {m[n] / factor:.5g} {unit}" for n in ("K", "G", "E"))
            + f", nu = {m['nu']:.4g}"
        )
    if "K_plane" in result.moduli:
        pair = ", ".join(f"{n} = {result.moduli[n] / factor:.5g} {unit}" for n in ("K_plane", "G_plane"))
        lines.append(f"  plane strain, nearest isotropic: {pair}")
    e = result.evidence
    if "distance_isotropic" in e:
        cubic = f", to cubic {100 * e['distance_cubic']:.2g} %" if "distance_cubic" in e else ""
        lines.append(f"  distance to isotropic {100 * e['distance_isotropic']:.2g} %{cubic}")
    parts = []
    if "discretisation" in e:
        parts.append(f"voxel size {100 * e['discretisation']:.2g} %")
    if "mixing_spread" in e:
        parts.append(f"mixing rule (spread to naive) {100 * e['mixing_spread']:.2g} %")
    if "scale_ratio" in e:
        parts.append(f"cell l/L = {e['scale_ratio']:.2g}")
    if "certified_gap" in e:
        parts.append(f"certified bounds of the voxel image {100 * e['certified_gap']:.2g} % apart")
    if parts:
        lines.append("  uncertainty: " + ", ".join(parts))
    checks = [f"Hill-Mandel {e['hill_mandel']:.1e}"]
    if "asymmetry" in e:
        checks.append(f"asymmetry {e['asymmetry']:.1e}")
    if "voigt_margin" in e:
        good = min(e["voigt_margin"], e["reuss_margin"]) > -1e-6
        checks.append("Reuss <= C <= Voigt" if good else "outside Reuss and Voigt")
    if "margin_static_reuss" in e:
        chain = min(v for n, v in e.items() if n.startswith("margin_"))
        checks.append(
            "Reuss <= TUBC <= PBC <= KUBC <= Voigt" if chain > -1e-6 else "order of boundary conditions violated"
        )
    if "levin" in e:
        checks.append(f"Levin {e['levin']:.1e}")
    checks.append(f"iterations {' '.join(map(str, result.iterations))} ({result.preconditioner})")
    lines.append("  checks: " + ", ".join(checks))
    for name, (low, high) in result.bounds.items():
        lines.append(
            f"  Hashin-Shtrikman {name}: {low / factor:.5g} to {high / factor:.5g} {unit}, if arranged isotropically"
        )
    if result.mean is not None:
        lines += _load_lines(result)
    lines += [f"  note: {warning}" for warning in result.warnings]
    return "\n".join(lines)


def _load_lines(result: Result) -> list[str]:
    """Mean gradient and flux under the load."""
    prop = PROPERTIES[result.name]
    assert result.mean is not None
    lines = ["  under the load" + (" (engineering shear strains)" if prop.order == 4 else "") + ":"]
    for name, unit, values in zip(
        (prop.gradient, prop.flux), prop.units, (result.mean.gradient, result.mean.flux), strict=True
    ):
        shown = values * _factor(name, len(values))
        factor, scaled = _scaled(unit, shown[np.isfinite(shown)]) if result.unit != "1" else (1.0, "1")
        floor = 1e-9 * float(np.nanmax(np.abs(shown)))
        labels = tensors.NAMES if len(values) == 6 else tensors.AXES
        numbers = [
            f"{n} {0.0 if abs(v) < floor else v / factor:.5g}" for n, v in zip(labels, shown, strict=True) if v == v
        ]
        lines.append(f"    {name.replace('_', ' ')} {', '.join(numbers)}" + (f" {scaled}" if scaled != "1" else ""))
    return lines


def _series(records: list[Record]) -> str:
    heads, rows = ["time"], [[f"{r.image.time or 0:g}"] for r in records]
    for k, result in enumerate(records[0].results):
        keys = ("K", "G") if result.moduli else ("xx", "yy", "zz")
        factor, unit = _scaled(result.unit, result.tensor)
        for key in keys:
            heads.append(f"{key if result.moduli else result.name + ' ' + key} [{unit}]")
            for row, record in zip(rows, records, strict=True):
                r = record.results[k]
                value = (
                    r.moduli[key]
                    if result.moduli
                    else r.tensor[("xx", "yy", "zz").index(key),][("xx", "yy", "zz").index(key)]
                )
                row.append(f"{value / factor:.5g}")
    widths = [max(len(h), *(len(row[i]) for row in rows)) for i, h in enumerate(heads)]
    return "\n".join("  ".join(cell.rjust(w) for cell, w in zip(line, widths, strict=True)) for line in [heads, *rows])
