"""A load on the effective body: some components of the mean gradient and of the mean flux are given, the rest follows.

Gradient and flux are strain and stress, or the gradient of a potential and the tensor times it (no minus sign). Shear
components of strain are engineering ones (twice the tensor's), as in the columns of a stiffness in Voigt form.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ConfigError, unknown
from ..mechanics import tensors
from ..mechanics.properties import PROPERTIES, Property
from ..mechanics.tensors import Array
from ..units import quantity

_KEYS = {4: ("strain", "stress"), 2: ("gradient", "flux")}


@dataclass(frozen=True)
class MeanFields:
    """The body under a load: mean gradient and flux, Mandel (6) or (3); NaN along z where the effective tensor has no z."""

    gradient: Array
    flux: Array


def mixed(tensor: Array, gradient: Mapping[int, float], flux: Mapping[int, float]) -> tuple[Array, Array]:
    """Mean strain and stress (Mandel; or gradient and flux) when some components of either are given; the rest follows.

    Args:
        gradient, flux: values by component number; together every component exactly once.

    Raises:
        ConfigError: a component is given twice or not at all, or the body does not resist a given flux.
    """
    n = len(tensor)
    given = [*gradient, *flux]
    if sorted(given) != list(range(n)):
        names = tensors.NAMES if n == 6 else tensors.AXES
        missing = [names[i] if i < n else str(i) for i in set(given) ^ set(range(n))]
        wrong = missing or [names[i] for i in set(given) if given.count(i) > 1]
        raise ConfigError("load", f"each component is needed once, as strain or as stress; check {', '.join(wrong)}")
    e, s = np.zeros(n), np.zeros(n)
    a, b = list(gradient), list(flux)
    e[a], s[b] = list(gradient.values()), list(flux.values())
    if b:
        block = tensor[np.ix_(b, b)]
        if not np.linalg.eigvalsh((block + block.T) / 2)[0] > 1e-10 * np.abs(tensor).max():
            raise ConfigError(
                "load", "leaves the body free to move: it has no stiffness there", "give its strain instead"
            )
        e[b] = np.linalg.solve(block, s[b] - tensor[np.ix_(b, a)] @ e[a])
    return e, tensor @ e


def check(load: Any, properties: Sequence[str]) -> None:
    """Refuses a load that no property can be put under.

    Raises:
        ConfigError: not a mapping; an unknown group or component; a component given twice; no property to load.
    """
    known = [key for keys in _KEYS.values() for key in keys]
    if not isinstance(load, Mapping) or not load:
        raise ConfigError(
            "load", f"is {load!r}; e.g. load={{strain: {{xx: 0.01}}}} or load={{gradient: {{x: 1}}}} is expected"
        )
    for group, values in load.items():
        if group not in known:
            raise unknown("load", str(group), known, "kind of component")
        names = tensors.NAMES if group in _KEYS[4] else tensors.AXES
        if not isinstance(values, Mapping):
            raise ConfigError(
                f"load.{group}", f"is {values!r}; values by component are expected, e.g. {{{names[0]}: 1}}"
            )
        for name in values:
            if name not in names:
                raise unknown(f"load.{group}", str(name), list(names), "component")
    for order, (gradient, flux) in _KEYS.items():
        twice = [c for c in load.get(gradient, {}) if c in load.get(flux, {})]
        if twice:
            raise ConfigError("load", f"{twice[0]} is given twice, as {gradient} and as {flux}")
        here = gradient in load or flux in load
        if here and not any(PROPERTIES[n].flux and PROPERTIES[n].order == order for n in properties):
            raise ConfigError("load", f"is of {gradient} and {flux}, for which no property is asked", "see properties")


def respond(load: Any, prop: Property, tensor: Array, components: Sequence[int], united: bool) -> MeanFields | None:
    """Mean gradient and flux under a load; components that are not named have no flux (uniaxial stress, for example).

    Args:
        load: see `check`; values are numbers or carry units. tensor: effective, (6, 6) Mandel or (3, 3).
        components: numbers of those that the tensor has (of a sheet those in its plane). united: whether the tensor is in SI
            units.

    Returns:
        None if the load is none of this property's.

    Raises:
        ConfigError: see `check` and `mixed`; a component that the tensor has not; a unit where the material has none.
    """
    keys = _KEYS[prop.order]
    if not load or not any(key in load for key in keys):
        return None
    names = tensors.NAMES if prop.order == 4 else tensors.AXES
    gradient_factor = 1 / tensors.FACTOR if prop.order == 4 else np.ones(3)
    flux_factor = tensors.FACTOR if prop.order == 4 else np.ones(3)
    given: list[dict[int, float]] = []
    for key, unit, factor in zip(keys, prop.units, (gradient_factor, flux_factor), strict=True):
        values = {}
        for name, value in (load.get(key) or {}).items():
            number, has_unit = quantity(value, unit, f"load.{key}.{name}")
            at = names.index(name)
            if at not in components:
                known = ", ".join(names[c] for c in components)
                raise ConfigError(
                    f"load.{key}.{name}", f"is no component of the effective {prop.title} here", f"there are {known}"
                )
            if has_unit and unit != "1" and not united:
                raise ConfigError(f"load.{key}.{name}", f"is {value!r}, but the material has no units")
            values[list(components).index(at)] = number * float(factor[at])
        given.append(values)
    rest = {k: 0.0 for k in range(len(components)) if k not in given[0] and k not in given[1]}
    part = mixed(tensor[np.ix_(components, components)], given[0], given[1] | rest)
    out = np.full((2, len(tensor)), np.nan)
    out[:, list(components)] = part
    return MeanFields(out[0], out[1])
