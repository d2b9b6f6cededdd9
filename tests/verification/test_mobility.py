"""Mobilities that depend on the fields and on time."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import sympy as sp
from resumed import goes_on
from test_manufactured import END, LENGTH, STEP, TOLERANCE, pattern
from verify import field_values, run, solve, specify, steps

from phasefield.backend.operations import transforms_of
from phasefield.errors import ConfigError, Diverged
from phasefield.integrators import SCHEMES
from phasefield.models import referenced
from phasefield.models.analysis import manufactured_source
from phasefield.simulation import Simulation, build_model, footprint

LANDAU = "model=cahn_hilliard_landau"


def in_turns(schemes: Iterable[str], always: tuple[str, ...]) -> list[Any]:
    """Schemes, of which those that are not run ``always`` are marked slow."""
    return [pytest.param(scheme, marks=() if scheme in always else pytest.mark.slow) for scheme in schemes]


def simulation(*keys: str) -> Simulation:
    return Simulation(specify(*keys))


def small(*keys: str) -> Simulation:
    return simulation("model=cahn_hilliard", "grid.shape=[24,20]", "time.end=50", *keys)


# -- the equation ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "boundary", "cells", "law"),
    [
        ("cahn_hilliard_landau", ("periodic", "periodic"), 32, "1/2 + phi**2/2 + sin(3*t)/4"),
        ("cahn_hilliard_landau", ("no-flux",), 48, "1 + phi/4"),
        ("cahn_hilliard_landau", ("fixed", "no-flux"), 32, "1 - phi**2/2"),
        ("cahn_hilliard_landau", ("periodic", "no-flux"), 32, "[1 + phi/4, 1/2 - phi/8]"),
        ("cahn_hilliard_landau", ("periodic", "no-flux"), 32, "[1, 1/4]"),
        ("allen_cahn", ("no-flux", "fixed"), 32, "1/4 + eta**2 + t"),
        pytest.param(
            "cahn_hilliard_landau", ("periodic", "fixed", "no-flux"), 20, "1 - phi**2/2", marks=pytest.mark.slow
        ),
        pytest.param(
            "cahn_hilliard_landau", ("periodic",) * 3, 24, "[1, 1/2 + phi/8, 1/2 - phi/8]", marks=pytest.mark.slow
        ),
    ],
    ids=str,
)
def test_manufactured_solutions(model: str, boundary: tuple[str, ...], cells: int, law: str) -> None:
    """On all boundaries, in one to three dimensions, with laws along the axes and in time."""
    name = {"cahn_hilliard_landau": "phi", "allen_cahn": "eta"}[model]
    spec = specify(
        f"model={model}", f"grid.shape={[cells] * len(boundary)}".replace(" ", ""), f"grid.length={LENGTH}",
        f"grid.boundary=[{','.join(boundary)}]", "time.scheme=etdms2", "time.adaptive=false", f"time.dt={STEP}",
        f"model.fields.{name}.mobility={law}", f"time.end={END}",
    )  # fmt: skip
    solution = {name: sp.Rational(3, 5) * pattern(boundary, 0)}
    _, error = solve(spec, solution, manufactured_source(build_model(spec), solution), END)
    print(f"{model} {'/'.join(boundary)} {law}: relative error {error:.1e}")
    assert error < TOLERANCE


def relaxed(scheme: str, dt: float, model: str, law: str) -> np.ndarray:
    sim = simulation(
        f"model={model}", "grid.shape=[8]", f"grid.length={4 * math.pi}", "time.adaptive=false",
        f"time.scheme={scheme}", f"time.dt={dt}", "time.end=1", law,
    )  # fmt: skip
    return field_values(run(sim, 1.0))[0]


CASES = {
    "conserved": (
        LANDAU.removeprefix("model="),
        "model.fields.phi={mobility: 1/2 + phi**2/2 + sin(3*t)/4, initial: 0.1+0.5*cos(x/2)+0.1*sin(x)}",
    ),
    "nonconserved": (
        "allen_cahn",
        "model.fields.eta={mobility: 1/2 + eta**2/2 + sin(3*t)/4, initial: 0.1+0.5*cos(x/2)+0.1*sin(x)}",
    ),
}


@pytest.fixture(scope="module", params=["conserved", pytest.param("nonconserved", marks=pytest.mark.slow)])
def problem(request: pytest.FixtureRequest) -> tuple[str, str, np.ndarray]:
    model, law = CASES[request.param]
    return model, law, relaxed("etdrk4", 1 / 512, model, law)


@pytest.mark.parametrize("scheme", in_turns(SCHEMES, ("etdms3", "sbdf2")))
def test_order_in_time(scheme: str, problem: tuple[str, str, np.ndarray]) -> None:
    model, law, reference = problem
    order = SCHEMES[scheme].order
    errors = [
        np.abs(relaxed(scheme, (1 / 256 if order == 1 else 1 / 64) / 2**i, model, law) - reference).max()
        for i in (1, 2)
    ]
    measured = math.log2(errors[0] / errors[1])
    print(f"{scheme}: {measured:.3f}, errors {errors[0]:.1e} {errors[1]:.1e}")
    assert measured == pytest.approx(order, abs=0.15)


@pytest.mark.parametrize("boundary", ["periodic", "no-flux"])
def test_a_law_that_is_constant_is_the_constant(boundary: str) -> None:
    """Also where L is made with another reference, so that the fluxes carry the difference; such a text alone is a number."""
    start = "initial.c=0.5+0.2*cos(2*pi*x/24)*cos(2*pi*y/20)"
    keys = (f"grid.boundary={boundary}", start, "time.scheme=etdrk4", "time.adaptive=false", "time.dt=0.01")
    plain, varying, simplified = (small(*keys, f"model.fields.c.mobility={m}") for m in ("2", "2 + 1e-30*c", "2 + 0*c"))
    assert (plain.model.varies, varying.model.varies, simplified.model.varies) == (False, True, False)
    other = referenced(varying.model, [(3.0,)])
    varying.split.stabilize(varying.stabilizers, other)
    varying.integrator.restart(varying.carry, 0.0)
    found = [field_values(run(sim, 2.0)) for sim in (plain, varying)]
    difference = np.abs(found[0] - found[1]).max()
    print(f"{boundary}: {difference:.1e}")
    assert 0 < difference < 1e-8


# -- what no step may change or raise ----------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", in_turns(SCHEMES, ("etdms3", "sbdf2")))
def test_mass_and_energy_with_a_degenerate_mobility(scheme: str) -> None:
    """The mean stays to the bit and the energy never rises, with c (1 - c) beyond the phases as well."""
    boundary = "no-flux" if scheme in ("sbdf2", "etdrk4") else "periodic"
    sim = small("model.fields.c.mobility=4*c*(1 - c)", f"time.scheme={scheme}", f"grid.boundary={boundary}")
    mean, energies = sim.backend.to_host(sim.carry.u)[0, 0, 0, 0], [sim.carry.energy]
    for s in steps(sim, 50.0):
        energies.append(s.carry.energy)
        if s.carry.step >= 300:
            break
    print(f"{scheme}: {sim.carry.step} steps to {sim.carry.t:.3g}, {sim.rejected} refused")
    assert sim.backend.to_host(sim.carry.u)[0, 0, 0, 0] == mean
    assert energies[-1] < energies[0]
    assert np.diff(energies).max() <= 1e-14 * sim.grid.volume


@pytest.mark.parametrize("scheme", in_turns(["imex1", "sbdf2", "etdms2", "etdms3", "etdms4", "etdrk2"], ("etdms3",)))
def test_large_steps_are_stable(scheme: str) -> None:
    """A wavy surface with steps of 1000 times the explicit limit 2/(M kappa k^4) of the grid."""
    dt = 1000 * 2 / (2 * math.pi**2) ** 2
    sim = simulation(
        "model=surface_diffusion", "grid.shape=[32,32]", "grid.boundary=no-flux", "time.adaptive=false", f"time.dt={dt}",
        f"time.scheme={scheme}", f"time.end={600 * dt}", "initial.c=1/2 - tanh((y - 16 - 2*cos(pi*x/32))/2)/2",
    )  # fmt: skip
    before = sim.observe(sim.carry)[1]["free_energy"]
    cells = field_values(run(sim, 600 * dt))
    after = sim.observe(sim.carry)[1]["free_energy"]
    print(f"{scheme}: energy {before:.5f} to {after:.5f}, values {cells.min():.4f} to {cells.max():.4f}")
    assert 32 / 6 < after < before  # a flat surface has sqrt(2 kappa W)/6 an area
    assert -0.01 < cells.min() < cells.max() < 1.01


@pytest.mark.parametrize("boundary", [("no-flux",), ("periodic", "fixed"), ("periodic",) * 3], ids=str)
def test_transforms_of_a_step(boundary: tuple[str, ...]) -> None:
    """2 + 2 d of one component that is conserved, 3 of one that is not, and 2 as before if no mobility varies."""

    def count(model: str, law: str) -> int:
        sim = simulation(
            f"model={model}", f"grid.shape={[6] * len(boundary)}", f"grid.boundary=[{','.join(boundary)}]", law
        )
        return sum(t.components for t in transforms_of(sim.split.operations("work")))

    assert count("cahn_hilliard_landau", "model.fields.phi.mobility=1 + phi**2") == 2 + 2 * len(boundary)
    assert count("allen_cahn", "model.fields.eta.mobility=1 + eta**2") == 3
    assert count("cahn_hilliard_landau", f"model.fields.phi.mobility={[1] * len(boundary)}") == 2


@pytest.mark.parametrize("boundary", ["periodic", "no-flux"])
def test_memory_of_a_run(boundary: str) -> None:
    """2 + d arrays more than with a constant mobility, which the check before a run knows."""
    keys = ("model=cahn_hilliard", "grid.shape=[64,48]", f"grid.boundary={boundary}", "output.observables=[]")
    plain, varying = (footprint(specify(*keys, f"model.fields.c.mobility={m}")) for m in ("1", "1 + c**2"))
    field = 8 * 64 * (50 if boundary == "periodic" else 48)
    assert varying.device - plain.device == pytest.approx(4 * field, rel=0.02)


# -- limits of theory --------------------------------------------------------------------------------------------------


def decay(wavelength: float, law: str) -> float:
    """Decay rate of a wavy surface over that of surface diffusion, B k^4 with B = 4/9 M kappa (docs/mobility.md)."""
    k = 2 * math.pi / wavelength
    time = 0.15 / (4 / 9 * k**4)
    sim = simulation(
        "model=surface_diffusion", f"grid.shape=[{wavelength // 2},32]", "grid.boundary=no-flux", "time.scheme=etdms2",
        f"initial.c=1/2 - tanh((y - 16 - 0.3*cos({k}*x))/2)/2", f"time.end={2 * time}", "time.tolerance=0.02", law,
    )  # fmt: skip
    x = sim.grid.axes[0].centers

    def amplitude() -> float:
        return float((field_values(sim)[0].sum(axis=1) * np.cos(k * x)).mean())

    first = amplitude() if run(sim, time) else 0.0
    return math.log(first / amplitude() if run(sim, 2 * time) else 0.0) / (time * 4 / 9 * k**4)


def test_a_wavy_surface_decays_by_surface_diffusion() -> None:
    """Mullins' k^4 in the limit of long waves; what c (1 - c) leaves in the bulk makes it half as fast again."""
    coarse, fine = (decay(wavelength, "seed=1") for wavelength in (48, 64))
    limit = fine + (fine - coarse) / ((64 / 48) ** 2 - 1)
    bulk = decay(64, "model.fields.c.mobility=4*c*(1 - c)")
    print(f"rates over B k^4: {coarse:.4f}, {fine:.4f}, limit {limit:.4f}; with c (1 - c) {bulk:.3f}")
    assert limit == pytest.approx(1, abs=0.02)
    assert bulk > 1.3


