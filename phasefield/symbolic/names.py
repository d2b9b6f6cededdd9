"""The names of fields, parameters and coordinates."""

from __future__ import annotations

import keyword
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import sympy

from phasefield.errors import ConfigError

from .functions import FUNCTIONS

RESERVED = ("x", "y", "z", "t", "time", "step", "dt", "k2", "free_energy")


@dataclass(frozen=True)
class Symbols:
    """The names an expression may use.

    Attributes:
        fields: number of components per field name; ``None`` for a scalar field.
        parameters: names of constants.
        coordinates: ``x``, ``y``, ``z``, ``t`` as far as they apply (initial conditions and sources only).
        timed: whether parameters may depend on time, by which alone it then enters.
    """

    fields: Mapping[str, int | None]
    parameters: Collection[str] = ()
    coordinates: Collection[str] = ()
    timed: bool = False


def component_symbols(name: str, components: int | None) -> tuple[sympy.Symbol, ...]:
    """The symbols of a field: ``(c,)`` for a scalar field ``c``, ``(eta_1, ..., eta_n)`` for ``n`` components."""
    names = [name] if components is None else [f"{name}_{i}" for i in range(1, components + 1)]
    return tuple(sympy.Symbol(n, real=True) for n in names)


def check_names(symbols: Symbols, key: str) -> None:
    """Check that the field and parameter names can be told apart from each other and from everything built in.

    Raises:
        ConfigError: a name is no identifier, reserved or used twice, or a number of components is no positive int.
    """
    taken = dict.fromkeys((*RESERVED, *symbols.coordinates), "a reserved name") | dict.fromkeys(FUNCTIONS, "a function")
    taken["pi"] = "a constant"
    named = [("field", n) for n in symbols.fields] + [("parameter", n) for n in symbols.parameters]
    for kind, name in named:
        if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_"):
            raise ConfigError(
                key,
                f"{name!r} cannot name a {kind}",
                "use letters, digits and underscores, start with a letter, and avoid Python's keywords",
            )
        # The parser normalises identifiers, so that another spelling could never be referred to.
        if (normal := unicodedata.normalize("NFKC", name)) != name:
            raise ConfigError(key, f"{name!r} cannot name a {kind}: it is read as {normal!r}", f"write {normal!r}")
        components = symbols.fields.get(name) if kind == "field" else None
        if components is not None and (type(components) is not int or components < 1):
            raise ConfigError(key, f"field {name!r} has {components!r} components; expected a positive integer")
        own = {name} if components is None else {name, *(s.name for s in component_symbols(name, components))}
        for clash in sorted(own & taken.keys()):
            as_component = "" if clash == name else f" (component of {name!r})"
            raise ConfigError(
                key, f"{kind} name {clash!r}{as_component} is already {taken[clash]}", "rename one of them"
            )
        taken |= dict.fromkeys(own, f"used by {kind} {name!r}")
