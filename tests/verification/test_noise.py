"""Thermal noise: the generator, numbers in every basis, fluctuations at rest and on the way, the same bits however it runs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
import sympy as sp
from scipy.special import factorial
from verify import DEVICE, MACHINE, field_values, run

from phasefield.backend import Apply, Inverse, Layout, cells_of, select
from phasefield.codegen import Kernel, Phi, white, white_scalars
from phasefield.codegen.philox import Statement, increment_lines, mix_lines, philox_lines
from phasefield.errors import ConfigError
from phasefield.grid import BOUNDARIES, Grid
from phasefield.integrators import SCHEMES
from phasefield.integrators.schemes import RATIOS, dt, n, n1, n_old, n_old2, n_old3, u, z
from phasefield.simulation import Simulation
from phasefield.verify import Machine
from phasefield.verify.checks import fluctuations

DRIVEN = [name for name, scheme in SCHEMES.items() if scheme.spread is not None]


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)
def test_philox_gives_the_published_numbers(counter: str, key: str, expected: str) -> None:
    """The known answers of Random123 (Salmon et al. 2011)."""
    words = dict(zip("abcdkl", (int(word, 16) for word in (counter + " " + key).split()), strict=True))
    lines, names = philox_lines(("a", "b", "c", "d"), ("k", "l"))
    known = evaluated(lines, words)
    assert [known[name] for name in names] == [int(word, 16) for word in expected.split()]


def evaluated(lines: Sequence[Statement], known: dict[str, int]) -> dict[str, int]:
    """The numbers of statements, in Python's integers."""
    names: dict[str, object] = {"WORD": int, "LONG": lambda a: a & 0xFFFFFFFFFFFFFFFF, "PRODUCT": lambda a, b: a * b}
    names |= {"LOW": lambda a: a & 0xFFFFFFFF, "HIGH": lambda a: a >> 32, "SELECT": lambda c, a, b: a if c else b}
    names |= known
    for _, name, text in lines:
        names[name] = eval(text, names)
    return {name: value for name, value in names.items() if isinstance(value, int)}


