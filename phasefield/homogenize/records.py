"""Everything about one snapshot: its properties, its phases, its geometry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from .assignment import assign
from .descriptors import Descriptors, describe
from .image import Image
from .materials import MaterialSystem
from .properties import homogenize
from .result import Result
from .settings import Request
from .tensors import Array

#: Correlation length over cell size above which the cell is small.
_SMALL_CELL = 0.1


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
    results = homogenize(image, system, request, start)
    geometry, assignment = image.voxels(request.voxel), assign(image, system, request)
    described = _describe(image) if request.descriptors else []
    _scale_warning(image, results, described)
    # A copy leaves the voxels behind.
    return Record(replace(image), results, geometry.volume_fractions, described, assignment.phase, assignment.turns)


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
