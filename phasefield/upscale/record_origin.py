"""Where a record comes from, as the attributes of our NetCDF files tell it."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..provenance import git_commit, version
from .record import Input, Provenance


def origin(attrs: Mapping[str, Any]) -> Provenance:
    """The provenance in a file's attributes, and the program that exports it."""
    inputs = json.loads(str(attrs["inputs"])) if attrs.get("inputs") else []
    return Provenance(
        source=str(attrs.get("source", "")),
        commit=str(attrs.get("git_commit", "")),
        command=str(attrs.get("command", "")),
        config=str(attrs.get("config", "")),
        created=str(attrs.get("history", "")).partition(" ")[0],
        inputs=tuple(Input(i["role"], i["path"], i.get("sha256")) for i in inputs),
        exported={
            "source": f"phasefield {version()}",
            "commit": git_commit(),
            "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        },
    )


def flat(value: Any) -> str:
    """An attribute as text."""
    if isinstance(value, np.ndarray | list | tuple):
        return " x ".join(f"{v:g}" for v in np.atleast_1d(value))
    return f"{value:g}" if isinstance(value, float | np.floating) else str(value)
