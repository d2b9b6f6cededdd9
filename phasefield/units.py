"""Units: a small strict table, enough for material constants, grids and times, and without a dependency.

A unit is a product of powers such as ``W/(m K)``, ``W m^-1 K^-1`` or ``GPa``; everything is converted to SI.
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .errors import ConfigError

#: Powers of the base dimensions m, kg, s, K, A, mol.
_Dimension = tuple[int, ...]
_NONE: _Dimension = (0, 0, 0, 0, 0, 0)
_PREFIX = {
    "T": 1e12,
    "G": 1e9,
    "M": 1e6,
    "k": 1e3,
    "": 1.0,
    "c": 1e-2,
    "m": 1e-3,
    "u": 1e-6,
    "µ": 1e-6,
    "n": 1e-9,
    "p": 1e-12,
}
_UNITS: dict[str, tuple[float, _Dimension]] = {
    "m": (1.0, (1, 0, 0, 0, 0, 0)),
    "g": (1e-3, (0, 1, 0, 0, 0, 0)),
    "s": (1.0, (0, 0, 1, 0, 0, 0)),
    "K": (1.0, (0, 0, 0, 1, 0, 0)),
    "A": (1.0, (0, 0, 0, 0, 1, 0)),
    "mol": (1.0, (0, 0, 0, 0, 0, 1)),
    "N": (1.0, (1, 1, -2, 0, 0, 0)),
    "Pa": (1.0, (-1, 1, -2, 0, 0, 0)),
    "J": (1.0, (2, 1, -2, 0, 0, 0)),
    "W": (1.0, (2, 1, -3, 0, 0, 0)),
    "S": (1.0, (-2, -1, 3, 0, 2, 0)),
    "F": (1.0, (-2, -1, 4, 0, 2, 0)),
    "V": (1.0, (2, 1, -3, 0, -1, 0)),
    "ohm": (1.0, (2, 1, -3, 0, -2, 0)),
    "bar": (1e5, (-1, 1, -2, 0, 0, 0)),
    "psi": (6894.757293168, (-1, 1, -2, 0, 0, 0)),
}
#: Units that take no prefix.
_PLAIN: dict[str, tuple[float, _Dimension]] = {
    "1": (1.0, _NONE),
    "%": (1e-2, _NONE),
    "at%": (1e-2, _NONE),
    "mol%": (1e-2, _NONE),
    "vol%": (1e-2, _NONE),
    "wt%": (1e-2, _NONE),
    "ppm": (1e-6, _NONE),
    "angstrom": (1e-10, (1, 0, 0, 0, 0, 0)),
    "Å": (1e-10, (1, 0, 0, 0, 0, 0)),
    "eV": (1.602176634e-19, (2, 1, -2, 0, 0, 0)),
    "degC": (1.0, (0, 0, 0, 1, 0, 0)),
    "min": (60.0, (0, 0, 1, 0, 0, 0)),
    "h": (3600.0, (0, 0, 1, 0, 0, 0)),
    "d": (86400.0, (0, 0, 1, 0, 0, 0)),
}
#: Metres per unit of ImageJ's calibration, as it spells them.
IMAGEJ_LENGTHS = {
    **dict.fromkeys(("m", "meter", "metre"), 1.0),
    "cm": 1e-2,
    "mm": 1e-3,
    **dict.fromkeys(("um", "µm", "μm", "\\u00b5m", "\\u00B5m", "micron", "microns", "micrometer"), 1e-6),
    "nm": 1e-9,
}
#: The same for OME's units of length, those of OME-XML 2016-06 that a specimen could be measured in.
OME_LENGTHS = {
    **dict.fromkeys(("µm", "μm"), 1e-6),
    **{"km": 1e3, "m": 1.0, "dm": 1e-1, "cm": 1e-2, "mm": 1e-3, "nm": 1e-9, "Å": 1e-10, "pm": 1e-12, "fm": 1e-15},
    **{"thou": 2.54e-5, "li": 2.54e-2 / 12, "in": 2.54e-2, "ft": 0.3048, "yd": 0.9144},
}
_QUANTITY = re.compile(r"^\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(.*?)\s*$")
_TOKEN = re.compile(r"\s*([A-Za-zµÅ%]+|1|\(|\)|/|\*\*|\*|\^|·|[+-]?\d+)\s*")


def parse_unit(text: str, key: str) -> tuple[float, _Dimension]:
    """Factor to SI and dimension of a unit.

    Raises:
        ConfigError: a unit that is not known or cannot be read.
    """
    # A locale without UTF-8 leaves the bytes of a µ as they came from the command line.
    text = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    tokens = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if not match:
            raise _unreadable(text, key)
        tokens.append(match.group(1))
        at = match.end()
    factor, dimension, rest = _product(tokens, text, key)
    if rest:
        raise _unreadable(text, key)
    return factor, dimension


def _unreadable(text: str, key: str) -> ConfigError:
    return ConfigError(key, f"the unit {text!r} cannot be read", "write it like GPa, W/(m K) or 1e-6 1/K")


def _product(tokens: list[str], text: str, key: str) -> tuple[float, _Dimension, list[str]]:
    factor, dimension, sign = 1.0, _NONE, 1
    while tokens and tokens[0] != ")":
        token = tokens.pop(0)
        if token in ("*", "·"):
            continue
        if token == "/":
            sign = -1
            continue
        if token == "(":
            f, d, tokens = _product(tokens, text, key)
            if not tokens:
                raise _unreadable(text, key)
            tokens.pop(0)
        else:
            f, d = _single(token, text, key)
        power = sign
        if tokens and tokens[0] in ("^", "**"):
            tokens.pop(0)
            power *= _integer(tokens, text, key)
        elif tokens and re.fullmatch(r"[+-]\d+|[2-9]", tokens[0]):
            power *= _integer(tokens, text, key)
        factor *= f**power
        dimension, sign = tuple(p + power * q for p, q in zip(dimension, d, strict=True)), 1
    return factor, dimension, tokens


def _integer(tokens: list[str], text: str, key: str) -> int:
    if not tokens or not re.fullmatch(r"[+-]?\d+", tokens[0]):
        raise _unreadable(text, key)
    return int(tokens.pop(0))


def _single(token: str, text: str, key: str) -> tuple[float, _Dimension]:
    if token in _PLAIN:
        return _PLAIN[token]
    if token in _UNITS:
        return _UNITS[token]
    if token[:1] in _PREFIX and token[1:] in _UNITS:
        factor, dimension = _UNITS[token[1:]]
        return _PREFIX[token[0]] * factor, dimension
    known = f"{', '.join(_UNITS)}, with the usual prefixes; {', '.join(_PLAIN)}, without"
    raise ConfigError(key, f"{token!r} in {text!r} is no known unit", f"units: {known}")


def check_unit(text: Any, key: str, like: str = "") -> None:
    """Refuses a unit that is none, or not of the dimension of another; ``1``, of numbers without dimension, always will do.

    Args:
        like: a unit of the dimension that is wanted, e.g. ``m``; any dimension without it.

    Raises:
        ConfigError: such a unit.
    """
    examples = {"m": "a length is expected, e.g. nm", "s": "a time is expected, e.g. s"}
    if not isinstance(text, str) or not text.strip():
        raise ConfigError(key, f"is {text!r}; a unit is expected", "1 stands for none")
    dimension = parse_unit(text, key)[1]
    if like and dimension not in (_NONE, parse_unit(like, key)[1]):
        raise ConfigError(key, f"is {text!r}; {examples[like]}", "1 stands for none")


def temperature(value: Any, key: str) -> float:
    """An absolute temperature in K, from ``293.15``, ``"293.15 K"`` or ``"20 degC"``.

    Raises:
        ConfigError: as `quantity` raises it, or one that is not positive.
    """
    if isinstance(value, str) and (match := _QUANTITY.match(value)) and not match.group(2):
        value = float(match.group(1))
    kelvin = quantity(value, "K", key)[0]
    if isinstance(value, str) and value.strip().endswith("degC"):
        kelvin += 273.15
    if kelvin <= 0:
        raise ConfigError(key, f"is {value!r}; an absolute temperature is expected", "e.g. 293.15 K or 20 degC")
    return kelvin


def power(unit: str, exponent: int) -> str:
    """A unit to a power, as NetCDF's conventions (UDUNITS) write it: ``nm^2``."""
    if exponent == 1:
        return unit
    return f"{unit}^{exponent}" if re.fullmatch(r"[^\W\d]+", unit) else f"({unit})^{exponent}"


