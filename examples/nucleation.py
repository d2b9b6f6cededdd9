"""Nucleation: nuclei above the critical radius grow, below it they vanish.

    dη/dt = -L (f'(η) - κ ∇²η),   dR²/dt = 2 L κ (R/R* - 1),   R* = σ/Δf

The stable phase gains Δf per area and pays σ for its boundary. Five nuclei about R* grow for a short while; where their rate
is zero, interpolated, is the critical radius. The energy is the double well, tilted so that its wells stay at -1 and 1.

Run time: 3 s on 2 cores. Picture: nucleation.png
"""

import sys

import matplotlib.pyplot as plt
import numpy as np

import phasefield as pf

QUICK = "--quick" in sys.argv  # smaller, for the tests of this project
TILT, TILE = (0.05, 64) if QUICK else (0.04, 96)
SIGMA, GAIN = np.sqrt(1 / 2) * 4 / 3, 4 / 3 * TILT  # ∫ √(2κf) dη, and f(-1) - f(1)
CRITICAL = SIGMA / GAIN
radii = CRITICAL * np.array([0.7, 0.85, 1.0, 1.15, 1.3])

run = pf.run(
    "model=allen_cahn",
    "model.energy=W/4*(1 - eta**2)**2 - tilt*(eta - eta**3/3)",
    f"model.parameters={{W: 1.0, tilt: {TILT}}}",
    f"grid.shape=[{5 * TILE},{TILE}]",
    f"initial.eta={{kind: circles, centers: {[[(i + 0.5) * TILE, TILE / 2] for i in range(5)]}, "
    f"radii: {radii.tolist()}, inside: 1, outside: -1, width: 1.4}}",
    "time.end=40",
    "time.tolerance=0.02",
    "output.every={times: [5, 15]}",
)
eta = run.fields.eta
tiles = [eta.sel(x=slice(i * TILE, (i + 1) * TILE)) for i in range(5)]
square = np.array([[float((tile.sel(time=t) + 1).sum()) / 2 / np.pi for tile in tiles] for t in (5, 15)])
rate, size = (square[1] - square[0]) / 10, np.sqrt(square.mean(axis=0))
slope, offset = np.polyfit(size, rate, 1)
found = -offset / slope

figure, axes = plt.subplot_mosaic("ar;br", figsize=(8, 3.4), layout="constrained", width_ratios=[1.6, 1])
for name, when in zip("ab", (0, 40), strict=True):
    shown = eta.sel(time=when)
    image = axes[name].imshow(shown.T, origin="lower", cmap="coolwarm", extent=(0, 5 * TILE, 0, TILE))
    axes[name].set(title=f"t = {when}", ylabel="y")
axes["b"].set_xlabel("x")
figure.colorbar(image, ax=[axes["a"], axes["b"]], label="order η", shrink=0.8)
line = np.linspace(0.6, 1.4, 50) * CRITICAL
axes["r"].plot(line, 2 * (line / CRITICAL - 1), color="0.4", label="theory")
axes["r"].plot(size, rate, "o", color="C3", label="simulation")
axes["r"].axhline(0, color="0.8", lw=0.8, zorder=0)
axes["r"].set(xlabel="radius R", ylabel="dR²/dt", title=f"critical: {found:.2f}")
axes["r"].legend()
figure.savefig("nucleation.png", dpi=150)

print(f"critical radius: {found:.3f}, expected {CRITICAL:.3f} within 1 %")
assert abs(found / CRITICAL - 1) < 0.01
