"""Derivatives along an axis are exact for every mode of every combination of boundaries, on the CPU and in the GPU's text."""

from __future__ import annotations

import itertools
import math
from functools import reduce
from typing import Any

import numpy as np
import pytest
import sympy as sp
from host_cuda import HAS_COMPILER, HostCuda

from phasefield.backend import Apply, Forward, Inverse, Layout, cells_of
from phasefield.backend.cpu import CpuBackend
from phasefield.codegen import K2, K2_ALONG, K_ALONG, Derivative, Kernel, PerMode, Phi, Reduction, array_symbol
from phasefield.grid import BOUNDARIES, UNLIKE, Axis, Grid

COMBINATIONS = [
    *(c for dim in (1, 2, 3) for c in itertools.product(BOUNDARIES, repeat=dim)),
    *((b,) for b in UNLIKE),
    ("fixed-no-flux", "no-flux"),
    ("periodic", "no-flux-fixed"),
    ("no-flux-fixed", "fixed", "fixed-no-flux"),
]
SIZES = {"even": (8, 6, 10), "odd": (7, 9, 5)}
NORM = sp.Symbol("norm", real=True)


def series(axis: Axis, rng: np.random.Generator, highest: bool) -> list[np.ndarray]:
    """A sum of all functions that an axis resolves, and its first and second derivative, at the centres of the cells.

    Args:
        highest: whether with the highest mode, whose derivative vanishes at the centres of the cells.
    """
    x, out = axis.centers, [np.zeros(axis.n) for _ in range(3)]
    if axis.boundary in UNLIKE:  # quarter waves, of which all are resolved
        for mode in np.arange(axis.n) + 0.5:
            k, a = math.pi * mode / axis.length, rng.uniform(0.5, 1.5) / (1 + mode)
            s, c = np.sin(k * x), np.cos(k * x)
            values = (s, k * c, -(k**2) * s) if axis.boundary == "fixed-no-flux" else (c, -k * s, -(k**2) * c)
            out = [o + a * v for o, v in zip(out, values, strict=True)]
        return out
    top = {"periodic": axis.n // 2 if highest or axis.n % 2 else axis.n // 2 - 1, "no-flux": axis.n - 1}
    for mode in range(top.get(axis.boundary, axis.n if highest else axis.n - 1) + 1):
        k = (2 if axis.boundary == "periodic" else 1) * math.pi * mode / axis.length
        kinds = {"periodic": ("cos", "sin"), "no-flux": ("cos",), "fixed": ("sin",)}[axis.boundary]
        if axis.boundary == "periodic" and 2 * mode == axis.n:
            kinds = ("sin",)  # the cosine vanishes at the centres of the cells, its derivative does not
        for kind in kinds:
            a, c, s = rng.uniform(0.5, 1.5) / (1 + mode), np.cos(k * x), np.sin(k * x)
            first = -k * s if kind == "cos" else k * c
            for order, values in enumerate([c if kind == "cos" else s, first, -(k**2) * (c if kind == "cos" else s)]):
                out[order] += a * values
    return out


def fields(grid: Grid, highest: bool) -> dict[tuple[int, ...], np.ndarray]:
    """A product of series along the axes and its derivatives, by their orders along them."""
    rng = np.random.default_rng(3)
    along = [series(axis, rng, highest) for axis in grid.axes]
    orders = itertools.product(range(3), repeat=grid.dim)
    return {order: reduce(np.multiply.outer, (s[o] for s, o in zip(along, order, strict=True))) for order in orders}


def check(backend: Any, grid: Grid) -> None:
    """All first, all second and a mixed derivative of two fields, one with the highest modes and one without."""
    layout, dim = Layout(grid), grid.dim
    u, g = ([array_symbol(name, c) for c in range(2)] for name in ("u", "g0"))
    first = Kernel(
        "gradient", "spectral", {"u": 2, **{f"g{d}": 2 for d in range(dim)}},
        {f"g{d}": [NORM * Derivative(a, d) for a in u] for d in range(dim)}, scalars=["norm"],
    )  # fmt: skip
    outputs = {f"h{d}": [Derivative(array_symbol(f"g{d}", c), d, 1) for c in range(2)] for d in range(dim)}
    if dim > 1:
        outputs["mixed"] = [Derivative(a, 1) for a in g]
    arrays = {**{f"g{d}": 2 for d in range(dim)}, **dict.fromkeys(outputs, 2)}
    second = Kernel("second", "spectral", arrays, outputs)
    operations = [Forward("u", 2), Apply(first), Apply(second)]
    operations += [Inverse(f"g{d}", 2, flips=(d,)) for d in range(dim)] + [Inverse(f"h{d}", 2) for d in range(dim)]
    operations += [Inverse("mixed", 2, flips=(0, 1))] if dim > 1 else []
    whole, resolved = fields(grid, True), fields(grid, False)
    buffers = {name: backend.buffer(layout, 2) for name in {**first.arrays, **second.arrays}}
    start = backend.to_host(buffers["u"])
    cells_of(layout, start)[:] = np.stack([whole[(0,) * dim], resolved[(0,) * dim]])
    backend.from_host(start, buffers["u"])
    backend.program(layout, operations)(buffers, {"norm": 1 / grid.norm})

    def close(name: str, component: int, expected: np.ndarray) -> None:
        found = cells_of(layout, backend.to_host(buffers[name]))[component]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * max(1.0, np.abs(expected).max()), err_msg=name)

    for d in range(dim):
        once = tuple(int(e == d) for e in range(dim))
        close(f"g{d}", 0, whole[once])
        close(f"g{d}", 1, resolved[once])
        close(f"h{d}", 1, resolved[tuple(2 * o for o in once)])
    if dim > 1:
        both = tuple(int(e < 2) for e in range(dim))
        close("mixed", 0, whole[both])
        close("mixed", 1, resolved[both])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("boundary", COMBINATIONS, ids="/".join)
