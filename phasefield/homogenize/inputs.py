"""What a result rests on: the files that were read, with their hashes, and the keys as they were understood."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import ConfigError, Unreadable
from ..images.formats import files_of
from ..presets import find
from ..store import RunFolder, sha256
from .grains import Grains
from .reading import is_run


def rests_on(image: Path | Sequence[Path], request: Any, role: str = "image") -> dict[str, str]:
    """Attributes ``inputs`` (JSON, a list of role, path and sha256) and ``config`` (YAML) of properties.nc.

    Args:
        image: the files or run folders that were read. The hash of a file that is gone meanwhile is None. request: a
            dataclass of keys that holds those of `settings.Source` and `settings.Method`. role: of the files.
    """
    import yaml

    images = [image] if isinstance(image, Path) else image
    files = [(role, _read(path)) for path in images]
    material = request.material
    chosen = material.get("preset") if hasattr(material, "get") else material
    if isinstance(chosen, str):
        with suppress(ConfigError):
            files.append(("material", find("material", chosen)))
    grains = getattr(request, "grains", None)
    if isinstance(grains, Grains) and os.path.isfile(grains.source):
        files.append(("grains", Path(grains.source)))
    listed = [{"role": role, "path": os.path.abspath(path), "sha256": _hash(path)} for role, path in files]
    told = {"grains": grains.source} if isinstance(grains, Grains) else {}
    keys = dataclasses.asdict(dataclasses.replace(request, **told))
    # By way of JSON, for YAML has tags for tuples and what else Python knows.
    config = yaml.safe_dump(json.loads(json.dumps(keys, default=str)), sort_keys=False)
    return {"inputs": json.dumps(listed, ensure_ascii=False), "config": config}


def _read(path: Path) -> Path:
    """What is named of an image: of a run the file of its fields."""
    return RunFolder(path).fields if path.is_dir() and is_run(path) else path


def _hash(path: Path) -> str | None:
    """The hash of a file; of an image in several files that of their hashes, one a line."""
    try:
        parts = [sha256(file) for file in files_of(path)]
    except Unreadable:
        return None
    return (
        parts[0] if len(parts) == 1 else hashlib.sha256("\n".join(parts).encode("utf-8", "surrogateescape")).hexdigest()
    )
