"""Everything about one snapshot: its properties, its phases, its geometry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..images.descriptors import Descriptors, describe
from ..images.image import Image
from ..images.voxels import Voxels
from ..mechanics.materials import MaterialSystem
from ..mechanics.tensors import Array
from .assignment import assign, resolved
from .properties import homogenize
from .result import Result
from .settings import Request

#: Correlation length over cell size above which the cell is small.
_SMALL_CELL = 0.1
#: Phases that are told one by one, and described.
_TOLD = _DESCRIBED = 8


@dataclass
class Record:
    """Everything about one snapshot.

    Attributes:
        fractions: of the image's phases. phases: their numbers in the material. rotations: of their crystals, (phases, 3, 3).
    """

    image: Image
    results: list[Result]
    fractions: Array
    descriptors: list[Descriptors]
    phases: tuple[int, ...] = ()
    rotations: Array | None = None


def measure(
    image: Image, system: MaterialSystem, request: Request, start: Mapping[str, Sequence[np.ndarray]] | None = None
) -> Record:
    """The record of an image; ``start`` and what is raised as in `homogenize`."""
    image = resolved(image, system, request)
    results = homogenize(image, system, request, start)
    geometry, assignment = image.voxels(request.voxel), assign(image, system, request)
    described = _describe(image, geometry) if request.descriptors else []
    if image.kind == "labels" and len(set(assignment.phase)) > 1 and image.phases <= _TOLD:
        pairs = zip(image.names, assignment.phase, strict=True)
        image = image.told("phases", ", ".join(f"{label} is {system.phases[k].name}" for label, k in pairs))
    elif image.kind == "field":
        low, high = (system.phases[k].name for k in assignment.phase)
        image = image.told("phases", f"{low} is low, {high} is high" if low != high else f"both are {low}")
    _scale_warning(image, results, described)
    # A copy leaves the voxels behind.
    return Record(replace(image), results, geometry.volume_fractions, described, assignment.phase, assignment.turns)


def _describe(image: Image, geometry: Voxels) -> list[Descriptors]:
    """Of the phases as the voxels hold them, which is what the properties are of."""
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
