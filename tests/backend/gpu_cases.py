"""Problems that a GPU, or what plays one, has to solve as the CPU does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from phasefield.backend import cells_of
from phasefield.simulation import Simulation

STEPS = 100
GRAINS = ("model=grain_growth", "model.fields.eta.components=5", "initial.eta={kind: voronoi, grains: 8}")
PRECIPITATE = (
    "model=precipitate",
    "initial.c={kind: circles, count: 2, radius: [4, 5], inside: 0.7, outside: 0.35, width: 2.0}",
    "initial.eta={kind: circles, count: 2, radius: [4, 5], inside: 1.0, outside: 0.0, width: 2.0}",
)
SOURCE = "model.fields.c.source=0.01*cos(0.2*x)*exp(-t) + 0.002*c*(1 - c)"
CASES = {
    "line": ("model=cahn_hilliard", "grid.shape=[33]"),
    "plane": ("model=cahn_hilliard", "grid.shape=[24,17]"),
    "space": ("model=cahn_hilliard", "grid.shape=[8,10,12]", "grid.dealias=true"),
    "no-flux": ("model=cahn_hilliard", "grid.shape=[20,15]", "grid.boundary=no-flux"),
    "mixed": ("model=allen_cahn", "grid.shape=[9,10,8]", "grid.boundary=[fixed,periodic,no-flux]"),
    "grains": (*GRAINS, "grid.shape=[16,18]"),
    "precipitate": (*PRECIPITATE, "grid.shape=[32,30]"),
    "conserved source": ("model=cahn_hilliard", SOURCE, "grid.shape=[16,18]"),
    "sources of two fields": (*PRECIPITATE, SOURCE, "model.fields.eta.source=-0.01*eta*y/32", "grid.shape=[32,30]"),
    "elastic": (
        *PRECIPITATE,
        "grid.shape=[24,20]",
        "model.fields.c.eigenstrain=[0.05,0.02]",
        "model.fields.eta.eigenstrain=-0.03",
        "model.elastic={stiffness: {C11: 250, C12: 150, C44: 120}, load: {stress: {xx: 0.2}, strain: {xy: 0.01}}}",
    ),
    "elastic in L": (
        "model=cahn_hilliard",
        "grid.shape=[8,10,12]",
        "model.fields.c.eigenstrain=0.05",
        "model.elastic={stiffness: {C11: 250, C12: 150, C44: 120}, orientation: {euler: [20, 40, 70]}}",
    ),
    "elastic phases": (
        "model=cahn_hilliard",
        "grid.shape=[12,10]",
        # Tight, for CPUs then solve in full precision, as GPUs always do.
        "model.elastic={material: ni_ni3al, unit: 1 GPa, every: 2, tolerance: 1e-8}",
        "model.fields.c.eigenstrain=0.01",
    ),
    "operator": ("model=phase_field_crystal", "model.fields.psi.operator=(1-k2)**2+r*kx*ky", "grid.shape=[24,18]"),
    "operator between walls": ("model=block_copolymer", "grid.shape=[20,15]", "grid.boundary=[no-flux,periodic]"),
    "parameter in time": ("model=cahn_hilliard", "model.parameters.W=1+0.5*tanh(10*(t-0.5))", "grid.shape=[16,18]"),
    "mobility": ("model=surface_diffusion", "grid.shape=[24,15]", "grid.boundary=[no-flux,periodic]"),
    "walls with data": (
        "model=cahn_hilliard",
        "grid.shape=[12,15]",
        "grid.boundary=[fixed-no-flux,no-flux]",
        "model.fields.c.walls={left: {value: 0.3+0.1*sin(t)}, right: {flux: 0.01}, top: {angle: 60}}",
    ),
    "electrodes": (
        "model=cahn_hilliard",
        "grid.shape=[12,15]",
        "grid.boundary=no-flux",
        "model.electric={charge: 0.3*c, permittivity: 2, potential: {left: 0, right: sin(y/4)*cos(t)}}",
    ),
    "normal": (
        "model=allen_cahn",
        "grid.shape=[24,18]",
        "grid.boundary=[no-flux,periodic]",
        "model.fields.eta.kappa=(1 + 0.05*cos(4*theta))**2",
    ),
    "logarithms": ("model=flory_huggins", "grid.shape=[24,17]"),
}
#: With thermal noise, which takes fixed steps: halved complex modes, real ones, a strength that depends on time.
NOISY = {
    "line": ("model=cahn_hilliard", "model.fields.c.noise=1e-3", "grid.shape=[33]"),
    "space": ("model=allen_cahn", "model.fields.eta.noise=0.01*exp(-t)", "grid.shape=[8,10,12]"),
    "mixed": (
        "model=cahn_hilliard",
        "model.fields.c.noise=1e-3",
        "grid.shape=[9,10,8]",
        "grid.boundary=[fixed,periodic,no-flux]",
    ),
    "grains": (*GRAINS, "model.fields.eta.mobility=1", "model.fields.eta.noise=0.01", "grid.shape=[16,18]"),
}


def look(sim: Simulation) -> tuple[np.ndarray, dict[str, Any]]:
    scratch, values = sim.observe(sim.carry)
    return cells_of(sim.layout, sim.backend.to_host(scratch)), values


def compare(cpu: Simulation, gpu: Simulation, tolerance: float) -> None:
    (cells, values), (others, theirs) = look(cpu), look(gpu)
    assert gpu.carry.step == cpu.carry.step
    assert gpu.carry.t == pytest.approx(cpu.carry.t, rel=tolerance)
    np.testing.assert_allclose(others, cells, rtol=0, atol=tolerance * np.abs(cells).max())
    for name, value in values.items():
        np.testing.assert_allclose(theirs[name], value, rtol=100 * tolerance, atol=tolerance, err_msg=name)
