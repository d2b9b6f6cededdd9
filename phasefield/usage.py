"""Help: of all commands from the first lines of their files, of one from its schema. Nothing heavy is imported for the first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from . import commands, presets

GENERAL = """\
phasefield - spectral phase-field simulation from free-energy expressions, on CPU and GPU

usage: phasefield [COMMAND] [key=value ...]; phasefield COMMAND --help tells more

{ways}

examples:
  phasefield                          spinodal decomposition, about ten seconds
  phasefield model=grain_growth time.end=500 output.dir=grains
  phasefield experiment=pfhub/1b
  phasefield homogenize grains material=cu properties=[stiffness,expansion] times=all
  phasefield model=cahn_hilliard 'model.energy=W*(c-a)**2*(b-c)**2' model.parameters.W=5
  phasefield 'initial.c=0.5+0.1*cos(2*pi*x/256)' time.scheme=sbdf2 precision=single

keys that are used most (phasefield run --help has all, and what they may be):
{keys}

presets (a name, or a YAML file of your own):
{presets}

options: --debug shows all messages and the traceback of an error
         -sc install=bash prints how to install shell completion (bash, zsh, fish)
         --config-dir DIR adds presets of your own: DIR/model/NAME.yaml,
         DIR/experiment/NAME.yaml, DIR/material/NAME.yaml
         --version prints the versions and the devices
{codes}
"""

CODES = """\
exit codes: 0 done; 1 members of a sweep failed, or checks of verify; 2 error;
            130, 143, 129, 138 stopped by SIGINT, SIGTERM, SIGHUP, SIGUSR1 (a
            run, after writing a checkpoint); 85 stopped by time.wall, or with
            output.resume=auto by SIGUSR1: the same command goes on"""

#: The keys of a run that the first help names.
USED_MOST = """\
  model.energy model.parameters.P model.fields.F.mobility initial.F grid.shape
  grid.length grid.boundary time.scheme time.dt time.tolerance time.end
  output.dir output.every output.observables homogenize.material device
  precision seed threads.cpu"""
#: Columns of the text.
_WIDTH, _INDENT = 80, 6


def text(command: str = "") -> str:
    """Help for a command, or for all without one."""
    if command:
        return "\n".join(_of(command))
    pairs = [pair for name in commands.names() for pair in commands.head(name)[0]]
    ways = "\n".join(line for pair in pairs for line in _way(*pair))
    groups = "\n".join(
        line
        for g in ("model", "experiment", "material")
        for line in _wrapped(f"{g}=  {', '.join(presets.names(g))}", 2, 6)
    )
    return GENERAL.format(ways=ways, keys=USED_MOST, presets=groups, codes=CODES).rstrip("\n")


def _way(synopsis: str, what: str) -> Iterator[str]:
    """A way to call a command over what it does, which begins in one column."""
    yield f"  phasefield {synopsis}"
    yield from _wrapped(what, _INDENT, _INDENT)


def _wrapped(text: str, first: int, others: int) -> list[str]:
    """Lines of a text, indented by so many columns."""
    import textwrap

    return textwrap.wrap(
        text, _WIDTH, initial_indent=" " * first, subsequent_indent=" " * others, break_on_hyphens=False
    )


def _of(name: str) -> Iterator[str]:
    from .keys import keys_of, schema_at

    ways, more = commands.head(name)
    for number, (synopsis, _) in enumerate(ways):
        yield ("       " if number else "usage: ") + f"phasefield {synopsis}"
    for block in more.split("\n\n") if more else ():
        # Prose may be of any width in a command's file; what is indented, examples and tables, stays.
        prose = not any(line.startswith(" ") for line in block.splitlines())
        yield "\n" + ("\n".join(_wrapped(" ".join(block.split()), 0, 0)) if prose else block)
    command = commands.find(name)
    keys = list(keys_of(schema_at(command.keys))) if command.keys else []
    said = [k for k in keys if k.metadata and not k.flag]
    if said:
        yield "\nkeys and their defaults:"
        for key in said:
            yield from described(key)
    yield "\noptions:"
    for key in (k for k in keys if k.flag):
        yield from _option(key.flag if key.default is False else f"{key.flag} {key.path.upper()}", key.metadata["text"])
    if command.sweeps:
        yield from _option("-m, --multirun", "all combinations of values, key=v1,v2")
    if any(k.presets or k.section for k in keys) or command.others == "*":
        yield from _option(
            "--config-dir DIR", "presets of your own in DIR/GROUP/NAME.yaml, as hydra.searchpath=[file:///DIR]"
        )
    yield from _option("--debug", "show all messages and the traceback of an error")
    if command.sweeps or command.others == "run":
        yield CODES


def described(key: Any) -> Iterator[str]:
    """Lines of help for a key: name, default, meaning and values."""
    yield f"  {key.path}={'NAME|FILE.yaml' if key.presets else _written(key.default)}"
    values = key.choices or (key.names() if key.names else presets.names(key.presets) if key.presets else ())
    for text in (key.metadata["text"], " | ".join(values)):
        yield from _wrapped(text, _INDENT, _INDENT)


def _option(flag: str, text: str) -> Iterator[str]:
    import textwrap

    yield from textwrap.wrap(text, _WIDTH, initial_indent=f"  {flag:<20} ", subsequent_indent=" " * 23)


def _written(value: Any) -> str:
    """A value as it is written on the command line."""
    if value is None or value == {}:
        return "null" if value is None else ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_written, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)
