"""Where a result comes from: version, commit, machine, command."""

from __future__ import annotations

import datetime
import platform
import subprocess
from importlib import metadata
from pathlib import Path

from .specs import RunSpec


def version() -> str:
    """The installed version."""
    try:
        return metadata.version("phasefield")
    except metadata.PackageNotFoundError:
        return "unknown"


def git_commit() -> str:
    """Commit of the source tree the package is imported from, with ``-dirty`` for local changes; empty if it is none."""
    folder = Path(__file__).resolve().parent
    if not (folder.parent / ".git").exists():
        return ""
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--match="]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def provenance(spec: RunSpec, device: str, command: str) -> dict[str, str | int]:
    """Attributes written to every output file."""
    versions = " ".join(
        f"{name} {metadata.version(name)}" for name in ("numpy", "pyfftw", "llvmlite", "numba", "sympy", "xarray")
    )
    return {
        "source": f"phasefield {version()}",
        "git_commit": git_commit(),
        "python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        "libraries": versions,
        "device": device,
        "precision": spec.precision,
        "seed": spec.seed,
        "command": command,
        "history": f"{datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds')} created by phasefield",
    }
