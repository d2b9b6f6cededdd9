"""A sweep opened in Python."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from . import sweep
from .errors import OutputError
from .runs import Run, open_run
from .store import expanded


@dataclass(frozen=True)
class Sweep:
    """The runs of a sweep. A notebook shows it as a table.

    Attributes:
        path: the folder of the sweep.
    """

    path: Path

    @property
    def members(self) -> list[sweep.Member]:
        """What every member was asked, and how it came out, as its files say now; in order."""
        return sweep.members(self.path)

    def __len__(self) -> int:
        return len(self.members)

    def __iter__(self) -> Iterator[Run]:
        """The runs that have begun, in order."""
        for member in self.members:
            if (self.path / member.name / "fields.nc").is_file():
                yield open_run(self.path / member.name)

    def __getitem__(self, name: str | int) -> Run:
        """The run of a member by the name of its folder.

        Raises:
            KeyError: there is no such member. OutputError: it has not begun.
        """
        if str(name) not in (known := [member.name for member in self.members]):
            raise KeyError(f"{name}: members of the sweep are {', '.join(known)}")
        return open_run(self.path / str(name))

    def _repr_html_(self) -> str:
        from .notebook import sweep_html

        return sweep_html(self.path, sweep.overview(self.path))


def open_sweep(path: str | Path) -> Sweep:
    """The sweep in an existing folder.

    Raises:
        OutputError: there is none.
    """
    where = expanded(path)
    if not sweep.is_sweep(where):
        raise OutputError(
            f"{where}: holds no sweep\n  give the folder that `phasefield run -m` has made; open_run opens a run"
        )
    return Sweep(where)
