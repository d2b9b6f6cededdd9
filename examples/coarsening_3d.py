"""Coarsening in three dimensions: a sponge grows coarser, and all the energy that is left lies in its surface.

    dc/dt = M ∇²(f'(c) - κ ∇²c),   F = σ A,   σ = ∫ √(2κf) dc = √(2κW)/6

A is counted apart from the energy: the faces between voxels on either side of c = 1/2, of which a surface that looks the same
from all sides has 3/2 of its area (Crofton's formula).

Run time: 5 s on 2 cores. Picture: coarsening_3d.png
"""

import sys

import matplotlib.pyplot as plt
import numpy as np

import phasefield as pf

QUICK = "--quick" in sys.argv  # smaller, for the tests of this project
N, END = (32, 150) if QUICK else (64, 600)

run = pf.run(
    "model=cahn_hilliard",  # f = W c² (1 - c)², κ = W = 1
    f"grid.shape=[{N},{N},{N}]",
    f"time.end={END}",
    f"output.every={{times: [{END / 15}]}}",
)
c = run.fields.c
inside = c.isel(time=-1).values > 0.5
area = 2 / 3 * sum(np.count_nonzero(inside != np.roll(inside, 1, axis)) for axis in range(3))
energy, expected = float(run.history.free_energy[-1]), np.sqrt(2) / 6 * area

figure = plt.figure(figsize=(8, 4), layout="constrained")
for place, shown in enumerate((c.sel(time=END / 15), c.isel(time=-1)), start=1):
    ax = figure.add_subplot(1, 2, place, projection="3d")
    edges, values = np.arange(N + 1), plt.cm.RdBu_r(np.clip(shown.values, 0, 1))
    for axis in range(3):  # the three faces that are seen
        u, v = np.meshgrid(edges, edges, indexing="ij")
        w = np.full_like(u, 0 if axis == 1 else N)
        colours = np.take(values, 0 if axis == 1 else -1, axis=axis)
        faces = np.insert(np.array([u, v]), axis, w, axis=0)
        ax.plot_surface(*faces, facecolors=colours, rcount=N, ccount=N, shade=False, linewidth=0, antialiased=False)
    ax.set(title=f"t = {float(shown.time):.0f}", xlabel="x", ylabel="y", zlabel="z", box_aspect=(1, 1, 1))
scale = plt.cm.ScalarMappable(cmap="RdBu_r", norm=plt.Normalize(0, 1))
figure.colorbar(scale, ax=figure.axes, label="concentration c", shrink=0.7)
figure.savefig("coarsening_3d.png", dpi=150)

print(f"free energy: {energy:.0f}, expected σ A = {expected:.0f} within 8 %")
assert abs(energy / expected - 1) < 0.08
