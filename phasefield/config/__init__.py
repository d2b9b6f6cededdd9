"""The configuration of a run: what people write, made fit for Hydra, composed, and checked; complaints in one voice."""

from .complaints import SHOW, config_error
from .composition import (
    arrange,
    check,
    compose,
    flat,
    load,
    lock,
    of_initial,
    original,
    put,
    register,
    to_spec,
    to_yaml,
)
from .grammar import combinations, parse, prepare, unquoted
from .values import ARRAY, overrides_of

__all__ = [
    "ARRAY",
    "SHOW",
    "arrange",
    "check",
    "combinations",
    "compose",
    "config_error",
    "flat",
    "load",
    "lock",
    "of_initial",
    "original",
    "overrides_of",
    "parse",
    "prepare",
    "put",
    "register",
    "to_spec",
    "to_yaml",
    "unquoted",
]
