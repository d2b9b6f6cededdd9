"""Shrinking circle: a grain loses area at a constant rate, whatever its size.

    dη/dt = -L (f'(η) - κ ∇²η),   dR²/dt = -2 L κ

The boundary moves towards its centre of curvature at the speed L κ/R (Allen and Cahn, Acta Metall. 27 (1979) 1085).

Run time: 4 s on 2 cores. Picture: shrinking_circle.png
"""

import sys

import matplotlib.pyplot as plt
import numpy as np

import phasefield as pf

QUICK = "--quick" in sys.argv  # smaller, for the tests of this project
N, R = (64, 24) if QUICK else (160, 60)
END = R**2 / 2 * 0.85  # the circle would be gone at R²/(2 L κ)

run = pf.run(
    "model=allen_cahn",  # L = κ = 1
    f"grid.shape=[{N},{N}]",
    f"initial.eta={{kind: circles, centers: [[{N / 2}, {N / 2}]], radii: {R}, inside: 1, outside: -1, width: 1.4}}",
    f"time.end={END}",
    "time.tolerance=0.02",
    f"output.every={END / 5}",
)
time = run.history.time
square = N**2 * (run.history.mean_eta + 1) / 2 / np.pi  # R² from the area
late = time > 5
slope = float(np.polyfit(time[late], square[late], 1)[0])

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.6), layout="constrained", gridspec_kw={"wspace": 0.08})
for i, when in enumerate(run.fields.time.values):
    eta = run.fields.eta.sel(time=when)
    left.contour(eta.x, eta.y, eta.T, levels=[0], colors=[plt.cm.viridis(i / 5)])
left.set(aspect="equal", xlabel="x", ylabel="y", title="the boundary, every fifth of the time")
right.plot(time, square, lw=3, label="simulation")
right.plot(time, R**2 - 2 * time, "k--", lw=1, label="R₀² - 2 L κ t")
right.set(xlabel="time t", ylabel="R²", title=f"slope {slope:.3f}")
right.legend()
figure.savefig("shrinking_circle.png", dpi=150)

print(f"dR²/dt: {slope:.4f}, expected {-2:.4f} within 1 %")
assert abs(slope / -2 - 1) < 0.01
