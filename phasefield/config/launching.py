"""What Hydra does by itself: sweeps, launchers and its share of shell completion."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from .. import presets
from ..errors import ConfigError, guess
from .complaints import config_error
from .composition import arrange, register
from .grammar import prepare, unquoted
from .language import RUN, Language

#: The group of launchers, and what Hydra wants before the names of classes that are plugins.
LAUNCHER, _PLUGINS = "hydra/launcher", "hydra_plugins."


def launch(
    overrides: Sequence[str],
    task: Callable[[Any], None] = lambda config: None,
    language: Language = RUN,
    options: Sequence[str] = ("-m",),
    done: Collection[int] = (),
    checked: bool = False,
) -> None:
    """Hands over to Hydra, which calls ``task`` with every configuration that it composes.

    Args:
        options: of Hydra; by default all combinations of values are composed.
        done: numbers of combinations for which launchers of ours need not call ``task``.
        checked: whether all combinations are known to compose.

    Raises:
        ConfigError: anything Hydra or the schema refuses.
    """
    import hydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    def member(composed: Any) -> None:
        task(arrange(composed, new, overrides, language))

    member.done = frozenset(done)  # type: ignore[attr-defined]
    new = register(overrides, language)
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # errors come to us as exceptions, and one message goes out
    root = logging.getLogger()
    before, level = sys.argv, root.level
    sys.argv = [before[0], *options, *prepare(overrides, sweep=True, language=language)]
    try:
        with _offered(language), _trusted(checked):
            hydra.main(version_base="1.3", config_path=f"pkg://{language.module}", config_name=language.primary)(
                member
            )()
    except (HydraException, OmegaConfBaseException) as error:
        raise config_error(error, language.schema) from error
    finally:
        sys.argv = before
        root.setLevel(level)  # Hydra's setup leaves it at ERROR, in whatever program called


def launcher(overrides: Sequence[str]) -> type | None:
    """The launcher of ours that overrides choose, made known to Hydra; None for Hydra's own and those of others.

    Raises:
        PhasefieldError: its libraries are not installed. ConfigError: a key that it has not.
    """
    chosen = [unquoted(o.partition("=")[2]) for o in overrides if o.lstrip("+").startswith(f"{LAUNCHER}=")]
    if not chosen or chosen[-1] not in presets.names(LAUNCHER):
        return None
    keys = _launcher(chosen[-1])
    for override in overrides:
        path, _, rest = override.partition("=")[0].strip().partition("hydra.launcher.")
        name = rest.partition(".")[0]
        if not path and name and name not in keys:
            known = [key for key in keys if not key.startswith("_")]
            raise ConfigError(
                f"hydra.launcher.{name}", f"there is no such key{guess(name, known)}", f"keys: {', '.join(known)}"
            )
    target = str(keys["_target_"])
    module, _, name = target.removeprefix(_PLUGINS).rpartition(".")
    if not module.startswith("phasefield."):
        return None
    found: type = getattr(import_module(module), name)
    from hydra.core.plugins import Plugins

    plugins = Plugins.instance()
    plugins.register(found)
    plugins.class_name_to_class[target] = found
    return found


def _launcher(name: str) -> dict[str, Any]:
    """The keys of a launcher."""
    import yaml

    keys: dict[str, Any] = yaml.safe_load((presets.folder(LAUNCHER) / f"{name}.yaml").read_text(encoding="utf-8"))
    return keys


@contextmanager
def _trusted(checked: bool) -> Iterator[None]:
    """Spares Hydra's own sweeper composing what is ``checked`` once more."""
    from hydra.core.plugins import Plugins

    from .sweeper import BasicSweeper, Trusting

    classes, name = Plugins.instance().class_name_to_class, f"{BasicSweeper.__module__}.{BasicSweeper.__name__}"
    if checked:
        classes[name] = Trusting
    try:
        yield
    finally:
        classes[name] = BasicSweeper


@contextmanager
def _offered(language: Language) -> Iterator[None]:
    """Tells Hydra of the launchers, where it does not look into the folder that they lie in, as it does for runs."""
    from hydra.core.config_store import ConfigStore

    store, names = ConfigStore.instance(), [] if language.name == RUN.name else presets.names(LAUNCHER)
    for name in names:
        store.store(group=LAUNCHER, name=name, node=_launcher(name))
    try:
        yield
    finally:  # a file and what is stored by its name must not meet
        group, _, inner = LAUNCHER.partition("/")
        for name in names:
            store.repo[group][inner].pop(f"{name}.yaml", None)
