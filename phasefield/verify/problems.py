"""Small problems from the shipped presets, and how they are run and read: what the checks, and the package's own tests, share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import sympy as sp
from sympy.printing.str import StrPrinter

from ..api import spec_of
from ..backend import cells_of
from ..mechanics.options import Options
from ..simulation import Simulation, build_model
from ..specs import RunSpec

Array = np.ndarray
X, Y, Z, T = sp.symbols("x y z t", real=True)


@dataclass(frozen=True)
class Machine:
    """Where checks are made.

    Attributes:
        device: ``cpu``, ``gpu`` or ``auto``. precision: ``double`` or ``single``. threads: of the CPU, None for all.
    """

    device: str = "cpu"
    precision: Literal["double", "single"] = "double"
    threads: int | None = 1

    @property
    def overrides(self) -> tuple[str, ...]:
        """The same as keys of a run."""
        threads = () if self.threads is None else (f"threads.cpu={self.threads}",)
        return (f"device={self.device}", f"precision={self.precision}", *threads)

    def specify(self, *overrides: str, components: int | None = None) -> RunSpec:
        """A specification; fields with components have at most ``components``."""
        spec = spec_of(*self.overrides, "output.observables=[free_energy]", *overrides)
        for f in spec.model.fields.values():
            if f.components is not None and components is not None:
                f.components = min(f.components, components)
        return spec

    def simulation(self, *overrides: str) -> Simulation:
        """A simulation on this machine."""
        return Simulation(self.specify(*overrides))

    def solver(self, **options: Any) -> Options:
        """How cell problems are solved on this machine."""
        return Options(device=self.device, precision=self.precision, threads=self.threads, **options)


def field_values(sim: Simulation) -> Array:
    """Cells of the state, shape ``(components, *grid.shape)``."""
    return cells_of(sim.layout, sim.backend.to_host(sim.observe(sim.carry)[0])).copy()


def steps(sim: Simulation, end: float) -> Iterator[Simulation]:
    """Steps to ``end``, yielding after each."""
    while sim.carry.t < end:
        sim.advance(end)
        yield sim


def run(sim: Simulation, end: float) -> Simulation:
    """Steps to ``end``."""
    for _ in steps(sim, end):
        pass
    return sim


class _Printer(StrPrinter):
    def _print_Float(self, expr: sp.Float) -> str:
        return repr(float(expr))


def text_of(expr: sp.Expr) -> str:
    """An expression as a configuration holds it, numbers to the last bit."""
    return str(_Printer().doprint(expr))


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
