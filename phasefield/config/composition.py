"""Composition of a run's configuration by Hydra."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import presets
from ..errors import ConfigError, PhasefieldError, guess
from ..keys import in_unit, keys_of
from ..specs import EXPRESSIONS, FieldSpec, ModelSpec, RunSpec
from .complaints import config_error
from .files import read_preset, search_path
from .grammar import as_given, check_text, choices, is_file, parse, prepare, stored_name, unquoted
from .language import FILED, REPLACED, RUN, Language
from .renaming import current, renew
from .values import ARRAY

#: The name of the schema in configs/config.yaml.
_SCHEMA = "phasefield_schema"

#: Hydra keeps what it composes with in globals; one thread at a time.
lock = threading.RLock()


def register(overrides: Sequence[str] = (), language: Language = RUN) -> list[str]:
    """Registers a command's schema with Hydra, for runs with room for the fields that the command line adds, and presets that are
    files.

    Returns:
        The names of the fields that the command line adds.

    Raises:
        ConfigError: a file or folder that is not there, or holds no preset.
    """
    from hydra.core.config_store import ConfigStore

    search_path(overrides)
    store = ConfigStore.instance()
    if language.name != RUN.name:
        store.store(name=f"{language.primary}_schema", node=_structured(language.schema))
        store.store(name=language.primary, node=_primary(language))
        return []
    store.store(name=_SCHEMA, node=RunSpec)
    groups = []
    for override in overrides:
        group, _, text = override.lstrip("+").partition("=")
        if group in FILED:
            given = choices(text)
            for choice in filter(is_file, given):
                node, package = read_preset(group, choice)
                store.store(name=stored_name(choice), node=node, group=group, package=package)
                _files[f"{group}={stored_name(choice)}"] = f"{group}={Path(unquoted(choice)).expanduser().absolute()}"
            groups += prepare([f"{group}={given[0]}"])
    named = list(dict.fromkeys(re.findall(r"(?m)^\+{0,2}model\.fields\.(\w+)", "\n".join(overrides))))
    if not named:
        return []
    known = _compose(RUN, [*groups, *(o for o in overrides if o.startswith("hydra.searchpath="))]).model.fields
    if new := {name: FieldSpec() for name in named if name not in known}:
        store.store(name=_SCHEMA, node=RunSpec(model=ModelSpec(fields=new)))
    return list(new)


def _structured(schema: type) -> Any:
    """The schema as OmegaConf has it, open to changes where its objects are frozen."""
    from omegaconf import DictConfig, OmegaConf

    node = OmegaConf.structured(schema)
    waiting: list[Any] = [node]
    while waiting:
        part = waiting.pop()
        OmegaConf.set_readonly(part, False)
        waiting += [
            part._get_node(k) for k in part if isinstance(part._get_node(k), DictConfig) and part[k] is not None
        ]
    return node


def _primary(language: Language) -> dict[str, Any]:
    """What Hydra begins with for a command: its schema, nothing else, and a Hydra that leaves folders and logs alone."""
    quiet: list[Any] = [{f"override hydra/{name}": "disabled"} for name in ("job_logging", "hydra_logging")]
    own = {"output_subdir": None, "run": {"dir": "."}, "sweep": {"dir": ".", "subdir": "${hydra.job.num}"}}
    return {"defaults": [f"{language.primary}_schema", "_self_", *quiet], "hydra": own}


#: What Hydra was told of as a preset -> the file it is.
_files: dict[str, str] = {}


def original(override: str) -> str:
    """An override as it was given, where Hydra got another name for a file or a mapping for a preset."""
    return _files.get(override, as_given(override))


def arrange(config: Any, new: Sequence[str], overrides: Sequence[str], language: Language = RUN) -> Any:
    """What Hydra composed, completed: new fields behind those of the preset (in the schema they come first), presets that are
    read here found along the search path, and sections that something is said of filled in.

    Raises:
        ConfigError: a preset that is not there, a key that a section has not, or a value of the wrong type.
    """
    from omegaconf import open_dict

    own = search_path(overrides)
    for name, section in language.sections.items():
        if config.get(name):
            with open_dict(config):
                config[name] = _section(config[name], name, section)
            _find_presets(config[name], section, own, f"{name}.")
    _find_presets(config, language, own)
    if not new:
        return config
    fields = config.model.fields
    with open_dict(fields):
        for name in new:
            fields[name] = fields.pop(name)
    return config


def _section(given: Any, name: str, section: Language) -> Any:
    """A mapping with a schema of its own: what is given, and the defaults of the rest."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    refused = getattr(section.schema, "REFUSED", {})
    try:
        for key in given:
            if str(key) in refused:
                known = ", ".join(map(str, OmegaConf.structured(section.schema)))
                raise ConfigError(f"{name}.{key}", refused[str(key)], f"keys: {known}")
        # As a plain mapping: of a typed one the types would win over those of the schema.
        plain = OmegaConf.create(OmegaConf.to_container(given))
        merged = OmegaConf.merge(_structured(section.schema), plain)
        return OmegaConf.create(OmegaConf.to_container(merged))
    except OmegaConfBaseException as error:
        found = config_error(error, section.schema)
        hint = re.sub(r"^keys of ", f"keys of {name}.", found.hint).replace("keys at the top", f"keys of {name}")
        problem = found.problem.replace("did you mean ", f"did you mean {name}.")
        raise ConfigError(f"{name}.{found.key}", problem, hint) from error


