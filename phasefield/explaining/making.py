"""An explanation made from a specification. Nothing is written, and no state of a run is touched."""

from __future__ import annotations

import json
import math
import time as clock
from collections.abc import Callable, Mapping
from dataclasses import replace
from statistics import median
from typing import Any

import numpy as np

from .. import schedule
from ..backend import Backend, host_memory_available, select
from ..errors import ConfigError, Diverged
from ..footprint import Footprint, check_memory
from ..grid import Grid
from ..initial import Sample, slabs
from ..integrators import SCHEMES
from ..models import EnergyModel, referenced, references
from ..models.resolution import resolution
from ..models.theory import theory
from ..observables import Factory
from ..problem import build_model, check_terms, initial_condition, initial_of
from ..schedule import Beat
from ..simulation import Simulation, footprint
from ..specs import RunSpec
from .explanation import Cost, Explanation, FieldFacts, Output, Stepping

#: Steps of a copy that are measured at most, seconds after which no further one is, first ones that are left out: they compile.
_STEPS, _SECONDS, _COLD = 20, 1.0, 2
#: Numbers of a state beyond which no copy is made: it would take longer than people wait for an explanation.
_LARGE = 2**24
#: Records beyond which a schedule is not followed.
_MOST_RECORDS = 2**40


def explanation(
    spec: RunSpec,
    observables: Callable[[], Mapping[str, Factory] | None] = lambda: None,
    measure: bool = True,
) -> Explanation:
    """A specification explained.

    Args:
        observables: gives those that are not in `OBSERVABLES`, where the specification asks for some.
        measure: whether the run is built and a few steps of this copy are timed; else nothing is said of what depends on it.

    Raises:
        ConfigError, DeviceError: as for a run, but for memory that is lacking, of which the explanation tells.
    """
    model, grid = build_model(spec), spec.grid.build()
    check_terms(spec, model, grid)
    few, seen = _start(spec, model, grid)
    _check_finite(model, few)
    model = referenced(model, references(model, few))
    backend = select(spec.device, spec.precision, spec.threads.cpu)  # type: ignore[arg-type]
    cost, simulation = _cost(spec, model, grid, backend, observables, measure)
    stepping = _stepping(spec)
    return Explanation(
        spec.model.name,
        spec.model.description,
        " ".join(spec.model.energy.split()),
        {
            **model.parameters,
            **{name: f"{course.text} ({course.at(0.0):g} at t = 0)" for name, course in model.courses.items()},
        },
        tuple(_facts(spec, model)),
        grid,
        "" if spec.time.units == "1" else spec.time.units,
        theory(model, grid, few),
        resolution(model, grid, few),
        seen.shape,
        stepping,
        cost,
        tuple(_outputs(spec, model, grid, backend, stepping, simulation)),
    )


