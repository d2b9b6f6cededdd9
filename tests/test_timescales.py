"""Steps that keep up with sources: a driver that only ever wants to go faster must not jump over anything."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pytest
import sympy as sp
from scipy.special import gamma

from phasefield.grid import Grid
from phasefield.models import EnergyModel
from phasefield.models.timescales import SourceResolution

ROOT_PI = math.sqrt(math.pi)
GRIDS = {d: Grid((64, 32, 16)[:d], (10.0, 10.0, 10.0)[:d], ("periodic",) * d) for d in (1, 2, 3)}
NODES, WEIGHTS = np.polynomial.legendre.leggauss(3)


def model(source: str | list[str], parameters: Mapping[str, float] | None = None) -> EnergyModel:
    components = len(source) if isinstance(source, list) else None
    field = {"name": "phi", "kinetics": "nonconserved", "mobility": 1, "kappa": 1, "components": components}
    energy = "phi**2" if components is None else "sum(phi**2)"
    return EnergyModel.build("m", energy, [{**field, "source": source}], parameters or {})


def resolution(m: EnergyModel, end: float, dim: int = 1) -> SourceResolution | None:
    return SourceResolution.build(m, GRIDS[dim], np.tile(np.linspace(-1, 1, 12), (len(m.unknowns), 1)), end)


@dataclass
class Driven:
    integral: float
    steps: int
    times: np.ndarray
    note: str


def drive(source: str, end: float, at: Mapping[str, float] | None = None, first: float = 1e-3, dim: int = 1) -> Driven:
    """Doubles its step all the time and integrates the source at one place by Gauss' rule of three points in every step."""
    m = model(source)
    limiter = resolution(m, end, dim)
    assert limiter is not None
    names = [sp.Symbol(n, real=True) for n in ("t", "x", "y", "z", "phi")]
    place = {"x": 3.3, "y": 4.4, "z": 5.5, "phi": 0.3} | dict(at or {})
    value: Callable[..., np.ndarray] = sp.lambdify(names, m.sources[0], "numpy")
    t, size, total, times = 0.0, first * end, 0.0, [0.0]
    while t < end and len(times) < 20_000:
        asked = min(size, end - t)
        step = limiter.limit(t, asked)
        assert 0 < step <= asked
        with np.errstate(over="ignore"):
            values = np.broadcast_to(value(t + 0.5 * step * (1 + NODES), *place.values()), 3)
        total += 0.5 * step * float(WEIGHTS @ values)
        t = end if step == end - t else t + step
        times.append(t)
        size = 2 * step
    return Driven(total, len(times) - 1, np.array(times), limiter.note)