def necking(radius: int) -> float:
    """Growth rate of the neck of a rod over that of surface diffusion, B k^2 (1/R^2 - k^2), for the wave that grows fastest."""
    cells = round(math.pi * math.sqrt(2) * radius)  # half a wave, of a quarter of the rod
    k = math.pi / cells
    rate = 4 / 9 * k**2 * (1 / radius**2 - k**2)
    start, end = 0.15 / rate, 0.3 / rate
    sim = simulation(
        "model=surface_diffusion", f"grid.shape=[{cells},{radius + 6},{radius + 6}]", "grid.boundary=no-flux",
        f"initial.c=1/2 - tanh((sqrt(y**2 + z**2) - {radius} - {0.02 * radius}*cos({k}*x))/2)/2", "time.scheme=etdms2",
        f"time.end={end}", "output.observables=[]",
    )  # fmt: skip
    x = sim.grid.axes[0].centers

    def amplitude() -> float:
        return float((field_values(sim)[0].sum(axis=(1, 2)) * np.cos(k * x)).mean())

    first = amplitude() if run(sim, start) else 0.0
    return math.log(amplitude() / first if run(sim, end) else 0.0) / ((end - start) * rate)


@pytest.mark.slow
def test_a_rod_breaks_up_by_surface_diffusion() -> None:
    """Nichols and Mullins' rate in the limit of thin interfaces, from rods of 6, 8 and 10 of their lengths l.

    It is reached as 1/R^2, and at these radii 1/R^4 counts, too.
    """
    radii = np.array([6, 8, 10])
    found = [necking(int(radius)) for radius in radii]
    limit = float(np.polyfit(1.0 / radii**2, found, 2)[-1])
    print(f"rates over those of thin interfaces: {found}, limit {limit:.4f}")
    assert limit == pytest.approx(1, abs=0.02)