def _start(spec: RunSpec, model: EnergyModel, grid: Grid) -> tuple[np.ndarray, Grid]:
    """A sample of the initial values as `theory` takes it, and the grid it is from: a coarser one where this one is large."""
    coarse = grid
    while len(model.components) * coarse.cells > _LARGE:
        coarse = replace(coarse, shape=tuple(max(2, n // 2) for n in coarse.shape))
    try:
        return _sample(spec, model, coarse), coarse
    except ConfigError:
        if coarse is grid:
            raise
        return _sample(spec, model, grid), grid  # what is read from a file may fit this grid alone


def _sample(spec: RunSpec, model: EnergyModel, grid: Grid) -> np.ndarray:
    rows, sample = initial_of(spec, model, grid), Sample(grid, len(model.components))
    for slab in slabs(grid):
        sample.add(slab, rows(slab))
    return sample.few()


def _check_finite(model: EnergyModel, few: np.ndarray) -> None:
    if not np.isfinite(model.evaluate([model.energy], few[:, -1:])).all():
        raise ConfigError(
            "initial",
            "the energy is not finite at the mean of the initial values",
            "choose initial values within the energy's domain",
        )


def _facts(spec: RunSpec, model: EnergyModel) -> list[FieldFacts]:
    return [
        FieldFacts(
            f.name,
            f.description,
            "" if f.units == "1" else f.units,
            f.kinetics.name,
            f.components,
            f.mobility,
            f.kappas,
            _shown(initial_condition(spec, f.name)),
            "" if f.law is None else f.law.text,
            "" if f.anisotropy is None else f.anisotropy.text,
            "" if f.anisotropy is None else f.anisotropy.words,
            str(f.values.get("walls") or ""),
            "" if model.lifting is None else model.lifting.told(f.name),
            _given(f.values["noise"]),
            _given(f.values["nucleation"]),
        )
        for f in model.order_parameters
    ]


def _given(value: Any) -> str:
    """A key of a field in words, nothing where it asks for nothing."""
    return "" if not value else f"{value:g}" if isinstance(value, float) else str(value)


def _shown(condition: Any) -> str:
    if hasattr(condition, "shape"):
        return f"an array of shape {tuple(condition.shape)}"
    if isinstance(condition, Mapping):
        return "{" + ", ".join(f"{k}: {_shown(v)}" for k, v in condition.items()) + "}"
    return condition if isinstance(condition, str) else json.dumps(condition, default=str)


# -- time --------------------------------------------------------------------------------------------------------------


def _stepping(spec: RunSpec) -> Stepping:
    time = spec.time
    scheme = SCHEMES[time.scheme].taken(time.adaptive, varies=False)
    steps = None
    if not time.adaptive and time.dt is not None:
        steps = math.ceil((time.end - Beat(time.dt).slack) / time.dt)
        steps = min(steps, time.max_steps or steps)
    least = 0 if time.dt_max is None else math.ceil(time.end / time.dt_max)
    known = (time.scheme, scheme.order, scheme.reference, time.adaptive, time.tolerance, time.dt, time.end)
    return Stepping(*known, steps, min(least, time.max_steps or least), time.max_steps)


# -- cost --------------------------------------------------------------------------------------------------------------


def _cost(
    spec: RunSpec,
    model: EnergyModel,
    grid: Grid,
    backend: Backend[Any],
    observables: Callable[[], Mapping[str, Factory] | None],
    measure: bool,
) -> tuple[Cost, Simulation | None]:
    cost = Cost(f"{backend.name} ({backend.description})", spec.precision)
    if not measure:
        return replace(cost, why="not asked for: the run was not built"), None
    more, components = observables(), len(model.components)
    seen: list[Footprint] = []

    def look() -> Footprint:
        seen.append(footprint(spec, backend, more))
        return seen[-1]

    free, host = backend.memory_available(), host_memory_available()
    free = min(free, host) if backend.name == "cpu" else free
    cost = replace(cost, free=free, host_free=None if backend.name == "cpu" else host)
    try:
        check_memory(grid, components, backend, 0, look)
    except ConfigError as error:
        need = seen[-1] if seen else None
        cost = cost if need is None else replace(cost, need=need.device, host_need=need.host)
        return replace(cost, why=f"the run does not fit: {error}"), None
    need = seen[-1] if seen else look()
    cost = replace(cost, need=need.device, host_need=need.host)
    if components * grid.cells > _LARGE:
        why = (
            "a grid this large is not stepped for an explanation; a run with time.max_steps=20 tells the time of a step"
        )
        return replace(cost, why=why), None
    simulation = Simulation(spec, backend=backend, observables=more)
    parts = simulation.model.slices()
    cost = replace(
        cost,
        stabilizers={name: float(simulation.stabilizers[part.start]) for name, part in parts.items()},
        chosen=tuple(f.name for f in model.order_parameters if f.stabilizer is not None),
    )
    return replace(cost, **_timed(simulation)), simulation


def _timed(simulation: Simulation) -> dict[str, Any]:
    """Seconds of a step, the median of some; tries that were dropped count to the step that follows them."""
    seconds: list[float] = []
    begin = clock.monotonic()
    end = simulation.spec.time.end
    try:
        while len(seconds) < _COLD + _STEPS and simulation.reached < end:
            if len(seconds) > _COLD and clock.monotonic() - begin > _SECONDS:
                break
            if len(seconds) == _COLD:
                begin = clock.monotonic()
            start = clock.perf_counter()
            simulation.advance(end)
            simulation.backend.synchronize()
            seconds.append(clock.perf_counter() - start)
    except Diverged as error:
        return {"why": f"the steps of a copy failed: {error}"}
    warm = seconds[_COLD:]
    if not warm:
        return {"why": "the run ends before a step could be timed"}
    untimed = ", ".join(simulation.observer.measured)
    why = f"what {untimed} take, which are computed for snapshots, is not timed" if untimed else ""
    return {"step": median(warm), "measured": len(warm), "why": why}


# -- outputs -----------------------------------------------------------------------------------------------------------


def _outputs(
    spec: RunSpec,
    model: EnergyModel,
    grid: Grid,
    backend: Backend[Any],
    stepping: Stepping,
    simulation: Simulation | None,
) -> list[Output]:
    cells = len(model.components) * grid.cells * np.dtype(backend.dtype).itemsize
    every = spec.time.end / 10 if spec.output.every is None else spec.output.every
    rows = schedule.Thinning() if spec.output.history is None else schedule.build(spec.output.history, "output.history")
    row = None
    if simulation is not None:
        row = sum(8 * np.size(value) for value in simulation.observe(simulation.carry, measure=False)[1].values())
    snapshots = _records(schedule.build(every, "output.every"), spec.time.end, stepping.steps)
    compressed = f", before compression at level {spec.output.compression}" if spec.output.compression else ""
    kept = None if simulation is None else simulation.state_bytes
    found = [
        Output("fields.nc", f"snapshots{compressed}", snapshots, cells),
        Output("history.nc", "rows", _records(rows, spec.time.end, stepping.steps), row),
        Output("checkpoint.npz", "the last state", 1, kept),
    ]
    return found + [Output("fields.png", "a picture of the last snapshot", 1, None)] * spec.output.picture


def _records(plan: schedule.Schedule, end: float, steps: int | None) -> int | None:
    """Records until the end, the first and the last state among them; None where steps or the clock decide."""
    if isinstance(plan, schedule.WallTime):
        return None
    if isinstance(plan, schedule.Thinning) or plan.every_steps:
        if steps is None:
            return None
        if isinstance(plan, schedule.Thinning):
            due = {0, steps, *(n for n in map(plan.step, range(_first(plan.step, steps))) if n <= steps)}
            return len(due)
        count = plan.every_steps or 1
        return steps // count + 1 + (steps % count > 0)
    count = _first(plan.time, end)
    if count >= _MOST_RECORDS:
        return None
    return count + (plan.time(0) > 0) + (count == 0 or plan.time(count - 1) < end)


def _first(function: Callable[[int], float], end: float) -> int:
    """The first index at which an increasing function lies beyond ``end``."""
    high = 1
    while function(high - 1) <= end and high < _MOST_RECORDS:
        high *= 2
    low = 0
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if function(middle) > end else (middle + 1, high)
    return low
