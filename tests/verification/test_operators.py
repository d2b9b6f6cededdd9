"""A field's operator symbol: linear theory, energy, orders, and the two models that it is for against their theory."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.fft
from scipy.optimize import brentq, minimize
from verify import field_values, run, specify, steps

from phasefield.errors import ConfigError, ExpressionError
from phasefield.integrators import SCHEMES
from phasefield.models import Amplification, analysis
from phasefield.models.resolution import resolution
from phasefield.simulation import Simulation, build_model

LINEAR = ("model=allen_cahn", "model.energy=a/2*eta**2", "model.parameters={W: 1, a: 0.3, g: 0.4}", "grid.length=[7,9]")
TRANSFORMS = {
    "periodic": (scipy.fft.fft2, 2, 0),
    "no-flux": (scipy.fft.dctn, 1, 0),
    "fixed": (scipy.fft.dstn, 1, 1),
}


def modes(boundary: str, shape: tuple[int, int], lengths: tuple[float, float]) -> list[np.ndarray]:
    """Wavenumbers along both axes."""
    if boundary == "periodic":
        k = [2 * np.pi * np.fft.fftfreq(n, length / n) for n, length in zip(shape, lengths, strict=True)]
    else:
        first = TRANSFORMS[boundary][2]
        k = [np.pi * (np.arange(n) + first) / length for n, length in zip(shape, lengths, strict=True)]
    return list(np.meshgrid(*k, indexing="ij"))


def _long_and_short(x: np.ndarray, y: np.ndarray, q: np.ndarray) -> np.ndarray:
    return np.divide(0.4, q, out=np.zeros_like(q), where=q > 0) - x**2 / 2


#: Boundary, kinetics, a symbol, and the same by NumPy.
SYMBOLS = [
    (
        "periodic",
        "conserved",
        "g*kx*ky - k2/3 + exp(-k2)*cos(kx)",
        lambda x, y, q: 0.4 * x * y - q / 3 + np.exp(-q) * np.cos(x),
    ),
    ("periodic", "nonconserved", "-g*sin(kx)*sin(ky)", lambda x, y, q: -0.4 * np.sin(x) * np.sin(y)),
    ("no-flux", "conserved", "g/k2 - kx**2/2", _long_and_short),
    ("fixed", "nonconserved", "(1 - k2)**2 - 1 - g*ky**2", lambda x, y, q: (1 - q) ** 2 - 1 - 0.4 * y**2),
]


@pytest.mark.parametrize(
    ("boundary", "kinetics", "symbol", "g"),
    [pytest.param(*case, marks=pytest.mark.slow) if case[1] == "nonconserved" else case for case in SYMBOLS],
)
def test_every_mode_moves_as_linear_theory_says(boundary: str, kinetics: str, symbol: str, g) -> None:
    """u' = -q (a + kappa k^2 + G) u from noise, on all boundaries; G is negative in part, and L is not positive anywhere."""
    spec = specify(
        *LINEAR, f"model.fields.eta.kinetics={kinetics}", f"model.fields.eta.operator={symbol}", "grid.shape=[10,12]",
        f"grid.boundary={boundary}", "initial.eta={kind: noise, mean: 0, amplitude: 1}",
        "time.scheme=etdrk4", "time.adaptive=false", "time.dt=0.0005",
    )  # fmt: skip
    sim = Simulation(spec)
    start = field_values(sim)[0]
    end = field_values(run(sim, 0.02))[0]
    kx, ky = modes(boundary, (10, 12), (7.0, 9.0))
    k2 = kx**2 + ky**2
    own = g(kx, ky, k2)
    if boundary == "periodic":  # the highest mode stands for both signs
        both = 0.5 * (own + g(-kx, ky, k2))
        own = np.where((np.abs(kx) == np.abs(kx).max()) | (np.abs(ky) == np.abs(ky).max()), both, own)
    rate = -(k2 if kinetics == "conserved" else 1) * (0.3 + k2 + own)
    transform = TRANSFORMS[boundary][0]
    found, exact = transform(end), transform(start) * np.exp(0.02 * rate)
    error = np.abs(found - exact).max() / np.abs(exact).max()
    print(f"{boundary} {kinetics} {symbol}: {error:.1e}")
    assert error < 1e-8
    held = sim.split.stabilizers[0]
    assert held >= sim.stabilizers[0]
    assert (held + k2 + own).min() >= -1e-12
    energy = 0.5 * (own * np.abs(np.fft.fft2(end) / end.size) ** 2).sum() * 63 if boundary == "periodic" else None
    if energy is not None:
        assert sim.observe(sim.carry)[1]["free_energy_operator"] == pytest.approx(energy, rel=1e-9)


