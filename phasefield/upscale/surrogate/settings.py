"""The keys of ``phasefield surrogate``, and which of them mean something to fit, predict and check."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

from ...errors import ConfigError
from ...homogenize.settings import shorten
from ...images.voxels import RULES
from ...keys import check_choices, key
from ...mechanics.options import Options
from ...mechanics.properties import PROPERTIES, STRAINS
from ...presets import names

ACTIONS = ("fit", "predict", "check")
_STIFFER = ("either", "first", "second")


@dataclass(frozen=True)
class LabelOptions(Options):
    """How labels are computed: to what a surrogate can tell."""

    tolerance: float = key(1e-4, "relative accuracy of the labels, between 0 and 1")


@dataclass(frozen=True)
class Settings:
    """The keys of the command.

    Attributes:
        property: what is learnt. samples: materials per microstructure. contrast, poisson: their ranges. stiffer: which phase.
        validation, test: shares of the microstructures. cache: the file of labels. queries: random ones of check.
    """

    property: str = key("stiffness", "fit: what is learnt", tuple(p for p in PROPERTIES if p not in STRAINS))
    samples: int = key(
        4, "fit: materials drawn for each microstructure; 0 takes those of material= and properties.nc alone"
    )
    contrast: list[float] = key([2.0, 20.0], "fit: of the phases' E or conductivity, the range to draw from", many=True)
    poisson: list[float] = key([0.2, 0.4], "fit: range of Poisson's ratio of each phase", many=True)
    stiffer: str = key("either", "fit: which phase is the stiffer one", _STIFFER)
    material: Any = key(
        None,
        "predict: a preset or a YAML file, as of homogenize; fit and check: labels for it besides those drawn",
        names=lambda: names("material"),
        value="tree",
        presets="material",
    )
    field: str | None = key(None, "variable of the files; by default the order parameter", value="text")
    levels: list[float] | None = key(
        None, "values of the field in its two phases; by default as homogenize finds", many=True
    )
    times: str = key("last", "fit and check: snapshots of a run, which stay in one part", ("last", "all"))
    voxel: str = key("laminate", "fit: how a diffuse interface becomes voxels", RULES)
    validation: float = key(0.15, "fit: share of the microstructures that settings are chosen by")
    test: float = key(0.2, "fit: share of the microstructures that errors are measured on")
    seed: int = key(1, "fit: of the materials drawn and of the parts")
    skip: bool = key(False, "fit and check: leave out what cannot be used, naming it")
    cache: str | None = key(
        None, "fit and check: file of the labels that were computed; by default beside the output", value="text"
    )
    extrapolate: bool = key(False, "predict: answer outside the range of the training too")
    queries: int = key(1000, "check: random queries that bounds and positive definiteness are tried on")
    output: str | None = key(
        None, "fit: the surrogate's file; predict: a file for the prediction. Replaced if of its kind", value="text"
    )
    solver: LabelOptions = dataclasses.field(default_factory=LabelOptions)
    threads: int | None = key(None, "fit and check: short for solver.threads")
    device: str | None = key(None, "fit and check: short for solver.device")

    def __post_init__(self) -> None:
        check_choices(self)
        shorten(self)
        for name in ("contrast", "poisson"):
            pair = getattr(self, name)
            if len(pair) != 2 or not all(math.isfinite(v) for v in pair) or not pair[0] <= pair[1]:
                raise ConfigError(name, f"is {pair}; a range [low,high] is expected")
        if self.contrast[0] < 1:
            raise ConfigError(
                "contrast", f"is {self.contrast}; from 1 upwards is expected", "stiffer= says which phase is stiffer"
            )
        if not -1 < self.poisson[0] <= self.poisson[1] < 0.5:
            raise ConfigError("poisson", f"is {self.poisson}; values above -1 and below 0.5 are expected")
        for name in ("validation", "test"):
            if not 0 < getattr(self, name) < 0.5:
                raise ConfigError(name, f"is {getattr(self, name)}; a share between 0 and 0.5 is expected")
        if self.samples < 0 or self.queries < 1 or self.seed < 0:
            name = "samples" if self.samples < 0 else "queries" if self.queries < 1 else "seed"
            raise ConfigError(name, f"is {getattr(self, name)}; {1 if name == 'queries' else 0} or more is expected")


#: Which keys mean something to which action.
_OF_ALL = {"field", "levels", "threads", "device", "solver", "material"}
_MEANT = {
    "fit": _OF_ALL | {f.name for f in fields(Settings)} - {"extrapolate", "queries"},
    "predict": _OF_ALL - {"solver", "threads", "device"} | {"extrapolate", "output"},
    "check": _OF_ALL | {"times", "samples", "contrast", "poisson", "stiffer", "seed", "skip", "cache", "queries"},
}


def check_meant(action: str, given: Iterable[str]) -> None:
    """Refuses keys that mean nothing to an action.

    Raises:
        ConfigError: an unknown action, or such a key.
    """
    if action not in ACTIONS:
        raise ConfigError("surrogate", f"{action!r} is none of fit, predict, check", "phasefield surrogate --help")
    for name in given:
        root = name.lstrip("+~").partition("=")[0].partition(".")[0].partition("@")[0]
        if root in {f.name for f in fields(Settings)} and root not in _MEANT[action]:
            raise ConfigError(
                root, f"means nothing to surrogate {action}", "phasefield surrogate --help says what does"
            )
