"""What surrogates learn the rest of: estimates of third order against dense minimisation and against solves."""

from __future__ import annotations

import numpy as np
import pytest

from phasefield.homogenize import Options, build, from_array, homogenize
from phasefield.homogenize import Settings as Method
from phasefield.mechanics import tensors
from phasefield.upscale.surrogate.blocks import assembled, blocks
from phasefield.upscale.surrogate.bracket import Mixture, expit, logit
from phasefield.upscale.surrogate.features import Query
from phasefield.upscale.surrogate.moments import Moments


def field(shape: tuple[int, ...], seed: int, fraction: float | None = None, length: float = 2.5) -> np.ndarray:
    """A thresholded Gaussian field, twice as long along its first axis as along others."""
    rng = np.random.default_rng(seed)
    k = np.meshgrid(*[np.fft.fftfreq(n) * (2 if d == 0 else 1) for d, n in enumerate(shape)], indexing="ij")
    weight = np.exp(-5 * sum(a**2 for a in k) * length**2)
    values = np.fft.ifftn(np.fft.fftn(rng.standard_normal(shape)) * weight).real
    return (values > np.quantile(values, 1 - (fraction or rng.uniform(0.25, 0.75)))).astype(np.int8)


def phases(prop: str, contrast: float, nu: tuple[float, float] = (0.3, 0.22)) -> dict:
    values = (1.0, contrast)
    made = {
        n: {prop: {"E": v, "nu": p} if prop == "stiffness" else v} for n, v, p in zip("ab", values, nu, strict=True)
    }
    return {"phases": made}


def solved(image: np.ndarray, prop: str, contrast: float, scheme: str) -> tuple[Query, np.ndarray]:
    system = build(phases(prop, contrast))
    options = Options(scheme=scheme, tolerance=1e-9, threads=1, device="cpu")
    method = Method(properties=(prop,), two_grid=False, mixing=False, solver=options)
    (result,) = homogenize(from_array(image), system, method)
    first, second = (np.asarray(p.tensor(prop)) for p in system.phases)
    return Query(first, second, Moments.of(image, (1.0,) * image.ndim)), result.tensor


