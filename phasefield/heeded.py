"""Keys that a configuration sets and nothing heeds, given its other keys: told once, in one place.

They are told and not refused: one configuration may serve runs of several kinds, such as a sweep over ``time.adaptive``. A key
that would change the problem if it were heeded is refused by the term that it belongs to.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from typing import Any

from .models import EnergyModel
from .models.continuation import below, bounds
from .observables import OBSERVABLES
from .specs import RunSpec

#: Why nothing heeds a key, empty where something does.
Rule = Callable[[RunSpec, EnergyModel], str]


def idle(spec: RunSpec, model: EnergyModel) -> Iterator[tuple[str, str]]:
    """Keys that are set and that nothing heeds, and why."""
    for key, rule in _RULES.items():
        if _given(spec, key) and (why := rule(spec, model)):
            yield key, why
    if spec.homogenize and set(spec.output.observables) <= set(OBSERVABLES):
        yield "homogenize", "output.observables names no effective property"
    for name, f in spec.model.fields.items():
        found = next(g for g in model.order_parameters if g.name == name)
        if f.convexify and found.anisotropy is None:
            yield f"model.fields.{name}.convexify", f"model.fields.{name}.kappa does not depend on the normal"
    words = set(re.findall(r"[^\W\d]\w*", " ".join(_texts({**vars(spec.model), "initial": spec.initial}))))
    for name in spec.model.parameters:
        if name not in words:
            yield f"model.parameters.{name}", "no expression of the model or of the initial values has it"


def _fixed(spec: RunSpec, model: EnergyModel) -> str:
    return "" if spec.time.adaptive else "time.adaptive is false: steps are all of time.dt"


def _domain(spec: RunSpec, model: EnergyModel) -> str:
    import numpy as np

    some = np.ones((len(model.components), 1))
    return (
        "" if below(model, bounds(model, some, 1.0)) else "model.energy has no logarithm or broken power to go on with"
    )


_RULES: dict[str, Rule] = {
    "time.tolerance": _fixed,
    "time.dt_min": _fixed,
    "time.dt_max": _fixed,
    "model.log_bound": _domain,
}


def _given(spec: RunSpec, key: str) -> bool:
    """Whether a key, one with a plain default, is other than that."""
    section, name = key.split(".")
    holder = getattr(spec, section)
    default = next(f for f in fields(holder) if f.name == name)
    return bool(getattr(holder, name) != default.default)


def _texts(value: Any) -> Iterator[str]:
    """All text in a configuration, names of parameters apart, and those of keys."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)
    elif hasattr(value, "__dataclass_fields__"):
        yield from _texts(vars(value))
