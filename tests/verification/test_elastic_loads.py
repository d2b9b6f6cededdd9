"""Loads that change in time: of one stiffness and of phases that differ."""

from __future__ import annotations

import numpy as np
import pytest
from test_elastic import seen
from test_elastic_phases import material
from verify import field_values, run, specify

from phasefield.errors import ConfigError
from phasefield.simulation import Simulation

_COMMON = (
    *("model=allen_cahn", "model.energy=eta**2*(1-eta)**2", "model.fields.eta.eigenstrain=[0.05,0.02]"),
    *("grid.shape=[12,12]", "grid.length=16", "initial.eta=0.5+0.4*cos(2*pi*x/16)*cos(2*pi*y/16)"),
)
_STEEL = "{E: 100, nu: 0.3}"
_LOAD = "{strain: {xx: 'size*sin(40*t)'}, stress: {yy: 't**2'}}"
_SIZE = "model.parameters={size: 0.01}"


def test_one_stiffness_and_like_phases_follow_a_load() -> None:
    """In steps of the same size they come to the same state, and tell the load of the time at hand; steps that are chosen see
    its time scale."""
    fixed = ("time.adaptive=false", "time.scheme=etd1", "time.dt=0.002", "time.end=1", _SIZE)
    one = Simulation(specify(*_COMMON, *fixed, f"model.elastic={{stiffness: {_STEEL}, load: {_LOAD}}}"))
    like = Simulation(specify(*_COMMON, *fixed, material(_STEEL, _STEEL, more=f"tolerance: 1e-6, load: {_LOAD}")))
    for sim in (one, like):
        S = max(one.stabilizers[0], like.stabilizers[0])
        sim.stabilizers[:] = [S]
        sim.split.stabilize([S])
        sim.integrator.restart(sim.carry, 0.0)
    for sim in (one, like):
        run(sim, 0.5)
    values = [seen(sim) for sim in (one, like)]
    assert np.abs(field_values(one) - field_values(like)).max() < 1e-6
    for found in values:
        assert found["mean_stress_yy"] == pytest.approx(0.25, rel=1e-9)
        assert found["mean_strain_xx"] == pytest.approx(0.01 * np.sin(20.0), rel=1e-9)
    assert values[1]["free_energy_elastic"] == pytest.approx(values[0]["free_energy_elastic"], rel=1e-6)
    chosen = Simulation(specify(*_COMMON, _SIZE, "time.end=1", f"model.elastic={{stiffness: {_STEEL}, load: {_LOAD}}}"))
    assert not chosen.model.gradient_flow
    run(chosen, 0.5)
    assert chosen.carry.step > 12 * 0.5 * 40 / (2 * np.pi)


def test_what_loads_may_not_be_is_refused() -> None:
    for load, key, words in (
        ("{stress: {xx: 'c*t'}}", "model.elastic.load.stress.xx", "c"),
        ("{stress: {xx: '1/t'}}", "model.elastic.load.stress.xx", "at t = 0"),
    ):
        with pytest.raises(ConfigError) as told:
            Simulation(specify(*_COMMON, f"model.elastic={{stiffness: {_STEEL}, load: {load}}}"))
        assert told.value.key.startswith(key)
        assert words in str(told.value)
    with pytest.raises(ConfigError, match="planes of symmetry"):
        Simulation(
            specify(
                *_COMMON, "grid.boundary=no-flux", f"model.elastic={{stiffness: {_STEEL}, load: {{strain: {{xy: t}}}}}}"
            )
        )
