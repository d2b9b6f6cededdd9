"""What the tolerance means: rates are right to a tenth of it at any speed, for every scheme, and every run comes to its end."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.fft import dct, idct
from scipy.integrate import quad, solve_ivp
from verify import MACHINE, field_values, run, specify

from phasefield.errors import Diverged
from phasefield.integrators import SCHEMES, control
from phasefield.models import Amplification, analysis
from phasefield.simulation import Simulation
from phasefield.verify.checks import interfaces

#: Schemes of one step, which take thousands of them.
SLOW = {"etd1", "imex1", "etdrk2"}


def schemes() -> list:
    return [pytest.param(s, marks=pytest.mark.slow) if s in SLOW else s for s in SCHEMES]


@pytest.mark.parametrize("scheme", schemes())
def test_a_wave_travels_at_its_speed(scheme: str) -> None:
    """f' = (eta^2 - 1)(eta - h): the front tanh(x/sqrt(2)) moves at sqrt(2) h (M = kappa = 1)."""
    speed, count = interfaces.front_speed(MACHINE, scheme)
    error = speed / (math.sqrt(2) * 0.2) - 1
    print(f"{scheme}: speed {speed:.6f}, error {error:.2%}, {count} steps")
    assert abs(error) < (0.005 if scheme == "etdms3" else 0.01)


@pytest.mark.parametrize("scheme", [pytest.param(s, marks=pytest.mark.slow) if s != "etdms3" else s for s in SCHEMES])
def test_fronts_that_hardly_feel_each_other_meet_in_time(scheme: str) -> None:
    """They approach as exp(-sqrt(2) d) and ever faster: errors that are small in every step must not add up."""
    met, count = interfaces.meeting(MACHINE, scheme)
    error = met / interfaces.annihilation() - 1
    print(f"{scheme}: met {error:.2%} late, {count} steps")
    assert abs(error) < 0.005


#: Keys of fronts into unstable states.
PULLED = {
    "a phase": ("initial.eta=(1-tanh(x-6))/2",),
    "a phase that is shallow beside the other": (
        "model.energy=-eta**2/2+eta**10/10",
        "initial.eta=(1-tanh(x-6))/2",
    ),
    "a phase, another field behind": (
        "model.energy=-eta**2/2+eta**4/4+q**2/2-q**2*eta+q**4/4",
        "+model.fields.q={kinetics: nonconserved, mobility: 1.0, kappa: 1.0}",
        "initial.eta=(1-tanh(x-6))/2",
        "+initial.q=(1-tanh(x-4))/10",
    ),
    "a mixture": ("model.fields.eta.kinetics=conserved", "initial.eta=0.5*exp(-(x/2)**2)"),
}


@pytest.mark.parametrize("case", [pytest.param(c, marks=pytest.mark.slow) if "behind" in c else c for c in PULLED])
def test_a_front_is_pulled_by_the_growth_of_its_foot(case: str) -> None:
    """Into an unstable state, which nothing shows that errors are compared with; against an explicit solver of the same modes.

    It is too slow for a conserved field: there against a tolerance fifty times as small.
    """
    cells, length, times = 128, 64.0, (5.0, 20.0)
    keys = (
        "model=allen_cahn",
        f"grid.shape=[{cells}]",
        f"grid.length={length}",
        "grid.boundary=no-flux",
        "time.end=20",
    )
    sim = Simulation(specify(*keys, *PULLED[case]))
    k2 = (math.pi / length * np.arange(cells)) ** 2
    force = sim.model.function(sim.model.potentials)

    def slope(_: float, state: np.ndarray) -> np.ndarray:
        u = state.reshape(-1, cells)
        return -idct(dct(force(u)) + k2 * dct(u)).ravel()

    def front(state: np.ndarray) -> float:
        """Where the last field ends, ahead of which others may be."""
        size = np.abs(state.reshape(-1, cells)[-1])
        last = int(np.flatnonzero(size > 0.2)[-1])
        return float(last + (size[last] - 0.2) / (size[last] - size[last + 1]))

    if case == "a mixture":
        fine = Simulation(specify(*keys, *PULLED[case], "time.tolerance=0.001"))
        exact = [field_values(run(fine, t)) for t in times]
    else:
        start = field_values(sim).astype(float).ravel()
        exact = solve_ivp(slope, (0, times[-1]), start, "DOP853", rtol=1e-8, atol=1e-14, t_eval=times).y.T
    found = [field_values(run(sim, t)) for t in times]
    way, expected = (front(later) - front(sooner) for sooner, later in (found, exact))
    print(f"into {case}: {way / expected - 1:.3%}, {sim.carry.step} steps")
    assert way == pytest.approx(expected, rel=0.005)


