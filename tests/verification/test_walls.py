"""Walls with data: against manufactured and closed solutions, what flows in against what was asked for, contact angles."""

from __future__ import annotations

import itertools
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sympy as sp
from verify import T, X, Y, field_values, run, solve, specify, steps

from phasefield.errors import ConfigError
from phasefield.models.analysis import manufactured_source
from phasefield.models.wall_data import WALLS, conditions_of
from phasefield.simulation import Simulation, build_model, footprint
from phasefield.verify.problems import text_of

#: A wave that no wall's basis fits, of a field within its wells.
WAVE = sp.Rational(1, 2) + sp.Rational(3, 10) * sp.cos(3 * X + 2 * Y + sp.Rational(3, 10) + T)
ENERGY = "model.energy=W*{0}**2*(1-{0})**2+0.3*{0}"


def simulation(*keys: str) -> Simulation:
    return Simulation(specify(*keys))


def outward(expr: sp.Expr, wall: str) -> sp.Expr:
    """A derivative along the outward normal at a wall of the unit square."""
    axis, side = WALLS[wall]
    x = (X, Y)[axis]
    return (1 if side else -1) * sp.diff(expr, x).subs(x, side)


def data(boundary: tuple[str, ...], u: sp.Expr, mu: sp.Expr, mobility: sp.Expr | float) -> dict[str, dict[str, str]]:
    """What the walls of the unit square hold of a solution."""
    found: dict[str, dict[str, str]] = {}
    for wall in [w for w, (axis, _) in WALLS.items() if axis < len(boundary)]:
        axis, side = WALLS[wall]
        place = {(X, Y)[axis]: side}
        match conditions_of(boundary[axis])[side]:
            case "value":
                found[wall] = {"value": text_of(u.subs(place)), "potential": text_of(mu.subs(place))}
            case "slope":
                flux = sp.sympify(mobility).subs(place) * outward(mu, wall)
                found[wall] = {"slope": text_of(outward(u, wall)), "flux": text_of(flux)}
    return found


def error_of(kinetics: str, boundary: tuple[str, ...], cells: int, law: str = "0.7", kappa: str = "0.05") -> float:
    """The largest error of `WAVE` between walls that hold it, on a grid of the unit line or square."""
    name = {"conserved": "c", "nonconserved": "eta"}[kinetics]
    model = {"conserved": "cahn_hilliard", "nonconserved": "allen_cahn"}[kinetics]
    u = WAVE if len(boundary) > 1 else WAVE.subs(Y, 0)
    spec = specify(
        f"model={model}", ENERGY.format(name), "model.parameters={W: 1}", f"model.fields.{name}.mobility={law}",
        f"model.fields.{name}.kappa={kappa}", f"grid.shape={[cells] * len(boundary)}".replace(" ", ""), "grid.length=1",
        f"grid.boundary=[{','.join(boundary)}]", "time.scheme=etdms2", "time.adaptive=false", "time.dt=0.001", "time.end=0.1",
    )  # fmt: skip
    built = build_model(spec)
    (s,) = built.unknowns
    parts = [0.05] * 2 if kappa == "0.05" else [0.05, 0.02]
    mu = built.values(built.potentials[0]).subs(s, u) - sum(
        k * sp.diff(u, x, 2) for k, x in zip(parts, (X, Y), strict=True)
    )
    walls = data(boundary, u, mu, sp.sympify(law, {name: u, "c": u}) if kinetics == "conserved" else 0)
    if kinetics == "nonconserved":
        walls = {wall: {k: v for k, v in held.items() if k in ("value", "slope")} for wall, held in walls.items()}
    source = manufactured_source(built, {name: u})
    spec.model.fields[name].walls = walls
    return solve(spec, {name: u}, source, 0.1)[1]


