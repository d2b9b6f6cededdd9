"""What no step may change or raise: the mean of a conserved field, and the free energy."""

from __future__ import annotations

import numpy as np
import pytest
from verify import PRESETS, conserved, field_values, model_of, run, specify, steps

from phasefield.integrators import SCHEMES
from phasefield.models import energy_terms
from phasefield.simulation import Simulation

CONSERVED = [p for p in PRESETS if conserved(p)]
#: The presets' own initial conditions place circles and grains, which need room.
SIZE = {"precipitate": 64}


def simulation(preset: str, *overrides: str) -> Simulation:
    n = SIZE.get(preset, 24)
    room = ("grid.length=128",) if preset == "precipitate" else ()
    few = ("initial.eta={kind: voronoi, grains: 3}",) if preset == "grain_growth" else ()
    return Simulation(specify(f"model={preset}", f"grid.shape=[{n},{n}]", *room, *few, *overrides))


def means(sim: Simulation) -> np.ndarray:
    """Coefficients of the constant mode of the conserved components."""
    kinetics = np.array([f.kinetics.conserved for f, _ in sim.model.components])
    return sim.backend.to_host(sim.carry.u)[kinetics, 0, 0, 0]


@pytest.mark.parametrize("preset", CONSERVED)
@pytest.mark.parametrize("boundary", [pytest.param("periodic", marks=pytest.mark.slow), "no-flux"])
def test_mass_is_conserved_to_the_bit(preset: str, boundary: str) -> None:
    sim = simulation(preset, f"grid.boundary={boundary}", "time.adaptive=false", "time.dt=0.02")
    kinetics = [f.kinetics.conserved for f, _ in sim.model.components]
    before, mass = means(sim), field_values(sim)[kinetics].mean(axis=(1, 2))
    run(sim, 300 * 0.02)
    assert sim.carry.step == 300
    np.testing.assert_array_equal(means(sim), before)
    # Summing the cells has round-off of its own, about as large as the field's values however small their mean.
    cells = field_values(sim)[kinetics]
    scale = np.maximum(np.abs(mass), np.sqrt((cells**2).mean(axis=(1, 2))))
    assert (np.abs(cells.mean(axis=(1, 2)) - mass) < 1e-13 * scale).all()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("adaptive", [True, False])
def test_every_scheme_conserves_mass_to_the_bit(scheme: str, adaptive: bool) -> None:
    sim = simulation(
        "cahn_hilliard",
        f"time.scheme={scheme}",
        f"time.adaptive={str(adaptive).lower()}",
        "time.dt=0.05",
        "time.end=50",
    )
    before = means(sim)
    run(sim, 10.0)
    np.testing.assert_array_equal(means(sim), before)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("boundary", ["periodic", "no-flux"])
def test_energy_never_rises(preset: str, boundary: str) -> None:
    """Recomputed from the state after every step, not taken from the step's own books."""
    sim = simulation(preset, f"grid.boundary={boundary}", "time.end=100")
    energies = [sim.observe(sim.carry)[1]["free_energy"]]
    scale = abs(sim.observe(sim.carry)[1]["free_energy_bulk"]) + 1e-3 * sim.grid.volume * max(sim.stabilizers)
    # Terms that cancel are rounded in every cell by itself.
    cells = field_values(sim)
    rounding = np.finfo(float).eps * sim.grid.volume * energy_terms(sim.model, cells) / np.sqrt(cells[0].size)
    for _ in steps(sim, 100.0):
        energies.append(sim.observe(sim.carry)[1]["free_energy"])
        if sim.carry.step >= 400:
            break
    rises = np.diff(energies)
    print(f"{preset} {boundary}: {sim.carry.step} steps to {sim.carry.t:.3g}, largest rise {rises.max() / scale:.1e}")
    assert len(energies) > 10
    assert energies[-1] < energies[0]
    assert rises.max() <= max(1e-14 * scale, 5 * rounding)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_energy_never_rises_with_any_scheme(scheme: str) -> None:
    sim = simulation("cahn_hilliard_landau", f"time.scheme={scheme}", "time.end=30")
    energies = [sim.carry.energy, *(s.carry.energy for s in steps(sim, 30.0))]
    assert np.diff(energies).max() <= 1e-14 * sim.grid.volume
    assert model_of("cahn_hilliard_landau").gradient_flow
