"""What a result rests on: the files that were read, with their hashes, and the keys as they were understood."""

from __future__ import annotations

import dataclasses
import json
import os
from contextlib import suppress
from pathlib import Path

from ..errors import ConfigError, Unreadable
from ..presets import find
from ..store import RunFolder, sha256
from .grains import Grains
from .settings import Request


def rests_on(image: Path, request: Request) -> dict[str, str]:
    """Attributes ``inputs`` (JSON, a list of role, path and sha256) and ``config`` (YAML) of properties.nc.

    Args:
        image: the file or run folder that was read. The hash of a file that is gone meanwhile is None.
    """
    import yaml

    files = [("image", RunFolder(image).fields if image.is_dir() else image)]
    material = request.material
    chosen = material.get("preset") if hasattr(material, "get") else material
    if isinstance(chosen, str):
        with suppress(ConfigError):
            files.append(("material", find("material", chosen)))
    if isinstance(request.grains, Grains) and os.path.isfile(request.grains.source):
        files.append(("grains", Path(request.grains.source)))
    listed = [{"role": role, "path": os.path.abspath(path), "sha256": _hash(path)} for role, path in files]
    keys = dataclasses.asdict(dataclasses.replace(request, grains=getattr(request.grains, "source", request.grains)))
    # By way of JSON, for YAML has tags for tuples and what else Python knows.
    config = yaml.safe_dump(json.loads(json.dumps(keys, default=str)), sort_keys=False)
    return {"inputs": json.dumps(listed, ensure_ascii=False), "config": config}


def _hash(path: Path) -> str | None:
    try:
        return sha256(path)
    except Unreadable:
        return None
