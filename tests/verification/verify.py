"""Shared by the verification tests: the problems of `phasefield.verify`, on one CPU thread (or on a GPU), and the presets."""

from __future__ import annotations

import os
from functools import cache

from phasefield import presets
from phasefield.models import EnergyModel
from phasefield.simulation import build_model, initial_cells
from phasefield.specs import RunSpec
from phasefield.verify import Machine
from phasefield.verify.problems import T, X, Y, Z, field_values, run, solve, steps

__all__ = [
    "DEVICE", "MACHINE", "PRESETS", "T", "X", "Y", "Z", "conserved", "field_values", "model_of", "ranges", "run", "solve",
    "specify", "steps",
]  # fmt: skip

#: See tests/conftest.py.
DEVICE = "cpu" if os.environ.get("PHASEFIELD_TEST_DEVICE", "cpu") == "cpu" else "gpu"
MACHINE = Machine(DEVICE)
PRESETS = presets.names("model")


def specify(*overrides: str, components: int = 3) -> RunSpec:
    """A specification for one CPU thread; fields with components have at most ``components``, to keep the tests cheap."""
    return MACHINE.specify(*overrides, components=components)


@cache
def model_of(preset: str) -> EnergyModel:
    return build_model(specify(f"model={preset}"))


def conserved(preset: str) -> bool:
    return any(f.kinetics.conserved for f in model_of(preset).order_parameters)


@cache
def ranges(preset: str) -> list[tuple[float, float]]:
    """Middle and half width of the values that a preset's own initial condition gives every component, at least 0.1 wide."""
    spec = specify(f"model={preset}", "grid.shape=[128,128]", components=8)
    model = build_model(spec)
    cells = initial_cells(spec, model, spec.grid.build()).reshape(len(model.components), -1)
    low, high = cells.min(axis=1), cells.max(axis=1)
    return [(float(m), float(max(a, 0.1))) for m, a in zip((low + high) / 2, (high - low) / 2, strict=True)]
