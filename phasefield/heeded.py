"""Keys that a configuration sets and nothing heeds, given its other keys: told once, in one place.

They are told and not refused: one configuration may serve runs of several kinds, such as a sweep over ``time.adaptive``. A key
that would change the problem if it were heeded is refused by the term that it belongs to.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from typing import Any

from .initial import is_random, unheeded
from .models import EnergyModel
from .models.continuation import below, bounds
from .models.terms import TERMS
from .observables import OBSERVABLES
from .problem import initial_condition
from .specs import RunSpec

#: Why nothing heeds a key, empty where something does.
Rule = Callable[[RunSpec, EnergyModel], str]


def idle(spec: RunSpec, model: EnergyModel) -> Iterator[tuple[str, str]]:
    """Keys that are set and that nothing heeds, or less than one might think, and why, in words that follow "is set, and"."""
    for key, why in _idle(spec, model):
        yield key, f"nothing heeds it: {why}"
    if spec.time.adaptive and spec.time.dt is not None:
        yield (
            "time.dt",
            "the first step alone heeds it, for steps are adaptive; time.adaptive=false makes it that of all",
        )


def _idle(spec: RunSpec, model: EnergyModel) -> Iterator[tuple[str, str]]:
    for key, rule in _RULES.items():
        if _given(spec, key) and (why := rule(spec, model)):
            yield key, why
    everything = {name: vars(f) for name, f in spec.model.fields.items()}
    for kind in TERMS:
        yield from kind(model).idle(everything, spec.time.end)
    for f in model.order_parameters:
        yield from unheeded(f"initial.{f.name}", initial_condition(spec, f.name))
    if spec.homogenize and set(spec.output.observables) <= set(OBSERVABLES):
        yield "homogenize", "output.observables names no effective property"
    words = set(re.findall(r"[^\W\d]\w*", " ".join(_texts({**vars(spec.model), "initial": spec.initial}))))
    for name in spec.model.parameters:
        if name not in words:
            yield f"model.parameters.{name}", "no expression of the model or of the initial values has it"


def _fixed(spec: RunSpec, model: EnergyModel) -> str:
    return "" if spec.time.adaptive else "time.adaptive is false: steps are all of time.dt"


def _random(spec: RunSpec, model: EnergyModel) -> str:
    drawn = any(is_random(initial_condition(spec, f.name)) for f in model.order_parameters)
    chance = any(f.values["noise"] != 0 or f.values["nucleation"] is not None for f in model.order_parameters)
    return "" if drawn or chance else "nothing is random: neither an initial condition, nor noise, nor nucleation"


def _domain(spec: RunSpec, model: EnergyModel) -> str:
    import numpy as np

    some = np.ones((len(model.components), 1))
    return (
        "" if below(model, bounds(model, some, 1.0)) else "model.energy has no logarithm or broken power to go on with"
    )


_RULES: dict[str, Rule] = {
    "seed": _random,
    "time.tolerance": _fixed,
    "time.dt_min": _fixed,
    "time.dt_max": _fixed,
    "model.log_bound": _domain,
}


def _given(spec: RunSpec, key: str) -> bool:
    """Whether a key, one with a plain default, is other than that."""
    section, _, name = key.rpartition(".")
    holder = getattr(spec, section) if section else spec
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
