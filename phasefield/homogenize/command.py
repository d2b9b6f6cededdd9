"""``phasefield homogenize``: from a run folder or an image file to properties.nc and a table."""

from __future__ import annotations

import dataclasses
import datetime
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ConfigError, OutputError
from ..provenance import git_commit, version
from . import tensors
from .descriptors import Descriptors, describe
from .image import Image, Snapshots, read_file
from .materials import STRAINS, MaterialSystem, build, load, presets, unknown
from .properties import Result, Settings, homogenize
from .solver import Options
from .tensors import Array

USAGE = "phasefield homogenize RUN_DIR|IMAGE material=NAME [key=value ...]"
#: Correlation length over cell size above which the cell is small.
_SMALL_CELL = 0.1


@dataclass
class Request:
    """What the user asked for: the keys of the command."""

    material: Any = None
    properties: list[str] = dataclasses.field(default_factory=lambda: ["stiffness"])
    voxel: str = "laminate"
    plane: str = "strain"
    boundary: str = "periodic"
    field: str | None = None
    levels: list[float] | None = None
    spacing: Any = None
    times: Any = "last"
    fields: bool = False
    two_grid: bool = True
    mixing: bool = True
    descriptors: bool = True
    seed: int = 1
    orientations: str | None = None
    output: str | None = None
    threads: int | None = None
    device: str = "auto"
    solver: Options = dataclasses.field(default_factory=Options)


def parse(overrides: Sequence[str]) -> Request:
    """The request from ``key=value`` arguments; values are YAML.

    Raises:
        ConfigError: an argument that is none, an unknown key, or a value of the wrong type.
    """
    import yaml

    values: dict[str, Any] = {}
    material: dict[str, Any] = {}
    for override in overrides:
        key, equals, text = override.partition("=")
        key = key.strip().lstrip("+")
        if not equals or not key:
            raise ConfigError(repr(override), "is not of the form key=value", f"usage: {USAGE}")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigError(key, f"cannot read the value {text!r}", "check its brackets and quotes") from error
        if key.startswith("material."):
            _insert(material, key.split(".")[1:], value, key)
        else:
            values[key] = value
    request = request_of(values, changes=material)
    if request.material is None:
        raise ConfigError("material", "is not given", f"presets: {', '.join(presets())}; or material=FILE.yaml")
    return request


def request_of(values: Mapping[str, Any], changes: Mapping[str, Any] | None = None) -> Request:
    """The request from keys and values; the solver's keys nested or as ``solver.KEY``.

    Args:
        changes: phases set or replaced in the material.

    Raises:
        ConfigError: an unknown key, or a value of the wrong type.
    """
    values = dict(values)
    for key, value in (values.pop("solver", None) or {}).items():
        values[f"solver.{key}"] = value
    known = [f.name for f in fields(Request) if f.name != "solver"] + [f"solver.{f.name}" for f in fields(Options)]
    known = [key for key in known if key not in ("solver.threads", "solver.device")]  # without the prefix
    for key in values:
        if key not in known:
            raise unknown(key, key, [*known, "material.phases.NAME.PROPERTY"], "key")
    request = Request()
    options: dict[str, Any] = {}
    for key, value in values.items():
        name = key.removeprefix("solver.")
        target: Any = Options if key.startswith("solver.") else Request
        if is_dataclass(target):
            kind = {f.name: str(f.type) for f in fields(target)}[name]
            value = _typed(key, value, kind)
        if target is Options:
            options[name] = value
        else:
            setattr(request, name, value)
    request.solver = Options(**options, threads=request.threads, device=request.device)
    if changes:
        request.material = (request.material, changes)
    return request


def _insert(into: dict[str, Any], path: list[str], value: Any, key: str) -> None:
    for part in path[:-1]:
        into = into.setdefault(part, {})
        if not isinstance(into, dict):
            raise ConfigError(key, "cannot be set: a key above it has a value already")
    into[path[-1]] = value


