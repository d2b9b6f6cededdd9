"""Travelling front: the stable phase invades the metastable one at the speed of the exact solution.

    u_t = u_xx + u (1 - u)(u - a),   u = 1/(1 + exp((x - v t)/√2)),   v = (1 - 2a)/√2

Nagumo's equation of nerve pulses is an Allen-Cahn model with an energy of its own: f' = -u (1 - u)(u - a), κ = L = 1
(Nagumo, Arimoto and Yoshizawa, Proc. IRE 50 (1962) 2061).

Run time: 3 s on 2 cores. Picture: front.png
"""

import sys

import matplotlib.pyplot as plt
import numpy as np

import phasefield as pf

QUICK = "--quick" in sys.argv  # smaller, for the tests of this project
LENGTH, A = (60, 0.25) if QUICK else (120, 0.25)
END = LENGTH  # the front goes a third of the way

run = pf.run(
    "model=allen_cahn",
    "model.energy=eta**4/4 - (1 + a)*eta**3/3 + a*eta**2/2",
    f"model.parameters={{a: {A}}}",
    f"grid.shape=[{4 * LENGTH}]",
    f"grid.length={LENGTH}",
    "grid.boundary=no-flux",
    f"initial.eta={{kind: slab, axis: x, position: {LENGTH / 4}, inside: 1, outside: 0, width: 1.4}}",
    "time.tolerance=0.01",
    f"time.end={END}",
    f"output.every={END / 6}",
)
place = LENGTH * run.history.mean_eta  # the phase u = 1 reaches as far
late = run.history.time > END / 4
speed, expected = float(np.polyfit(run.history.time[late], place[late], 1)[0]), (1 - 2 * A) / np.sqrt(2)

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.4), layout="constrained", gridspec_kw={"wspace": 0.08})
for i, shown in enumerate(run.fields.eta):
    left.plot(shown.x, shown, color=plt.cm.viridis(i / 7), label=f"t = {float(shown.time):.0f}")
left.set(xlabel="x", ylabel="u", title="the front")
left.legend(fontsize=7, loc="upper right")
right.plot(run.history.time, place, lw=3, label="simulation")
right.plot(run.history.time, LENGTH / 4 + expected * run.history.time, "k--", lw=1, label="exact")
right.set(xlabel="time t", ylabel="place of the front", title=f"speed {speed:.5f}")
right.legend()
figure.savefig("front.png", dpi=150)

print(f"speed: {speed:.5f}, expected {expected:.5f} within 0.5 %")
assert abs(speed / expected - 1) < 0.005