def minimised(image: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The tensor of a block by dense linear algebra: the least energy of the compatible fields of rotated elements."""
    dim, n = image.ndim, len(first)
    waves = np.stack(np.meshgrid(*[np.fft.fftfreq(m) for m in image.shape], indexing="ij")).reshape(dim, -1)[:, 1:]
    places = np.indices(image.shape).reshape(dim, -1)
    phase = np.exp(2j * np.pi * places.T @ waves)  # (voxels, waves)
    t = np.tan(np.pi * waves).T
    if n == dim:
        fields = t[:, :, None]
    else:
        at = [pair for pair in tensors.PAIRS if max(pair) < dim]
        unit = np.eye(dim)
        fields = np.stack([[
            [(k[i] * unit[j] + k[j] * unit[i]) / (2 if i == j else np.sqrt(2)) for i, j in at] for k in t
        ]])[0]  # fmt: skip
    basis = np.einsum("xk,kca->xcka", phase, fields)
    local = np.where(image.reshape(-1, 1, 1) > 0, second, first)
    flux = np.einsum("xcd,xdka->xcka", local, basis)
    count = basis.shape[2] * basis.shape[3]
    stiff = np.einsum("xcm,xcn->mn", basis.reshape(-1, n, count).conj(), flux.reshape(-1, n, count))
    load = np.einsum("xcm,xcd->md", basis.reshape(-1, n, count).conj(), local)
    return local.mean(0) - (load.conj().T @ np.linalg.solve(stiff, load)).real / image.size


def enclosed(moments: Moments, first: np.ndarray, second: np.ndarray, exact: np.ndarray) -> float:
    """What is open between the estimates, relative; they must lie between the bounds and the exact tensor."""
    mixture = Mixture(first, second, moments.fraction)
    low, high = map(mixture.effective, mixture.bracket(moments))
    for upper, lower in ((mixture.voigt, high), (high, exact), (exact, low), (low, mixture.reuss)):
        assert np.linalg.eigvalsh(upper - lower)[0] > -1e-8 * np.linalg.norm(exact)
    return float(np.linalg.norm(high - low) / np.linalg.norm(exact))


@pytest.mark.parametrize("prop", ["stiffness", "conductivity"])
@pytest.mark.parametrize("shape", [(9, 11), (5, 5, 5)])
def test_the_energies_enclose_the_tensor_and_are_of_third_order(shape: tuple[int, ...], prop: str) -> None:
    """Bounds on the mesh they are written for, and what is open between them falls with the fourth power of the contrast."""
    image = field(shape, 3, 0.4, 1.0)
    order = 4 if prop == "stiffness" else 2
    moments, block = Moments.of(image, (1.0,) * len(shape), order), blocks(order, len(shape))[0]
    open_ = []
    for contrast, nu in ((1.05, (0.3, 0.3)), (1.1, (0.3, 0.3)), (0.1, (0.2, 0.4)), (20.0, (0.4, 0.1))):
        first, second = (block.of(np.asarray(p.tensor(prop))) for p in build(phases(prop, contrast, nu)).phases)
        open_.append(enclosed(moments, first, second, minimised(image, first, second)))
    assert open_[0] < 1e-6
    assert 11 < open_[1] / open_[0] < 16.5


@pytest.mark.slow
def test_the_energies_enclose_what_the_solver_finds() -> None:
    """And leave less than a quarter of what Voigt and Reuss leave open, at contrast 10."""
    image = field((21, 21), 3, 0.4)
    query, tensor = solved(image, "stiffness", 10.0, "rotated")
    for block in blocks(4, 2):
        moments = query.moments.gradients if block.order == 2 else query.moments
        first, second, exact = block.of(query.first), block.of(query.second), block.of(tensor)
        mixture = Mixture(first, second, moments.fraction)
        between = np.linalg.norm(mixture.voigt - mixture.reuss) / np.linalg.norm(exact)
        assert enclosed(moments, first, second, exact) < between / 4


def test_what_follows_in_a_body_that_does_not_vary_along_z() -> None:
    """The whole tensor from strains in the plane and antiplane shear, to the solver's tolerance."""
    for contrast in (0.1, 6.0):
        query, tensor = solved(field((24, 24), 5, 0.35), "stiffness", contrast, "q1")
        args = query.first, query.second, query.moments.fraction
        found = {b.name: Mixture(b.of(args[0]), b.of(args[1]), args[2]).position(b.of(tensor)) for b in blocks(4, 2)}
        np.testing.assert_allclose(assembled(*args, 2, found), tensor, atol=1e-7 * np.abs(tensor).max())


def test_logit_and_back() -> None:
    rng = np.random.default_rng(0)
    s = rng.standard_normal((4, 4))
    np.testing.assert_allclose(logit(expit(s + s.T)), s + s.T, atol=1e-10)
    assert np.linalg.eigvalsh(expit(100 * (s + s.T)))[0] > 0
    assert np.linalg.eigvalsh(expit(100 * (s + s.T)))[-1] < 1


def test_moments_against_sums_over_modes() -> None:
    """One moment of second and one of third order by their definition, with vectors written out."""
    image = field((9, 11), 2, 0.4).astype(float)
    h = (1.0, 1.5)
    rest = np.fft.fft2(image - image.mean()) / image.size
    t = [np.tan(np.pi * np.fft.fftfreq(n)) / step for n, step in zip(image.shape, h, strict=True)]
    kx, ky = np.meshgrid(*t, indexing="ij")
    square = np.where(kx**2 + ky**2 > 0, kx**2 + ky**2, 1)
    f_xx, f_xy = (np.fft.ifft2(rest * m / square).real * image.size for m in (kx * kx, kx * ky))
    moments = Moments.of(image, h, 2)  # xx, xy, yy
    assert moments.second[0, 1] == pytest.approx(np.mean(f_xx * f_xy), abs=1e-15)
    assert moments.third[0, 0] == pytest.approx(np.mean((image - image.mean()) * f_xx**2), abs=1e-15)
    np.testing.assert_allclose(Moments.of(image, h, 4).gradients.third, moments.third, atol=1e-15)
