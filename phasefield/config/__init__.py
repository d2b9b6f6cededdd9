"""The configuration of a run: what people write, made fit for Hydra, composed, and checked; complaints in one voice."""

from .complaints import SHOW, config_error
from .composition import (
    arrange,
    check,
    compose,
    flat,
    lock,
    of_initial,
    of_run,
    original,
    put,
    register,
    to_object,
    to_spec,
    to_yaml,
)
from .files import search_path
from .grammar import check_repeats, combinations, in_quotes, parse, prepare, unquoted
from .language import FILED, RUN, Language
from .launching import launch, launcher
from .renaming import current
from .values import ARRAY, overrides_of

__all__ = [
    "ARRAY",
    "FILED",
    "RUN",
    "SHOW",
    "Language",
    "arrange",
    "check",
    "check_repeats",
    "combinations",
    "compose",
    "config_error",
    "current",
    "flat",
    "in_quotes",
    "launch",
    "launcher",
    "lock",
    "of_initial",
    "of_run",
    "original",
    "overrides_of",
    "parse",
    "prepare",
    "put",
    "register",
    "search_path",
    "to_object",
    "to_spec",
    "to_yaml",
    "unquoted",
]
