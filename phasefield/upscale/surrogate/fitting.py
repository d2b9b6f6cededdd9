"""``surrogate fit``: from the microstructures of a sweep to the file of a surrogate."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ...errors import ConfigError, Unreadable
from ...mechanics.materials import system_of
from ...provenance import git_commit, version
from ...store import expanded, open_dataset
from ..extras import needed
from .images import Reading, collect
from .labels import Cache, labels
from .model import TITLE, Surrogate
from .settings import Settings
from .training import sizes_of_parts, train


def fit(
    paths: Sequence[str],
    settings: Settings | None = None,
    command: str = "",
    show: Callable[[str], None] | None = None,
) -> tuple[Surrogate, Path, list[str]]:
    """Trains a surrogate and writes its file; returns also what is to be told.

    Labels are computed as far as they are not in the cache, a file beside the surrogate's, so that a fit that was interrupted
    goes on where it was.

    Args:
        paths: sweeps, run folders, folders of them or of images, image files.

    Raises:
        ConfigError: images or materials that cannot be used, or too few of them.
        OutputError: a file cannot be written. PhasefieldError: scikit-learn is missing.
    """
    settings = settings or Settings()
    needed("sklearn")
    target = _target(paths, settings.output)
    notes: list[str] = []
    images = collect(paths, reading(settings), settings.skip, notes.append)
    sizes_of_parts(len({i.origin for i in images}), settings)
    material = system_of(settings.material) if settings.material is not None else None
    cache = cache_of(settings, target)
    found = labels(images, settings, material, cache, show)
    if not found:
        raise ConfigError(
            "samples", "is 0, and there is no label", "give material=, samples=, or runs with properties.nc"
        )
    notes += cache.notes
    fresh = sum(label.fresh for label in found)
    kept = f"; {fresh} were computed now" + (f" and are kept in {cache.path}" if cache.path else "")
    notes.append(f"{len(found)} labels of {len(images)} microstructures{kept}")
    bare = sum(label.query.uniform for label in found)
    if bare:
        notes.append(f"{bare} labels are of images of one phase, which need no surrogate, and are left out")
    if show:
        show("training")
    made, _ = train(found, settings)
    attributes: dict[str, Any] = {
        "source": f"phasefield {version()}",
        "git_commit": git_commit(),
        "command": command,
        "seed": settings.seed,
    }
    made.save(target, attributes)
    return made, target, notes


def reading(settings: Settings) -> Reading:
    levels = tuple(settings.levels) if settings.levels is not None else None
    return Reading(settings.field, levels, settings.times, settings.voxel)


def cache_of(settings: Settings, beside: Path) -> Cache:
    """The labels of an earlier call."""
    path = expanded(settings.cache) if settings.cache else beside.with_name(f"{beside.stem}_labels.jsonl")
    return Cache(path)


def _target(paths: Sequence[str], output: str | None) -> Path:
    """The file to write; what is replaced must be a surrogate.

    Raises:
        ConfigError: it is something else.
    """
    first = expanded(paths[0])
    target = expanded(output) if output else (first if first.is_dir() else first.parent) / "surrogate.nc"
    if os.path.isdir(target):
        raise ConfigError("output", f"{target} is a folder", "give a file, output=NAME.nc")
    if os.path.exists(target):
        replaceable(target, TITLE, "a surrogate")
    return target


def replaceable(target: Path, title: str, what: str) -> None:
    """Refuses to replace a file of another kind.

    Raises:
        ConfigError: it is one.
    """
    try:
        with open_dataset(target) as data:
            same = str(data.attrs.get("title", "")).startswith(title)
    except Unreadable:
        same = False
    if not same:
        raise ConfigError(
            "output", f"{target} is there and is not {what}; nothing was written", "give another file, output=NAME.nc"
        )