def test_splitmix_gives_the_known_numbers() -> None:
    """Those of Vigna's splitmix64.c for the seed 1234567; increments are odd and change often enough."""
    expected = 6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431
    for i, number in enumerate(expected, 1):
        place = (1234567 + i * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
        assert evaluated(mix_lines("mixed", "place"), {"place": place})["mixed"] == number
    drawn = [0, 1, 2**64 - 1, 0xAAAAAAAAAAAAAAAA, 0xFFFFFFFF, *expected]
    for number in drawn:
        found = evaluated(increment_lines("found", "drawn"), {"drawn": number})["found"]
        assert found % 2 == 1
        assert (found ^ found >> 1).bit_count() >= 24
        assert found in (number | 1, (number | 1) ^ 0xAAAAAAAAAAAAAAAA)


def bases() -> list[Grid]:
    """All bases of lines and planes, and of solids a tenth, which has each along every axis."""
    shapes = [(9,), (8,), (6, 5), (4, 6), (4, 3, 6), (3, 4, 5)]
    found = [Grid(s, (1.0,) * len(s), b) for s in shapes for b in itertools.product(BOUNDARIES, repeat=len(s))]
    return [grid for i, grid in enumerate(found) if grid.dim < 3 or i % 9 == 0]


@pytest.mark.parametrize("precision", ["double", "single"])
def test_white_noise_is_white_in_every_basis(precision: str) -> None:
    """Cells of two components are independent normal numbers, by all second moments and the fourth."""
    backend, steps = select(DEVICE, precision, 1), 300  # type: ignore[arg-type]
    kernel = Kernel("white", "spectral", {"u": 2}, {"u": [white(0), white(1)]}, {}, list(white_scalars(0, 0)))
    for grid in bases() if precision == "double" else bases()[::5]:
        layout, size = Layout(grid), 2 * grid.cells
        program, buffer = backend.program(layout, [Apply(kernel), Inverse("u", 2)]), backend.buffer(layout, 2)
        cells = []
        for step in range(steps):
            program({"u": buffer}, white_scalars(2**40 + 5, 2**17 + step))
            cells.append(cells_of(layout, backend.to_host(buffer)).ravel() / math.sqrt(grid.cells))
        sample = np.array(cells, dtype=float)
        covariance = sample.T @ sample / steps
        error = (covariance - np.eye(size)) * math.sqrt(steps) / np.sqrt(1 + np.eye(size))
        assert np.abs(error).max() < 5.5, grid
        assert np.sqrt(np.mean(error**2)) == pytest.approx(1.0, abs=0.15), grid
        assert np.mean(sample**4) == pytest.approx(3.0, abs=6 * math.sqrt(96 / sample.size)), grid


@pytest.mark.parametrize("dt", [pytest.param(0.3, marks=pytest.mark.slow), 1e3])
@pytest.mark.parametrize(
    ("kinetics", "shape", "boundary"),
    [
        ("conserved", "[64]", "periodic"),
        ("nonconserved", "[24,16]", "periodic"),
        ("conserved", "[17,12]", "[fixed,periodic]"),
        ("nonconserved", "[6,8,10]", "[no-flux,periodic,fixed]"),
    ],
)
def test_fluctuations_at_rest(kinetics: str, shape: str, boundary: str, dt: float) -> None:
    """kT/(f'' + kappa k^2) on every shell, at any step: shorter than all that relaxes, and longer."""
    keys = (
        f"grid.shape={shape}",
        f"grid.boundary={boundary}",
        f"time.dt={dt}",
        "grid.length=" + ("12" if dt < 1 else "40"),
    )
    sim = fluctuations.harmonic(MACHINE, kinetics, *keys)
    apart = 1 if dt > 1 else 8
    found = fluctuations.deviations(sim, 250, apart, 10 * apart)
    print(kinetics, shape, boundary, dt, found)
    assert np.abs(found).max() < 4
    if kinetics == "conserved" and "fixed" not in boundary:
        assert np.all(sim.carry.u[0, 0, 0, :2] == 0), "the mean has moved"


def test_single_precision_fluctuates_alike() -> None:
    machine = Machine(DEVICE, "single")
    sim = fluctuations.harmonic(machine, "conserved", "grid.shape=[32,32]", "grid.length=40", "time.dt=1e3")
    assert np.abs(fluctuations.deviations(sim, 100, 1, 1)).max() < 4


def test_decomposition_from_noise_alone() -> None:
    ratios, errors = fluctuations.cook(MACHINE)
    print(ratios, errors)
    assert np.abs((ratios - 1) / errors).max() < 4


@pytest.mark.slow
@pytest.mark.parametrize("scheme", DRIVEN)
def test_cells_have_the_distribution_of_boltzmann(scheme: str) -> None:
    found, exact = fluctuations.boltzmann(MACHINE, scheme)
    print(scheme, found / exact - 1)
    assert found == pytest.approx(exact, rel=0.015 if SCHEMES[scheme].order > 1 else 0.04)


def phi(order: int, x: float) -> float:
    if abs(x) < 1:
        return float(sum(x**j / factorial(j + order) for j in range(25)))
    return math.exp(x) if order == 0 else (phi(order - 1, x) - 1 / math.factorial(order - 1)) / x


def variance(name: str, step: float, share: float) -> float:
    """Variance at rest of u' = -u + sqrt(2) noise, of which N is ``share``: the sum of squares of what one kick leaves."""
    scheme, values = SCHEMES[name], {z: -(1 - share) * step, dt: step, **dict.fromkeys(RATIOS, 1.0)}

    def weights(expr: sp.Expr, symbols: Sequence[sp.Symbol]) -> list[float]:
        found = [sp.diff(expr, s).xreplace({k: sp.Float(v) for k, v in values.items()}) for s in symbols]
        return [float(w.replace(Phi, lambda k, x: sp.Float(phi(int(k), float(x))))) for w in found]

    assert scheme.spread is not None
    of_u, *of_n = weights(scheme.update, (u, n, n_old, n_old2, n_old3, n1))
    stage = weights(scheme.stages[0], (u, n)) if scheme.stages else (0.0, 0.0)
    kick = math.sqrt(2 * step * weights(scheme.spread * u, (u,))[0])
    state, past, total = 0.0, [0.0] * 4, 0.0
    for i in range(int(60 / step)):
        now = kick if i == 0 else 0.0
        past = [-share * state, *past[:3]]
        ahead = -share * (stage[0] * state + stage[1] * past[0] + now)
        state = of_u * state + float(np.dot(of_n, [*past, ahead])) + now
        total += state**2
    return total


@pytest.mark.parametrize("name", DRIVEN)
def test_weak_order(name: str) -> None:
    """What is in L is exact. What is in N is right to first order with schemes of first order, else to second."""
    assert variance(name, 0.5, 0.0) == pytest.approx(1.0, rel=1e-9)
    errors = [abs(variance(name, step, 0.6) - 1) for step in (0.08, 0.04, 0.02)]
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    print(name, errors, orders)
    assert np.all(orders > (0.8 if SCHEMES[name].order == 1 else 1.7))


def test_the_same_bits_with_other_threads_and_resumed() -> None:
    keys = ("model=precipitate", "grid.shape=[64,48]", "time.adaptive=false", "time.dt=0.1", "time.end=9")
    keys += ("model.fields.c.noise=1e-3*exp(-t/10)", "model.fields.eta.noise=1e-3", "seed=1234567890123")
    keys += ("initial={c: 0.5, eta: 0.0}",)
    one, two = Machine(DEVICE).simulation(*keys), Machine(DEVICE, threads=2).simulation(*keys)
    for _ in range(6):
        one.advance(9.0)
        two.advance(9.0)
    arrays, numbers = two.state()
    resumed = Simulation(two.spec, (arrays, numbers))
    for _ in range(6):
        one.advance(9.0)
        resumed.advance(9.0)
    assert np.array_equal(field_values(one), field_values(resumed))
    other = Machine(DEVICE).simulation(*keys, "seed=1234567890124")
    assert not np.allclose(field_values(run(other, 1.2)), field_values(one), atol=1e-3)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["time.adaptive=true"], r"time\.adaptive: is true, and model\.fields\.phi\.noise needs fixed steps"),
        (["time.scheme=etdrk4"], r"time\.scheme: is etdrk4, whose steps take no noise"),
        (["model.fields.phi.noise=-1"], r"model\.fields\.phi\.noise: is -1\.0; a finite number >= 0"),
        (["model.fields.phi.noise=1-t"], r"model\.fields\.phi\.noise: is -.* kT >= 0 is expected"),
        (["model.fields.phi.noise=phi"], r"model\.fields\.phi\.noise: "),
        (["model.fields.phi.mobility=1-phi**2"], r"model\.fields\.phi\.noise: needs a mobility that is a number"),
    ],
)
def test_what_noise_cannot_do(keys: list[str], message: str) -> None:
    given = ("model=cahn_hilliard_landau", "model.fields.phi.noise=0.1", "time.adaptive=false", "time.dt=0.1", *keys)
    with pytest.raises(ConfigError, match=message):
        MACHINE.simulation("grid.shape=[8]", *given)


@pytest.mark.slow
def test_waves_of_an_interface_share_the_energy_alike() -> None:
    """Capillary waves at rest: kT/2 for each."""
    ratios, errors = fluctuations.capillary(MACHINE)
    print(ratios, errors)
    assert np.abs((ratios - 1) / errors).max() < 4
    assert errors.max() < 0.08
