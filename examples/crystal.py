"""A crystal out of a liquid: the phase-field crystal has a lattice, and stiffness, without being told of either.

    F = ∫ ψ/2 [r + (1 + ∇²)²] ψ + ψ⁴/4 dV,   lattice constant 4π/√3,   C11 = 9A²/16,   A = 4/5 (-ψ̄ + √(-15r - 36ψ̄²)/3)

The operator (1 - k²)² is the symbol of a nonlocal energy. A unit cell that is stretched a little along x and relaxed gives C11 by
its energy; a liquid with noise freezes into grains of the same lattice.

Run time: 15 s on 2 cores. Picture: crystal.png
"""

import math
import sys

import matplotlib.pyplot as plt
import numpy as np

import phasefield as pf

QUICK = "--quick" in sys.argv  # smaller, for the tests of this project
R, MEAN, STRAIN = -0.05, -0.1, 0.003
A = 0.8 * (-MEAN + math.sqrt(-15 * R - 36 * MEAN**2) / 3)
PFC = ("model=phase_field_crystal", f"model.parameters.r={R}", "output.picture=false")


def energy(strain: float) -> float:
    """Energy density of a stretched unit cell of the triangular lattice, relaxed."""
    lx, ly = 4 * math.pi / math.sqrt(3) * (1 + strain), 4 * math.pi
    lattice = f"{MEAN} + {A}*(cos(2*pi*x/{lx})*cos(2*pi*y/{ly}) + cos(4*pi*y/{ly})/2)"
    run = pf.run(*PFC, "grid.shape=[12,20]", f"grid.length=[{lx},{ly}]", f"initial.psi={lattice}", "time.end=1000")
    return float(run.history.free_energy[-1]) / (lx * ly)


strains = STRAIN * np.array([-1, 0, 1])
energies = np.array([energy(s) for s in strains])
c11 = float((energies[0] - 2 * energies[1] + energies[2]) / STRAIN**2)

cells, end = (64, 200) if QUICK else (256, 1500)
liquid = pf.run(
    "model=phase_field_crystal",
    f"grid.shape=[{cells},{cells}]",
    f"grid.length={cells * 0.8}",
    f"time.end={end}",
    "output.picture=false",
)
psi = liquid.fields.psi.isel(time=-1)

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.6), layout="constrained")
left.imshow(psi.values.T, origin="lower", extent=(0, cells * 0.8, 0, cells * 0.8), cmap="magma")
left.set(xlabel="x", ylabel="y", title=f"frozen liquid at t = {end}")
fine = np.linspace(-STRAIN, STRAIN, 50)
right.plot(fine, 9 / 32 * A**2 * fine**2, color="0.4", label="one-mode theory, 9A²/32 ε²")
right.plot(strains, energies - energies[1], "o", color="C3", label="simulation")
right.set(xlabel="strain ε along x", ylabel="energy density", title=f"C11 = {c11:.5f}")
right.legend()
figure.savefig("crystal.png", dpi=150)

print(f"stiffness C11: {c11:.5f}, expected {9 / 16 * A**2:.5f} within 1 %")
assert abs(c11 / (9 / 16 * A**2) - 1) < 0.01
