"""The exponential-integrator functions, as generated for the CPU, against 40 digits of mpmath."""

from __future__ import annotations

from functools import cache

import mpmath
import numpy as np
import pytest
import sympy as sp

from phasefield.backend import Apply, Layout, cells_of
from phasefield.backend.cpu import CpuBackend
from phasefield.codegen import Kernel, Phi
from phasefield.grid import Grid

ORDERS = 4
POINTS = np.concatenate(
    [[0.0], -np.logspace(-16, 4, 600), -np.linspace(0.9, 1.1, 41), -np.linspace(39, 41, 21), -np.linspace(0, 60, 359)]
)


@cache  # 40 digits take their time, and all kernels are asked for the same arguments
def exact(order: int, z: float) -> mpmath.mpf:
    """phi_n(z) = 1F1(1; n + 1; z)/n!"""
    with mpmath.workdps(40):
        return (
            mpmath.hyp1f1(1, order + 1, mpmath.mpf(z)) / mpmath.factorial(order) if order else mpmath.exp(mpmath.mpf(z))
        )


def computed(precision: str, highest: int) -> tuple[np.ndarray, np.ndarray]:
    """Arguments in the precision at hand, and phi_0 .. phi_highest of them from one kernel."""
    layout, backend = Layout(Grid((2,), (1.0,), ("no-flux",))), CpuBackend(precision, 1)  # type: ignore[arg-type]
    argument = sp.Symbol("argument", real=True)
    outputs: list[sp.Expr] = [Phi(i, argument) for i in range(highest + 1)]
    kernel = Kernel("phi", "spectral", {"result": len(outputs)}, {"result": outputs}, scalars=["argument"])
    compiled, result = backend.program(layout, [Apply(kernel)]), backend.buffer(layout, len(outputs))
    points = POINTS.astype(backend.dtype)
    values = np.empty((len(outputs), points.size), backend.dtype)
    for i, z in enumerate(points):
        compiled({"result": result}, {"argument": float(z)})
        values[:, i] = cells_of(layout, result)[:, 0]
    return points, values


@pytest.mark.parametrize("highest", range(ORDERS))
@pytest.mark.parametrize(("precision", "relative"), [("double", 2e-13), ("single", 2e-5)])
def test_phi_functions(precision: str, relative: float, highest: int) -> None:
    z, values = computed(precision, highest)
    at_zero = [1.0, 1.0, 0.5, 1 / 6][: highest + 1]
    np.testing.assert_array_equal(values[:, 0], np.array(at_zero, dtype=values.dtype))
    worst = {}
    for order in range(highest + 1):
        reference = [exact(order, float(x)) for x in z]
        error = np.array([abs(float(mpmath.mpf(float(v)) - r)) for v, r in zip(values[order], reference, strict=True)])
        scale = np.array([float(r) for r in reference])
        # What is left of a mode after a step matters next to 1, so a small exp may lose relative accuracy.
        scale = np.maximum(scale, 1e-4 if order == 0 else 0)
        worst[order] = float((error / scale).max())
    print(precision, {k: f"{v:.1e}" for k, v in worst.items()})
    assert max(worst.values()) < relative