def _find_presets(config: Any, language: Language, own: Sequence[Path], prefix: str = "") -> None:
    """Names of presets that are read later become words that lead to them: names of the package's, paths of one's own."""
    from omegaconf import OmegaConf

    for key in language.keys:
        if not key.presets or key.presets in FILED:
            continue
        value = OmegaConf.select(config, key.path)
        mapping = OmegaConf.is_dict(value)
        name = value.get("preset") if mapping else value
        if name is None:
            continue
        path = presets.find(key.presets, str(name), own, prefix + key.path)
        shipped = path.is_relative_to(presets.folder(key.presets)) and not presets.is_file(str(name))
        word = str(name) if shipped else str(path.absolute())
        if mapping and len(value) > 1:
            value.preset = word
        else:
            OmegaConf.update(config, key.path, word, merge=False)


def _compose(language: Language, prepared: Sequence[str], own: Sequence[Path] = ()) -> Any:
    from hydra import compose as hydra_compose
    from hydra import initialize_config_module
    from hydra.core.config_store import ConfigStore
    from hydra.core.global_hydra import GlobalHydra
    from hydra.version import VersionBase

    with lock:
        # Who calls may be an application of Hydra itself.
        theirs, version = GlobalHydra.instance().hydra, VersionBase.instance().getbase()
        GlobalHydra.instance().clear()
        # Presets that are files stay in Hydra's store, as groups of runs: to other commands a key of such a name is a key.
        store = ConfigStore.instance().repo
        groups = {} if language.name == RUN.name else {name: store.pop(name) for name in FILED if name in store}
        try:
            with initialize_config_module(language.module, version_base="1.3"):
                return hydra_compose(language.primary, list(prepared))
        except Exception as error:  # Hydra raises anything from ValueError to AttributeError for what users type
            raise config_error(error, language.schema, own) from error
        finally:
            store.update(groups)
            GlobalHydra.instance().hydra = theirs
            VersionBase.instance().version_base = version


def compose(overrides: Sequence[str], language: Language = RUN) -> Any:
    """The resolved configuration (an OmegaConf node) of a command for command-line overrides.

    Raises:
        ConfigError: anything Hydra or the schema refuses, as one message.
    """
    check_text(overrides)
    overrides = current(overrides, language.name)
    parse(overrides, language)
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    with lock:
        new = register(overrides, language)
        composed = _compose(language, prepare(overrides, language=language), search_path(overrides))
        config = arrange(composed, new, overrides, language)
    try:
        OmegaConf.to_container(config, resolve=True)  # its complaints name the key, those of resolve do not
        OmegaConf.resolve(config)
    except OmegaConfBaseException as error:
        raise config_error(error, language.schema) from error
    if language.name == RUN.name:
        check(config, overrides)
        _fill_tables(config)
    return config


def _fill_tables(config: Any) -> None:
    """What is in the tables of parameters, so that the configuration of a run goes on without their files.

    Raises:
        ConfigError: a file that is no table.
    """
    from omegaconf import OmegaConf

    given = config.model.parameters
    if not any(OmegaConf.is_dict(given[name]) for name in given):
        return
    from ..models.parameters import filled  # which takes SymPy along

    plain: Any = OmegaConf.to_container(given)
    for name, value in filled(plain).items():
        OmegaConf.update(config, f"model.parameters.{name}", value, merge=False)


