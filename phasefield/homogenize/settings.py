"""What is asked for: dataclasses are the keys of the command, their types and their help, and what the computation reads."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from .. import config
from ..errors import ConfigError
from ..images.volumes import Raw
from ..images.voxels import RULES
from ..keys import check_choices, convert, key
from ..mechanics.options import BOUNDARIES, Options
from ..mechanics.properties import PROPERTIES, STRAINS
from ..presets import names
from . import loads
from .grains import read_grains

PLANES = ("strain", "stress")
#: How uncertainties of constants are propagated, and which of these ways solve again.
SOLVING = ("pce", "montecarlo")
METHODS = ("none", "first-order", *SOLVING)


@dataclass(frozen=True)
class Method:
    """How voxels and cell problems are made.

    Attributes:
        boundary: ``periodic``; ``kinematic`` or ``static`` (uniform strain or traction on the faces); ``all`` for the periodic
            tensor with the others beside it.
        voxel: mixing rule, out of `voxels.RULES`. plane: for two-dimensional images, ``strain`` (a body that does not vary
            along z: the whole three-dimensional tensor is computed) or ``stress`` (a thin sheet).
        grains: phase and orientation of every label of the image, `grains.Grains`, or the file they are read from. seed: of the
            random orientations of the others.
    """

    voxel: str = key("laminate", "how a diffuse interface becomes voxels", RULES)
    plane: str = key("strain", "2-D images are a body that does not vary along z, or a thin sheet", PLANES)
    boundary: str = key(
        "periodic", "the cell repeats, or uniform strain or traction acts on its faces", (*BOUNDARIES, "all")
    )
    seed: int = key(1, "of random orientations and samples of constants, 0 or more")
    grains: Any = key(None, "table of phase and orientation of the grains, a file", value="text")
    solver: Options = dataclasses.field(default_factory=Options)

    def __post_init__(self) -> None:
        check_choices(self)
        if self.seed < 0:
            raise ConfigError("seed", f"is {self.seed}; 0 or a positive whole number is expected")


@dataclass(frozen=True)
class Settings(Method):
    """What to compute and how.

    Attributes:
        properties: names out of `materials.PROPERTIES`.
        two_grid, mixing: whether to make these estimates. fields: keep the local fields. certify: bound the effective tensor
            of the voxel image from below and above, see `certify`.
        sensitivity: derivatives by the constants of the phases; None where any of them has an uncertainty.
        uncertainty: how those of the constants are propagated, out of `METHODS`; ``pce`` and ``montecarlo`` need
            further solves, which others make. uncertainty_samples: solves of theirs, None for as many as they need.
        uncertainty_order: of ``pce``.
        load: components of the mean strain and stress, ``{strain: {xx: 0.01}, stress: {yy: 0}}``, or of the mean gradient and
            flux of order-2 properties; those not named have no stress or flux. See `loads`.
    """

    properties: tuple[str, ...] = key(("stiffness",), "what to compute, one or a list", tuple(PROPERTIES), many=True)
    two_grid: bool = key(True, "estimate the error of the voxel size")
    mixing: bool = key(True, "estimate the error of the mixing rule")
    fields: bool = key(False, "write local fields for unit loads")
    certify: bool = key(False, "bound the tensor of the voxel image from below and above")
    sensitivity: bool | None = key(
        None, "derivatives by the constants of the phases; by default if one of them has an uncertainty"
    )
    uncertainty: str = key(
        "first-order", "how that of constants is propagated; pce (polynomial chaos) and montecarlo solve again", METHODS
    )
    uncertainty_samples: int | None = key(None, "solves of pce or montecarlo; by default as many as they need, or 256")
    uncertainty_order: int = key(2, "of the polynomials of pce")
    load: Any = key(
        None, "components of mean strain and stress, or gradient and flux, {strain: {xx: 0.01}}", value="tree"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.properties:
            raise ConfigError("properties", "is empty", f"choose from {', '.join(PROPERTIES)}")
        twice = next((n for n in self.properties if list(self.properties).count(n) > 1), None)
        if twice:
            raise ConfigError("properties", f"has {twice} twice")
        walled = self.boundary in ("kinematic", "static")
        strains = [n for n in self.properties if n in STRAINS]
        if strains and walled:
            problem = f"is {self.boundary}, for which {strains[0]} is not available"
            raise ConfigError("boundary", problem, "use boundary=periodic")
        if self.fields and self.boundary == "static":
            raise ConfigError("fields", "is true, but there are none with boundary=static", "use another boundary")
        if self.certify and (self.boundary not in ("periodic", "all") or self.solver.scheme == "fourier"):
            raise ConfigError("certify", "needs boundary=periodic or all, and solver.scheme=q1 or rotated")
        if self.uncertainty_samples is not None and self.uncertainty_samples < 1:
            raise ConfigError("uncertainty_samples", f"is {self.uncertainty_samples}; at least 1 is expected")
        if not 1 <= self.uncertainty_order <= 8:
            raise ConfigError("uncertainty_order", f"is {self.uncertainty_order}; 1 to 8 is expected")
        if self.load is not None:
            loads.check(self.load, self.properties)


def shorten(settings: Any) -> None:
    """Gives the ``solver`` of a frozen dataclass of keys its ``threads`` and ``device``, where these are said in short.

    Raises:
        ConfigError: one of them is given twice.
    """
    solver: Options = settings.solver
    changes: dict[str, Any] = {}
    for name, default in (("threads", None), ("device", "auto")):
        given, there = getattr(settings, name), getattr(solver, name)
        if given is not None and there not in (default, given):
            raise ConfigError(name, f"is given twice, as {name} and as solver.{name}")
        if given is not None:
            changes[name] = given
    if changes:
        object.__setattr__(settings, "solver", dataclasses.replace(solver, **changes))


@dataclass(frozen=True)
class Source:
    """Where the phases come from.

    Attributes:
        material: a preset, a file, a mapping as in the files, or ``{preset: NAME, phases: ...}`` with phases set or replaced.
        field, levels: variable of the file; its values in the two phases. threads, device: of the solver.
    """

    material: Any = key(
        None,
        "a preset or a YAML file; .phases.NAME.PROPERTY=... sets or replaces",
        names=lambda: names("material"),
        value="tree",
        presets="material",
    )
    field: str | None = key(None, "variable of the file; by default the order parameter", value="text")
    levels: list[float] | None = key(
        None, "values of the field in its two phases; by default the wells of the model, or found", many=True
    )
    threads: int | None = key(None, "short for solver.threads")
    device: str | None = key(None, "short for solver.device")

    def _shorten(self) -> None:
        """Gives the solver what was said in short, and reads the table of grains."""
        shorten(self)
        if isinstance(grains := self.grains, str):  # type: ignore[attr-defined]
            object.__setattr__(self, "grains", read_grains(grains))


@dataclass(frozen=True)
class Request(Settings, Source):
    """The keys of the command: what to compute and how, where the image and the material come from, where the result goes.

    Attributes:
        spacing: edge lengths of a voxel. axes: of an array without names, see `images.raster.as_told`. raw: layout of a file
            without a header, `images.volumes.Raw` or a mapping of its attributes. times: ``last``, ``all`` or a list.
        descriptors: describe the microstructure.
        output: the file to write.
    """

    spacing: list[Any] | None = key(
        None,
        "edge length of a voxel, one or one per axis, in m with a unit (2 um); by default that of the file",
        unit="m",
        many=True,
    )
    axes: str | None = key(
        None, "what the axes of an array are, in the order of the file, zyx; a - before one that falls", value="text"
    )
    raw: Any = key(
        None,
        "layout of a file without a header, {shape: [X, Y, Z], type: uint16, byteorder: little, skip: 0}",
        value="tree",
    )
    times: Any = key("last", "last, all, or a list of times", value="expression")
    descriptors: bool = key(True, "describe the microstructure")
    output: str | None = key(
        None,
        "the file to write; an earlier one of its kind is replaced whole. With -m the folder of the results",
        value="text",
    )

    def __post_init__(self) -> None:
        self._shorten()
        convert(self)
        if self.raw is not None and not isinstance(self.raw, Raw):
            object.__setattr__(self, "raw", Raw.of(self.raw, "raw"))
        super().__post_init__()


@dataclass(frozen=True)
class Along(Method, Source):
    """The keys that mean something along a run, under ``homogenize.``; see `observables`."""

    #: Of the others, why not.
    REFUSED: ClassVar[dict[str, str]]

    def __post_init__(self) -> None:
        self._shorten()
        super().__post_init__()

    def request(self, prop: str) -> Request:
        """What to compute of each state: one property, without estimates."""
        given = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return Request(**given, properties=(prop,), two_grid=False, mixing=False, sensitivity=False)


Along.REFUSED = {
    f.name: "means nothing along a run"
    for f in dataclasses.fields(Request)
    if f.name not in {g.name for g in dataclasses.fields(Along)}
}
#: The language of the command.
LANGUAGE = config.Language("homogenize", Request)


def parse(overrides: Sequence[str]) -> Request:
    """The request from ``key=value`` arguments, as on the command line.

    Raises:
        ConfigError: an argument that is none, an unknown key, or a value of the wrong type.
    """
    return request_of(config.compose(overrides, LANGUAGE))


def request_of(composed: Any) -> Request:
    """The request from a composed configuration.

    Raises:
        ConfigError: a value that will not do, or no material.
    """
    request = config.to_object(composed, Request)
    assert isinstance(request, Request)
    if request.material is None:
        raise no_material("material")
    return request


def no_material(at: str, hint: str = "") -> ConfigError:
    return ConfigError(at, "is not given", hint or f"presets: {', '.join(names('material'))}; or {at}=FILE.yaml")


def along(keys: Mapping[str, Any], device: str) -> Along:
    """The keys of ``homogenize.`` in a run, on whose ``device`` it computes unless they name one.

    Raises:
        ConfigError: an unknown key, or a value that will not do.
    """
    from omegaconf import OmegaConf

    for name in keys:
        if name in Along.REFUSED:
            raise ConfigError(str(name), Along.REFUSED[name])
    made = config.to_object(OmegaConf.create(dict(keys)), Along)
    assert isinstance(made, Along)
    if made.device is None and made.solver.device == "auto":
        made = dataclasses.replace(made, device=device)
    return made
