"""What is installed here: the version, Python, and the devices that can compute."""

from __future__ import annotations

import platform
from importlib import metadata

from .backend import select
from .errors import DeviceError
from .provenance import git_commit, version

#: What each device computes with.
_LIBRARIES = {"cpu": ("pyfftw", "llvmlite", "numba"), "gpu": ()}


def about() -> str:
    """Lines for a person, and for a report of a fault: the version first."""
    commit = git_commit()
    lines = [
        f"phasefield {version()}" + (f" (commit {commit[:12]}{'-dirty' * commit.endswith('-dirty')})" if commit else "")
    ]
    lines.append(f"Python {platform.python_version()} on {platform.system()} {platform.machine()}")
    return "\n".join([*lines, *(f"{name}: {_device(name)}" for name in _LIBRARIES)])


def _device(name: str) -> str:
    try:
        found = select(name, "double").description
    except DeviceError as error:
        return f"none ({str(error).splitlines()[0].removeprefix(f'device={name}: ')})"
    except ImportError as error:
        return f"not usable ({error})"
    libraries = ", ".join(f"{library} {metadata.version(library)}" for library in _LIBRARIES[name])
    return found + (f" ({libraries})" if libraries else "")