def quantity(value: Any, unit: str, key: str) -> tuple[float, bool]:
    """A number in the SI unit ``unit`` from ``3.5``, ``"3.5 GPa"``, and whether a unit was given.

    Raises:
        ConfigError: not a finite number, an unknown unit, or one of another dimension.
    """
    example = "without a unit is expected, e.g. 0.3" if unit == "1" else f"with a unit is expected, e.g. '1 {unit}'"
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ConfigError(key, f"is {value!r}; a number {example}")
    if not isinstance(value, str):
        number, given = float(value), ""
    else:
        match = _QUANTITY.match(value)
        if not match:
            raise ConfigError(key, f"is {value!r}; a number {example}")
        number, given = float(match.group(1)), match.group(2)
    if not math.isfinite(number):
        raise ConfigError(key, f"is {value!r}; a finite number is expected")
    if not given:
        return number, False
    factor, dimension = parse_unit(given, key)
    wanted_factor, wanted = parse_unit(unit, key)
    if dimension != wanted:
        if unit == "1":
            raise ConfigError(key, f"has the unit {given!r}, but has no dimension", f"a number {example}")
        raise ConfigError(key, f"has the unit {given!r}, which cannot be converted to {unit}", f"e.g. '1 {unit}'")
    return number * factor / wanted_factor, True


#: Units whose prefix is chosen by the values that are shown.
_SHOWN = ("Pa", "S/m", "m")
_SCALES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "u"), (1e-9, "n"))


def scaled(unit: str, values: ArrayLike) -> tuple[float, str]:
    """What values are to be divided by, and their unit then, for the largest that is finite to be between 1 and 1000."""
    if unit not in _SHOWN:
        return 1.0, unit
    size = np.abs(np.asarray(values, dtype=float))
    largest = float(np.max(size, where=np.isfinite(size), initial=0.0))
    return next(((factor, prefix + unit) for factor, prefix in _SCALES if largest >= factor), (1.0, unit))
