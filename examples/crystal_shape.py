"""Crystal shape: with an interface energy that depends on the orientation a crystal rests in the shape of Wulff, corners too.

    F = ∫ (1 - φ²)²/4 + κ(n)/2 |∇φ|² dV,   κ(n) = γ(θ)²,   γ = 1 + δ cos 4(θ - 30°),   surface r(v) = min γ(n)/(n·v)

Up to δ = 1/15 every orientation of the surface is stable. Beyond, some are missing from the shape, which has corners in their
place; convexify gives them the energy of the two that they would part into (Eggleston, McFadden and Voorhees, Physica D 150
(2001) 91). The crystals are turned against the grid, and begin as circles.

Run time: 6 s on 2 cores. Picture: crystal_shape.png
"""

import sys

import matplotlib.pyplot as plt
import numpy as np
from contourpy import contour_generator

import phasefield as pf

QUICK = "--quick" in sys.argv  # smaller, for the tests of this project
SIZE, RADIUS, END = (60, 17, 1500) if QUICK else (96, 28, 8000)
TURN = np.pi / 6

normals = np.linspace(0, 2 * np.pi, 7200, endpoint=False)
departures, figure = [], plt.figure(figsize=(8, 4), layout="constrained")
for axes, delta in zip(figure.subplots(1, 2, sharey=True), (0.06, 0.2), strict=True):
    run = pf.run(
        "model=crystal_shape",
        f"model.parameters={{delta: {delta}, theta_0: {TURN}}}",
        f"model.fields.phi.convexify={str(delta > 1 / 15).lower()}",
        f"grid.shape=[{SIZE},{SIZE}]",
        f"initial.phi=tanh(({RADIUS} - sqrt((x - {SIZE / 2})**2 + (y - {SIZE / 2})**2))/sqrt(2))",
        f"time.end={END}",
    )
    phi = run.fields.phi.isel(time=-1)
    x, y = contour_generator(phi.x, phi.y, phi.transpose("y", "x")).lines(0.0)[0].T
    x, y = x - x[:-1].mean(), y - y[:-1].mean()
    angle, radius = np.arctan2(y, x), np.hypot(x, y)
    facing = np.cos(angle[:, None] - normals)
    gamma = 1 + delta * np.cos(4 * (normals - TURN))
    shape = np.min(np.where(facing > 0.05, gamma / np.maximum(facing, 0.05), np.inf), axis=1)
    scale = np.sqrt(np.sum(radius**2) / np.sum(shape**2))
    departures.append(float(np.abs(radius / (scale * shape) - 1).max()))
    phi.plot.imshow(ax=axes, x="x", y="y", cmap="Blues", add_colorbar=False)
    center = SIZE / 2
    axes.plot(center + scale * shape * np.cos(angle), center + scale * shape * np.sin(angle), "r--", label="Wulff")
    axes.set(title=f"δ = {delta}", aspect="equal", xlabel="x", ylabel="y")
    axes.legend(loc="upper right")
figure.savefig("crystal_shape.png", dpi=150)

print(f"largest departure of the surface from the shape of Wulff: {100 * max(departures):.2f} %, expected below 1 %")
assert max(departures) < 0.01
