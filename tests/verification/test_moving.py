"""Symbols of L that depend on time: kappa(t) and operators with parameters in t."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import quad
from verify import field_values, run, specify

from phasefield.errors import ConfigError
from phasefield.models.moving import References
from phasefield.simulation import Simulation, build_model

K = 2 * math.pi / 10
#: f = 0.2 u^2, a mode of wavenumber `K` that is small, and fixed steps that follow it to 1e-6.
MODE = ("model.energy=0.2*FIELD**2", "grid.shape=[16]", "grid.length=10", "initial.FIELD=1e-4*cos(2*pi*x/10)")
FIXED = ("time.adaptive=false", "time.dt=0.005", "time.end=2")


def mode(model: str, field: str, *keys: str) -> Simulation:
    return Simulation(specify(f"model={model}", *(key.replace("FIELD", field) for key in (*MODE, *FIXED, *keys))))


def amplitude(sim: Simulation) -> float:
    return float(1e4 * 2 / 16 * abs(np.fft.rfft(field_values(sim)[0])[1]))


@pytest.mark.parametrize(
    ("model", "field", "mobility"),
    [
        ("cahn_hilliard", "c", "1"),
        *(
            pytest.param(model, field, mobility, marks=pytest.mark.slow)
            for model, field in (("cahn_hilliard", "c"), ("allen_cahn", "eta"))
            for mobility in ("1+FIELD**2", "1+0.5*sin(t)")
        ),
    ],
)
def test_a_mode_decays_at_the_rate_of_the_time(model: str, field: str, mobility: str) -> None:
    """kappa and an operator whose minimum wanders: against the exact integral, the energy of its time beside it."""
    keys = ("model.fields.FIELD.kappa=1+sin(3*t)", "+model.parameters.r=0.5*t", "model.fields.FIELD.operator=(r-k2)**2")
    sim = mode(model, field, *keys, f"model.fields.FIELD.mobility={mobility}")

    def rate(t: float) -> float:
        moving = 1 + 0.5 * math.sin(t) if "t" in mobility else 1.0
        q = moving * (K**2 if model == "cahn_hilliard" else 1)
        return q * (0.4 + (1 + math.sin(3 * t)) * K**2 + (0.5 * t - K**2) ** 2)

    exact = math.exp(-quad(rate, 0, 2)[0])
    measured = amplitude(run(sim, 2.0))
    print(f"{measured / exact - 1:.1e}")
    assert measured == pytest.approx(exact, rel=1e-6)
    energies = sim.observe(sim.carry)[1]
    square = 0.25 * 10 * (1e-4 * measured) ** 2
    assert energies["free_energy_gradient"] == pytest.approx((1 + math.sin(6)) * K**2 * square, rel=1e-9)
    assert energies["free_energy_operator"] == pytest.approx((1 - K**2) ** 2 * square, rel=1e-9)


def test_l_takes_as_few_times_as_cover_what_moves() -> None:
    """The largest of one that rises and falls; of a minimum that wanders both ends; of axes on their own ways one each."""
    found = {}
    for keys in (
        ("model.fields.c.kappa=2+cos(t)",),
        ("+model.parameters.r=t/4", "model.fields.c.operator=(1-k2)**2-r"),
        ("+model.parameters.r=t/4", "model.fields.c.operator=(r-k2)**2"),
        ("model.fields.c.kappa=[1+t, 2-t/4]",),
    ):
        spec = specify("model=cahn_hilliard", "grid.shape=[8,8]", "time.end=4", *keys)
        references = References.of(build_model(spec), spec.grid.build(), 4.0)
        assert references.excess == (0.0,)
        found[keys[-1]] = references.times[0]
    assert list(found.values()) == [(0.0,), (0.0,), (0.0, 4.0), (0.0, 4.0)]


@pytest.mark.slow
def test_a_phase_field_crystal_is_quenched_by_its_own_undercooling() -> None:
    """psi^4/4 + ((1 + lap)^2 - r(t))/2: the amplitude grows along the path, and the end is that of a run at the last r."""
    keys = (
        "model.energy=FIELD**4/4",
        "model.fields.FIELD.kappa=0",
        "grid.shape=[32]",
        f"grid.length={2 * math.pi * 2}",
    )
    keys += ("initial.FIELD=0.05+1e-5*cos(x)", "time.adaptive=true", "time.dt=null")
    course, ramp = (
        "min(0.3, t/50-0.1)",
        ("+model.parameters.r=min(0.3, t/50-0.1)", "model.fields.FIELD.operator=(1-k2)**2-r"),
    )
    sim = mode("cahn_hilliard", "c", *keys, *ramp, "time.end=300")
    run(sim, 25.0)
    path = quad(lambda t: min(0.3, t / 50 - 0.1) - 3 * 0.05**2, 0, 25, points=[20])[0]
    measured = 2 / 32 * abs(np.fft.rfft(field_values(sim)[0])[2])
    print(f"{course}: {measured / (1e-5 * math.exp(path)) - 1:.2%}")
    assert measured == pytest.approx(1e-5 * math.exp(path), rel=0.005)
    still = mode("cahn_hilliard", "c", *keys, "model.fields.FIELD.operator=(1-k2)**2-0.3", "time.end=300")
    energies = [run(s, 300.0).carry.energy for s in (sim, still)]
    assert energies[0] == pytest.approx(energies[1], rel=1e-6)
    assert max(np.ptp(field_values(s)[0]) for s in (sim, still)) > 0.5


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["double", "single"])
def test_a_resumed_run_has_the_same_bits_and_another_end_begins_the_scheme_anew(precision: str) -> None:
    keys = (
        "model=cahn_hilliard",
        "grid.shape=[24,16]",
        "model.fields.c.kappa=1+0.8*sin(t/4)",
        f"precision={precision}",
    )
    spec = specify(*keys, "time.end=12")
    sim = run(Simulation(spec), 5.0)
    arrays, numbers = sim.state()
    again = run(Simulation(spec, (dict(arrays), numbers)), 12.0)
    assert np.array_equal(field_values(again), field_values(run(sim, 12.0)))
    longer = Simulation(specify(*keys, "time.end=30"), (dict(arrays), numbers))
    assert longer.carry.sizes == [] or longer.held == sim.held
    assert np.abs(field_values(run(longer, 12.0)) - field_values(sim)).max() < 5e-3


@pytest.mark.parametrize(
    ("keys", "key", "said"),
    [
        (("fields.c.kappa=1-t",), "model.fields.c.kappa", "at t = 1.03.*until time.end"),
        (("parameters.W=2-t", "fields.c.operator=W*k2**2"), "model.fields.c.operator", "falls without bound"),
        (("parameters.W=2-t", "fields.c.operator=sqrt(W+k2)"), "model.fields.c.operator", "no finite real value"),
        (
            ("parameters.kappa_c=1", "energy=kappa_c*c**2", "fields.c.kappa=1+t"),
            "model.parameters.kappa_c",
            "rename it",
        ),
        (("parameters.W=2-t", "fields.c.kappa=W*n_x**2+2*n_y**2"), "model.fields.c.kappa", "depends on time"),
    ],
)
def test_what_moves_where_it_must_not_is_refused(keys: tuple[str, ...], key: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        Simulation(specify("model=cahn_hilliard", "grid.shape=[8,8]", "time.end=4", *(f"++model.{k}" for k in keys)))
    assert caught.value.key == key