CASES = {
    # One pulse, whatever its width and place; SymPy writes some of them as 4.0*(t - 50)**2, some as (2.0*t - 100)**2.
    "gauss": ("exp(-((t-50)/0.5)**2)", 100, 0.5 * ROOT_PI, 40),
    "gauss 1e-3": ("exp(-(t-50)**2/1e-6)", 100, 1e-3 * ROOT_PI, 60),
    "gauss 1e-8": ("exp(-((t-50)/1e-8)**2)", 100, 1e-8 * ROOT_PI, 80),
    "gauss 1e-8, shifted": ("exp(-((t-31.7)/1e-8)**2)", 1e6, 1e-8 * ROOT_PI, 100),
    "written out": ("exp(-4*t**2 + 400*t - 10000)", 100, 0.5 * ROOT_PI, 40),
    "flat top": ("exp(-((t-50)/1e-3)**4)", 100, 2e-3 * gamma(1.25), 60),
    "lorentz": ("1/(1+((t-50)/0.01)**2)", 100, 0.02 * math.atan(5000), 50),
    "lorentz 1e-8": ("1/(1+((t-50)/1e-8)**2)", 100, 1e-8 * math.pi, 90),
    "on and off": ("tanh((t-50)/1e-3)-tanh((t-50.01)/1e-3)", 100, 0.02, 60),
    "sech": ("1/(exp((t-7)/0.02)+exp(-(t-7)/0.02))", 100, 0.01 * math.pi, 60),
    # Switches.
    "tanh": ("1+tanh((t-50)/0.1)", 100, 100.0, 40),
    "logistic, late": ("1/(1+1e-30*exp(t))", 100, 30 * math.log(10), 40),
    "piecewise": ("piecewise(1, t < 50, 0)", 100, 50.0, 20),
    "two switches": ("piecewise(1, t <= 33.3, 2, t < 44.4, 0)", 100, 33.3 + 22.2, 30),
    "window": ("piecewise(0, t < 60, 1, t <= 60.0001, 0)", 100, 1e-4, 70),
    "periodic switch": ("piecewise(1, sin(t) > 0.5, 0)", 100, 16 * 2 * math.pi / 3, 100),
    # Oscillations.
    "cos": ("2+cos(t)", 100, 200 + math.sin(100), 300),
    "cos 1000": ("cos(1000*t)**2", 1, 0.5 + math.sin(2000) / 4000, 6000),
    "burst": ("piecewise(sin(1e5*t)**2, t < 1e-3, 0)", 100, 5e-4 - math.sin(200) / 4e5, 700),
    "packet": ("exp(-((t-50)/1e-3)**2)*cos(1e4*t)**2", 100, 0.5e-3 * ROOT_PI, 300),
    # In space, with the fields, and one after the other.
    "travelling": ("exp(-((x-0.1*t)/0.05)**2)", 100, 0.5 * ROOT_PI, 1000),
    "with the field": ("phi*exp(-((t-50)/0.5)**2)", 100, 0.15 * ROOT_PI, 40),
    "at a field's time": ("exp(-((t-50+phi)/0.01)**2)", 100, 0.01 * ROOT_PI, 1000),
    "train": ("exp(-(sin(pi*t/10)/0.01)**2)", 95, 0.095 / math.pi * 10 * ROOT_PI, 300),
    "fading train": (
        "exp(-t/10)*exp(-(sin(pi*t/10)/0.01)**2)",
        95,
        0.1 / math.pi * ROOT_PI * (0.5 + sum(math.exp(-k) for k in range(1, 10))),
        300,
    ),
    # Nothing to see: no more steps than an error control would take.
    "linear": ("t", 100, 5000.0, 15),
    "root": ("sqrt(t)", 100, 2000 / 3, 15),
    "decay": ("exp(-t)", 100, 1.0, 20),
}


@pytest.mark.parametrize("case", CASES)
def test_nothing_is_jumped_over(case: str) -> None:
    source, end, exact, most = CASES[case]
    driven = drive(source, end)
    assert driven.integral == pytest.approx(exact, rel=0.02)
    assert driven.steps <= most


def test_a_small_part_is_seen_in_front_of_a_large_one() -> None:
    """A pulse of 1e-6 on a large slow change is followed as if it were alone."""
    driven = drive("5 + cos(0.01*t) + 1e-6*exp(-((t-50)/0.01)**2)", 100)
    inside = np.sum((driven.times > 49.98) & (driven.times < 50.02))
    assert 6 <= inside <= 30
    assert driven.steps < 60


@pytest.mark.parametrize("unit", [1e-20, 1e-3, 1e12])
def test_the_unit_of_time_does_not_matter(unit: float) -> None:
    for text in ("exp(-((t-50*u)/(0.01*u))**2)", "exp(-(sin(pi*t/(10*u))/0.1)**2)", "piecewise(1, t < 30*u, 0)"):
        one, other = (drive(text.replace("u", repr(u)), 100 * u) for u in (1.0, unit))
        assert other.integral == pytest.approx(unit * one.integral, rel=1e-3)
        assert abs(other.steps - one.steps) <= 3


