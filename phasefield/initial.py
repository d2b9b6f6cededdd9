"""Initial conditions: from a few lines of configuration to the values of a field in every cell.

A specification is an expression (a string or a number), a list with one expression per component, or a mapping with a
``kind`` and the keys of that kind; the kinds are the functions below that are decorated with ``_kind``. A number may
also be written as an expression of the parameters, and a key that is null counts as not given.

Noise depends on the seed, the field and the global cell index alone, so that any part of the grid can be generated
anywhere. Random positions depend on the seed alone: the same circles or grains can be asked for in several fields.

With the signed distance ``d`` to the interface, all interfaces have the profile of a double well in equilibrium,
``outside + (inside - outside) * (1 - tanh(d / (sqrt(2) width))) / 2`` (Cahn and Hilliard 1958,
doi:10.1063/1.1744102); ``width: 0`` is sharp.
"""

from __future__ import annotations

import difflib
import heapq
import math
import numbers
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import sympy
from numpy.typing import NDArray

from phasefield.errors import ConfigError, ExpressionError
from phasefield.grid import AXIS_NAMES, Axis, Grid
from phasefield.symbolic import Symbols, parse

Array: TypeAlias = NDArray[np.float64]
Spec: TypeAlias = str | float | Sequence[Any] | Mapping[str, Any]

_ALIASES = {"spheres": "circles"}
_CHUNK = 2**18  # cells that are worked on at a time, to stay in cache and to bound temporary memory
_TRIES = 10_000  # random positions per circle before giving up
_SATURATED = 28.0  # widths from the interface beyond which the tanh profile is 0 or 1 in double precision


def initial_field(
    name: str,
    spec: Spec,
    components: int | None,
    grid: Grid,
    seed: int,
    parameters: Mapping[str, float],
    base: Path | None = None,
) -> Array:
    """Values of a field at the cell centres at time zero.

    Args:
        name: name of the field; errors name the key ``initial.<name>`` and those below it.
        spec: the specification, see the module.
        components: number of components, ``None`` for a scalar field.
        grid: the grid; coordinates and distances are in its unit of length.
        seed: any integer, taken modulo 2**64.
        parameters: constants that expressions may use.
        base: folder that relative paths start from; default is the working directory.

    Returns:
        C-contiguous array of shape ``(components or 1, *grid.shape)``, in the unit of the field.

    Raises:
        ConfigError: the specification is not understood, does not fit the field or the grid, or gives values that are
            not finite real numbers; an ExpressionError points at the fault in an expression.
    """
    target = _Target(f"initial.{name}", name, components, grid, seed, parameters, base or Path())
    return np.require(_field(target, spec), requirements=["C", "W"])  # may be a view


def merge_initial(default: Spec | None, override: Spec | None) -> Spec | None:
    """Combine two specifications of a field: a mapping of the same kind (or without one) is merged key by key.

    Args:
        default: what a model proposes.
        override: what the user asks for; ``None`` keeps the default.

    Returns:
        ``default`` updated with ``override`` if both are mappings and the override has the same ``kind`` or none;
        otherwise the override alone.
    """
    if override is None:
        return default
    if isinstance(default, Mapping) and isinstance(override, Mapping) and _name(override) in (None, _name(default)):
        return {**default, **{k: v for k, v in override.items() if k != "kind"}}
    return override


def cell_noise(seed: int, stream: str, start: int, count: int, distribution: str) -> Array:
    """Random numbers of the cells ``start <= i < start + count``; number ``i`` depends on ``(seed, stream, i)`` only.

    The generator is Philox4x64-10 (Salmon et al. 2011, doi:10.1145/2063384.2063405), keyed by the seed and BLAKE2b of
    the stream and advanced to the first cell. Uniform numbers are the top 53 bits of raw value ``i`` and the same on
    every platform; normal ones are Box-Muller transforms of raw values ``2i`` and ``2i + 1``, the same up to rounding.

    Args:
        seed: any integer, taken modulo 2**64.
        stream: name of the sequence; noise uses ``initial.<field>/<component>``, the component counted from 1.
        start: global index of the first cell, in C order.
        count: number of cells.
        distribution: ``uniform`` in [-1, 1) or ``normal`` with mean 0 and variance 1.

    Returns:
        Array of shape ``(count,)``.
    """
    per_cell = 2 if distribution == "normal" else 1
    skipped, offset = divmod(start * per_cell, 4)
    digest = blake2b(stream.encode(), digest_size=8).digest()
    generator = np.random.Philox(key=np.array([seed % 2**64, int.from_bytes(digest, "little")], dtype=np.uint64))
    generator.advance(skipped)  # in blocks of four raw values
    raw = generator.random_raw(offset + count * per_cell)[offset:]
    integers = (raw >> np.uint64(11)).astype(np.float64)
    if distribution == "uniform":
        return integers * 2.0**-52 - 1.0
    radius = np.sqrt(-2.0 * np.log((integers[0::2] + 1.0) * 2.0**-53))  # in (0, 1]: the logarithm is finite
    return radius * np.cos(integers[1::2] * (2.0 * math.pi * 2.0**-53))


