"""Composition of a run's configuration by Hydra, and what Hydra's grammar needs from a command line of expressions."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from .errors import ConfigError, PhasefieldError
from .specs import FieldSpec, ModelSpec, RunSpec

#: Keys whose values are expressions: quoted before Hydra's grammar sees them.
_EXPRESSION = re.compile(
    r"^(model\.energy|model\.fields\.\w+\.(source|mobility|kappa|stabilizer)"
    r"|homogenize(\.\w+)+|initial\.\w+(\.\w+)*|model\.fields\.\w+\.initial(\.\w+)*)$"
)
#: Keys whose values are text, commas, blanks and all.
_TEXT = re.compile(r"^(output\.dir|title|model\.(name|description)|.*\.(units|description))$")
#: Dictionaries open to new keys, so that no ``+`` is needed to add one.
_OPEN = re.compile(r"^(model\.(fields|parameters)|initial|homogenize|output\.(every|history))(\.\w|$)")
#: Keys that hold one mapping out of several kinds.
_REPLACED = re.compile(r"^(initial\.\w+|model\.fields\.\w+\.initial|output\.(every|history))$")
_OVERRIDE = re.compile(r"^(\+{0,2})([\w./@-]+)\s*=(.*)$", re.S)
_PLAIN = re.compile(r"^[\w.+-]*$", re.ASCII)
_CLOSING = {"(": ")", "[": "]", "{": "}"}

SHOW = "`phasefield config show` prints every key with its value"


# -- the command line --------------------------------------------------------------------------------------------------


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
        choices = [_quoted(text)]
    elif _EXPRESSION.match(key) or text[:1] in ("{", "["):
        choices = [_quoted(choice) for choice in (_split(text, ",") if sweep else [text])]
    else:
        choices = [text]
    text = ",".join(choices)
    if _REPLACED.match(key) and text.startswith("{") and ("kind" in text or key.startswith("output")):
        # Hydra would merge the mapping into the one that is there and mix the keys of two kinds.
        return [f"++{key}=null", f"++{key}={text}"]
    return [f"{prefix}{key}={text}"]


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


def _split(text: str, separator: str) -> list[str]:
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
        return f"[{','.join(map(_quoted, _split(inner, ',')))}]" if inner else text
    if text[0] + text[-1] == "{}":
        items = [_split(item, ":") for item in _split(text[1:-1], ",") if item]
        return (
            "{"
            + ", ".join(": ".join([item[0], *map(_quoted, [":".join(item[1:])])][: len(item)]) for item in items)
            + "}"
        )
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


# -- composition -------------------------------------------------------------------------------------------------------


def register(overrides: Sequence[str] = ()) -> list[str]:
    """Registers the schema with Hydra, with room for the fields that the command line adds; returns their names."""
    from hydra.core.config_store import ConfigStore

    store = ConfigStore.instance()
    store.store(name="schema", node=RunSpec)
    named = list(dict.fromkeys(re.findall(r"(?m)^\+{0,2}model\.fields\.(\w+)", "\n".join(overrides))))
    if not named:
        return []
    groups = [
        f"{o.partition('=')[0]}={_split(o.partition('=')[2], ',')[0]}"
        for o in overrides
        if re.match(r"^(model|experiment)=", o)
    ]
    known = _compose(groups).model.fields
    if new := {name: FieldSpec() for name in named if name not in known}:
        store.store(name="schema", node=RunSpec(model=ModelSpec(fields=new)))
    return list(new)


def arrange(config: Any, new: Sequence[str]) -> Any:
    """The configuration with new fields behind those of the preset: in the schema they come first."""
    from omegaconf import open_dict

    fields = config.model.fields
    with open_dict(fields):
        for name in new:
            fields[name] = fields.pop(name)
    return config


def _compose(prepared: Sequence[str]) -> Any:
    from hydra import compose as hydra_compose
    from hydra import initialize_config_module

    try:
        with initialize_config_module("phasefield.configs", version_base="1.3"):
            return hydra_compose("config", list(prepared))
    except Exception as error:  # Hydra raises anything from ValueError to AttributeError for what users type
        raise config_error(error) from error


def compose(overrides: Sequence[str]) -> Any:
    """The resolved configuration (an OmegaConf node) for command-line overrides.

    Raises:
        ConfigError: anything Hydra or the schema refuses, as one message.
    """
    parse(overrides)
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    new = register(overrides)
    config = arrange(_compose(prepare(overrides)), new)
    try:
        OmegaConf.to_container(config, resolve=True)  # its complaints name the key, those of resolve do not
        OmegaConf.resolve(config)
    except OmegaConfBaseException as error:
        raise config_error(error) from error
    check(config, overrides)
    return config


def check(config: Any, overrides: Sequence[str]) -> None:
    """What only the composed configuration and the overrides together show.

    Raises:
        ConfigError: a parameter was set that no expression uses, which is a slip of the pen.
    """
    spec = config.model
    text = f"{spec.energy} {config.initial} " if not _missing(spec, "energy") else ""
    text += " ".join(f"{f.mobility} {f.kappa} {f.source} {f.stabilizer} {f.initial}" for f in spec.fields.values())
    used = set(re.findall(r"\w+", text))
    for override in overrides:
        match = re.match(r"^\+{0,2}model\.parameters\.(\w+)\s*=", override)
        if match and match.group(1) not in used:
            known = [p for p in spec.parameters if p in used]
            raise ConfigError(
                f"model.parameters.{match.group(1)}",
                f"no expression of the model uses it{_suggest(match.group(1), known)}; the energy is {spec.energy}",
                f"parameters of this model: {', '.join(known) or 'none'}",
            )


def _missing(node: Any, key: str) -> bool:
    from omegaconf import OmegaConf

    return bool(OmegaConf.is_missing(node, key))


def to_spec(config: Any) -> RunSpec:
    """The working objects of a configuration; values are checked here.

    Raises:
        ConfigError: a missing or unusable value.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        plain = OmegaConf.create(OmegaConf.to_container(config, resolve=True, throw_on_missing=True))
        spec = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(RunSpec), plain))
    except OmegaConfBaseException as error:
        if isinstance(error.__cause__, PhasefieldError):
            raise error.__cause__ from None
        raise config_error(error) from error
    assert isinstance(spec, RunSpec)
    return spec