def slow(*values: Any) -> Any:
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("kinetics", "boundary", "cells", "more"),
    [
        ("conserved", ("fixed-no-flux",), 16, ("0.5+c**2",)),
        slow("nonconserved", ("fixed",), 32, ()),
        slow("conserved", ("no-flux",), 16, ("0.5+c**2",)),
        slow("conserved", ("fixed", "fixed-no-flux"), 12, ()),
        slow("conserved", ("no-flux", "no-flux"), 24, ()),
        slow("conserved", ("no-flux-fixed", "fixed"), 24, ("0.5+c**2/2",)),
        slow("nonconserved", ("fixed-no-flux", "no-flux-fixed"), 24, ("0.7", "[0.05,0.02]")),
        slow("nonconserved", ("no-flux", "fixed"), 24, ()),
    ],
    ids=str,
)
def test_order_in_space(kinetics: str, boundary: tuple[str, ...], cells: int, more: tuple[str, ...]) -> None:
    """Data in time and along walls, on all kinds of walls, constant mobilities and others: second order in the cells."""
    coarse, fine = (error_of(kinetics, boundary, n, *more) for n in (cells, 2 * cells))
    print(f"{kinetics} {'/'.join(boundary)}: errors {coarse:.1e}, {fine:.1e}, order {math.log2(coarse / fine):.2f}")
    assert fine < 4e-4
    assert math.log2(coarse / fine) > 1.4  # on its way to 2


# -- closed forms ------------------------------------------------------------------------------------------------------

HEAT = (
    "model=allen_cahn",
    "model.energy=0*eta",
    "model.fields.eta.kappa=0.5",
    "model.fields.eta.mobility=2",
    "grid.length=1",
)
SERIES = np.arange(1, 200)


def test_heat_conduction() -> None:
    """A wall at 1 against the sine series, a flux against the cosine series, and both at once: Carslaw and Jaeger, Conduction of
    Heat in Solids, ch. 3. The diffusivity M kappa is 1.
    """
    keys = (*HEAT, "grid.shape=[64]", "time.end=0.05", "time.tolerance=0.005", "initial.eta=0")
    k, t = np.pi * SERIES[:, None], 0.05
    hot = run(simulation(*keys, "grid.boundary=fixed", "model.fields.eta.walls.left.value=1"), t)
    x = hot.grid.axes[0].centers
    sine = 1 - x - (2 * np.sin(k * x) / k * np.exp(-(k**2) * t)).sum(axis=0)
    np.testing.assert_allclose(field_values(hot)[0], sine, atol=2e-4)
    heated = run(simulation(*keys, "grid.boundary=no-flux", "model.fields.eta.walls.right.flux=1"), t)
    cosine = (
        t + x**2 / 2 - 1 / 6 - (2 * (-1.0) ** SERIES[:, None] * np.cos(k * x) / k**2 * np.exp(-(k**2) * t)).sum(axis=0)
    )
    np.testing.assert_allclose(field_values(heated)[0], cosine, atol=1e-4)
    assert field_values(heated).mean() == pytest.approx(t, rel=1e-12)
    both = "model.fields.eta.walls={left: {value: 1}, right: {flux: 1}}"
    mixed = run(simulation(*keys, "grid.boundary=fixed-no-flux", both, "time.end=20"), 20)
    np.testing.assert_allclose(field_values(mixed)[0], 1 + x, atol=1e-9)


def test_diffusion_through_layers() -> None:
    """From a wall at 1 to one at 0 through layers of mobilities 1 and 0.1: in series, as their resistances say."""
    sim = simulation(
        "model=precipitate", "model.energy=c**2/2+eta**2/2", "model.fields.c.kappa=0", "model.fields.c.mobility=1-0.9*eta",
        "model.fields.eta.mobility=0", "initial.eta=(1+tanh((x-24)/3))/2", "initial.c=0", "grid.shape=[64]",
        "grid.boundary=fixed", "model.fields.c.walls={left: {value: 1}, right: {value: 0}}", "time.end=2e5",
        "model.fields.eta.walls={right: {value: 1}}",
    )  # fmt: skip
    c, eta = field_values(run(sim, 2e5))
    fine = (np.arange(64000) + 0.5) / 1000
    resistance = np.cumsum(1 / (1 - 0.45 * (1 + np.tanh((fine - 24) / 3)))) / 1000
    exact = 1 - np.interp(sim.grid.axes[0].centers, fine + 0.0005, resistance) / resistance[-1]
    assert eta.max() > 0.99
    np.testing.assert_allclose(c, exact, atol=2e-3)