# --------------------------------------------------------------------------------------------------------------------
# Reading a specification
# --------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Target:
    """What is being initialised, and the key that holds its specification."""

    key: str
    name: str
    components: int | None
    grid: Grid
    seed: int
    parameters: Mapping[str, float]
    base: Path

    @property
    def n(self) -> int:
        return self.components or 1

    def zeros(self) -> Array:
        return np.zeros((self.n, *self.grid.shape))


class _Option(NamedTuple):
    """A key of a kind: how its value is checked and converted, and its default (``...`` if it must be given)."""

    read: Callable[[_Target, str, Any], Any]
    default: Any = ...


_Kind: TypeAlias = Callable[[_Target, dict[str, Any]], Array]
_KINDS: dict[str, tuple[dict[str, _Option], _Kind]] = {}


def _kind(name: str, options: dict[str, _Option]) -> Callable[[_Kind], _Kind]:
    """Register a kind: its function gets the target and the converted value of every option."""

    def register(function: _Kind) -> _Kind:
        _KINDS[name] = options, function
        return function

    return register


def _field(target: _Target, spec: Any) -> Array:
    if not isinstance(spec, Mapping):
        return _expression(target, target.key, spec)
    given = {k: v for k, v in spec.items() if v is not None}
    kind = given.pop("kind", None)
    name = _name(spec)
    if name not in (known := [*_KINDS, *_ALIASES]):
        problem = "missing" if kind is None else f"unknown kind {kind!r}{_suggest(kind, known)}"
        raise ConfigError(f"{target.key}.kind", problem, f"choose one of {', '.join(known)}")
    options, function = _KINDS[name]
    for key in given:
        if key not in options:
            raise ConfigError(
                f"{target.key}.{key}",
                f"unknown key of kind {kind!r}{_suggest(key, options)}",
                f"the keys are {', '.join(options)}",
            )
    for key, option in options.items():
        if option.default is ... and key not in given:
            raise ConfigError(f"{target.key}.{key}", f"missing: kind {kind!r} needs it")
    values = {
        key: option.read(target, f"{target.key}.{key}", given[key]) if key in given else option.default
        for key, option in options.items()
    }
    return function(target, values)


def _name(spec: Mapping[str, Any]) -> Any:
    """The kind of a mapping, without aliases."""
    kind = spec.get("kind")
    return _ALIASES.get(kind, kind) if isinstance(kind, str) else kind