def _typed(key: str, value: Any, kind: str) -> Any:
    """The value as the field's type; YAML reads 1e-6 as text and a single name as no list."""
    optional = "None" in kind
    if value is None:
        if optional or kind == "Any":
            return None
        raise ConfigError(key, "cannot be null")
    if kind.startswith("list[str]"):
        items = value if isinstance(value, list) else str(value).split(",")
        return [str(v).strip() for v in items]
    if kind.startswith("list[float]"):
        if not isinstance(value, list):
            raise ConfigError(key, f"is {value!r}; a list of numbers is expected, e.g. {key}=[0,1]")
        return [_number(key, v) for v in value]
    if kind.startswith("float"):
        return _number(key, value)
    if kind.startswith("int"):
        number = _number(key, value)
        if number != int(number):
            raise ConfigError(key, f"is {value!r}; a whole number is expected")
        return int(number)
    if kind.startswith("bool"):
        if not isinstance(value, bool):
            raise ConfigError(key, f"is {value!r}; true or false is expected")
        return value
    if kind.startswith("str"):
        if isinstance(value, list | dict):
            raise ConfigError(key, f"is {value!r}; text is expected")
        return str(value)
    return value


def _number(key: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if isinstance(value, bool) or not math.isfinite(number):
        raise ConfigError(key, f"is {value!r}; a number is expected")
    return number


def material_of(given: Any) -> MaterialSystem:
    """A preset or file, with phases set or replaced on the command line."""
    if isinstance(given, tuple):
        name, changes = given
        if name is None:
            return build(changes)
        system = load(str(name))
        extra = build(changes) if changes.get("phases") else None
        for phase in extra.phases if extra else []:
            system.phase(phase.name).values.update(phase.values)
        return system
    return build(given) if isinstance(given, dict) else load(str(given))


# -- running -----------------------------------------------------------------------------------------------------------


@dataclass
class Record:
    """Everything about one snapshot."""

    image: Image
    results: list[Result]
    fractions: Array
    descriptors: list[Descriptors]


def run(
    path: str | Path, overrides: Sequence[str], command: str = "", show: Callable[[str], None] | None = None
) -> tuple[Path, list[Record], MaterialSystem]:
    """Homogenizes a run or an image as the command line does; returns the file, the records, the material.

    Raises:
        ConfigError: see the messages. NotConverged: a solve failed. OutputError: the file cannot be written.
    """
    request = parse(overrides)
    system = material_of(request.material)
    where = Path(path)
    images = _images(where, request)
    settings = Settings(
        tuple(request.properties),
        request.voxel,
        request.plane,
        request.boundary,
        request.two_grid,
        request.mixing,
        request.fields,
        len(images) > 1,
        request.seed,
        orientations_of(request.orientations),
        request.solver,
    )
    records: list[Record] = []
    start: dict[str, list[np.ndarray]] = {}
    for number, image in enumerate(images):
        if show:
            show(f"snapshot {number + 1} of {len(images)}" if len(images) > 1 else "homogenizing")
        results = homogenize(image, system, settings, start)
        start = {r.name: r.fluctuations for r in results if r.fluctuations}
        for result in results:
            result.fluctuations = []
        geometry = image.voxels(request.voxel)
        described = _describe(image) if request.descriptors else []
        _scale_warning(image, results, described)
        records.append(Record(image, results, geometry.volume_fractions, described))
    target = Path(request.output) if request.output else _target(where)
    data = dataset(records, system, request, command)
    _write(data, target)
    return target, records, system


def _images(where: Path, request: Request) -> list[Image]:
    spacing = request.spacing
    if spacing is not None:
        spacing = [_number("spacing", v) for v in (spacing if isinstance(spacing, list) else [spacing])]
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
        chosen = [int(np.abs(snapshots.times - _number("times", t)).argmin()) for t in wanted]
    return [_spaced(snapshots[i], spacing) for i in chosen]


def _spaced(image: Image, spacing: list[float] | None) -> Image:
    if spacing is None:
        return image
    steps = spacing * len(image.shape) if len(spacing) == 1 else spacing
    if len(steps) != len(image.shape) or min(steps) <= 0:
        raise ConfigError("spacing", f"is {spacing}; one positive number, or {len(image.shape)}, are expected")
    return dataclasses.replace(image, spacing=tuple(steps))


def orientations_of(path: str | None) -> Array | None:
    """Rotations from a text file with three Euler angles (Bunge, degrees) a line."""
    if path is None:
        return None
    try:
        angles = np.radians(np.loadtxt(path, delimiter="," if path.endswith(".csv") else None, ndmin=2))
        if angles.shape[1] != 3:
            raise ValueError(f"{angles.shape[1]} columns")
    except (OSError, ValueError) as error:
        raise ConfigError(
            "orientations", f"{path} cannot be read: {error}", "three Euler angles (Bunge, degrees) a line are expected"
        ) from error
    return np.stack([tensors.rotation_from_euler(*map(float, row)) for row in angles])


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
    "discretisation": "relative difference to the grid of half the voxels per axis: estimate of the discretisation error",
    "mixing_spread": "relative difference to mixing the properties by the value of the field",
    "margin_voigt_kinematic": "lowest eigenvalue of Voigt minus uniform strain (KUBC), relative; not negative",
    "margin_kinematic_periodic": "lowest eigenvalue of uniform strain (KUBC) minus periodic, relative; not negative",
    "margin_periodic_static": "lowest eigenvalue of periodic minus uniform traction (TUBC), relative; not negative",
    "margin_static_reuss": "lowest eigenvalue of uniform traction (TUBC) minus Reuss, relative; not negative",
    "levin": "difference to Levin's exact relation, relative to the largest strain of a phase",
    "scale_ratio": "correlation length over cell size",
}


