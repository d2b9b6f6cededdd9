"""The nonlinear cell problem: an exact laminate, the effective potential, its tangent, what is refused."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from scipy.optimize import brentq

from phasefield.errors import ConfigError, ExpressionError, NotConverged
from phasefield.mechanics import Options
from phasefield.mechanics.nonlinear import NonlinearCell
from phasefield.mechanics.potentials import Expression, Potential, Quadratic
from phasefield.mechanics.tensors import isotropic_stiffness, rotate, rotation_from_euler

TIGHT = Options(scheme="rotated", threads=1, device="cpu", tolerance=1e-11)
CONDUCTOR = Expression("k*g2/2 + b*g2**2/4", False, {"k": 1.0, "b": 3.0})
SOLID = Expression("K*tr**2/2 + G*d2 + b*d2**2", True, {"K": 1.0, "G": 0.5, "b": 30.0})
STIFF = rotate(isotropic_stiffness(8.0, 3.0) + np.diag([4.0, 0, 0, 0, 0, 2.0]), rotation_from_euler(0.4, 0.0, 0.0))


def disk(n: int = 24) -> np.ndarray:
    x = (np.arange(n) + 0.5) / n - 0.5
    return (np.hypot(x[:, None] - 0.1, 1.4 * x) < 0.3).astype(np.int32)


def elastic() -> tuple[NonlinearCell, np.ndarray]:
    return NonlinearCell(disk(), [SOLID, Quadratic(STIFF)], options=TIGHT), np.array([0.1, -0.05, 0, 0, 0, 0.12])


def scalar() -> tuple[NonlinearCell, np.ndarray]:
    return NonlinearCell(disk(), [CONDUCTOR, Quadratic(10 * np.eye(3))], options=TIGHT), np.array([1.0, 0.4, 0])


@pytest.mark.parametrize("scheme", ["rotated", "fourier"])
def test_layers_conduct_as_one_equation_says(scheme: str) -> None:
    """Across layers the flux is one number q, and the mean gradient the sum of what each needs for it; exact."""
    index = np.zeros((16, 4), np.int32)
    index[:4] = 1
    options = Options(scheme=scheme, threads=1, device="cpu", tolerance=1e-11)
    cell = NonlinearCell(index, [CONDUCTOR, Quadratic(10 * np.eye(3))], options=options)
    mean = np.array([2.0, 0.0, 0.0])

    def soft(q: float) -> float:
        return brentq(lambda g: g + 3 * g**3 - q, 0, q)

    q = brentq(lambda q: 0.75 * soft(q) + 0.25 * q / 10 - mean[0], 1e-3, 1e3, xtol=1e-13)
    assert cell.solve(mean).stress[0] == pytest.approx(q, rel=1e-9 if scheme == "rotated" else 5e-2)


@pytest.mark.parametrize("make", [scalar, elastic])
def test_tangent_and_stress_are_derivatives_of_the_effective_potential(make) -> None:
    cell, mean = make()
    state = cell.solve(mean)
    directions = (0, 1, 5) if cell.size == 6 else (0, 1)
    tangent = cell.tangent(state, directions)
    h = 1e-3 * np.abs(mean).max()

    def at(i: int, factor: int):
        return cell.solve(mean + factor * h * np.eye(cell.size)[i], state.fluctuation)

    for column, i in enumerate(directions):
        near, far = [at(i, 1), at(i, -1)], [at(i, 2), at(i, -2)]
        slope = (8 * (near[0].stress - near[1].stress) - (far[0].stress - far[1].stress)) / (12 * h)
        np.testing.assert_allclose(tangent.matrix[:, column], slope, atol=1e-9 * np.abs(tangent.matrix).max())
        force = (8 * (near[0].energy - near[1].energy) - (far[0].energy - far[1].energy)) / (12 * h)
        assert force == pytest.approx(state.stress[i], abs=1e-9 * np.abs(state.stress).max())
    inner = tangent.matrix[list(directions)]
    np.testing.assert_allclose(inner, inner.T, atol=1e-10 * np.abs(inner).max())
    assert max(state.hill, tangent.hill) < 1e-10
    assert len(state.steps) > 3  # each about the square of the one before
    assert all(b < 20 * a**2 for a, b in zip(state.steps[1:], state.steps[2:], strict=False))


def test_a_linear_cell_is_solved_in_one_step_and_a_warm_start_in_none() -> None:
    cell = NonlinearCell(
        disk(), [Expression("K*tr**2/2 + G*d2", True, {"K": 1.0, "G": 0.5}), Quadratic(STIFF)], options=TIGHT
    )
    mean = np.array([0.1, -0.05, 0, 0, 0, 0.12])
    state = cell.solve(mean)
    np.testing.assert_allclose(cell.tangent(state).matrix @ mean, state.stress, rtol=0, atol=1e-9)
    assert state.energy == pytest.approx(0.5 * state.stress @ mean, rel=1e-12)
    again = pickle.loads(pickle.dumps(cell)).solve(mean, state.fluctuation)
    assert len(again.steps) == 1
    assert again.steps[0] < 1e-11


def test_the_scaling_of_names_is_that_of_tensors() -> None:
    strain = np.array([[0.1, -0.05, 0.02, 0.03, 0.04, 0.12], [0.0, 0.0, 0.0, 0.0, 0.0, 0.0]])
    hooke: Potential = Expression("K*tr**2/2 + G*d2", True, {"K": 2.0, "G": 0.7})
    plain: Potential = Expression("exx**2/2 + 3*exy**2 + e2", True)
    same = Quadratic(isotropic_stiffness(2.0, 0.7))
    for name in ("energy", "flux", "tangent"):
        np.testing.assert_allclose(getattr(hooke, name)(strain), getattr(same, name)(strain), atol=1e-14)
    np.testing.assert_allclose(plain.tangent(strain)[0], np.diag([3, 2, 2, 2, 2, 5.0]), atol=1e-14)


def test_what_is_refused() -> None:
    with pytest.raises(NotConverged, match=r"phase 0 is not convex"):
        NonlinearCell(disk(), [Expression("g2**2/4 - g2/2", False), CONDUCTOR]).solve(np.array([0.1, 0, 0]))
    with pytest.raises(ConfigError, match="not finite at the gradient"):
        NonlinearCell(disk(), [Expression("g2**0.6", False), CONDUCTOR]).solve(np.zeros(3))
    with pytest.raises(ExpressionError, match="strain"):
        Expression("strain**2", True)
    with pytest.raises(ConfigError, match="needs one Gauss point"):
        NonlinearCell(disk(), [CONDUCTOR, CONDUCTOR], options=Options())
    with pytest.raises(ConfigError, match="strains and of gradients"):
        NonlinearCell(disk(), [CONDUCTOR, SOLID])
    with pytest.raises(ConfigError, match="phases 0 to 1, 1 have"):
        NonlinearCell(disk(), [CONDUCTOR])
    with pytest.raises(ConfigError, match="3 finite numbers are expected"):
        scalar()[0].solve(np.array([np.nan, 0, 0]))
    with pytest.raises(ConfigError, match="start: has the shape"):
        scalar()[0].solve(np.ones(3), np.zeros((1, 3, 1, 3)))


def test_voids_carry_nothing() -> None:
    """A layer of voids: nothing across it; along it the share of the solid, exactly."""
    index = np.zeros((8, 8), np.int32)
    index[:3] = 1
    cell = NonlinearCell(index, [CONDUCTOR, Quadratic(np.zeros((3, 3)))], options=TIGHT)
    mean = np.array([1.0, 0.4, 0.0])
    state = cell.solve(mean)
    along = 5 / 8 * (0.4 + 3 * 0.4**3)
    np.testing.assert_allclose(state.stress, [0, along, 0], atol=1e-9)
    expected = np.diag([0, 5 / 8 * (1 + 9 * 0.4**2)])
    np.testing.assert_allclose(cell.tangent(state, (0, 1)).matrix[:2], expected, atol=1e-8)
