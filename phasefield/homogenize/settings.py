"""What is asked for: one dataclass is the keys of the command, their types, and what the computation reads."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as option
from typing import Any

from ..config import config_error
from ..errors import ConfigError, PhasefieldError, unknown
from ..images.voxels import RULES
from ..keys import about, check_choices, described
from ..mechanics.materials import presets
from ..mechanics.options import BOUNDARIES, Options
from ..mechanics.properties import PROPERTIES, STRAINS
from ..units import quantity
from . import loads
from .grains import read_grains

#: Keys of the solver that are given without its name too.
_SHORT = ("threads", "device")
USAGE = "phasefield homogenize RUN_DIR|IMAGE material=NAME [key=value ...]"
PLANES = ("strain", "stress")


@dataclass(frozen=True)
class Settings:
    """What to compute and how.

    Attributes:
        properties: names out of `materials.PROPERTIES`.
        boundary: ``periodic``; ``kinematic`` or ``static`` (uniform strain or traction on the faces); ``all`` for the periodic
            tensor with the others beside it.
        voxel: mixing rule, out of `voxels.RULES`. plane: for two-dimensional images, ``strain`` (a body that does not vary
            along z: the whole three-dimensional tensor is computed) or ``stress`` (a thin sheet).
        two_grid, mixing: whether to make these estimates. fields: keep the local fields. certify: bound the effective tensor
            of the voxel image from below and above, see `certify`.
        grains: phase and orientation of every label of the image, `grains.Grains`, or the file they are read from. seed: of the
            random orientations of the others.
        load: components of the mean strain and stress, ``{strain: {xx: 0.01}, stress: {yy: 0}}``, or of the mean gradient and
            flux of order-2 properties; those not named have no stress or flux. See `loads`.
    """

    properties: tuple[str, ...] = option(
        default=("stiffness",), metadata=about("what to compute, one or a list", tuple(PROPERTIES))
    )
    voxel: str = option(default="laminate", metadata=about("how a diffuse interface becomes voxels", RULES))
    plane: str = option(
        default="strain", metadata=about("2-D images are a body that does not vary along z, or a thin sheet", PLANES)
    )
    boundary: str = option(
        default="periodic",
        metadata=about("the cell repeats, or uniform strain or traction acts on its faces", (*BOUNDARIES, "all")),
    )
    two_grid: bool = option(default=True, metadata=about("estimate the error of the voxel size"))
    mixing: bool = option(default=True, metadata=about("estimate the error of the mixing rule"))
    fields: bool = option(default=False, metadata=about("write local fields for unit loads"))
    certify: bool = option(default=False, metadata=about("bound the tensor of the voxel image from below and above"))
    seed: int = option(default=1, metadata=about("of random orientations, 0 or more"))
    grains: Any = option(default=None, metadata=about("table of phase and orientation of the grains, a file"))
    load: Any = option(
        default=None, metadata=about("components of mean strain and stress, or gradient and flux, {strain: {xx: 0.01}}")
    )
    solver: Options = option(default_factory=Options)

    def __post_init__(self) -> None:
        check_choices(self)
        if not self.properties:
            raise ConfigError("properties", "is empty", f"choose from {', '.join(PROPERTIES)}")
        twice = next((n for n in self.properties if list(self.properties).count(n) > 1), None)
        if twice:
            raise ConfigError("properties", f"has {twice} twice")
        if self.seed < 0:
            raise ConfigError("seed", f"is {self.seed}; 0 or a positive whole number is expected")
        walled = self.boundary in ("kinematic", "static")
        strains = [n for n in self.properties if n in STRAINS]
        if strains and walled:
            problem = f"is {self.boundary}, for which {strains[0]} is not available"
            raise ConfigError("boundary", problem, "use boundary=periodic")
        if self.fields and self.boundary == "static":
            raise ConfigError("fields", "is true, but there are none with boundary=static", "use another boundary")
        if self.certify and (self.boundary not in ("periodic", "all") or self.solver.scheme == "fourier"):
            raise ConfigError("certify", "needs boundary=periodic or all, and solver.scheme=q1 or rotated")
        if self.load is not None:
            loads.check(self.load, self.properties)


@dataclass(frozen=True)
class Request(Settings):
    """The same with where the image and the material come from and where the result goes: the keys of the command.

    Attributes:
        material: a preset, a file, a mapping as in the files, or ``{preset: NAME, phases: ...}`` with phases set or replaced.
        field, levels: variable of the file; its values in the two phases. spacing: edge lengths of a voxel.
        times: ``last``, ``all`` or a list. descriptors: describe the microstructure. output: the file to write.
    """

    material: Any = option(
        default=None,
        metadata=about("a preset or a YAML file; .phases.NAME.PROPERTY=... sets or replaces", names=presets),
    )
    field: str | None = option(default=None, metadata=about("variable of the file; by default the order parameter"))
    levels: list[float] | None = option(
        default=None,
        metadata=about("values of the field in its two phases; by default the wells of the model, or found"),
    )
    spacing: list[float] | None = option(
        default=None,
        metadata=about(
            "edge length of a voxel, one or one per axis, in m with a unit (2 um); by default that of the file"
        ),
    )
    times: Any = option(default="last", metadata=about("last, all, or a list of times"))
    descriptors: bool = option(default=True, metadata=about("describe the microstructure"))
    output: str | None = option(
        default=None, metadata=about("the file to write; an earlier one of its kind is replaced whole")
    )


_PURPOSE = (
    "Effective properties of the last snapshot of a run, or of a NetCDF, npy, TIFF, PNG, JPEG or BMP image. Prints a table, and "
    "above it what the image was taken for; writes properties.nc into the run folder, or NAME_properties.nc beside the image; an "
    "earlier such file is replaced whole."
)


def usage_text(width: int = 80) -> str:
    """Help for the command: all its keys with their defaults and values, made from `Request`."""
    fields = sorted(dataclasses.fields(Request), key=lambda f: f.name != "material")
    lines = [f"usage: {USAGE}", "", *textwrap.wrap(_PURPOSE, width), "", "keys and their defaults:"]
    for field in fields:
        if field.name != "solver":
            lines += described(field, "", width)
    for field in dataclasses.fields(Options):
        lines += described(field, "solver.", width)
    return "\n".join([*lines, *(f"  {k}=... is short for solver.{k}=..." for k in _SHORT)])


def parse(overrides: Sequence[str]) -> Request:
    """The request from ``key=value`` arguments; values are YAML.

    Raises:
        ConfigError: an argument that is none, an unknown key, or a value of the wrong type.
    """
    import yaml

    values: dict[str, Any] = {}
    for override in overrides:
        at, equals, text = override.partition("=")
        at = at.strip().lstrip("+")
        if not equals or not at:
            raise ConfigError(repr(override), "is not of the form key=value", f"usage: {USAGE}")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigError(at, f"cannot read the value {text!r}", "check its brackets and quotes") from error
        group = values
        *path, name = at.split(".")
        for part in path:
            if part == "material" and not isinstance(group.get(part, {}), dict):
                group[part] = {"preset": group[part]}  # phases of a preset or file are set
            group = group.setdefault(part, {})
            if not isinstance(group, dict):
                raise ConfigError(at, "cannot be set: a key above it has a value already")
        if at == "material" and isinstance(values.get(at), dict) and not isinstance(value, dict):
            name, group = "preset", values[at]
        group[name] = value
    request = request_of(values)
    if request.material is None:
        raise ConfigError("material", "is not given", f"presets: {', '.join(presets())}; or material=FILE.yaml")
    return request


def _lengths(spacing: Any) -> Any:
    """Spacings as numbers; those with a unit are in metres then."""
    if not isinstance(spacing, list) or not any(isinstance(s, str) for s in spacing):
        return spacing
    read = [quantity(s, "m", "spacing") for s in spacing]
    if len({united for _, united in read}) > 1:
        raise ConfigError("spacing", f"is {spacing}; units are given everywhere or nowhere")
    return [number for number, _ in read]


def request_of(values: Mapping[str, Any]) -> Request:
    """The request from nested keys and values; ``threads`` and ``device`` are short for ``solver.threads`` and so on.

    Raises:
        ConfigError: an unknown key, or a value of the wrong type.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    schema = OmegaConf.structured(Request)
    OmegaConf.set_readonly(schema.solver, False)
    solver = values.get("solver") or {}
    if not isinstance(solver, Mapping):
        raise ConfigError("solver", f"is {solver!r}; this is a group of keys", "set the keys in it")
    for k in _SHORT:
        if k in values and k in solver:
            raise ConfigError(k, f"is given twice, as {k} and as solver.{k}")
    given = {k: v for k, v in values.items() if k not in _SHORT}
    given["solver"] = {**solver, **{k: values[k] for k in _SHORT if k in values}}
    keys = [*schema, *_SHORT, *(f"solver.{k}" for k in schema.solver)]
    for name in [*given, *(f"solver.{k}" for k in solver)]:
        if name not in keys:
            raise unknown(name, name, [*keys, "material.phases.NAME.PROPERTY"], "key")
    for name in ("properties", "levels", "spacing"):  # one is a list of one
        if isinstance(given.get(name), str):
            given[name] = [v.strip() for v in given[name].split(",")]
        elif isinstance(given.get(name), int | float):
            given[name] = [given[name]]
    given["spacing"] = _lengths(given.get("spacing"))
    try:
        request = OmegaConf.to_object(OmegaConf.merge(schema, OmegaConf.create(given)))
    except OmegaConfBaseException as error:
        if isinstance(error.__cause__, PhasefieldError):
            raise error.__cause__ from None
        raise config_error(error) from error
    assert isinstance(request, Request)
    if request.grains is None:
        return request
    return dataclasses.replace(request, grains=read_grains(str(request.grains)))
