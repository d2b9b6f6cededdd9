"""Mobilities that couple conserved fields: a matrix, constant or not."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import sympy as sp
from resumed import goes_on
from test_manufactured import END, LENGTH, STEP, TOLERANCE, pattern
from verify import field_values, run, solve, specify, steps

from phasefield.backend.operations import transforms_of
from phasefield.errors import ConfigError, Diverged
from phasefield.models.analysis import growth_rates, manufactured_source
from phasefield.simulation import Simulation, build_model
from phasefield.specs import RunSpec

MODEL = """
name: mixture
energy: {energy}
fields:
  a: {{kinetics: conserved, mobility: {a}, kappa: 0.5, initial: {start}}}
  b: {{kinetics: conserved, mobility: {b}, kappa: 0.3, initial: {start}}}
"""
QUADRATIC = "3*a**2/4 + b**2 + a*b/2"
#: Of three species that fill space, the third 1 - a - b, any two of which part.
DEMIXING = "(a**2*(1 - a)**2 + b**2*(1 - b)**2 + (a + b)**2*(1 - a - b)**2)"
#: Their mobilities: the fluxes of all add up to none, and each vanishes with its species.
SPECIES = ("{a: a*(1 - a), b: -a*b}", "b*(1 - b)")

Specify = Callable[..., RunSpec]


@pytest.fixture
def mixture(tmp_path: Path) -> Specify:
    def made(a: str, b: str, *keys: str, energy: str = QUADRATIC, start: str = "0.1*cos(x)") -> RunSpec:
        path = tmp_path / "mixture.yaml"
        path.write_text(MODEL.format(energy=energy, a=a, b=b, start=start))
        return specify(f"model={path}", "grid.shape=[24,20]", "time.end=20", *keys)

    return made


@pytest.mark.parametrize("law", ["numbers", "expressions"])
def test_decay_rates_are_the_eigenvalues(mixture: Specify, law: str) -> None:
    """Waves of two fields decay by k^2 M (H + kappa k^2), as theory tells, whether or not the matrix stays in modes."""
    m = np.array([[1.0, -0.6], [-0.6, 0.5]])
    rows = ("{a: 1, b: -0.6}", "0.5") if law == "numbers" else ("{a: 1 + 1e-30*a, b: -0.6}", "{b: 0.5, a: -0.6}")
    sim = Simulation(
        mixture(
            *rows, "grid.shape=[8]", f"grid.length={2 * math.pi}", "time.adaptive=false", "time.dt=0.01",
            "time.scheme=etdrk4", "time.end=2", start="1e-3*cos(x)",
        )
    )  # fmt: skip
    before = np.fft.rfft(field_values(sim))[:, 1].real
    after = np.fft.rfft(field_values(run(sim, 2.0)))[:, 1].real
    values, vectors = np.linalg.eig(m @ np.array([[1.5 + 0.5, 0.5], [0.5, 2.0 + 0.3]]))
    start, end = (np.linalg.solve(vectors, u) for u in (before, after))
    rates = -np.log(end / start) / 2.0
    print(f"{law}: {rates / values - 1}")
    np.testing.assert_allclose(rates, values, rtol=1e-6)
    if law == "numbers":
        told = growth_rates(sim.model, {"a": 0.0, "b": 0.0}, [1.0])
        np.testing.assert_allclose(told[0], np.sort(-values), rtol=1e-12)


@pytest.mark.parametrize(
    ("boundary", "cells", "rows"),
    [
        (("periodic", "no-flux"), 32, ("{a: 1 + b**2/2, b: a/4 - sin(3*t)/8}", "1/2 + a**2")),
        pytest.param(("fixed",), 64, ("{a: 1, b: b**2/4}", "1/2"), marks=pytest.mark.slow),
        pytest.param(("no-flux", "periodic", "no-flux"), 24, ("{a: 1, b: -1/2}", "1/2"), marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_manufactured_solutions(mixture: Specify, boundary: tuple[str, ...], cells: int, rows: tuple[str, str]) -> None:
    """With a matrix that varies, one of which the diagonal is numbers, and one that is numbers."""
    spec = mixture(
        *rows, f"grid.shape={[cells] * len(boundary)}".replace(" ", ""), f"grid.length={LENGTH}",
        f"grid.boundary=[{','.join(boundary)}]", "time.scheme=etdms2", "time.adaptive=false", f"time.dt={STEP}",
        f"time.end={END}", energy="a**2*b**2/2 + a**4/4 + b**2", start="0",
    )  # fmt: skip
    solution = {name: sp.Rational(3, 5) * pattern(boundary, i) for i, name in enumerate(("a", "b"))}
    _, error = solve(spec, solution, manufactured_source(build_model(spec), solution), END)
    print(f"{'/'.join(boundary)} {rows}: relative error {error:.1e}")
    assert error < TOLERANCE


@pytest.mark.parametrize(
    ("boundary", "rows"),
    [("periodic", SPECIES), pytest.param("no-flux", ("{a: 1, b: -1/2}", "1/2"), marks=pytest.mark.slow)],
    ids=str,
)
def test_mass_and_energy(mixture: Specify, boundary: str, rows: tuple[str, str]) -> None:
    """Three species part: means to the bit, the energy never rises, and what fluxes add up to nothing stays."""
    sim = Simulation(
        mixture(
            *rows, f"grid.boundary={boundary}", energy=DEMIXING,
            start="{kind: noise, mean: 0.33, amplitude: 0.05}",
        )
    )  # fmt: skip
    assert len(sim.model.bodies) == 1
    means, energies = sim.backend.to_host(sim.carry.u)[:, 0, 0, 0], [sim.carry.energy]
    for s in steps(sim, 200.0):
        energies.append(s.carry.energy)
        if s.carry.step >= 300:
            break
    cells = field_values(sim)
    print(
        f"{boundary}: {sim.carry.step} steps to {sim.carry.t:.3g}, {sim.rejected} refused; {cells.min():.3f} to {cells.max():.3f}"
    )
    np.testing.assert_array_equal(sim.backend.to_host(sim.carry.u)[:, 0, 0, 0], means)
    assert energies[-1] < 0.9 * energies[0]
    assert np.diff(energies).max() <= 1e-14 * sim.grid.volume


def test_long_steps_bear_fields_of_unlike_stiffness(mixture: Specify) -> None:
    """S of both is in balance with R: with the S of each by itself a step would multiply some modes by -10."""
    sim = Simulation(
        mixture(
            "{a: 1, b: 0.8}", "1", "time.adaptive=false", "time.dt=1000", "time.end=50000", "time.scheme=imex1",
            energy="a**2/2 + 500*b**2 + 18*a*b", start="{kind: noise, mean: 0.2, amplitude: 0.05}",
        )
    )  # fmt: skip
    before = sim.observe(sim.carry)[1]["free_energy"]
    run(sim, 5e4)
    after = sim.observe(sim.carry)[1]["free_energy"]
    print(f"energy {before:.1f} to {after:.1f}")
    assert 518.5 * 0.04 * sim.grid.volume - 1e-9 < after < before  # of the means, 0.2, to all


def test_transforms_of_a_step(mixture: Specify) -> None:
    """None for numbers, 2 d a field for a matrix that varies, one gradient where a row of numbers meets one that varies."""

    def count(*rows: str) -> int:
        sim = Simulation(mixture(*rows, "grid.shape=[8,6]", start="0.3"))
        return sum(t.components for t in transforms_of(sim.split.operations("work")))

    assert count("{a: 1, b: -0.5}", "0.5") == 4
    assert count(*SPECIES) == 4 + 8
    assert count("{a: 1 + a**2, b: -0.5}", "0.5") == 4 + 6


def test_resuming_gives_the_same_bits(mixture: Specify) -> None:
    start = "{kind: noise, mean: 0.33, amplitude: 0.05}"
    goes_on(Simulation(mixture(*SPECIES, energy=DEMIXING, start=start)), 20.0, 30, 10)


# -- mistakes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (("{a: 1, b: 0.8}", "0.5"), r"matrix of a, b is \[\[1, 0.8\], \[0.8, 0.5\]\], with the eigenvalue -0.0881"),
        (
            ("{a: 1, b: 0.5}", "{b: 1, a: 0.4}"),
            "has 0.5 for b, and that of b has 0.4 for a; a mobility matrix is symmetric",
        ),
        (("{a: 1, b: 1 + a}", "1"), r"at a = .*, where the run may come, with the eigenvalue -"),
        (("{a: 1, b: sqrt(a - 100)}", "1"), r"sqrt\(a - 100\) is nan in cell \(0, 0\), where a = "),
        (("{a: 1, b: sqrt(1 - t)/10}", "1"), "matrix of a, b does not stay finite until time.end = 20"),
        (("{b: 0.5}", "1"), "has no entry for a itself"),
        (("{a: 1, c: 0.5}", "1"), "is for c"),
        (("{a: 1, b: 0.1}", "[1, 2]"), "has one mobility per axis; give a single one"),
        (("{a: 1, b: 0.1}", "1", "model.fields.b.kinetics=nonconserved"), "not conserved"),
        (
            ("{a: 1, b: 0.1}", "1", "model.fields.a.components=2", "model.energy=sum(a**2) + b**2"),
            "has components: write them as fields",
        ),
        (("{a: 1, b: 0.1}", "1", "model.fields.a.noise=0.1"), "needs a mobility that is a number"),
    ],
    ids=str,
)
def test_matrices_that_cannot_be_used(mixture: Specify, rows: tuple[str, ...], message: str) -> None:
    start = "{kind: noise, mean: 0.5, amplitude: 0.05}"
    with pytest.raises(ConfigError, match="(?s)" + message):
        Simulation(mixture(*rows, start=start))


def test_a_matrix_that_becomes_indefinite_ends_the_run(mixture: Specify) -> None:
    sim = Simulation(
        mixture("{a: 1, b: a}", "1", "model.fields.a.source=0.2*(1 + cos(2*pi*x/24)*cos(2*pi*y/20))", start="0.3")
    )
    with pytest.raises(Diverged, match="mobility a that couples it to 'b' exceeds the root of both mobilities by"):
        run(sim, 20.0)
    assert np.isfinite(field_values(sim)).all()


def test_a_coupling_of_zero_is_none(mixture: Specify) -> None:
    fields = build_model(mixture("{a: 1, b: 0}", "0.5")).order_parameters
    assert [f.law for f in fields] == [None, None]


def test_a_matrix_of_numbers_keeps_its_references(tmp_path: Path) -> None:
    """Beside a mobility that varies: rows of three fields add up to more than the largest eigenvalue, which bounds the matrix."""
    rows = {"a": "{a: 1, b: 0.7}", "b": "{b: 1, c: 0.6}", "c": "1", "d": "1 + d**2"}
    own = "kinetics: conserved, kappa: 0.5, initial: '0.1*cos(pi*x/4)'"
    fields = "".join(f"  {name}: {{mobility: {law}, {own}}}\n" for name, law in rows.items())
    path = tmp_path / "four.yaml"
    path.write_text(f"name: four\nenergy: a**2 + b**2 + c**2 + d**2\nfields:\n{fields}")
    sim = Simulation(specify(f"model={path}", "grid.shape=[8]", "grid.length=8", "time.end=2"))
    before = [f.mobility for f in sim.model.order_parameters]
    for _ in range(8):
        sim.advance(2.0)
    assert [f.mobility for f in sim.model.order_parameters][:3] == before[:3]
