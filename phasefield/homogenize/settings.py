"""What is asked for: one dataclass is the keys of the command, their types, and what the computation reads."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..config import config_error
from ..errors import ConfigError, PhasefieldError
from . import loads
from .grains import read_grains
from .materials import PROPERTIES, presets, unknown
from .solver import BOUNDARIES, Options
from .voxels import RULES

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

    properties: tuple[str, ...] = ("stiffness",)
    voxel: str = "laminate"
    plane: str = "strain"
    boundary: str = "periodic"
    two_grid: bool = True
    mixing: bool = True
    fields: bool = False
    certify: bool = False
    seed: int = 1
    grains: Any = None
    load: Any = None
    solver: Options = dataclasses.field(default_factory=Options)

    def __post_init__(self) -> None:
        for name in self.properties:
            if name not in PROPERTIES:
                raise unknown("properties", name, list(PROPERTIES), "property")
        if not self.properties:
            raise ConfigError("properties", "is empty", f"choose from {', '.join(PROPERTIES)}")
        for key, value, known in (
            ("voxel", self.voxel, RULES),
            ("plane", self.plane, PLANES),
            ("boundary", self.boundary, (*BOUNDARIES, "all")),
        ):
            if value not in known:
                raise ConfigError(key, f"is {value!r}; expected one of {', '.join(known)}")
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

    material: Any = None
    field: str | None = None
    levels: list[float] | None = None
    spacing: list[float] | None = None
    times: Any = "last"
    descriptors: bool = True
    output: str | None = None


def parse(overrides: Sequence[str]) -> Request:
    """The request from ``key=value`` arguments; values are YAML.

    Raises:
        ConfigError: an argument that is none, an unknown key, or a value of the wrong type.
    """
    import yaml

    values: dict[str, Any] = {}
    for override in overrides:
        key, equals, text = override.partition("=")
        key = key.strip().lstrip("+")
        if not equals or not key:
            raise ConfigError(repr(override), "is not of the form key=value", f"usage: {USAGE}")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigError(key, f"cannot read the value {text!r}", "check its brackets and quotes") from error
        group = values
        *path, name = key.split(".")
        for part in path:
            if part == "material" and not isinstance(group.get(part, {}), dict):
                group[part] = {"preset": group[part]}  # phases of a preset or file are set
            group = group.setdefault(part, {})
            if not isinstance(group, dict):
                raise ConfigError(key, "cannot be set: a key above it has a value already")
        if key == "material" and isinstance(values.get(key), dict) and not isinstance(value, dict):
            name, group = "preset", values[key]
        group[name] = value
    request = request_of(values)
    if request.material is None:
        raise ConfigError("material", "is not given", f"presets: {', '.join(presets())}; or material=FILE.yaml")
    return request


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
    given = {k: v for k, v in values.items() if k not in _SHORT}
    given["solver"] = {**solver, **{k: values[k] for k in _SHORT if k in values}}
    keys = [*schema, *_SHORT, *(f"solver.{k}" for k in schema.solver)]
    for key in [*given, *(f"solver.{k}" for k in solver)]:
        if key not in keys:
            raise unknown(key, key, [*keys, "material.phases.NAME.PROPERTY"], "key")
    for key in ("properties", "levels", "spacing"):  # one is a list of one
        if isinstance(given.get(key), str):
            given[key] = [v.strip() for v in given[key].split(",")]
        elif isinstance(given.get(key), int | float):
            given[key] = [given[key]]
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
