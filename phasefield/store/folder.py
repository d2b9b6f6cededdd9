"""The folder of a run: its names, its preparation, its lock."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ..errors import Busy, Occupied, OutputError
from . import claim
from .files import sync_folder
from .journal import journal_of

#: The file that tells of a sweep in its folder, and the one that tells of a member in the member's.
SWEEP, MEMBER = "sweep.yaml", "member.yaml"
#: How often a lock is tried whose file is another's by then; files whose numbers change by themselves must not hold a run up.
_TRIES = 20


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run and the names inside it."""

    path: Path

    @property
    def config(self) -> Path:
        """The complete configuration."""
        return self.path / "config.yaml"

    @property
    def history(self) -> Path:
        """Scalars over time."""
        return self.path / "history.nc"

    @property
    def fields(self) -> Path:
        """Fields over time."""
        return self.path / "fields.nc"

    @property
    def checkpoint(self) -> Path:
        """The state to resume from."""
        return self.path / "checkpoint.npz"

    @property
    def log(self) -> Path:
        """The messages of the run."""
        return self.path / "run.log"

    @property
    def kernels(self) -> Path:
        """The folder of generated source code."""
        return self.path / "kernels"

    @classmethod
    def create(cls, path: str | os.PathLike[str]) -> RunFolder:
        """Prepare a folder for a new run, with its parents; other files in it do not matter.

        Raises:
            Occupied: it already holds a run. OutputError: it cannot be written; nothing has then been changed.
        """
        run = cls(Path(path))
        made: list[Path] = []
        try:
            for folder in reversed([run.path, *run.path.parents]):
                if not os.path.exists(folder):
                    folder.mkdir(exist_ok=True)
                    made.append(folder)
            for folder in {run.path.parent, *(f.parent for f in made)}:
                sync_folder(folder)  # what is synced within it would be lost with its name
            run.check_empty()
            with tempfile.TemporaryFile(dir=run.path) as probe:
                probe.write(b"0")
        except OSError as error:
            for folder in reversed(made):
                with suppress(OSError):
                    folder.rmdir()
            reason = "a link that leads nowhere" if leads_nowhere(run.path) else error.strerror or error
            raise OutputError(
                f"{run.path}: cannot be used as the run folder: {reason}\n  choose another output.dir"
            ) from error
        return run

    def check_empty(self) -> None:
        """Whether no run is here. To be asked again once the folder is held: another run may have begun, and ended, meanwhile.

        Raises:
            Occupied: there is one. OSError: the folder cannot be read.
        """
        names = set(os.listdir(self.path))
        if found := [p.name for p in (*self.files(), self.kernels) if p.name in names]:
            raise Occupied(
                f"{self.path}: already holds a run ({', '.join(found)})\n"
                f"  choose another output.dir, continue with `phasefield resume {self.path}`, or delete it"
            )

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> RunFolder:
        """The folder of an earlier run. Raises OutputError if there is no configuration or no checkpoint in it."""
        run = cls(Path(path))
        if not os.path.isdir(run.path):
            raise OutputError(f"{run.path}: there is no such run folder\n  give the folder that a run has made")
        if missing := [p.name for p in (run.config, run.checkpoint) if not os.path.isfile(p)]:
            what = (
                f"holds no run that can be resumed: {' and '.join(missing)} missing",
                "give the folder of another run",
            )
            raise OutputError("{}: {}\n  {}".format(run.path, *(sweep_instead(run.path) or what)))
        return run

    def files(self) -> tuple[Path, ...]:
        """The files that a run writes."""
        return self.config, self.history, self.fields, self.checkpoint, self.log

    def discard(self, more: Iterable[Path] = ()) -> None:
        """Removes a run that came to nothing, and ``more`` files of it; the caller holds the folder.

        The configuration goes last but for the lock: as long as it is there, a process that was killed in between left what the
        next one may remove. Nothing is done where another process has taken the folder over.
        """
        if claim.taken(self.path):
            return
        shutil.rmtree(self.kernels, ignore_errors=True)
        records = self.history, self.fields, self.checkpoint
        unfinished = [p.with_name(p.name + ".tmp") for p in (self.config, *records)]
        for path in (
            *more,
            *map(journal_of, records),
            *unfinished,
            *records[:2],
            self.log,
            self.config,
            self.path / claim.LOCK,
        ):
            with suppress(OSError):
                path.unlink()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder against other writers. Raises OutputError if one holds it already.

        The lock ends with the process, however it ends; the file `.lock` stays, and says who held it last (`claim`).
        """
        try:
            descriptor = self._locked()
        except OSError as error:
            raise OutputError(f"{self.path / claim.LOCK}: cannot be written: {error.strerror or error}") from error
        claim.sign(self.path, descriptor)
        try:
            yield
        finally:
            claim.forget(self.path)
            os.close(descriptor)

    def _locked(self) -> int:
        """A descriptor of the lock's file that holds the lock. Raises OutputError, OSError."""
        name = self.path / claim.LOCK
        for last in (False,) * _TRIES + (True,):
            descriptor = os.open(name, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno == errno.EWOULDBLOCK:
                    os.close(descriptor)
                    raise Busy(f"{self.path}: another process is writing this run") from error
                return descriptor  # a filesystem without locks is no reason not to run
            # Who holds the lock may remove its file (`discard`); a lock on what has lost its name keeps nobody out.
            if last or _is_at(descriptor, name):
                break
            os.close(descriptor)
        return descriptor


def leads_nowhere(path: Path) -> bool:
    """Whether a path is a link to what is not there."""
    return path.is_symlink() and not os.path.exists(path)


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether an open file is the one of that name."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except OSError:
        return False


def sweep_instead(path: Path) -> tuple[str, str] | None:
    """What a folder holds, and what to do, where a run is looked for in the folder of a sweep; None of any other folder."""
    if not (path / SWEEP).is_file():
        return None
    names = sorted((f.parent.name for f in path.glob(f"*/{MEMBER}")), key=lambda name: (len(name), name)) or ["0"]
    more = f", ... {path / names[-1]}" if len(names) > 1 else ""
    return "holds a sweep", f"give one of its runs: {path / names[0]}{more}"
