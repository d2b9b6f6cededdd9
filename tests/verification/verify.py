"""Shared by the verification tests: small problems from the shipped presets, run on one CPU thread (or on a GPU)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import cache

import numpy as np
import sympy as sp
from sympy.printing.str import StrPrinter

from phasefield import presets
from phasefield.api import spec_of
from phasefield.backend import cells_of
from phasefield.models import EnergyModel
from phasefield.simulation import Simulation, build_model, initial_cells
from phasefield.specs import RunSpec

#: See tests/conftest.py.
DEVICE = "cpu" if os.environ.get("PHASEFIELD_TEST_DEVICE", "cpu") == "cpu" else "gpu"
X, Y, Z, T = sp.symbols("x y z t", real=True)
PRESETS = presets.names("model")


class _Printer(StrPrinter):  # type: ignore[misc]
    def _print_Float(self, expr: sp.Float) -> str:
        return repr(float(expr))


def text_of(expr: sp.Expr) -> str:
    """An expression as a configuration holds it, numbers to the last bit."""
    return str(_Printer().doprint(expr))


def specify(*overrides: str, components: int = 3) -> RunSpec:
    """A specification for one CPU thread; fields with components have at most ``components``, to keep the tests cheap."""
    spec = spec_of(f"device={DEVICE}", "threads.cpu=1", "output.observables=[free_energy]", *overrides)
    for f in spec.model.fields.values():
        if f.components is not None:
            f.components = min(f.components, components)
    return spec


@cache
def model_of(preset: str) -> EnergyModel:
    return build_model(specify(f"model={preset}"))


def conserved(preset: str) -> bool:
    return any(f.kinetics.conserved for f in model_of(preset).order_parameters)


def field_values(sim: Simulation) -> np.ndarray:
    """Cells of the state, shape ``(components, *grid.shape)``."""
    return cells_of(sim.layout, sim.backend.to_host(sim.observe(sim.carry)[0])).copy()


def steps(sim: Simulation, end: float) -> Iterator[Simulation]:
    """Steps to ``end``, yielding after each."""
    while sim.carry.t < end:
        sim.advance(end)
        yield sim


def run(sim: Simulation, end: float) -> Simulation:
    for _ in steps(sim, end):
        pass
    return sim


@cache
def ranges(preset: str) -> list[tuple[float, float]]:
    """Middle and half width of the values that a preset's own initial condition gives every component, at least 0.1 wide."""
    spec = specify(f"model={preset}", "grid.shape=[128,128]", components=8)
    model = build_model(spec)
    cells = initial_cells(spec, model, spec.grid.build()).reshape(len(model.components), -1)
    low, high = cells.min(axis=1), cells.max(axis=1)
    return [(float(m), float(max(a, 0.1))) for m, a in zip((low + high) / 2, (high - low) / 2, strict=True)]


def solve(
    spec: RunSpec, solution: Mapping[str, sp.Expr], sources: Mapping[str, sp.Expr], end: float
) -> tuple[Simulation, float]:
    """Runs with sources from the start of ``solution``; returns the largest error relative to the largest value."""
    model = build_model(spec)
    for f in model.order_parameters:
        texts = [text_of(sources[s.name]) for s in f.symbols]
        start = [text_of(solution[s.name].xreplace({T: sp.Integer(0)})) for s in f.symbols]
        spec.model.fields[f.name].source = texts if f.components else texts[0]
        spec.initial[f.name] = start if f.components else start[0]
    sim = run(Simulation(spec), end)
    grid = np.meshgrid(*(a.centers for a in sim.grid.axes), indexing="ij")
    exact = []
    for _, s in model.components:
        function = sp.lambdify([X, Y, Z][: len(grid)], solution[s.name].subs(T, sp.Float(end, 17)), modules="numpy")
        exact.append(np.broadcast_to(function(*grid), grid[0].shape))
    return sim, float(np.abs(field_values(sim) - np.array(exact)).max() / np.abs(exact).max())