@pytest.mark.parametrize(
    "scheme", ["etdms3", *(slow(s) for s in ("imex1", "etd1", "sbdf2", "etdms2", "etdms4", "etdrk2", "etdrk4"))]
)
def test_moving_data_keep_the_order(scheme: str) -> None:
    """A wall whose value oscillates, and a flux: against a run of ten times the steps."""

    def at(dt: float, scheme: str) -> np.ndarray:
        sim = simulation(
            "model=allen_cahn", "grid.shape=[12]", "grid.length=6", "grid.boundary=fixed-no-flux", f"time.scheme={scheme}",
            "time.adaptive=false", f"time.dt={dt}", "time.end=1", "initial.eta=0.2",
            "model.fields.eta.walls={left: {value: 0.2*cos(4*t)}, right: {slope: 0.1*sin(3*t)}}",
        )  # fmt: skip
        return field_values(run(sim, 1.0))[0]

    from phasefield.integrators import SCHEMES

    exact = at(1 / 5000, "etdrk4")
    coarse, fine = (np.abs(at(dt, scheme) - exact).max() for dt in (1 / 100, 1 / 200))
    order = min(SCHEMES[scheme].order, 3 if scheme == "etdrk4" else 4)
    print(f"{scheme}: order {math.log2(coarse / fine):.2f} of {order}, error {fine:.1e}")
    assert math.log2(coarse / fine) > order - 0.35 or fine < 1e-10


# -- what flows in -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "keys",
    [
        slow(("model.fields.c.walls.left.flux=0.001*(1+cos(pi*y/8))*(1+sin(t))",)),
        slow(("model.fields.c.walls.left.flux=piecewise(0.002, y < 8, 0)*(1+sin(t))",)),
        (
            "model.fields.c.walls={left: {flux: 0.001*(1+sin(t))}, top: {angle: 70}}",
            "model.fields.c.mobility=0.1+c*(1-c)",
        ),
    ],
    ids=["smooth", "a patch", "mobility"],
)
def test_what_flows_in_is_what_was_asked_for(keys: tuple[str, ...]) -> None:
    """Whatever the flux does along the wall; in time as far as the scheme integrates it, here fixed steps of order 4."""
    sim = simulation(
        "model=cahn_hilliard", "grid.shape=[24,16]", "grid.boundary=no-flux", "initial.c=0.1+0.01*cos(pi*x/12)",
        "time.scheme=etdrk4", "time.adaptive=false", "time.dt=0.1", *keys,
    )  # fmt: skip
    start = field_values(sim).mean()
    run(sim, 10.0)
    gained = 0.001 / 24 * (10 + 1 - math.cos(10.0))
    assert field_values(sim).mean() - start == pytest.approx(gained, rel=1e-6)
    steady = simulation(*(k.replace("*(1+sin(t))", "") for k in keys), "model=cahn_hilliard", "grid.shape=[24,16]",
        "grid.boundary=no-flux", "initial.c=0.1+0.01*cos(pi*x/12)")  # fmt: skip
    start = field_values(steady).mean()
    run(steady, 20.0)
    assert field_values(steady).mean() - start == pytest.approx(0.02 / 24, abs=1e-14)


# -- energy ------------------------------------------------------------------------------------------------------------


WETTED = "{left: {slope: 0.02}, bottom: {angle: 60}, top: {energy: 0.1*(c-0.7)**2}}"
ALLEN, CAHN = (
    ("model=allen_cahn", "initial.eta=0.3*cos(x/3)*sin(pi*y/16)"),
    ("model=cahn_hilliard", "grid.boundary=no-flux"),
)