def test_what_follows_a_slow_field_at_once_takes_no_steps_of_its_own() -> None:
    """eta and q, coupled, with mobilities 1 and 1e-5; a third field, alone, is a body of its own."""
    keys = ("+model.fields.%s={kinetics: nonconserved, mobility: %s, kappa: 1.0}", "+initial.%s=%s")
    sim = Simulation(
        specify(
            "model=allen_cahn",
            "model.energy=(1-eta**2)**2/4+(1-q**2)**2/4+0.2*eta**2*q**2+0.1*eta+w**2/2",
            *(key % pair for key, pair in zip(keys, (("q", "1e-5"), ("q", "0.2")), strict=True)),
            *(key % pair for key, pair in zip(keys, (("w", "1"), ("w", "0")), strict=True)),
            "grid.shape=[4]",
            "initial.eta=0.3",
            "time.end=4e5",
        )
    )
    assert sim.model.bodies == [[0, 1], [2]]

    def slope(_: float, y: np.ndarray) -> list[float]:
        eta, q = y
        return [eta - eta**3 - 0.4 * eta * q**2 - 0.1, -1e-5 * (q**3 - q + 0.4 * q * eta**2)]

    exact = solve_ivp(slope, (0, 4e5), [0.3, 0.2], "Radau", rtol=1e-8, atol=1e-10, t_eval=[2e5, 4e5]).y
    found = [field_values(run(sim, end)).reshape(3, -1).mean(axis=1)[:2] for end in (2e5, 4e5)]
    print(f"{sim.carry.step} steps")
    np.testing.assert_allclose(np.transpose(found), exact, rtol=2e-3)
    assert sim.carry.step < 500


@pytest.mark.parametrize(("dimension", "rate"), [(2, -2.0), (3, -4.0)])
def test_spheres_shrink_by_their_curvature(dimension: int, rate: float) -> None:
    """dR^2/dt = -2 (d - 1) M kappa; an octant between mirrors, so that the volume gives R to round-off."""
    n, radius, end = {2: (40, 24.0, 120.0), 3: (24, 16.0, 24.0)}[dimension]
    found = interfaces.shrinking(MACHINE, dimension, n, radius, end)
    print(f"{dimension}-D: dR^2/dt = {found.rate:.4f} for {rate}, {found.steps} steps")
    # The law is that of a thin interface: a width of 1.4 in a radius of 14 to 24 adds a few parts in a thousand.
    assert found.rate == pytest.approx(rate, rel=0.01)


def test_a_uniform_field_follows_its_own_equation() -> None:
    """eta' = eta - eta^3 from 0.1."""
    sim = run(Simulation(specify("model=allen_cahn", "grid.shape=[8]", "initial.eta=0.1", "time.end=5")), 5.0)
    exact = 1 / math.sqrt(1 + (1 / 0.1**2 - 1) * math.exp(-10))
    assert float(field_values(sim).mean()) == pytest.approx(exact, abs=1e-4)