@pytest.mark.parametrize(
    "scheme", [s if s in ("etdms3", "sbdf2") else pytest.param(s, marks=pytest.mark.slow) for s in SCHEMES]
)
def test_schemes_keep_their_order(scheme: str) -> None:
    """With a symbol that makes modes grow, all of it that is negative in N."""
    order = SCHEMES[scheme].order

    def at(dt: float, name: str = scheme) -> np.ndarray:
        spec = specify(
            "model=phase_field_crystal", "model.energy=psi**4/4", "model.fields.psi.operator=r - 2*k2 + k2**2 + 1",
            "model.parameters.r=-0.9", "grid.shape=[8]", f"grid.length={4 * math.pi}", "initial.psi=0.1+0.6*cos(x)+0.1*sin(x/2)",
            f"time.scheme={name}", "time.adaptive=false", f"time.dt={dt}",
        )  # fmt: skip
        return field_values(run(Simulation(spec), 1.0))[0]

    exact = at(1 / 1024, "etdrk4")
    first = 1 / 128 if order == 1 or scheme == "etdms4" else 1 / 64  # where the order is to be seen
    errors = [np.abs(at(first / 2**i) - exact).max() for i in (0, 1)]
    measured = math.log2(errors[0] / errors[1])
    print(f"{scheme}: {measured:.3f}, errors {errors[0]:.1e} {errors[1]:.1e}")
    assert measured == pytest.approx(order, abs=0.15)


@pytest.mark.parametrize(
    ("keys", "error", "said"),
    [
        (("operator=-k2**2",), ConfigError, "an operator symbol that grows negative"),
        (("operator=-2*k2",), ConfigError, "unbounded below"),
        (("operator=kx",), ExpressionError, "its sign changes with that of the wavevector"),
        (("operator=kx**2*ky",), ExpressionError, "is no energy"),
        (("operator=1/kx**2",), ConfigError, "no finite real value at kx = 0"),
        (("operator=kz**2",), ExpressionError, "kz does not exist on a 2-D grid"),
        (("operator=c*k2",), ExpressionError, "unknown name 'c'"),
        (("operator=t*k2",), ExpressionError, "time enters by a parameter: give model.parameters.NAME"),
        (("operator=kx*ky", "boundary=no-flux"), ConfigError, "only where all axes are periodic"),
    ],
)
def test_what_is_no_operator_is_refused(keys: tuple[str, ...], error: type, said: str) -> None:
    named = [f"grid.{k}" if k.startswith("boundary") else f"model.fields.c.{k}" for k in keys]
    with pytest.raises(error, match=said) as caught:
        Simulation(specify("model=cahn_hilliard", "grid.shape=[8,8]", *named))
    assert caught.value.key == "model.fields.c.operator"


def test_half_of_the_gradient_term_may_be_taken_back() -> None:
    Simulation(specify("model=cahn_hilliard", "grid.shape=[8,8]", "model.fields.c.operator=-k2/2"))


def test_the_gradient_term_as_an_operator_is_the_gradient_term() -> None:
    """Growth, resolution and the run itself do not know which of the two says kappa k^2."""
    keys = ("model=cahn_hilliard", "grid.shape=[48]", "time.end=40")
    plain, other = (
        Simulation(specify(*keys, *more))
        for more in (("model.fields.c.kappa=1",), ("model.fields.c.kappa=0.25", "model.fields.c.operator=0.75*k2"))
    )
    assert other._few is not None
    one, two = (resolution(s.model, s.grid, s._few) for s in (plain, other))
    assert two.wavelength == pytest.approx(one.wavelength, rel=1e-6)
    assert two.rate == pytest.approx(one.rate, rel=1e-9)
    rates = [Amplification(s.model, s.grid, 1e-14).rate([0.5], [0.01]) for s in (plain, other)]
    assert rates[1] == pytest.approx(rates[0], rel=5e-3)
    ends = [field_values(run(s, 40.0)) for s in (plain, other)]
    np.testing.assert_allclose(ends[1], ends[0], atol=2e-3)
    assert abs(other.carry.step - plain.carry.step) < 0.5 * plain.carry.step


