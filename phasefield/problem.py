"""What a specification is about before a run of it is built: the model, its initial values, and what the grid makes of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .errors import CheckpointMismatch, ConfigError
from .grid import AXIS_NAMES, Grid
from .initial import Rows, Sample, initial_rows, merge_initial, slabs
from .keys.renamed import of_earlier
from .models import EnergyModel, check_axes, referenced, references
from .models.kinetic import check as check_kinetic
from .models.resolution import Resolution, resolution
from .models.wall_data import check_until
from .pace import check_noise
from .specs import ARRAY, FieldSpec, RunSpec

#: The attribute of a file that tells of which problem it is, see `problem_of`.
PROBLEM = "problem"
#: What resuming a run allows.
MAY_CHANGE = (
    "resuming goes on with the same problem: only time.end, time.dt, time.dt_min, time.dt_max, time.tolerance, time.steady, "
    "time.max_steps, time.wall, output.every, output.history, output.checkpoint, output.resume, output.picture, "
    "output.kernels, threads and device may change"
)


def build_model(spec: RunSpec) -> EnergyModel:
    """The model a specification describes."""
    fields = [{"name": name, **vars(f)} for name, f in spec.model.fields.items()]
    axes = len(spec.grid.shape)
    model = EnergyModel.build(spec.model.name, spec.model.energy, fields, spec.model.parameters, vars(spec.model), axes)
    placed = any(f.values.get("walls") is not None for f in model.order_parameters)
    placed = placed or any(model.settings.get(name) for name in ("electric", "elastic"))
    return replace(model, grid=spec.grid.build()) if placed else model


def initial_condition(spec: RunSpec, name: str) -> Any:
    """What a field begins with: the model's own with what is given for the run; None if there is neither."""
    default, given = spec.model.fields[name].initial, spec.initial.get(name)
    return default if given is None else given if default is None else merge_initial(default, given)


def starting_point(spec: RunSpec, name: str) -> Any:
    """What tells the initial condition of a field from others: what is configured, or a digest of an array from Python."""
    condition = initial_condition(spec, name)
    values = condition
    if isinstance(condition, Mapping) and Path(str(condition.get("path", ""))).name == f"{ARRAY}{name}.npy":
        with suppress(OSError, ValueError):
            values = np.load(condition["path"], mmap_mode="r")
    if not hasattr(values, "__array__"):
        return json.loads(json.dumps(condition, default=str))  # as it comes back from a checkpoint
    if hasattr(values, "dims"):
        values = values.transpose(..., *(axis for axis in AXIS_NAMES if axis in values.dims))
    digest = hashlib.sha256(np.ascontiguousarray(values, dtype=float).tobytes()).hexdigest()
    return f"array {digest[:16]}"


def initial_of(spec: RunSpec, model: EnergyModel, grid: Grid) -> Rows:
    """Initial values of all components for part of the grid at a time, see `phasefield.initial.initial_rows`.

    Raises:
        ConfigError: a field without an initial condition, or one that cannot be made.
    """
    unknown = set(spec.initial) - set(spec.model.fields)
    if unknown:
        raise ConfigError(
            f"initial.{min(unknown)}", f"there is no such field; fields of the model: {', '.join(spec.model.fields)}"
        )
    parts = []
    for f in model.order_parameters:
        condition = initial_condition(spec, f.name)
        if condition is None:
            raise ConfigError(
                f"initial.{f.name}",
                "is missing; every field needs an initial condition",
                f"e.g. initial.{f.name}=0.5+0.1*cos(x) or initial.{f.name}={{kind: noise, mean: 0.5, amplitude: 0.01}}",
            )
        parts.append(initial_rows(f.name, condition, f.components, grid, spec.seed, model.parameters))
    return lambda rows: np.concatenate([part(rows) for part in parts])


def initial_cells(spec: RunSpec, model: EnergyModel, grid: Grid) -> np.ndarray:
    """Initial values of all components, shape ``(components, *grid.shape)``; raises what `initial_of` does."""
    rows = initial_of(spec, model, grid)
    return np.concatenate([rows(slab) for slab in slabs(grid)], axis=1)


