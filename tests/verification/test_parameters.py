"""Parameters that depend on time: orders, growth along a path, corners, energies, files."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import quad, solve_ivp
from verify import field_values, run, specify, steps

import phasefield as pf
from phasefield.errors import ConfigError
from phasefield.integrators import SCHEMES
from phasefield.simulation import Simulation, build_model

#: eta' = -(a eta + eta^3 - h), uniform.
UNIFORM = ("model=allen_cahn", "model.energy=a/2*eta**2+eta**4/4-h*eta", "grid.shape=[4]", "initial.eta=1")
#: A single mode of phi^4 theory, small.
QUENCH = ("model=cahn_hilliard_landau", "model.energy=-A*phi**2/2+phi**4/4", "grid.shape=[16]", "grid.length=10")
START = "initial.phi=1e-5*cos(2*pi*x/10)"


def value(sim: Simulation) -> float:
    return float(field_values(sim).mean())


@pytest.mark.parametrize(
    "scheme", [s if s in ("etdms3", "etdrk4") else pytest.param(s, marks=pytest.mark.slow) for s in SCHEMES]
)
def test_schemes_keep_their_order(scheme: str) -> None:
    """A nonautonomous equation: parameters are those of the stages' times."""
    order = SCHEMES[scheme].order

    def slope(t: float, y: np.ndarray) -> np.ndarray:
        return -((1 + 0.8 * math.sin(3 * t)) * y + y**3 - math.exp(-t))

    exact = solve_ivp(slope, (0, 1), [1.0], "DOP853", rtol=1e-13, atol=1e-14).y[0, -1]
    errors = []
    for i in (0, 1):
        fixed = ("time.adaptive=false", f"time.dt={0.5**i / (64 if order < 3 else 32)}", f"time.scheme={scheme}")
        spec = specify(*UNIFORM, "model.parameters={W: 1, a: 1+0.8*sin(3*t), h: exp(-t)}", *fixed)
        errors.append(abs(value(run(Simulation(spec), 1.0)) - exact))
    measured = math.log2(errors[0] / errors[1])
    print(f"{scheme}: {measured:.3f}, errors {errors[0]:.1e} {errors[1]:.1e}")
    assert measured == pytest.approx(order, abs=0.15)


def test_a_uniform_field_follows_ramps_holds_and_a_cycle() -> None:
    """Against an integrator that is stopped at every corner; steps end on them."""
    course = "piecewise(1+0.2*sin(t), t < 20, min(2, 1+(t-20)/5), t < 60, 0.5)"
    sim = Simulation(specify(*UNIFORM, f"model.parameters={{W: 1, a: '{course}', h: 0.3}}", "time.end=80"))
    a = sim.model.courses["a"].at
    exact, first, ends, error = [1.0], 0.0, [], 0.0
    for last in (13.0, 20.0, 22.0, 25.0, 60.0, 61.0, 64.0):
        inside = (first + 1e-12, last - 1e-12)
        exact = solve_ivp(lambda t, y: -(a(t) * y + y**3 - 0.3), inside, exact, "DOP853", rtol=1e-9, atol=1e-12).y[
            :, -1
        ]
        ends += [s.carry.t for s in steps(sim, last)]
        error, first = max(error, abs(value(sim) - exact[0])), last
    for corner in (20.0, 25.0, 60.0):
        assert min(abs(t - corner) for t in ends) < 1e-12
    print(f"{error:.1e}, {sim.carry.step} steps")
    assert error < 1e-3


