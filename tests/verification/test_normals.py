"""Gradient energy that depends on the normal: the force, interfaces, equilibrium shapes, and what cannot be."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import sympy as sp
from resumed import goes_on
from verify import T, X, Y, field_values, run, solve, specify, steps

from phasefield.backend.operations import transforms_of
from phasefield.errors import ConfigError, ExpressionError
from phasefield.integrators import SCHEMES
from phasefield.models.analysis import manufactured_source
from phasefield.models.anisotropy import read
from phasefield.models.wulff import convexified, missing, radii
from phasefield.simulation import Simulation, build_model, footprint

#: Nine tenths of the strength at which orientations begin to be unstable.
DELTA = 0.9 / 15
FOURFOLD = f"(1 + {DELTA}*cos(4*theta))**2"
TURNED = f"(1 + {DELTA}*cos(4*(theta - pi/6)))**2"
CUBIC = "(1 - 3*0.05 + 4*0.05*(n_x**4 + n_y**4 + n_z**4))**2"


def in_turns(cases: Any) -> list[Any]:
    """Cases that are marked slow."""
    return [pytest.param(case, marks=pytest.mark.slow) for case in cases]


def relaxing(*keys: str) -> Simulation:
    """An order parameter; its wells are -1 and 1, sigma = 2 sqrt(2 kappa)/3."""
    return Simulation(specify("model=allen_cahn", *keys))


def droplet(shape: tuple[int, ...], radius: float, law: str, *keys: str, more: str = "") -> Simulation:
    """A circle in the middle of a periodic plane, or an eighth of a sphere in the corner of a room; sigma = 2 sqrt(2)/3.

    Args:
        law, more: kappa of the conserved field, and further keys of it.
    """
    center = shape[0] / 2 if len(shape) == 2 else 0
    squares = " + ".join(f"({x} - {center})**2" for x, _ in zip("xyz", shape, strict=False))
    return Simulation(
        specify(
            "model=cahn_hilliard_landau",
            f"grid.shape={list(shape)}".replace(" ", ""),
            f"grid.boundary={'periodic' if center else 'no-flux'}",
            *keys,
            f"model.fields.phi={{kappa: {law}, initial: tanh(({radius} - sqrt({squares}))/sqrt(2)){more}}}",
        )
    )


# -- the force ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "boundary",
    [
        ("no-flux", "fixed"),
        *in_turns([("periodic", "periodic"), ("fixed",), ("no-flux", "periodic", "fixed")]),
    ],
    ids=str,
)
def test_a_quadratic_law_is_numbers_for_the_axes(boundary: tuple[str, ...]) -> None:
    """kappa_x n_x^2 + kappa_y n_y^2: the same energy by derivatives and cells as by L alone."""
    dim, numbers = len(boundary), (0.5, 2.0, 1.25)
    waves = [f"{'sin' if b == 'fixed' else 'cos'}({a}/2)" for a, b in zip("xyz", boundary, strict=False)]
    law = " + ".join(f"{k}*n_{a}**2" for k, a, _ in zip(numbers, "xyz", boundary, strict=False))
    found = []
    for kappa in (list(numbers[:dim]), law):
        sim = relaxing(
            f"grid.shape={[24, 20, 12][:dim]}", f"grid.length={4 * math.pi}", f"grid.boundary=[{','.join(boundary)}]",
            f"initial.eta=0.6*{'*'.join(waves)}",
            "time.scheme=etdrk4", "time.adaptive=false", "time.dt=0.005", "time.end=0.2", f"model.fields.eta.kappa={kappa}",
        )  # fmt: skip
        run(sim, 0.2)
        found.append((field_values(sim), sim.observe(sim.carry)[1]["free_energy_gradient"]))
    difference = np.abs(found[0][0] - found[1][0]).max()
    print(f"{'/'.join(boundary)}: {difference:.1e}, energies {found[0][1]:.12g} {found[1][1]:.12g}")
    assert difference < 1e-9
    assert found[1][1] == pytest.approx(found[0][1], rel=1e-9)


@pytest.mark.parametrize(
    ("shape", "boundary", "law"),
    [
        ("[24,20]", "periodic", "1 + 0.2*n_x*n_y + 0.3*n_x"),
        pytest.param("[24,20]", "[no-flux,periodic]", FOURFOLD, marks=pytest.mark.slow),
        pytest.param("[12,10,8]", "no-flux", CUBIC, marks=pytest.mark.slow),
    ],
)
def test_the_field_follows_the_energy_that_is_told(shape: str, boundary: str, law: str) -> None:
    """dF/dt = -int (du/dt)^2/M, by differences of the energies and states of a run; also for a law that is not even."""
    sim = relaxing(
        f"grid.shape={shape}", f"grid.boundary={boundary}", f"model.fields.eta.kappa={law}", "time.scheme=etdrk2",
        "time.adaptive=false", "time.dt=1e-4", "time.end=1", "initial.eta={kind: noise, mean: 0.2, amplitude: 0.5}",
    )  # fmt: skip
    energies, states = [], []
    for time in (0.01, 0.0101, 0.0102):
        run(sim, time)
        energies.append(sim.observe(sim.carry)[1]["free_energy"])
        states.append(field_values(sim))
    falls = (energies[2] - energies[0]) / 2e-4
    flows = float(((states[2] - states[0]) ** 2).sum()) * sim.grid.cell_volume / 2e-4**2
    print(f"{law}: {falls:.8g}, {-flows:.8g}")
    assert falls == pytest.approx(-flows, rel=1e-5)


@pytest.fixture(scope="module")
def reference() -> np.ndarray:
    return relaxed("etdrk4", 1 / 256)


def relaxed(scheme: str, dt: float) -> np.ndarray:
    sim = relaxing(
        "grid.shape=[32,32]", "time.adaptive=false", f"time.scheme={scheme}", f"time.dt={dt}", "time.end=2",
        f"model.fields.eta.kappa={TURNED}", "initial.eta=tanh((8 - sqrt((x - 16)**2 + (y - 15.7)**2))/1.5)",
    )  # fmt: skip
    return field_values(run(sim, 2.0))[0]


@pytest.mark.slow
@pytest.mark.parametrize("scheme", SCHEMES)
def test_order_in_time(scheme: str, reference: np.ndarray) -> None:
    order = SCHEMES[scheme].order
    errors = [np.abs(relaxed(scheme, (1 / 32 if order > 2 else 1 / 64) / 2**i) - reference).max() for i in (0, 1)]
    measured = math.log2(errors[0] / errors[1])
    print(f"{scheme}: {measured:.3f}, errors {errors[0]:.1e} {errors[1]:.1e}")
    assert measured > order - (0.15 if order < 4 else 0.6)


@pytest.mark.slow
def test_a_manufactured_solution() -> None:
    """At points where the gradient vanishes div de/dp jumps: the mean error falls by the second to third order."""
    errors = []
    wave = sp.cos(X / 2) * sp.cos(Y / 2) + sp.sin(X / 2) * (1 + T) / 3
    for n in (16, 64):
        spec = specify(
            "model=allen_cahn", f"grid.shape=[{n},{n}]", f"grid.length={4 * math.pi}", "time.scheme=etdrk4",
            "time.adaptive=false", "time.dt=0.01", "time.end=0.5", "model.fields.eta.kappa=1 + n_x**4/4",
        )  # fmt: skip
        solution = {"eta": sp.Rational(3, 5) * wave}
        sim, _ = solve(spec, solution, manufactured_source(build_model(spec), solution), 0.5)
        expected = sp.lambdify([X, Y], solution["eta"].subs(T, 0.5))(*sim.grid.coordinates())
        errors.append(float(np.sqrt(((field_values(sim)[0] - expected) ** 2).mean())))
    print(
        f"root mean square of the errors {errors[0]:.1e}, {errors[1]:.1e}, order {math.log(errors[0] / errors[1], 4):.2f}"
    )
    assert errors[1] < 4e-5
    assert errors[0] / errors[1] > 4**2.5


@pytest.mark.slow
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("law", [FOURFOLD, "(1 + 0.2*cos(4*theta))**2, convexify: true"])
def test_large_steps_are_stable(scheme: str, law: str) -> None:
    """A crystal with steps of 1000 times the explicit limit 2/(M kappa k^4) of the grid."""
    dt = 1000 * 2 / (2 * math.pi**2) ** 2
    sim = droplet(
        (32, 32), 8, law, "time.adaptive=false", f"time.scheme={scheme}", f"time.dt={dt}", f"time.end={300 * dt}"
    )
    before = sim.observe(sim.carry)[1]["free_energy"]
    cells = field_values(run(sim, 300 * dt))
    after = sim.observe(sim.carry)[1]["free_energy"]
    print(f"{scheme}: energy {before:.4f} to {after:.4f}, values {cells.min():.3f} to {cells.max():.3f}")
    assert -256 < after < before
    assert -1.1 < cells.min() < cells.max() < 1.1


# -- interfaces --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("p", "q"), [(2, 1), *(pytest.param(*n, marks=pytest.mark.slow) for n in ((1, 0), (1, 1)))])
def test_a_flat_interface_of_any_orientation(p: int, q: int) -> None:
    """Energy 2 sqrt(2 kappa(n))/3 and profile tanh(s/sqrt(2 kappa(n))), from one that is too wide."""
    length, size = 48, math.hypot(p, q)
    kappa = (1 + DELTA * math.cos(4 * (math.atan2(q, p) - math.pi / 6))) ** 2
    phase = f"cos(2*pi*({p}*x + {q}*y)/{length})*{length / (2 * math.pi * size)}"
    sim = relaxing(
        "grid.shape=[64,64]", f"grid.length={length}", f"model.fields.eta.kappa={TURNED}", "time.end=40",
        f"initial.eta=tanh({phase}/{1.6 * math.sqrt(2 * kappa)})",
    )  # fmt: skip
    run(sim, 40.0)
    energy = sim.observe(sim.carry)[1]["free_energy"] / (2 * length * size)
    eta, (x, y) = field_values(sim)[0], sim.grid.coordinates()
    period = length / size
    away = period / 4 - np.abs(((p * x + q * y) / size + period / 2) % period - period / 2)
    near = np.abs(eta) < 0.8
    width = 1 / np.polyfit(away[near], np.arctanh(eta[near]), 1)[0]
    print(
        f"({p}, {q}): energy {energy / (2 * math.sqrt(2 * kappa) / 3) - 1:.1e}, width {width / math.sqrt(2 * kappa) - 1:.1e}"
    )
    assert energy == pytest.approx(2 * math.sqrt(2 * kappa) / 3, rel=1e-4)
    assert width == pytest.approx(math.sqrt(2 * kappa), rel=1e-3)


@pytest.mark.parametrize("sign", in_turns("+-"))
def test_a_wavy_interface_flattens_by_its_stiffness(sign: str) -> None:
    """M gamma (gamma + gamma'') k^2, gamma = 1 +- delta cos(4 theta): 0.106 and 1.786 times the rate without anisotropy."""
    gamma, stiffness = (1 + DELTA, 1 - 15 * DELTA) if sign == "+" else (1 - DELTA, 1 + 15 * DELTA)
    k = 2 * math.pi / 48
    time = 0.3 / (gamma * stiffness * k**2)
    sim = relaxing(
        "grid.shape=[48,48]", "grid.length=24", "grid.boundary=no-flux", f"time.end={2 * time}", "time.tolerance=0.02",
        f"model.fields.eta.kappa=(1 {sign} {DELTA}*cos(4*theta))**2",
        f"initial.eta=tanh((x - 12 - 0.05*cos({k}*y))/{math.sqrt(2) * gamma})",
    )  # fmt: skip
    y = sim.grid.axes[1].centers

    def amplitude() -> float:
        return float((field_values(sim)[0].sum(axis=0) * np.cos(k * y)).mean())

    first = amplitude() if run(sim, time) else 0.0
    rate = math.log(first / amplitude() if run(sim, 2 * time) else 0.0) / time / (gamma * k**2)
    print(f"stiffness {rate:.4f}, expected {stiffness:.4f}")
    assert rate == pytest.approx(stiffness, rel=0.02)


def contour(phi: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distances of a crystal's surface from its centre on a plane of cells of edge 1, by directions, shape ``(2, n)``; phi = 0 on
    it, found along the lines of the grid with an interpolation that is as good as the profile.
    """
    places = []
    for axis in (0, 1):
        lines = np.moveaxis(phi, axis, 0)
        steep = np.arctanh(np.clip(lines, -0.9999, 0.9999))
        for i, j in np.argwhere(lines[:-1] * lines[1:] < 0):
            along, across = i + 0.5 + steep[i, j] / (steep[i, j] - steep[i + 1, j]), j + 0.5
            places.append((along, across) if axis == 0 else (across, along))
    points = np.array(places).T
    weights = np.maximum(phi + 1, 0)
    centre = [float((weights * x).sum() / weights.sum()) for x in np.ogrid[0.5 : len(phi), 0.5 : len(phi)]]
    points -= np.array(centre)[:, None]
    distances = np.hypot(*points)
    return distances, points / distances