def resolution_of(spec: RunSpec) -> Resolution | None:
    """What the grid of a specification makes of its model, see `phasefield.models.resolution`, without building the run.

    Raises:
        ConfigError: a grid, a model or initial values that cannot be made.
    """
    model, grid = build_model(spec), spec.grid.build()
    rows, sample = initial_of(spec, model, grid), Sample(grid, len(model.components))
    for slab in slabs(grid):
        sample.add(slab, rows(slab))
    few = sample.few()
    return resolution(referenced(model, references(model, few)), grid, few)


def check_terms(spec: RunSpec, model: EnergyModel, grid: Grid) -> None:
    """Refuses terms and mobilities of the model that do not fit the grid.

    Raises:
        ConfigError, ExpressionError: there is one.
    """
    check_axes(model, grid)
    check_kinetic(model, grid)
    for term in model.terms:
        term.check(grid, {name: vars(f) for name, f in spec.model.fields.items()})
    if model.lifting is not None:
        check_until(model, grid, spec.time.end)
    check_noise(spec.time, model)


def identity(spec: RunSpec, model: EnergyModel, grid: Grid, precision: str) -> dict[str, Any]:
    """What must agree for a checkpoint to be of this problem, by configuration key, as it comes back from JSON."""
    fields: dict[str, Any] = {}
    for f in model.order_parameters:
        mobility = f.mobility if f.law is None else f.law.text
        own = {"kinetics": f.kinetics.name, "components": f.components, "mobility": mobility}
        own |= {k: v if v is None or isinstance(v, float) else str(v) for k, v in f.values.items()}
        fields |= {f"model.fields.{f.name}.{key}": value for key, value in own.items()}
    start = {f"initial.{f.name}": starting_point(spec, f.name) for f in model.order_parameters}
    return {
        "model.energy": model.text,
        **{f"model.parameters.{name}": value for name, value in {**model.parameters, **_texts(model)}.items()},
        **{f"model.{name}": str(value) for name, value in model.settings.items() if value is not None},
        **fields,
        "grid.shape": list(grid.shape),
        "grid.length": list(grid.lengths),
        "grid.boundary": list(grid.boundary),
        "grid.dealias": spec.grid.dealias,
        "precision": precision,
        "time.scheme": spec.time.scheme,
        "time.adaptive": spec.time.adaptive,
        "seed": spec.seed,
        **start,
    }


def problem_of(identity: Mapping[str, Any]) -> str:
    """An identity as an attribute of a file, which tells its long values apart by a digest alone."""
    return json.dumps({key: _short(value) for key, value in identity.items()})


def check_problem(mine: Mapping[str, Any], problem: str) -> None:
    """Refuses a file of another problem, as `check_identity` does a checkpoint.

    Raises:
        CheckpointMismatch: with the key that differs.
    """
    own = {key: _short(value) for key, value in mine.items()}
    check_identity(json.loads(json.dumps(own)), {"identity": json.loads(problem)}, advice="")


def _short(value: Any) -> Any:
    text = json.dumps(value)
    return value if len(text) <= 400 else f"digest {hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _texts(model: EnergyModel) -> dict[str, str]:
    return {name: course.text for name, course in model.courses.items()}


def check_identity(mine: Mapping[str, Any], meta: Mapping[str, Any], advice: str = f"\n  {MAY_CHANGE}") -> None:
    """Refuses a checkpoint of another problem; ``advice`` ends the message.

    Raises:
        CheckpointMismatch: with the key that differs.
    """
    theirs = of_earlier(meta.get("identity", {}), "run")
    defaults = vars(FieldSpec(kinetics=""))
    for key in dict.fromkeys([*mine, *theirs]):
        if key not in theirs:  # checkpoints of earlier versions do not tell
            name = key.rpartition(".")[2]
            if key == "seed" or key.startswith("initial.") or name == "stabilizer":
                continue
            if key.startswith("model.fields.") and mine[key] == defaults.get(name, mine):
                continue
        if theirs.get(key) != mine.get(key):
            raise CheckpointMismatch(
                f"was written with {key} = {theirs.get(key)}, this run has {mine.get(key)}{advice}"
            )
