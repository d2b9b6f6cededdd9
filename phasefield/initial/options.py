"""The keys of a specification: the registry of kinds, and how values are checked and converted."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import sympy
from numpy.typing import NDArray

from ..errors import ConfigError, guess
from ..grid import AXIS_NAMES, Grid
from ..symbolic import Symbols, parse

Array: TypeAlias = NDArray[np.float64]
Spec: TypeAlias = str | float | Sequence[Any] | Mapping[str, Any] | NDArray[Any]


_ALIASES = {"spheres": "circles"}
CHUNK = 2**18  # cells that are worked on at a time, to stay in cache and to bound temporary memory


def slabs(grid: Grid) -> Iterator[slice]:
    """Parts of the first axis with about ``CHUNK`` cells each."""
    rows = max(1, CHUNK * grid.shape[0] // grid.cells)
    return (slice(i, min(i + rows, grid.shape[0])) for i in range(0, grid.shape[0], rows))


@dataclass(frozen=True)
class Target:
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

    def zeros(self, rows: slice | None = None) -> Array:
        """Zeros of all components in all cells or those of some rows."""
        shape = list(self.grid.shape)
        if rows is not None:
            shape[0] = len(range(*rows.indices(shape[0])))
        return np.zeros((self.n, *shape))


class Option(NamedTuple):
    """A key of a kind: how its value is checked and converted, and its default (``...`` if it must be given).

    ``beside``: the key without which, or where that is 0, nothing heeds it.
    """

    read: Callable[[Target, str, Any], Any]
    default: Any = ...
    beside: str = ""


#: Values in the cells whose index along the first axis is in the slice, shape ``(components, *shape of these cells)``.
Rows: TypeAlias = Callable[[slice], Array]
_Kind: TypeAlias = Callable[[Target, dict[str, Any]], "Array | Rows"]
_Random: TypeAlias = Callable[[Mapping[str, Any]], bool]
_KINDS: dict[str, tuple[dict[str, Option], _Kind, _Random]] = {}


def register_kind(
    name: str, options: dict[str, Option], random: _Random = lambda given: False
) -> Callable[[_Kind], _Kind]:
    """Register a kind: its function gets the target and the converted value of every option.

    It returns all values, or better a function that makes those of any rows of the grid: no second copy of it is then needed.

    Args:
        random: whether what is given of such a kind depends on the seed.
    """

    def register(function: _Kind) -> _Kind:
        _KINDS[name] = options, function, random
        return function

    return register


def read_field(target: Target, spec: Any) -> Rows:
    if hasattr(spec, "__array__") and np.ndim(spec):
        array = read_values(target, target.key, spec)
        return lambda rows: array[:, rows]
    if not isinstance(spec, Mapping):
        return read_expression(target, target.key, spec)
    given = {k: v for k, v in spec.items() if v is not None}
    kind = given.pop("kind", None)
    name = kind_name(spec)
    if name not in (known := sorted([*_KINDS, *_ALIASES])):
        problem = "missing" if kind is None else f"unknown kind {kind!r}{suggest(kind, known)}"
        raise ConfigError(f"{target.key}.kind", problem, f"choose one of {', '.join(known)}")
    options, function, _ = _KINDS[name]
    for key in given:
        if key not in options:
            raise ConfigError(
                f"{target.key}.{key}",
                f"unknown key of kind {kind!r}{suggest(key, options)}",
                f"the keys are {', '.join(options)}",
            )
    for key, option in options.items():
        if option.default is ... and key not in given:
            raise ConfigError(f"{target.key}.{key}", f"missing: kind {kind!r} needs it")
    values = {
        key: option.read(target, f"{target.key}.{key}", given[key]) if key in given else option.default
        for key, option in options.items()
    }
    made = function(target, values)
    return made if callable(made) else lambda rows: made[:, rows]


def is_random(spec: Any) -> bool:
    """Whether a specification depends on the seed."""
    if not isinstance(spec, Mapping):
        return False
    *_, random = _KINDS[kind_name(spec)]
    return random({k: v for k, v in spec.items() if v is not None})


def unheeded(key: str, spec: Any) -> Iterator[tuple[str, str]]:
    """Keys of a specification that is valid which nothing heeds, given its others, and why."""
    if not isinstance(spec, Mapping):
        return
    options, *_ = _KINDS[kind_name(spec)]
    for name, option in options.items():
        if option.beside and spec.get(name) is not None and not spec.get(option.beside):
            yield f"{key}.{name}", f"{key}.{option.beside} is {'0' if option.beside in spec else 'not given'}"
    for i, term in enumerate(spec.get("terms") or ()):
        yield from unheeded(f"{key}.terms[{i}]", term)


def kind_name(spec: Mapping[str, Any]) -> Any:
    """The kind of a mapping, without aliases."""
    kind = spec.get("kind")
    return _ALIASES.get(kind, kind) if isinstance(kind, str) else kind


def suggest(word: Any, known: Sequence[str] | Mapping[str, Any]) -> str:
    return guess(str(word), list(known))


def expected(key: str, what: str, got: Any) -> ConfigError:
    shown = repr(got)
    return ConfigError(key, f"expected {what}, got {shown if len(shown) <= 60 else shown[:57] + '...'}")


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def read_number(target: Target, key: str, value: Any) -> float:
    if isinstance(value, str):
        return float(_evaluate(replace(target, grid=Grid((), (), ())), key, value)(slice(None)))
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
        raise expected(key, "a finite number", value)
    return float(value)


def read_at_least_zero(target: Target, key: str, value: Any) -> float:
    if (number := read_number(target, key, value)) < 0:
        raise expected(key, "a number that is not negative", value)
    return number


def read_positive(target: Target, key: str, value: Any) -> float:
    if (number := read_number(target, key, value)) <= 0:
        raise expected(key, "a positive number", value)
    return number


def read_integer(target: Target, key: str, value: Any) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # 1e3, say
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise expected(key, "an integer", value)
    return int(value)


def read_count(target: Target, key: str, value: Any) -> int:
    if (count := read_integer(target, key, value)) < 1:
        raise expected(key, "a positive integer", value)
    return count


def read_component(target: Target, key: str, value: Any) -> int:
    if target.components is None:
        raise ConfigError(key, f"field {target.name!r} has no components", "remove this key")
    if not 1 <= (component := read_integer(target, key, value)) <= target.components:
        raise expected(key, f"a component from 1 to {target.components}", value)
    return component


def read_flag(target: Target, key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise expected(key, "true or false", value)
    return value


def read_text(target: Target, key: str, value: Any) -> str:
    if not isinstance(value, str | Path) or not str(value):
        raise expected(key, "text", value)
    return str(value)


def read_one_of(*choices: str) -> Callable[[Target, str, Any], str]:
    def read(target: Target, key: str, value: Any) -> str:
        if value not in choices:
            raise expected(key, " or ".join(choices), value)
        return str(value)

    return read


def read_axis(target: Target, key: str, value: Any) -> int:
    names = target.grid.names
    return names.index(read_one_of(*names)(target, key, value))


def read_list_of(read: Callable[[Target, str, Any], Any], what: str) -> Callable[[Target, str, Any], list[Any]]:
    def read_all(target: Target, key: str, value: Any) -> list[Any]:
        if not _is_list(value) or not value:
            raise expected(key, f"a list of {what}", value)
        return [read(target, f"{key}[{i}]", v) for i, v in enumerate(value)]

    return read_all


def read_one_or_list(read: Callable[[Target, str, Any], float], what: str) -> Callable[[Target, str, Any], list[float]]:
    return lambda target, key, value: read_list_of(read, what)(target, key, value if _is_list(value) else [value])


def read_pair(target: Target, key: str, value: Any) -> list[float]:
    if not _is_list(value) or len(value) != 2:
        raise expected(key, "two numbers [low, high]", value)
    return read_list_of(read_number, "numbers")(target, key, value)


def read_points(target: Target, key: str, value: Any) -> Array:
    def point(target: Target, key: str, value: Any) -> list[float]:
        if target.grid.dim == 1 and not _is_list(value):
            value = [value]
        if not _is_list(value) or len(value) != target.grid.dim:
            raise expected(key, f"a point [{', '.join(target.grid.names)}]", value)
        return read_list_of(read_number, "numbers")(target, key, value)

    return np.array(read_list_of(point, "points")(target, key, value))


def read_raw(target: Target, key: str, value: Any) -> Any:
    return value


def read_expression(target: Target, key: str, value: Any) -> Rows:
    """One expression for all components or a list with one for each."""
    if not _is_list(value):
        functions = [_evaluate(target, key, value)] * target.n
    elif target.components is None:
        raise ConfigError(key, f"field {target.name!r} has no components; expected one expression, not a list")
    elif len(value) != target.n:
        raise ConfigError(key, f"expected {target.n} expressions, one per component; got {len(value)}")
    else:
        functions = [_evaluate(target, f"{key}[{i}]", text) for i, text in enumerate(value)]

    def make(rows: slice) -> Array:
        out = target.zeros(rows)
        for i, function in enumerate(functions):
            out[i] = out[i - 1] if i and function is functions[i - 1] else function(rows)
        return out

    return make


def read_values(target: Target, key: str, value: Any) -> Array:
    """An array with the axes (component,) x, y, z, or in any order if it has names for them (xarray)."""
    names = target.grid.names
    if set(names) <= set(getattr(value, "dims", ())):
        value = value.transpose(..., *names)
    array = np.asarray(value)
    wanted = target.grid.shape if target.components is None else (target.n, *target.grid.shape)
    if array.dtype.kind not in "biuf":
        raise ConfigError(key, f"is an array of {array.dtype}; real numbers are expected")
    if array.shape != wanted and array.shape[-target.grid.dim :] != target.grid.shape:
        hint = f"set grid.shape={list(array.shape)}" if array.ndim == target.grid.dim else ""
        raise ConfigError(
            key, f"is an array of shape {array.shape}; the cells of the grid are {target.grid.shape}", hint
        )
    if array.shape != wanted:
        many = f"{target.n} components" if target.components else "no components"
        raise ConfigError(
            key, f"is an array of shape {array.shape}; {wanted} is expected, for {target.name} has {many}"
        )
    if bad := int(np.count_nonzero(~np.isfinite(array))):
        raise ConfigError(key, f"{bad} of the {array.size} values of the array are not finite")
    return array.astype(float).reshape(target.n, *target.grid.shape)


def _evaluate(target: Target, key: str, value: Any) -> Rows:
    """An expression at the cell centres of rows, without an axis for components (read-only)."""
    grid = target.grid

    def shape(rows: slice) -> tuple[int, ...]:
        return (len(range(*rows.indices(grid.shape[0]))), *grid.shape[1:]) if grid.dim else ()

    if not isinstance(value, str):
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            raise expected(key, "a number, an expression or a mapping with kind", value)
        number = read_number(target, key, value)
        return lambda rows: np.broadcast_to(number, shape(rows))
    expr = parse(value, key, Symbols({}, tuple(target.parameters), AXIS_NAMES if grid.dim else ()))
    grid.check_coordinates((s.name for s in expr.free_symbols), key, value)
    # np.float64, because a zero parameter in a denominator must give inf rather than ZeroDivisionError.
    arguments: dict[str, Any] = {n: np.float64(v) for n, v in target.parameters.items()}
    symbols = [sympy.Symbol(n, real=True) for n in (*arguments, *grid.names)]
    function = sympy.lambdify(symbols, expr, "numpy", cse=True)

    def evaluate(rows: slice) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        coordinates = [c[rows] if d == 0 else c for d, c in enumerate(grid.coordinates())]
        with np.errstate(all="ignore"):
            values = np.asarray(function(*arguments.values(), *coordinates))
        values = np.broadcast_to(values if values.dtype.kind in "fc" else values.astype(float), shape(rows))
        return values, ~np.isfinite(values) | (values.imag != 0)

    def make(rows: slice) -> Array:
        values, bad = evaluate(rows)
        if bad.any():
            everywhere = slabs(grid) if grid.dim else [slice(None)]
            where = _where(target, ((part, evaluate(part)[1]) for part in everywhere))
            raise ConfigError(key, f"the value of {value!r} is not a finite real number {where}")
        return values.real.astype(float, copy=False)

    return make


def _where(target: Target, marked: Iterable[tuple[slice, NDArray[np.bool_]]]) -> str:
    """How many cells are marked, and the position of the first, from the marks of all rows in turn."""
    grid = target.grid
    if not grid.dim:
        return "for these parameters"
    count, at = 0, ""
    for rows, bad in marked:
        if not count and bad.any():
            first = list(np.unravel_index(int(bad.argmax()), bad.shape))
            first[0] += rows.start
            at = ", ".join(f"{n} = {a.centers[i]:.6g}" for n, a, i in zip(grid.names, grid.axes, first, strict=True))
        count += int(np.count_nonzero(bad))
    return f"in {count} of {grid.cells} cells, for example at {at}"
