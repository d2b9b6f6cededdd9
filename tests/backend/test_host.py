"""Functions on the host inside of a program, on the CPU and on a GPU's stream."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Mapping
from typing import Any

import numpy as np
import pytest
import sympy as sp
from host_cuda import HAS_COMPILER, HostCuda

from phasefield.backend import Apply, Forward, Host, Inverse, Layout, Rehearsal, Solve, cells_of, traffic
from phasefield.backend.cpu import CpuBackend
from phasefield.codegen import K2, Kernel, PerMode, Phi, Reduction, array_symbol
from phasefield.grid import Grid

MAKERS = [
    lambda: CpuBackend("double", 2),
    pytest.param(HostCuda, marks=pytest.mark.skipif(not HAS_COMPILER, reason="g++ is not here")),
]
LAYOUT = Layout(Grid((64, 48), (1.0, 1.0), ("periodic",) * 2))
u, v, a = array_symbol("u", 0), array_symbol("v", 0), sp.Symbol("a", real=True)


def start(backend: Any) -> tuple[dict[str, Any], np.ndarray]:
    buffers = {name: backend.buffer(LAYOUT, 1) for name in "uv"}
    host = np.zeros(LAYOUT.buffer_shape(1))
    cells_of(LAYOUT, host)[:] = np.random.default_rng(1).normal(size=LAYOUT.grid.shape)
    backend.from_host(host, buffers["u"])
    return buffers, cells_of(LAYOUT, host)[0].copy()


@pytest.mark.parametrize("make", MAKERS, ids=["cpu", "gpu"])
def test_a_function_in_the_middle_of_a_program(make: Any) -> None:
    """Between kernels and transforms, with the step's scalars, and again with others: nothing is recorded with it."""
    backend, calls = make(), []

    def solve(arrays: Mapping[str, np.ndarray], scalars: Mapping[str, float]) -> None:
        calls.append(dict(scalars))
        cells_of(LAYOUT, arrays["v"])[:] = np.cumsum(cells_of(LAYOUT, arrays["u"]), axis=1) * scalars["a"]

    scale = Kernel("scale", "real", {"u": 1}, {"u": [a * u]}, scalars=["a"])
    smooth = Kernel("smooth", "spectral", {"v": 1}, {"v": [PerMode(Phi(0, -a * K2)) * v]}, scalars=["a"])
    total = Kernel("total", "real", {"u": 1, "v": 1}, {}, {"most": Reduction("max", v), "sum": Reduction("sum", u)})
    operations = [
        Apply(scale),
        Host(solve, ["u"], ["v"]),
        Forward("v", 1),
        Apply(smooth),
        Inverse("v", 1),
        Apply(total),
    ]
    program, (buffers, cells) = backend.program(LAYOUT, operations), start(backend)
    k = [2 * np.pi * np.fft.fftfreq(n, 1 / n) for n in LAYOUT.grid.shape]
    square = np.add.outer(k[0] ** 2, k[1] ** 2)
    for value in (0.5, 0.25, 0.25, 2e-4):
        cells = value * cells
        found = program(buffers, {"a": value})
        solved = np.fft.ifft2(np.fft.fft2(np.cumsum(cells, axis=0) * value) * np.exp(-value * square)).real
        expected = solved * LAYOUT.grid.cells
        got = cells_of(LAYOUT, backend.to_host(buffers["v"]))[0]
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12 * np.abs(expected).max())
        assert found == pytest.approx({"most": expected.max(), "sum": cells.sum()}, rel=1e-10)
    assert [c["a"] for c in calls] == [0.5, 0.25, 0.25, 2e-4]
    assert len(program.kernels) == 3
    assert traffic(LAYOUT, operations) == traffic(LAYOUT, [o for o in operations if not isinstance(o, Host)])