def test_relaxation_follows_a_mobility_in_time() -> None:
    """A homogeneous field near its well decays by exp(-f'' int M dt), through a mobility that grows a hundredfold and falls."""
    sim = simulation(
        "model=allen_cahn", "grid.shape=[8]", "initial.eta=1.001", "time.end=20", "time.tolerance=0.01",
        "model.fields.eta={mobility: 0.01 + exp(-(t - 10)**2)}",
    )  # fmt: skip
    run(sim, 20.0)
    grown = 0.01 * 20 + math.sqrt(math.pi)
    assert math.log((field_values(sim)[0, 0] - 1) / 1e-3) == pytest.approx(-2 * grown, rel=0.01)


# -- resuming, precision, several fields -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "keys", [(), ("precision=single", "grid.boundary=no-flux"), ("time.adaptive=false", "time.dt=0.5")]
)
def test_resuming_gives_the_same_bits(keys: tuple[str, ...]) -> None:
    goes_on(small("model.fields.c.mobility=(4 + sin(t))*c*(1 - c)", *keys), 50.0, 30, 20)


@pytest.mark.slow
def test_single_precision_agrees() -> None:
    keys = ("model.fields.c.mobility=4*c*(1 - c)", "time.adaptive=false", "time.dt=0.05")
    double, single = (field_values(run(small(*keys, f"precision={p}"), 20.0)) for p in ("double", "single"))
    assert np.abs(double - single).max() < 1e-4