@pytest.mark.parametrize(
    ("law", "more"),
    [
        (TURNED, ""),
        pytest.param(FOURFOLD, "", marks=pytest.mark.slow),
        pytest.param("(1 + 0.2*cos(4*(theta - pi/6)))**2", ", convexify: true", marks=pytest.mark.slow),
        pytest.param("(1 + 0.02*cos(6*theta))**2", "", marks=pytest.mark.slow),
    ],
)
def test_a_crystal_takes_the_shape_of_wulff(law: str, more: str) -> None:
    """The whole contour within 0.5 %, also turned against the grid and with corners; and the pressure of Gibbs and Thomson."""
    sim = droplet((64, 64), 16, law, "time.end=2000", more=more)
    mean, energies = field_values(sim).mean(), [sim.carry.energy]
    energies += [s.carry.energy for s in steps(sim, 2000.0)]
    assert np.diff(energies).max() <= 1e-14 * sim.grid.volume * len(energies)
    phi = field_values(sim)[0]
    assert phi.mean() == pytest.approx(mean, abs=1e-14)
    found = sim.model.order_parameters[0].anisotropy
    assert found is not None
    distance, towards = contour(phi)
    shape = radii(found, towards)
    scale = math.sqrt((distance**2).sum() / (shape**2).sum())
    departure = distance / (scale * shape) - 1
    # Gibbs and Thomson: the difference of f - mu phi is sigma/lambda all over a crystal that is lambda times the shape of gamma.
    out, within = float(phi[0, 0]), float(phi[32, 32])
    level = out**3 - out
    jump = np.subtract(*(v**4 / 4 - v**2 / 2 - level * v for v in (out, within)))
    pressure = jump * scale / (2 * math.sqrt(2) / 3)
    print(
        f"{law}{more}: {departure.min():.2e} to {departure.max():.2e}, pressure {pressure:.4f}, {sim.carry.step} steps"
    )
    assert np.abs(departure).max() < 5e-3
    assert pressure == pytest.approx(1, abs=0.02)


