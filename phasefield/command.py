"""What a command is, and one call of it. All commands are read alike: words, and keys that Hydra composes, in any order."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from .errors import ConfigError, PhasefieldError, closest, guess


@dataclass(frozen=True)
class Command:
    """A command.

    Attributes:
        keys: the schema of its keys, a dataclass, or ``MODULE:CLASS``, loaded when it is needed; None if it has none of its own.
        execute: does it; its exit code.
        words: what stands before the keys, name -> what it is. more: what any number of further words are; empty for none.
        others: whose keys it takes besides, unread (`Call.rest`): a command's name, or ``*`` for anything.
        sweeps: whether ``-m`` runs all combinations. folder: the key that names the folder of the results then;
            again: the key that, being ``auto``, takes up the sweep that this folder holds.
        ranks: whether several processes (MPI) do it together; others are refused to be one of several.
        validate: what can be said of a call without doing it, in one line; `PhasefieldError` if it will not do.
    """

    keys: Any
    execute: Callable[[Call], int]
    words: Mapping[str, str] = field(default_factory=dict)
    more: str = ""
    others: str = ""
    sweeps: bool = False
    folder: str = ""
    again: str = ""
    ranks: bool = False
    validate: Callable[[Call], str] | None = None


@dataclass
class Call:
    """One call of a command.

    Attributes:
        words: what stood before the keys. overrides: keys of its own, as given. rest: what is another command's.
        many: whether all combinations are asked for. line: the whole command line.
        folder: of a member of a sweep, where its results belong. composed: its configuration, if Hydra has composed it.
    """

    name: str
    command: Command
    words: list[str] = field(default_factory=list)
    overrides: list[str] = field(default_factory=list)
    rest: list[str] = field(default_factory=list)
    many: bool = False
    line: str = ""
    folder: Path | None = None
    composed: Any = None

    @cached_property
    def language(self) -> Any:
        """The `config.Language` of its keys."""
        from . import config

        return config.Language(self.name, self.command.keys)

    @cached_property
    def config(self) -> Any:
        """The composed configuration (an OmegaConf node)."""
        from . import config

        return self.composed if self.composed is not None else config.compose(self.overrides, self.language)

    @cached_property
    def keys(self) -> Any:
        """The checked keys, an object of the schema."""
        from . import config

        return config.to_object(self.config, self.language.schema)


def read(
    name: str,
    command: Command,
    given: Sequence[str],
    known: Sequence[str],
    synopsis: str,
    line: str = "",
    bare: bool = False,
    find: Callable[[str], Command] | None = None,
) -> Call:
    """A call from the arguments behind the command's name.

    Args:
        known: names of all commands, synopsis: how this one is called; both for complaints. line: the whole command line.
        bare: the words before the keys may be missing. find: a command by its name.

    Raises:
        PhasefieldError: a word that is missing or too much, an unknown option.
    """
    call = Call(name, command, line=line)
    flags = {k.flag: k for k in call.language.keys if k.flag} if command.keys else {}
    lists: dict[str, list[str]] = {}
    before, arguments = "", iter(_present(given, call))
    late: list[tuple[str, str]] = []  # words that follow a key, with that key
    for argument in arguments:
        flag, equals, value = argument.partition("=")
        key = flags.get(flag) or next((k for k in flags.values() if k.path == flag and k.many and equals), None)
        if argument.startswith("-") or key:
            if flag in ("-m", "--multirun") and command.sweeps and not equals:
                call.many = True
            elif key and isinstance(key.default, bool):
                call.overrides.append(f"{key.path}=true")
            elif key:
                text = value if equals else next(arguments, "")
                if not text:
                    raise PhasefieldError(f"{name}: {flag} needs a value: {key.metadata['text']}")
                lists.setdefault(key.path, []).append(text)
            elif command.others == "*":
                call.rest.append(argument)
            else:
                raise PhasefieldError(
                    f"{name}: unknown option {argument}\n  phasefield {name} --help lists the options"
                )
        elif not before and _is_word(argument, call):
            call.words.append(argument)
        elif command.others == "*":
            call.rest.append(argument)
        elif argument == "=" or ("=" not in argument and not argument.startswith("~")):
            late.append((argument, before))
        else:
            before = argument
            (call.overrides if _own(argument, call, find) else call.rest).append(argument)
    call.overrides += [f"{path}=[{','.join(map(_quoted, values))}]" for path, values in lists.items()]
    _take(late, call, known)
    _check_repeats(call, find)
    if not all(call.words):
        raise PhasefieldError(f"{name}: a word is empty\n  is a variable of the shell not set?")
    if len(call.words) < len(command.words) and not bare:
        what = list(command.words.values())[len(call.words)]
        raise PhasefieldError(f"{name}: {what} is missing\n  usage: phasefield {synopsis}")
    return call


def _take(late: Sequence[tuple[str, str]], call: Call, known: Sequence[str]) -> None:
    """Takes words that follow keys for the command's.

    Raises:
        PhasefieldError: one too many. Of several the first that names no file, which may be part of the value before it.
    """
    wanted = len(call.command.words) - len(call.words)
    strange = [(word, before) for word, before in late if not os.path.exists(os.path.expanduser(word))]
    if call.command.more:
        strange = strange[max(wanted, 0) :]
    elif len(late) <= wanted and "=" not in dict(late):
        strange = []
    elif late:
        strange = strange or [late[wanted]]
    if strange:
        raise _word(*strange[0], call, known)
    call.words += [word for word, _ in late]


def _check_repeats(call: Call, find: Callable[[str], Command] | None) -> None:
    """Tells of keys that are given twice; see `config.check_repeats`."""
    if len(call.overrides) > 1:
        from . import config

        config.check_repeats(call.overrides, call.language)
    if len(call.rest) > 1 and find is not None and call.command.others != "*":
        from . import config

        config.check_repeats(call.rest, config.Language(call.command.others, find(call.command.others).keys))


def _is_word(argument: str, call: Call) -> bool:
    """Whether an argument before all keys is another word: of those that any number may follow, none begins with ~ but a file."""
    if "=" in argument:
        return (bool(call.command.more) or len(call.words) < len(call.command.words)) and os.path.exists(argument)
    if len(call.words) < len(call.command.words):
        return True
    return bool(call.command.more) and (not argument.startswith("~") or os.path.exists(os.path.expanduser(argument)))


def _present(given: Sequence[str], call: Call) -> Sequence[str]:
    """Keys under their present names, be they the command's own or the other command's whose keys it takes besides."""
    if not any("=" in argument for argument in given):
        return given
    from . import config

    for name in filter(None, (call.name, call.command.others)):
        given = config.current(given, name)
    return given


def _own(argument: str, call: Call, find: Callable[[str], Command] | None) -> bool:
    """Whether a key is the command's own rather than the other command's whose keys it takes besides.

    Its own are the keys of its schema, whole mappings of them, and what lies in mappings that are open: ``output=FILE`` is not
    ``output.dir=DIR``. A key that neither knows is a slip of the closest one.

    Raises:
        ConfigError: a key that is no slip of either's.
    """
    if not call.command.others:
        return True
    path = argument.lstrip("+~").partition("=")[0].strip()
    keys = call.language.keys
    if any(
        path == k.path
        or k.path.startswith(f"{path}.")
        or (path.startswith(f"{k.path}.") and (k.section or k.value in ("tree", "schedule")))
        for k in keys
    ):
        return True
    if find is None:
        return False
    from . import config

    theirs = config.Language(call.command.others, find(call.command.others).keys).keys
    roots = {k.path.partition(".")[0] for k in theirs} | set(config.FILED)
    if path.partition(".")[0].partition("/")[0] in {*roots, "hydra"}:
        return False
    own = closest(path, [k.path for k in keys])
    if not own and not closest(path, [k.path for k in theirs]):
        mine, others = (", ".join(dict.fromkeys(k.path.partition(".")[0] for k in part)) for part in (keys, theirs))
        raise ConfigError(
            path, "there is no such key", f"keys of {call.name}: {mine}\n  and those of {call.command.others}: {others}"
        )
    return bool(own)


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _word(argument: str, before: str, call: Call, known: Sequence[str]) -> PhasefieldError:
    """The complaint about a word that is no override."""
    hint = "phasefield --help shows both"
    if before or argument == "=":
        hint = "if it belongs to the value before it, quote the whole in the shell: 'key=value with blanks'"
    if argument in known:
        return PhasefieldError(
            f"{argument!r} is a command and comes first: phasefield {argument} ...\n  phasefield {argument} --help"
        )
    if call.words or call.name != "run":
        if not before and argument != "=":
            begun = " ".join(("phasefield", call.name, *map(shlex.quote, call.words)))
            hint = f"behind `{begun}` only keys are expected; phasefield {call.name} --help lists them"
        return PhasefieldError(f"{call.name}: {argument!r} is no override key=value\n  {hint}")
    return PhasefieldError(
        f"{argument!r} is neither a command ({', '.join(known)}) nor an override key=value{guess(argument, known)}\n  {hint}"
    )
