"""Several loads solved for side by side."""

from __future__ import annotations

import numpy as np
import pytest

from phasefield.backend.voxel.cpu import CpuVoxelOperators
from phasefield.errors import NotConverged
from phasefield.homogenize.mixture import Mixture
from phasefield.images import voxels
from phasefield.mechanics import tensors
from phasefield.mechanics.cell import CellProblem
from phasefield.mechanics.loads import Load, Solution
from phasefield.mechanics.options import Options


def problem(order: int, boundary: str = "periodic", **options: object) -> CellProblem:
    """A ball, stiff and anisotropic, in laminate voxels."""
    x = (np.arange(12) + 0.5) / 12 - 0.5
    r = np.sqrt(sum(a**2 for a in np.meshgrid(x, x, x[:7], indexing="ij")))
    geometry = Mixture.of(voxels.from_field(0.5 * (1 + np.tanh((0.3 - r) * 12))))
    soft = np.diag(np.arange(1.0, order + 1)) + 0.2
    stiff = 20 * (np.eye(3) if order == 3 else tensors.isotropic_stiffness(1.0, 0.5))
    table = geometry.tensors(np.array([soft, stiff]))
    settings = Options(**{"tolerance": 1e-9, **options})  # type: ignore[arg-type]
    return CellProblem(geometry.index, table, geometry.spacing, settings, geometry.cut, boundary)


def loads(cell: CellProblem) -> list[Load]:
    """Unlike ones, which converge after different numbers of iterations; one of them from a start of its own."""
    unit = [Load(row, name=f"load {i}") for i, row in enumerate(np.eye(cell.size))]
    if cell.boundary != "static":
        near = cell.solve(unit[1].mean, keep=True).fluctuation
        assert near is not None
        unit[1] = Load(unit[1].mean, start=1.001 * near)
        unit.append(Load(np.zeros(cell.size)))  # nothing to do
        unit.append(Load(stress=np.arange(len(cell.medium.stiff) * cell.size).reshape(-1, cell.size) / 7))
    return unit


@pytest.mark.parametrize(
    ("boundary", "options"),
    [
        ("periodic", {}),
        ("periodic", {"preconditioner": "green-jacobi"}),
        ("periodic", {"preconditioner": "green-schwarz"}),
        ("periodic", {"scheme": "fourier"}),
        ("periodic", {"scheme": "rotated", "precision": "single", "tolerance": 1e-5}),
        ("kinematic", {}),
        ("static", {}),
    ],
)
@pytest.mark.parametrize("order", [3, 6])
def test_side_by_side_is_one_after_another(
    order: int, boundary: str, options: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = problem(order, boundary, **options)
    some = loads(cell)
    keep = boundary != "static"

    def solved(room: int) -> list[Solution]:
        monkeypatch.setattr(type(cell.operators), "batch_bytes", room)
        return cell.solve_all(some, keep)

    alone, together, by_two = (
        solved(0),
        solved(1 << 30),
        solved(2 * 4 * cell.medium.index.size * 8 * (order // 3 * 2 - 1)),
    )
    single = options.get("precision") == "single"
    for one, *others in zip(alone, together, by_two, strict=True):
        for other in others:
            assert other.iterations == pytest.approx(one.iterations, abs=1)  # sums in other orders
            scale = max(np.abs(one.mean).max(), 1e-12)
            np.testing.assert_allclose(other.mean, one.mean, rtol=0, atol=(1e-5 if single else 1e-10) * scale)
            if keep:
                assert one.fluctuation is not None
                assert other.fluctuation is not None
                near = (1e-3 if single else 1e-7) * max(np.abs(one.fluctuation).max(), 1e-12)
                np.testing.assert_allclose(other.fluctuation, one.fluctuation, rtol=0, atol=near)
    assert len({s.iterations for s in alone}) > 2 or boundary == "static"


def test_who_did_not_converge_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CpuVoxelOperators, "batch_bytes", 1 << 30)
    cell = problem(3, max_iterations=4)
    exact = cell.solve(np.zeros(3), keep=True).fluctuation
    with pytest.raises(NotConverged, match="load y: the solver stopped after 4 iterations") as caught:
        cell.solve_all([Load(np.zeros(3), start=exact, name="load x"), Load(np.eye(3)[1], name="load y")])
    assert len(caught.value.history) == 4
