"""The folder of a run: its names, its preparation, its lock."""

from __future__ import annotations

import errno
import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ..errors import OutputError


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
            OutputError: it already holds a run, or cannot be written; nothing has then been changed.
        """
        run = cls(Path(path))
        made: list[Path] = []
        try:
            for folder in reversed([run.path, *run.path.parents]):
                if not os.path.exists(folder):
                    folder.mkdir(exist_ok=True)
                    made.append(folder)
            names = {entry.name for entry in run.path.iterdir()}
            if found := [p.name for p in (*run.files(), run.kernels) if p.name in names]:
                raise OutputError(
                    f"{run.path}: already holds a run ({', '.join(found)})\n"
                    f"  choose another output.dir, continue with `phasefield resume {run.path}`, or delete it"
                )
            with tempfile.TemporaryFile(dir=run.path) as probe:
                probe.write(b"0")
        except OSError as error:
            for folder in reversed(made):
                with suppress(OSError):
                    folder.rmdir()
            raise OutputError(
                f"{run.path}: cannot be used as the run folder: {error.strerror or error}\n  choose another output.dir"
            ) from error
        return run

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> RunFolder:
        """The folder of an earlier run. Raises OutputError if there is no configuration or no checkpoint in it."""
        run = cls(Path(path))
        if not os.path.isdir(run.path):
            raise OutputError(f"{run.path}: there is no such run folder")
        if missing := [p.name for p in (run.config, run.checkpoint) if not os.path.isfile(p)]:
            raise OutputError(f"{run.path}: holds no run that can be resumed: {' and '.join(missing)} missing")
        return run

    def files(self) -> tuple[Path, ...]:
        """The files that a run writes."""
        return self.config, self.history, self.fields, self.checkpoint, self.log

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder against other writers. Raises OutputError if one holds it already.

        The lock ends with the process, however it ends; the file `.lock` stays and means nothing by itself.
        """
        try:
            descriptor = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written: {error.strerror or error}") from error
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno == errno.EWOULDBLOCK:
                    raise OutputError(f"{self.path}: another process is writing this run") from error
                # A filesystem without locks is no reason not to run.
            yield
        finally:
            os.close(descriptor)
