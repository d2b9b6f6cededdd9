"""A problem that is filled where it runs: for grids whose initial values would take longer on the host than all steps."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import sympy as sp

from phasefield.backend import Apply, Backend, Forward, Layout, select
from phasefield.codegen import Kernel
from phasefield.integrators import SCHEMES, Integrator
from phasefield.models import SpectralSplit
from phasefield.simulation import build_model


class Problem:
    """The integrator of a specification and a state, with the attributes of a `Simulation` that stepping needs.

    Args:
        start: values of every cell, an expression in x, y, z.
    """

    def __init__(self, spec: Any, backend: Backend, start: sp.Expr) -> None:
        model, self.grid = build_model(spec), spec.grid.build()
        self.backend, self.layout, self.scheme = backend, Layout(self.grid), SCHEMES[spec.time.scheme]
        components = len(model.components)
        self.split = SpectralSplit(model, self.layout, [1.0] * components, monitor=True)
        self.integrator = Integrator(self.scheme, self.split, self.layout, backend, spec.time.adaptive)
        self.carry = self.integrator.start(filled(backend, self.layout, start, components), 0.0)

    def step(self, size: float = 0.01) -> None:
        """A step, or where the scheme is adaptive an attempt."""
        end = self.carry.t + size
        if self.integrator.adaptive:
            self.integrator.attempt(self.carry, size, end)
        else:
            self.integrator.step(self.carry, size, end)


def filled(backend: Backend, layout: Layout, start: sp.Expr, components: int = 1, transform: bool = True) -> Any:
    """A buffer with an expression in every cell of every component, transformed to modes."""
    value = start / sp.Float(layout.grid.norm) if transform else start
    fill = Apply(Kernel("fill", "real", {"u": components}, {"u": [value] * components}))
    state = backend.buffer(layout, components)
    backend.program(layout, [fill, *([Forward("u", components)] if transform else [])])({"u": state})
    return state


def chirp(dim: int, mean: float = 0.5, amplitude: float = 0.05) -> sp.Expr:
    """A wave whose length changes from cell to cell: neighbours are as different as of noise, which has no expression."""
    squares = zip(np.sqrt([2.0, 3.0, 5.0]), sp.symbols("x y z", real=True)[:dim], strict=False)
    return sp.Float(mean) + sp.Float(amplitude) * sp.cos(sum(sp.Float(a) * s**2 for a, s in squares))


def release(device: str) -> None:
    """Gives the memory of what is gone back, so that the next case finds all of it."""
    gc.collect()
    backend = select(device, "double")
    if hasattr(backend, "release"):
        backend.release()
