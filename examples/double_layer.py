"""Double layer: ions of both signs gather at electrodes until they screen them.

    ∂n±/∂t = M ∇²(kT ln n± ± e φ),   ε ∇²φ = -e (n₊ - n₋),   tanh(e φ/4kT) = tanh(e φ₀/4kT) exp(-x/λ),   λ² = ε kT/(2 e² n₀)

Ideal ions between two plates come to the layers of Gouy and Chapman (Chapman, Phil. Mag. 25 (1913) 475), n₀ and the zero of φ
being those of the middle. Units of kT, e, λ and n₀.

Run time: 12 s on 2 cores. Picture: double_layer.png
"""

import sys

import matplotlib.pyplot as plt
import numpy as np

import phasefield as pf
from phasefield import config
from phasefield.models.electric import potential
from phasefield.problem import build_model

QUICK = "--quick" in sys.argv  # smaller, for the tests of this project
CELLS, LENGTH, TOP = (64, 16.0, 1.0) if QUICK else (192, 24.0, 2.0)

keys = [
    "model=cahn_hilliard",
    "model.energy=c*log(c) + anion*log(anion)",  # c: cations
    "model.fields.c={kinetics: conserved, kappa: 0, mobility: 0.5}",
    "model.fields.anion={kinetics: conserved, kappa: 0, mobility: 0.5}",
    f"model.electric={{charge: c - anion, permittivity: 2, potential: {{left: {TOP}, right: {-TOP}}}}}",
    "initial.c=1",
    "initial.anion=1",
    f"grid.shape=[{CELLS}]",
    f"grid.length={LENGTH}",
    "grid.boundary=no-flux",
    "time.end=2000",
]
run = pf.run(*keys)
spec = config.to_spec(config.compose(keys))
charged, grid = build_model(spec).settings["electric"], spec.grid.build()
x = run.fields.x.values
c, a = (run.fields[name][-1].values for name in ("c", "anion"))
phi = potential(charged, grid, {"c": c, "anion": a})
middle = np.sqrt(c * a)[CELLS // 2]  # n₀: the layers have taken ions from it
near = np.minimum(x, LENGTH - x)
side = np.where(x < LENGTH / 2, 1, -1)
theory = side * 4 * np.arctanh(np.tanh(TOP / 4) * np.exp(-near * np.sqrt(middle)))
error = abs(phi - theory).max() / TOP

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
left.plot(x, phi, label="simulation")
left.plot(x, theory, "k:", label="Gouy and Chapman")
left.set(xlabel="x/λ", ylabel="potential e φ/kT")
right.plot(x, c, label="cations")
right.plot(x, a, label="anions")
right.set(xlabel="x/λ", ylabel="number of ions n/n₀")
for ax in (left, right):
    ax.legend()
figure.savefig("double_layer.png", dpi=150)

print(f"largest error of the potential, of that of the plates: {error:.1e}, expected 0 within 1e-2")
assert error < 1e-2
