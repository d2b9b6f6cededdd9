"""The configuration's schema: one dataclass per section, checked where it is built.

The same classes are Hydra's schema (unknown keys and wrong types fail at composition), the objects the program works with, and
the help: what a key means, its unit and choices stand beside its default. A key more is a line more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any

from .errors import ConfigError
from .grid import AXIS_NAMES, BOUNDARIES, UNLIKE, Grid
from .keys import key
from .models.terms import TERMS, keys_of
from .schedule import build as schedule
from .units import check_unit
from .wall import seconds

_MOST_THREADS, _MOST_RECORDS, _MOST_COMPONENTS = 1024, 1e7, 1000


def _positive(key: str, value: Any, *, zero: bool = False, none: bool = False) -> None:
    if none and value is None:
        return
    if (
        not isinstance(value, int | float)
        or isinstance(value, bool)
        or not math.isfinite(value)
        or value < 0
        or (value == 0 and not zero)
    ):
        raise ConfigError(key, f"is {value!r}; a finite number {'>= 0' if zero else '> 0'} is expected")


#: Arrays that fields start from lie in the run folder as ``initial_F.npy``.
ARRAY = "initial_"


@dataclass
class _Field:
    kinetics: str = "???"
    mobility: Any = field(default=1.0, metadata={"expression": True})
    components: int | None = None


@dataclass
class FieldSpec(*keys_of(TERMS, "FieldKeys"), _Field):  # type: ignore[misc]
    """One order parameter: its kinetics, the keys that terms have for a field, and how it begins.

    See `phasefield.models.OrderParameter` and `phasefield.models.terms`.
    """

    initial: Any = None
    units: str = "1"
    description: str = ""


#: Keys under ``model.fields.F`` whose text is an expression of the model.
EXPRESSIONS = tuple(f.name for f in fields(FieldSpec) if f.metadata.get("expression"))


@dataclass
class _Model:
    name: str = "custom"
    description: str = ""
    energy: str = "???"
    fields: dict[str, FieldSpec] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass
class ModelSpec(*keys_of(TERMS, "ModelKeys"), _Model):  # type: ignore[misc]
    """A free-energy density, its fields, and the keys that terms have for a model."""

    def __post_init__(self) -> None:
        for keys in keys_of(TERMS, "ModelKeys"):
            keys.check(self)  # type: ignore[attr-defined]
        for name, f in self.fields.items():
            check_unit(f.units, f"model.fields.{name}.units")
            if f.components is not None and not 1 <= f.components <= _MOST_COMPONENTS:
                raise ConfigError(
                    f"model.fields.{name}.components",
                    f"is {f.components}; a whole number from 1 to {_MOST_COMPONENTS} is expected, or null for a scalar field",
                )


@dataclass
class GridSpec:
    """Shape, lengths and boundary; a single number or word stands for every axis."""

    shape: list[int] = key([256, 256], "cells per axis, of 1, 2 or 3 axes")
    length: Any = key(None, "per axis, or one for all, in grid.units; null is one per cell")
    boundary: Any = key("periodic", "per axis, or one for all", names=lambda: (*BOUNDARIES, *UNLIKE))
    dealias: bool = key(False, "two-thirds rule on the nonlinear term")
    units: str = key("1", "of all lengths, also in initial conditions and parameters: nm, um, ...", value="text")

    def __post_init__(self) -> None:
        check_unit(self.units, "grid.units", "m")

    def build(self) -> Grid:
        """The grid; `ConfigError` for anything that is none."""
        dim = len(self.shape)
        if not 1 <= dim <= 3:
            raise ConfigError("grid.shape", f"has {dim} axes; 1, 2 or 3 are expected, e.g. grid.shape=[256,256]")
        for n in self.shape:
            if n < 2:
                raise ConfigError("grid.shape", f"is {list(self.shape)}; at least 2 cells per axis are expected")
        length = self.length if self.length is not None else [float(n) for n in self.shape]
        lengths = list(length) if isinstance(length, list | tuple) else [length] * dim
        boundary = list(self.boundary) if isinstance(self.boundary, list | tuple) else [self.boundary] * dim
        for name, values in (("grid.length", lengths), ("grid.boundary", boundary)):
            if len(values) != dim:
                raise ConfigError(
                    name,
                    f"has {len(values)} entries for {dim} axes",
                    f"give one value, or one per axis ({', '.join(AXIS_NAMES[:dim])})",
                )
        for value in lengths:
            _positive("grid.length", value)
        for value in boundary:
            if value not in (*BOUNDARIES, *UNLIKE):
                known = ", ".join((*BOUNDARIES, *UNLIKE))
                raise ConfigError("grid.boundary", f"is {value!r}; expected one of {known} (one, or one per axis)")
        shape, sizes = tuple(int(n) for n in self.shape), tuple(float(v) for v in lengths)
        return Grid(shape, sizes, tuple(boundary), self.units)


#: For help and completion, which would wait for SymPy if they asked the table.
SHIPPED = ("imex1", "sbdf2", "etd1", "etdms2", "etdms3", "etdms4", "etdrk2", "etdrk4")


def _schemes() -> list[str]:
    from .integrators import SCHEMES

    return list(SCHEMES)


@dataclass
class TimeSpec:
    """Scheme, step control and where to stop."""

    scheme: str = key("etdms3", "of time integration", names=lambda: SHIPPED)
    adaptive: bool = key(True, "step size from the local error; false is a fixed step time.dt")
    dt: float | None = key(
        None, "first step, or the fixed one, of which every one is taken whole: outputs and the end wait"
    )
    dt_min: float | None = key(None, "the smallest step")
    dt_max: float | None = key(None, "the largest step")
    tolerance: float = key(0.05, "local error of a step relative to what the step changes: the error of the rates")
    end: float = key(2000.0, "where to stop, in time.units")
    steady: float | None = key(None, "stop when the relative rate of change falls below this")
    max_steps: int | None = key(None, "stop after this many steps")
    wall: Any = key(
        None,
        "stop in time, with a checkpoint and exit code 85, before so much real time is over: 90s, 30m, 2h, 02:00:00",
        value="text",
    )
    units: str = key("1", "of all times: s, h, ...", value="text")

    def __post_init__(self) -> None:
        check_unit(self.units, "time.units", "s")
        if self.scheme not in SHIPPED and self.scheme not in (known := _schemes()):
            raise ConfigError("time.scheme", f"is {self.scheme!r}; expected one of {', '.join(known)}")
        for name in ("dt", "dt_min", "dt_max", "steady", "max_steps"):
            _positive(f"time.{name}", getattr(self, name), none=True)
        _positive("time.tolerance", self.tolerance)
        _positive("time.end", self.end)
        if not self.adaptive and self.dt is None:
            raise ConfigError(
                "time.dt",
                "is not given; time.adaptive=false needs a step size",
                "set time.dt=..., or leave time.adaptive=true",
            )
        if self.wall is not None:
            seconds(self.wall, "time.wall")
        if self.dt_min is not None and self.dt_max is not None and self.dt_min > self.dt_max:
            raise ConfigError("time.dt_min", f"is {self.dt_min}, above time.dt_max = {self.dt_max}")


@dataclass
class OutputSpec:
    """What is written, where and when; schedules as in `phasefield.schedule.build`, besides the first and the last state.

    ``compression`` is the deflate level of fields.nc, 0 for none: a double-precision field shrinks by a sixth at any level, and
    compressing ten snapshots took 15 % of a run of 800 steps.
    """

    dir: str | None = key(None, "the run folder; null is runs/TIME", value="text")
    every: Any = key(
        None,
        "snapshots: a period, {steps: n}, {times: [...]}, {per_decade: n, start: t} or {wall: seconds}; null is time.end/10; the "
        "first and the last state besides",
        value="schedule",
    )
    history: Any = key(
        None,
        "rows of the history, likewise; null is every step at first, then at 5 % more each time, and at every snapshot, of "
        "effective properties then at the snapshots only",
        value="schedule",
    )
    checkpoint: float | None = key(
        None, "seconds of real time between checkpoints; null is as often as their measured cost makes best"
    )
    resume: str = key(
        "never",
        "of a run that output.dir holds: never refuses it; auto goes on with an unfinished one of the same problem and "
        "leaves a finished one as it is",
        choices=("never", "auto"),
    )
    observables: list[str] = key(
        ["free_energy", "statistics", "interface_area", "characteristic_length"],
        "what the history holds; effective properties too, see homogenize",
    )
    fields: list[str] = key(
        [],
        "what fields.nc holds besides the fields of the model: stress, strain and von_mises of an elastic one, or components of "
        "them such as stress_xx",
    )
    compression: int = key(0, "deflate level of fields.nc, 0 to 9")
    picture: bool = key(True, "draw the last snapshot")
    kernels: bool = key(True, "write the generated source of every kernel")

    def __post_init__(self) -> None:
        _positive("output.checkpoint", self.checkpoint, zero=True, none=True)
        if self.dir is not None and not self.dir.strip():
            raise ConfigError("output.dir", "is empty", "give a folder, or leave it out for one under runs/")
        for name in ("every", "history"):
            if (value := getattr(self, name)) is not None:
                schedule(value, f"output.{name}")
        if not 0 <= self.compression <= 9:
            raise ConfigError("output.compression", f"is {self.compression}; a level from 0 to 9 is expected")


@dataclass
class ThreadsSpec:
    """CPU threads; null takes OMP_NUM_THREADS, Slurm's cpus-per-task or the cores at hand."""

    cpu: int | None = key(None, "null is OMP_NUM_THREADS, Slurm's cpus-per-task, or the cores granted")

    def __post_init__(self) -> None:
        if self.cpu is not None and not 1 <= self.cpu <= _MOST_THREADS:
            raise ConfigError("threads.cpu", f"is {self.cpu}; a whole number from 1 to {_MOST_THREADS} is expected")


