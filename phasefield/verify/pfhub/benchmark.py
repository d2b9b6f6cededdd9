"""What a benchmark is: its runs, what is asked of them, and what is handed to PFHub."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import xarray as xr

Array = np.ndarray


@dataclass(frozen=True)
class Case:
    """One run of a benchmark.

    Attributes:
        name: of its folder. overrides: its keys. initial: arrays that fields start from.
    """

    name: str
    overrides: tuple[str, ...]
    initial: Callable[[], Mapping[str, Array]] | None = None


@dataclass(frozen=True)
class Made:
    """A run that has come to its end.

    Attributes:
        path: of its folder. history: history.nc. seconds: real time it took, in all. memory: most that the process held, KiB.
    """

    path: Path
    history: xr.Dataset
    seconds: float
    memory: int

    @property
    def time(self) -> Array:
        """Times of the history, shape ``(n,)``."""
        return self.history.time.values

    @property
    def steps(self) -> int:
        """How many it took."""
        return int(self.history.step[-1])

    def values(self, name: str) -> Array:
        """A scalar of the history, shape ``(n,)``."""
        return self.history[name].values

    def at(self, time: float, name: str = "free_energy") -> float:
        """A scalar of the history at a time, NaN beyond its end."""
        t = self.time
        return float(np.interp(time, t, self.values(name))) if t[0] <= time <= t[-1] * (1 + 1e-12) else math.nan

    def final(self, name: str) -> tuple[Array, Array, Array]:
        """x, y and the values of a scalar field in the last snapshot of two dimensions."""
        from ...store import open_dataset

        with open_dataset(self.path / "fields.nc") as data:
            last = data[name].isel(time=-1).transpose("x", "y")
            return last.x.values, last.y.values, last.values


Runs = Mapping[str, Made]


@dataclass(frozen=True)
class Question:
    """What is asked of a benchmark's runs; as `check.Check`, with a value that other runs may tell.

    Attributes:
        name, what, source, allowed, relative: of the check. found, expected: from the runs by the names of their cases.
        note: what else there is to say of the answer.
    """

    name: str
    what: str
    source: str
    found: Callable[[Runs], float]
    expected: Callable[[Runs], float]
    allowed: float
    relative: bool = True
    note: Callable[[Runs], str] | None = None


@dataclass(frozen=True)
class Curve:
    """A curve of a picture; ``ours`` stands out."""

    label: str
    x: Array
    y: Array
    ours: bool = False


@dataclass(frozen=True)
class Panel:
    """A picture of curves. ``log``: axes that are logarithmic, out of ``x`` and ``y``."""

    name: str
    caption: str
    x: str
    y: str
    curves: Sequence[Curve]
    log: str = ""


@dataclass(frozen=True)
class Table:
    """A file of a submission: its name, what it is, and its columns by name.

    Attributes:
        file: with its ending. x, y: the columns that PFHub draws.
    """

    name: str
    file: str
    what: str
    columns: Mapping[str, Array]
    x: str
    y: str


@dataclass(frozen=True)
class Benchmark:
    """A benchmark problem.

    Attributes:
        name: such as ``1a``. version: of its specification. title: in words.
        cases: its runs, the one that is handed in first. questions: to them. panels, tables: made of them.
        minutes: that it takes on two free cores, about.
    """

    name: str
    version: int
    title: str
    cases: Sequence[Case]
    questions: Sequence[Question]
    panels: Callable[[Runs], Sequence[Panel]]
    tables: Callable[[Runs], Sequence[Table]]
    minutes: float
    summary: str = ""
    more: Mapping[str, Any] = field(default_factory=dict)