@pytest.mark.parametrize(
    ("keys", "enforced"),
    [
        slow((*ALLEN, "grid.boundary=[fixed,no-flux]", "model.fields.eta.walls={left: {value: cos(pi*y/8)}}"), True),
        ((*CAHN, "initial.c=0.5+0.1*cos(pi*x/12)*cos(pi*y/8)", f"model.fields.c.walls={WETTED}"), True),
        slow((*CAHN, "initial.c=0.5", "model.fields.c.walls.left.flux=0.01"), False),
        slow((*ALLEN, "grid.boundary=fixed", "model.fields.eta.walls.left.value=sin(t)*sin(pi*y/16)"), False),
    ],
    ids=["values", "slopes and wetting", "flux", "in time"],
)
def test_the_energy_falls_unless_walls_do_work(keys: tuple[str, ...], enforced: bool) -> None:
    """At fixed steps that the scheme alone makes small errors in; the accept test is on where the energy may only fall."""
    adaptive = simulation("grid.shape=[24,16]", *keys)
    assert (adaptive.steps._noise is not None) == enforced  # type: ignore[union-attr]
    run(adaptive, 5.0)
    if not enforced:
        return
    sim = simulation("grid.shape=[24,16]", *keys, "time.scheme=etdrk4", "time.adaptive=false", "time.dt=0.05")
    energies = [sim.observe(sim.carry)[1]["free_energy"]]
    energies += [s.observe(s.carry)[1]["free_energy"] for s in steps(sim, 5.0)]
    assert max(b - a for a, b in itertools.pairwise(energies)) <= 1e-12 * abs(energies[0])
    assert energies[-1] < energies[0] - 1e-3
    assert sim.observe(sim.carry)[1]["free_energy"] == pytest.approx(
        adaptive.observe(adaptive.carry)[1]["free_energy"], rel=2e-3
    )


# -- wetting -----------------------------------------------------------------------------------------------------------


def angle_of(c: np.ndarray, away: float) -> float:
    """The angle at the lower wall of a drop about the left one, from the circle through its outline beyond a distance."""
    outline = []
    for values, place in ((c, lambda i, j: (i, j)), (c.T, lambda i, j: (j, i))):
        i, j = np.nonzero((values[:-1] - 0.5) * (values[1:] - 0.5) < 0)
        part = (values[i, j] - 0.5) / (values[i, j] - values[i + 1, j])
        outline += [place(a + 0.5, b + 0.5) for a, b in zip(i + part, j, strict=True)]
    x, y = np.array([p for p in outline if p[1] > away]).T
    (twice, rest), *_ = np.linalg.lstsq(np.stack([y, np.ones_like(y)], axis=1), x**2 + y**2)
    centre = twice / 2
    return math.degrees(math.acos(-centre / math.sqrt(rest + centre**2)))


@pytest.mark.parametrize(
    ("angle", "radius", "shape"), [(60, 24, "[40,24]"), slow(90, 24, "[40,40]"), slow(120, 16, "[32,40]")]
)
def test_contact_angles(angle: float, radius: float, shape: str) -> None:
    """Half a circle on a wall takes Young's angle, within a degree, with interfaces of four cells."""
    theta = math.radians(angle)
    area = radius**2 * (theta - math.sin(theta) * math.cos(theta))  # of a cap with this radius and angle
    start = math.sqrt(2 * area / math.pi)
    sim = simulation(
        "model=cahn_hilliard", "model.parameters.W=1", "model.fields.c.kappa=0.92", f"grid.shape={shape}",
        "grid.boundary=no-flux", f"model.fields.c.walls.bottom.angle={angle}", "time.end=3e4",
        f"initial.c=(1-tanh((sqrt(x**2+y**2)-{start})/2.7))/2",
    )  # fmt: skip
    found = angle_of(field_values(run(sim, 3e4))[0], 4.0)
    print(f"contact angle {found:.2f}, expected {angle}")
    assert abs(found - angle) < 1