@dataclass
class RunSpec:
    """A whole run."""

    model: ModelSpec = key(
        ModelSpec,
        "NAME or FILE.yaml; then model.energy (free-energy density: + - * / **, exp log sqrt sin cos tanh abs min max piecewise "
        "sum), model.parameters.P (a number, an expression in t or {kind: table, path: FILE}), "
        f"model.fields.F.({'|'.join(f.name for f in fields(FieldSpec) if f.name != 'initial')})",
        presets="model",
    )
    initial: dict[str, Any] = key(
        {}, "initial.F of field F: an expression in x, y, z, or {kind: noise|circles|voronoi|slab|file|sum, ...}"
    )
    grid: GridSpec = field(default_factory=GridSpec)
    time: TimeSpec = field(default_factory=TimeSpec)
    output: OutputSpec = field(default_factory=OutputSpec)
    device: str = key("auto", "auto is a GPU if there is one", ("auto", "cpu", "gpu"))
    precision: str = key("double", "of fields and transforms", ("double", "single"))
    seed: int = key(1, "of everything random")
    threads: ThreadsSpec = field(default_factory=ThreadsSpec)
    title: str = key("", "written to all files", value="text")
    homogenize: dict[str, Any] = key(
        {},
        "of observables that are effective properties, the keys of `phasefield homogenize` that mean something along a run",
        section="phasefield.homogenize.settings:Along",
    )

    def __post_init__(self) -> None:
        if self.device not in ("auto", "cpu", "gpu"):
            raise ConfigError("device", f"is {self.device!r}; expected auto, cpu or gpu")
        if self.precision not in ("double", "single"):
            raise ConfigError("precision", f"is {self.precision!r}; expected double or single")
        if not 0 <= self.seed < 2**63:
            raise ConfigError("seed", f"is {self.seed}; a whole number from 0 to 2**63 - 1 is expected")
        for name in ("every", "history"):
            period = getattr(self.output, name)
            if isinstance(period, int | float) and self.time.end / period > _MOST_RECORDS:
                raise ConfigError(
                    f"output.{name}",
                    f"is {period:g}, {self.time.end / period:.3g} records until time.end = {self.time.end:g}",
                    "choose a longer period",
                )
        if not self.model.fields:
            raise ConfigError(
                "model.fields",
                "is empty; a model needs at least one field",
                "choose a preset, e.g. model=cahn_hilliard",
            )
