"""From a command line of expressions to what Hydra's grammar takes."""

from __future__ import annotations

import logging
import os
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from .. import presets
from ..errors import ConfigError
from .complaints import SHOW
from .language import FILED, REPLACED, RUN, Language, Reading

log = logging.getLogger("phasefield")

_OVERRIDE = re.compile(r"^(\+{0,2})([\w./@-]+)\s*=(.*)$", re.S)
_PLAIN = re.compile(r"^[\w.+-]*$", re.ASCII)
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_KIND = re.compile(r"[{,]\s*['\"]?kind['\"]?\s*:")


def prepare(overrides: Sequence[str], sweep: bool = False, language: Language = RUN) -> list[str]:
    """Makes overrides fit for Hydra: expressions are quoted, open dictionaries take new keys, mappings replace mappings.

    Presets that are chosen come first, and what is given as a whole before its parts: what else is said of them changes them, in
    whatever order.

    Args:
        sweep: several values separated by commas outside parentheses are a choice.

    Raises:
        ConfigError: an override that cannot be read.
    """
    reading = language.reading(overrides)
    chosen: list[str] = []
    others: list[tuple[str, list[str]]] = []
    for override in overrides:
        match = _OVERRIDE.match(override)
        key = match and match.group(2)
        if not reading.run and key == "hydra.searchpath":
            continue  # its folders are groups to Hydra; presets of other commands are found without it
        if match and key in reading.presets:
            value = match.group(3).strip()
            mapping = value.startswith("{")
            chosen += _prepare(override, sweep, reading) if mapping else _preset(str(key), value, sweep)
        else:
            whole = _whole(str(key or override))
            part = (i for i, (at, _) in enumerate(others) if at != whole and f"{at}.".startswith(f"{whole}."))
            others.insert(next(part, len(others)), (whole, _prepare(override, sweep, reading)))
    return [*chosen, *(text for _, texts in others for text in texts)]


def _whole(key: str) -> str:
    """The key that an override replaces: the kind of a mapping begins it anew."""
    parent, _, last = key.rpartition(".")
    return parent if last == "kind" and REPLACED.match(parent) else key


def _preset(key: str, text: str, sweep: bool) -> list[str]:
    """The choice of a preset that is read after Hydra has composed the rest."""
    _check_brackets(key, text)
    if not sweep and len(split(text, ",")) > 1:
        raise ConfigError(key, f"has several values: {text}", f"to take one after the other, add -m: {key}={text} -m")
    values = [v if v in ("null", "") else f"{{preset: {_quoted(v)}}}" for v in choices(text, sweep)]
    return [f"++{key}=null", f"++{key}={','.join(values)}"]


def as_given(override: str) -> str:
    """An override as a person gives it, where `prepare` chose a preset."""
    found = re.match(r"^\+\+([\w.]+)=\{preset: ?(.*)\}$", override)
    return f"{found.group(1)}={unquoted(found.group(2))}" if found else override


def _prepare(override: str, sweep: bool, reading: Reading) -> list[str]:
    match = _OVERRIDE.match(override)
    if not match:
        return [override]
    prefix, key, value = match.groups()
    text = value.strip()
    if key.split(".")[0].split("/")[0] == "hydra":
        return [override]
    _check_brackets(key, text)
    if reading.open.match(key):
        prefix = "++"
    if reading.text.match(key):
        values = [text if text == "null" else _quoted(text)]
    elif key in reading.many:
        values = [_list(choice) for choice in choices(text, sweep)]
    elif reading.run and key in FILED:
        values = [stored_name(choice) if is_file(choice) else choice for choice in choices(text, sweep)]
    elif reading.expression.match(key) or text[:1] in ("{", "["):
        values = [_quoted(choice) for choice in choices(text, sweep)]
    else:
        values = [text]
    text = ",".join(values)
    # Hydra would merge a mapping into the one that is there and mix the keys of two kinds.
    if (parent := _whole(key)) != key:
        return [f"++{parent}=null", f"++{parent}={','.join(f'{{kind: {v}}}' for v in choices(text, sweep))}"]
    if REPLACED.match(key) and text.startswith("{") and (_KIND.search(text) or key.startswith("output")):
        return [f"++{key}=null", f"++{key}={text}"]
    if reading.trees.match(key) and text.startswith("{"):
        return [f"++{key}=null", f"++{key}={text}"]
    return [f"{prefix}{key}={text}"]