def to_yaml(config: Any) -> str:
    """The resolved configuration as YAML."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        return OmegaConf.to_yaml(config, resolve=True)
    except OmegaConfBaseException as error:
        raise config_error(error) from error


def load(path: Any, overrides: Sequence[str] = ()) -> Any:
    """The configuration of a run folder, with overrides as on the command line; presets are not chosen anew.

    Raises:
        ConfigError: the file or an override cannot be used.
    """
    import yaml
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        loaded = OmegaConf.load(path)
        config = OmegaConf.merge(OmegaConf.structured(RunSpec), loaded)
    except OmegaConfBaseException as error:
        found = config_error(error)
        raise ConfigError(f"{path}: {found.key}", found.problem, found.hint) from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError, TypeError, ValueError) as error:
        raise ConfigError(str(path), f"cannot be read: {' '.join(str(error).split())}") from error
    for override in overrides:
        if "=" not in override:
            raise ConfigError(override, "is not an override; key=value is expected, e.g. time.end=2000")
        if re.match(r"^\+*(model|experiment)=", override):
            raise ConfigError(override, "a preset cannot be chosen for a run that exists", "start a new run")
    parse(overrides)
    for parsed in OverridesParser.create().parse_overrides(prepare(overrides)):
        try:
            if parsed.is_sweep_override():
                raise ConfigError(parsed.key_or_group, "has several values", "to give a list, write [value1,value2]")
            OmegaConf.update(config, parsed.key_or_group, parsed.value(), merge=True)
        except ConfigError:
            raise
        except Exception as error:
            raise config_error(error) from error
    return config


def flat(config: Any) -> dict[str, Any]:
    """The values of a configuration by their dotted keys; lists, and mappings of one kind out of several, are values."""
    from omegaconf import OmegaConf

    values: dict[str, Any] = {}

    def walk(prefix: str, node: Any) -> None:
        if isinstance(node, dict) and not (prefix and _REPLACED.match(prefix)):
            for name, value in node.items():
                walk(f"{prefix}.{name}" if prefix else str(name), value)
        else:
            values[prefix] = node

    walk("", OmegaConf.to_container(config, resolve=True))
    return values


def put(config: Any, key: str, value: Any) -> None:
    """Sets one value of a configuration."""
    from omegaconf import OmegaConf

    OmegaConf.update(config, key, value, merge=False)


# -- messages ----------------------------------------------------------------------------------------------------------

#: What OmegaConf and Hydra say, and what we say instead; ``{0}``, ``{1}`` are the groups, ``{key}`` the key.
_MESSAGES: tuple[tuple[str, str, str], ...] = (
    (r"Value '(.*)' of type '\w+' could not be converted to Float", "is {0!r}; a number is expected", ""),
    (r"Value '(.*)' of type '\w+' could not be converted to Integer", "is {0!r}; a whole number is expected", ""),
    (r"Value '(.*)' is not a valid bool", "is {0!r}; true or false is expected", ""),
    (
        r"(?:Invalid value assigned: (\w+) is not a ListConfig|Cannot merge ListConfig with)",
        "is not a list",
        "write {key}=[value] or {key}=[value1,value2]",
    ),
    (r"Cannot convert '(\w+)' to string: '(.*)'", "is {1}; text is expected", ""),
    (
        r"Invalid type assigned: \w+ is not a subclass of \w+\. value: ([^\n]*)",
        "is {0}; this is a group of keys",
        "set the keys in it",
    ),
    (
        r"(?:Cannot assign (\w+) to Dict|Cannot merge DictConfig with)",
        "is a mapping and cannot take this value",
        "write {key}={{name: value}} or {key}.name=value",
    ),
    (r"field '[\w.]+' is not Optional|Incompatible value 'None'", "cannot be null", ""),
    (
        r"Missing mandatory value|Structured config of type `\w+` has missing mandatory value",
        "is missing",
        "set {key}=...",
    ),
    (r"Interpolation key '(.*)' not found", "refers to ${{{0}}}, which does not exist", ""),
    (
        r"(?:Ambiguous value for argument|Sweep parameters) '([^=]+)=(.*?)'",
        "has several values: {1}",
        "to give a list, write {0}=[{1}]; to run them all, phasefield run -m",
    ),
    (r"raised while resolving interpolation: \"(.*)\"", "{0}", ""),
    (r"invalid literal for int\(\) with base 10: '(.*)'", "is no number of an entry in a list", ""),
    (r"Config group override must be a string", "a preset is chosen by its name", "e.g. model=cahn_hilliard"),
    (r"Multiple values for (\w+)\.", "is chosen twice", "write {0}=NAME once, without +"),
)


def config_error(error: BaseException) -> ConfigError:
    """One readable message from an exception of Hydra or OmegaConf."""
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in chain:
        if isinstance(cause, ConfigError):
            return cause
        chain.append(cause)
        cause = cause.__cause__
    key = next((str(k) for c in chain if (k := getattr(c, "full_key", None))), "")
    texts = [str(c) for c in reversed(chain)]
    for text in texts:
        if found := re.search(r"Could not (?:find|load) '([\w/-]+)/([^'/]*)'", text):
            return _no_preset(found.group(1), found.group(2))
        if found := re.search(r"Key '(.*)' (?:not in '\w+'|is not in struct)", text):
            return _unknown_key(key or found.group(1))
        if found := re.search(r"Could not override '(.*?)'\.", text):
            return _unknown_key(found.group(1))
        for pattern, problem, hint in _MESSAGES:
            if found := re.search(pattern, text, re.S):
                key = key or next((g for g in found.groups() if g), "configuration")
                groups = found.groups()
                return ConfigError(key, problem.format(*groups, key=key), hint.format(*groups, key=key))
    drop = re.compile(r"^\s*(full_key:|object_type=|reference_type=|See https|Set the environment|$)")
    lines = [" ".join(line.split()) for text in texts for line in text.splitlines() if not drop.match(line)]
    return ConfigError(key or "configuration", "; ".join(dict.fromkeys(lines)), SHOW)


def presets(group: str) -> list[str]:
    """Names of the presets that come with the package, e.g. of ``model`` or ``experiment``."""
    folder = Path(__file__).resolve().parent / "configs"
    if not folder.is_dir():
        folder = folder.parents[1] / "configs"
    root = folder / group
    return sorted(p.relative_to(root).with_suffix("").as_posix() for p in root.rglob("*.yaml"))


def _no_preset(group: str, name: str) -> ConfigError:
    for known in ("model", "experiment"):  # a folder of presets is a group of its own to Hydra
        if group.startswith(known + "/"):
            group, name = known, f"{group.removeprefix(known + '/')}/{name}"
    names = presets(group) if group in ("model", "experiment") else []
    return ConfigError(
        group,
        f"there is no preset {name!r}{_suggest(name, names)}" if name else "no preset is named",
        f"presets: {', '.join(names)}" if names else SHOW,
    )


def _unknown_key(key: str) -> ConfigError:
    from omegaconf import DictConfig, OmegaConf

    schema = OmegaConf.structured(RunSpec)
    parent, _, name = key.rpartition(".")
    if re.match(r"^model\.fields\.\w+$", parent):
        siblings = list(OmegaConf.structured(FieldSpec))
    else:
        group = OmegaConf.select(schema, parent) if parent else schema
        siblings = list(map(str, group)) if isinstance(group, DictConfig) else []
    close = difflib.get_close_matches(name, siblings, 1)
    elsewhere = [f"{g}.{k}" for g in schema if isinstance(schema[g], DictConfig) for k in schema[g]]
    same = [k for k in elsewhere if k.split(".")[-1] == name]
    guess = f"{parent}.{close[0]}".lstrip(".") if close else same[0] if same else ""
    guess = guess or next(iter(difflib.get_close_matches(key, elsewhere, 1)), "")
    return ConfigError(
        key,
        "there is no such key" + (f"; did you mean {guess}?" if guess else ""),
        f"keys {f'of {parent}' if parent else 'at the top'}: {', '.join(siblings)}" if siblings else SHOW,
    )


def _suggest(word: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, known, 1) or [
        k for k in known if k.split("/")[-1] == word or k.startswith(word + "/")
    ]
    return f"; did you mean {close[0]!r}?" if close else ""