@pytest.mark.parametrize(
    ("course", "corners"),
    [
        ("-0.5+0.02*t", []),
        ("piecewise(-0.5, t < 20, 1)", [20]),
        ("0.5+0.5*sin(0.3*t)", []),
        ("{kind: table, path: quench.csv}", [10, 20, 50]),
    ],
)
def test_fluctuations_grow_along_the_path_of_a_quench(
    course: str, corners: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An amplitude becomes exp(int rate dt) times what it was, at the default steps."""
    monkeypatch.chdir(tmp_path)
    Path("quench.csv").write_text("t,value\n10,-0.5\n20,0.8\n50,0.8\n60,0\n")
    keys = (f"model.parameters={{A: {course if course[0] == '{' else repr(course)}, B: 1}}", "time.end=60", START)
    sim = run(Simulation(specify(*QUENCH, "model.fields.phi.kappa=0.5", *keys)), 60.0)
    k2 = (2 * math.pi / 10) ** 2
    path = quad(lambda t: k2 * (sim.model.courses["A"].at(t) - 0.5 * k2), 0, 60, points=corners or None, limit=200)[0]
    measured = 2 / 16 * abs(np.fft.rfft(field_values(sim)[0])[1])
    print(
        f"{course}: {measured / (1e-5 * math.exp(path)) - 1:.2%} of a growth by {math.exp(path):.3g}, {sim.carry.step} steps"
    )
    assert measured == pytest.approx(1e-5 * math.exp(path), rel=0.005)


def test_energies_are_of_their_time_and_fall_while_parameters_rest() -> None:
    """W rises from 5 to 10: the energy may rise then, and at no other time."""
    course = "piecewise(1, t < 5, min(2, t/5))"
    sim = Simulation(specify("model=cahn_hilliard", "grid.shape=[32]", f"model.parameters.W={course}", "time.end=40"))
    rose = False
    before = sim.carry.energy
    for s in steps(sim, 40.0):
        now = s.carry.energy
        rises = now > before * (1 + 1e-12)
        rose |= rises
        assert not rises or 5 - 1e-9 <= s.carry.t <= 10 + 1e-9
        seen = s.observe(s.carry)[1]
        c = field_values(s)[0]
        exact = min(2.0, max(1.0, s.carry.t / 5)) * (c**2 * (1 - c) ** 2).mean() * 32
        assert seen["free_energy_bulk"] == pytest.approx(exact, rel=1e-9)
        before = now
    assert rose
    assert sim.stabilizers[0] == pytest.approx(4.0, rel=0.2)  # of W = 2, from the start on


def test_a_resumed_run_has_the_same_bits() -> None:
    spec = specify("model=cahn_hilliard", "grid.shape=[24]", "model.parameters.W=1+0.3*sin(t/4)", "time.end=40")
    sim = run(Simulation(spec), 15.0)
    arrays, numbers = sim.state()
    assert numbers["identity"]["model.parameters.W"] == "1+0.3*sin(t/4)"
    again = run(Simulation(spec, (dict(arrays), numbers)), 40.0)
    assert np.array_equal(field_values(again), field_values(run(sim, 40.0)))
    assert again.carry.step == sim.carry.step


def test_a_run_goes_on_without_the_file_of_its_table(tmp_path: Path) -> None:
    """The configuration of a run holds the table; files say what was configured; initial values take t = 0."""
    table = tmp_path / "quench.csv"
    table.write_text("t;value\n0;1,5\n2;1\n")
    keys = (
        "grid.shape=[16]",
        "output.picture=false",
        f"output.dir={tmp_path / 'run'}",
        "initial.c=0.3*W+0.01*cos(2*pi*x/16)",
    )
    made = pf.run(*keys, f"model.parameters.W={{kind: table, path: {table}}}", "time.end=3")
    assert float(made.fields.c[0].mean()) == pytest.approx(0.45)
    assert made.history.attrs["model_parameter_W"] == "table {0: 1.5, 2: 1}"
    table.unlink()
    assert pf.resume(made.path, "time.end=4").history.time[-1] == 4


@pytest.mark.parametrize(
    ("keys", "key", "said"),
    [
        (
            ("parameters.W=1+t", "fields.c.stabilizer=W"),
            "model.fields.c.stabilizer",
            "depends on time by the parameter W",
        ),
        (
            (f"parameters.W={{kind: table, points: {[[i, i % 2] for i in range(200)]}}}", "fields.c.mobility=W"),
            "model.fields.c.mobility",
            "a table of some 200 rows",
        ),
        (("parameters.W=1+c",), "model.parameters.W", "an expression in t"),
        (("parameters.W=1/t",), "model.parameters.W", "at t = 0"),
        (("parameters.W=true",), "model.parameters.W", "a number, an expression in t"),
        (("parameters.W={kind: tabel, path: x.csv}",), "model.parameters.W.kind", "kind: table"),
        (("parameters.W={kind: table, path: nowhere.csv}",), "model.parameters.W.path", "cannot be read"),
        (("parameters.W={kind: table, points: [[1, 1], [1, 2]]}",), "model.parameters.W", "do not rise"),
    ],
)
def test_what_is_no_parameter_is_refused(keys: tuple[str, ...], key: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        build_model(specify("model=cahn_hilliard", *(f"model.{k}" for k in keys)))
    assert caught.value.key == key


@pytest.mark.parametrize(("course", "time"), [("log(1 - t)", "1"), ("piecewise(1, t < 2.5, log(2 - t))", "2.5")])
def test_a_parameter_without_a_value_on_the_way_is_refused_at_once(course: str, time: str) -> None:
    words = ("model=cahn_hilliard", f"model.parameters.W={course}", "grid.shape=[8,8]")
    with pytest.raises(ConfigError, match=f"not finite at t = {time};") as caught:
        Simulation(specify(*words, "time.end=4"))
    assert caught.value.key == "model.parameters.W"
    Simulation(specify(*words, "time.end=0.9"))  # which ends before


@pytest.mark.parametrize(
    ("course", "integral"), [("exp(-t)", 1 - math.exp(-3)), ("{kind: table, points: [[0, 1], [1, 1], [2, 0.2]]}", 1.8)]
)
def test_a_mobility_takes_parameters_in_time(course: str, integral: float) -> None:
    """eta' = -2 M(t) eta, the reference that L has of M included."""
    sim = Simulation(
        specify(
            "model=allen_cahn",
            "model.energy=eta**2",
            f"+model.parameters.M={course}",
            "model.fields.eta.mobility=M",
            "grid.shape=[8]",
            "initial.eta=1",
            "time.end=3",
        )
    )
    assert float(field_values(run(sim, 3.0)).mean()) == pytest.approx(math.exp(-2 * integral), rel=5e-3)