AT_REST = {
    "a phase": ("model=allen_cahn", "initial.eta=1"),
    "near a phase": ("model=allen_cahn", "initial.eta=0.9"),
    "the top of the barrier": ("model=allen_cahn", "initial.eta=0"),
    "a ripple that dies": ("model=allen_cahn", "initial.eta=1+0.01*cos(2*pi*x/16)"),
    "a mixture outside the spinodal": ("model=cahn_hilliard", "initial.c={kind: noise, mean: 0.1, amplitude: 0.05}"),
    "an unstable mixture without noise": ("model=cahn_hilliard", "initial.c=0.5"),
    "a domain in which nothing grows": ("model=cahn_hilliard", "grid.length=0.1"),
    "a circle that is gone": (
        "model=allen_cahn",
        "grid.shape=[32,32]",
        "initial.eta={kind: circles, centers: [[16,16]], radii: 8, inside: 1, outside: -1, width: 1}",
    ),
    "a precipitate in equilibrium": (
        "model=precipitate",
        "grid.shape=[32,32]",
        "initial.c={kind: circles, centers: [[16,16]], radii: [8], inside: 0.7, outside: 0.35, width: 2}",
        "initial.eta={kind: circles, centers: [[16,16]], radii: [8], inside: 1, outside: 0, width: 2}",
        "time.end=1e7",
    ),
    "a precipitate that dissolves": (
        "model=precipitate",
        "grid.shape=[32,32]",
        "initial.c={kind: circles, centers: [[16,16]], radii: [3], inside: 0.7, outside: 0.3, width: 2}",
        "initial.eta={kind: circles, centers: [[16,16]], radii: [3], inside: 1, outside: 0, width: 2}",
    ),
}


@pytest.mark.parametrize("case", AT_REST)
def test_runs_at_rest_come_to_their_end(case: str) -> None:
    """Nothing is compared with fluctuations that are round-off: what has come to rest takes ever longer steps."""
    sim = Simulation(specify("grid.shape=[16]", "time.end=5000", *AT_REST[case]))
    end = sim.spec.time.end
    for _ in range(1000 if "equilibrium" in case else 600):
        sim.advance(end)
        if sim.carry.t >= end:
            break
    print(f"{case}: {sim.carry.step} steps")
    assert sim.carry.t == end


def test_a_run_that_would_not_end_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    sim = Simulation(specify("model=allen_cahn", "grid.shape=[8]", "time.end=1000"))
    assert sim.steps is not None
    monkeypatch.setattr(sim.steps._growth, "rate", lambda *_: 1e8)
    monkeypatch.setattr(control, "_RESTING", 0.0)  # or it would be seen that nothing grows like that
    with pytest.raises(Diverged, match=r"left to time\.end = 1000"):
        run(sim, 1000.0)


@pytest.mark.parametrize(
    ("source", "end", "amount"),
    [
        ("0.02*cos(t)", 10.0, 0.02 * math.sin(10)),
        ("0.1*exp(-((t-50)/0.5)**2)", 100.0, 0.05 * math.sqrt(math.pi)),
        ("piecewise(0.001, t < 50, 0)", 100.0, 0.05),
        ("3*exp(-((x-8)/2)**2)*exp(-((t-30)/0.1)**2)", 60.0, 0.6 * math.pi / 16),
    ],
)
def test_sources_supply_what_they_say(source: str, end: float, amount: float) -> None:
    """The mean of a conserved field, from the first step on, through pulses shorter than a step and to switches."""
    sim = Simulation(
        specify(
            "model=cahn_hilliard",
            "grid.shape=[16]",
            "initial.c={kind: noise, mean: 0.1, amplitude: 0.01}",
            f"model.fields.c.source={source}",
            f"time.end={end}",
        )
    )
    before = float(field_values(sim).mean())
    gained = float(field_values(run(sim, end)).mean()) - before
    print(f"{source}: {gained:.6g} for {amount:.6g}, {sim.carry.step} steps")
    assert gained == pytest.approx(amount, abs=0.005 * max(abs(amount), 0.02))


