"""The keys of ``phasefield statistics``."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from .. import config
from ..errors import ConfigError
from ..homogenize.settings import Method, Settings, Source, no_material
from ..keys import key
from ..mechanics.options import BOUNDARIES, Options
from ..mechanics.properties import PROPERTIES, STRAINS

INTERVALS = ("t", "bca")


def _options() -> Options:
    """What scatters by per cents needs no six digits, and local fields are not kept; where single precision shows, a sample is
    solved again in double.
    """
    return Options(tolerance=1e-4, precision="single", criterion="energy")


@dataclass(frozen=True)
class Request(Method, Source):
    """What statistics are of, and how they are made.

    Attributes:
        sizes: edges of windows, or of the samples that are to be simulated, in voxels. step: distance of windows in voxels.
        members: samples of each size to simulate. reconstructions: of an image to make. error: wanted, relative.
        skip: leave out samples that fail. workers: processes side by side.
    """

    properties: tuple[str, ...] = key(("stiffness",), "what to compute, one or a list", tuple(PROPERTIES), many=True)
    boundary: str = key(
        "auto",
        "auto is periodic for samples that are, and all for windows and what ends at walls; all is periodic, with the tensors "
        "under uniform strain and uniform traction beside it",
        ("auto", *BOUNDARIES, "all"),
    )
    solver: Options = dataclasses.field(default_factory=_options)
    sizes: list[int] | None = key(
        None, "edges in voxels, of windows that one image is cut into, or of samples to simulate", many=True
    )
    step: int | None = key(None, "distance of windows in voxels; by default their edge, so that none overlap")
    members: int = key(16, "samples of each size to simulate, of the seeds seed, seed + 1, ...")
    reconstructions: int = key(0, "periodic samples to make of an image's two-point function, of each size")
    spacing: list[Any] | None = key(
        None, "edge length of a voxel, one or one per axis, in m with a unit (2 um); by default that of the files",
        unit="m", many=True,
    )  # fmt: skip
    error: Any = key("1 %", "relative error that is wanted of the mean, for one sample and for many", unit="1")
    confidence: float = key(0.95, "of all intervals, between 0 and 1")
    interval: str = key("t", "of the mean, that ci_low and ci_high hold; both are in the file", INTERVALS)
    resamples: int = key(2000, "of the bootstrap")
    two_grid: bool = key(False, "estimate the error of the voxel size of every sample")
    mixing: bool = key(False, "estimate the error of the mixing rule of every sample")
    skip: bool = key(False, "leave out samples that cannot be computed, and name them")
    workers: int | None = key(None, "processes that solve samples side by side; by default as many as pay")
    picture: bool = key(True, "draw the properties against the size beside the file")
    output: str | None = key(
        None, "the file to write; an earlier one of its kind is replaced whole, but for samples that are the same",
        value="text",
    )  # fmt: skip

    def __post_init__(self) -> None:
        self._shorten()
        super().__post_init__()
        if not self.properties:
            raise ConfigError("properties", "is empty", f"choose from {', '.join(PROPERTIES)}")
        if set(self.properties) & set(STRAINS) and self.boundary not in ("auto", "periodic"):
            raise ConfigError("boundary", f"is {self.boundary}, but stress-free strains need periodic samples")
        checks = {
            "members": self.members >= 1, "reconstructions": self.reconstructions >= 0, "resamples": self.resamples >= 100,
            "step": self.step is None or self.step >= 1, "workers": self.workers is None or self.workers >= 1,
            "sizes": self.sizes is None or (min(self.sizes, default=0) >= 4 and len(set(self.sizes)) == len(self.sizes)),
        }  # fmt: skip
        least = {"resamples": "100", "reconstructions": "0", "sizes": "4, each once,"}
        for name, good in checks.items():
            if not good:
                raise ConfigError(name, f"is {getattr(self, name)}; at least {least.get(name, '1')} is expected")
        if self.step is not None and not self.sizes:
            raise ConfigError(
                "step", "is given without sizes: it is the distance of windows", "give sizes=, or leave it out"
            )
        if not 0 < self.confidence < 1:
            raise ConfigError("confidence", f"is {self.confidence}; a number between 0 and 1 is expected")
        if isinstance(self.error, int | float) and not 0 < self.error < 1:
            raise ConfigError("error", f"is {self.error:g}; a share between 0 and 1 is expected, such as 1%")

    def settings(self, whole: bool, precision: str | None = None) -> Settings:
        """How one sample is homogenized.

        Args:
            whole: whether the periodic boundary condition is all that is wanted where none is named. precision: of
                the solver, that asked for unless told.
        """
        shared = {f.name: getattr(self, f.name) for f in dataclasses.fields(Method)}
        boundary = self.boundary
        if boundary == "auto":
            boundary = "periodic" if whole or set(self.properties) & set(STRAINS) else "all"
        shared["boundary"] = boundary
        if precision is not None:
            shared["solver"] = dataclasses.replace(self.solver, precision=precision)
        return Settings(**shared, properties=self.properties, two_grid=self.two_grid, mixing=self.mixing)


def request_of(composed: Any, bare: bool = False) -> Request:
    """The request from a composed configuration.

    Args:
        bare: no material is needed, for the samples bring their properties.

    Raises:
        ConfigError: a value that will not do, or no material.
    """
    request = config.to_object(composed, Request)
    assert isinstance(request, Request)
    if request.material is None and not bare:
        raise no_material("material")
    return request


#: The language of the command.
LANGUAGE = config.Language("statistics", Request)