@pytest.mark.parametrize("preset", ["block_copolymer", "phase_field_crystal"])
def test_energy_falls_and_a_resumed_run_has_the_same_bits(preset: str) -> None:
    spec = specify(f"model={preset}", "grid.shape=[24,24]", "grid.length=24", "time.end=60")
    sim, before = Simulation(spec), math.inf
    for s in steps(sim, 20.0):
        assert s.carry.energy <= before + 1e-12 * abs(before)
        before = s.carry.energy
    seen = sim.observe(sim.carry)[1]
    assert seen["free_energy"] == pytest.approx(sim.carry.energy, rel=1e-12)
    assert set(sim.carry.energies) == {"bulk", "gradient", "operator"}
    arrays, numbers = sim.state()
    again = Simulation(spec, (dict(arrays), numbers))
    assert np.array_equal(field_values(run(again, 60.0)), field_values(run(sim, 60.0)))


def test_the_spacing_of_lamellae() -> None:
    """Block copolymer: the period of least energy per length, by minimising over cosine amplitudes and the period at once."""
    gamma, j = 0.05, np.arange(1, 20, 2)  # lamellae of equal blocks: odd harmonics
    x = (np.arange(64) + 0.5) / 128

    def energy(p: np.ndarray) -> float:
        period, amplitudes = p[0], p[1:]
        u = amplitudes @ np.cos(2 * np.pi * j[:, None] * x)
        k2 = (2 * np.pi * j / period) ** 2
        return float(np.mean((1 - u**2) ** 2) / 4 + ((k2 + gamma / k2) * amplitudes**2).sum() / 4)

    best = minimize(energy, [10.0, 1.0, *np.zeros(j.size - 1)], method="BFGS", options={"gtol": 1e-9})
    period = float(best.x[0])

    def measured(length: float) -> float:
        spec = specify(
            "model=block_copolymer", f"model.parameters.gamma={gamma}", "grid.shape=[64]", f"grid.length={length!r}",
            f"initial.phi=0.8*cos(2*pi*x/{length!r})", "time.end=400",
        )  # fmt: skip
        return run(Simulation(spec), 400.0).carry.energy / length

    lengths = period * np.array([0.97, 1.0, 1.03])
    found = np.poly1d(np.polyfit(lengths, [measured(float(length)) for length in lengths], 2)).deriv().roots[0]
    print(f"period {found:.4f}, theory {period:.4f}: {found / period - 1:.2%}")
    assert found == pytest.approx(period, rel=0.005)


# -- phase-field crystal -----------------------------------------------------------------------------------------------


def amplitude(r: float, mean: float) -> float:
    """Of the triangular phase in one mode, mean < 0 (Elder and Grant, Phys. Rev. E 70 (2004) 051605, eq. 25)."""
    return 0.8 * (-mean + math.sqrt(-15 * r - 36 * mean**2) / 3)


def one_mode(r: float, mean: float) -> float:
    """Its energy density: 6 modes of |u| = A/4, of which products of three and four that close count."""
    a = amplitude(r, mean)
    liquid = (r + 1) / 2 * mean**2 + mean**4 / 4
    return liquid + 3 / 16 * (r + 3 * mean**2) * a**2 + 3 / 16 * mean * a**3 + 45 / 512 * a**4


def crystal(r: float, mean: float, strain: tuple[float, float] = (0.0, 0.0)) -> Simulation:
    """The unit cell of the triangular phase, relaxed."""
    lx, ly = 4 * math.pi / math.sqrt(3) * (1 + strain[0]), 4 * math.pi * (1 + strain[1])
    a = amplitude(r, mean)
    start = f"{mean}+{a!r}*(cos(2*pi*x/{lx!r})*cos(2*pi*y/{ly!r})+cos(4*pi*y/{ly!r})/2)"
    sim = Simulation(
        specify(
            "model=phase_field_crystal", f"model.parameters.r={r}", "grid.shape=[12,20]", f"grid.length=[{lx!r},{ly!r}]",
            f"initial.psi={start}", "time.end=2000",
        )
    )  # fmt: skip
    return run(sim, 2000.0)


