"""Everything about one snapshot: its properties, its phases, its geometry."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..images.descriptors import Descriptors, describe
from ..images.image import Image
from ..mechanics.tensors import Array
from .problem import Problem
from .properties import Start, results_of
from .result import Result

#: Correlation length over cell size above which the cell is small.
_SMALL_CELL = 0.1
#: Phases that are told one by one, and described.
_TOLD = _DESCRIBED = 8


@dataclass
class Record:
    """Everything about one snapshot.

    Attributes:
        problem: its image with all that was told of it, and which phase is which. fractions: of the image's phases.
        diffuse: whether voxels hold two phases, so that mixing rules make a difference.
    """

    problem: Problem
    results: list[Result]
    fractions: Array
    descriptors: list[Descriptors]
    diffuse: bool

    @property
    def image(self) -> Image:
        return self.problem.image

    def outlined(self) -> Record:
        """The same without the room that the values of the image take, and without what the next solves start from."""
        for result in self.results:
            result.fluctuations = []
        return replace(self, problem=self.problem.outline)


def measure(problem: Problem, start: Start | None = None, described: bool = True) -> Record:
    """The record of a problem.

    Args:
        start: as for `homogenize`, which raises the same. described: whether to describe the microstructure.
    """
    results = results_of(problem, start)
    descriptors = _describe(problem) if described else []
    image, phases = problem.image, problem.assignment.phase
    names = [problem.material.phases[k].name for k in phases]
    if image.kind == "labels" and len(set(phases)) > 1 and image.phases <= _TOLD:
        pairs = zip(image.names, names, strict=True)
        image = image.told("phases", ", ".join(f"{label} is {name}" for label, name in pairs))
    elif image.kind == "field":
        low, high = names
        image = image.told("phases", f"{low} is low, {high} is high" if low != high else f"both are {low}")
    _scale_warning(image, results, descriptors)
    # A copy leaves the voxels behind.
    fractions = problem.voxels.volume_fractions
    return Record(replace(problem, image=replace(image)), results, fractions, descriptors, image.diffuse)


def _describe(problem: Problem) -> list[Descriptors]:
    """Of the phases as the voxels hold them, which is what the properties are of."""
    image, geometry = problem.image, problem.voxels
    if image.phases > _DESCRIBED:
        return []
    periodic = [b == "periodic" for b in image.boundary]
    return [describe(geometry.share(k), image.spacing, periodic) for k in range(image.phases)]


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
