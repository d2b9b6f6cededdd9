"""S of the splitting: what the linear stability of the schemes asks for, in any units, and no more."""

from __future__ import annotations

import numpy as np
import pytest
from verify import field_values, run, specify

from phasefield.models import EnergyModel, Stabilizer, stabilizers
from phasefield.simulation import Simulation


def model_of(energy: str, fields: str = "c", **parameters: float) -> EnergyModel:
    built = [{"name": n, "kinetics": "conserved", "mobility": 1.0, "kappa": 1.0} for n in fields.split()]
    return EnergyModel.build("test", energy, built, parameters)


_HALF = 0.05 * np.random.default_rng(1).uniform(-1, 1, (1, 24, 12))
NOISE = 0.5 + np.concatenate([_HALF, -_HALF], axis=2)  # of mean 1/2, where the wells are level
WELL = "W*c**2*(1 - c)**2"


def extrapolation(order: int, ratio: float, damping: float) -> np.ndarray:
    """Weights of the past values of N in the value at the end of a step that the schemes use where modes are stiff."""
    times = [0.0, -1 / ratio, -1 / ratio - 1 / ratio**2]
    lines = [np.array([1.0]), np.array([1 + ratio, -ratio])]
    parabola = [np.prod([(1 - t) / (s - t) for t in times if t != s]) for s in times]
    if order < 3:
        return lines[order - 1]
    return damping * np.array(parabola) + (1 - damping) * np.append(lines[1], 0.0)


def growth(r: float, weights: np.ndarray) -> float:
    """Largest growth factor of u_new = r P u."""
    return float(np.abs(np.roots([1.0, *(-r * weights)])).max())


@pytest.mark.parametrize(
    ("order", "ratio", "least"), [(1, 1.0, 1 / 2), (2, 1.0, 3 / 4), (3, 1.0, 13 / 16), (3, 2.0, 0.929)]
)
def test_margins_follow_from_the_recurrence(order: int, ratio: float, least: float) -> None:
    """S over f'' below ``least`` is unstable and the margin in use, 1/2 or 1, is not: the figures of the module's docstring."""
    weights = extrapolation(order, ratio, damping=1 / 3)
    assert growth(1 - 1 / (1.005 * least), weights) <= 1
    assert growth(1 - 1 / (0.99 * least), weights) > 1
    margin = 0.5 if order == 1 else 1.0
    for part in np.linspace(0, 1, 21):  # every smaller curvature as well; what is linear in time grows like the steps
        assert growth(1 - part / margin, weights) <= ratio + 1e-9


@pytest.mark.parametrize("margin", [0.5, 1.0])
def test_scalar_wells(margin: float) -> None:
    """f'' at the wells: 2 W for W c^2 (1 - c)^2, from noise around an unstable mean however small."""
    for size in (1.0, 1e-3, 1e-9):
        initial = 0.5 + size * (NOISE - 0.5)
        assert stabilizers(model_of(WELL, W=1.7), initial, margin) == pytest.approx([margin * 3.4], rel=1e-9)


def test_the_cells_themselves_count() -> None:
    initial = np.full((1, 8, 8), 0.5)
    initial[0, 3, 5] = 1.5  # f'' = 2 W (1 - 6 c + 6 c^2)
    assert stabilizers(model_of(WELL, W=1.0), initial) == pytest.approx([11.0], rel=1e-9)


def test_a_barrier_is_not_jumped() -> None:
    """Beyond c = 3 the energy falls without bound, which no descent from the well at 0 may find."""
    initial = 0.9 * NOISE
    assert stabilizers(model_of("c**2/2 - c**3/9"), initial)[0] <= 1.0


COUPLED = (
    "r*(c - 0.3)**2*(1 - u**3*(6*u**2 - 15*u + 10)) + r*(0.7 - c)**2*u**3*(6*u**2 - 15*u + 10) + w*u**2*(1 - u)**2"
)


def shares(model: EnergyModel, s: list[float], points: np.ndarray) -> np.ndarray:
    """Largest eigenvalue of D^-1/2 H D^-1/2 at every point, H symbolic."""
    n = len(s)
    hessian = model.evaluate(list(model.hessian), points).T.reshape(-1, n, n)
    return np.asarray(np.linalg.eigvalsh(hessian / np.sqrt(np.outer(s, s)))[:, -1])


def interface(n: int = 64) -> np.ndarray:
    x = np.linspace(-8, 8, n)
    u = 0.5 * (1 + np.tanh(x))
    return np.stack([0.32 + 0.4 * u, u])[:, :, None]


