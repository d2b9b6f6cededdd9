"""Kinds made of formulas: expressions, sums, noise, circles and layers."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from ..errors import ConfigError
from .geometry import PROFILE, check_component, distance_of, nearest_image, place, profile
from .noise import cell_noise, fixed_order_mean, uniform_noise
from .options import (
    CHUNK,
    Array,
    Option,
    Rows,
    Target,
    expected,
    is_random,
    read_at_least_zero,
    read_axis,
    read_count,
    read_expression,
    read_field,
    read_flag,
    read_list_of,
    read_number,
    read_one_of,
    read_one_or_list,
    read_points,
    read_positive,
    read_raw,
    read_text,
    register_kind,
)
from .tables import read_circles

log = logging.getLogger("phasefield")

_TRIES = 10_000  # random positions per circle before giving up
_SATURATED = 28.0  # widths from the interface beyond which the tanh profile is 0 or 1 in double precision


@register_kind("expression", {"value": Option(read_expression)})
def _make_expression(target: Target, o: dict[str, Any]) -> Rows:
    """The same as the bare expression, number or list."""
    return o["value"]


@register_kind(
    "sum",
    {"terms": Option(read_list_of(read_raw, "specifications"))},
    random=lambda given: any(map(is_random, given["terms"])),
)
def _make_sum(target: Target, o: dict[str, Any]) -> Rows:
    """Sum of specifications. Noise in different terms is independent."""
    terms = [read_field(replace(target, key=f"{target.key}.terms[{i}]"), term) for i, term in enumerate(o["terms"])]

    def make(rows: slice) -> Array:
        out = target.zeros(rows)
        for term in terms:
            out += term(rows)
        return out

    return make


@register_kind(
    "noise",
    {
        "mean": Option(read_expression, None),
        "amplitude": Option(read_at_least_zero),
        "distribution": Option(read_one_of("uniform", "normal"), "uniform", beside="amplitude"),
        "conserve_mean": Option(read_flag, True, beside="amplitude"),
    },
    random=lambda given: bool(given["amplitude"]),
)
def _make_noise(target: Target, o: dict[str, Any]) -> Rows:
    """White noise about ``mean``: within ``amplitude`` if uniform, of that standard deviation if normal.

    With ``conserve_mean`` the sample mean of the noise is subtracted, so that the field's mean is that of ``mean``.
    """
    grid, row = target.grid, target.grid.cells // target.grid.shape[0]
    kept: list[Array | None] = [None] * target.n  # of a small grid, so that its noise is made once

    def noise(i: int, start: int, stop: int) -> Array:
        whole = kept[i]
        if whole is not None:
            return whole[start:stop]
        return cell_noise(target.seed, f"{target.key}/{i + 1}", start, stop - start, o["distribution"])

    if grid.cells <= CHUNK:
        kept = [noise(i, 0, grid.cells) for i in range(target.n)]
    means: dict[int, float] = {}

    def make(rows: slice) -> Array:
        out = target.zeros(rows) if o["mean"] is None else o["mean"](rows)
        start, stop, _ = rows.indices(grid.shape[0])
        for i, values in enumerate(out):
            part = noise(i, start * row, stop * row)
            if o["conserve_mean"]:
                if i not in means:
                    means[i] = fixed_order_mean(partial(noise, i), grid.cells)
                part = part - means[i]
            values += o["amplitude"] * part.reshape(values.shape)
        return out

    return make


@register_kind(
    "circles",
    {
        "path": Option(read_text, None),
        "centers": Option(read_points, None),
        "radii": Option(read_one_or_list(read_positive, "radii"), None),
        "count": Option(read_count, None),
        "radius": Option(read_one_or_list(read_positive, "radii"), None),
        "spacing": Option(read_at_least_zero, 0.0, beside="count"),
        "assign": Option(read_one_of("cycle"), None),
        **PROFILE,
    },
    random=lambda given: "count" in given,
)
def _make_circles(target: Target, o: dict[str, Any]) -> Rows:
    """Union of circles (intervals in 1-D, spheres in 3-D), given by ``centers`` and ``radii`` or placed at random.

    ``path`` is a table of them, see `tables.read_circles`, in the grid's units of length.
    ``count`` circles of ``radius`` (a number or uniform in [min, max]) do not overlap, keep a gap of ``spacing`` and
    stay inside walls. In a field with components they all go to ``component``, where the others are 0, or to one
    component after the other (``assign: cycle``).
    """
    if o["assign"] is None:
        check_component(target, o["component"], "; or assign: cycle to share the circles out")
    elif target.components is None:
        raise ConfigError(f"{target.key}.assign", f"field {target.name!r} has no components", "remove this key")
    elif o["component"] is not None:
        raise ConfigError(f"{target.key}.assign", "excludes component", "remove one of the two")
    centers, radii = _circles(target, o)
    reach = _SATURATED * o["width"]
    groups = target.n if o["assign"] else 1
    axes = target.grid.axes
    uncovered = False

    def make(rows: slice) -> Array:
        distance = np.full((groups, *target.zeros(rows).shape[1:]), np.inf)
        at = [a.centers[rows] if d == 0 else a.centers for d, a in enumerate(axes)]
        for k, (center, radius) in enumerate(zip(centers, radii, strict=True)):
            offsets = [nearest_image(x - c, a) for x, c, a in zip(at, center, axes, strict=True)]
            near = [np.flatnonzero(np.abs(d) <= radius + reach) for d in offsets]
            cells = np.ix_(*near)
            signed = distance_of([d[i] ** 2 for d, i in zip(offsets, near, strict=True)]) - radius
            group = distance[k % groups]
            group[cells] = np.minimum(group[cells], signed)
        nonlocal uncovered
        uncovered = uncovered or bool((distance.min(axis=0) > 0).any())
        if not uncovered and rows.indices(axes[0].n)[1] == axes[0].n:  # rows come in order
            raise ConfigError(
                f"{target.key}.radii" if o["centers"] is not None else f"{target.key}.count",
                f"the circles cover the whole grid of length {list(target.grid.lengths)}",
                f"set smaller {target.key}.radii, or a larger grid.length",
            )
        values = profile(distance, o)
        return values if o["assign"] else place(target, o["component"], values[0])

    return make


def _circles(target: Target, o: Mapping[str, Any]) -> tuple[Array, Array]:
    """Centres, shape ``(count, dim)``, and radii, shape ``(count,)``."""
    given = {k for k in ("path", "centers", "radii", "count", "radius") if o[k] is not None}
    if given not in ({"path"}, {"centers", "radii"}, {"count", "radius"}):
        got = f"got {', '.join(sorted(given))}" if given else "got none of them"
        raise ConfigError(target.key, f"expected path, or centers and radii, or count and radius; {got}")
    if "count" not in given:
        table = None if o["path"] is None else read_circles(target, f"{target.key}.path", o["path"])
        centers, radii = table or (o["centers"], o["radii"])
        if len(radii) not in (1, len(centers)):
            raise ConfigError(f"{target.key}.radii", f"expected one radius or {len(centers)}, got {len(radii)}")
        radii = np.broadcast_to(np.array(radii), len(centers))
        for k, (center, radius) in enumerate(zip(centers, radii, strict=True)):
            for c, a in zip(center, target.grid.axes, strict=True):
                if a.boundary != "periodic" and not -radius < c < a.length + radius:
                    raise ConfigError(
                        f"{target.key}.path" if table else f"{target.key}.centers[{k}]",
                        f"a circle of radius {radius:g} at {c:g} lies outside of the walls at 0 and {a.length:g}",
                        f"set {target.key}.centers, or a larger grid.length",
                    )
        axes = target.grid.axes
        away = sum(not all(0 <= c <= a.length for c, a in zip(p, axes, strict=True)) for p in centers)
        if table and away:
            domain = " x ".join(f"{a.length:g}" for a in axes)
            log.warning(
                "%s: %d of %d centres lie outside of the domain of %s and count as those of their periodic images; are the "
                "lengths of the table those of the grid?",
                f"{target.key}.path",
                away,
                len(radii),
                domain,
            )
        return centers, radii
    low, high = o["radius"][0], o["radius"][-1]
    if len(o["radius"]) > 2 or low > high:
        raise expected(f"{target.key}.radius", "a number or [min, max]", o["radius"])
    _check_room(target, o["count"], low)
    # The largest first: large circles no longer fit between small ones.
    radii = np.sort(low + (high - low) * uniform_noise(target, "radii", 0, o["count"]))[::-1]
    return _scatter(target, radii, o["spacing"]), radii


def _check_room(target: Target, count: int, smallest: float) -> None:
    """Refuses at once what cannot fit in any arrangement."""
    grid = target.grid
    ball = math.pi ** (grid.dim / 2) / math.gamma(grid.dim / 2 + 1) * smallest**grid.dim
    size = f"their radius is {smallest:g} or more"
    if any(2 * smallest > a.length for a in grid.axes):
        raise _no_room(target, f"only 0 of {count} circles fit: {size}, the grid has the length {list(grid.lengths)}")
    if count * ball > grid.volume:
        room = f"more room than the grid has ({grid.volume:g})"
        raise _no_room(target, f"not all of {count} circles fit: {size}, so that they take {room}")


def _no_room(target: Target, problem: str) -> ConfigError:
    """The message for circles that do not fit; they may be those of a preset, which the user has never seen."""
    return ConfigError(
        f"{target.key}.count",
        problem,
        f"set a smaller {target.key}.count or {target.key}.radius (the same in all fields that share the circles), or a larger "
        "grid.shape or grid.length",
    )


def _scatter(target: Target, radii: Array, spacing: float) -> Array:
    """Random centres of circles that do not overlap: random sequential addition (Widom 1966, doi:10.1063/1.1726548)."""
    axes, dim, batch = target.grid.axes, target.grid.dim, 500
    centers = np.empty((len(radii), dim))
    for k, radius in enumerate(radii):
        wall = np.array([0.0 if a.boundary == "periodic" else radius for a in axes])
        room = np.array([a.length for a in axes]) - 2 * wall
        needed = [2 * radius + (spacing if a.boundary == "periodic" else 0) for a in axes]
        tries = _TRIES if all(s <= a.length for s, a in zip(needed, axes, strict=True)) else 0
        for start in range(k * _TRIES, k * _TRIES + tries, batch):
            points = wall + room * uniform_noise(target, "circles", start * dim, batch * dim).reshape(batch, dim)
            gaps = [nearest_image(np.subtract.outer(points[:, d], centers[:k, d]), a) for d, a in enumerate(axes)]
            free = (np.sqrt(sum(g**2 for g in gaps)) >= radii[:k] + radius + spacing).all(axis=1)
            if free.any():
                centers[k] = points[free.argmax()]
                break
        else:
            room = f"{radii[-1]:g} to {radii[0]:g}" if radii[0] > radii[-1] else f"{radius:g}"
            raise _no_room(
                target,
                f"only {k} of {len(radii)} circles fit without overlap after {_TRIES} random positions each; their radii are "
                f"{room}, the grid has the length {list(target.grid.lengths)}",
            )
    return centers


@register_kind(
    "slab",
    {
        "axis": Option(read_axis),
        "from": Option(read_number, None),
        "to": Option(read_number, None),
        "position": Option(read_number, None),
        **PROFILE,
    },
)
def _make_slab(target: Target, o: dict[str, Any]) -> Rows:
    """The layer ``from`` .. ``to`` across an axis, or everything below a front at ``position``.

    On a periodic axis there are two interfaces: a layer may wrap around, and ``position`` counts from 0. On other axes
    an end that is not given, or is at a wall or beyond it, is no interface. With ``component`` the others are 0.
    """
    check_component(target, o["component"])
    axis, start, end = target.grid.axes[o["axis"]], o["from"], o["to"]
    if o["position"] is not None:
        if start is not None or end is not None:
            raise ConfigError(f"{target.key}.position", "excludes from and to", "give position alone, or from and to")
        start, end = (0.0 if axis.boundary == "periodic" else None), o["position"]
    elif start is None and end is None:
        raise ConfigError(target.key, "expected from and to, or position; got neither")
    if axis.boundary == "periodic":
        if start is None or end is None:
            missing = "to" if end is None else "from"
            raise ConfigError(f"{target.key}.{missing}", "missing: a layer across a periodic axis needs both ends")
        thickness = end - start if end > start else end - start + axis.length
        if not 0 < thickness < axis.length:
            raise ConfigError(f"{target.key}", f"no layer between {start:g} and {end:g} on a length of {axis.length:g}")
        distance = np.abs(nearest_image(axis.centers - (start + thickness / 2), axis)) - thickness / 2
    else:
        start = -math.inf if start is None or start <= 0 else start
        end = math.inf if end is None or end >= axis.length else end
        if start >= end or start >= axis.length or end <= 0:
            raise ConfigError(f"{target.key}", f"the layer has no part between the walls at 0 and {axis.length:g}")
        distance = np.maximum(start - axis.centers, axis.centers - end)
    across = [1] * target.grid.dim
    across[o["axis"]] = axis.n
    layer = profile(distance, o).reshape(across)

    def make(rows: slice) -> Array:
        values = layer[rows] if o["axis"] == 0 else layer
        return place(target, o["component"], np.broadcast_to(values, target.zeros(rows).shape[1:]))

    return make
