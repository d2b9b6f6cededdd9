"""What is written of nucleation: how often nuclei of a field appear, by a law of the local state, and what they look like.

Nothing here imports SymPy before there is a rate to evaluate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ConfigError, unknown

if TYPE_CHECKING:
    from .energy import EnergyModel, Reader

_KEYS = ("rate", "radius", "every", "width", "inside", "outside", "clearance")


@dataclass(frozen=True)
class Nucleation:
    """Nucleation of a field.

    Attributes:
        rate: nuclei per volume and time, an expression in the fields, x, y, z, t and the parameters. text: as it is written.
        radius: of a nucleus, where its profile is half. width: w in its profile (1 - tanh((r - radius)/(sqrt(2) w)))/2.
        every: time between two moments at which nuclei appear.
        inside, outside: the field within one, and where none has been; beyond their middle it counts as transformed.
        clearance: how far the centre has to be from what has transformed already.
    """

    rate: Any
    text: str
    radius: float
    every: float
    width: float
    inside: float
    outside: float
    clearance: float

    def __str__(self) -> str:
        names = ("radius", "every", "width", "inside", "outside", "clearance")
        return f"rate {self.text}, " + ", ".join(f"{name} {getattr(self, name):g}" for name in names)


def read_nucleation(key: str, value: Any, conserved: bool, reader: Reader) -> Nucleation | None:
    """The nucleation of a field from ``{rate: ..., radius: ..., every: ..., ...}``; None for none.

    Raises:
        ConfigError, ExpressionError: with the key at fault.
    """
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise ConfigError(key, f"is {value!r}", "a mapping is expected, e.g. {rate: 1e-6, radius: 3, every: 1}")
    if conserved:
        raise ConfigError(
            key,
            "is of a conserved field, whose amount a nucleus would change",
            "let an order parameter (kinetics: nonconserved) nucleate, which the conserved field follows by diffusion",
        )
    for name in value:
        if name not in _KEYS:
            raise unknown(key, str(name), _KEYS, "key")
    for name in ("rate", "radius", "every"):
        if value.get(name) is None:
            raise ConfigError(f"{key}.{name}", "is missing", "a nucleation has at least {rate: , radius: , every: }")
    numbers = {
        name: reader.number(f"{key}.{name}", value[name], signed=name in ("inside", "outside"))
        for name in _KEYS[1:]
        if value.get(name) is not None
    }
    for name in ("radius", "every", "width"):
        if numbers.get(name, 1.0) <= 0:
            raise ConfigError(f"{key}.{name}", f"is {numbers[name]:g}; a number > 0 is expected")
    text = str(value["rate"])
    (rate,) = reader.expressions(f"{key}.rate", text, 1)
    if rate.is_negative:
        raise ConfigError(
            f"{key}.rate", f"is {text}; a rate >= 0 is expected, where an expression is negative none appear"
        )
    found = {"width": numbers["radius"] / 3, "inside": 1.0, "outside": 0.0, "clearance": 0.0, **numbers}
    if found["inside"] == found["outside"]:
        raise ConfigError(f"{key}.inside", f"is {found['inside']:g}, and so is outside: nothing would appear")
    return Nucleation(rate, text, **found)


def rates(model: EnergyModel, law: Nucleation, names: Sequence[str]) -> Callable[..., np.ndarray]:
    """The rate as a function of the fields, shape ``(components, ...)``, of coordinates by these names, and of the time."""
    import sympy as sp

    where = [sp.Symbol(name, real=True) for name in names]
    expr = model.in_time(law.rate)
    function = sp.lambdify([*model.unknowns, *where, sp.Symbol("t", real=True)], expr, modules="numpy", cse=True)

    def at(fields: np.ndarray, coordinates: Sequence[np.ndarray], t: float) -> np.ndarray:
        with np.errstate(all="ignore"):
            found = np.asarray(function(*fields, *coordinates, t), dtype=float)
        return np.broadcast_to(found, fields.shape[1:])

    return at


def profile(distance: np.ndarray, law: Nucleation) -> np.ndarray:
    """1 within a nucleus and 0 outside."""
    return np.asarray(0.5 * (1 - np.tanh((distance - law.radius) / (math.sqrt(2) * law.width))))