def _list(text: str) -> str:
    """The list that a text is, without brackets too."""
    return _quoted(text) if text[:1] == "[" or text in ("null", "") else _quoted(f"[{text}]")


def choices(text: str, sweep: bool = True) -> list[str]:
    """The values of a sweep, or the one value that the text is."""
    return split(text, ",") if sweep else [text]


def is_file(choice: str) -> bool:
    """Whether a preset is chosen by the path of a file."""
    return presets.is_file(unquoted(choice))


def unquoted(text: str) -> str:
    text = text.strip()
    return text[1:-1] if len(text) > 1 and text[0] in "'\"" and text[-1] == text[0] else text


def stored_name(choice: str) -> str:
    """The name under which Hydra is told of a file of one's own: its stem, and a sum that tells it from others of that stem."""
    path = Path(unquoted(choice)).expanduser()
    stem = re.sub(r"\W", "_", path.stem)
    return f"{stem}-{zlib.crc32(os.fsencode(path.absolute())):08x}"


def _check_brackets(key: str, text: str) -> None:
    """Refuses a list or mapping that is not closed; the brackets of expressions are checked where they are parsed."""
    if text[:1] not in ("{", "["):
        return
    open_: list[str] = []
    for character in _bare(text):
        if character in _CLOSING:
            open_.append(_CLOSING[character])
        elif character in _CLOSING.values() and (not open_ or open_.pop() != character):
            raise ConfigError(key, f"has a {character!r} too many in {text}")
    if open_:
        raise ConfigError(
            key,
            f"lacks {''.join(reversed(open_))!r} at the end of {text}",
            "quote lists and mappings in the shell: 'key={...}'",
        )


def _bare(text: str) -> Iterator[str]:
    """The characters of a text, blanks standing for those within quotes."""
    quote = ""
    for character in text:
        inside = quote
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = inside = character
        yield " " if inside else character


def split(text: str, separator: str) -> list[str]:
    """Parts between separators that stand outside brackets and quotes."""
    parts, depth = [""], 0
    for character, bare in zip(text, _bare(text), strict=True):
        depth += (bare in _CLOSING) - (bare in _CLOSING.values())
        if bare == separator and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def _quoted(text: str) -> str:
    """A value with quotes around what Hydra's grammar would trip over, also inside lists and mappings."""
    text = text.strip()
    if not text or _PLAIN.match(text) or (text[0] in "'\"" and len(text) > 1 and text[-1] == text[0]):
        return text
    if text[0] + text[-1] == "[]":
        inner = text[1:-1].strip()
        return f"[{','.join(map(_quoted, split(inner, ',')))}]" if inner else text
    if text[0] + text[-1] == "{}":
        items = [split(item, ":") for item in split(text[1:-1], ",") if item]
        # Keys may stand in quotes, as in JSON; Hydra's grammar has none there.
        pairs = (": ".join([unquoted(item[0]), *map(_quoted, [":".join(item[1:])])][: len(item)]) for item in items)
        return "{" + ", ".join(pairs) + "}"
    return in_quotes(text)


def in_quotes(text: str) -> str:
    """A text within quotes, to Hydra: a backslash is one, unless quotes follow."""
    return "'" + re.sub(r"(\\+)(?='|$)", r"\1\1", text).replace("'", "\\'") + "'"


