"""From a command line of expressions to what Hydra's grammar takes."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..errors import ConfigError
from ..specs import EXPRESSIONS
from .complaints import SHOW

#: Keys whose values are expressions: quoted before Hydra's grammar sees them.
_EXPRESSION = re.compile(
    rf"^(model\.energy|model\.fields\.\w+\.({'|'.join(EXPRESSIONS)})"
    r"|homogenize(\.\w+)+|initial\.\w+(\.\w+)*|model\.fields\.\w+\.initial(\.\w+)*)$"
)
#: Keys whose values are text, commas, blanks and all.
_TEXT = re.compile(r"^(output\.dir|title|model\.(name|description)|.*\.(units|description))$")
#: Dictionaries open to new keys, so that no ``+`` is needed to add one.
_OPEN = re.compile(r"^(model\.(fields|parameters)|initial|homogenize|output\.(every|history))(\.\w|$)")
#: Keys that hold one mapping out of several kinds.
REPLACED = re.compile(r"^(initial\.\w+|model\.fields\.\w+\.initial|output\.(every|history))$")
_OVERRIDE = re.compile(r"^(\+{0,2})([\w./@-]+)\s*=(.*)$", re.S)
_PLAIN = re.compile(r"^[\w.+-]*$", re.ASCII)
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_KIND = re.compile(r"[{,]\s*['\"]?kind['\"]?\s*:")
#: Groups whose presets may be files of one's own.
FILED = ("model", "experiment")


def prepare(overrides: Sequence[str], sweep: bool = False) -> list[str]:
    """Makes overrides fit for Hydra: expressions are quoted, open dictionaries take new keys, mappings replace mappings.

    Args:
        sweep: several values separated by commas outside parentheses are a choice.

    Raises:
        ConfigError: an override that cannot be read.
    """
    return [prepared for override in overrides for prepared in _prepare(override, sweep)]


def _prepare(override: str, sweep: bool) -> list[str]:
    match = _OVERRIDE.match(override)
    if not match:
        return [override]
    prefix, key, value = match.groups()
    text = value.strip()
    if key.split(".")[0].split("/")[0] == "hydra":
        return [override]
    _check_brackets(key, text)
    if _OPEN.match(key):
        prefix = "++"
    if _TEXT.match(key):
        values = [_quoted(text)]
    elif key in FILED:
        values = [stored_name(choice) if is_file(choice) else choice for choice in choices(text, sweep)]
    elif _EXPRESSION.match(key) or text[:1] in ("{", "["):
        values = [_quoted(choice) for choice in choices(text, sweep)]
    else:
        values = [text]
    text = ",".join(values)
    # Hydra would merge a mapping into the one that is there and mix the keys of two kinds.
    parent, _, last = key.rpartition(".")
    if last == "kind" and REPLACED.match(parent):
        return [f"++{parent}=null", f"++{parent}={','.join(f'{{kind: {v}}}' for v in choices(text, sweep))}"]
    if REPLACED.match(key) and text.startswith("{") and (_KIND.search(text) or key.startswith("output")):
        return [f"++{key}=null", f"++{key}={text}"]
    return [f"{prefix}{key}={text}"]


def choices(text: str, sweep: bool = True) -> list[str]:
    """The values of a sweep, or the one value that the text is."""
    return split(text, ",") if sweep else [text]


def is_file(choice: str) -> bool:
    """Whether a preset is chosen by the path of a file."""
    return unquoted(choice).endswith((".yaml", ".yml"))


def unquoted(text: str) -> str:
    text = text.strip()
    return text[1:-1] if len(text) > 1 and text[0] in "'\"" and text[-1] == text[0] else text


def stored_name(choice: str) -> str:
    """The name under which Hydra is told of a file of one's own: its stem, and a sum that tells it from others of that stem."""
    path = Path(unquoted(choice)).expanduser()
    stem = re.sub(r"\W", "_", path.stem)
    return f"{stem}-{zlib.crc32(str(path.absolute()).encode()):08x}"


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
    # To Hydra a backslash is one, unless quotes follow.
    return "'" + re.sub(r"(\\+)(?='|$)", r"\1\1", text).replace("'", "\\'") + "'"


def parse(overrides: Sequence[str]) -> None:
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
        try:
            for prepared in prepare([override], sweep=True):
                parser.parse_override(prepared)
        except HydraException as error:
            raise ConfigError(
                key,
                f"cannot read the value {override.partition('=')[2].strip()!r}",
                "check its brackets and quotes; quotes around the whole value allow any character",
            ) from error


def combinations(overrides: Sequence[str]) -> list[list[str]]:
    """The overrides of every run of a sweep, as a user would give them for that run alone."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parsed = OverridesParser.create().parse_overrides(prepare(overrides, sweep=True))
    (batch,) = BasicSweeper.split_arguments(parsed, max_batch_size=None)
    return [list(job) for job in batch]