@pytest.mark.parametrize(
    "preset",
    ["cahn_hilliard", "allen_cahn", *(pytest.param(p, marks=pytest.mark.slow) for p in ("precipitate", "spinodal"))],
)
def test_growth_is_that_of_linear_theory_and_ends_with_it(preset: str) -> None:
    fields = {"precipitate": ("c", "eta"), "allen_cahn": ("eta",)}.get(preset, ("c",))
    sim = Simulation(specify(f"model={preset}", "grid.shape=[64]", *(f"initial.{f}=0.1" for f in fields)))
    at = {"c": 0.5, "eta": 0.4 if preset == "precipitate" else 0.0}
    mean = [at[s.name] for s in sim.model.unknowns]
    growth = Amplification(sim.model, sim.grid, 1e-14)
    k = np.sqrt(np.linspace(0, sim.grid.wavenumbers[1], 20000))
    state = {s.name: v for s, v in zip(sim.model.unknowns, mean, strict=True)}
    rates = analysis.growth_rates(sim.model, state, k)
    assert growth.rate(mean, [1e-6] * len(mean)) == pytest.approx(max(float(rates.max()), 0.0), rel=0.01)
    assert growth.rate(mean, [0.0] * len(mean)) == 0
    if preset != "precipitate":
        wells = {"cahn_hilliard": 0.5, "spinodal": 0.2, "allen_cahn": 1.0}[preset]  # half the distance of the phases
        assert growth.rate(mean, [0.9 * wells]) == 0


@pytest.mark.parametrize("scheme", ["etdms2", "etdrk2"])
def test_growth_adds_up_to_its_amplitude(scheme: str) -> None:
    """A wave grows by seven e-folds: what every step of the second order gets wrong of its rate is multiplied by them."""
    energy = "model.energy=-eta**2/2+1e-6*eta**4/4"
    start = "initial.eta=1e-3*cos(2*pi*x/16)"
    keys = ("model=allen_cahn", energy, "grid.shape=[16]", "grid.length=16", start, f"time.scheme={scheme}")
    sim = Simulation(specify(*keys, "time.end=8.3"))
    before = float(np.abs(field_values(sim)).max())
    grown = float(np.abs(field_values(run(sim, 8.3))).max()) / before
    assert grown == pytest.approx(math.exp(8.3 * (1 - (math.pi / 8) ** 2)), rel=0.01)
    assert sim.carry.step < 320


@pytest.mark.parametrize("unit", [1.0, 1e-12])
def test_what_waits_is_found_ahead_of_fronts_and_not_across_interfaces(unit: float) -> None:
    """Unstable and uniform, in any unit of the field; an interface holds unstable states as well, where it is steepest."""
    text = f"-(eta/{unit})**2/2+(eta/{unit})**4/4"
    sim = Simulation(
        specify(
            "model=allen_cahn",
            f"model.energy={text}",
            f"model.fields.eta.kappa={1 / unit**2}",
            "grid.shape=[64,64]",
            "grid.boundary=no-flux",
            f"initial.eta={unit}",
        )
    )
    growth, x = Amplification(sim.model, sim.grid, 1e-14), sim.grid.axes[0].centers[:, None] + np.zeros((64, 64))

    def waiting(cells: np.ndarray) -> float:
        buffer = (unit * cells)[None, :, None, :]
        return growth.waiting([buffer[pick] for pick in growth.picks], [unit * float(cells.std())]) * unit**2

    front = (1 - np.tanh((x - 30) / math.sqrt(2))) / 2
    assert waiting(front) == pytest.approx(1.0, rel=0.01)
    assert waiting(np.maximum(front, 1e-30)) == pytest.approx(1.0, rel=0.01)
    assert waiting(np.tanh((x - 30) / math.sqrt(2))) == 0
    assert waiting(np.prod([np.tanh((x - at) / math.sqrt(2)) for at in (8, 20, 30, 44, 56)], axis=0)) == 0


