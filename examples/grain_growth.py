"""Grain growth: a grain with fewer than six neighbours shrinks, one with more grows, at the rate of von Neumann and Mullins.

    dη_i/dt = -L (∂f/∂η_i - κ ∇²η_i),   dA/dt = (π/3) L κ (n - 6)

The rate depends on the number of sides n alone, neither on size nor shape (von Neumann 1952; Mullins, J. Appl. Phys. 27 (1956)
900). Grains of Voronoi cells between walls; those at the walls are left out, and those whose n changes meanwhile.

Run time: 26 s on 2 cores. Picture: grain_growth.png
"""

import sys

import matplotlib.pyplot as plt
import numpy as np
from scipy import ndimage

import phasefield as pf

QUICK = "--quick" in sys.argv  # smaller, for the tests of this project
N, GRAINS, SEEDS, FROM, TO = (144, 24, [1], 20, 50) if QUICK else (176, 14, [1, 2, 3, 4, 5, 6], 30, 80)


def grains(eta):
    """Numbers of the connected pieces of all order parameters; of each how many neighbours it has, and its area."""
    owner = eta.argmax("component_eta").values
    number, sides, areas = np.zeros(owner.shape, int), {}, {}
    for i in np.unique(owner):
        pieces, _ = ndimage.label(owner == i)
        number += np.where(pieces > 0, pieces + number.max(), 0)
    for grain in np.unique(number):
        inside = number == grain
        sides[grain] = len(np.unique(number[ndimage.binary_dilation(inside, iterations=2)])) - 1
        reach = ndimage.binary_dilation(inside, iterations=8)  # as far as its order parameter does
        areas[grain] = float(eta.values[owner[inside][0]][reach].sum())
    return number, sides, areas


rows = []
for seed in SEEDS:
    run = pf.run(
        "model=grain_growth",  # L = 1, κ = 2, eight order parameters for any number of grains
        f"grid.shape=[{N},{N}]",
        "grid.boundary=no-flux",
        f"initial.eta={{kind: voronoi, grains: {GRAINS}, width: 1.5}}",
        f"seed={seed}",
        f"time.end={TO}",
        f"output.every={{times: [{FROM}]}}",
    )
    eta = run.fields.eta.isel(time=-1)
    (before, sides, old), (after, later, new) = grains(run.fields.eta.sel(time=FROM)), grains(eta)
    walls = np.concatenate([before[0], before[-1], before[:, 0], before[:, -1]])
    for grain in np.setdiff1d(before, walls):
        same = np.bincount(after[before == grain]).argmax()
        if later[same] == sides[grain]:
            rows.append((sides[grain], (new[same] - old[grain]) / (TO - FROM)))
n, rate = np.array(rows).T
slope, expected = float((n - 6) @ rate / ((n - 6) @ (n - 6))), 2 * np.pi / 3

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.6), layout="constrained", gridspec_kw={"wspace": 0.08})
shown = np.vectorize(later.get)(after)
image = left.imshow(shown.T, origin="lower", cmap=plt.get_cmap("PiYG_r", 7), vmin=2.5, vmax=9.5, extent=(0, N, 0, N))
left.contourf(eta.x, eta.y, (eta**2).sum("component_eta").T, [0, 0.75], colors="k")  # the sum is 1 in grains
figure.colorbar(image, ax=left, label="number of neighbours n", ticks=range(3, 10))
left.set(xlabel="x", ylabel="y", title=f"t = {TO}")
line = np.array([n.min() - 0.5, n.max() + 0.5])
right.plot(line, expected * (line - 6), color="0.4", label="(π/3) L κ (n - 6)")
right.plot(n, rate, "o", ms=4, color="C3", alpha=0.6, label="grains")
right.axhline(0, color="0.8", lw=0.8, zorder=0)
right.set(xlabel="number of neighbours n", ylabel="dA/dt", title=f"slope {slope:.2f}, expected {expected:.2f}")
right.legend()
figure.savefig("grain_growth.png", dpi=150)

print(f"dA/dt per side of {len(n)} grains: {slope:.3f}, expected {expected:.3f} within {20 if QUICK else 6} %")
assert abs(slope / expected - 1) < (0.2 if QUICK else 0.06)