def test_coupled_fields_are_dominated_as_a_matrix() -> None:
    """The diagonal of the Hessian is not enough: at an interface the coupling adds half as much again."""
    model = model_of(COUPLED, "c u", r=2.0, w=1.0)
    s = stabilizers(model, interface())
    points = interface(400)[:, :, 0]
    assert 0.85 < shares(model, s, points).max() <= 1.01
    diagonal = [4.0, float(model.evaluate([model.curvatures[1]], points).max())]
    assert shares(model, diagonal, points).max() > 1.3


def test_a_field_without_curvature_that_is_coupled() -> None:
    model = model_of("c**2 + 0.5*c*u", "c u")
    initial = np.random.default_rng(2).uniform(0, 1, (2, 6, 6))
    s = stabilizers(model, initial)
    assert s[1] > 0
    assert shares(model, s, initial.reshape(2, -1)).max() <= 1 + 1e-12


@pytest.mark.parametrize("field", [1e-30, 3e-7, 7e11])
@pytest.mark.parametrize("energy", [1e-21, 1.0, 3e15])
def test_units_change_nothing(field: float, energy: float) -> None:
    """With fields and energies in other units, S is the same in these: no absolute number is in the search."""
    scaled = {"a": field, "e": energy}
    cases = [
        (WELL, "c", NOISE),
        (WELL, "c", 0.5 + 1e-6 * (NOISE - 0.5)),
        (WELL, "c", np.full((1, 4, 4), 0.5)),
        ("c**4 - c**2", "c", np.zeros((1, 4, 4))),
        ("W*c**2", "c", np.full((1, 4, 4), 0.3)),
        ("c*log(c) + (1 - c)*log(1 - c) + 2.5*c*(1 - c)", "c", NOISE),
        (COUPLED, "c u", interface()),
        ("c*u", "c u", interface()),
    ]
    for text, names, initial in cases:
        plain = model_of(text, names, W=1.3, r=2.0, w=1.0)
        inner = text
        for n in names.split():
            inner = inner.replace(n + "*", f"({n}/a)*").replace(n + " ", f"({n}/a) ").replace(n + ")", f"({n}/a))")
            inner = inner if not inner.endswith(n) else inner[: -len(n)] + f"({n}/a)"
        model = model_of(f"e*({inner})", names, W=1.3, r=2.0, w=1.0, **scaled)
        found = np.array(stabilizers(model, field * initial)) * (field / energy * field)
        assert found == pytest.approx(stabilizers(plain, initial), rel=1e-7), text


def in_units(field: float, energy: float, length: float, time: float) -> tuple[float, int]:
    """Energy, in units of energy x length, and steps of one decomposition with all its constants in these units."""
    kappa, mobility = energy * length**2 / field**2, field**2 * length**2 / energy / time
    sim = Simulation(
        specify(
            "model=cahn_hilliard",
            "grid.shape=[64]",
            f"grid.length={64 * length!r}",
            f"model.parameters={{W: {energy / field**4!r}, a: 0.0, b: {field!r}}}",
            f"model.fields.c.kappa={kappa!r}",
            f"model.fields.c.mobility={mobility!r}",
            f"initial.c={field!r}*(0.5 + 0.05*cos(pi*x/{8 * length!r} + 1) + 0.03*sin(pi*x/{32 * length!r}))",
            f"time.end={100 * time!r}",
        )
    )
    return run(sim, 100 * time).carry.energy / energy / length, sim.carry.step


@pytest.mark.parametrize(
    "units", [(1e-30, 1.0, 1.0, 1.0), (1.0, 1e-21, 1e-9, 1e12), (1e15, 1e-30, 1.0, 1.0), (3e-4, 7e10, 1e-8, 1e-5)]
)
def test_a_run_is_the_same_in_any_units(units: tuple[float, float, float, float]) -> None:
    energy, steps = in_units(*units)
    plain, same = in_units(1.0, 1.0, 1.0, 1.0)
    assert energy == pytest.approx(plain, rel=1e-9)
    assert steps == same


def test_a_quadratic_energy_is_no_obstacle() -> None:
    """S = f'' leaves nothing to N: exact in any step, where half of it made 291 of 13."""
    overrides = ("model=cahn_hilliard", "model.energy=W/2*c**2", "model.parameters={W: 0.3}", "model.fields.c.kappa=0")
    sim = Simulation(specify(*overrides, "grid.shape=[64]", "time.end=2000"))
    assert sim.stabilizers == pytest.approx([0.3], rel=1e-12)
    assert run(sim, 2000.0).carry.step < 30