@pytest.mark.parametrize(
    ("model", "exact"),
    [
        (("model=allen_cahn", "model.energy=eta**2/2", "model.fields.eta.source=sin(t)"), -0.042421),
        (("model=allen_cahn", "model.energy=eta**2/2 - h*eta", "+model.parameters.h=sin(t)"), -0.042421),
        (("model=allen_cahn", "model.energy=eta**2/2", "model.fields.eta.source=max(t - 1, 0)"), 2 + math.exp(-3)),
        (("model=cahn_hilliard", "model.energy=c**2/2", "model.fields.c.source=t**2"), 64 / 3),
    ],
)
@pytest.mark.parametrize("scheme", ["etdms3", "etdrk4"])
def test_what_is_driven_out_of_nothing(model: tuple[str, ...], exact: float, scheme: str) -> None:
    """A field that is zero, and whose rate is: no step is short enough for its first error to be small beside its change."""
    field = "c" if "cahn_hilliard" in model[0] else "eta"
    sim = Simulation(specify(*model, "grid.shape=[8]", f"initial.{field}=0", "time.end=4", f"time.scheme={scheme}"))
    assert float(field_values(run(sim, 4.0)).mean()) == pytest.approx(exact, abs=2e-3)
    assert sim.carry.step < 150


def _pulses(t: float) -> float:
    return math.exp(50 * (math.cos(2 * math.pi * t / 10) - 1))


@pytest.mark.parametrize("scheme", ["etdms2", "etdms3", "etdms4"])
@pytest.mark.parametrize("centre", [0, 1], ids=["at zero", "elsewhere"])
def test_a_rate_that_has_died_away_is_forgotten(centre: float, scheme: str) -> None:
    """A pulse that a field meets at rest is judged by itself, not by how fast the field had come to rest."""
    end = 50.25
    pulse = quad(lambda t: 0.1 * math.exp(-(((t - 50) / 0.5) ** 2) - (end - t)), 44, end, epsabs=1e-13)[0]
    sim = Simulation(
        specify(
            *("model=allen_cahn", f"model.energy=(eta-{centre})**2/2", "grid.shape=[8]", "initial.eta=0.3"),
            *("model.fields.eta.source=0.1*exp(-((t-50)/0.5)**2)", f"time.end={end}", f"time.scheme={scheme}"),
        )
    )
    assert float(field_values(run(sim, end)).mean()) - centre == pytest.approx(pulse, rel=0.005)
    assert sim.carry.step < 200


@pytest.mark.parametrize(
    ("energy", "source", "end", "exact", "most"),
    [
        ("0*eta", "exp(-((t-999000)/3)**2)", 1e6, 3 * math.sqrt(math.pi), 400),
        # Its tail rises through 308 powers of ten.
        ("eta**2/2", "exp(-((t-50)/0.5)**2)", 51.0, 0.34473864, 300),
        (
            "eta**2/2",
            "exp(50*(cos(2*pi*t/10)-1))",
            100.0,
            solve_ivp(lambda t, u: _pulses(t) - u, (0, 100), [0.0], rtol=1e-9, atol=1e-12, max_step=0.1).y[0, -1],
            1300,
        ),
    ],
    ids=["one", "out of nothing", "train"],
)
def test_pulses_are_entered_by_short_steps(energy: str, source: str, end: float, exact: float, most: int) -> None:
    """In the quiet before one a step is long, and what its end has of the pulse counts with all its length, or not at all."""
    sim = Simulation(
        specify(
            *("model=allen_cahn", f"model.energy={energy}", f"model.fields.eta.source={source}"),
            *("model.fields.eta.kappa=0", "grid.shape=[8]", "initial.eta=0", f"time.end={end}"),
        )
    )
    assert float(field_values(run(sim, end)).mean()) == pytest.approx(exact, rel=0.005)
    assert sim.carry.step < most