_OTHERS = {
    "voigt": "Voigt bound",
    "reuss": "Reuss bound",
    "kinematic": "under uniform strain or gradient on the faces (KUBC)",
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
        others: list[dict[str, Any]] = [{"voigt": s.voigt, "reuss": s.reuss, **s.boundary} for s in series]
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
    phases = len(first.fractions)
    names = [p.name for p in system.phases] if len(system.phases) == phases else [str(i) for i in range(phases)]
    coords["phase"] = ("phase", names)
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
    """Names of the loads of a property; none where they are no unit loads."""
    count, names = len(result.iterations), tensors.NAMES if result.tensor.shape == (6, 6) else tensors.AXES
    if result.name in STRAINS:
        return []
    return [names[k] for k in tensors.PLANE] if len(names) == 6 and count == len(tensors.PLANE) else list(names[:count])


def _local_fields(variables: dict[str, Any], coords: dict[str, Any], result: Result, image: Image) -> None:
    space = tensors.AXES[: len(image.shape)]
    for axis, n, h in zip(space, image.shape, image.spacing, strict=True):
        coords[axis] = (axis, (np.arange(n) + 0.5) * h)
    for name, value in result.fields.items():
        component = "component" if value.shape[1] == 6 else "i"
        coords[component] = (component, list(tensors.NAMES if value.shape[1] == 6 else tensors.AXES))
        shaped = value / tensors.FACTOR[(None, slice(None)) + (None,) * len(space)] if value.shape[1] == 6 else value
        if result.tensor.shape == (6, 6):  # per engineering shear strain
            sheared = [k for k, label in enumerate(_load_labels(result)) if label in tensors.NAMES[3:]]
            shaped[sheared] /= tensors.FACTOR[-1]
        dims = (f"load_{result.name}", component, *space)
        text = {"long_name": f"local {name.replace('_', ' ')} for unit loads, last snapshot"}
        variables[f"{result.name}_{name}"] = (dims, shaped.astype(np.float32), text)


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
    names = (
        [p.name for p in system.phases] if len(system.phases) == len(shares) else [str(i) for i in range(len(shares))]
    )
    listed = ", ".join(f"{n} {100 * f:.4g} %" for n, f in list(zip(names, shares, strict=True))[:6])
    more = f", {len(shares) - 6} more" if len(shares) > 6 else ""
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
    lines += [f"  note: {warning}" for warning in result.warnings]
    return "\n".join(lines)


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
