"""The cache folder: compiled kernels and FFT plans, shared by all processes of a user."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
import tempfile
from pathlib import Path
from types import ModuleType

from .. import signals
from ..codegen import digest


def cache_folder() -> Path:
    """Where compiled kernels and FFT plans are kept: ``$PHASEFIELD_CACHE``, else the user's cache folder."""
    if folder := os.environ.get("PHASEFIELD_CACHE"):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "phasefield"


def load(source: str, name: str) -> ModuleType:
    """Imports generated source from the cache folder (a private temporary folder where that is not writable)."""
    signals.check()
    module_name = f"phasefield_kernel_{name}_{digest(source)}"
    if module_name in sys.modules:
        return sys.modules[module_name]
    folder = cache_folder() / "kernels"
    try:
        path = publish(folder, f"{module_name}.py", source.encode())
    except OSError:
        folder = Path(tempfile.mkdtemp(prefix="phasefield-"))
        path = publish(folder, f"{module_name}.py", source.encode())
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[module_name]
        raise
    return module


def publish(folder: Path, name: str, content: bytes) -> Path:
    """Writes a cache file atomically unless it exists: among many processes the first one wins and all see its bytes."""
    path = folder / name
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=f".{name}.", delete=False) as handle:
            handle.write(content)
        # numba ties compiled code to the file's modification time; a fixed one keeps it valid whoever wrote the file.
        os.utime(handle.name, (1_000_000_000, 1_000_000_000))
        with contextlib.suppress(FileExistsError):
            os.link(handle.name, path)
        os.unlink(handle.name)
    return path
