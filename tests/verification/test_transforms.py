"""Transforms and eigenvalues of every combination of boundaries: what the solver takes for granted about a grid."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from phasefield.backend import Forward, Inverse, Layout, cells_of
from phasefield.backend.cpu import CpuBackend
from phasefield.grid import BOUNDARIES, Grid

COMBINATIONS = [c for dim in (1, 2, 3) for c in itertools.product(BOUNDARIES, repeat=dim)]


def grid_of(boundary: tuple[str, ...], odd: bool) -> Grid:
    shape = ((7, 9, 5) if odd else (8, 6, 10))[: len(boundary)]
    return Grid(shape, (3.0, 5.0, 7.0)[: len(boundary)], boundary)


def eigenfunction(boundary: str, mode: int, x: np.ndarray, length: float, shift: float) -> tuple[np.ndarray, float]:
    """An eigenfunction of the second derivative that fits the boundary, and minus its eigenvalue."""
    k = (2 if boundary == "periodic" else 1) * math.pi * mode / length
    wave = {"periodic": np.cos(k * x + shift), "no-flux": np.cos(k * x), "fixed": np.sin(k * x)}[boundary]
    return wave, k**2


@pytest.mark.parametrize("odd", [False, True], ids=["even", "odd"])
@pytest.mark.parametrize("boundary", COMBINATIONS, ids="/".join)
def test_round_trip_parseval_and_laplacian(boundary: tuple[str, ...], odd: bool) -> None:
    grid = grid_of(boundary, odd)
    layout, backend = Layout(grid), CpuBackend("double", 1)
    forward = backend.program(layout, [Forward("u", 2)])
    inverse = backend.program(layout, [Inverse("u", 2)])
    buffer = backend.buffer(layout, 2)
    cells = cells_of(layout, buffer)
    random = np.random.default_rng(1).standard_normal((2, *grid.shape))
    waves = [
        eigenfunction(b, 2, a.centers, a.length, 0.4 + d)
        for d, (b, a) in enumerate(zip(boundary, grid.axes, strict=True))
    ]
    random[1] = math.prod(w.reshape([-1 if e == d else 1 for e in range(grid.dim)]) for d, (w, _) in enumerate(waves))
    eigenvalue = sum(k2 for _, k2 in waves)

    cells[...] = random / grid.norm
    forward({"u": buffer})
    weight = layout.axis_array("weight_0", "float64")[:, None, None] * layout.axis_array("weight_1", "float64")[:, None]
    weight = np.repeat(weight * layout.axis_array("weight_2", "float64"), layout.parts, axis=-1)
    power = (weight * buffer**2).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(power, (random**2).reshape(2, -1).mean(axis=1), rtol=1e-13)

    k2 = layout.axis_array("k2_0", "float64")[:, None, None] + layout.axis_array("k2_1", "float64")[:, None]
    buffer[1] *= np.repeat(k2 + layout.axis_array("k2_2", "float64"), layout.parts, axis=-1)
    inverse({"u": buffer})
    np.testing.assert_allclose(cells[0], random[0], atol=1e-13)
    np.testing.assert_allclose(cells[1], eigenvalue * random[1], atol=1e-12 * eigenvalue)


@pytest.mark.parametrize("odd", [False, True], ids=["even", "odd"])
@pytest.mark.parametrize("boundary", COMBINATIONS, ids="/".join)
def test_coordinates_reach_the_kernels(boundary: tuple[str, ...], odd: bool) -> None:
    """A kernel adds one array per axis of the buffer to a coordinate; the sum is the coordinate of the cell."""
    grid = grid_of(boundary, odd)
    layout = Layout(grid)
    for name, expected in zip(grid.names, grid.coordinates(), strict=True):
        parts = [layout.axis_array(f"{name}_{place}", "float64") for place in range(3)]
        total = parts[0][:, None, None] + parts[1][:, None] + parts[2]
        np.testing.assert_array_equal(total.reshape(grid.shape), np.broadcast_to(expected, grid.shape))