@pytest.mark.parametrize("make", MAKERS, ids=["cpu", "gpu"])
def test_an_iteration_goes_on_until_what_it_reduces_says_so(make: Any) -> None:
    """Within a program, with the program's scalars and its own, through modes; what it tells is told by the program."""
    backend, count = make(), itertools.count(1)
    Sums = Mapping[str, float]

    def steer(scalars: Sums) -> Generator[tuple[str, Sums], Sums, Sums]:
        most = (yield "look", {})["most"]
        number = 0
        while most > scalars["a"]:
            most, number = (yield "shrink", {"b": 0.5})["most"], number + 1
        next(count)
        return {"times": float(number)}

    b, largest = sp.Symbol("b", real=True), {"most": Reduction("max", u)}
    shrink = Kernel("shrink", "spectral", {"u": 1}, {"u": [b * u / LAYOUT.grid.cells]}, scalars=["b"])
    look = Apply(Kernel("look", "real", {"u": 1}, {}, largest))
    iteration = Solve(
        steer, {"look": [look], "shrink": [Forward("u", 1), Apply(shrink), Inverse("u", 1), look]}, ("times",)
    )
    after = Kernel("after", "real", {"u": 1}, {"u": [a * u]}, {"sum": Reduction("sum", u)}, scalars=["a"])
    program, (buffers, cells) = backend.program(LAYOUT, [iteration, Apply(after)]), start(backend)
    for limit, times in ((cells.max() / 5, 3.0), (cells.max(), 0.0)):
        found = program(buffers, {"a": limit})
        cells = cells * 0.5**times
        assert found == pytest.approx({"times": times, "sum": cells.sum()}, rel=1e-10)
        cells = limit * cells
        got = cells_of(LAYOUT, backend.to_host(buffers["u"]))[0]
        np.testing.assert_allclose(got, cells, rtol=0, atol=1e-13 * np.abs(cells).max())
    assert next(count) == 3
    assert len(program.kernels) == 4  # ``look`` is in both parts
    assert Rehearsal(backend).program(LAYOUT, [iteration])({}) == {"most": 0.0, "times": 0.0}


@pytest.mark.parametrize("make", MAKERS, ids=["cpu", "gpu"])
def test_first_last_and_alone(make: Any) -> None:
    backend, order = make(), itertools.count()

    def double(arrays: Mapping[str, np.ndarray], scalars: Mapping[str, float]) -> None:
        arrays["u"][...] *= 2
        next(order)

    both, (buffers, cells) = Host(double, ["u"], ["u"]), start(backend)
    kernel = Kernel("sums", "real", {"u": 1}, {"u": [u + 1]}, {"sum": Reduction("sum", u)})
    assert backend.program(LAYOUT, [both])(buffers) == {}
    found = backend.program(LAYOUT, [both, Apply(kernel), both])(buffers)
    np.testing.assert_allclose(cells_of(LAYOUT, backend.to_host(buffers["u"]))[0], 2 * (4 * cells + 1), rtol=1e-15)
    assert found["sum"] == pytest.approx((4 * cells).sum(), rel=1e-10)
    assert next(order) == 3


@pytest.mark.parametrize("make", MAKERS, ids=["cpu", "gpu"])
def test_what_is_only_read_cannot_be_written(make: Any) -> None:
    backend = make()

    def wrong(arrays: Mapping[str, np.ndarray], scalars: Mapping[str, float]) -> None:
        arrays["u"][...] = 0

    buffers, _ = start(backend)
    with pytest.raises(ValueError, match="read-only"):
        backend.program(LAYOUT, [Host(wrong, ["u"], ["v"])])(buffers)


@pytest.mark.parametrize("make", MAKERS, ids=["cpu", "gpu"])
def test_its_copies_are_counted_and_it_is_not_called_in_a_rehearsal(make: Any) -> None:
    def never(arrays: Mapping[str, np.ndarray], scalars: Mapping[str, float]) -> None:
        raise AssertionError("called")

    ghost = Rehearsal(make())
    program = ghost.program(LAYOUT, [Host(never, ["u"], ["v", "u"])])
    buffers = {name: ghost.buffer(LAYOUT, 1) for name in "uv"}
    size = 8 * int(np.prod(LAYOUT.buffer_shape(1)))
    assert program(buffers) == {}
    assert (ghost.device, ghost.host) == (2 * size, 0 if ghost.on_host else 2 * size)