def parse(overrides: Sequence[str], language: Language = RUN) -> None:
    """Reads every override by itself, so that a complaint names the one at fault.

    Raises:
        ConfigError: one that Hydra's grammar refuses.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    parser = OverridesParser.create()
    for override in overrides:
        if override.startswith("~"):
            raise ConfigError(override, "keys cannot be removed", f"set the key to another value, or to null; {SHOW}")
        key = re.split(r"\s*=", override.lstrip("+"), maxsplit=1)[0]
        if not re.match(r"^[\w./@:-]+$", key):
            raise ConfigError(repr(override), "is not of the form key=value", SHOW)
        _check_left_out(key, override.partition("=")[2].strip(), language)
        try:
            for prepared in prepare([override], sweep=True, language=language):
                parser.parse_override(prepared)
        except HydraException as error:
            raise ConfigError(
                key,
                f"cannot read the value {override.partition('=')[2].strip()!r}",
                "check its brackets and quotes; quotes around the whole value allow any character",
            ) from error


def check_text(overrides: Sequence[Any]) -> None:
    """Refuses what is no text, as Python may hand it over. Raises ConfigError."""
    for override in overrides:
        if not isinstance(override, str):
            raise ConfigError(
                repr(override), "is no override; text is expected, as in 'grid.shape=[128,128]'",
                "values are given by their keys: grid={'shape': [128, 128]}",
            )  # fmt: skip


def check_repeats(overrides: Sequence[str], language: Language = RUN) -> None:
    """Tells of keys that a command line gives two values, of which the last one counts as in Hydra's other programs, and refuses
    what contradicts itself. In Python, what comes later is laid over what comes first.

    Raises:
        ConfigError: a key that is given as a whole and in part, which disagree.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    parser, groups = OverridesParser.create(), {*FILED, *language.reading(overrides).presets}
    said: dict[str, tuple[Any, str]] = {}
    directly = set[str]()
    for override in overrides:
        key, _, text = (part.strip() for part in override.lstrip("+").partition("="))
        try:
            *_, read = map(parser.parse_override, prepare([override], sweep=True, language=language))
        except (HydraException, ConfigError, ValueError):  # nothing to be read, or `parse` says more of it
            continue
        at, value = read.key_or_group, text if read.is_sweep_override() else read.value()
        found = {at: (text, text)} if key in groups and text[:1] != "{" else dict(_leaves(at, value, text))
        for k, (v, t) in found.items():
            if k not in said or said[k][0] == v:
                continue
            twice = f"is given twice, as {said[k][1]} and as {t}"
            if k != at or k not in directly:
                raise ConfigError(k, twice, "leave one of them out")
            log.warning("%s: %s; the last one counts", k, twice)
        directly.add(at)
        said |= found
    for whole in (k for k, (v, _) in said.items() if v is not None and k not in groups):
        if part := next((k for k in said if k.startswith(f"{whole}.")), ""):
            problem = f"is given as a whole, {said[whole][1]}, and in part, as {part}"
            raise ConfigError(whole, problem, "leave one of them out")


def _leaves(key: str, value: Any, text: str) -> Iterator[tuple[str, tuple[Any, str]]]:
    """Values with their texts by key, of mappings what lies in them."""
    if not isinstance(value, dict) or not value:
        yield key, (value, text)
        return
    for name, inner in value.items():
        yield from _leaves(f"{key}.{name}", inner, str(inner))


def _check_left_out(key: str, text: str, language: Language) -> None:
    """Refuses words that ask for what leaving a key of numbers out gives.

    Raises:
        ConfigError: such a word.
    """
    if text.lower() not in ("auto", "automatic", "default"):
        return
    for known in language.keys:
        if known.path == key and known.numeric:
            default = "" if known.default in (None, []) else f", {known.default}"
            raise ConfigError(
                key, f"is {text!r}; numbers are expected", f"leave it out for its default{default}: {known.text}"
            )


def combinations(overrides: Sequence[str], language: Language = RUN) -> list[list[str]]:
    """The overrides of every run of a sweep, as a user would give them for that run alone."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parsed = OverridesParser.create().parse_overrides(prepare(overrides, sweep=True, language=language))
    (batch,) = BasicSweeper.split_arguments(parsed, max_batch_size=None)
    return [list(job) for job in batch]
