"""Ostwald ripening: of two drops the small one feeds the large one, until one is left at the potential of Gibbs and Thomson.

    dc/dt = M ∇² μ,   μ = f'(c) - κ ∇²c,   μ_drop = σ/(R Δc),   σ = ∫ √(2κf) dc = √(2κW)/6

The smaller a drop, the higher its chemical potential, so that matter diffuses from small to large. The drop that is left is in
equilibrium: its potential is that of its curvature (in two dimensions, 1/R).

Run time: 6 s on 2 cores. Picture: ripening.png
"""

import sys

import matplotlib.pyplot as plt
import numpy as np

import phasefield as pf

QUICK = "--quick" in sys.argv  # smaller, for the tests of this project
SIZE, RADII, END = (32, (9, 6), 3000) if QUICK else (64, (16, 11), 30000)

run = pf.run(
    "model=cahn_hilliard",  # f = W c² (1 - c)², M = κ = W = 1
    f"grid.shape=[{2 * SIZE},{SIZE}]",
    f"initial.c={{kind: circles, centers: [[{SIZE / 2}, {SIZE / 2}], [{1.5 * SIZE}, {SIZE / 2}]], radii: {list(RADII)}, "
    "inside: 1, outside: 0.01, width: 1.4}",
    f"time.end={END}",
    f"output.every={END / 200}",
)
c = run.fields.c
radius = np.sqrt((c > 0.5).sum(["x", "y"]) / np.pi)  # of both together; of each half of the box:
each = [np.sqrt((c.sel(x=part) > 0.5).sum(["x", "y"]) / np.pi) for part in (slice(0, SIZE), slice(SIZE, None))]

# In equilibrium μ is the same everywhere; far from the drop, where c is flat, it is f'(c) = 2 W c (1 - c)(1 - 2c).
last = c.isel(time=-1)
low, high = float(last.min()), float(last.max())
potential = 2 * low * (1 - low) * (1 - 2 * low)
left = np.sqrt(2 * SIZE**2 * (float(last.mean()) - low) / (high - low) / np.pi)
expected = np.sqrt(2) / 6 / (left * (high - low))

figure, axes = plt.subplots(2, 2, figsize=(8, 3.8), layout="constrained", width_ratios=[1.3, 1])
gone = int(np.argmax(each[1].values == 0))
for ax, i in zip(axes[:, 0], (0, int(0.9 * gone)), strict=True):
    image = ax.imshow(c[i].T, origin="lower", cmap="viridis", vmin=0, vmax=1, extent=(0, 2 * SIZE, 0, SIZE))
    ax.set(title=f"t = {float(c.time[i]):.0f}", xlabel="x", ylabel="y")
figure.colorbar(image, ax=axes[:, 0], label="concentration c")
axes[0, 1].remove()
axes[1, 1].remove()
curve = figure.add_subplot(axes[0, 1].get_gridspec()[:, 1])
curve.plot(c.time, each[0], label="large drop")
curve.plot(c.time, each[1], label="small drop")
curve.set(xlabel="time t", ylabel="radius R", title="the large one eats the small one", ylim=(0, None))
curve.legend()
figure.savefig("ripening.png", dpi=150)

print(f"potential of the drop that is left: {potential:.5f}, expected {expected:.5f} (Gibbs-Thomson) within 2 %")
assert each[1][-1] == 0
assert abs(potential / expected - 1) < 0.02