def _suggest(word: Any, known: Sequence[str] | Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(str(word), list(known), 1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _expected(key: str, what: str, got: Any) -> ConfigError:
    shown = repr(got)
    return ConfigError(key, f"expected {what}, got {shown if len(shown) <= 60 else shown[:57] + '...'}")


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _number(target: _Target, key: str, value: Any) -> float:
    if isinstance(value, str):
        return float(_evaluate(replace(target, grid=Grid((), (), ())), key, value))
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
        raise _expected(key, "a finite number", value)
    return float(value)


def _at_least_zero(target: _Target, key: str, value: Any) -> float:
    if (number := _number(target, key, value)) < 0:
        raise _expected(key, "a number that is not negative", value)
    return number


def _positive(target: _Target, key: str, value: Any) -> float:
    if (number := _number(target, key, value)) <= 0:
        raise _expected(key, "a positive number", value)
    return number


def _integer(target: _Target, key: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise _expected(key, "an integer", value)
    return int(value)


def _count(target: _Target, key: str, value: Any) -> int:
    if (count := _integer(target, key, value)) < 1:
        raise _expected(key, "a positive integer", value)
    return count


def _component(target: _Target, key: str, value: Any) -> int:
    if target.components is None:
        raise ConfigError(key, f"field {target.name!r} has no components", "remove this key")
    if not 1 <= (component := _integer(target, key, value)) <= target.components:
        raise _expected(key, f"a component from 1 to {target.components}", value)
    return component


def _flag(target: _Target, key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _expected(key, "true or false", value)
    return value


def _text(target: _Target, key: str, value: Any) -> str:
    if not isinstance(value, str | Path) or not str(value):
        raise _expected(key, "text", value)
    return str(value)


def _one_of(*choices: str) -> Callable[[_Target, str, Any], str]:
    def read(target: _Target, key: str, value: Any) -> str:
        if value not in choices:
            raise _expected(key, " or ".join(choices), value)
        return str(value)

    return read


def _axis(target: _Target, key: str, value: Any) -> int:
    names = target.grid.names
    return names.index(_one_of(*names)(target, key, value))


def _list_of(read: Callable[[_Target, str, Any], Any], what: str) -> Callable[[_Target, str, Any], list[Any]]:
    def read_all(target: _Target, key: str, value: Any) -> list[Any]:
        if not _is_list(value) or not value:
            raise _expected(key, f"a list of {what}", value)
        return [read(target, f"{key}[{i}]", v) for i, v in enumerate(value)]

    return read_all


def _one_or_list(read: Callable[[_Target, str, Any], float], what: str) -> Callable[[_Target, str, Any], list[float]]:
    return lambda target, key, value: _list_of(read, what)(target, key, value if _is_list(value) else [value])


def _pair(target: _Target, key: str, value: Any) -> list[float]:
    if not _is_list(value) or len(value) != 2:
        raise _expected(key, "two numbers [low, high]", value)
    return _list_of(_number, "numbers")(target, key, value)


def _points(target: _Target, key: str, value: Any) -> Array:
    def point(target: _Target, key: str, value: Any) -> list[float]:
        if target.grid.dim == 1 and not _is_list(value):
            value = [value]
        if not _is_list(value) or len(value) != target.grid.dim:
            raise _expected(key, f"a point [{', '.join(target.grid.names)}]", value)
        return _list_of(_number, "numbers")(target, key, value)

    return np.array(_list_of(point, "points")(target, key, value))


def _raw(target: _Target, key: str, value: Any) -> Any:
    return value


def _expression(target: _Target, key: str, value: Any) -> Array:
    """One expression for all components or a list with one for each: shape ``(n, *shape)``."""
    out = target.zeros()
    if not _is_list(value):
        out[:] = _evaluate(target, key, value)
        return out
    if target.components is None:
        raise ConfigError(key, f"field {target.name!r} has no components; expected one expression, not a list")
    if len(value) != target.n:
        raise ConfigError(key, f"expected {target.n} expressions, one per component; got {len(value)}")
    for i, text in enumerate(value):
        out[i] = _evaluate(target, f"{key}[{i}]", text)
    return out


def _evaluate(target: _Target, key: str, value: Any) -> Array:
    """An expression at the cell centres, shape ``grid.shape`` (read-only)."""
    grid = target.grid
    if not isinstance(value, str):
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            raise _expected(key, "a number, an expression or a mapping with kind", value)
        return np.broadcast_to(_number(target, key, value), grid.shape)
    expr = parse(value, key, Symbols({}, tuple(target.parameters), AXIS_NAMES if grid.dim else ()))
    for name in sorted({s.name for s in expr.free_symbols} & (set(AXIS_NAMES) - set(grid.names))):
        found = re.search(rf"\b{name}\b", value)
        problem = f"coordinate {name} does not exist on a {grid.dim}-D grid; it has {', '.join(grid.names)}"
        raise ExpressionError(key, value, found.start() if found else 0, problem)
    # np.float64, because a zero parameter in a denominator must give inf rather than ZeroDivisionError.
    arguments: dict[str, Any] = {n: np.float64(v) for n, v in target.parameters.items()}
    arguments |= zip(grid.names, grid.coordinates(), strict=True)
    function = sympy.lambdify([sympy.Symbol(n, real=True) for n in arguments], expr, "numpy", cse=True)
    with np.errstate(all="ignore"):
        values = np.asarray(function(*arguments.values()))
    values = np.broadcast_to(values if values.dtype.kind in "fc" else values.astype(float), grid.shape)
    bad = ~np.isfinite(values) | (values.imag != 0)
    if bad.any():
        raise ConfigError(key, f"the value of {value!r} is not a finite real number {_where(target, bad)}")
    return values.real.astype(float, copy=False)


def _where(target: _Target, bad: NDArray[np.bool_]) -> str:
    """How many cells are marked, and the position of the first."""
    grid = target.grid
    if not grid.dim:
        return "for these parameters"
    first = np.unravel_index(int(bad.argmax()), bad.shape)[-grid.dim :]
    at = ", ".join(f"{n} = {a.centers[i]:.6g}" for n, a, i in zip(grid.names, grid.axes, first, strict=True))
    return f"in {np.count_nonzero(bad)} of {bad.size} cells, for example at {at}"


# --------------------------------------------------------------------------------------------------------------------
# Geometry
# --------------------------------------------------------------------------------------------------------------------


def _nearest_image(offset: Array, axis: Axis) -> Array:
    return offset - axis.length * np.round(offset / axis.length) if axis.boundary == "periodic" else offset


def _distance(squares: Sequence[Array]) -> Array:
    """Distances from squared offsets per axis, over the outer product of the axes."""
    return np.sqrt(reduce(np.add.outer, squares))


def _slabs(grid: Grid) -> Iterator[slice]:
    """Parts of the first axis with about ``_CHUNK`` cells each."""
    rows = max(1, _CHUNK * grid.shape[0] // grid.cells)
    return (slice(i, i + rows) for i in range(0, grid.shape[0], rows))


def _uniform(target: _Target, stream: str, start: int, count: int) -> Array:
    """Random numbers in [0, 1), the same for all fields but different in each term of a sum."""
    term = target.key.removeprefix(f"initial.{target.name}")
    return 0.5 + 0.5 * cell_noise(target.seed, f"{stream}{term}", start, count, "uniform")


def _mean(values: Array) -> float:
    """Mean by pairwise summation in a fixed order: np.mean follows the vector width of the processor."""
    total = values
    while total.size > 1:
        half = total.size // 2
        folded = total[:half] + total[half : 2 * half]
        folded[: total.size % 2] += total[2 * half :]
        total = folded
    return float(total[0]) / values.size


def _profile(distance: Array, o: Mapping[str, Any]) -> Array:
    if o["width"] == 0:
        return np.where(distance <= 0, o["inside"], o["outside"])
    return o["outside"] + (o["inside"] - o["outside"]) * 0.5 * (1 - np.tanh(distance / (math.sqrt(2) * o["width"])))


def _place(target: _Target, component: int | None, values: Array) -> Array:
    """The field whose only values, or those of one component, are given; the other components are zero."""
    if component is None:
        return values[None]
    out = target.zeros()
    out[component - 1] = values
    return out


_PROFILE = {
    "inside": _Option(_number, 1.0),
    "outside": _Option(_number, 0.0),
    "width": _Option(_at_least_zero, 0.0),
    "component": _Option(_component, None),
}


def _check_component(target: _Target, component: int | None, otherwise: str = "") -> None:
    if target.components is not None and component is None:
        raise ConfigError(
            f"{target.key}.component",
            f"missing: field {target.name!r} has {target.components} components",
            f"set component to a number from 1 to {target.components}{otherwise}",
        )


# --------------------------------------------------------------------------------------------------------------------
# Kinds
# --------------------------------------------------------------------------------------------------------------------


@_kind("expression", {"value": _Option(_expression)})
def _make_expression(target: _Target, o: dict[str, Any]) -> Array:
    """The same as the bare expression, number or list."""
    return o["value"]


@_kind("sum", {"terms": _Option(_list_of(_raw, "specifications"))})
def _make_sum(target: _Target, o: dict[str, Any]) -> Array:
    """Sum of specifications. Noise in different terms is independent."""
    out = target.zeros()
    for i, term in enumerate(o["terms"]):
        out += _field(replace(target, key=f"{target.key}.terms[{i}]"), term)
    return out


@_kind(
    "noise",
    {
        "mean": _Option(_expression, None),
        "amplitude": _Option(_at_least_zero),
        "distribution": _Option(_one_of("uniform", "normal"), "uniform"),
        "conserve_mean": _Option(_flag, True),
    },
)
def _make_noise(target: _Target, o: dict[str, Any]) -> Array:
    """White noise about ``mean``: within ``amplitude`` if uniform, of that standard deviation if normal.

    With ``conserve_mean`` the sample mean of the noise is subtracted, so that the field's mean is that of ``mean``.
    """
    out = target.zeros() if o["mean"] is None else o["mean"]
    noise = np.empty(target.grid.cells)
    for i, values in enumerate(out, start=1):
        for start in range(0, noise.size, _CHUNK):
            part = noise[start : start + _CHUNK]
            part[:] = cell_noise(target.seed, f"{target.key}/{i}", start, part.size, o["distribution"])
        if o["conserve_mean"]:
            noise -= _mean(noise)
        values += o["amplitude"] * noise.reshape(target.grid.shape)
    return out


@_kind(
    "circles",
    {
        "centers": _Option(_points, None),
        "radii": _Option(_one_or_list(_positive, "radii"), None),
        "count": _Option(_count, None),
        "radius": _Option(_one_or_list(_positive, "radii"), None),
        "spacing": _Option(_at_least_zero, 0.0),
        "assign": _Option(_one_of("cycle"), None),
        **_PROFILE,
    },
)
def _make_circles(target: _Target, o: dict[str, Any]) -> Array:
    """Union of circles (intervals in 1-D, spheres in 3-D), given by ``centers`` and ``radii`` or placed at random.

    ``count`` circles of ``radius`` (a number or uniform in [min, max]) do not overlap, keep a gap of ``spacing`` and
    stay inside walls. In a field with components they all go to ``component``, where the others are 0, or to one
    component after the other (``assign: cycle``).
    """
    if o["assign"] is None:
        _check_component(target, o["component"], "; or assign: cycle to share the circles out")
    elif target.components is None:
        raise ConfigError(f"{target.key}.assign", f"field {target.name!r} has no components", "remove this key")
    elif o["component"] is not None:
        raise ConfigError(f"{target.key}.assign", "excludes component", "remove one of the two")
    centers, radii = _circles(target, o)
    reach = _SATURATED * o["width"]
    groups = target.n if o["assign"] else 1
    distance = np.full((groups, *target.grid.shape), np.inf)
    for k, (center, radius) in enumerate(zip(centers, radii, strict=True)):
        offsets = [_nearest_image(a.centers - c, a) for a, c in zip(target.grid.axes, center, strict=True)]
        near = [np.flatnonzero(np.abs(d) <= radius + reach) for d in offsets]
        cells = np.ix_(*near)
        signed = _distance([d[i] ** 2 for d, i in zip(offsets, near, strict=True)]) - radius
        group = distance[k % groups]
        group[cells] = np.minimum(group[cells], signed)
    values = _profile(distance, o)
    return values if o["assign"] else _place(target, o["component"], values[0])


def _circles(target: _Target, o: Mapping[str, Any]) -> tuple[Array, Array]:
    """Centres, shape ``(count, dim)``, and radii, shape ``(count,)``."""
    given = {k for k in ("centers", "radii", "count", "radius") if o[k] is not None}
    if given not in ({"centers", "radii"}, {"count", "radius"}):
        got = f"got {', '.join(sorted(given))}" if given else "got neither"
        raise ConfigError(target.key, f"expected either centers and radii, or count and radius; {got}")
    if "centers" in given:
        centers, radii = o["centers"], o["radii"]
        if len(radii) not in (1, len(centers)):
            raise ConfigError(f"{target.key}.radii", f"expected one radius or {len(centers)}, got {len(radii)}")
        return centers, np.broadcast_to(np.array(radii), len(centers))
    low, high = o["radius"][0], o["radius"][-1]
    if len(o["radius"]) > 2 or low > high:
        raise _expected(f"{target.key}.radius", "a number or [min, max]", o["radius"])
    # The largest first: large circles no longer fit between small ones.
    radii = np.sort(low + (high - low) * _uniform(target, "radii", 0, o["count"]))[::-1]
    return _scatter(target, radii, o["spacing"]), radii


def _scatter(target: _Target, radii: Array, spacing: float) -> Array:
    """Random centres of circles that do not overlap: random sequential addition (Widom 1966, doi:10.1063/1.1726548)."""
    axes, dim, batch = target.grid.axes, target.grid.dim, 500
    centers = np.empty((len(radii), dim))
    for k, radius in enumerate(radii):
        wall = np.array([0.0 if a.boundary == "periodic" else radius for a in axes])
        room = np.array([a.length for a in axes]) - 2 * wall
        needed = [2 * radius + (spacing if a.boundary == "periodic" else 0) for a in axes]
        tries = _TRIES if all(s <= a.length for s, a in zip(needed, axes, strict=True)) else 0
        for start in range(k * _TRIES, k * _TRIES + tries, batch):
            points = wall + room * _uniform(target, "circles", start * dim, batch * dim).reshape(batch, dim)
            gaps = [_nearest_image(np.subtract.outer(points[:, d], centers[:k, d]), a) for d, a in enumerate(axes)]
            free = (np.sqrt(sum(g**2 for g in gaps)) >= radii[:k] + radius + spacing).all(axis=1)
            if free.any():
                centers[k] = points[free.argmax()]
                break
        else:
            raise ConfigError(
                f"{target.key}.count",
                f"only {k} of {len(radii)} circles fit without overlap after {_TRIES} random positions each",
                "reduce count, radius or spacing",
            )
    return centers


@_kind(
    "slab",
    {
        "axis": _Option(_axis),
        "from": _Option(_number, None),
        "to": _Option(_number, None),
        "position": _Option(_number, None),
        **_PROFILE,
    },
)
def _make_slab(target: _Target, o: dict[str, Any]) -> Array:
    """The layer ``from`` .. ``to`` across an axis, or everything below a front at ``position``.

    On a periodic axis there are two interfaces: a layer may wrap around, and ``position`` counts from 0. On other axes
    an end that is not given, or is at a wall or beyond it, is no interface. With ``component`` the others are 0.
    """
    _check_component(target, o["component"])
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
        distance = np.abs(_nearest_image(axis.centers - (start + thickness / 2), axis)) - thickness / 2
    else:
        start = -math.inf if start is None or start <= 0 else start
        end = math.inf if end is None or end >= axis.length else end
        if start >= end or start >= axis.length or end <= 0:
            raise ConfigError(f"{target.key}", f"the layer has no part between the walls at 0 and {axis.length:g}")
        distance = np.maximum(start - axis.centers, axis.centers - end)
    across = [1] * target.grid.dim
    across[o["axis"]] = axis.n
    values = np.broadcast_to(_profile(distance, o).reshape(across), target.grid.shape)
    return _place(target, o["component"], values)


@_kind(
    "voronoi",
    {"grains": _Option(_count, None), "centers": _Option(_points, None), "width": _Option(_at_least_zero, 0.0)},
)
def _make_voronoi(target: _Target, o: dict[str, Any]) -> Array:
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
    if centers is None:
        points = _uniform(target, "grains", 0, grains * grid.dim).reshape(grains, grid.dim)
        centers = points * np.array(grid.lengths)
    if len(centers) != grains:
        raise ConfigError(f"{target.key}.grains", f"is {grains}, but there are {len(centers)} centers", "remove grains")
    squares = [_nearest_image(np.subtract.outer(centers[:, d], a.centers), a) ** 2 for d, a in enumerate(grid.axes)]

    def distances(slab: slice) -> Iterator[tuple[int, Array]]:
        for grain in range(grains):
            yield grain, _distance([squares[0][grain, slab], *(s[grain] for s in squares[1:])])

    nearest = np.full(grid.shape, np.inf)
    owner = np.zeros(grid.shape, dtype=np.int64)
    for slab in _slabs(grid):
        for grain, distance in distances(slab):
            owner[slab][distance < nearest[slab]] = grain
            np.minimum(nearest[slab], distance, out=nearest[slab])
    component = _components_of(target, owner, grains)
    out = target.zeros()
    if o["width"] == 0:
        of_cell = component[owner]
        for i, eta in enumerate(out):
            eta[:] = of_cell == i
        return out
    for slab in _slabs(grid):
        part = out[:, slab]
        for grain, distance in distances(slab):
            part[component[grain]] += np.exp((nearest[slab] - distance) / (math.sqrt(2) * o["width"]))
        part /= part.sum(axis=0)
    return out


def _components_of(target: _Target, owner: NDArray[np.int64], grains: int) -> NDArray[np.int64]:
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
        for pair in np.unique(here[touching] * grains + there[touching]):
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


# --------------------------------------------------------------------------------------------------------------------
# Files
# --------------------------------------------------------------------------------------------------------------------


@_kind(
    "file",
    {
        "path": _Option(_text),
        "variable": _Option(_text, None),
        "time": _Option(_integer, None),
        "range": _Option(_pair, None),
        "resample": _Option(_flag, False),
        "component": _Option(_component, None),
    },
)
def _make_file(target: _Target, o: dict[str, Any]) -> Array:
    """Values from NetCDF, NumPy (.npy) or an image (PNG, JPEG, BMP, TIFF).

    NetCDF: ``variable`` (default: the field's name) at index ``time`` (default: the last). Dimensions called x, y and z
    may come in any order, others count in the order of the file. Arrays have the axes x, y, z, and before them one for
    the components if there are any; ``component`` fills one of them and leaves the others 0.

    Images: grey values from 0 to full scale become ``range``; colours are reduced to luminance, rows run from the top
    (largest y) down, and the pages of a TIFF are z. For other data, floating-point and signed images among them,
    ``range`` is what their minimum and maximum become. ``resample`` interpolates linearly between cell centres.
    """
    grid, path = target.grid, target.base / Path(o["path"]).expanduser()
    key = f"{target.key}.path"
    if not path.is_file():
        raise ConfigError(key, f"there is no file {path}")
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise ConfigError(key, f"unknown type of file {path.name}", f"expected one of {', '.join(_READERS)}")
    if reader is not _read_netcdf and (extra := [k for k in ("variable", "time") if o[k] is not None]):
        raise ConfigError(f"{target.key}.{extra[0]}", f"applies to NetCDF files, not to {path.name}", "remove this key")
    try:
        data, full = reader(target, path, o)
    except ConfigError:
        raise
    except Exception as error:  # the libraries raise almost anything on a damaged file
        hint = "is it complete, and of the type that its suffix says?"
        raise ConfigError(key, f"{path} cannot be read: {error}", hint) from error
    if data.dtype.kind not in "biuf":
        raise ConfigError(key, f"{path} holds {data.dtype} values; expected real numbers")
    data = data.astype(float)
    if bad := int(np.count_nonzero(~np.isfinite(data))):
        raise ConfigError(key, f"{bad} of {data.size} values in {path} are not finite")
    if o["range"] is not None:
        low, high = o["range"]
        bottom, top = (0.0, full) if full else (float(data.min()), float(data.max()))
        if bottom == top:
            raise ConfigError(f"{target.key}.range", f"all values in {path} are equal", "remove range")
        data = low + (high - low) * ((data - bottom) / (top - bottom))
    elif full:
        raise ConfigError(f"{target.key}.range", "missing: an image needs it", "for example range: [0, 1]")
    single = target.components is None or o["component"] is not None
    if single and data.ndim == grid.dim:
        data = data[None]
    if data.ndim != grid.dim + 1 or data.shape[0] != (1 if single else target.n):
        wanted = grid.shape if single else (target.n, *grid.shape)
        hint = "set component to fill one of the components" if data.ndim == grid.dim else ""
        raise ConfigError(key, f"{path} has shape {data.shape}; expected {wanted}", hint)
    if data.shape[1:] != grid.shape:
        if not o["resample"]:
            raise ConfigError(
                key,
                f"{path} has shape {data.shape[1:]} and the grid {grid.shape}",
                f"set grid.shape={list(data.shape[1:])} or resample: true",
            )
        for d, axis in enumerate(grid.axes, start=1):
            data = _resample(data, d, axis)
    return data if target.components is None or o["component"] is None else _place(target, o["component"], data[0])


def _resample(data: Array, d: int, axis: Axis) -> Array:
    """Linear interpolation along dimension ``d`` from the cells of the data to those of ``axis``."""
    n = data.shape[d]
    position = (np.arange(axis.n) + 0.5) * (n / axis.n) - 0.5
    if axis.boundary != "periodic":
        position = position.clip(0, n - 1)
    left = np.floor(position).astype(int)
    weight = (position - left).reshape([-1 if e == d else 1 for e in range(data.ndim)])
    return (1 - weight) * data.take(left % n, axis=d) + weight * data.take((left + 1) % n, axis=d)


def _read_npy(target: _Target, path: Path, o: Mapping[str, Any]) -> tuple[NDArray[Any], None]:
    with open(path, "rb") as file:  # np.load takes whatever is not .npy for a pickle and says so
        return np.lib.format.read_array(file, allow_pickle=False), None


def _read_netcdf(target: _Target, path: Path, o: Mapping[str, Any]) -> tuple[NDArray[Any], None]:
    import xarray  # takes half a second to import

    name = o["variable"] or target.name
    with xarray.open_dataset(path, decode_times=False) as dataset:
        if name not in dataset.data_vars:
            present = sorted(map(str, dataset.data_vars))
            problem = f"{path} has no variable {name!r}{_suggest(name, present)}"
            raise ConfigError(f"{target.key}.variable", problem, f"it has {', '.join(present) or 'none at all'}")
        variable = dataset[name]
        if times := [d for d in variable.dims if d in ("time", "t")]:
            records, index = variable.sizes[times[0]], -1 if o["time"] is None else o["time"]
            if not -records <= index < records:
                raise ConfigError(f"{target.key}.time", f"is {index}, but {path} has {records} records of {name!r}")
            variable = variable.isel({times[0]: index})
        elif o["time"] is not None:
            raise ConfigError(f"{target.key}.time", f"{name!r} in {path} has no dimension time", "remove this key")
        if set(target.grid.names) <= set(variable.dims):
            variable = variable.transpose(..., *target.grid.names)
        return variable.values, None


def _read_image(target: _Target, path: Path, o: Mapping[str, Any]) -> tuple[NDArray[Any], float | None]:
    """Grey values with the axes x, y, z and full scale, ``None`` for types of pixel that have none."""
    pixels = _tiff_pages(path) if path.suffix.lower() in (".tif", ".tiff") else _pillow_pages(path)
    full = {"b": 1.0, "u": float(2 ** (8 * pixels.dtype.itemsize) - 1)}.get(pixels.dtype.kind)
    values = pixels[:, ::-1].transpose(2, 1, 0)
    for name in ("z", "y"):
        if name not in target.grid.names and values.shape[-1] == 1:
            values = values[..., 0]
    if values.ndim != target.grid.dim:
        size = " x ".join(map(str, values.shape))
        raise ConfigError(f"{target.key}.path", f"{path} is an image of {size} cells; the grid is {target.grid.dim}-D")
    return values, full


def _pillow_pages(path: Path) -> NDArray[Any]:
    """All pages by Pillow, shape ``(pages, rows, columns)``."""
    from PIL import Image, ImageSequence

    def grey(image: Image.Image) -> NDArray[Any]:
        if image.mode in ("1", "L", "F") or image.mode.startswith("I;16"):
            return np.asarray(image)
        if image.mode == "I":  # what older versions of Pillow make of 16-bit PNG
            return np.asarray(image).astype(np.uint16 if image.format == "PNG" else np.int32)
        return np.asarray(image.convert("L"))

    with Image.open(path) as image:
        pages = ImageSequence.Iterator(image) if image.format == "TIFF" else [image]
        return np.stack([grey(page) for page in pages])


def _tiff_pages(path: Path) -> NDArray[Any]:
    """All pages of a TIFF, shape ``(pages, rows, columns)``."""
    import tifffile

    with tifffile.TiffFile(path) as file:
        series, photometric = file.series[0], file.pages.first.photometric
        if photometric == tifffile.PHOTOMETRIC.PALETTE:
            return _pillow_pages(path)
        try:
            pixels = series.asarray()
        except ValueError:  # a compression that needs a codec tifffile lacks and Pillow may have
            return _pillow_pages(path)
        axes = series.axes
    if photometric == tifffile.PHOTOMETRIC.MINISWHITE and pixels.dtype.kind in "bu":
        pixels = ~pixels
    if "S" in axes:
        pixels = np.moveaxis(pixels, axes.index("S"), -1)
        if photometric == tifffile.PHOTOMETRIC.RGB:
            luminance = pixels[..., :3] @ np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as Pillow does
            pixels = luminance if pixels.dtype.kind == "f" else luminance.round().astype(pixels.dtype)
        else:
            pixels = pixels[..., 0]
    return pixels if pixels.ndim > 2 else pixels[None]


_READERS: dict[str, Callable[[_Target, Path, Mapping[str, Any]], tuple[NDArray[Any], float | None]]] = {
    **dict.fromkeys((".nc", ".nc4", ".cdf", ".h5"), _read_netcdf),
    ".npy": _read_npy,
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"), _read_image),
}