def density(sim: Simulation) -> float:
    return sim.carry.energy / sim.grid.volume


def test_the_lattice_and_its_elastic_constants() -> None:
    """Lattice constant 4 pi/sqrt(3), amplitude, C11 = 3 C12 = 3 C44 = 9 A^2/16: one-mode theory, right to the order of r."""
    r, mean, h = -0.05, -0.1, 0.003
    a = amplitude(r, mean)
    rest = crystal(r, mean)
    found = 4 * abs(np.fft.fft2(field_values(rest)[0])[1, 1]) / rest.grid.cells
    base = density(rest)
    pairs = {
        "iso": [density(crystal(r, mean, (s * h, s * h))) for s in (-1, 1)],
        "along x": [density(crystal(r, mean, (s * h, 0.0))) for s in (-1, 1)],
        "dev": [density(crystal(r, mean, (s * h, -s * h))) for s in (-1, 1)],
    }
    bend = {name: (e[0] + e[1] - 2 * base) / h**2 for name, e in pairs.items()}
    lattice = 1 - (pairs["iso"][1] - pairs["iso"][0]) / (2 * h) / bend["iso"]  # in units of 4 pi/sqrt(3)
    c11 = bend["along x"]
    c12 = bend["iso"] / 2 - c11
    shear = bend["dev"] / 4  # (C11 - C12)/2, which is C44 of what is isotropic in the plane
    theory = 9 / 16 * a**2
    print(
        f"lattice {lattice - 1:.1e}, A {found / a - 1:.1e}, C11 {c11 / theory - 1:.2%}, C12 {3 * c12 / theory - 1:.2%}, ",
        end="",
    )
    print(f"C44 {3 * shear / theory - 1:.2%}, energy {base - one_mode(r, mean):.1e}")
    assert lattice == pytest.approx(1, abs=5e-4)
    assert found == pytest.approx(a, rel=2e-3)
    # One-mode theory leaves out the harmonics, of amplitude A^2/(k^2 - 1)^2: a few parts in a thousand at this r.
    assert c11 == pytest.approx(theory, rel=0.01)
    assert c12 == pytest.approx(theory / 3, rel=0.02)
    assert shear == pytest.approx(theory / 3, rel=0.01)


def test_liquid_and_crystal_coexist_where_one_mode_theory_says() -> None:
    """The common tangent of the liquid's energy and the triangular phase's, from relaxed crystals and from one mode."""
    r = -0.05

    def tangent(solid: np.poly1d) -> tuple[float, float]:
        liquid = np.poly1d([1 / 4, 0, (r + 1) / 2, 0, 0])

        def partner(m: float) -> float:
            return brentq(lambda s: np.polyval(solid.deriv(), s) - np.polyval(liquid.deriv(), m), -0.3, 0.1)

        def gap(m: float) -> float:
            s = partner(m)
            return float(solid(s) - liquid(m) - np.polyval(liquid.deriv(), m) * (s - m))

        m = brentq(gap, -0.16, -0.11)
        return m, partner(m)

    means = np.array([-0.14, -0.135, -0.13, -0.125, -0.12])
    measured = tangent(np.poly1d(np.polyfit(means, [density(crystal(r, float(m))) for m in means], 3)))
    theory = tangent(np.poly1d(np.polyfit(means, [one_mode(r, float(m)) for m in means], 3)))
    print(f"liquid {measured[0]:.5f}, theory {theory[0]:.5f}; crystal {measured[1]:.5f}, theory {theory[1]:.5f}")
    assert measured == pytest.approx(theory, rel=0.005)


def test_growth_of_a_liquid_is_that_of_linear_theory() -> None:
    model = build_model(specify("model=phase_field_crystal"))
    k = np.linspace(0, 2, 41)
    exact = -(k**2) * (-0.25 + 3 * 0.25**2 + (1 - k**2) ** 2)
    np.testing.assert_allclose(analysis.growth_rates(model, {"psi": -0.25}, k)[:, 0], exact, atol=1e-15)
    fastest = analysis.fastest_growing_wavenumber(model, {"psi": -0.25})
    slope = lambda q: -2 * q * (-0.0625 + (1 - q**2) ** 2) + q**2 * 4 * q * (1 - q**2)  # noqa: E731
    assert fastest == pytest.approx(brentq(slope, 0.9, 1.1), rel=1e-8)
