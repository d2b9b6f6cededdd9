"""Grains of a Voronoi tessellation, with as few components as they need."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from .geometry import distance_of, nearest_image
from .noise import uniform_noise
from .options import Array, Option, Rows, Target, read_at_least_zero, read_count, read_points, register_kind, slabs


@register_kind(
    "voronoi",
    {
        "grains": Option(read_count, None),
        "centers": Option(read_points, None),
        "width": Option(read_at_least_zero, 0.0),
    },
    random=lambda given: "centers" not in given,
)
def _make_voronoi(target: Target, o: dict[str, Any]) -> Rows:
    """Grains: a cell belongs to the nearest of ``grains`` random points (default one per component) or of ``centers``.

    The component of a cell's grain is 1, the others are 0. If there are more grains than components, grains that touch
    get different ones. ``width`` makes the boundaries diffuse: the weight of a grain is ``exp(-distance / (sqrt(2)
    width))``, normalised. Between two grains that is the tanh profile with half the difference of the distances for
    ``d``, and it is smooth at junctions as well.
    """
    if target.components is None:
        raise ConfigError(f"{target.key}.kind", f"voronoi needs components, and {target.name!r} is a scalar field")
    grid, centers = target.grid, o["centers"]
    grains = o["grains"] or (target.n if centers is None else len(centers))
    if grains > grid.cells:
        raise ConfigError(
            f"{target.key}.grains",
            f"is {grains}, more than the grid has cells ({grid.cells})",
            "reduce grains, or take a finer grid (grid.shape)",
        )
    if centers is None:
        points = uniform_noise(target, "grains", 0, grains * grid.dim).reshape(grains, grid.dim)
        centers = points * np.array(grid.lengths)
    if len(centers) != grains:
        raise ConfigError(f"{target.key}.grains", f"is {grains}, but there are {len(centers)} centers", "remove grains")
    squares = [nearest_image(np.subtract.outer(centers[:, d], a.centers), a) ** 2 for d, a in enumerate(grid.axes)]

    def distances(slab: slice) -> Iterator[tuple[int, Array]]:
        for grain in range(grains):
            yield grain, distance_of([squares[0][grain, slab], *(s[grain] for s in squares[1:])])

    owner = np.zeros(grid.shape, dtype=np.int32)
    nearest = np.full(grid.shape, np.inf)
    for slab in slabs(grid):
        for grain, distance in distances(slab):
            owner[slab][distance < nearest[slab]] = grain
            np.minimum(nearest[slab], distance, out=nearest[slab])
    component = _components_of(target, owner, grains)

    def sharp(rows: slice) -> Array:
        out = target.zeros(rows)
        of_cell = component[owner[rows]]
        for i, eta in enumerate(out):
            eta[:] = of_cell == i
        return out

    def diffuse(rows: slice) -> Array:
        out = target.zeros(rows)
        for grain, distance in distances(rows):
            out[component[grain]] += np.exp((nearest[rows] - distance) / (math.sqrt(2) * o["width"]))
        out /= out.sum(axis=0)
        return out

    return diffuse if o["width"] else sharp


def _components_of(target: Target, owner: NDArray[np.int32], grains: int) -> NDArray[np.int64]:
    """Component of every grain such that grains with a common cell face differ, shape ``(grains,)``."""
    if grains <= target.n:
        return np.arange(grains)
    neighbours: list[set[int]] = [set() for _ in range(grains)]
    for d, axis in enumerate(target.grid.axes):
        here, there = owner, np.roll(owner, -1, axis=d)
        if axis.boundary != "periodic":
            inner = tuple(slice(-1) if e == d else slice(None) for e in range(owner.ndim))
            here, there = here[inner], there[inner]
        touching = here != there
        for pair in np.unique(here[touching].astype(np.int64) * grains + there[touching]):
            a, b = divmod(int(pair), grains)
            neighbours[a].add(b)
            neighbours[b].add(a)
    colours = _colour(neighbours, target.n)
    if colours is None:
        colours = _colour(neighbours, None)
        if (needed := max(colours or []) + 1) > target.n:
            raise ConfigError(
                f"{target.key}.grains",
                f"{grains} grains whose neighbours all differ need {needed} components; {target.name!r} has {target.n}",
                f"reduce grains or give {target.name!r} {needed} components",
            )
    return np.array(colours)


def _colour(neighbours: Sequence[set[int]], limit: int | None) -> list[int] | None:
    """Greedy colouring, the vertex with the most colours around it first (Brélaz 1979, doi:10.1145/359094.359101).

    Within a ``limit`` the colours are used about equally often, and the result is ``None`` if they do not suffice;
    without one there are as few colours as the method finds.
    """
    colours = [-1] * len(neighbours)
    around: list[set[int]] = [set() for _ in neighbours]
    used = [0] * (limit or len(neighbours))
    queue = [(0, -len(others), vertex) for vertex, others in enumerate(neighbours)]
    heapq.heapify(queue)
    while queue:
        vertex = heapq.heappop(queue)[-1]
        if colours[vertex] >= 0:
            continue  # an older entry of a vertex that has moved up since
        free = [c for c in range(len(used)) if c not in around[vertex]]
        if not free:
            return None
        colour = min(free, key=used.__getitem__) if limit else free[0]
        colours[vertex] = colour
        used[colour] += 1
        for other in neighbours[vertex]:
            if colour not in around[other]:
                around[other].add(colour)
                heapq.heappush(queue, (-len(around[other]), -len(neighbours[other]), other))
    return colours