@pytest.mark.slow
def test_a_cubic_crystal_in_space() -> None:
    """Radii along <100>, <110>, <111> and <210> in the proportions of Wulff's shape."""
    sim = droplet((24, 24, 24), 13, CUBIC, "time.end=800")
    run(sim, 800.0)
    phi = field_values(sim)[0]
    along = np.array([[1, 0, 0], [1, 1, 0], [1, 1, 1], [2, 1, 0]]).T / np.sqrt([1, 2, 3, 5])
    k = math.pi * np.arange(24) / 24
    weights = np.where(k == 0, 1.0, 2.0)
    cells = (np.arange(24) + 0.5)[None]
    coefficients = phi
    for _ in range(3):
        coefficients = np.tensordot(weights[:, None] * np.cos(k[:, None] * cells) / 24, coefficients, axes=(1, 0))
        coefficients = np.moveaxis(coefficients, 0, -1)
    found = []
    for v in along.T:
        s = np.linspace(8, 18, 2001)
        waves = [np.cos(np.outer(s * c, k)) for c in v]
        profile = np.einsum("sa,sb,sc,abc->s", *waves, coefficients)
        found.append(float(np.interp(0, -profile, s)))
    law = sim.model.order_parameters[0].anisotropy
    assert law is not None
    ratio = np.array(found) / radii(law, along)
    print(f"radii {np.round(found, 3)}, over the shape's {ratio / ratio.mean() - 1}")
    assert np.abs(ratio / ratio.mean() - 1).max() < 5e-3


