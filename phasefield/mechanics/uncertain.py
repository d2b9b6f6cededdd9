"""Numbers with their uncertainty, as they are written for constants of materials.

``70(2) GPa`` (the digits in brackets count from the last one of the number: 70.0(2) is 0.2), ``70 +/- 2 GPa``, ``{mean: 70 GPa,
std: 2 GPa}``, ``{value: 70(2) GPa, kind: epistemic}``, or a range ``{low: 68 GPa, high: 72 GPa}``. What stands beside a number is
a standard uncertainty in the sense of the Guide to the Expression of Uncertainty in Measurement (JCGM 100:2008, 7.2.2).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import ConfigError, unknown
from ..units import quantity

KINDS = ("aleatoric", "epistemic")
DISTRIBUTIONS = ("normal", "lognormal", "uniform")
_KEYS = ("mean", "value", "std", "low", "high", "kind", "distribution")
_BRACKETS = re.compile(r"^\s*([+-]?(?:\d+\.?(\d*)|\.(\d+)))\(([^()]*)\)(?:[eE]([+-]?\d+))?\s*(.*?)\s*$")
#: What was meant to be brackets: a gap before them, an exponent on their wrong side, one of them missing.
_NEARLY = re.compile(r"^\s*[+-]?[\d.]+(?:[eE][+-]?\d+)?\s*\(\s*[\d.]*\s*(?:\)|\s|$)")
_PLUS_MINUS = re.compile(r"\s*(?:\+\s*/\s*-|\+-|±)\s*")
_BRACKETS_HINT = "70(2) GPa is 70 GPa with a standard uncertainty of 2 GPa, 58(2)e-6 1/K is 58e-6 with 2e-6"
_UNIT = re.compile(r"^\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*(.*?)\s*$")


@dataclass(frozen=True)
class Spread:
    """How far a constant may be off.

    Attributes:
        std: standard uncertainty, in the unit of the constant. kind: ``aleatoric`` (it varies from sample to sample) or
            ``epistemic`` (it is one number that is not known). distribution: out of `DISTRIBUTIONS`, with the mean of the
            constant.
    """

    std: float
    kind: str = "aleatoric"
    distribution: str = "normal"

    def interval(self, mean: float) -> tuple[float, float]:
        """The ends of a uniform distribution."""
        half = math.sqrt(3.0) * self.std
        return mean - half, mean + half


@dataclass(frozen=True)
class Constant:
    """A number that a property of a phase is made of.

    Attributes:
        name: ``E``, ``C11``, ``conductivity``, ``expansion.a``. value: in ``unit``, which is SI, or 1 where constants have none.
        spread: its uncertainty, if it has one.
    """

    name: str
    value: float
    unit: str
    spread: Spread | None = None


def is_number(given: Any) -> bool:
    """Whether a mapping is a number with its uncertainty, not a set of constants."""
    return isinstance(given, Mapping) and bool(given) and {"mean", "value", "std", "low", "high"} & set(given) != set()


def read_number(given: Any, unit: str, key: str) -> tuple[float, Spread | None, bool]:
    """A number in the SI unit ``unit``, its uncertainty, and whether it has a unit.

    Raises:
        ConfigError: no finite number, or an uncertainty that cannot be read, is negative, relative or of another unit.
    """
    if is_number(given):
        return _from_mapping(given, unit, key)
    if isinstance(given, str):
        if "(" in given and (match := _BRACKETS.match(given)):
            return _from_brackets(match, given, unit, key)
        if _NEARLY.match(given):
            raise ConfigError(key, f"is {given!r}; brackets go right behind the digits", _BRACKETS_HINT)
        parts = _PLUS_MINUS.split(given)
        if len(parts) == 2 and parts[0]:
            return _from_plus_minus(parts[0], parts[1], unit, key)
    number, united = quantity(given, unit, key)
    return number, None, united


def _from_brackets(match: re.Match[str], text: str, unit: str, key: str) -> tuple[float, Spread | None, bool]:
    number, decimals, only, inside, exponent, written = match.groups()
    if not re.fullmatch(r"\d+(\.\d*)?", inside):
        problem = f"is {text!r}; digits are expected in the brackets, without a sign"
        raise ConfigError(key, problem, _BRACKETS_HINT)
    if not float(inside):
        raise ConfigError(
            key,
            f"is {text!r}: the digits in the brackets say an uncertainty of 0",
            f"write {number} without brackets if it is exact, else an uncertainty with more digits, as in 1.00(2)",
        )
    if written[:1] == "(":
        raise ConfigError(key, f"is {text!r}; one pair of brackets is expected", _BRACKETS_HINT)
    if written[:1] == "%" and written != "%":
        problem = f"is {text!r}: a per cent with a unit, a share of something that is not said"
        raise ConfigError(key, problem, "give it in the unit alone, as in 70(2) GPa")
    power = f"e{exponent}" if exponent else ""
    last = 0 if "." in inside else -len(decimals or only or "")
    value, united = quantity(f"{number}{power} {written}", unit, key)
    std, _ = quantity(f"{float(inside) * 10.0**last!r} {written}", unit, key)
    return value, _spread(std * 10.0 ** int(exponent or 0), {}, key), united


def _from_plus_minus(first: str, second: str, unit: str, key: str) -> tuple[float, Spread | None, bool]:
    one, other = (match.group(1) if (match := _UNIT.match(part)) else "" for part in (first, second))
    if one == other == "" or one:
        return _with_std(first, second, {}, unit, key)
    _not_relative(other, other, first, second, key, unit)
    return _with_std(f"{first} {other}", second, {}, unit, key)


def _from_mapping(given: Mapping[str, Any], unit: str, key: str) -> tuple[float, Spread | None, bool]:
    for name in given:
        if name not in _KEYS:
            raise unknown(key, str(name), list(_KEYS), "key")
    names = set(given) - {"kind", "distribution"}
    if names == {"low", "high"}:
        return _from_range(given, unit, key)
    if names == {"mean", "std"} or names == {"value", "std"}:
        mean = given["mean"] if "mean" in names else given["value"]
        return _with_std(mean, given["std"], given, unit, key)
    if len(names) == 1 and names <= {"mean", "value"}:
        (value,) = (given[n] for n in names)
        if not isinstance(value, Mapping):
            number, spread, united = read_number(value, unit, key)
            if spread is None and {"kind", "distribution"} & set(given):
                raise ConfigError(
                    key, "has a kind or distribution, but no uncertainty", "add std, as in {mean: , std: }"
                )
            return number, None if spread is None else _spread(spread.std, given, key), united
    raise ConfigError(
        key,
        f"has {', '.join(map(str, given))}; a number with its uncertainty is expected",
        "{mean: , std: }, {low: , high: }, or {value: 70(2) GPa}, each with kind: aleatoric or epistemic",
    )


def _from_range(given: Mapping[str, Any], unit: str, key: str) -> tuple[float, Spread | None, bool]:
    (low, united), (high, also) = (quantity(given[n], unit, f"{key}.{n}") for n in ("low", "high"))
    if united != also and low and high:
        raise ConfigError(key, "has a unit on one end of the range only", "give it on both")
    if given.get("distribution", "uniform") != "uniform":
        raise ConfigError(f"{key}.distribution", f"is {given['distribution']!r}; a range is uniform", "leave it out")
    if not low < high:
        raise ConfigError(key, f"runs from low = {low:g} to high = {high:g}; low must be below high")
    more = {"kind": given.get("kind", "epistemic"), "distribution": "uniform"}
    return (low + high) / 2, _spread((high - low) / math.sqrt(12.0), more, key), united or also


def _with_std(mean: Any, std: Any, more: Mapping[str, Any], unit: str, key: str) -> tuple[float, Spread | None, bool]:
    value, united = quantity(mean, unit, key)
    written = [match.group(1) if isinstance(x, str) and (match := _UNIT.match(x)) else "" for x in (mean, std)]
    _not_relative(written[1], written[0], mean, std, key, unit)
    at = f"{key}.std" if more else key
    size, also = quantity(std, unit, at)
    if united != also and size and unit != "1":
        where, lacks = ("the number", "its uncertainty") if united else ("the uncertainty", "the number")
        raise ConfigError(at, f"is {std!r}: {where} has a unit, but {lacks} has none", "give it to both")
    return value, _spread(size, more, key), united or also


def _not_relative(unit: str, of: str, mean: Any, std: Any, key: str, wanted: str) -> None:
    """A per cent might be meant of the number, or of one."""
    if unit != "%" or (of == "%" and wanted == "1" and std is not mean and not _bare(mean)):
        return
    hint = f"give it in the unit of the number ({wanted if wanted != '1' else 'none'})"
    raise ConfigError(key, f"has the uncertainty {std!r}, a share of something that is not said", hint)


def _bare(value: Any) -> bool:
    """Whether a number has no unit."""
    match = _UNIT.match(value) if isinstance(value, str) else None
    return match is None or not match.group(1)


def _spread(std: float, more: Mapping[str, Any], key: str) -> Spread | None:
    kind, distribution = more.get("kind", "aleatoric"), more.get("distribution", "normal")
    for name, value, known in (("kind", kind, KINDS), ("distribution", distribution, DISTRIBUTIONS)):
        if value not in known:
            raise unknown(f"{key}.{name}", str(value), list(known), name)
    if not math.isfinite(std) or std < 0:
        raise ConfigError(key, f"has the uncertainty {std:g}; a positive number, or 0, is expected")
    return Spread(std, str(kind), str(distribution)) if std else None
