"""Equilibrium with eigenstrains, from `phasefield.mechanics` alone: exact laminates, energy and its variation, warm starts."""

from __future__ import annotations

import numpy as np
import pytest

from phasefield.errors import ConfigError
from phasefield.mechanics import ElasticBody, Options
from phasefield.mechanics.tensors import (
    PAIRS,
    cubic_stiffness,
    from_matrix,
    isotropic_stiffness,
    rotate,
    rotation_from_euler,
)

SOFT = isotropic_stiffness(100.0, 40.0)
HARD = rotate(cubic_stiffness(250.0, 120.0, 110.0), rotation_from_euler(0.4, 0.7, 0.2))
FREE = from_matrix(np.array([[0.01, 0.004, 0.002], [0.004, -0.006, 0.001], [0.002, 0.001, 0.003]]))


def laminate(axis: int, share: float, mean: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Strains of the two layers, from continuity of tractions: ``strain_k = mean + a_k sym(n)``, exact.

    The eigenstrain is in the second layer, of which there is ``share``.
    """
    n = np.eye(3)[axis]
    basis = np.array([from_matrix((np.outer(e, n) + np.outer(n, e)) / 2) for e in np.eye(3)])  # a -> sym(a x n)
    # strain_1 = mean - share A a, strain_2 = mean + (1 - share) A a; A^T (C_2 (strain_2 - free) - C_1 strain_1) = 0
    matrix = basis @ ((1 - share) * HARD + share * SOFT) @ basis.T
    a = np.linalg.solve(matrix, basis @ (HARD @ (FREE - mean) + SOFT @ mean))
    return mean - share * a @ basis, mean + (1 - share) * a @ basis


def layers(shape: tuple[int, ...], axis: int, count: int) -> np.ndarray:
    index = np.zeros(shape, np.int32)
    np.moveaxis(index, axis, 0)[:count] = 1
    return index


@pytest.mark.parametrize("scheme", ["rotated", "q1"])
@pytest.mark.parametrize(("shape", "axis"), [((8, 5), 0), ((5, 8), 1), ((8, 3, 4), 0), ((3, 8, 4), 1), ((4, 3, 8), 2)])
def test_laminates_with_an_eigenstrain_in_one_phase_are_exact(scheme: str, shape: tuple[int, ...], axis: int) -> None:
    index = layers(shape, axis, 3)
    mean = np.array([0.002, -0.001, 0.0, 0.001, 0.0, 0.003])
    body = ElasticBody(shape, (0.5,) * len(shape), Options(scheme=scheme, tolerance=1e-9))
    free = np.zeros((6, *shape))
    free[:, index == 1] = FREE[:, None]
    found = body.solve(np.array([SOFT, HARD]), free, index, mean)
    for k, (strain, stiffness) in enumerate(zip(laminate(axis, 3 / 8, mean), (SOFT, HARD), strict=True)):
        elastic = strain - k * FREE
        np.testing.assert_allclose(found.strain[:, index == k].T, np.tile(strain, (np.sum(index == k), 1)), atol=1e-10)
        np.testing.assert_allclose(found.stress[:, index == k].T - stiffness @ elastic, 0, atol=1e-8)
        np.testing.assert_allclose(found.energy[index == k], 0.5 * elastic @ stiffness @ elastic, rtol=1e-7)
    np.testing.assert_allclose(found.mean_stress, found.stress.reshape(6, -1).mean(axis=1), rtol=1e-12)


def blob(shape: tuple[int, ...]) -> np.ndarray:
    """A diffuse inclusion off the centre, 0 to 1."""
    grid = np.meshgrid(*[np.arange(n) - 0.45 * n for n in shape], indexing="ij")
    return 0.5 * (1 - np.tanh((np.sqrt(sum(g**2 for g in grid)) - 0.25 * min(shape)) / 1.5))


def test_a_stiffness_field_and_its_table_are_the_same_problem() -> None:
    shape = (12, 10)
    index = (blob(shape) > 0.5).astype(np.int32)
    free = FREE[:, None, None] * index
    body, table = ElasticBody(shape, (1.0, 1.2)), np.array([SOFT, HARD])
    one, many = body.solve(table, free, index), body.solve(np.moveaxis(table[index], (-2, -1), (0, 1)), free)
    np.testing.assert_allclose(one.stress, many.stress, atol=1e-5)


@pytest.mark.parametrize("shape", [(16, 16), (8, 8, 8)])
def test_the_energys_variation_needs_no_derivative_of_the_strain(shape: tuple[int, ...]) -> None:
    body = ElasticBody(shape, (1.0,) * len(shape), Options(scheme="rotated", tolerance=1e-8))
    mean = np.array([0.001, 0.0, 0.0, 0.0, 0.002, 0.0])
    eta, direction = blob(shape), np.random.default_rng(1).normal(size=shape)
    jump = (HARD - SOFT)[..., *[None] * len(shape)]

    def solve(eta: np.ndarray):  # type: ignore[no-untyped-def]
        stiffness = SOFT[..., *[None] * len(shape)] + eta * jump
        return body.solve(stiffness, np.multiply.outer(FREE, eta), mean_strain=mean)

    there = solve(eta)
    elastic = there.strain - np.multiply.outer(FREE, eta)
    variation = 0.5 * np.einsum("i...,ij,j...->...", elastic, HARD - SOFT, elastic)
    variation -= np.einsum("i...,i->...", there.stress, FREE)
    h = 1e-5
    difference = (solve(eta + h * direction).energy.sum() - solve(eta - h * direction).energy.sum()) / (2 * h)
    assert np.vdot(variation, direction) == pytest.approx(difference, rel=1e-5)


def test_warm_starts_are_the_callers_and_save_iterations() -> None:
    shape = (32, 32)
    body, table = ElasticBody(shape, (1.0, 1.0)), np.array([SOFT, 5 * HARD])
    eta = blob(shape)
    first = body.solve(table, np.multiply.outer(FREE, eta), (eta > 0.5).astype(np.int32))
    moved = eta + 1e-3 * np.roll(eta, 1, 0)
    index = (moved > 0.5).astype(np.int32)
    kept = first.fluctuation.copy()
    cold = body.solve(table, np.multiply.outer(FREE, moved), index)
    warm = body.solve(table, np.multiply.outer(FREE, moved), index, start=first.fluctuation)
    again = body.solve(table, np.multiply.outer(FREE, moved), index, start=first.fluctuation)
    assert warm.iterations < 0.7 * cold.iterations
    np.testing.assert_allclose(warm.stress, cold.stress, atol=2e-5 * np.abs(cold.stress).max())
    np.testing.assert_array_equal(warm.stress, again.stress)  # whatever was solved before
    np.testing.assert_array_equal(first.fluctuation, kept)


def test_a_stress_free_body_takes_the_shape_of_its_eigenstrain() -> None:
    """Uniform eigenstrain and mean strain agree: no energy, no iteration."""
    shape = (6, 4, 5)
    index = layers(shape, 0, 2)
    free = np.tile(FREE[:, None, None, None], (1, *shape))
    found = ElasticBody(shape, (1.0, 1.0, 1.0)).solve(np.array([SOFT, HARD]), free, index, FREE)
    assert np.abs(found.stress).max() < 1e-10
    assert found.energy.max() < 1e-12
    assert len(PAIRS) == len(found.mean_stress)


def test_arrays_of_other_shapes_are_refused_by_name() -> None:
    body = ElasticBody((4, 4), (1.0, 1.0))
    with pytest.raises(ConfigError, match=r"eigenstrain: has the shape \(3, 4, 4\); \(6, 4, 4\)"):
        body.solve(np.array([SOFT]), np.zeros((3, 4, 4)), np.zeros((4, 4), int))
    with pytest.raises(ConfigError, match="stiffness: has the shape"):
        body.solve(SOFT, np.zeros((6, 4, 4)))
