"""A run that goes on from its checkpoint is the run."""

from __future__ import annotations

import numpy as np

from phasefield.simulation import Simulation


def goes_on(sim: Simulation, end: float, before: int, after: int) -> Simulation:
    """Steps towards ``end``: ``before``, then ``after`` in the simulation and in one made from a copy of its state; asserts that
    both have the same bits, time and energies, and returns the other.
    """
    for _ in range(before):
        sim.advance(end)
    arrays, numbers = sim.state()
    again = Simulation(sim.spec, ({name: a.copy() for name, a in arrays.items()}, numbers))
    for _ in range(after):
        sim.advance(end)
        again.advance(end)
    np.testing.assert_array_equal(sim.backend.to_host(again.carry.u), sim.backend.to_host(sim.carry.u))
    assert (again.carry.t, again.carry.step) == (sim.carry.t, sim.carry.step)
    assert again.carry.energies == sim.carry.energies
    return again
