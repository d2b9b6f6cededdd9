"""Ordinary differential equations in the place of a model, and NumPy in that of a device: the integrator without any grid."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import sympy as sp

from phasefield.backend import Apply, Operation
from phasefield.codegen import Kernel, Reduction, array_symbol

U = array_symbol("state", 0)


def phi(order: Any, z: Any) -> Any:
    """phi_order by its series, at arguments near 0."""
    return sum(z**j / math.factorial(j + int(order)) for j in range(30))


class Plain:
    """Arrays of shape ``(components, 1)``; a program is evaluated expression by expression."""

    name, dtype, readback_every, in_parts = "numpy", "float64", 1, False

    def buffer(self, layout: None, components: int) -> np.ndarray:
        return np.zeros((components, 1))

    def copy(self, source: np.ndarray, target: np.ndarray) -> None:
        target[:] = source

    def from_host(self, array: np.ndarray, buffer: np.ndarray) -> None:
        buffer[:] = array

    def program(self, layout: None, operations: Sequence[Operation]) -> Any:
        return _Evaluated([o for o in operations if isinstance(o, Apply)])


class _Evaluated:
    kernels = ()

    def __init__(self, runs: Sequence[Apply]) -> None:
        self._runs = []
        for run in runs:
            kernel = run.kernel
            known = [array_symbol(a, c) for a, n in kernel.arrays.items() for c in range(n)]
            symbols = [*known, *sp.symbols([*kernel.scalars, "k2", "weight"], real=True)]
            modules = [{"Phi": phi, "PerMode": lambda value: value}, "numpy"]
            self._runs.append((run, sp.lambdify(symbols, kernel.results, modules=modules)))

    def __call__(self, arrays: Mapping[str, np.ndarray], scalars: Mapping[str, float]) -> dict[str, float]:
        found = {}
        for run, function in self._runs:
            kernel = run.kernel
            values = [arrays[run.names.get(a, a)][c].copy() for a, n in kernel.arrays.items() for c in range(n)]
            results = function(*values, *(scalars[name] for name in kernel.scalars), 0.0, 1.0)
            for (array, c), value in zip(kernel.writes, results, strict=False):
                arrays[run.names.get(array, array)][c] = value
            for name, value in zip(kernel.reductions, results[len(kernel.writes) :], strict=True):
                found[name] = float(np.sum(value))
        return found


class Relaxation:
    """u' = -rate u + drive(t), and u^2/2 for an energy. Its operations end in N, a parameter that depends on time."""

    components = channels = 1
    metric = (sp.S.One,)
    noise = (None,)
    supplied: Sequence[int] = ()
    parts = ("square",)
    temporaries: Mapping[str, int] = {}
    tables: Mapping[str, np.ndarray] = {}
    memory: Mapping[str, int] = {}

    def __init__(self, rate: float = 1.0, drive: Any = math.cos, sign: float = 1.0) -> None:
        self._rate, self._drive, self._sign = rate, drive, sign
        self.linear = [-sp.Symbol("rate", real=True)]

    def scalars(self, t: float) -> dict[str, float]:
        return {"rate": self._rate, "drive": self._drive(t)}

    def explicit(self, array: str) -> list[sp.Expr]:
        return [array_symbol(array, 0)]

    def operations(self, array: str) -> list[Operation]:
        square = {"square": Reduction("sum", self._sign * U**2 / 2)}
        drive = sp.Symbol("drive", real=True)
        return [Apply(Kernel("drive", "real", {"state": 1}, {"state": [drive]}, square, ["drive"]), {"state": array})]

    def cells(self, array: str) -> list[Operation]:
        return []

    def quadratic(self, modes: Sequence[sp.Expr]) -> dict[str, sp.Expr]:
        return {}

    def energies(self, reduced: Mapping[str, float]) -> dict[str, float]:
        return {"square": reduced["square"]} if "square" in reduced else {}

    def inexact(self, reduced: Mapping[str, float]) -> float:
        return 0.0


def exact(t: float, start: float = 2.0) -> float:
    """u' = -u + cos t from ``start``."""
    return (start - 0.5) * math.exp(-t) + 0.5 * (math.cos(t) + math.sin(t))
