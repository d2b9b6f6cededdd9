"""The cache folder: compiled kernels and FFT plans, shared by all processes of a user.

Nothing in it is needed: what is damaged is made anew, and where nothing can be kept kernels are compiled for the process at hand.
numba trusts its files, and damaged machine code would crash the process; so their checksums are kept beside them.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import hashlib
import importlib.util
import json
import logging
import os
import stat
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType

from .. import signals

log = logging.getLogger("phasefield")

_told: set[str] = set()
#: Seconds to wait for another process that compiles the same kernel.
_PATIENCE = 60.0
#: Folders above a file that may be new with it: its own, the cache, and the one that the cache is in.
_MADE = 3
#: Of several threads one imports, and no other sees half a module.
IMPORTING = threading.RLock()


def cache_folder() -> Path:
    """Where compiled kernels and FFT plans are kept: ``$PHASEFIELD_CACHE``, else the user's cache folder.

    Who has no home that can be written, as in a container or a batch job, gets a folder among the temporary files.
    """
    if folder := os.environ.get("PHASEFIELD_CACHE"):
        return Path(os.path.expanduser(folder))
    if folder := os.environ.get("XDG_CACHE_HOME"):
        return Path(folder) / "phasefield"
    return _of_the_user(os.path.expanduser("~"))


@functools.cache
def _of_the_user(home: str) -> Path:
    """The cache folder in ``home``, which is ``~`` where nobody knows it, or one among the temporary files."""
    usual = Path(home) / ".cache" / "phasefield"
    if usual.is_absolute() and _can_be_made(usual):
        return usual
    with contextlib.suppress(OSError):  # also where no temporary file can be made
        instead = Path(tempfile.gettempdir()) / f"phasefield-{os.getuid()}"
        instead.mkdir(mode=0o700, exist_ok=True)
        found = os.lstat(instead)
        # What lies there is run, so nobody else may have made the folder, nor be able to write to it.
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022:
            log.warning(
                "%s: there is no home folder that can be written, so compiled kernels and FFT plans are kept here\n"
                "  set PHASEFIELD_CACHE to a folder that stays: with other plans the last bits of a resumed run differ",
                instead,
            )
            return instead
    return usual


def _can_be_made(folder: Path) -> bool:
    there = next(p for p in (folder, *folder.parents) if os.path.exists(p))
    return os.access(there, os.W_OK | os.X_OK)


def digest(text: str) -> str:
    """Short stable name of a source text, used as its cache key."""
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def tell(what: str, *why: object) -> None:
    """Logs, once in a process, that the cache is ``damaged`` or ``unusable``."""
    if what not in _told:
        _told.add(what)
        reason = " ".join(str(w) for w in why if str(w))
        if what == "damaged":
            log.warning(
                "%s: damaged files in the cache of compiled kernels were made anew (%s)", cache_folder(), reason
            )
        else:
            log.warning(
                "%s: the cache of compiled kernels cannot be used (%s), so they are compiled for this process alone\n"
                "  set PHASEFIELD_CACHE to a folder that can be written and has room",
                cache_folder(),
                reason,
            )


def load(source: str, name: str) -> ModuleType:
    """Imports generated source, with its compiled code from the cache folder; else that is compiled and, if possible, kept."""
    signals.check()
    with IMPORTING:
        return _loaded(source, f"phasefield_kernel_{name}_{digest(source)}")


def _loaded(source: str, module_name: str) -> ModuleType:
    if module_name in sys.modules:
        return sys.modules[module_name]
    path = cache_folder() / "kernels" / f"{module_name}.py"
    for attempt in range(2):
        try:
            publish(path.parent, path.name, source.encode(), exact=True)
            with _alone(path) as alone:  # of several processes one compiles, and the others find what it made
                seal = _Seal(path)
                if not seal.whole(alone):
                    tell("damaged", path.name)
                    seal.drop()
                module = _imported(path, module_name)
                seal.renew()
        except Exception as error:  # numba raises anything for a damaged file
            if attempt or not os.path.isfile(path):
                tell("unusable", getattr(error, "strerror", None) or error)
                break
            _Seal(path).drop()
        else:
            if attempt:
                tell("damaged", path.name)
            return module
    return _uncached(source, module_name)


def kept(name: str, source: str, make: Callable[[], bytes]) -> bytes:
    """What ``make`` makes of a source, from the file of that name in the cache folder; else it is made and, if possible, kept.

    The source lies beside it, to be read, and is what the lock is on. The file begins with a checksum.
    """
    path = cache_folder() / "kernels" / f"{name}.o"
    if (found := _checked(path)) is not None:
        return found
    try:
        text = publish(path.parent, f"{name}.py", source.encode(), exact=True)
        with _alone(text):
            if (found := _checked(path)) is not None:
                return found
            made = make()
            _replace(path, zlib.crc32(made).to_bytes(4, "little") + made)
            return made
    except OSError as error:
        tell("unusable", error.strerror or error)
        return make()


def _checked(path: Path) -> bytes | None:
    """The content of a file with a checksum; None if there is none, or it is damaged."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    if zlib.crc32(content[4:]).to_bytes(4, "little") == content[:4] and len(content) > 4:
        return content[4:]
    tell("damaged", path.name)
    return None


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[bool]:
    """Holds a lock on a file, unless another keeps it for very long or the filesystem knows none; whether it is held."""
    with open(path, "rb") as file:
        give_up = time.monotonic() + _PATIENCE
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno == errno.EWOULDBLOCK and time.monotonic() < give_up:
                    time.sleep(0.01)
                    continue
                held = False
            else:
                held = True
            break
        yield held  # closing the file gives the lock back


