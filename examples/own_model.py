"""A model of your own: one YAML file with an energy, and the boundary between its phases costs what the energy says.

    f = C/6 η² (η² - η₀²)²,   σ = ∫ √(2κf) dη = √(κC/3) η₀⁴/4,   η(x)² = η₀²/(1 + exp(2 η₀² √(C/(3κ)) x))

Landau's energy of sixth order at the temperature where order and disorder coexist, in landau6.yaml beside this script. A front
in one dimension comes to rest; all of its free energy is that of the boundary (Cahn and Hilliard, J. Chem. Phys. 28 (1958) 258).

Run time: 3 s on 2 cores. Picture: own_model.png
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import phasefield as pf

QUICK = "--quick" in sys.argv  # smaller, for the tests of this project
C, KAPPA = 6.0, 1.0

run = pf.run(
    f"model={Path(__file__).with_name('landau6.yaml')}",
    f"grid.shape=[{64 if QUICK else 160}]",
    "grid.length=20",
    "grid.boundary=no-flux",
    "time.end=50",
)
energy, expected = float(run.history.free_energy[-1]), np.sqrt(KAPPA * C / 3) / 4
eta = run.fields.eta.isel(time=-1)
x = np.linspace(0, 20, 400)
middle = np.interp(-0.5, -(eta.values**2), eta.x)  # where η² is half of η₀²

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.4), layout="constrained", gridspec_kw={"wspace": 0.08})
order = np.linspace(-0.1, 1.15, 200)
left.plot(order, C / 6 * order**2 * (order**2 - 1) ** 2)
left.set(xlabel="order η", ylabel="energy density f", title="landau6.yaml", ylim=(0, 0.25))
right.plot(x, np.sqrt(1 / (1 + np.exp(2 * np.sqrt(C / (3 * KAPPA)) * (x - middle)))), color="0.4", label="exact")
right.plot(eta.x[:: 1 if QUICK else 3], eta[:: 1 if QUICK else 3], "o", ms=4, color="C3", label="simulation")
right.set(xlabel="x", ylabel="order η", title="the boundary at rest")
right.legend()
figure.savefig("own_model.png", dpi=150)

print(f"energy of the boundary: {energy:.6f}, expected {expected:.6f} within 0.01 %")
assert abs(energy / expected - 1) < 1e-4
