"""Solids that voids cut: exact zeros where nothing is carried, no false alarms, no failed solves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from phasefield.errors import NotConverged
from phasefield.homogenize import CellProblem, Image, Options, Result, Settings, build, homogenize
from phasefield.mechanics import tensors
from phasefield.mechanics.connectivity import carried, windings

N = 16


def island(dim: int = 2) -> np.ndarray:
    out = np.zeros((N,) * dim, int)
    out[(slice(5, 11),) * dim] = 1
    return out


def layers(axis: int, dim: int = 2) -> np.ndarray:
    out = np.ones((N,) * dim, int)
    np.moveaxis(out, axis, 0)[5:11] = 0
    return out


def solved(labels: np.ndarray, name: str, value: Any = 5.0, **settings: Any) -> Result:
    axes = labels.ndim
    image = Image("labels", labels.astype(np.int32), (1.0,) * axes, ("periodic",) * axes, names=("0", "1"))
    constants = {"E": 70, "nu": 0.3} if name == "stiffness" else value
    system = build({"phases": {"pore": "void", "solid": {name: constants}}})
    return homogenize(image, system, Settings(properties=(name,), **settings))[0]


def sound(result: Result) -> None:
    block = np.ix_(result.components, result.components)
    values = np.linalg.eigvalsh(result.tensor[block])
    assert values[0] >= -1e-14 * max(values[-1], 1.0)
    assert result.hill < 1e-6
    assert result.evidence["asymmetry"] < 1e-6
    assert not [w for w in result.warnings if "violated" in w or "definite" in w]


@pytest.mark.parametrize(
    ("solid", "expected"),
    [
        (island(), {frozenset({(0, 0, 1)})}),
        (island(3), set()),
        (layers(0), {frozenset({(0, 1, 0), (0, 0, 1)})}),
        (np.eye(6), {frozenset({(1, 1, 0), (0, 0, 1)})}),
        (np.eye(6)[::-1], {frozenset({(-1, 1, 0), (0, 0, 1)})}),
        (np.add.outer(np.arange(8) // 4, np.arange(8) // 4) % 2, {frozenset({(1, 0, 0), (0, 1, 0), (0, 0, 1)})}),
    ],
)
def test_how_pieces_wind_around_the_cell(solid: np.ndarray, expected: Any) -> None:
    assert windings(solid.reshape(solid.shape + (1,) * (3 - solid.ndim)) > 0) == expected


def test_a_rod_that_comes_back_after_several_turns() -> None:
    oblique = np.zeros((4, 12), bool)
    oblique[np.arange(12) % 4, np.arange(12)] = True
    assert windings(oblique[..., None]) == {frozenset({(3, 1, 0), (0, 0, 1)})}
    along = carried(oblique, (1.0, 1.0), 3)
    np.testing.assert_allclose(along, [[0.5, 0.5, 0], [0.5, 0.5, 0], [0, 0, 1]], atol=1e-12)


@pytest.mark.parametrize("thickness", [1e-12, 1.0, 1e12])
def test_the_shape_of_the_cell_does_not_decide_what_connects(thickness: float) -> None:
    walls = layers(0, 3) > 0
    np.testing.assert_array_equal(carried(walls, (1.0, thickness, 1.0), 3), np.diag([0, 1, 1]))
    kept = carried(walls, (1.0, thickness, 1.0), 6)
    np.testing.assert_allclose(kept, np.diag([0, 1, 1, 1, 0, 0]), atol=1e-12)


@pytest.mark.parametrize("value", [5, 9, 1e-7, {"xx": 5, "yy": 3, "zz": 2, "xy": 1}])
def test_conductors_that_do_not_connect(value: Any) -> None:
    for labels, zero in (
        (island(), [0, 1]),
        (layers(0), [0]),
        (layers(1), [1]),
        (island(3), [0, 1, 2]),
        (layers(2, 3), [2]),
    ):
        result = solved(labels, "conductivity", value)
        sound(result)
        assert not result.tensor[zero].any()
        assert not result.tensor[:, zero].any()
        kept = [k for k in range(3) if k not in zero]
        assert (np.diag(result.tensor)[kept] > 0).all()
        assert f"not connected along {', '.join('xyz'[k] for k in zero)}" in " ".join(result.warnings)
    fraction = labels.mean()
    if not isinstance(value, dict):
        assert result.tensor[0, 0] == pytest.approx(fraction * value, rel=1e-12)


@pytest.mark.parametrize(("labels", "axis"), [(layers(0), 0), (layers(1), 1), (layers(0, 3), 0), (layers(2, 3), 2)])
def test_solid_layers_carry_plane_stress(labels: np.ndarray, axis: int) -> None:
    """Between void layers each solid layer is a free sheet: E/(1 - nu^2) in its plane, nothing across it."""
    result = solved(labels, "stiffness")
    sound(result)
    turn = np.roll(np.eye(3), axis - 2, axis=0)
    sheet = tensors.isotropic_stiffness(*tensors.bulk_and_shear({"E": 70.0, "nu": 0.3}))
    expected = tensors.rotate(tensors.embed_plane(tensors.plane_stress(sheet)), turn) * labels.mean()
    np.testing.assert_allclose(result.tensor, expected, rtol=1e-9, atol=1e-9)
    free = [k for k in range(6) if not expected[k].any()]
    assert not result.tensor[free].any()
    assert f"carries no {', '.join(tensors.NAMES[k] for k in free)}" in " ".join(result.warnings)


def test_sheets_and_islands() -> None:
    sheet = solved(layers(0), "stiffness", plane="stress")
    sound(sheet)
    np.testing.assert_allclose(sheet.tensor, np.diag([0, 70 * 10 / 16, 0, 0, 0, 0]), rtol=1e-9, atol=1e-12)
    assert not solved(island(), "stiffness", plane="stress").tensor.any()
    for labels, expected in ((island(), 70 * 36 / 256), (island(3), 0.0)):
        result = solved(labels, "stiffness")
        sound(result)
        np.testing.assert_allclose(result.tensor, np.diag([0, 0, expected, 0, 0, 0]), rtol=1e-9)


def test_nothing_but_void() -> None:
    for name in ("stiffness", "conductivity"):
        result = solved(np.zeros((8, 8), int), name)
        sound(result)
        assert not result.tensor.any()


@pytest.mark.parametrize("scheme", ["q1", "rotated"])
def test_bridges_corners_and_diagonals(scheme: str) -> None:
    bridge = island()
    bridge[8] = 1
    cross = bridge | bridge.T
    checkerboard = np.add.outer(np.arange(N) // 8, np.arange(N) // 8) % 2
    for labels in (bridge, cross, checkerboard, np.eye(N, dtype=int)):
        for name in ("stiffness", "conductivity"):
            sound(solved(labels, name, solver=Options(scheme=scheme)))
    one = solved(bridge, "conductivity").tensor
    assert one[0, 0] == 0
    assert one[1, 1] > 0
    assert solved(cross, "conductivity").tensor[0, 0] > 0
    diagonal = solved(np.eye(N, dtype=int), "conductivity")
    np.testing.assert_allclose(diagonal.tensor[:2, :2], np.full((2, 2), 5 / N / 2), rtol=1e-9)
    assert "singular for one combination" in " ".join(diagonal.warnings)


def test_a_mechanism_carries_nothing() -> None:
    """One Gauss point leaves hinges of single voxels free: a frame of such bars does not resist shear."""
    cross = island()
    cross[8] = cross[:, 8] = 1
    result = solved(cross, "stiffness", solver=Options(scheme="rotated"), two_grid=False)
    sound(result)
    assert not result.tensor[5].any()
    assert "moves freely under xy" in " ".join(result.warnings)
    assert solved(cross, "stiffness", two_grid=False).tensor[5, 5] > 1e-4


def test_slender_bridges_keep_their_accuracy() -> None:
    """A frame of single rows of voxels, soft in bending: what little it carries is not taken for nothing."""
    frame = np.zeros((64, 64), int)
    frame[20] = frame[:, 20] = 1
    loose, tight = (solved(frame, "stiffness", solver=Options(tolerance=t), two_grid=False) for t in (1e-6, 1e-9))
    sound(loose)
    assert 0 < tight.tensor[5, 5] < 1e-3 * tight.tensor[0, 0]
    assert loose.tensor[5, 5] == pytest.approx(tight.tensor[5, 5], rel=1e-5)


def test_local_fields_where_nothing_is_carried() -> None:
    """A loose piece of solid neither strains nor has stress."""
    result = solved(island(), "conductivity", fields=True, two_grid=False)
    assert np.abs(result.fields["temperature_gradient"][:2, :, 6:10, 6:10]).max() < 1e-6
    assert not result.tensor[:2].any()


def test_single_precision_and_other_boundaries() -> None:
    single = Options(precision="single", tolerance=1e-4)
    result = solved(layers(0), "stiffness", solver=single, two_grid=False)
    double = solved(layers(0), "stiffness", two_grid=False)
    np.testing.assert_allclose(result.tensor, double.tensor, rtol=1e-5, atol=1e-4)
    loose = solved(island(), "stiffness", boundary="kinematic", two_grid=False)
    sound(loose)
    np.testing.assert_allclose(loose.tensor, np.diag([0, 0, 70 * 36 / 256, 0, 0, 0]), rtol=1e-9)


def test_tractions_on_voids_are_refused() -> None:
    """A hole inside the cell is none in its faces."""
    for name in ("stiffness", "conductivity"):
        for labels in (island(), layers(0), island(3)):
            with pytest.raises(NotConverged, match=r"puts tractions .* voids lie there"):
                solved(labels, name, boundary="all", two_grid=False)
        result = solved(1 - island(), name, boundary="all", two_grid=False)
        sound(result)
        assert result.boundary["static"][0, 0] > 0


def test_soft_phases_are_no_voids() -> None:
    """Of any finite contrast the answer keeps its relative accuracy: a laminate's harmonic mean at 1e-10."""
    table = np.array([1e-10 * np.eye(3), np.eye(3)])
    solution = CellProblem(layers(0), table, (1, 1)).solve(np.eye(3)[0])
    assert solution.mean[0] == pytest.approx(1 / (6 / 16 * 1e10 + 10 / 16), rel=1e-5)