def check(config: Any, overrides: Sequence[str]) -> None:
    """What only the composed configuration and the overrides together show.

    Raises:
        ConfigError: a parameter was set that no expression uses, which is a slip of the pen.
    """
    spec = config.model
    text = f"{spec.energy} {config.initial} " if not _missing(spec, "energy") else ""
    text += " ".join(f"{spec.parameters[name]}" for name in spec.parameters) + " "
    text += " ".join(f"{f[key]}" for f in spec.fields.values() for key in (*EXPRESSIONS, "initial"))
    used = set(re.findall(r"\w+", text))
    for override in overrides:
        match = re.match(r"^\+{0,2}model\.parameters\.(\w+)\s*=", override)
        if match and match.group(1) not in used:
            known = [p for p in spec.parameters if p in used]
            raise ConfigError(
                f"model.parameters.{match.group(1)}",
                f"no expression of the model uses it{guess(match.group(1), known)}; the energy is {spec.energy}",
                f"parameters of this model: {', '.join(known) or 'none'}",
            )


def _missing(node: Any, key: str) -> bool:
    from omegaconf import OmegaConf

    return bool(OmegaConf.is_missing(node, key))


def to_object(config: Any, schema: type) -> Any:
    """The working objects of a configuration; values are checked here.

    Raises:
        ConfigError: a missing or unusable value.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        plain = OmegaConf.create(OmegaConf.to_container(config, resolve=True, throw_on_missing=True))
        for key in keys_of(schema):
            if key.unit and (value := OmegaConf.select(plain, key.path)) is not None:
                value = OmegaConf.to_object(value) if OmegaConf.is_list(value) else value
                OmegaConf.update(plain, key.path, in_unit(value, key.unit, key.path), merge=False)
        return OmegaConf.to_object(OmegaConf.merge(_structured(schema), plain))
    except OmegaConfBaseException as error:
        if isinstance(error.__cause__, PhasefieldError):
            raise error.__cause__ from None
        raise config_error(error, schema) from error


def to_spec(config: Any) -> RunSpec:
    """The specification of a run; raises what `to_object` does."""
    spec = to_object(config, RunSpec)
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


def of_run(path: Any, overrides: Sequence[str] = ()) -> Any:
    """The configuration of a run folder, with overrides as on the command line; presets are not chosen anew.

    Raises:
        ConfigError: the file or an override cannot be used.
    """
    import yaml
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    check_text(overrides)
    try:
        loaded = OmegaConf.load(path)
        if OmegaConf.is_dict(loaded):
            renew(loaded, RUN.name, earlier=True)
        config = OmegaConf.merge(OmegaConf.structured(RunSpec), loaded)
    except OmegaConfBaseException as error:
        found = config_error(error)
        raise ConfigError(f"{path}: {found.key}", found.problem, found.hint) from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError, TypeError, ValueError) as error:
        raise ConfigError(str(path), f"cannot be read: {' '.join(str(error).split())}") from error
    _follow_arrays(config, Path(path).parent)
    overrides = current(overrides, RUN.name)
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
    arrange(config, (), overrides)
    return config


def _follow_arrays(config: Any, folder: Path) -> None:
    """Arrays that a run was started from lie in its folder, wherever that was moved or copied to."""
    from omegaconf import DictConfig

    for name, condition in config.initial.items():
        given = condition.get("path") if isinstance(condition, DictConfig) else None
        if not isinstance(given, str) or Path(given).name != f"{ARRAY}{name}.npy":
            continue
        if (beside := folder / Path(given).name).exists():
            condition.path = str(beside.absolute())


def of_initial(config: Any, name: str, path: str) -> None:
    """Names a file as the initial condition of a field."""
    from omegaconf import OmegaConf

    OmegaConf.update(config, f"initial.{name}", None, force_add=True)
    OmegaConf.update(config, f"initial.{name}", {"kind": "file", "path": path}, force_add=True)


def flat(config: Any) -> dict[str, Any]:
    """The values of a configuration by their dotted keys; lists, and mappings of one kind out of several, are values."""
    from omegaconf import OmegaConf

    values: dict[str, Any] = {}

    def walk(prefix: str, node: Any) -> None:
        if isinstance(node, dict) and not (prefix and REPLACED.match(prefix)):
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