def test_powers_of_two_change_no_bit() -> None:
    model, other = model_of("W*c**2*(a - c)**2", W=1.0, a=1.0), model_of("W*c**2*(a - c)**2", W=2.0**90, a=2.0**-40)
    assert stabilizers(other, 2.0**-40 * NOISE)[0] == 2.0**10 * stabilizers(model, NOISE)[0]


@pytest.mark.parametrize("value", [0.5, 0.3, 0.0])
def test_uniform_fields(value: float) -> None:
    """A uniform field in unstable equilibrium has wells to go to; a quadratic energy has its curvature everywhere."""
    uniform = np.full((1, 6, 6), value)
    assert stabilizers(model_of("W/2*c**2", W=0.3), uniform) == pytest.approx([0.3], rel=1e-12)
    assert stabilizers(model_of("W*(c - 0.5)**2*((c - 0.5)**2 - 1/2)", W=1.0), uniform)[0] >= 2.0 * (1 - 1e-9)


def test_what_is_only_passed_is_told_apart() -> None:
    """Nearly pure phases of a blend: the curvature of the start is 1e9, that of where it goes is 3."""
    model = model_of("c*log(c) + (1 - c)*log(1 - c) + 2.5*c*(1 - c)")
    initial = np.clip(np.tanh(np.linspace(-30, 30, 64)) / 2 + 0.5, 1e-9, 1 - 1e-9).reshape(1, 64, 1)
    found = Stabilizer(model)(initial)
    assert found.passing
    assert found.visited[0] == pytest.approx(1e9, rel=1e-6)
    low = 0.14479  # log(low/(1 - low)) = 2.5 (2 low - 1)
    assert found.rest[0] == pytest.approx(1 / (low * (1 - low)) - 5, rel=1e-3)
    assert not Stabilizer(model_of(WELL, W=1.0))(NOISE).passing


def test_a_state_outside_the_domain_has_none() -> None:
    assert stabilizers(model_of("c*log(c)"), np.full((1, 4, 4), -0.5)) == [0.0]


def test_a_user_may_say_otherwise() -> None:
    built = [{"name": "c", "kinetics": "conserved", "mobility": 1.0, "kappa": 1.0, "stabilizer": 7.0}]
    assert stabilizers(EnergyModel.build("test", WELL, built, {"W": 1.0}), NOISE) == [7.0]


def test_precipitates_are_not_stiff() -> None:
    """With half of the curvature the steps are held at the stability limit for good, whatever the tolerance would allow."""
    size = "{kind: slab, axis: x, from: 10, to: 23, width: 2.0, inside: %g, outside: %g}"
    overrides = (
        "model=precipitate",
        "grid.shape=[32,32]",
        f"initial.c={size % (0.7, 0.35)}",
        f"initial.eta={size % (1, 0)}",
    )

    def at_rest(*more: str) -> Simulation:
        return run(Simulation(specify(*overrides, "time.end=40", *more)), 40.0)

    exact, sim = at_rest("time.tolerance=2e-3"), at_rest()
    half = at_rest("model.fields.c.stabilizer=2", "model.fields.eta.stabilizer=1")
    assert 3 * sim.carry.step < half.carry.step  # what holds these is the accuracy of their rates
    assert 4 * half.carry.sizes[-1] < sim.carry.sizes[-1]
    np.testing.assert_allclose(field_values(sim), field_values(exact), atol=1e-4)
    for state in (sim, exact):
        assert shares(sim.model, sim.stabilizers, field_values(state).reshape(2, -1)).max() <= 1.05


@pytest.mark.parametrize(("slow", "most"), [(1e-5, 1.29), (0.0, 1.29), (1.0, 1.03)])
def test_a_field_that_relaxes_first_takes_another_way(slow: float, most: float) -> None:
    """From 0.3 eta comes to rest at 0.873, where f'' = 3 eta^2 - 0.996, long before q moves; together they take a straighter way.

    S = 1.03 has kept such a run at steps of 3.5 for good: eta was a little unstable beyond.
    """
    fields = [
        {"name": n, "kinetics": "nonconserved", "mobility": m, "kappa": 1.0} for n, m in (("eta", 1.0), ("q", slow))
    ]
    energy = "(1 - eta**2)**2/4 + (1 - q**2)**2/4 + 0.1*eta**2*q**2 + 0.2*eta"
    model = EnergyModel.build("test", energy, fields, {})
    found = stabilizers(model, np.array([[[0.3]], [[0.2]]]))[0]
    assert most <= found < 1.1 * most