def test_a_step_ends_where_a_condition_changes() -> None:
    for source, when in (("piecewise(1, t < 50, 0)", 50.0), ("piecewise(t, t**3 >= 7, 0)", 7 ** (1 / 3))):
        m = model(source)
        limiter = resolution(m, 100)
        assert limiter is not None
        t, steps = 0.0, 0
        while t < when * (1 - 1e-12):
            t, steps = t + limiter.limit(t, 90.0 - t), steps + 1
        assert t == pytest.approx(when, rel=1e-15)
        assert steps <= 12
        after = limiter.switch(t)
        assert after == pytest.approx(when, rel=1e-15)
        value = sp.lambdify(sp.Symbol("t", real=True), m.sources[0], "math")
        assert value(np.nextafter(after, math.inf)) != value(np.nextafter(after, 0) - 1e-14)
        # Behind it, with t on either side of the change, nothing is left to stop for.
        for start in (t, after, np.nextafter(t, 0)):
            assert limiter.limit(start, 1.0) > 0.1
        assert limiter.switch(0.5 * when) is None


def test_a_travelling_pulse_is_followed_between_the_sampled_places() -> None:
    """Wherever a pulse is, the step is no longer than it stays at a place."""
    for source, dim in (("exp(-((x-0.1*t)/0.02)**2)", 1), ("exp(-((x+0.5*y-0.1*t)/0.02)**2)", 2)):
        driven = drive(source, 100, dim=dim)
        inside = driven.times[(driven.times > 5) & (driven.times < 90)]
        assert np.diff(inside).max() < 0.2  # a place sees it for 0.35
        assert driven.steps < 3000


def test_places_that_a_front_has_not_reached_do_not_hold_it_up() -> None:
    """Their values are tiny but grow by the second; they count once the front is near."""
    assert drive("(1+tanh((0.1*t-x)/0.3))**2", 100).steps < 150


def test_rejected_steps_ask_again_from_the_same_time() -> None:
    limiter = resolution(model("exp(-((t-50)/0.5)**2)"), 100)
    assert limiter is not None
    first = limiter.limit(10.0, 80.0)
    assert limiter.limit(10.0, 80.0) == first
    assert limiter.limit(10.0, 0.1 * first) == 0.1 * first
    assert limiter.limit(2.0, 90.0) <= 48.0  # and from before, after a checkpoint


def test_a_step_far_from_anything_is_free() -> None:
    limiter = resolution(model("exp(-((t-50)/0.5)**2)"), 100)
    assert limiter is not None
    assert limiter.limit(0.0, 40.0) == 40.0
    assert limiter.limit(60.0, 40.0) == 40.0


def test_every_component_counts() -> None:
    limiter = resolution(model(["1", "x*exp(-((t-50)/0.01)**2)", "cos(0.001*t)"]), 100)
    assert limiter is not None
    t, steps = 0.0, 0
    while t < 49.9:
        t, steps = t + limiter.limit(t, 100.0 - t), steps + 1
    assert t < 50.0
    assert steps < 10


def test_without_time_there_is_nothing_to_do() -> None:
    for source in ("sin(x)*phi", "1 + phi**2", "0*t + x"):
        assert resolution(model(source), 100) is None


def test_what_cannot_be_followed_for_long_is_said() -> None:
    limiter = resolution(model("cos(1e9*t)"), 10)
    assert limiter is not None
    step = limiter.limit(1.0, 1.0)
    assert 1e-10 < step < 2e-9
    assert "1e+10" in limiter.note or "steps" in limiter.note
    blind = resolution(model("cos(1e25*t)"), 10)
    assert blind is not None
    assert blind.limit(1.0, 9.0) == pytest.approx(10 / 200)
    assert "too fast" in blind.note
    calm = resolution(model("cos(t)"), 100)
    assert calm is not None
    calm.limit(0.0, 100.0)
    assert not calm.note


def test_other_states_of_the_fields_are_taken() -> None:
    limiter = resolution(model("exp(-((t-50*phi)/0.01)**2)"), 100)
    assert limiter is not None
    limiter.resample(np.array([[0.5]]))
    assert 24.9 < limiter.limit(0.0, 100.0) < 25.0
    limiter.resample(np.array([[0.8]]))
    assert 39.9 < limiter.limit(0.0, 100.0) < 40.0