def _imported(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _uncached(source: str, name: str) -> ModuleType:
    module = ModuleType(name)
    sys.modules[name] = module
    try:
        exec(compile(source.replace("cache=True", "cache=False"), f"<{name}>", "exec"), module.__dict__)
    except BaseException:
        del sys.modules[name]
        raise
    return module


class _Seal:
    """Checksums of the compiled code of a kernel, as this version of Python and numba wrote it."""

    def __init__(self, path: Path) -> None:
        self._folder, self._stem = path.parent / "__pycache__", path.stem
        self._tag = f"py{sys.version_info[0]}{sys.version_info[1]}"
        self._path = path.with_name(f"{path.stem}.{self._tag}.sums")
        self._sums: dict[str, int] | None = None
        self._stamps: list[tuple[int, int] | None] = []

    def whole(self, alone: bool) -> bool:
        """Whether all files are as they were written.

        Those that no checksum tells of go, if no other process may be about to write them: a kill or a power cut came in between.
        """
        try:
            self._sums = dict(json.loads(self._path.read_bytes()))
        except FileNotFoundError:
            self._drop(self._files() if alone else ())
            return True
        except (OSError, ValueError, TypeError):
            return False
        if alone:
            self._drop(name for name in self._files() if name not in self._sums)
        self._stamps = [self._stamp(name) for name in self._sums]
        return all(self._sum(name) in (known, None) for name, known in self._sums.items())

    def renew(self) -> None:
        """After the import: numba has written code that was not there, or code for another processor beside it."""
        if self._sums is not None and self._stamps == [self._stamp(name) for name in self._sums]:
            return
        with contextlib.suppress(OSError):
            sums = {name: self._sum(name) for name in self._files()}
            _replace(self._path, json.dumps(sums).encode())

    def drop(self) -> None:
        self._drop(self._files())
        with contextlib.suppress(OSError):
            self._path.unlink()
        self._sums = None

    def _drop(self, names: Iterable[str]) -> None:
        for name in names:
            with contextlib.suppress(OSError):
                (self._folder / name).unlink()

    def _files(self) -> list[str]:
        try:
            return [n for n in os.listdir(self._folder) if n.startswith(f"{self._stem}.") and f".{self._tag}." in n]
        except OSError:
            return []

    def _sum(self, name: str) -> int | None:
        try:
            return zlib.crc32((self._folder / name).read_bytes())
        except FileNotFoundError:
            return None  # numba then makes it anew

    def _stamp(self, name: str) -> tuple[int, int] | None:
        try:
            found = os.stat(self._folder / name)
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size


def publish(folder: Path, name: str, content: bytes, exact: bool = False, lasting: bool = False) -> Path:
    """Writes a cache file atomically unless it exists: among many processes the first one wins and all see its bytes.

    Args:
        exact: whether a file of other content is damaged, and replaced.
        lasting: whether it is to outlive a power cut, since what it is made anew as may differ.

    Raises:
        OSError: the folder cannot be written.
    """
    path = folder / name
    try:
        if not exact:
            os.stat(path)
            return path
        if path.read_bytes() == content:
            return path
        tell("damaged", name)
    except FileNotFoundError:
        exact = False
    except PermissionError:  # of a file that another cannot take the place of either, if the folder is not ours
        exact = True
    _replace(path, content, only_new=not exact, lasting=lasting)
    if lasting:
        for parent in list(path.parents)[:_MADE]:
            _sync(parent)
    return path


def _sync(folder: Path) -> None:
    """Makes the names in a folder last, where the filesystem can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _replace(path: Path, content: bytes, only_new: bool = False, lasting: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.")
    try:
        with open(handle, "wb") as file:
            file.write(content)
            if lasting:
                file.flush()
                os.fsync(file.fileno())
        # numba ties compiled code to the file's modification time; a fixed one keeps it valid whoever wrote the file.
        os.utime(temporary, (1_000_000_000, 1_000_000_000))
        os.chmod(temporary, 0o644)
        if only_new:
            try:
                os.link(temporary, path)
                return
            except FileExistsError:
                return
            except OSError:  # a filesystem without links
                pass
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
