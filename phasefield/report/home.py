"""A folder for what Matplotlib keeps, where its own under the user's home cannot be made."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def settle() -> None:
    """Lets Matplotlib keep its fonts beside our compiled kernels instead of warning of a home that is not there.

    Called before it is imported. What the user says in ``MPLCONFIGDIR``, and a home that can be written, stay as they are.
    """
    if "MPLCONFIGDIR" in os.environ or "matplotlib" in sys.modules or all(map(_can_be_made, _usual())):
        return
    from ..backend.cache import cache_folder  # which takes a second, and few need

    os.environ["MPLCONFIGDIR"] = str(cache_folder() / "matplotlib")


def _usual() -> list[Path]:
    """Matplotlib's folders of settings and of what it keeps, by the XDG base directory specification."""
    home = os.path.expanduser("~")
    return [
        Path(os.environ.get(variable) or os.path.join(home, usual), "matplotlib")
        for variable, usual in (("XDG_CONFIG_HOME", ".config"), ("XDG_CACHE_HOME", ".cache"))
    ]


def _can_be_made(folder: Path) -> bool:
    """Whether a folder is there to be written or can be made, as Matplotlib will make it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return folder.is_absolute() and os.access(folder, os.W_OK)