def test_derivatives_on_the_cpu(boundary: tuple[str, ...], size: str) -> None:
    dim = len(boundary)
    check(CpuBackend("double", 2), Grid(SIZES[size][:dim], (3.0, 5.0, 7.0)[:dim], boundary))


@pytest.mark.skipif(not HAS_COMPILER, reason="g++ is not here")
@pytest.mark.parametrize(
    ("boundary", "size"),
    [
        (("periodic",), "odd"),
        (("no-flux",), "even"),
        (("fixed",), "odd"),
        (("periodic", "periodic"), "even"),
        (("periodic", "fixed"), "odd"),
        (("periodic", "periodic", "periodic"), "odd"),
        (("no-flux", "fixed", "periodic"), "even"),
        (("fixed-no-flux", "no-flux-fixed"), "odd"),
    ],
    ids=str,
)
def test_derivatives_in_the_text_for_gpus(boundary: tuple[str, ...], size: str) -> None:
    dim = len(boundary)
    check(HostCuda(), Grid(SIZES[size][:dim], (3.0, 5.0, 7.0)[:dim], boundary))


def wavenumbers(grid: Grid) -> list[np.ndarray]:
    """Signed wavenumbers of a periodic grid, to be broadcast over its modes."""
    out = []
    for d, (n, length) in enumerate(zip(grid.shape, grid.lengths, strict=True)):
        cycles = (np.fft.rfftfreq if d == grid.dim - 1 else np.fft.fftfreq)(n, 1 / n)
        cycles[2 * np.abs(cycles) == n] = 0
        out.append((2 * np.pi / length * cycles).reshape([-1 if e == d else 1 for e in range(grid.dim)]))
    return out


@pytest.mark.parametrize("shape", [(8, 6), (7, 8, 6)])
@pytest.mark.parametrize(("odd", "tabulated"), [(True, False), (False, True)], ids=["odd", "even"])
def test_a_kernel_that_is_not_even_has_no_table_of_mirrored_modes(
    shape: tuple[int, ...], odd: bool, tabulated: bool
) -> None:
    """exp of an odd function of k differs from mode to mirrored mode; of an even one it does not and may be tabulated."""
    grid = Grid(shape, (3.0, 5.0, 7.0)[: len(shape)], ("periodic",) * len(shape))
    layout, backend = Layout(grid), CpuBackend("double", 1)
    (kx, ky, _), (_, k2y, k2z) = K_ALONG, K2_ALONG
    z = -(K2 + k2y + k2z + kx**2 * ky**2 + (kx * ky if odd else 0)) / 50
    kernel = Kernel("tilted", "spectral", {"u": 1}, {"u": [PerMode(Phi(1, z)) * array_symbol("u", 0)]})
    program, buffer = backend.program(layout, [Apply(kernel)]), backend.buffer(layout, 1)
    rng = np.random.default_rng(1)
    buffer[...] = rng.normal(size=buffer.shape)
    before = buffer.view(complex)[0].reshape(grid.spectral_shape).copy()
    assert (program.kernels[0].tabulate is not None) == tabulated
    program({"u": buffer})
    k = wavenumbers(grid)
    squares = [axis.k2.reshape([-1 if e == d else 1 for e in range(grid.dim)]) for d, axis in enumerate(grid.axes)]
    x = -(sum(squares) + sum(squares[1:]) + k[0] ** 2 * k[1] ** 2 + (k[0] * k[1] if odd else 0)) / 50
    with np.errstate(invalid="ignore"):
        phi = np.where(x == 0, 1.0, np.expm1(x) / x)
    np.testing.assert_allclose(buffer.view(complex)[0].reshape(before.shape), phi * before, rtol=1e-12)


def test_directions_are_refused_where_they_have_no_meaning() -> None:
    mixed = Layout(Grid((8, 8), (1.0, 1.0), ("periodic", "no-flux")))
    u = array_symbol("u", 0)
    signed = Kernel("signed", "spectral", {"u": 1}, {"u": [K_ALONG[0] * u]})
    with pytest.raises(ValueError, match="k_x where not all axes are periodic"):
        CpuBackend("double", 1).program(mixed, [Apply(signed)])
    with pytest.raises(ValueError, match="partner"):
        Kernel("in_place", "spectral", {"u": 1}, {"u": [Derivative(u, 0)]})
    with pytest.raises(ValueError, match="partner"):
        Kernel("cells", "real", {"u": 1, "v": 1}, {"v": [Derivative(u, 0)]})
    with pytest.raises(ValueError, match="axes"):
        CpuBackend("double", 1).program(mixed, [Inverse("u", 1, flips=(2,))])


def test_an_axis_that_the_grid_has_not_gives_nothing() -> None:
    layout, backend = Layout(Grid((8,), (1.0,), ("no-flux",))), CpuBackend("double", 1)
    u, v = array_symbol("u", 0), array_symbol("v", 0)
    beyond = Derivative(u, 1) + (K2_ALONG[1] + K2_ALONG[2]) * u + K2 * u - K2_ALONG[0] * u
    kernel = Kernel("none", "spectral", {"u": 1, "v": 1}, {"v": [beyond]}, {"power": Reduction("sum", (v + u) ** 2)})
    buffers = {name: backend.buffer(layout, 1) for name in "uv"}
    buffers["u"][...] = buffers["v"][...] = 1.0
    found = backend.program(layout, [Apply(kernel)])(buffers)
    assert np.all(buffers["v"] == 0)
    assert found["power"] == 8 * 4.0
