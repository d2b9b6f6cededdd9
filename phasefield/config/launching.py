"""What Hydra does by itself: sweeps, launchers and its share of shell completion."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from .complaints import config_error
from .composition import arrange, register
from .grammar import prepare
from .language import RUN, Language


def launch(
    overrides: Sequence[str],
    task: Callable[[Any], None] = lambda config: None,
    language: Language = RUN,
    options: Sequence[str] = ("-m",),
) -> None:
    """Hands over to Hydra, which calls ``task`` with every configuration that it composes.

    Args:
        options: of Hydra; by default all combinations of values are composed.

    Raises:
        ConfigError: anything Hydra or the schema refuses.
    """
    import hydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    new = register(overrides, language)
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # errors come to us as exceptions, and one message goes out
    root = logging.getLogger()
    before, level = sys.argv, root.level
    sys.argv = [before[0], *options, *prepare(overrides, sweep=True, language=language)]
    try:
        hydra.main(version_base="1.3", config_path=f"pkg://{language.module}", config_name=language.primary)(
            lambda composed: task(arrange(composed, new, overrides, language))
        )()
    except (HydraException, OmegaConfBaseException) as error:
        raise config_error(error, language.schema) from error
    finally:
        sys.argv = before
        root.setLevel(level)  # Hydra's setup leaves it at ERROR, in whatever program called