# -- strong anisotropy -------------------------------------------------------------------------------------------------


def test_orientations_that_are_missing() -> None:
    """Those of (1 + 0.2 cos 4 theta)^2 lie about the axes; what is put in their place is convex, and the shape is the same."""
    law = read("kappa", "(1 + delta*cos(4*(theta - 0.3)))**2", {"delta": 0.2}, (), 2)
    sectors = missing(law)
    middles = np.mod([0.5 * (a + b) - 0.3 + 0.1 for a, b in sectors], 2 * math.pi) - 0.1
    assert np.sort(middles) == pytest.approx([0.5 * math.pi * i for i in range(4)], abs=1e-9)
    for a, b in sectors:  # one corner: xi of both ends
        ends = law.numbers.corner(np.array([[math.cos(a), math.sin(a)], [math.cos(b), math.sin(b)]]).T)
        assert ends[:, 0] == pytest.approx(ends[:, 1], abs=1e-12)
    convex = convexified(law, {"delta": 0.2}, "kappa")
    assert (law.convex, convex.convex, convex.least) == (False, True, pytest.approx(law.least))
    around = np.stack([np.cos(np.arange(50)), np.sin(np.arange(50))])
    np.testing.assert_allclose(radii(convex, around), radii(law, around), rtol=1e-5)
    assert convexified(convex, {}, "kappa") is convex
    assert missing(read("kappa", f"(1 + {1 / 15 - 1e-4}*cos(4*theta))**2", {}, (), 2)) == []


