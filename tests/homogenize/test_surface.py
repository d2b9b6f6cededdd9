"""The solve at the soft side of laminate voxels: its matrix, its symmetry, and when it is chosen."""

from __future__ import annotations

import numpy as np
import pytest

from phasefield.errors import ConfigError
from phasefield.homogenize.mixture import Mixture
from phasefield.images import voxels
from phasefield.mechanics import tensors
from phasefield.mechanics.cell import CellProblem
from phasefield.mechanics.options import Options


def problem(dim: int, order: int, n: int = 12, contrast: float = 1000.0, **options: object) -> CellProblem:
    x = (np.arange(n) + 0.5) / n - 0.5
    r = np.sqrt(sum(a**2 for a in np.meshgrid(*[x] * dim, indexing="ij")))
    geometry = Mixture.of(voxels.from_field(0.5 * (1 + np.tanh((0.3 - r) * n / 2))))
    soft = np.diag(np.arange(1.0, order + 1)) + 0.2
    stiff = contrast * (np.eye(3) if order == 3 else tensors.isotropic_stiffness(1.0, 0.5))
    return CellProblem(
        geometry.index,
        geometry.tensors(np.array([soft, stiff])),
        geometry.spacing,
        Options(**{"preconditioner": "green-schwarz", **options}),  # type: ignore[arg-type]
        geometry.cut,
    )


@pytest.mark.parametrize("scheme", ["q1", "rotated"])
@pytest.mark.parametrize(("dim", "order"), [(2, 3), (2, 6), (3, 3), (3, 6)])
def test_its_matrix_is_the_stiffness_between_its_nodes(dim: int, order: int, scheme: str) -> None:
    cell = problem(dim, order, scheme=scheme)
    surface, k = cell.preconditioner.surface, cell.operators
    rng = np.random.default_rng(1)
    u, w = k.field(), k.spectral()
    components = w.shape[1]
    padded = np.zeros_like(w).reshape(components, -1)
    values = rng.normal(size=(components, surface.nodes))
    padded[:, surface._at] = values
    u[...] = padded.reshape(w.shape)[..., : u.shape[-1]]
    k.apply(u, w, cell.tensors)
    exact = np.einsum("ncd,nd->nc", surface._inverse, w.reshape(components, -1)[:, surface._at].T)[None]
    found, zero = np.empty_like(exact), np.zeros_like(exact)
    y = np.ascontiguousarray(values.T)[None]
    surface._advance(zero, y, np.zeros_like(y), 0.0, -1.0, found)
    np.testing.assert_allclose(found - y, exact, rtol=0, atol=1e-6 * np.abs(exact).max())
    assert 0 < surface.nodes < 0.5 * cell.medium.index.size


@pytest.mark.parametrize(("dim", "order"), [(2, 3), (3, 6)])
def test_preconditioner_is_symmetric_and_positive(dim: int, order: int) -> None:
    cell = problem(dim, order)
    rng = np.random.default_rng(2)

    def applied(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        w = cell.operators.spectral()
        w[..., : x.shape[-1]] = x
        product = cell.preconditioner.inner(w)
        return w[..., : x.shape[-1]].copy(), product

    shape = cell.operators.field().shape
    a, b = rng.normal(size=shape), rng.normal(size=shape)
    (ma, aa), (mb, _) = applied(a), applied(b)
    aa = aa.item()
    assert aa > 0
    assert aa == pytest.approx(np.vdot(a, ma), rel=1e-10)
    assert np.vdot(b, ma) == pytest.approx(np.vdot(a, mb), rel=0, abs=1e-6 * aa)


@pytest.mark.parametrize("precision", ["double", "single"])
def test_same_answer_as_green(precision: str) -> None:
    load = np.eye(6)[0]
    tolerance = 1e-8 if precision == "double" else 1e-4
    means = [
        problem(3, 6, preconditioner=p, tolerance=tolerance, precision=precision).solve(load).mean
        for p in ("green", "green-schwarz")
    ]
    np.testing.assert_allclose(means[1], means[0], rtol=0, atol=10 * tolerance * np.abs(means[0]).max())


def test_when_it_is_chosen() -> None:
    assert problem(2, 3, 192, preconditioner="auto").preconditioner.name == "green-schwarz"
    assert problem(2, 3, 192, contrast=10, preconditioner="auto").preconditioner.name == "green"
    assert (
        problem(2, 3, 12, contrast=100, preconditioner="auto").preconditioner.name == "green"
    )  # most voxels near the surface
    assert problem(2, 3, 192, preconditioner="auto", scheme="fourier").preconditioner.name == "green-jacobi"
    with pytest.raises(ConfigError, match="Fourier"):
        problem(2, 3, scheme="fourier")
    with pytest.raises(ConfigError, match="voids"):
        problem(2, 3, contrast=0.0)