# -- along runs --------------------------------------------------------------------------------------------------------

SMALL = (
    "model=cahn_hilliard", "grid.shape=[8,10,12]", "grid.boundary=[fixed-no-flux,periodic,no-flux]", "initial.c=0.1*x/8",
    "model.fields.c.walls={left: {value: 0.1+0.1*sin(t)}, right: {flux: 0.01}, front: {angle: 60}}", "time.end=2",
    "model.fields.c.walls.left.potential=0.2",
)  # fmt: skip


def test_a_resumed_run_has_the_same_bits(tmp_path: Path) -> None:
    """In three dimensions, between walls of all kinds; and single precision, and the memory that is asked for."""
    whole, broken = simulation(*SMALL), simulation(*SMALL)
    for _ in range(20):
        whole.advance(2.0)
    for _ in range(9):
        broken.advance(2.0)
    arrays, numbers = broken.state()
    resumed = Simulation(specify(*SMALL), checkpoint=({k: v.copy() for k, v in arrays.items()}, numbers))
    for _ in range(11):
        resumed.advance(2.0)
    np.testing.assert_array_equal(field_values(resumed), field_values(whole))
    assert resumed.carry.t == whole.carry.t
    single = run(simulation(*SMALL, "precision=single"), 2.0)
    np.testing.assert_allclose(field_values(single), field_values(run(whole, 2.0)), atol=2e-4)
    assert footprint(specify(*SMALL)).device > 0