@pytest.mark.slow
def test_an_energy_of_curvature_rounds_corners() -> None:
    """With beta k^4 the energy falls, and the corners are the sharper the smaller beta is."""
    departures = []
    for beta in (4.0, 1.0):
        sim = droplet((64, 64), 16, "(1 + 0.2*cos(4*theta))**2", "time.end=2000", more=f", operator: {beta}*k2**2")
        energies = [sim.carry.energy, *(s.carry.energy for s in steps(sim, 2000.0))]
        assert np.diff(energies).max() <= 1e-14 * sim.grid.volume * len(energies)
        law = sim.model.order_parameters[0].anisotropy
        assert law is not None
        distance, towards = contour(field_values(sim)[0])
        ratio = distance / radii(law, towards)
        departures.append(float(np.ptp(ratio) / ratio.mean()))
    print(f"range of the distances over those of the shape: {departures}")
    assert departures[1] < 0.6 * departures[0] < 0.1


# -- units, resuming, precision, other terms ---------------------------------------------------------------------------


@pytest.mark.slow
def test_units_do_not_matter() -> None:
    """Fields, energies and lengths in units that leave the range of single precision."""
    found = []
    for u, e, x in ((1.0, 1.0, 1.0), (2.0**-50, 2.0**60, 2.0**-40)):
        sim = relaxing(
            "grid.shape=[24,20]", f"grid.length=[{24 * x!r},{20 * x!r}]", "time.adaptive=false", "time.scheme=etdms2",
            f"time.dt={0.05 * u**2 / e!r}", f"time.end={2 * u**2 / e!r}", f"model.energy={e!r}/4*(1 - (eta/{u!r})**2)**2",
            f"model.fields.eta={{kappa: {e * x**2 / u**2!r}*{TURNED}, "
            f"initial: {u!r}*(0.2 + 0.5*cos(2*pi*x/{24 * x!r})*cos(2*pi*y/{20 * x!r}) + 0.1*sin(2*pi*y/{20 * x!r}))}}",
        )  # fmt: skip
        found.append(field_values(run(sim, sim.spec.time.end)) / u)
        assert sim.carry.step == 40
    assert np.abs(found[0] - found[1]).max() < 1e-12