@pytest.mark.slow
def test_two_fields_with_laws_of_each_other() -> None:
    """Diffusion that is faster in one phase, along axes, and an interface that is slowed by the solute."""
    sim = simulation(
        "model=precipitate", "grid.shape=[48,48]", "grid.length=96", "initial.c.count=2", "initial.eta.count=2", "time.end=20",
        "model.fields.c={mobility: [1 + eta**2, 1/2 + eta**2]}", "model.fields.eta={mobility: 1/(1 + c**2)}",
    )  # fmt: skip
    assert len(sim.model.bodies) == 1
    mass, energies = field_values(sim)[0].mean(), [sim.carry.energy]
    energies += [s.carry.energy for s in steps(sim, 20.0)]
    assert field_values(sim)[0].mean() == pytest.approx(mass, abs=1e-14)
    assert np.diff(energies).max() <= 1e-14 * sim.grid.volume


# -- mistakes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("law", "message"),
    [
        ("1 - 2*c", r"1 - 2\*c is -1 at c = 1, where the run may come; it must be >= 0"),
        ("1 - t", "is -49 at c = .* and t = 50, where"),
        ("log(c - 2)", r"log\(c - 2\) is nan in cell \(0, 0\), where c = 0\.5\d* at the start"),
        ("1/(25 - t)**2 + c", "does not stay finite until time.end = 50"),
        ("1 + x*c", "unknown name 'x'"),
        ("[1 + c, 1, 1]", r"has 3 entries for 2 axes"),
        (
            "[[1, 0], [0, c]]",
            "is a matrix; .*what couples fields is written by their names, as in {a: 2, b: -0.5}; axes are not coupled",
        ),
        ("{x: 1, z: c}", "is for x, z"),
        ("[1, -1]", "is -1.0; a finite number >= 0"),
    ],
)
def test_laws_that_cannot_be_used(law: str, message: str) -> None:
    with pytest.raises(ConfigError, match="(?s)" + message) as caught:
        small(f"model.fields.c.mobility={law}")
    assert caught.value.key.startswith("model.fields.c.mobility")


def test_axes_of_a_field_that_does_not_flow() -> None:
    with pytest.raises(ConfigError, match="takes a single one"):
        simulation("model=allen_cahn", "grid.shape=[8,8]", "model.fields.eta.mobility=[1, 2]")


def test_a_mobility_that_becomes_negative_ends_the_run() -> None:
    """In a state to which only a source leads: one message with the cell and the values, the state before it kept."""
    sim = small(
        "model.fields.c.mobility=1.5 - c", "model.fields.c.source=0.2*(1 + cos(2*pi*x/24)*cos(2*pi*y/20))",
        "model.energy=(c - 1/2)**2", "initial.c=0.5",
    )  # fmt: skip
    with pytest.raises(
        Diverged, match=r"field 'c': the mobility 1.5 - c is -1\.\d+ in cell \(\d+, \d+\), where c = 2\.\d+"
    ):
        run(sim, 50.0)
    assert np.isfinite(field_values(sim)).all()
