"""Windows cut from a large image: smaller samples of the same microstructure, which are not periodic."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product

from ..errors import ConfigError
from ..images.image import Image

#: What the faces of a window are called where an image has ``periodic`` ones.
CUT = "cut"


def places(image: Image, size: int, step: int | None = None) -> list[tuple[int, ...]]:
    """Lowest corners of windows of an edge, in voxels; what is left over at the far sides is left out.

    Axes of one voxel are not cut.

    Args:
        step: distance of neighbours, by default the edge, so that none overlap.

    Raises:
        ConfigError: the image is smaller.
    """
    edges = edge_of(image, size)
    if any(e > n for e, n in zip(edges, image.shape, strict=True)):
        shape = "x".join(map(str, image.shape))
        raise ConfigError("sizes", f"has {size}, but {image.source} has {shape} voxels", "give smaller windows")
    ranges = [range(0, n - e + 1, (step or e) if n > 1 else 1) for n, e in zip(image.shape, edges, strict=True)]
    return list(product(*ranges))


def edge_of(image: Image, size: int) -> tuple[int, ...]:
    """Voxels of a window along the axes of an image."""
    return tuple(size if n > 1 else 1 for n in image.shape)


def window(image: Image, corner: Sequence[int], size: int) -> Image:
    """The part of an image behind a corner; its faces are cut along axes that it does not span whole."""
    edges = edge_of(image, size)
    where = tuple(slice(c, c + e) for c, e in zip(corner, edges, strict=True))
    whole = ((slice(None),) if image.kind == "fields" else ()) + where
    faces = tuple(b if e == n else CUT for b, e, n in zip(image.boundary, edges, image.shape, strict=True))
    at = ",".join(map(str, corner))
    return replace(
        image, values=image.values[whole].copy(), boundary=faces, pieces=None, source=f"{image.source} at {at}"
    )


def windows(image: Image, sizes: Sequence[int], step: int | None = None) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Edges and corners of all windows, the largest first: what takes longest is begun first."""
    for size in sorted(sizes, reverse=True):
        for corner in places(image, size, step):
            yield size, corner