@pytest.mark.parametrize(
    "keys",
    [
        (),
        *in_turns([("time.adaptive=false", "time.dt=0.5", "grid.boundary=no-flux"), ("precision=single",)]),
    ],
    ids=str,
)
def test_resuming_gives_the_same_bits(keys: tuple[str, ...]) -> None:
    sim = droplet((24, 24), 8, FOURFOLD, "time.end=50", *keys)
    goes_on(sim, 50.0, 15, 15)
    assert math.isfinite(sim.observe(sim.carry)[1]["free_energy_gradient"])


@pytest.mark.slow
def test_single_precision_agrees() -> None:
    keys = ("time.end=20", "time.adaptive=false", "time.dt=0.05")
    double, single = (
        field_values(run(droplet((32, 32), 8, FOURFOLD, *keys, f"precision={p}"), 20.0)) for p in ("double", "single")
    )
    assert np.abs(double - single).max() < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("kinetics", ["conserved", "nonconserved"])
def test_with_a_mobility_that_varies(kinetics: str) -> None:
    """One that is constant but for what cannot be seen moves the field as the constant; a real one lowers the energy."""
    found = []
    for mobility in ("2", "2 + 1e-30*phi", "1.5 + phi**2"):
        keys = ("time.end=1", "time.adaptive=false", "time.dt=0.01", "time.scheme=etdrk4")
        sim = droplet((24, 24), 7, TURNED, *keys, more=f", kinetics: {kinetics}, mobility: {mobility}")
        before = sim.observe(sim.carry)[1]["free_energy"]
        found.append(field_values(run(sim, 1.0)))
        assert sim.observe(sim.carry)[1]["free_energy"] < before
    print(f"{kinetics}: {np.abs(found[0] - found[1]).max():.1e}, {np.abs(found[0] - found[2]).max():.1e}")
    assert np.abs(found[0] - found[1]).max() < 1e-10
    assert np.abs(found[0] - found[2]).max() > 1e-3


@pytest.mark.slow
def test_with_other_fields_and_elastic_energy() -> None:
    """A precipitate whose interface knows directions, in a solute and with misfit: the energy falls and the solute stays."""
    sim = Simulation(
        specify(
            "model=precipitate",
            "grid.shape=[32,32]",
            "grid.length=64",
            "initial.c.count=2",
            "initial.eta.count=2",
            "time.end=20",
            f"model.fields.eta={{kappa: 2*{FOURFOLD}, eigenstrain: {{strain: 0.02, interpolation: smooth}}}}",
            "model.elastic={stiffness: {C11: 250, C12: 150, C44: 120}}",
        )
    )
    mass, energies = field_values(sim)[0].mean(), [sim.carry.energy]
    energies += [s.carry.energy for s in steps(sim, 20.0)]
    assert field_values(sim)[0].mean() == pytest.approx(mass, abs=1e-14)
    assert np.diff(energies).max() <= 1e-13 * sim.grid.volume
    assert set(sim.carry.energies) == {"bulk", "gradient", "elastic"}


