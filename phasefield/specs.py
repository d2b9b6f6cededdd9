"""The configuration's schema: one dataclass per section, checked where it is built.

The same classes are Hydra's schema (unknown keys and wrong types fail at composition) and the objects the program works with.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any

from .errors import ConfigError
from .grid import AXIS_NAMES, BOUNDARIES, Grid
from .models.terms import TERMS, keys_of
from .schedule import build as schedule
from .units import check_unit

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
    parameters: dict[str, float] = field(default_factory=dict)


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
    """Shape, lengths and boundary; a single number or word stands for every axis.

    ``units`` is that of all lengths, also of those in initial conditions and parameters; it is written to the files.
    """

    shape: list[int] = field(default_factory=lambda: [256, 256])
    length: Any = None
    boundary: Any = "periodic"
    dealias: bool = False
    units: str = "1"

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
        for key, values in (("grid.length", lengths), ("grid.boundary", boundary)):
            if len(values) != dim:
                raise ConfigError(
                    key,
                    f"has {len(values)} entries for {dim} axes",
                    f"give one value, or one per axis ({', '.join(AXIS_NAMES[:dim])})",
                )
        for value in lengths:
            _positive("grid.length", value)
        for value in boundary:
            if value not in BOUNDARIES:
                raise ConfigError(
                    "grid.boundary", f"is {value!r}; expected one of {', '.join(BOUNDARIES)} (one, or one per axis)"
                )
        shape, sizes = tuple(int(n) for n in self.shape), tuple(float(v) for v in lengths)
        return Grid(shape, sizes, tuple(boundary), self.units)


@dataclass
class TimeSpec:
    """Scheme, step control and where to stop."""

    scheme: str = "etdms3"
    adaptive: bool = True
    dt: float | None = None
    dt_min: float | None = None
    dt_max: float | None = None
    tolerance: float = 0.05
    end: float = 100.0
    steady: float | None = None
    max_steps: int | None = None
    units: str = "1"

    def __post_init__(self) -> None:
        from .integrators import SCHEMES

        check_unit(self.units, "time.units", "s")
        if self.scheme not in SCHEMES:
            raise ConfigError("time.scheme", f"is {self.scheme!r}; expected one of {', '.join(SCHEMES)}")
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
        if self.dt_min is not None and self.dt_max is not None and self.dt_min > self.dt_max:
            raise ConfigError("time.dt_min", f"is {self.dt_min}, above time.dt_max = {self.dt_max}")


@dataclass
class OutputSpec:
    """What is written, where and when; schedules as in `phasefield.schedule.build`, besides the first and the last state.

    ``compression`` is the deflate level of fields.nc, 0 for none: a double-precision field shrinks by a sixth at any level, and
    compressing ten snapshots took 15 % of a run of 800 steps.
    """

    dir: str | None = None
    every: Any = None
    history: Any = None
    checkpoint: float = 60.0
    observables: list[str] = field(
        default_factory=lambda: ["free_energy", "statistics", "interface_area", "characteristic_length"]
    )
    compression: int = 0
    picture: bool = True
    kernels: bool = True

    def __post_init__(self) -> None:
        _positive("output.checkpoint", self.checkpoint, zero=True)
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

    cpu: int | None = None

    def __post_init__(self) -> None:
        if self.cpu is not None and not 1 <= self.cpu <= _MOST_THREADS:
            raise ConfigError("threads.cpu", f"is {self.cpu}; a whole number from 1 to {_MOST_THREADS} is expected")


@dataclass
class RunSpec:
    """A whole run."""

    model: ModelSpec = field(default_factory=ModelSpec)
    initial: dict[str, Any] = field(default_factory=dict)
    grid: GridSpec = field(default_factory=GridSpec)
    time: TimeSpec = field(default_factory=TimeSpec)
    output: OutputSpec = field(default_factory=OutputSpec)
    device: str = "auto"
    precision: str = "double"
    seed: int = 1
    threads: ThreadsSpec = field(default_factory=ThreadsSpec)
    title: str = ""
    #: Of observables that are effective properties: the keys of ``phasefield homogenize``.
    homogenize: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.device not in ("auto", "cpu", "gpu"):
            raise ConfigError("device", f"is {self.device!r}; expected auto, cpu or gpu")
        if self.precision not in ("double", "single"):
            raise ConfigError("precision", f"is {self.precision!r}; expected double or single")
        if not 0 <= self.seed < 2**63:
            raise ConfigError("seed", f"is {self.seed}; a whole number from 0 to 2**63 - 1 is expected")
        for key in ("every", "history"):
            period = getattr(self.output, key)
            if isinstance(period, int | float) and self.time.end / period > _MOST_RECORDS:
                raise ConfigError(
                    f"output.{key}",
                    f"is {period:g}, {self.time.end / period:.3g} records until time.end = {self.time.end:g}",
                    "choose a longer period",
                )
        if not self.model.fields:
            raise ConfigError(
                "model.fields",
                "is empty; a model needs at least one field",
                "choose a preset, e.g. model=cahn_hilliard",
            )
