"""Cell problems that a GPU, or what plays one, has to solve as the CPU does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from phasefield.mechanics.cell import CellProblem
from phasefield.mechanics.options import Options

SCHEMES = ("q1", "rotated")


def tensors(kind: str, elastic: bool, entries: int = 5) -> np.ndarray:
    """Isotropic entries, all or but two of them, Mandel form for stiffness."""
    rng = np.random.default_rng(3)
    size = 6 if elastic else 3
    out = np.zeros((entries, size, size))
    for e in range(entries):
        out[e] = np.eye(size) * (0.5 + rng.random())
        if elastic:
            out[e, :3, :3] += rng.random()
    if kind != "isotropic":
        a = rng.random((2, size, size))
        out[-2:] = a @ a.transpose(0, 2, 1) + np.eye(size)
    return out


def problem(
    device: str,
    shape: tuple[int, ...],
    elastic: bool,
    kind: str = "isotropic",
    boundary: str = "periodic",
    **options: Any,
) -> CellProblem:
    """Voxels at random; the last entry is a mixture if the kind is ``cut``."""
    table = tensors(kind, elastic)
    index = np.random.default_rng(1).integers(0, len(table), shape)
    cut = np.arange(len(table)) == len(table) - 1 if kind == "cut" else None
    return CellProblem(
        index, table, (0.5, 0.7, 0.4)[: len(shape)], Options(device=device, threads=1, **options), cut, boundary
    )


def pair(*arguments: Any, **options: Any) -> tuple[CellProblem, CellProblem]:
    """The same problem on the CPU and on the GPU."""
    cpu, gpu = (problem(device, *arguments, **options) for device in ("cpu", "gpu"))
    assert type(gpu.operators).__name__.startswith("Cuda")
    return cpu, gpu


def same(a: CellProblem, b: CellProblem, tolerance: float, **arguments: Any) -> None:
    load = np.linspace(1.0, 0.3, a.size)
    keep = a.boundary != "static"
    first, second = (p.solve(load, keep=keep, **arguments) for p in (a, b))
    # Small problems end exactly, but for rounding.
    assert abs(second.iterations - first.iterations) <= 1 + first.iterations // 10
    np.testing.assert_allclose(second.mean, first.mean, rtol=0, atol=tolerance * np.abs(first.mean).max())
    assert second.energy == pytest.approx(first.energy, rel=tolerance)
    if keep:
        assert first.fluctuation is not None
        assert second.fluctuation is not None
        scale = np.abs(first.fluctuation).max()
        assert scale > 0
        np.testing.assert_allclose(second.fluctuation, first.fluctuation, rtol=0, atol=100 * tolerance * scale)
