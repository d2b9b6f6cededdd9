"""A run that has been: its folder, its records, how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from .driver import Outcome
from .errors import OutputError
from .store import RunFolder, expanded, open_dataset, sweep_instead


@dataclass(frozen=True)
class Run:
    """A finished or stopped run.

    Attributes:
        path: the run folder. outcome: how it ended; None for a folder that was merely opened.
        picture_wanted: whether the configuration asks for a picture at the end.
    """

    path: Path
    outcome: Outcome | None = None
    picture_wanted: bool = False

    @cached_property
    def history(self) -> Any:
        """history.nc as an `xarray.Dataset`."""
        with open_dataset(_there(self.path / "history.nc")) as data:
            return data.load()

    @cached_property
    def fields(self) -> Any:
        """fields.nc as an `xarray.Dataset`, read lazily; axes time, component, x, y, z."""
        return open_dataset(_there(self.path / "fields.nc"))

    def report(self) -> Path:
        """Writes report.html into the folder and returns its path."""
        from .report import report

        return report(self.path)

    def _repr_html_(self) -> str:
        from .notebook import run_html

        return run_html(self.path)


def open_run(path: str | Path) -> Run:
    """The run in an existing folder.

    Raises:
        OutputError: there is no such folder, or it holds no run.
    """
    where = expanded(path)
    if not where.is_dir():
        what = "is a file" if where.exists() else "there is no such folder"
        raise OutputError(
            f"{where}: {what}\n  give the folder of a run, which holds config.yaml, history.nc and fields.nc"
        )
    place = RunFolder(where)
    if missing := [p.name for p in (place.history, place.fields) if not p.is_file()]:
        if instead := sweep_instead(where):
            raise OutputError("{}: {}\n  {}, or open_sweep it".format(where, *instead))
        raise OutputError(f"{where}: holds no run: {' and '.join(missing)} missing")
    return Run(where)


def _there(path: Path) -> Path:
    if not path.is_file():
        raise OutputError(f"{path}: there is no such file; the run has not written it, or it was deleted")
    return path
