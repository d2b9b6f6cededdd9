"""What pages show of the program itself, as Markdown: commands with their keys, docstrings, observables, schemes."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from typing import Any


def commands() -> str:
    """Every command: how it is called, what its help says, its keys."""
    from phasefield import commands as all_of_them

    return "\n".join(line for name in all_of_them.names() for line in _command(name))


def _command(name: str) -> Iterator[str]:
    from phasefield import commands as all_of_them
    from phasefield.keys import keys_of, schema_at

    ways, more = all_of_them.head(name)
    yield from [f"## `{name}`", "", "```text", *(f"phasefield {synopsis}" for synopsis, _ in ways), "```", ""]
    yield from [f"{what[:1].upper()}{what[1:]}.\n" for _, what in ways[:1]]
    for paragraph in filter(None, more.split("\n\n")):
        indented = any(line.startswith("  ") for line in paragraph.splitlines())
        yield from ["```text", paragraph, "```", ""] if indented else [_escaped(paragraph), ""]
    schema = all_of_them.find(name).keys
    for key in keys_of(schema_at(schema)) if schema else ():
        if key.metadata:
            yield from _entry(key)


def _entry(key: Any) -> Iterator[str]:
    """A key with its default as a term, what it means and may be as its definition."""
    from phasefield import presets
    from phasefield.usage import _written

    values = key.choices or (key.names() if key.names else presets.names(key.presets) if key.presets else ())
    default = "" if key.flag or key.presets else _written(key.default)
    yield f"`{key.flag or key.path}`" + (f" = `{default}`" if default else "")
    yield ": " + _escaped(key.metadata["text"]) + ("; " + ", ".join(f"`{v}`" for v in values) if values else "")
    yield ""


def _escaped(text: str) -> str:
    """Text of a terminal as Markdown: no stars, angles or bars of its own."""
    return re.sub(r"([*<>|_$\\`\[\]{}])", r"\\\1", text)


#: What belongs to the interface from Python, beside the package itself: module, its names (None: all that it exports).
INTERFACE: dict[str, list[str] | None] = {
    "phasefield.callbacks": ["Moment"],
    "phasefield.models.analysis": None,
    "phasefield.homogenize": None,
    "phasefield.upscale.surrogate": None,
    "phasefield.upscale.macro": None,
    "phasefield.errors": None,
}


def python() -> str:
    """What may be used from Python, from its docstrings."""
    parts = ["## `phasefield`", "", *_documented("phasefield", None)]
    for module, names in INTERFACE.items():
        parts += [f"## `{module}`", "", *_documented(module, names)]
    return "\n".join(parts)


def _documented(module: str, names: list[str] | None) -> Iterator[str]:
    found = importlib.import_module(module)
    own = (n for n, o in vars(found).items() if getattr(o, "__module__", "") == module and not n.startswith("_"))
    first = (inspect.getdoc(found) or "").split("\n\n")[0]
    yield from [_escaped(first) if names is None else "", ""]
    for name in names or getattr(found, "__all__", None) or own:
        thing = getattr(found, name)
        directive = "autofunction" if inspect.isfunction(thing) else "autoclass" if inspect.isclass(thing) else ""
        again = module == "phasefield" and getattr(thing, "__module__", "") == "phasefield.errors"
        if directive and not again:
            members = "   :members:\n" if directive == "autoclass" else ""
            yield f"```{{eval-rst}}\n.. {directive}:: {module}.{name}\n{members}```\n"


def observables() -> str:
    from phasefield.observables import OBSERVABLES

    return _table("observable", {k: f.__doc__ for k, f in OBSERVABLES.items()})


def schemes() -> str:
    from phasefield.integrators import SCHEMES

    rows = (f"| `{k}` | {s.order} | {s.memory} | {_escaped(s.reference)} |" for k, s in SCHEMES.items())
    return "\n".join(["| scheme | order | steps back | reference |", "| --- | --- | --- | --- |", *rows, ""])


def _table(head: str, rows: dict[str, str | None]) -> str:
    lines = (f"| `{k}` | {_escaped(inspect.cleandoc(v or '').splitlines()[0])} |" for k, v in rows.items())
    return "\n".join([f"| {head} | |", "| --- | --- |", *lines, ""])


#: By the name that a page gives in ``<!-- made: NAME -->``.
MADE = {"commands": commands, "python": python, "observables": observables, "schemes": schemes}
