"""Precipitate growth: a flat precipitate that is fed by diffusion grows with the square root of time, as Zener said.

    x = 2 λ √(D t),   √π λ exp(λ²) erfc(λ) = (c∞ - c_a)/(c_b - c_a),   D = M f''

The matrix is supersaturated to c∞; at the interface it has c_a, the precipitate c_b (Zener, J. Appl. Phys. 20 (1949) 950). The
model couples a concentration with an order parameter; the run starts from Zener's profile at an early time.

Run time: 4 s on 2 cores. Picture: precipitate_growth.png
"""

import sys

import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import brentq
from scipy.special import erfc

import phasefield as pf

QUICK = "--quick" in sys.argv  # smaller, for the tests of this project
N, BEGIN, END = (512, 40.0, 300.0) if QUICK else (1536, 40.0, 2000.0)
CA, CB, FAR, D = 0.3, 0.7, 0.5, 5.0 * 2 * 2.0  # of the preset: M = 5, f'' = 2 rho, rho = 2

zener = brentq(lambda z: np.sqrt(np.pi) * z * np.exp(z**2) * erfc(z) - (FAR - CA) / (CB - CA), 1e-3, 3)
x = np.arange(N) + 0.5
front = 2 * zener * np.sqrt(D * BEGIN)
inside = 0.5 * (1 + np.tanh((front - x) / 2.5))
profile = FAR - (FAR - CA) * erfc(np.maximum(x, front) / np.sqrt(4 * D * BEGIN)) / erfc(zener)

run = pf.run(
    "model=precipitate",
    f"grid.shape=[{N}]",
    "grid.boundary=no-flux",
    f"time.end={END}",
    f"output.every={END / 6}",
    initial={"c": inside * CB + (1 - inside) * profile, "eta": inside},
)
place = N * run.history.mean_eta  # the order parameter is 1 in the precipitate
late = run.history.time > END / 6
slope = float(np.polyfit(run.history.time[late], place[late] ** 2, 1)[0])
found = np.sqrt(slope / (4 * D))

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.4), layout="constrained", gridspec_kw={"wspace": 0.08})
for i, shown in enumerate(run.fields.c):
    left.plot(shown.x, shown, color=plt.cm.viridis(i / 7), label=f"t = {float(shown.time):.0f}")
left.set(xlabel="x", ylabel="concentration c", title="the precipitate draws from the matrix")
left.legend(fontsize=7)
right.plot(run.history.time, place, lw=3, label="simulation")
right.plot(run.history.time, 2 * zener * np.sqrt(D * (run.history.time + BEGIN)), "k--", lw=1, label="2 λ √(D t)")
right.set(xlabel="time t", ylabel="place of the interface x", title=f"λ = {found:.4f}")
right.legend()
figure.savefig("precipitate_growth.png", dpi=150)

print(f"growth coefficient λ: {found:.4f}, expected {zener:.4f} (Zener) within 2 %")
assert abs(found / zener - 1) < 0.02
