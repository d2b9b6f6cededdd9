"""Mandel notation, constructors, projections."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from phasefield.errors import ConfigError
from phasefield.mechanics import tensors
from phasefield.mechanics.tensors import ISOTROPIC, bulk_and_shear, isotropic_stiffness


def test_any_two_isotropic_constants() -> None:
    k, g = 70.0, 26.0
    e = 9 * k * g / (3 * k + g)
    values = {"K": k, "G": g, "E": e, "nu": e / (2 * g) - 1, "lambda": k - 2 * g / 3, "M": k + 4 * g / 3}
    for pair in itertools.combinations(ISOTROPIC, 2):
        if set(pair) == {"nu"}:
            continue
        found = bulk_and_shear({n: values[n] for n in pair})
        assert found == pytest.approx((k, g), rel=1e-12), pair


@pytest.mark.parametrize(
    "constants",
    [{"E": 1.0}, {"E": 1.0, "G": 1.0, "nu": 0.3}, {"E": 1.0, "nu": 0.6}, {"E": -1.0, "nu": 0.3}, {"E": 1.0, "x": 2.0}],
)
def test_constants_that_make_no_material(constants: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="stiffness"):
        bulk_and_shear(constants)


def test_rotation_agrees_with_index_notation() -> None:
    turn = tensors.random_rotations(1, 2)[0]
    c = tensors.orthotropic_stiffness(10, 11, 12, 3, 4, 5, 6, 7, 8)
    full = np.zeros((3, 3, 3, 3))
    for a, (i, j) in enumerate(tensors.PAIRS):
        for b, (k, m) in enumerate(tensors.PAIRS):
            value = c[a, b] / tensors.FACTOR[a] / tensors.FACTOR[b]
            for p, q in {(i, j), (j, i)}:
                for r, s in {(k, m), (m, k)}:
                    full[p, q, r, s] = value
    turned = np.einsum("ai,bj,ck,dl,ijkl->abcd", turn, turn, turn, turn, full)
    found = tensors.rotate(c, turn)
    for a, (i, j) in enumerate(tensors.PAIRS):
        for b, (k, m) in enumerate(tensors.PAIRS):
            assert found[a, b] == pytest.approx(turned[i, j, k, m] * tensors.FACTOR[a] * tensors.FACTOR[b], abs=1e-12)
    strain = np.random.default_rng(1).normal(size=(3, 3))
    strain = strain + strain.T
    np.testing.assert_allclose(
        tensors.to_matrix(tensors.rotation_mandel(turn) @ tensors.from_matrix(strain)),
        turn @ strain @ turn.T,
        atol=1e-12,
    )


def test_projections() -> None:
    c = isotropic_stiffness(3, 2)
    near, distance = tensors.nearest_isotropic(c)
    np.testing.assert_allclose(near, c, atol=1e-12)
    assert distance < 1e-14
    cubic = tensors.cubic_stiffness(168.4, 121.4, 75.4)
    assert tensors.nearest_cubic(cubic)[1] < 1e-15
    moduli = tensors.isotropic_moduli(cubic)
    assert moduli["K"] == pytest.approx((168.4 + 2 * 121.4) / 3)
    assert moduli["G"] == pytest.approx((168.4 - 121.4 + 3 * 75.4) / 5)  # Voigt's mean
    other = tensors.rotate(cubic, tensors.random_rotations(1, 9)[0])
    assert tensors.nearest_isotropic(other)[1] == pytest.approx(tensors.nearest_isotropic(cubic)[1])


def test_plane_reductions() -> None:
    e, nu = 10.0, 0.3
    c = isotropic_stiffness(*bulk_and_shear({"E": e, "nu": nu}))
    stress = tensors.plane_stress(c)
    assert stress[0, 0] == pytest.approx(e / (1 - nu**2))
    assert stress[0, 1] == pytest.approx(nu * e / (1 - nu**2))
    strain = tensors.plane_strain(c)
    assert strain[0, 0] == pytest.approx(e * (1 - nu) / ((1 + nu) * (1 - 2 * nu)))
    hexagonal = tensors.hexagonal_stiffness(160, 90, 66, 181, 46.5)
    spun = tensors.rotate(hexagonal, tensors.rotation_from_euler(0.7, 0, 0))
    np.testing.assert_allclose(spun, hexagonal, atol=1e-12)


@pytest.mark.parametrize("theta", [0.0, 1e-3, 0.7, math.pi])
def test_euler_angles_of_a_rotation(theta: float) -> None:
    rotation = tensors.rotation_from_euler(0.4, theta, -2.0)
    np.testing.assert_allclose(
        tensors.rotation_from_euler(*tensors.euler_from_rotation(rotation)), rotation, atol=1e-12
    )