@pytest.mark.parametrize(
    ("keys", "key", "said"),
    [
        ("walls.left.value=1", "walls.left", "the grid is periodic along x"),
        ("walls.left.value=1 grid.boundary=no-flux", "walls.left.value", "no datum of a no-flux axis"),
        ("walls.left.flux=1 grid.boundary=fixed", "walls.left.flux", "no datum of a fixed axis"),
        ("walls.left={slope: 1, angle: 60} grid.boundary=no-flux", "walls.left", "has slope and angle; one datum"),
        ("walls.left={value: 1, flux: 1} grid.boundary=no-flux", "walls.left", "has value and flux; one datum"),
        ("walls.left.flux=2*foo grid.boundary=no-flux", "walls.left.flux", "'foo'"),
        ("walls.left.flux=c grid.boundary=no-flux", "walls.left.flux", "'c'"),
        ("walls.left.slope=x grid.boundary=no-flux", "walls.left.slope", "depends on x"),
        ("walls.left.slope=z grid.boundary=no-flux", "walls.left.slope", "coordinate z does not exist"),
        ("walls.back.slope=1 grid.boundary=no-flux", "walls.back", "does not exist on a 2-D grid"),
        ("walls.north.slope=1 grid.boundary=no-flux", "walls.north", "there is no such wall"),
        ("walls.left.angel=60 grid.boundary=no-flux", "walls.left.angel", "there is no such condition"),
        ("walls.left.angle=200 grid.boundary=no-flux", "walls.left.angle", "degrees from 0 to 180"),
        ("walls.left=1 grid.boundary=no-flux", "walls.left", "a mapping is expected"),
        ("walls.left.value=1 grid.boundary=fixed", "walls", "do not agree where walls meet"),
        ("walls.left.value=sin(t) grid.boundary=fixed", "walls", "walls meet: at x = 0, y = 0, t = 1.2345 the"),
        ("walls.left.value=max(0,t-7) grid.boundary=fixed", "walls", "y = 0, t = 12.345 the left wall holds"),
        ("walls.left.value=piecewise(0,t<50,1,t<60,0) grid.boundary=fixed", "walls", "y = 0, t = 55 the left wall holds"),
        ("walls.left.slope=y*sin(t) grid.boundary=no-flux", "walls", "t = 1.2345 the"),
        ("walls.left.value=abs(y-8) grid.boundary=[fixed,no-flux]", "walls.left.value", "may jump or bend"),
        ("walls.left.value=1 grid.boundary=[fixed,no-flux] model.fields.c.operator=1/k2", "walls", "with an operator"),
        ("walls.left.angle=60 grid.boundary=no-flux model.energy=c**2/2", "walls", "has an angle, but"),
        ("walls.left.angle=60 grid.boundary=no-flux model.parameters.W=1+t", "walls.left.angle", "W depends on time"),
        ("walls.left.flux=1 grid.boundary=no-flux model.fields.c.mobility=0", "walls.left.flux", "mobility is 0"),
        ("walls.left.value=0 grid.boundary=[fixed,no-flux] model.energy=c*log(c)", "walls.left", "no finite potential at c = 0"),
        ("walls.left.value=log(1.5-t) grid.boundary=[fixed,no-flux] time.end=2", "walls.left.value", "no finite value at x = 0"),
        ("walls.left.value=1-t grid.boundary=[fixed-no-flux,no-flux] model.energy=log(c) time.end=2", "walls.left", "t = 1"),
        ("walls.left.flux=1/t grid.boundary=no-flux", "walls.left.flux", "1/t has no finite value at x = 0"),
        ("walls={left: {flux: 1e308}, right: {flux: 1e308}} grid.boundary=no-flux", "walls", "beyond all numbers"),
    ],
)  # fmt: skip
def test_bad_data_are_named(keys: str, key: str, said: str) -> None:
    wall, *more = re.split(r" (?=grid\.|model\.|time\.)", keys)
    with pytest.raises(ConfigError) as caught:
        simulation("model=cahn_hilliard", "grid.shape=[8,8]", "initial.c=0.5", f"model.fields.c.{wall}", *more)
    assert caught.value.key == f"model.fields.c.{key}"
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "keys",
    [
        ("model.fields.c.walls={left: {flux: 0.01*cos(3*t)}, right: {flux: -0.004}}",),
        ("model.fields.c.source=0.01*W*exp(-t)", "model.parameters.W=1+0.2*sin(t)"),
    ],
)
def test_what_is_the_same_in_all_cells_takes_no_channel(keys: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """It stands where k = 0, and the run is that with a channel of its own."""
    given = ("model=cahn_hilliard", "grid.shape=[24,20]", "grid.boundary=[no-flux,periodic]", "time.end=1", *keys)
    one = simulation(*given)
    monkeypatch.setattr("phasefield.models.split.uniform", lambda *_: False)
    other = simulation(*given)
    assert (one.split.channels, other.split.channels) == (1, 2)
    run(one, 1.0)
    run(other, 1.0)
    assert one.carry.step == other.carry.step
    np.testing.assert_allclose(field_values(one), field_values(other), rtol=0, atol=1e-12)


def test_the_characteristic_length_is_that_of_the_field() -> None:
    """Of one cosine, whatever the walls hold; the state is what is left of it without that."""
    walls = "model.fields.eta.walls={left: {value: 0.3}, right: {value: -0.3}}"
    keys = ("model=allen_cahn", "grid.shape=[64]", "grid.length=[24]", "grid.boundary=fixed", walls)
    sim = simulation(*keys, "initial.eta=0.3*cos(pi*x/24)", "output.observables=[characteristic_length]")
    assert sim.observe(sim.carry)[1]["characteristic_length_eta"] == pytest.approx(48, rel=1e-9)


def test_a_pulse_of_flux_enters_whole() -> None:
    """Of a Gaussian of t written out the factors would be too large and too small for a computer."""
    sim = simulation(
        *("model=cahn_hilliard", "grid.shape=[16]", "grid.length=4", "grid.boundary=no-flux", "initial.c=0.1"),
        *("model.energy=c**2/2", "model.fields.c.walls.left.flux=exp(-((t-50)/0.5)**2)", "time.end=100"),
    )
    gained = 4 * (float(field_values(run(sim, 100)).mean()) - 0.1)
    assert gained == pytest.approx(0.5 * math.sqrt(math.pi), rel=0.005)
