"""Functions of one coordinate are worked out along their axis: the same numbers, for a few evaluations."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

from phasefield.backend import Apply, Layout
from phasefield.backend.cpu import CpuBackend
from phasefield.codegen import Kernel, PerMode, Reduction, array_symbol, profiled
from phasefield.grid import Grid

X, Y, Z, T = sp.symbols("x y z t", real=True)
U = array_symbol("u", 0)


@pytest.mark.parametrize(
    "shape", [pytest.param((9,), marks=pytest.mark.slow), pytest.param((8, 6), marks=pytest.mark.slow), (5, 4, 7)]
)
def test_profiles_along_every_axis_follow_the_time(shape: tuple[int, ...]) -> None:
    coordinates = (X, Y, Z)[: len(shape)]
    law = U * sum(sp.cos(x - T) * (1 + d * U) for d, x in enumerate(coordinates)) + sp.exp(-coordinates[-1]) * U**2
    layout = Layout(Grid(shape, tuple(0.1 * n for n in shape), ("no-flux",) * len(shape)))
    kernel = Kernel("profiles", "real", {"u": 1}, {"u": [law]}, {"sum": Reduction("sum", sp.sin(X) * U)}, ["t"])
    backend = CpuBackend("double", 2)
    program = backend.program(layout, [Apply(kernel)])
    places = [
        axis.centers.reshape([-1 if d == n else 1 for n in range(len(shape))])
        for d, axis in enumerate(layout.grid.axes)
    ]
    for t in (0.0, 0.7):
        buffer = backend.buffer(layout, 1)
        values = np.random.default_rng(3).standard_normal(shape)
        buffer[0, : layout.cells[0], : layout.cells[1], : layout.cells[2]] = values.reshape(layout.cells)
        found = program({"u": buffer}, {"t": t})
        exact = (
            values * sum(np.cos(x - t) * (1 + d * values) for d, x in enumerate(places))
            + np.exp(-places[-1]) * values**2
        )
        measured = buffer[0, : layout.cells[0], : layout.cells[1], : layout.cells[2]].reshape(shape)
        np.testing.assert_allclose(measured, exact, rtol=1e-13, atol=1e-14)
        assert found["sum"] == pytest.approx((np.sin(places[0]) * values).sum(), rel=1e-12)


def test_parts_of_sums_and_products_are_along_one_axis_each() -> None:
    """What is cheap, or needs an array or two coordinates, stays in the loop over cells."""
    law = (
        T * X**2 * sp.cos(X) * sp.tanh(Y) * U
        + sp.sin(X * Y)
        + sp.sin(X * U)
        + X**2
        + sp.Piecewise((1, X < T), (0, True))
    )
    kernel = profiled(Kernel("outlined", "real", {"u": 1}, {"u": [law]}, {}, ["t"]))
    calls = {call.args[0] for e in kernel.results for call in e.atoms(PerMode)}
    assert calls == {T * X**2 * sp.cos(X), sp.tanh(Y)}
    assert [e.replace(PerMode, lambda c: c) for e in kernel.results] == [law]