@pytest.mark.parametrize("boundary", [("periodic", "fixed"), *in_turns([("no-flux",), ("periodic",) * 3])], ids=str)
def test_transforms_and_memory_of_a_step(boundary: tuple[str, ...]) -> None:
    """2 + 2 d transforms and d arrays more, which the check before a run knows."""
    dim = len(boundary)
    grid = (f"grid.shape={[48] * dim}", f"grid.boundary=[{','.join(boundary)}]", "output.observables=[]")
    keys = [("model=allen_cahn", *grid, f"model.fields.eta.kappa={kappa}") for kappa in ("1", "1 + n_x**4/20")]
    few = f"grid.shape={[6] * dim}"
    counts = [
        sum(t.components for t in transforms_of(Simulation(specify(*k, few)).split.operations("work"))) for k in keys
    ]
    plain, turned = (footprint(specify(*k)).device for k in keys)
    field = 8 * 48**dim * (50 / 48 if set(boundary) == {"periodic"} else 1)
    assert counts == [2, 2 + 2 * dim]
    assert turned - plain == pytest.approx(dim * field, rel=0.05, abs=4096)


# -- mistakes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("law", "message"),
    [
        (
            "(1 + 0.07*cos(4*theta))**2",
            r"so strong that .* n = \(.*1.*\) is negative, .*delta <= 1/\(m\*\*2 - 1\).*convexify",
        ),
        ("1 + n_x", r"is 0 at n = \(-1, 0\); it must be > 0 in every direction"),
        ("log(n_x**2)", "it must be > 0 in every direction"),
        ("2 + abs(n_x)", r"has a kink at n = \(0, .*round it"),
        ("2 + theta/10", "theta stands outside of a sine or cosine"),
        ("2 + cos(theta/2)", "theta is multiplied by 0.5, no whole number"),
        ("2 + cos(n_x*theta)", "not a multiple of theta plus a constant"),
        ("2 + t*n_x", "depends on time by t"),
        ("2 + W*n_x**2", "depends on time by W"),
        ("2 + q*n_x", "unknown name 'q'"),
        ("2 + eta*n_x", "unknown name 'eta'"),
        ("[1, n_x**2 + 1]", "an expression in the normal for an axis"),
        ("2 + n_x*n_y/5", "changes with a reflection across x, which no-flux walls along x"),
    ],
)
def test_laws_that_cannot_be_used(law: str, message: str) -> None:
    keys = ("grid.shape=[8,8]", "grid.boundary=[no-flux,periodic]", "model.parameters.W=1 + t")
    with pytest.raises((ConfigError, ExpressionError), match="(?s)" + message) as caught:
        relaxing(*keys, f"model.fields.eta.kappa={law}")
    assert caught.value.key == "model.fields.eta.kappa"


@pytest.mark.parametrize(
    ("law", "more", "message"),
    [
        ("1 + cos(4*theta)/20", "", "theta, which is not defined at the poles .* n_x\\*\\*6 - 15"),
        ("(1 - 0.6 + 0.8*(n_x**4 + n_y**4 + n_z**4))**2", ", convexify: true", "in two dimensions alone"),
        ("(1 - 0.6 + 0.8*(n_x**4 + n_y**4 + n_z**4))**2", ", operator: sin(k2)", "so strong"),
    ],
)
def test_laws_that_cannot_be_used_in_space(law: str, more: str, message: str) -> None:
    with pytest.raises(ConfigError, match="(?s)" + message):
        droplet((4, 4, 4), 2, law, more=more)


def test_a_parameter_with_the_name_of_the_angle() -> None:
    with pytest.raises(ConfigError, match="uses this name for the normal of an interface") as caught:
        relaxing("grid.shape=[8,8]", "+model.parameters.theta=0.1", "model.fields.eta.kappa=1 + theta")
    assert caught.value.key == "model.parameters.theta"
