"""Composition of a run's configuration by Hydra, and what Hydra's grammar needs from a command line of expressions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from .errors import ConfigError, PhasefieldError
from .specs import RunSpec

#: Keys whose values are expressions: quoted before Hydra's grammar sees them.
_EXPRESSION = re.compile(
    r"^(model\.energy|model\.fields\.\w+\.(source|mobility|kappa|stabilizer)|initial\.\w+(\.\w+)*|model\.fields\.\w+\.initial(\.\w+)*)$"
)
#: Dictionaries open to new keys, so that no ``+`` is needed to add one.
_OPEN = re.compile(r"^(model\.(fields|parameters)|initial)\.\w")
#: Keys that hold one mapping out of several kinds.
_REPLACED = re.compile(r"^(initial\.\w+|output\.(every|history))$")
_PLAIN = re.compile(r"^[\w.+-]*$")


def prepare(overrides: Sequence[str], sweep: bool = False) -> list[str]:
    """Makes overrides fit for Hydra: expressions are quoted, open dictionaries take new keys, mappings replace mappings.

    Args:
        sweep: several expressions separated by commas outside parentheses are a choice.
    """
    return [prepared for override in overrides for prepared in _prepare(override, sweep)]


def _prepare(override: str, sweep: bool) -> list[str]:
    match = re.match(r"^(\+{0,2})([\w./@]+)=(.*)$", override, re.S)
    if not match:
        return [override]
    prefix, key, value = match.groups()
    text = value.strip()
    if _REPLACED.match(key) and text.startswith("{") and ("kind" in text or not key.startswith("initial")):
        # Hydra would merge the mapping into the one that is there and mix the keys of two kinds.
        return [f"++{key}=null", f"++{key}={value}"]
    if _OPEN.match(key):
        prefix = "++"
    if _EXPRESSION.match(key) and text and text[0] not in "{['\"" and not _PLAIN.match(text):
        choices = _split_commas(text) if sweep else [text]
        text = ",".join("'" + c.strip().replace("\\", "\\\\").replace("'", "\\'") + "'" for c in choices)
        return [f"{prefix}{key}={text}"]
    return [f"{prefix}{key}={value}"]


def _split_commas(text: str) -> list[str]:
    parts, depth = [""], 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def register() -> None:
    """Registers the schema with Hydra."""
    from hydra.core.config_store import ConfigStore

    ConfigStore.instance().store(name="schema", node=RunSpec)


def compose(overrides: Sequence[str]) -> Any:
    """The resolved configuration (an OmegaConf node) for command-line overrides.

    Raises:
        ConfigError: anything Hydra or the schema refuses, as one message.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_module
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    register()
    try:
        with initialize_config_module("phasefield.configs", version_base="1.3"):
            config = hydra_compose("config", prepare(overrides))
    except (HydraException, OmegaConfBaseException) as error:
        raise config_error(error) from error
    _check_parameters(config, overrides)
    return config


def config_error(error: Exception) -> ConfigError:
    """One readable message from an exception of Hydra or OmegaConf."""
    cause: BaseException = error
    while cause.__cause__ is not None and "Error merging override" not in str(cause):
        cause = cause.__cause__
    key = getattr(cause.__cause__ or cause, "full_key", None) or getattr(cause, "full_key", None)
    lines = [line.strip() for line in f"{cause}\n{cause.__cause__ or ''}".splitlines()]
    drop = re.compile(r"^(full_key:|object_type=|reference_type=|See https|Set the environment|$)")
    kept = [line for line in dict.fromkeys(lines) if not drop.match(line)]
    return ConfigError(str(key or "configuration"), "; ".join(kept), "`phasefield config show` prints every key with its value")


def _check_parameters(config: Any, overrides: Sequence[str]) -> None:
    """A parameter set on the command line that no expression uses is a slip of the pen."""
    text = str(config.model.energy) + " ".join(
        f"{f.mobility} {f.kappa} {f.source} {f.stabilizer} {f.initial}" for f in config.model.fields.values()
    ) + str(config.initial)
    used = set(re.findall(r"\w+", text))
    for override in overrides:
        match = re.match(r"^\+{0,2}model\.parameters\.(\w+)=", override)
        if match and match.group(1) not in used:
            raise ConfigError(
                f"model.parameters.{match.group(1)}",
                f"no expression of the model uses it; the energy is {config.model.energy}",
                f"parameters of this model: {', '.join(p for p in config.model.parameters if p in used)}",
            )


def to_spec(config: Any) -> RunSpec:
    """The working objects of a configuration; values are checked here.

    Raises:
        ConfigError: a missing or unusable value.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        plain = OmegaConf.create(OmegaConf.to_container(config, resolve=True))
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

    return OmegaConf.to_yaml(config, resolve=True)


def load(path: Any, overrides: Sequence[str]) -> Any:
    """The configuration of a run folder, with overrides of plain ``key=value`` form.

    Raises:
        ConfigError: the file or an override cannot be used.
    """
    import yaml
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        config = OmegaConf.merge(OmegaConf.structured(RunSpec), OmegaConf.load(path))
    except (OSError, yaml.YAMLError, OmegaConfBaseException) as error:
        raise ConfigError(str(path), f"cannot be read: {error}") from error
    for override in overrides:
        key, sign, value = override.partition("=")
        if not sign:
            raise ConfigError(override, "is not an override; key=value is expected, e.g. time.end=2000")
        try:
            OmegaConf.update(config, key, yaml.safe_load(value), merge=True)
        except (yaml.YAMLError, OmegaConfBaseException) as error:
            raise ConfigError(key, f"cannot be set to {value!r}: {str(error).splitlines()[0]}") from error
    return config
